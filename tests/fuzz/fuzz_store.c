/* Any file as a session's store. The input is changes to a sound image (where, what), or the image itself; half of the time its
 * seals are made right again, as somebody would who wanted more than noise. What opens is handed to a session, which is
 * connected, sends again what it restored, subscribes, and is taken over by a new store. */
#include <stdlib.h>

/* The source: images that are made up need its seals. */
#include "proto/mqtt_store.c"

#include "proto/mqtt_encode.h"
#include "proto/mqtt_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IDENTITY   1
#define IMAGE_ROOM (1u << 18)

static const struct mqtt_store_shape sound_shape = {
	.inflight_room = 5, .slot_bytes = 96, .filter_count = 3, .filter_text_bytes = 24};

static void make_sound(void *image)
{
	static const char *const filters[] = {"\x01\0\0\0\x01"
					      "a/b",
					      "\0\0\0\0\x02"
					      "c/+",
					      "\0\0\0\0\x03"
					      "d/#"};
	const struct mqtt_stored m = {.topic = bytes_of_text("a/b"),
				      .payload = bytes_of_text("payload"),
				      .time_ns = 1,
				      .expiry_s = 60};
	struct mqtt_store s;

	mqtt_store_init(&s, image, &sound_shape, MQTT_5, IDENTITY);
	for (uint32_t i = 0; i < 3; i++)
		mqtt_store_add_filter(&s, i, bytes_of(filters[i], 8));
	mqtt_store_seal(&s);
	for (uint16_t id = 1; id <= 3; id++) {
		mqtt_store_keep(&s, id, &m);
		mqtt_store_set(&s, id, (enum mqtt_inflight_state)id);
	}
	mqtt_store_inbound_add(&s, 7);
	mqtt_store_set_subscribed(&s, 2, true);
	mqtt_store_set_assigned_id(&s, bytes_of_text("you"));
	mqtt_store_set_server(&s, 1);
}

/* Makes every check right whose bytes are within the image. */
static void make_right(uint8_t *image, uint64_t image_bytes)
{
	struct mqtt_store_header *h = (struct mqtt_store_header *)(void *)image;
	struct mqtt_store s;

	if (image_bytes < sizeof(*h) || h->shape.inflight_room > UINT16_MAX ||
	    mqtt_store_bytes(&h->shape) != image_bytes)
		return;
	lay_out(&s, image, &h->shape);
	h->sealed_crc = seal_of(&s);
	h->assigned_crc = crc32c(0, h->assigned_id, sizeof(h->assigned_id));
	for (uint32_t id = 0; id <= s.shape.inflight_room; id++)
		store(&s.words[id], sealed(load(&s.words[id]), id));
	for (uint32_t i = 0; i < INBOUND_WORDS; i++)
		store(&s.inbound[i], sealed(load(&s.inbound[i]), INBOUND_PLACE + i));
	for (uint32_t i = 0; i < s.shape.filter_count; i++)
		store(&s.filter_words[i], sealed(load(&s.filter_words[i]), FILTER_PLACE + i));
	for (uint32_t id = 0; s.shape.slot_bytes >= sizeof(struct slot_head) && id <= s.shape.inflight_room;
	     id++) {
		uint8_t *slot = slot_of(&s, (uint16_t)id);
		struct slot_head head;
		uint64_t bytes;

		memcpy(&head, slot, sizeof(head));
		bytes = (uint64_t)head.topic_bytes + head.props_bytes + head.payload_bytes;
		if (bytes > s.shape.slot_bytes - sizeof(head))
			continue;
		head.crc = slot_crc(slot, bytes);
		memcpy(slot, &head, sizeof(head));
	}
}

/* --- using it --------------------------------------------------------------------------------------------------------- */

static void server_accepts(struct mqtt_session *s)
{
	uint8_t wire[32];
	struct writer w = writer_of(wire, sizeof(wire));
	struct mqtt_connack c = {.session_present = s->has_state && s->asked_key == s->server_key};
	struct mqtt_event e;
	int n = mqtt_encode_connack(&w, MQTT_5, &c);
	struct bytes input = bytes_of(wire, (size_t)n);

	ASSERT(n > 0);
	ASSERT(mqtt_session_receive(s, &input, (struct mono){.ns = NS_PER_S}, &e));
	ASSERT(e.kind == MQTT_EVENT_ONLINE);
}

static void send_again(struct mqtt_session *s, uint8_t *record, uint64_t headroom)
{
	static uint8_t token;
	struct mqtt_stored m;
	uint16_t packet_id = 0;
	struct bytes packet;
	uint8_t qos;

	while (mqtt_session_restored(s, &packet_id, &m, &qos))
		mqtt_session_attach(s, packet_id, &token);
	while (mqtt_session_resend(s, &packet_id) || mqtt_session_resending(s)) {
		struct mqtt_message again = {.channel_idx = UINT32_MAX, .payload = record + headroom};

		if (s->resend_next == 0 ||
		    s->inflight.entries[s->resend_next].state == MQTT_INFLIGHT_RELEASED) {
			s->outbox_bytes = 0;
			continue;
		}
		packet_id = s->resend_next;
		ASSERT(mqtt_store_message(&s->store, packet_id, &m));
		again.topic = m.topic;
		again.props = m.props;
		again.payload_bytes = (uint32_t)m.payload.size;
		again.expiry_s = m.expiry_s;
		again.expiry_left_s = m.expiry_s ? 1 : 0;
		memcpy(again.payload, m.payload.ptr, m.payload.size);
		(void)!mqtt_session_republish(s, packet_id, &again, &packet);
		s->quota = 9; /* as if the server had acknowledged others */
		for (uint16_t id = s->inflight.oldest; id; id = s->inflight.entries[id].newer)
			s->inflight.entries[id].counted = false;
	}
}

static void use_session(struct mqtt_store *s)
{
	struct mqtt_session_config config = {.version = MQTT_5,
					     .connect = {.client_id = bytes_of_text("c")},
					     .max_packet_bytes = 4096,
					     .receive_max = 10};
	uint64_t headroom = 64 + 2ull * s->shape.slot_bytes;
	uint8_t *record = malloc(headroom + s->shape.slot_bytes + 1);
	struct mqtt_session_memory memory;
	struct mqtt_session session;
	struct mqtt_event e;

	for (uint32_t i = 0; i < s->shape.filter_count; i++)
		config.filter_bytes_max = (uint32_t)max_u64(config.filter_bytes_max,
							    mqtt_store_filter(s, i).size);
	memory = (struct mqtt_session_memory){
		.entries = calloc(s->shape.inflight_room + 1, sizeof(struct mqtt_inflight_entry)),
		.subscriptions = calloc(s->shape.filter_count + 1, sizeof(struct mqtt_session_subscription)),
		.outbox_bytes = mqtt_session_outbox_bytes(&config),
	};
	memory.outbox = malloc(memory.outbox_bytes);
	mqtt_session_init(&session, &config, s, &memory);
	mqtt_session_server(&session, 1);
	mqtt_session_connect(&session, bytes_of(NULL, 0), (struct mono){.ns = NS_PER_S});
	session.outbox_bytes = 0;
	server_accepts(&session);
	send_again(&session, record, headroom);
	for (uint32_t i = 0; i < 2 * s->shape.filter_count; i++) {
		if (mqtt_session_subscribe(&session, &e))
			ASSERT(e.filter_idx < config.filter_count);
		session.outbox_bytes = 0;
	}
	free(record);
	free(memory.entries);
	free(memory.subscriptions);
	free(memory.outbox);
}

static void use_take_over(const struct mqtt_store *old)
{
	struct mqtt_store_shape shape = old->shape;
	struct mqtt_store s;
	const char *why;
	void *memory;

	shape.filter_count = shape.filter_text_bytes = 0;
	memory = calloc(1, mqtt_store_bytes(&shape));
	mqtt_store_init(&s, memory, &shape, MQTT_5, IDENTITY);
	mqtt_store_seal(&s);
	ASSERT(mqtt_store_take_over(&s, old) == 0);
	ASSERT(mqtt_store_open(&s, memory, mqtt_store_bytes(&shape), MQTT_5, IDENTITY, &why) == 0);
	free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader in = reader_of(bytes_of(data, size));
	uint8_t choice = read_u8(&in);
	uint64_t bytes = choice & 2 ? reader_left(&in) : mqtt_store_bytes(&sound_shape);
	const char *why = NULL;
	struct mqtt_store s;
	uint8_t *image;

	if (bytes > IMAGE_ROOM)
		return 0;
	image = calloc(1, bytes + 1);
	if (choice & 2) {
		memcpy(image, in.at, bytes);
	} else {
		make_sound(image);
		while (reader_left(&in) >= 4) {
			uint32_t at = read_u16(&in);
			uint8_t width = read_u8(&in) & 7, value = read_u8(&in);

			for (uint32_t i = 0; i <= width && at + i < bytes; i++)
				image[at + i] = i == 0 ? value : read_u8(&in);
		}
	}
	if (choice & 1)
		make_right(image, bytes);
	if (choice & 4 && bytes > 8)
		bytes -= 1 + choice % 8;
	if (mqtt_store_open(&s, image, bytes, MQTT_5, IDENTITY, &why) == 0) {
		use_take_over(&s);
		use_session(&s);
	} else {
		ASSERT(why);
	}
	free(image);
	return 0;
}
