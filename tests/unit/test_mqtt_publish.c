/* The PUBLISH header that is written backwards, against the decoder and the forward encoder. */
#include "tests/test.h"

#include "core/prng.h"
#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_publish.h"

#define ROOM_BYTES    600000
#define PAYLOAD_BYTES 300000

static uint8_t room[ROOM_BYTES];
static uint8_t *const payload = room + ROOM_BYTES - PAYLOAD_BYTES;

static struct mqtt_publish decoded(uint8_t *start, const struct mqtt_publish_header *h)
{
	struct mqtt_packet packet;
	struct mqtt_error err = {0};
	size_t size = (size_t)(payload - start) + h->payload_bytes;

	ck_assert_msg(mqtt_decode(bytes_of(start, size), h->version, MQTT_CLIENT, 0, &packet, &err) ==
			      (int)size,
		      "%s", err.text);
	EXPECT_EQ(packet.type, MQTT_PUBLISH);
	return packet.publish;
}

static void check(const struct mqtt_publish_header *h)
{
	uint32_t headroom = mqtt_publish_headroom_bytes(h->version, h->topic.size, h->qos, h->props.size);
	uint8_t *start, before;
	struct mqtt_publish p;

	payload[-1 - (ptrdiff_t)headroom] = before = 0xA5;
	start = mqtt_publish_header_backwards(payload, h);
	EXPECT_LE(payload - start, headroom);
	EXPECT_EQ(payload[-1 - (ptrdiff_t)headroom], before);
	p = decoded(start, h);
	EXPECT_EQ(p.qos, h->qos);
	EXPECT_EQ(p.dup, h->dup);
	EXPECT_EQ(p.retain, h->retain);
	EXPECT_EQ(p.packet_id, h->packet_id);
	EXPECT(bytes_equal(p.topic, h->topic));
	EXPECT(p.payload.size == 0 || p.payload.ptr == payload);
	EXPECT_EQ(p.payload.size, h->payload_bytes);
	EXPECT_EQ(mqtt_props_has(&p.props, MQTT_PROP_TOPIC_ALIAS), h->topic_alias != 0);
	EXPECT_EQ(p.props.topic_alias, h->topic_alias);
	EXPECT_EQ(mqtt_props_has(&p.props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL), h->expiry_s != 0);
	EXPECT_EQ(p.props.message_expiry_interval_s, h->expiry_s);
	EXPECT_EQ(p.props.raw.size, h->props.size + (h->topic_alias ? 3 : 0) + (h->expiry_s ? 5 : 0));
}

TEST(headers_of_every_shape_decode_to_what_was_asked_for)
{
	static uint8_t topic[65535], raw[70000];
	static const uint32_t sizes[] = {0,     1,     100,   118,   119,   120,   121,  122,
					 123,   124,   125,   126,   127,   128,   129,  2000,
					 16370, 16375, 16380, 16383, 16384, 16390, 65000};
	struct prng prng = {.state = 7};

	memset(topic, 't', sizeof(topic));
	for (int round = 0; round < 20000; round++) {
		struct writer w = writer_of(raw, sizeof(raw));
		uint32_t value_bytes = sizes[prng_below(&prng, ARRAY_COUNT(sizes))];
		struct mqtt_publish_header h = {
			.version = prng_below(&prng, 2) ? MQTT_5 : MQTT_3_1_1,
			.qos = (uint8_t)prng_below(&prng, 3),
			.retain = prng_below(&prng, 2),
			.payload_bytes = prng_below(&prng, 2) ? sizes[prng_below(&prng, ARRAY_COUNT(sizes))]
							      : prng_below(&prng, PAYLOAD_BYTES),
			.topic = bytes_of(topic, 1 + sizes[prng_below(&prng, ARRAY_COUNT(sizes))]),
		};

		if (h.qos) {
			h.packet_id = (uint16_t)(1 + prng_below(&prng, 65535));
			h.dup = prng_below(&prng, 2);
		}
		if (h.version == MQTT_5 && prng_below(&prng, 2)) {
			mqtt_write_user_property(&w, bytes_of_text("k"), bytes_of(topic, value_bytes));
			h.props = bytes_of(raw, (size_t)(w.at - raw));
		}
		if (h.version == MQTT_5 && prng_below(&prng, 2)) {
			h.topic_alias = (uint16_t)(1 + prng_below(&prng, 65535));
			if (prng_below(&prng, 2))
				h.topic.size = 0;
		}
		if (h.version == MQTT_5 && prng_below(&prng, 2))
			h.expiry_s = 1 + prng_below(&prng, UINT32_MAX);
		check(&h);
	}
}

TEST(without_properties_and_alias_it_is_byte_for_byte_the_forward_encoding)
{
	uint8_t forward[64];
	struct writer w = writer_of(forward, sizeof(forward));
	struct mqtt_publish p = {
		.qos = 1, .packet_id = 10, .topic = bytes_of_text("a/b"), .payload = bytes_of_text("hi")};
	struct mqtt_publish_header h = {
		.version = MQTT_5, .qos = 1, .packet_id = 10, .topic = p.topic, .payload_bytes = 2};
	uint8_t *start;

	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &p), 12);
	memcpy(payload, "hi", 2);
	start = mqtt_publish_header_backwards(payload, &h);
	EXPECT_EQ(payload - start, 10);
	EXPECT_MEM(start, forward, 12);
	mqtt_publish_set_dup(start);
	h.dup = true;
	EXPECT(decoded(start, &h).dup);
}

TEST(an_expiry_is_byte_for_byte_the_forward_encoding)
{
	static const uint32_t expiries[] = {1, 255, 256, 65535, 65536, 0x01020304, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_COUNT(expiries); i++) {
		uint8_t forward[64];
		struct writer w = writer_of(forward, sizeof(forward));
		struct mqtt_publish p = {.topic = bytes_of_text("a/b"), .payload = bytes_of_text("hi")};
		struct mqtt_publish_header h = {
			.version = MQTT_5, .topic = p.topic, .payload_bytes = 2, .expiry_s = expiries[i]};
		uint8_t *start;
		int size;

		mqtt_props_set(&p.props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
		p.props.message_expiry_interval_s = expiries[i];
		size = mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &p);
		memcpy(payload, "hi", 2);
		start = mqtt_publish_header_backwards(payload, &h);
		EXPECT_EQ(payload - start + 2, size);
		EXPECT_MEM(start, forward, (size_t)size);
	}
}

TEST(headroom_is_exact_in_the_worst_case)
{
	struct mqtt_publish_header h = {
		.version = MQTT_5,
		.qos = 2,
		.packet_id = 1,
		.topic_alias = 1,
		.expiry_s = 1,
		.topic = bytes_of_text("plant/a"),
		.payload_bytes = 2097152, /* four bytes of Remaining Length */
	};
	uint8_t *start = mqtt_publish_header_backwards(payload, &h);

	EXPECT_EQ(payload - start, mqtt_publish_headroom_bytes(MQTT_5, 7, 2, 0));
	EXPECT_EQ(mqtt_publish_headroom_bytes(MQTT_3_1_1, 7, 0, 0), 1 + 4 + 2 + 7);
}
