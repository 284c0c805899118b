/* tests/unit/session_bench.h - an MQTT session and what a server would say to it, for the tests of the session.
 *
 * Purpose:  a session with few identifiers, some filters and a store that a restart is made of; packets go to it and come from
 *           it decoded. `now` moves only where a test says so.
 * Owner:    each test has its own bench, on its stack.
 */
#ifndef TESTS_UNIT_SESSION_BENCH_H
#define TESTS_UNIT_SESSION_BENCH_H

#include <string.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_session.h"
#include "tests/test.h"

#define INFLIGHT     4
#define CHANNELS     3
#define FILTERS_MAX  600
#define MESSAGE_ROOM 64 /* topic, properties and payload of a message in the store */
#define ALIASES_IN   3

struct bench_options {
	enum mqtt_version version;
	bool clean_start;
	bool refuse_lowered;
	bool keeps_messages;
	bool no_client_id;
	uint16_t receive_max; /* 0: 64 */
	uint16_t aliases_in;
	const struct mqtt_session_filter *filters;
	uint32_t filter_count; /* wanted */
	uint32_t stale_count;  /* of filters[], those behind: an earlier configuration's */
};

struct bench {
	struct bench_options options;
	struct mqtt_session s;
	struct mqtt_inflight_entry entries[INFLIGHT + 1];
	uint64_t store_block[6144];
	struct mqtt_store store;
	struct mqtt_session_subscription subscriptions[FILTERS_MAX];
	uint16_t aliases[CHANNELS];
	uint8_t aliases_in[ALIASES_IN * 4096];
	uint16_t alias_in_sizes[ALIASES_IN];
	uint8_t outbox[8192];
	uint8_t record[256];
	struct mono now;
	struct mqtt_event event;
	struct mqtt_packet sent;  /* the last packet that left */
	struct bytes sent_packet; /* its bytes */
	bool holds_back;          /* the owner does not take what comes */
};

static inline struct mqtt_session_config bench_config(const struct bench *b)
{
	const struct bench_options *o = &b->options;

	return (struct mqtt_session_config){
		.version = o->version,
		.connect = {.clean_start = o->clean_start,
			    .keep_alive_s = 60,
			    .client_id = bytes_of_text(o->no_client_id ? "" : "c1")},
		.max_packet_bytes = 4096,
		.inflight_max = INFLIGHT,
		.receive_max = o->receive_max ? o->receive_max : 64,
		.topic_alias_max = 2,
		.topic_alias_in = o->aliases_in,
		.topic_alias_in_bytes = 4096,
		.channel_count = CHANNELS,
		.refuse_lowered = o->refuse_lowered,
		.filters = o->filters,
		.filter_count = o->filter_count,
		.filter_bytes_max = 512,
	};
}

static inline void bench_session_init(struct bench *b)
{
	const struct mqtt_session_config config = bench_config(b);
	const struct mqtt_session_memory memory = {
		.entries = b->entries,
		.alias_of = b->aliases,
		.subscriptions = b->subscriptions,
		.aliases_in = b->aliases_in,
		.alias_in_sizes = b->alias_in_sizes,
		.outbox = b->outbox,
		.outbox_bytes = sizeof(b->outbox),
	};

	EXPECT(b->options.aliases_in <= ALIASES_IN);
	mqtt_session_init(&b->s, &config, &b->store, &memory);
}

static inline struct mqtt_store_shape bench_shape(const struct bench_options *o)
{
	struct mqtt_store_shape shape = {.inflight_room = INFLIGHT,
					 .slot_bytes = o->keeps_messages ? mqtt_store_slot_bytes(MESSAGE_ROOM)
									 : 0,
					 .filter_count = o->filter_count + o->stale_count};

	for (uint32_t i = 0; i < shape.filter_count; i++)
		shape.filter_text_bytes += MQTT_SESSION_FILTER_HEAD_BYTES +
					   (uint32_t)o->filters[i].options.filter.size;
	return shape;
}

static inline void bench_init_with(struct bench *b, const struct bench_options *o)
{
	const struct mqtt_store_shape shape = bench_shape(o);

	*b = (struct bench){.options = *o, .now = {.ns = NS_PER_S}};
	EXPECT(shape.filter_count <= FILTERS_MAX);
	EXPECT(mqtt_store_bytes(&shape) <= sizeof(b->store_block));
	mqtt_store_init(&b->store, b->store_block, &shape, o->version, 1);
	for (uint32_t i = 0; i < shape.filter_count; i++) {
		uint8_t text[600];
		struct writer w = writer_of(text, sizeof(text));

		mqtt_session_filter_write(&w, &o->filters[i]);
		mqtt_store_add_filter(&b->store, i, bytes_of(text, (size_t)(w.at - text)));
		mqtt_store_set_subscribed(&b->store, i, i >= o->filter_count);
	}
	mqtt_store_seal(&b->store);
	if (o->stale_count) /* what an earlier process left is a session that a server has */
		mqtt_store_set_server(&b->store, 7);
	bench_session_init(b);
}

static inline void bench_init(struct bench *b, enum mqtt_version v, bool clean_start)
{
	bench_init_with(b, &(struct bench_options){.version = v, .clean_start = clean_start});
}

/* The process was killed, and the next one finds the same store. */
static inline void bench_restart(struct bench *b)
{
	const struct mqtt_store_shape shape = b->store.shape;
	const char *why = "";
	int rc = mqtt_store_open(&b->store, b->store_block, mqtt_store_bytes(&shape), b->options.version, 1,
				 &why);

	ck_assert_msg(rc == 0, "%s", why);
	memset(b->entries, 0xA5, sizeof(b->entries));
	memset(b->outbox, 0xA5, sizeof(b->outbox));
	bench_session_init(b);
}

/* Takes the first packet out of the outbox. */
static inline enum mqtt_type take_sent(struct bench *b)
{
	static uint8_t copy[8192];
	struct mqtt_error error;

	memcpy(copy, b->s.outbox, b->s.outbox_bytes);
	int n = mqtt_decode(bytes_of(copy, b->s.outbox_bytes), b->s.config.version, MQTT_CLIENT, 0, &b->sent,
			    &error);

	ck_assert_msg(n > 0, "the outbox holds no whole packet");
	b->sent_packet = bytes_of(copy, (size_t)n);
	memmove(b->s.outbox, b->s.outbox + n, b->s.outbox_bytes - (size_t)n);
	b->s.outbox_bytes -= (size_t)n;
	return b->sent.type;
}

static inline bool server_says(struct bench *b, const struct mqtt_packet *p)
{
	static uint8_t wire[8192];
	struct writer w = writer_of(wire, sizeof(wire));
	int n = mqtt_encode(&w, b->s.config.version, MQTT_SERVER, p);
	struct bytes input = bytes_of(wire, (size_t)n);

	EXPECT(n > 0);
	if (!mqtt_session_receive(&b->s, &input, b->now, &b->event))
		return false;
	if (b->event.kind == MQTT_EVENT_MESSAGE && !b->holds_back) /* the owner takes what comes, at once */
		mqtt_session_accept(&b->s, b->event.publish.qos, b->event.publish.packet_id);
	return true;
}

/* Bytes that no encoder would write. */
static inline bool server_sends(struct bench *b, const char *bytes, size_t size)
{
	struct bytes input = bytes_of(bytes, size);

	return mqtt_session_receive(&b->s, &input, b->now, &b->event);
}

static inline bool server_acks(struct bench *b, enum mqtt_type type, uint16_t id, uint8_t code)
{
	return server_says(b, &(struct mqtt_packet){.type = type, .ack = {.packet_id = id, .code = code}});
}

static inline bool server_publishes(struct bench *b, uint8_t qos, uint16_t id, bool dup)
{
	return server_says(b, &(struct mqtt_packet){.type = MQTT_PUBLISH,
						    .publish = {.qos = qos,
								.packet_id = id,
								.dup = dup,
								.topic = bytes_of_text("plant/x"),
								.payload = bytes_of_text("1")}});
}

static inline bool server_accepts(struct bench *b, bool session_present, uint16_t receive_max)
{
	struct mqtt_packet p = {.type = MQTT_CONNACK, .connack = {.session_present = session_present}};

	if (b->s.config.version == MQTT_5) {
		mqtt_props_set(&p.connack.props, MQTT_PROP_RECEIVE_MAXIMUM);
		p.connack.props.receive_maximum = receive_max;
		mqtt_props_set(&p.connack.props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM);
		p.connack.props.topic_alias_maximum = 10;
	}
	return server_says(b, &p);
}

static inline void start_connecting(struct bench *b)
{
	mqtt_session_connect(&b->s, bytes_of(NULL, 0), b->now);
	EXPECT_EQ(take_sent(b), MQTT_CONNECT);
}

static inline void go_online(struct bench *b, bool session_present, uint16_t receive_max)
{
	start_connecting(b);
	EXPECT(server_accepts(b, session_present, receive_max));
	EXPECT_EQ(b->event.kind, MQTT_EVENT_ONLINE);
}

/* What a server has not said: it is accepted with these properties alone. */
static inline void go_online_with(struct bench *b, bool session_present, const struct mqtt_props *props)
{
	start_connecting(b);
	EXPECT(server_says(
		b, &(struct mqtt_packet){.type = MQTT_CONNACK,
					 .connack = {.session_present = session_present, .props = *props}}));
	EXPECT_EQ(b->event.kind, MQTT_EVENT_ONLINE);
}

static inline struct mqtt_message bench_message(struct bench *b, uint8_t qos, void *token,
						uint32_t channel_idx)
{
	memcpy(b->record + 128, "1.5", 3);
	return (struct mqtt_message){.topic = bytes_of_text("plant/a"),
				     .channel_idx = channel_idx,
				     .qos = qos,
				     .payload = b->record + 128,
				     .payload_bytes = 3,
				     .token = token};
}

/* Publishes that message; its packet is decoded into b->sent. */
static inline int publish_message(struct bench *b, const struct mqtt_message *m)
{
	struct mqtt_error error;
	int rc = mqtt_session_publish(&b->s, m, &b->sent_packet);

	if (rc >= 0)
		EXPECT_EQ(mqtt_decode(b->sent_packet, b->s.config.version, MQTT_CLIENT, 0, &b->sent, &error),
			  (int)b->sent_packet.size);
	return rc;
}

static inline int publish(struct bench *b, uint8_t qos, void *token, uint32_t channel_idx)
{
	struct mqtt_message m = bench_message(b, qos, token, channel_idx);

	return publish_message(b, &m);
}

static int tokens[8] UNUSED;

#endif
