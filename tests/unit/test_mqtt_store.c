/* The block that a session leaves to the next process: what comes back, and what is never trusted. The source is included:
 * images that were made up need its seals. */
#include "proto/mqtt_store.c"

#include "core/prng.h"
#include "tests/test.h"

#define IDENTITY    42u
#define BLOCK_WORDS 4096

static uint64_t block[BLOCK_WORDS], other_block[BLOCK_WORDS];

static const struct mqtt_store_shape small = {
	.inflight_room = 5, .slot_bytes = 96, .filter_count = 3, .filter_text_bytes = 9};

static struct mqtt_store store_new(uint64_t *memory, const struct mqtt_store_shape *shape)
{
	static const char *const filters[] = {"a", "bb/+", "cc/d"};
	struct mqtt_store s;

	EXPECT(mqtt_store_bytes(shape) <= sizeof(block));
	memset(memory, 0, sizeof(block));
	mqtt_store_init(&s, memory, shape, MQTT_5, IDENTITY);
	for (uint32_t i = 0; i < shape->filter_count; i++)
		mqtt_store_add_filter(&s, i, bytes_of_text(filters[i]));
	mqtt_store_seal(&s);
	return s;
}

static int open_again(struct mqtt_store *s, void *memory, const char **why)
{
	return mqtt_store_open(s, memory, mqtt_store_bytes(&small), MQTT_5, IDENTITY, why);
}

static void expect_refused(void *memory, const char *reason)
{
	const char *why = "";
	struct mqtt_store s;

	EXPECT_EQ(open_again(&s, memory, &why), -EINVAL);
	ck_assert_msg(strstr(why, reason), "%s", why);
}

static const struct mqtt_stored message = {.topic = {(const uint8_t *)"a/b", 3},
					   .props = {(const uint8_t *)"\x26\x00\x01k\x00\x01v", 7},
					   .payload = {(const uint8_t *)"payload", 7},
					   .time_ns = 123456789012345,
					   .expiry_s = 60,
					   .retain = true};

static void keep(struct mqtt_store *s, uint16_t id, enum mqtt_inflight_state state)
{
	mqtt_store_keep(s, id, &message);
	mqtt_store_set(s, id, state);
}

/* Something of everything. */
static struct mqtt_store store_used(uint64_t *memory)
{
	struct mqtt_store s = store_new(memory, &small);

	keep(&s, 3, MQTT_INFLIGHT_PUBLISHED_2);
	keep(&s, 1, MQTT_INFLIGHT_PUBLISHED_1);
	keep(&s, 5, MQTT_INFLIGHT_PUBLISHED_2);
	mqtt_store_set(&s, 3, MQTT_INFLIGHT_RELEASED);
	mqtt_store_inbound_add(&s, 1);
	mqtt_store_inbound_add(&s, 65535);
	mqtt_store_set_subscribed(&s, 1, true);
	mqtt_store_set_filter_state(&s, 2, MQTT_STORE_FILTER_ASKED);
	mqtt_store_set_assigned_id(&s, bytes_of_text("assigned"));
	mqtt_store_set_server(&s, 99);
	return s;
}

static void expect_message(const struct mqtt_store *s, uint16_t id)
{
	struct mqtt_stored m;

	EXPECT(mqtt_store_message(s, id, &m));
	EXPECT(bytes_equal(m.topic, message.topic));
	EXPECT(bytes_equal(m.props, message.props));
	EXPECT(bytes_equal(m.payload, message.payload));
	EXPECT_EQ(m.time_ns, message.time_ns);
	EXPECT_EQ(m.expiry_s, message.expiry_s);
	EXPECT_EQ(m.retain, message.retain);
}

static void expect_used(const struct mqtt_store *s)
{
	uint64_t at_1, at_3, at_5, none;

	EXPECT_EQ(mqtt_store_get(s, 3, &at_3), MQTT_INFLIGHT_RELEASED);
	EXPECT_EQ(mqtt_store_get(s, 1, &at_1), MQTT_INFLIGHT_PUBLISHED_1);
	EXPECT_EQ(mqtt_store_get(s, 5, &at_5), MQTT_INFLIGHT_PUBLISHED_2);
	EXPECT_EQ(mqtt_store_get(s, 2, &none), MQTT_INFLIGHT_FREE);
	EXPECT(at_3 < at_1); /* in the order of sending, whatever became of them since */
	EXPECT(at_1 < at_5);
	EXPECT_EQ(s->sequence, at_5);
	expect_message(s, 1);
	expect_message(s, 5);
	EXPECT_EQ(s->inbound_count, 2);
	EXPECT(mqtt_store_inbound_has(s, 1));
	EXPECT(mqtt_store_inbound_has(s, 65535));
	EXPECT(!mqtt_store_inbound_has(s, 2));
	EXPECT_TEXT(mqtt_store_assigned_id(s), "assigned");
	EXPECT_EQ(mqtt_store_server(s), 99);
}

/* --- what comes back -------------------------------------------------------------------------------------------------- */

TEST(a_new_store_is_empty_and_opens)
{
	const char *why = "";
	struct mqtt_store s;
	uint64_t sequence;

	store_new(block, &small);
	EXPECT_EQ(open_again(&s, block, &why), 0);
	for (uint16_t id = 0; id <= small.inflight_room; id++)
		EXPECT_EQ(mqtt_store_get(&s, id, &sequence), MQTT_INFLIGHT_FREE);
	EXPECT_EQ(s.inbound_count, 0);
	EXPECT_EQ(mqtt_store_server(&s), 0);
	EXPECT_TEXT(mqtt_store_assigned_id(&s), "");
	EXPECT(!mqtt_store_subscribed(&s, 0));
}

TEST(what_was_written_is_there_for_the_next_process)
{
	const char *why = "";
	struct mqtt_store s;

	store_used(block);
	memcpy(other_block, block, sizeof(block)); /* at another address */
	EXPECT_EQ(open_again(&s, other_block, &why), 0);
	expect_used(&s);
	EXPECT_EQ(mqtt_store_filter_state(&s, 0), MQTT_STORE_FILTER_NONE);
	EXPECT_EQ(mqtt_store_filter_state(&s, 1), MQTT_STORE_FILTER_SUBSCRIBED);
	EXPECT_EQ(mqtt_store_filter_state(&s, 2), MQTT_STORE_FILTER_ASKED);
	EXPECT(bytes_equal(mqtt_store_filter(&s, 0), bytes_of_text("a")));
	EXPECT(bytes_equal(mqtt_store_filter(&s, 2), bytes_of_text("cc/d")));
}

TEST(the_qos_that_was_granted_is_there_for_the_next_process)
{
	struct mqtt_store s = store_new(block, &small);
	const char *why = "";

	for (uint8_t i = 0; i < 3; i++)
		mqtt_store_set_granted(&s, i, i);
	EXPECT_EQ(open_again(&s, block, &why), 0);
	for (uint8_t i = 0; i < 3; i++) {
		EXPECT_EQ(mqtt_store_filter_state(&s, i), MQTT_STORE_FILTER_SUBSCRIBED);
		EXPECT_EQ(mqtt_store_granted(&s, i), i);
	}
	mqtt_store_set_filter_state(&s, 2, MQTT_STORE_FILTER_ASKED);
	EXPECT_EQ(mqtt_store_filter_state(&s, 2), MQTT_STORE_FILTER_ASKED);
	EXPECT_EQ(mqtt_store_granted(&s, 2), 0); /* until it is answered */
}

TEST(a_question_that_was_not_answered_is_there_for_the_next_process)
{
	struct mqtt_store s = store_new(block, &small), larger;
	const char *why = "";

	EXPECT(!mqtt_store_unanswered(&s));
	for (int is = 1; is >= 0; is--) {
		mqtt_store_set_unanswered(&s, is);
		EXPECT_EQ(open_again(&s, block, &why), 0);
		EXPECT_EQ(mqtt_store_unanswered(&s), is);
		larger = store_new(other_block, &small);
		EXPECT_EQ(mqtt_store_take_over(&larger, &s), 0);
		EXPECT_EQ(mqtt_store_unanswered(&larger), is);
	}
}

TEST(the_next_message_comes_after_all_that_came_back)
{
	const char *why = "";
	struct mqtt_store s;
	uint64_t at_5, at_2;

	store_used(block);
	EXPECT_EQ(open_again(&s, block, &why), 0);
	keep(&s, 2, MQTT_INFLIGHT_PUBLISHED_1);
	(void)mqtt_store_get(&s, 5, &at_5);
	(void)mqtt_store_get(&s, 2, &at_2);
	EXPECT(at_2 > at_5);
}

TEST(an_identifier_that_was_free_gets_a_new_place_in_the_order)
{
	struct mqtt_store s = store_used(block);
	uint64_t first, again;

	(void)mqtt_store_get(&s, 1, &first);
	mqtt_store_set(&s, 1, MQTT_INFLIGHT_FREE);
	mqtt_store_set(&s, 1, MQTT_INFLIGHT_PUBLISHED_1);
	(void)mqtt_store_get(&s, 1, &again);
	EXPECT(again > first);
	mqtt_store_set(&s, 1, MQTT_INFLIGHT_RELEASED);
	(void)mqtt_store_get(&s, 1, &first);
	EXPECT_EQ(first, again);
}

TEST(a_message_that_was_not_yet_sent_is_no_message)
{
	struct mqtt_store s = store_used(block);
	const char *why = "";

	mqtt_store_keep(&s, 2, &message); /* killed before its identifier was set */
	memset(slot_of(&s, 4), 0xA5, 40); /* killed within writing it */
	EXPECT_EQ(open_again(&s, block, &why), 0);
	expect_used(&s);
}

TEST(every_identifier_received_has_its_bit)
{
	struct mqtt_store s = store_new(block, &small);
	const char *why = "";

	for (uint32_t id = 1; id <= 65535; id++) {
		EXPECT(!mqtt_store_inbound_has(&s, (uint16_t)id));
		mqtt_store_inbound_add(&s, (uint16_t)id);
	}
	EXPECT_EQ(open_again(&s, block, &why), 0);
	EXPECT_EQ(s.inbound_count, 65535);
	for (uint32_t id = 1; id <= 65535; id += 2)
		mqtt_store_inbound_remove(&s, (uint16_t)id);
	for (uint32_t id = 1; id <= 65535; id++)
		EXPECT_EQ(mqtt_store_inbound_has(&s, (uint16_t)id), id % 2 == 0);
	EXPECT_EQ(s.inbound_count, 32767);
	mqtt_store_inbound_clear(&s);
	EXPECT_EQ(open_again(&s, block, &why), 0);
	EXPECT_EQ(s.inbound_count, 0);
	EXPECT(!mqtt_store_inbound_has(&s, 2));
}

/* --- what is not trusted ---------------------------------------------------------------------------------------------- */

TEST(another_clients_store_is_not_ours)
{
	const uint64_t bytes = mqtt_store_bytes(&small);
	const char *why = "";
	struct mqtt_store s;

	store_used(block);
	EXPECT_EQ(mqtt_store_open(&s, block, bytes, MQTT_5, IDENTITY + 1, &why), -EINVAL);
	EXPECT_EQ(mqtt_store_open(&s, block, bytes, MQTT_3_1_1, IDENTITY, &why), -EINVAL);
	EXPECT(strstr(why, "another client or another version of MQTT"));
	s.header = (struct mqtt_store_header *)(void *)block;
	s.header->layout_version++;
	expect_refused(block, "another version of ringmain");
	memset(block, 0, sizeof(block));
	expect_refused(block, "no session file");
}

TEST(a_store_of_any_other_size_is_refused)
{
	const uint64_t bytes = mqtt_store_bytes(&small);
	const char *why = "";
	struct mqtt_store s;

	store_used(block);
	for (uint64_t size = 0; size < bytes + 64; size++)
		EXPECT_EQ(mqtt_store_open(&s, block, size, MQTT_5, IDENTITY, &why),
			  size == bytes ? 0 : -EINVAL);
}

/* Does a bit there mean nothing? A slot whose identifier has no message in it, and the server's word: another server, which
 * is asked to begin anew. */
static bool is_unchecked(const struct mqtt_store *s, uint64_t at)
{
	uint64_t slots = (uint64_t)(s->slots - (uint8_t *)block);
	uint64_t id = at >= slots ? (at - slots) / small.slot_bytes : 0;
	uint64_t used = sizeof(struct slot_head) + message.topic.size + message.props.size +
			message.payload.size;

	/* What follows the seal: the server, an open question, and the identifier that the server chose, which costs the server
	 * where it is not whole. */
	if (at >= offsetof(struct mqtt_store_header, assigned_crc) && at < sizeof(struct mqtt_store_header))
		return true;
	return at >= slots && ((id != 1 && id != 5) || (at - slots) % small.slot_bytes >= used);
}

TEST(every_bit_that_flips_is_noticed)
{
	struct mqtt_store was = store_used(block), s;
	uint8_t *image = (uint8_t *)block;
	const char *why = "";

	for (uint64_t bit = 0; bit < 8 * mqtt_store_bytes(&small); bit++) {
		image[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int rc = open_again(&s, block, &why);

		ck_assert_msg(rc == (is_unchecked(&was, bit / 8) ? 0 : -EINVAL), "bit %u of byte %u",
			      (unsigned)(bit % 8), (unsigned)(bit / 8));
		image[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	EXPECT_EQ(open_again(&s, block, &why), 0);
}

TEST(a_word_does_not_stand_for_another_place)
{
	struct mqtt_store s = store_used(block);

	store(&s.words[4], load(&s.words[3]));
	expect_refused(block, "a packet identifier's state");
	s = store_used(block);
	store(&s.filter_words[0], load(&s.filter_words[1]));
	expect_refused(block, "a subscription's state");
	s = store_used(block);
	store(&s.inbound[7], load(&s.inbound[0]));
	expect_refused(block, "the identifiers received");
	s = store_used(block);
	store(&s.words[0], sealed(1ull << SEQUENCE_SHIFT | 1ull << STATE_SHIFT, 0));
	expect_refused(block, "a packet identifier's state");
}

TEST(made_up_words_with_the_right_seals_are_refused)
{
	struct mqtt_store s = store_used(block);

	store(&s.words[2], sealed(7ull << SEQUENCE_SHIFT, 2)); /* free, and in the order */
	expect_refused(block, "a packet identifier's state");
	s = store_used(block);
	store(&s.words[2], sealed((SEQUENCE_MAX + 1) << SEQUENCE_SHIFT | 3ull << STATE_SHIFT, 2));
	expect_refused(block, "a packet identifier's state");
	s = store_used(block);
	store(&s.words[2], sealed(7ull << SEQUENCE_SHIFT | 1ull << STATE_SHIFT, 2)); /* without a message */
	expect_refused(block, "a message");
	s = store_used(block);
	store(&s.inbound[0], sealed(1ull << 16, INBOUND_PLACE)); /* identifier 0 */
	expect_refused(block, "the identifiers received");
	s = store_used(block);
	store(&s.inbound[INBOUND_WORDS - 1], sealed(1ull << 32, INBOUND_PLACE + INBOUND_WORDS - 1));
	expect_refused(block, "the identifiers received");
}

TEST(made_up_shapes_with_the_right_seal_are_refused)
{
	static const struct mqtt_store_shape shapes[] = {
		{.inflight_room = 0, .slot_bytes = 96},
		{.inflight_room = MQTT_STORE_INFLIGHT_MAX + 1},
		{.inflight_room = UINT32_MAX, .slot_bytes = UINT32_MAX - 7},
		{.inflight_room = 1, .slot_bytes = 97},
		{.inflight_room = 1, .slot_bytes = SLOT_BYTES_MAX + 8},
		{.inflight_room = 1, .filter_count = UINT32_MAX},
		{.inflight_room = 1, .filter_count = (1u << 24) + 1},
	};
	const char *why = "";

	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		struct mqtt_store s = store_used(block), out;

		s.header->shape = shapes[i];
		s.header->sealed_crc = crc32c(0, s.header, offsetof(struct mqtt_store_header, sealed_crc));
		/* of the size that goes with it, as far as the caller can tell: looked at before anything else */
		EXPECT_EQ(mqtt_store_open(&out, block, mqtt_store_bytes(&shapes[i]), MQTT_5, IDENTITY, &why),
			  -EINVAL);
		EXPECT(strstr(why, "its size is not what it says"));
	}
}

TEST(filters_that_do_not_follow_one_another_are_refused)
{
	struct mqtt_store s = store_used(block);

	s.filter_ends[0] = 7;
	mqtt_store_seal(&s);
	expect_refused(block, "a subscription");
	s = store_used(block);
	s.filter_ends[2] = small.filter_text_bytes + 1;
	mqtt_store_seal(&s);
	expect_refused(block, "a subscription");
}

TEST(a_message_whose_sizes_leave_its_slot_is_refused)
{
	static const uint32_t sizes[] = {UINT32_MAX, 65, 1u << 31};

	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct mqtt_store s = store_used(block);
		uint8_t *slot = slot_of(&s, 1);
		struct slot_head head;

		memcpy(&head, slot, sizeof(head));
		head.props_bytes = sizes[i];
		memcpy(slot, &head, sizeof(head));
		expect_refused(block, "a message");
		head.props_bytes = 0;
		head.payload_bytes = sizes[i];
		memcpy(slot, &head, sizeof(head));
		expect_refused(block, "a message");
	}
	struct mqtt_store s = store_used(block);
	uint8_t *slot = slot_of(&s, 1);
	struct slot_head head = {.payload_bytes = 4}; /* a message without a topic */

	memcpy(slot, &head, sizeof(head));
	head.crc = slot_crc(slot, 4);
	memcpy(slot, &head, sizeof(head));
	expect_refused(block, "a message");
}

TEST(an_assigned_identifier_that_is_not_whole_costs_the_servers_session)
{
	struct mqtt_store s = store_used(block);
	const char *why = "";

	mqtt_store_set_server(&s, 7);
	memset(s.header->assigned_id, 'x', sizeof(s.header->assigned_id));
	s.header->assigned_crc = crc32c(0, s.header->assigned_id, sizeof(s.header->assigned_id));
	EXPECT_EQ(open_again(&s, block, &why), 0);
	EXPECT_EQ(mqtt_store_server(&s), 0);
	EXPECT_TEXT(mqtt_store_assigned_id(&s), "");
	EXPECT(mqtt_store_highest_id(&s) > 0); /* what is in flight stays */
}

TEST(random_bytes_behind_a_right_header_never_open)
{
	struct prng prng = {.state = 1};
	const char *why = "";
	struct mqtt_store s;

	for (int round = 0; round < 300; round++) {
		uint8_t *image = (uint8_t *)block;

		store_used(block);
		for (uint64_t i = sizeof(struct mqtt_store_header); i < mqtt_store_bytes(&small); i++)
			image[i] = (uint8_t)prng_below(&prng, 256);
		EXPECT_EQ(open_again(&s, block, &why), -EINVAL);
	}
}

/* --- taking over ------------------------------------------------------------------------------------------------------- */

TEST(a_larger_store_takes_over_everything)
{
	const struct mqtt_store_shape large = {
		.inflight_room = 9, .slot_bytes = 160, .filter_count = 1, .filter_text_bytes = 1};
	struct mqtt_store old = store_used(block), s = store_new(other_block, &large);
	const char *why = "";

	EXPECT_EQ(mqtt_store_take_over(&s, &old), 0);
	expect_used(&s);
	EXPECT(!mqtt_store_subscribed(&s, 0)); /* filters are the caller's: they may have moved */
	EXPECT_EQ(mqtt_store_open(&s, other_block, mqtt_store_bytes(&large), MQTT_5, IDENTITY, &why), 0);
	expect_used(&s);
}

TEST(a_store_that_is_too_small_takes_nothing_for_granted)
{
	struct mqtt_store_shape shape = {.inflight_room = 4, .slot_bytes = 96};
	struct mqtt_store old = store_used(block), s = store_new(other_block, &shape);

	EXPECT_EQ(mqtt_store_take_over(&s, &old), -ENOSPC); /* identifier 5 is in use */
	mqtt_store_set(&old, 5, MQTT_INFLIGHT_FREE);
	s = store_new(other_block, &shape);
	EXPECT_EQ(mqtt_store_take_over(&s, &old), 0);
	shape.slot_bytes = mqtt_store_slot_bytes(17);
	s = store_new(other_block, &shape);
	EXPECT_EQ(mqtt_store_take_over(&s, &old), 0); /* exactly the message */
	shape.slot_bytes -= 8;
	s = store_new(other_block, &shape);
	EXPECT_EQ(mqtt_store_take_over(&s, &old), -ENOSPC);
	mqtt_store_set(&old, 1, MQTT_INFLIGHT_FREE);
	shape.slot_bytes = 0;
	s = store_new(other_block, &shape);
	EXPECT_EQ(mqtt_store_take_over(&s, &old), 0); /* a released one has no message */
}
