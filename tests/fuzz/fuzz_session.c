/* Any server against a session: it has subscriptions, takes aliases, keeps its store, and its owner publishes, sends again,
 * loses connections, changes servers and is killed at any time. The input is a run of steps: what the owner does, or bytes that
 * the server sends; after each the session must be whole. */
#include <errno.h>
#include <stdlib.h>

#include "core/assert.h"
#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM          6
#define FILTERS       4
#define WANTED        3
#define CHANNELS      4
#define ALIASES_IN    4
#define PACKET_BYTES  512
#define MESSAGE_BYTES 64
#define IDENTITY      1

struct world {
	struct mqtt_session_config config;
	struct mqtt_session s;
	struct mqtt_store store;
	struct mqtt_store_shape shape;
	uint64_t *block;
	struct mqtt_session_memory memory;
	struct mqtt_session_filter filters[FILTERS];
	uint8_t record[256];
	bool is_held[ROOM + 1]; /* by token: the owner's messages in flight */
	struct mono now;
	uint8_t input[PACKET_BYTES * 2];
	size_t input_bytes;
};

static uint8_t tokens[ROOM + 1];

static const char *const texts[FILTERS] = {"a/b", "c/+", "$share/g/x/#", "left/over"};

/* --- invariants ------------------------------------------------------------------------------------------------------ */

static void check_inflight(struct world *w)
{
	uint32_t in_use = 0, held = 0;
	uint64_t sequence;

	for (uint16_t id = 1; id <= ROOM; id++) {
		enum mqtt_inflight_state state = mqtt_store_get(&w->store, id, &sequence);
		struct mqtt_stored m;

		ASSERT(w->s.inflight.entries[id].state == state);
		in_use += state != MQTT_INFLIGHT_FREE;
		if (state == MQTT_INFLIGHT_PUBLISHED_1 || state == MQTT_INFLIGHT_PUBLISHED_2)
			ASSERT(w->s.inflight.entries[id].token);
		if (w->shape.slot_bytes &&
		    (state == MQTT_INFLIGHT_PUBLISHED_1 || state == MQTT_INFLIGHT_PUBLISHED_2))
			ASSERT(mqtt_store_message(&w->store, id, &m));
		held += w->is_held[id];
	}
	ASSERT(w->s.inflight.count == in_use);
	ASSERT(held <= in_use);
}

static void check(struct world *w)
{
	struct mqtt_session *s = &w->s;
	uint32_t inbound = 0, asked = 0;

	check_inflight(w);
	ASSERT(s->outbox_bytes <= s->outbox_room);
	if (s->state == MQTT_SESSION_ONLINE) {
		uint32_t counted = 0;

		for (uint16_t id = 1; id <= ROOM; id++)
			counted += s->inflight.entries[id].state != MQTT_INFLIGHT_FREE &&
				   s->inflight.entries[id].counted;
		ASSERT(s->quota + counted == s->server.receive_max);
		ASSERT(s->alias_count <= s->server.topic_alias_max);
		ASSERT(s->server.topic_alias_max <= s->config.topic_alias_max);
	}
	for (uint32_t i = 0; i < CHANNELS; i++)
		ASSERT(w->memory.alias_of[i] <= s->alias_count);
	for (uint32_t i = 0; i < s->config.topic_alias_in; i++)
		ASSERT(w->memory.alias_in_sizes[i] <= s->config.topic_alias_in_bytes);
	for (uint32_t id = 0; id <= UINT16_MAX; id += id < 300 ? 1 : 997)
		inbound += mqtt_store_inbound_has(&w->store, (uint16_t)id);
	ASSERT(inbound <= w->s.store.inbound_count);
	for (uint32_t i = 0; i < MQTT_SESSION_ASKED_MAX; i++)
		asked += s->asked[i] != 0;
	ASSERT(asked == s->asked_count);
	ASSERT(s->subscribe_next <= FILTERS);
	ASSERT(memchr(s->reason, 0, sizeof(s->reason)));
	ASSERT(memchr(s->reference, 0, sizeof(s->reference)));
}

/* --- set-up ---------------------------------------------------------------------------------------------------------- */

static void attach_all(struct world *w)
{
	struct mqtt_stored m;
	uint16_t packet_id = 0;
	uint8_t qos;

	memset(w->is_held, 0, sizeof(w->is_held));
	while (mqtt_session_restored(&w->s, &packet_id, &m, &qos)) {
		ASSERT(qos == 1 || qos == 2);
		ASSERT(m.topic.size + m.props.size + m.payload.size <= MESSAGE_BYTES);
		mqtt_session_attach(&w->s, packet_id, &tokens[packet_id]);
		w->is_held[packet_id] = true;
	}
}

static void world_open(struct world *w, uint8_t choice)
{
	enum mqtt_version v = choice & 1 ? MQTT_5 : MQTT_3_1_1;

	*w = (struct world){.now = {.ns = NS_PER_S}};
	w->shape = (struct mqtt_store_shape){.inflight_room = ROOM,
					     .slot_bytes = choice & 2 ? mqtt_store_slot_bytes(MESSAGE_BYTES)
								      : 0,
					     .filter_count = FILTERS};
	for (uint32_t i = 0; i < FILTERS; i++) {
		w->filters[i] = (struct mqtt_session_filter){
			.options = {.filter = bytes_of_text(texts[i]), .qos = (uint8_t)(i % 3)},
			.id = i + 1,
			.wildcard = i == 1,
			.shared = i == 2,
		};
		w->shape.filter_text_bytes += MQTT_SESSION_FILTER_HEAD_BYTES + (uint32_t)strlen(texts[i]);
	}
	w->config = (struct mqtt_session_config){
		.version = v,
		.connect = {.keep_alive_s = 10,
			    .clean_start = choice & 4,
			    .client_id = bytes_of_text(v == MQTT_5 && choice & 8 ? "" : "client")},
		.max_packet_bytes = PACKET_BYTES,
		.inflight_max = ROOM,
		.receive_max = 3,
		.topic_alias_max = 2,
		.topic_alias_in = v == MQTT_5 ? ALIASES_IN : 0,
		.topic_alias_in_bytes = PACKET_BYTES,
		.channel_count = CHANNELS,
		.refuse_lowered = choice & 16,
		.filters = w->filters,
		.filter_count = WANTED,
		.filter_bytes_max = 32,
	};
	/* On the heap: a step past an end is seen. */
	w->memory = (struct mqtt_session_memory){
		.entries = calloc(ROOM + 1, sizeof(struct mqtt_inflight_entry)),
		.alias_of = calloc(CHANNELS, sizeof(uint16_t)),
		.subscriptions = calloc(FILTERS, sizeof(struct mqtt_session_subscription)),
		.aliases_in = calloc(ALIASES_IN, PACKET_BYTES),
		.alias_in_sizes = calloc(ALIASES_IN, sizeof(uint16_t)),
		.outbox_bytes = mqtt_session_outbox_bytes(&w->config),
	};
	w->memory.outbox = malloc(w->memory.outbox_bytes);
	w->block = calloc(1, mqtt_store_bytes(&w->shape));
	mqtt_store_init(&w->store, w->block, &w->shape, v, IDENTITY);
	for (uint32_t i = 0; i < FILTERS; i++) {
		uint8_t text[64];
		struct writer out = writer_of(text, sizeof(text));

		mqtt_session_filter_write(&out, &w->filters[i]);
		mqtt_store_add_filter(&w->store, i, bytes_of(text, (size_t)(out.at - text)));
	}
	mqtt_store_seal(&w->store);
	if (choice & 32) { /* an earlier process has been there */
		mqtt_store_set_subscribed(&w->store, WANTED, true);
		mqtt_store_set_server(&w->store, 1);
	}
	mqtt_session_init(&w->s, &w->config, &w->store, &w->memory);
}

static void world_close(struct world *w)
{
	free(w->memory.entries);
	free(w->memory.alias_of);
	free(w->memory.subscriptions);
	free(w->memory.aliases_in);
	free(w->memory.alias_in_sizes);
	free(w->memory.outbox);
	free(w->block);
}

/* --- what the owner does ---------------------------------------------------------------------------------------------- */

/* All that the session has written is well-formed and small enough, as a server sees it. */
static void send_outbox(struct world *w)
{
	struct mqtt_session *s = &w->s;
	struct bytes out = bytes_of(s->outbox, s->outbox_bytes);
	struct mqtt_packet packet;
	struct mqtt_error error;

	while (out.size) {
		int n = mqtt_decode(out, s->config.version, MQTT_CLIENT, 0, &packet, &error);

		ASSERT(n > 0);
		ASSERT(packet.type == MQTT_CONNECT || (uint32_t)n <= s->server.max_packet_bytes);
		out = bytes_of(out.ptr + n, out.size - (size_t)n);
	}
	s->outbox_bytes = 0;
	mqtt_session_sent(s, w->now);
}

static void lose(struct world *w)
{
	mqtt_session_lost(&w->s);
	w->input_bytes = 0;
}

static void on_event(struct world *w, const struct mqtt_event *e)
{
	switch (e->kind) {
	case MQTT_EVENT_ONLINE: ASSERT(w->s.state == MQTT_SESSION_ONLINE); break;
	case MQTT_EVENT_RELEASED: {
		size_t at = (size_t)((uint8_t *)e->token - tokens);

		ASSERT(at >= 1);
		ASSERT(at <= ROOM);
		ASSERT(w->is_held[at]); /* each once */
		w->is_held[at] = false;
		break;
	}
	case MQTT_EVENT_MESSAGE:
		ASSERT(e->publish.topic.size > 0);
		if (e->publish.payload.size % 8 != 7) /* else it is never accepted */
			mqtt_session_accept(&w->s, e->publish.qos, e->publish.packet_id);
		break;
	case MQTT_EVENT_TOO_LARGE: break;
	case MQTT_EVENT_SUBSCRIPTION: ASSERT(e->filter_idx < WANTED); break;
	case MQTT_EVENT_CLOSE:
		ASSERT(w->s.state == MQTT_SESSION_CLOSING);
		send_outbox(w);
		lose(w);
		break;
	}
}

static struct mqtt_message message_of(struct world *w, uint8_t choice, uint8_t *token)
{
	return (struct mqtt_message){
		.topic = bytes_of_text("plant/a"),
		.channel_idx = choice >> 2 & 7,
		.qos = (uint8_t)(choice % 3),
		.retain = choice & 32,
		.expiry_s = choice & 64 ? 10 : 0,
		.expiry_left_s = choice & 64 ? 5 : 0,
		.payload = w->record + 128,
		.payload_bytes = choice & 128 ? 40 : 3,
		.token = token,
	};
}

static void check_packet(struct world *w, struct bytes packet)
{
	struct mqtt_packet p;
	struct mqtt_error error;

	ASSERT(mqtt_decode(packet, w->s.config.version, MQTT_CLIENT, 0, &p, &error) == (int)packet.size);
	ASSERT(p.type == MQTT_PUBLISH);
	ASSERT(packet.size <= w->s.server.max_packet_bytes);
	ASSERT(p.publish.qos <= w->s.server.qos_max);
}

static void publish(struct world *w, uint8_t choice)
{
	struct bytes packet;
	struct mqtt_message m;
	uint8_t free_id = 1;
	int rc;

	if (w->s.state != MQTT_SESSION_ONLINE || mqtt_session_resending(&w->s))
		return;
	free_id = (uint8_t)w->s.inflight.free_first; /* the token is to be that of its identifier */
	m = message_of(w, choice, &tokens[free_id]);
	rc = mqtt_session_publish(&w->s, &m, &packet);
	if (rc >= 0)
		check_packet(w, packet);
	if (rc == 1)
		w->is_held[free_id] = true;
	if (rc == -EAGAIN)
		ASSERT(mqtt_session_room(&w->s) == 0);
}

static void resend(struct world *w, uint8_t choice)
{
	uint16_t id = 0;
	uint8_t *token = w->s.state == MQTT_SESSION_ONLINE ? mqtt_session_resend(&w->s, &id) : NULL;
	struct mqtt_message m;
	struct bytes packet;
	int rc;

	if (!token)
		return;
	ASSERT(token == &tokens[id]);
	m = message_of(w, choice, token);
	rc = mqtt_session_republish(&w->s, id, &m, &packet);
	if (rc >= 0)
		check_packet(w, packet);
	if (rc <= 0)
		w->is_held[id] = false;
}

static void receive(struct world *w)
{
	struct bytes input = bytes_of(w->input, w->input_bytes);
	struct mqtt_event e;

	while (w->input_bytes && mqtt_session_receive(&w->s, &input, w->now, &e)) {
		on_event(w, &e);
		check(w);
	}
	if (w->input_bytes == 0) /* lost */
		return;
	memmove(w->input, input.ptr, input.size);
	w->input_bytes = input.size;
}

static void server_sends(struct world *w, const uint8_t *bytes, size_t size)
{
	if (w->s.state == MQTT_SESSION_IDLE || size > sizeof(w->input) - w->input_bytes)
		return;
	memcpy(w->input + w->input_bytes, bytes, size);
	w->input_bytes += size;
	receive(w);
}

/* A packet as servers send it: bytes alone seldom get past CONNACK. */
static void server_packet(struct world *w, uint8_t choice, uint8_t detail)
{
	static const uint8_t codes[] = {0, 1, 2, 0x80, 0x87};
	static const enum mqtt_type types[] = {MQTT_CONNACK, MQTT_PUBLISH, MQTT_PUBACK,  MQTT_PUBREC,
					       MQTT_PUBREL,  MQTT_PUBCOMP, MQTT_SUBACK,  MQTT_UNSUBACK,
					       MQTT_PUBLISH, MQTT_PUBLISH, MQTT_PINGRESP};
	struct mqtt_packet p = {.type = types[choice % ARRAY_COUNT(types)]};
	bool is_5 = w->config.version == MQTT_5;
	uint8_t wire[PACKET_BYTES];
	struct writer out = writer_of(wire, sizeof(wire));
	int n;

	switch (p.type) {
	case MQTT_CONNACK:
		p.connack.session_present = detail & 1;
		if (is_5 && detail & 2) {
			mqtt_props_set(&p.connack.props, MQTT_PROP_RECEIVE_MAXIMUM);
			p.connack.props.receive_maximum = (uint16_t)(1 + (detail >> 4));
		}
		if (is_5 && detail & 4) {
			mqtt_props_set(&p.connack.props, MQTT_PROP_MAXIMUM_PACKET_SIZE);
			p.connack.props.maximum_packet_size_bytes = 1u + (detail >> 4) * 2;
		}
		if (is_5 && detail & 8) {
			mqtt_props_set(&p.connack.props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM);
			p.connack.props.topic_alias_maximum = detail >> 4;
			mqtt_props_set(&p.connack.props, MQTT_PROP_MAXIMUM_QOS);
			p.connack.props.maximum_qos = detail >> 4 & 1;
		}
		break;
	case MQTT_PUBLISH:
		p.publish.qos = detail % 3;
		p.publish.packet_id = p.publish.qos ? (uint16_t)(1 + (detail >> 4)) : 0;
		p.publish.dup = p.publish.qos && detail & 8;
		p.publish.topic = bytes_of_text("a/b");
		if (is_5 && choice & 64) {
			mqtt_props_set(&p.publish.props, MQTT_PROP_TOPIC_ALIAS);
			p.publish.props.topic_alias = (uint16_t)(1 + (detail >> 5));
			if (choice & 128)
				p.publish.topic = bytes_of(NULL, 0);
		}
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		p.ack.packet_id = (uint16_t)(1 + detail % (ROOM + 2));
		p.ack.code = is_5 && detail & 128 && p.type <= MQTT_PUBREC ? MQTT_QUOTA_EXCEEDED : 0;
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		p.suback.packet_id = (uint16_t)(MQTT_SESSION_INFLIGHT_MAX + 1 + detail % (FILTERS + 1));
		p.suback.codes = bytes_of(&codes[(detail >> 4) % ARRAY_COUNT(codes)], 1);
		break;
	case MQTT_CONNECT:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
	case MQTT_DISCONNECT:
	case MQTT_AUTH: break;
	}
	n = mqtt_encode(&out, w->config.version, MQTT_SERVER, &p);
	if (n > 0)
		server_sends(w, wire, (size_t)n);
}

/* The next process finds the block as it is. Plain memory, which has no messages, ends with the process. */
static void killed(struct world *w)
{
	const char *why = "";
	int rc;

	if (!w->shape.slot_bytes)
		return;
	rc = mqtt_store_open(&w->store, w->block, mqtt_store_bytes(&w->shape), w->config.version, IDENTITY,
			     &why);
	ASSERT(rc == 0);
	w->input_bytes = 0;
	memset(w->memory.entries, 0xA5, (ROOM + 1) * sizeof(w->memory.entries[0]));
	memset(w->memory.alias_of, 0, CHANNELS * sizeof(uint16_t));
	mqtt_session_init(&w->s, &w->config, &w->store, &w->memory);
	attach_all(w);
}

static void owner(struct world *w, uint8_t step, uint8_t choice)
{
	struct mqtt_event e;

	switch (step % 10) {
	case 0:
	case 1: publish(w, choice); break;
	case 2: resend(w, choice); break;
	case 3: send_outbox(w); break;
	case 4:
		for (int i = 0; i <= FILTERS && mqtt_session_subscribe(&w->s, &e); i++)
			on_event(w, &e);
		break;
	case 5:
		w->now = mono_add(w->now, choice * NS_PER_S / 16);
		if (mqtt_session_tick(&w->s, w->now, &e))
			on_event(w, &e);
		(void)mqtt_session_deadline(&w->s);
		break;
	case 6:
		if (choice & 1)
			lose(w);
		else
			mqtt_session_disconnect(&w->s, MQTT_SUCCESS);
		break;
	case 7:
	case 8:
		if (w->s.state != MQTT_SESSION_IDLE)
			break;
		mqtt_session_server(&w->s, choice < 8 ? 2 : 1);
		mqtt_session_connect(&w->s, bytes_of_text("secret"), w->now);
		break;
	case 9: killed(w); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader in = reader_of(bytes_of(data, size));
	static struct world w;

	world_open(&w, read_u8(&in));
	while (reader_left(&in) >= 3) {
		uint8_t step = read_u8(&in), choice = read_u8(&in);

		if (step < 0x70) {
			owner(&w, step, choice);
		} else if (step < 0xD0) {
			server_packet(&w, step - 0x70, choice);
		} else {
			struct bytes raw = read_bytes(&in, min_size(choice, reader_left(&in)));

			server_sends(&w, raw.ptr, raw.size);
		}
		check(&w);
	}
	world_close(&w);
	return 0;
}
