/* The queue of messages that wait for the subscriptions: in order, bounded, whole. */
#include <stdlib.h>

#include "core/prng.h"
#include "io/inbound_buffer.h"
#include "tests/test.h"

#define TOPIC_MAX   300
#define PAYLOAD_MAX 5000

static uint8_t bytes[PAYLOAD_MAX];

/* Message n: its sizes and its bytes follow from its number. */
static struct mqtt_publish message(uint32_t n, uint32_t payload_bytes)
{
	static uint8_t raw[16];
	struct writer w = writer_of(raw, sizeof(raw));
	struct mqtt_publish p = {.qos = (uint8_t)(n % 3),
				 .retain = n % 2,
				 .topic = bytes_of(bytes, 1 + n % TOPIC_MAX),
				 .payload = bytes_of(bytes, payload_bytes)};

	memset(bytes, (int)(n & 0xff), sizeof(bytes));
	for (size_t i = 0; i < p.topic.size; i++)
		bytes[i] = (uint8_t)('a' + n % 26);
	if (n % 4 == 3) {
		mqtt_write_subscription_identifier(&w, n + 1);
		p.props.raw = bytes_of(raw, (size_t)(w.at - raw));
	}
	return p;
}

static void expect_message(const struct mqtt_publish *got, uint32_t n, uint32_t payload_bytes)
{
	struct mqtt_publish p = message(n, payload_bytes);
	struct reader it = reader_of(got->props.raw);
	uint32_t id = 0;

	EXPECT_EQ(got->qos, p.qos);
	EXPECT_EQ(got->retain, p.retain);
	EXPECT(bytes_equal(got->topic, p.topic));
	EXPECT(bytes_equal(got->payload, p.payload));
	EXPECT_EQ(mqtt_next_subscription_identifier(&it, &id), n % 4 == 3);
	EXPECT_EQ(id, n % 4 == 3 ? n + 1 : 0);
}

TEST(messages_come_out_as_they_went_in)
{
	struct inbound_buffer b;
	struct mqtt_publish p;

	EXPECT_EQ(inbound_buffer_open(&b, 10, 8192), 0);
	EXPECT(!inbound_buffer_take(&b, &p));
	for (uint32_t n = 0; n < 10; n++) {
		p = message(n, n);
		EXPECT(inbound_buffer_put(&b, &p));
	}
	EXPECT_EQ(b.count, 10);
	for (uint32_t n = 0; n < 10; n++) {
		EXPECT(inbound_buffer_take(&b, &p));
		expect_message(&p, n, n);
	}
	EXPECT(!inbound_buffer_take(&b, &p));
	inbound_buffer_close(&b);
}

TEST(properties_are_there_again_as_the_server_sent_them)
{
	uint8_t raw[64];
	struct writer w = writer_of(raw, sizeof(raw));
	struct mqtt_props props = {.present = 1ull << MQTT_PROP_CONTENT_TYPE |
					      1ull << MQTT_PROP_MESSAGE_EXPIRY_INTERVAL |
					      1ull << MQTT_PROP_TOPIC_ALIAS,
				   .content_type = bytes_of_text("text/plain"),
				   .message_expiry_interval_s = 77,
				   .topic_alias = 3};
	struct mqtt_publish p = {.topic = bytes_of_text("t")}, out;
	struct inbound_buffer b;

	EXPECT_EQ(mqtt_props_write(&w, &props), 0);
	p.props.raw = bytes_of(raw, (size_t)(w.at - raw));
	EXPECT_EQ(inbound_buffer_open(&b, 1, 256), 0);
	EXPECT(inbound_buffer_put(&b, &p));
	memset(raw, 0, sizeof(raw)); /* the connection's buffer goes on */
	EXPECT(inbound_buffer_take(&b, &out));
	EXPECT(bytes_equal(out.props.content_type, bytes_of_text("text/plain")));
	EXPECT_EQ(out.props.message_expiry_interval_s, 77);
	EXPECT_EQ(out.payload.size, 0);
	inbound_buffer_close(&b);
}

TEST(a_full_buffer_says_so_by_count_and_by_bytes)
{
	struct mqtt_publish p = message(0, 10);
	struct inbound_buffer b;
	uint32_t count = 0;

	EXPECT_EQ(inbound_buffer_open(&b, 3, 1000), 0);
	for (int i = 0; i < 3; i++)
		EXPECT(inbound_buffer_put(&b, &p));
	EXPECT(!inbound_buffer_put(&b, &p));
	EXPECT_EQ(b.count, 3);
	EXPECT(inbound_buffer_take(&b, &p));
	p = message(1, 10);
	EXPECT(inbound_buffer_put(&b, &p));
	inbound_buffer_close(&b);

	EXPECT_EQ(inbound_buffer_open(&b, 1000, 1000), 0);
	p = message(2, 900);
	while (inbound_buffer_put(&b, &p))
		count++;
	EXPECT(count >= 2); /* two of the largest always */
	EXPECT(count < 1000);
	EXPECT_EQ(b.count, count);
	for (uint32_t i = 0; i < count; i++) {
		EXPECT(inbound_buffer_take(&b, &p));
		expect_message(&p, 2, 900);
	}
	inbound_buffer_close(&b);
}

TEST(a_buffer_for_no_messages_takes_none)
{
	struct mqtt_publish p = message(0, 10);
	struct inbound_buffer b;

	EXPECT_EQ(inbound_buffer_bytes(0, 1000), 0);
	EXPECT_EQ(inbound_buffer_open(&b, 0, 1000), 0);
	EXPECT(!inbound_buffer_put(&b, &p));
	EXPECT(!inbound_buffer_take(&b, &p));
	inbound_buffer_close(&b);
}

TEST(the_largest_message_finds_room_in_an_empty_buffer_wherever_that_stands)
{
	for (uint32_t before = 0; before < 60; before++) {
		struct inbound_buffer b;
		struct mqtt_publish p;

		EXPECT_EQ(inbound_buffer_open(&b, 5, 1000), 0);
		for (uint32_t i = 0; i < before; i++) {
			p = message(1, 40);
			EXPECT(inbound_buffer_put(&b, &p));
			EXPECT(inbound_buffer_take(&b, &p));
		}
		p = message(0, 999); /* and one of topic */
		EXPECT(inbound_buffer_put(&b, &p));
		EXPECT(inbound_buffer_take(&b, &p));
		expect_message(&p, 0, 999);
		inbound_buffer_close(&b);
	}
}

TEST(a_message_larger_than_was_announced_is_not_taken)
{
	struct mqtt_publish p = message(0, PAYLOAD_MAX);
	struct inbound_buffer b;

	EXPECT_EQ(inbound_buffer_open(&b, 5, 1000), 0);
	EXPECT(!inbound_buffer_put(&b, &p));
	EXPECT_EQ(b.count, 0);
	inbound_buffer_close(&b);
}

TEST(any_order_of_putting_and_taking_keeps_them_all)
{
	struct prng prng = {.state = 5};
	uint32_t sizes[64], put = 0, taken = 0, full = 0;
	struct inbound_buffer b;
	struct mqtt_publish p;

	EXPECT_EQ(inbound_buffer_open(&b, 20, 2000), 0);
	for (int step = 0; step < 200000; step++) {
		uint32_t size = (uint32_t)prng_below(&prng, prng_below(&prng, 4) ? 100 : 1690);

		if (prng_below(&prng, 2)) {
			p = message(put, size);
			if (inbound_buffer_put(&b, &p))
				sizes[put++ % ARRAY_COUNT(sizes)] = size;
			else
				full++;
		} else if (inbound_buffer_take(&b, &p)) {
			expect_message(&p, taken, sizes[taken % ARRAY_COUNT(sizes)]);
			taken++;
		} else {
			EXPECT_EQ(put, taken);
		}
		EXPECT_EQ(b.count, put - taken);
		EXPECT(b.head - b.tail <= b.block_bytes);
	}
	EXPECT(full > 100);
	EXPECT(put > 50000);
	inbound_buffer_close(&b);
}
