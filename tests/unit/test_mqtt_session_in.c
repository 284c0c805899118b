/* What a server sends to a session: messages, their acknowledgements, aliases, and its mistakes. */
#include "tests/unit/session_bench.h"

static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};

static bool server_publishes_by_alias(struct bench *b, const char *topic, uint16_t alias)
{
	return server_says(
		b, &(struct mqtt_packet){.type = MQTT_PUBLISH,
					 .publish = {.topic = bytes_of_text(topic),
						     .props = {.present = 1ull << MQTT_PROP_TOPIC_ALIAS,
							       .topic_alias = alias}}});
}

static void expect_topic(const struct bench *b, const char *topic)
{
	EXPECT_EQ(b->event.kind, MQTT_EVENT_MESSAGE);
	EXPECT(bytes_equal(b->event.publish.topic, bytes_of_text(topic)));
}

static void expect_ack(struct bench *b, enum mqtt_type type, uint16_t id)
{
	EXPECT_EQ(take_sent(b), type);
	EXPECT_EQ(b->sent.ack.packet_id, id);
	EXPECT_EQ(b->sent.ack.code, MQTT_SUCCESS);
}

static void expect_closed(struct bench *b, uint8_t code)
{
	EXPECT_EQ(b->event.kind, MQTT_EVENT_CLOSE);
	EXPECT_EQ(b->s.state, MQTT_SESSION_CLOSING);
	if (b->options.version == MQTT_5) {
		EXPECT_EQ(take_sent(b), MQTT_DISCONNECT);
		EXPECT_EQ(b->sent.goodbye.code, code);
	}
	EXPECT_EQ(b->s.outbox_bytes, 0); /* 3.1.1 has no words for it */
}

static void bench_of_aliases(struct bench *b, uint16_t aliases_in)
{
	bench_init_with(b, &(struct bench_options){.version = MQTT_5, .aliases_in = aliases_in});
	go_online(b, false, 10);
}

/* --- aliases -------------------------------------------------------------------------------------------------------- */

TEST(every_alias_up_to_the_maximum_of_our_connect_is_taken)
{
	static const char *const topics[] = {"a", "b/c", "d/e/f"};
	struct bench b;

	bench_of_aliases(&b, ALIASES_IN);
	for (uint16_t i = 0; i < ALIASES_IN; i++) {
		EXPECT(server_publishes_by_alias(&b, topics[i], i + 1));
		expect_topic(&b, topics[i]);
	}
	for (uint16_t i = ALIASES_IN; i-- > 0;) {
		EXPECT(server_publishes_by_alias(&b, "", i + 1));
		expect_topic(&b, topics[i]);
	}
	EXPECT(server_publishes_by_alias(&b, "new", 2)); /* given anew: that topic from now on */
	EXPECT(server_publishes_by_alias(&b, "", 2));
	expect_topic(&b, "new");
	EXPECT(server_publishes_by_alias(&b, "", 3));
	expect_topic(&b, "d/e/f");
}

TEST(what_we_announce_stands_in_our_connect)
{
	struct bench b;

	bench_init_with(
		&b, &(struct bench_options){.version = MQTT_5, .receive_max = 7, .aliases_in = ALIASES_IN});
	start_connecting(&b);
	EXPECT_EQ(b.sent.connect.props.receive_maximum, 7);
	EXPECT_EQ(b.sent.connect.props.topic_alias_maximum, ALIASES_IN);
	EXPECT_EQ(b.sent.connect.props.maximum_packet_size_bytes, 4096);
	bench_init_with(&b, &(struct bench_options){.version = MQTT_5});
	start_connecting(&b);
	EXPECT(!mqtt_props_has(&b.sent.connect.props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM));
}

TEST(an_alias_above_the_maximum_of_our_connect_closes)
{
	struct bench b;

	bench_of_aliases(&b, ALIASES_IN);
	EXPECT(server_publishes_by_alias(&b, "a", ALIASES_IN + 1));
	expect_closed(&b, MQTT_TOPIC_ALIAS_INVALID);
	bench_of_aliases(&b, 0);
	EXPECT(server_publishes_by_alias(&b, "a", 1));
	expect_closed(&b, MQTT_TOPIC_ALIAS_INVALID);
}

TEST(an_alias_that_was_not_given_on_this_connection_closes)
{
	struct bench b;

	bench_of_aliases(&b, ALIASES_IN);
	EXPECT(server_publishes_by_alias(&b, "a", 1));
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT(server_publishes_by_alias(&b, "", 1));
	expect_closed(&b, MQTT_PROTOCOL_ERROR);
}

/* --- each message by its QoS ---------------------------------------------------------------------------------------- */

TEST(a_message_is_answered_as_its_qos_asks_with_its_identifier)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_init(&b, versions[i], true);
		go_online(&b, false, 10);
		EXPECT(server_publishes(&b, 0, 0, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		EXPECT_EQ(b.s.outbox_bytes, 0);
		EXPECT(server_publishes(&b, 1, 65535, false)); /* nothing was subscribed to: all the same */
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		expect_ack(&b, MQTT_PUBACK, 65535);
		EXPECT(server_publishes(&b, 2, 65535, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		expect_ack(&b, MQTT_PUBREC, 65535);
		EXPECT(!server_acks(&b, MQTT_PUBREL, 65535, 0));
		expect_ack(&b, MQTT_PUBCOMP, 65535);
		EXPECT_EQ(b.s.outbox_bytes, 0);
	}
}

TEST(after_its_puback_an_identifier_is_a_new_message_whatever_dup_says)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_init(&b, versions[i], true);
		go_online(&b, false, 10);
		EXPECT(server_publishes(&b, 1, 7, false));
		expect_ack(&b, MQTT_PUBACK, 7);
		EXPECT(server_publishes(&b, 1, 7, true));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		expect_ack(&b, MQTT_PUBACK, 7);
	}
}

TEST(after_its_pubcomp_an_identifier_is_a_new_message)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_init(&b, versions[i], true);
		go_online(&b, false, 10);
		EXPECT(server_publishes(&b, 2, 7, false));
		expect_ack(&b, MQTT_PUBREC, 7);
		EXPECT(!server_publishes(&b, 2, 7, true));
		expect_ack(&b, MQTT_PUBREC, 7);
		EXPECT(!server_acks(&b, MQTT_PUBREL, 7, 0));
		expect_ack(&b, MQTT_PUBCOMP, 7);
		EXPECT(server_publishes(&b, 2, 7, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
	}
}

TEST(a_repetition_is_known_after_a_loss_and_after_our_end)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_init(&b, versions[i], false);
		mqtt_session_server(&b.s, 7);
		go_online(&b, false, 10);
		EXPECT(server_publishes(&b, 2, 7, false));
		mqtt_session_lost(&b.s);
		go_online(&b, true, 10);
		EXPECT(!server_publishes(&b, 2, 7, true));
		expect_ack(&b, MQTT_PUBREC, 7);
		bench_restart(&b);
		mqtt_session_server(&b.s, 7);
		go_online(&b, true, 10);
		EXPECT(!server_publishes(&b, 2, 7, true));
		expect_ack(&b, MQTT_PUBREC, 7);
		EXPECT(!server_acks(&b, MQTT_PUBREL, 7, 0));
		expect_ack(&b, MQTT_PUBCOMP, 7);
		EXPECT_EQ(b.s.store.inbound_count, 0);
	}
}

static void two_received_and_lost(struct bench *b, enum mqtt_version v)
{
	bench_init(b, v, false);
	mqtt_session_server(&b->s, 7);
	go_online(b, false, 10);
	EXPECT(server_publishes(b, 2, 7, false));
	EXPECT(server_publishes(b, 2, 8, false));
	mqtt_session_lost(&b->s);
}

TEST(a_repetition_is_known_by_its_identifier_though_it_is_not_marked)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		two_received_and_lost(&b, versions[i]);
		go_online(&b, true, 10);
		EXPECT(!server_publishes(&b, 2, 7, false));
		expect_ack(&b, MQTT_PUBREC, 7);
	}
}

/* With a CONNACK that was lost a new session may have begun: its identifiers are other messages. */
TEST(in_a_session_that_is_in_doubt_what_is_not_marked_as_a_repetition_is_new)
{
	for (size_t i = 0; i < 2 * ARRAY_COUNT(versions); i++) {
		struct bench b;

		two_received_and_lost(&b, versions[i / 2]);
		start_connecting(&b);
		if (i % 2) { /* and in the next process */
			bench_restart(&b);
			mqtt_session_server(&b.s, 7);
		} else {
			mqtt_session_lost(&b.s);
		}
		go_online(&b, true, 10);
		EXPECT(!server_publishes(&b, 2, 7, true));
		expect_ack(&b, MQTT_PUBREC, 7);
		EXPECT(server_publishes(&b, 2, 8, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		expect_ack(&b, MQTT_PUBREC, 8);
		EXPECT(!server_publishes(&b, 2, 8, true)); /* and has its identifier from then on */
		expect_ack(&b, MQTT_PUBREC, 8);
		EXPECT_EQ(b.s.store.inbound_count, 2);
	}
}

TEST(the_doubt_ends_with_the_connection_that_had_it)
{
	struct bench b;

	two_received_and_lost(&b, MQTT_5);
	start_connecting(&b);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT(!server_publishes(&b, 2, 8, false));
	expect_ack(&b, MQTT_PUBREC, 8);
}

/* Whoever takes a message may do so later, or never. */
TEST(what_is_not_accepted_is_not_answered_and_is_no_repetition_when_it_comes_again)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_init(&b, versions[i], false);
		mqtt_session_server(&b.s, 7);
		go_online(&b, false, 10);
		EXPECT(versions[i] == MQTT_5 ? server_sends(&b, "\x34\x06\x00\x01x\x00\x07\x00", 8)
					     : server_sends(&b, "\x34\x05\x00\x01x\x00\x07", 7));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		EXPECT_EQ(b.s.outbox_bytes, 0);
		EXPECT_EQ(b.s.store.inbound_count, 0);
		mqtt_session_lost(&b.s);
		mqtt_session_accept(&b.s, 2, 7); /* too late: its connection is gone */
		EXPECT_EQ(b.s.outbox_bytes, 0);
		EXPECT_EQ(b.s.store.inbound_count, 0);
		go_online(&b, true, 10);
		EXPECT(server_publishes(&b, 2, 7, true));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		expect_ack(&b, MQTT_PUBREC, 7);
	}
}

TEST(with_a_new_session_the_identifiers_received_are_forgotten)
{
	static const bool clean[] = {false, true};

	for (size_t i = 0; i < ARRAY_COUNT(clean); i++) {
		struct bench b;

		bench_init(&b, MQTT_5, clean[i]);
		go_online(&b, false, 10);
		EXPECT(server_publishes(&b, 2, 7, false));
		mqtt_session_lost(&b.s);
		go_online(&b, false, 10);
		EXPECT_EQ(b.s.store.inbound_count, 0);
		EXPECT(server_publishes(&b, 2, 7, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
	}
}

TEST(the_exchange_goes_on_for_a_message_that_has_expired)
{
	struct mqtt_packet p = {.type = MQTT_PUBLISH,
				.publish = {.qos = 2,
					    .packet_id = 7,
					    .topic = bytes_of_text("x"),
					    .props = {.present = 1ull << MQTT_PROP_MESSAGE_EXPIRY_INTERVAL,
						      .message_expiry_interval_s = 1}}};
	struct bench b;

	bench_init(&b, MQTT_5, false);
	go_online(&b, false, 10);
	EXPECT(server_says(&b, &p));
	EXPECT_EQ(b.event.publish.props.message_expiry_interval_s, 1);
	expect_ack(&b, MQTT_PUBREC, 7);
	b.now = mono_add(b.now, 1000 * NS_PER_S);
	p.publish.dup = true;
	EXPECT(!server_says(&b, &p));
	expect_ack(&b, MQTT_PUBREC, 7);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 7, 0));
	expect_ack(&b, MQTT_PUBCOMP, 7);
}

TEST(acknowledgements_leave_in_the_order_of_their_messages)
{
	static const uint16_t ids[] = {9, 2, 65535, 1};

	for (size_t v = 0; v < ARRAY_COUNT(versions); v++) {
		struct bench b;

		bench_init(&b, versions[v], true);
		go_online(&b, false, 10);
		for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
			EXPECT(server_publishes(&b, 1, ids[i], false));
		for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
			expect_ack(&b, MQTT_PUBACK, ids[i]);
		for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
			EXPECT(server_publishes(&b, 2, ids[i], false));
		for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
			expect_ack(&b, MQTT_PUBREC, ids[i]);
	}
}

TEST(the_subscription_identifiers_of_a_message_come_with_it_all_of_them)
{
	static const uint32_t ids[] = {7, 268435455, 1};
	uint8_t raw[32];
	struct writer w = writer_of(raw, sizeof(raw));
	struct mqtt_packet p = {.type = MQTT_PUBLISH, .publish = {.topic = bytes_of_text("x")}};
	struct reader it;
	struct bench b;
	uint32_t id;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
		mqtt_write_subscription_identifier(&w, ids[i]);
	p.publish.props.raw = bytes_of(raw, (size_t)(w.at - raw));
	EXPECT(server_says(&b, &p)); /* one copy */
	it = reader_of(b.event.publish.props.raw);
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
		EXPECT(mqtt_next_subscription_identifier(&it, &id));
		EXPECT_EQ(id, ids[i]);
	}
	EXPECT(!mqtt_next_subscription_identifier(&it, &id));
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) { /* one each */
		w = writer_of(raw, sizeof(raw));
		mqtt_write_subscription_identifier(&w, ids[i]);
		p.publish.props.raw = bytes_of(raw, (size_t)(w.at - raw));
		EXPECT(server_says(&b, &p));
		it = reader_of(b.event.publish.props.raw);
		EXPECT(mqtt_next_subscription_identifier(&it, &id));
		EXPECT_EQ(id, ids[i]);
	}
}

/* --- our Receive Maximum -------------------------------------------------------------------------------------------- */

static void bench_of_two(struct bench *b, enum mqtt_version v)
{
	bench_init_with(b, &(struct bench_options){.version = v, .receive_max = 2});
	go_online(b, false, 10);
	EXPECT(server_publishes(b, 2, 1, false));
	EXPECT(server_publishes(b, 2, 2, false));
	expect_ack(b, MQTT_PUBREC, 1);
	expect_ack(b, MQTT_PUBREC, 2);
}

TEST(more_qos_2_messages_than_our_receive_maximum_close)
{
	struct bench b;

	bench_of_two(&b, MQTT_5);
	EXPECT(!server_publishes(&b, 2, 2, true)); /* a repetition is none more */
	expect_ack(&b, MQTT_PUBREC, 2);
	EXPECT(server_publishes(&b, 1, 9, false)); /* done as soon as it is there */
	expect_ack(&b, MQTT_PUBACK, 9);
	EXPECT(server_publishes(&b, 2, 3, false));
	expect_closed(&b, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
	EXPECT(!mqtt_store_inbound_has(&b.store, 3));
}

TEST(messages_that_wait_for_their_answer_count_against_our_receive_maximum)
{
	for (uint8_t qos = 1; qos <= 2; qos++) {
		struct bench b;

		bench_init_with(&b, &(struct bench_options){.version = MQTT_5, .receive_max = 2});
		go_online(&b, false, 10);
		b.holds_back = true;
		EXPECT(server_publishes(&b, qos, 1, false));
		EXPECT(server_publishes(&b, qos, 2, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		EXPECT(server_publishes(&b, 3 - qos, 3, false));
		expect_closed(&b, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
	}
}

TEST(an_answer_makes_room_within_our_receive_maximum)
{
	struct bench b;

	bench_init_with(&b, &(struct bench_options){.version = MQTT_5, .receive_max = 1});
	go_online(&b, false, 10);
	b.holds_back = true;
	for (uint16_t id = 1; id <= 3; id++) {
		EXPECT(server_publishes(&b, 1, id, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		mqtt_session_accept(&b.s, 1, id);
		expect_ack(&b, MQTT_PUBACK, id);
	}
	EXPECT(server_publishes(&b, 1, 4, false));
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10); /* on a new connection nothing waits */
	EXPECT(server_publishes(&b, 1, 4, true));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
}

TEST(a_pubrel_makes_room_within_our_receive_maximum)
{
	struct bench b;

	bench_of_two(&b, MQTT_5);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 1, 0));
	expect_ack(&b, MQTT_PUBCOMP, 1);
	EXPECT(server_publishes(&b, 2, 3, false));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
}

TEST(without_a_receive_maximum_any_number_may_be_under_way)
{
	struct bench b;

	bench_of_two(&b, MQTT_3_1_1);
	for (uint16_t id = 3; id < 100; id++) {
		EXPECT(server_publishes(&b, 2, id, false));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
		expect_ack(&b, MQTT_PUBREC, id);
	}
}

TEST(what_was_received_on_an_earlier_connection_does_not_count)
{
	struct bench b;

	bench_of_two(&b, MQTT_5);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10); /* the server's quota begins anew (4.9) */
	EXPECT(server_publishes(&b, 2, 3, false));
	EXPECT(server_publishes(&b, 2, 4, false));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
	EXPECT(server_publishes(&b, 2, 5, false));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
}

/* --- larger than our buffer ------------------------------------------------------------------------------------------ */

#define LARGEST 64u /* packet that we take */

static void bench_of_largest(struct bench *b, enum mqtt_version v)
{
	bench_init(b, v, true);
	b->s.config.max_packet_bytes = LARGEST;
	go_online(b, false, 10);
}

/* Head, topic and identifier as given, filled up to a Remaining Length of 120: two bytes of head. */
static void write_large(struct writer *w, uint8_t first, uint16_t topic_bytes, uint16_t packet_id)
{
	uint8_t *begin = w->at;

	write_u8(w, first);
	write_u8(w, 120);
	write_u16(w, topic_bytes);
	for (uint16_t i = 0; i < topic_bytes; i++)
		write_u8(w, 't');
	if (first >> 1 & 3)
		write_u16(w, packet_id);
	while (w->at < begin + 122)
		write_u8(w, 0xA5);
}

/* As a stream has it: what is left over comes again, with so many bytes more. Counts the events of each kind. */
static void feed(struct bench *b, struct bytes wire, size_t piece_bytes, int counts[MQTT_EVENT_CLOSE + 1])
{
	size_t begin = 0;

	memset(counts, 0, (MQTT_EVENT_CLOSE + 1) * sizeof(counts[0]));
	for (size_t end = 0; end < wire.size;) {
		end = min_size(end + piece_bytes, wire.size);
		struct bytes input = bytes_of(wire.ptr + begin, end - begin);

		while (mqtt_session_receive(&b->s, &input, b->now, &b->event)) {
			counts[b->event.kind]++;
			if (b->event.kind == MQTT_EVENT_MESSAGE)
				mqtt_session_accept(&b->s, b->event.publish.qos, b->event.publish.packet_id);
		}
		if (b->s.state == MQTT_SESSION_CLOSING)
			return;
		ck_assert_msg(input.size < LARGEST, "%zu bytes have to be kept", input.size);
		begin = end - input.size;
	}
}

TEST(in_3_1_1_a_message_larger_than_our_buffer_is_acknowledged_and_read_past)
{
	static const enum mqtt_type answers[] = {0, MQTT_PUBACK, MQTT_PUBREC};

	for (uint8_t qos = 0; qos <= 2; qos++) {
		uint8_t wire[256];
		struct writer w = writer_of(wire, sizeof(wire));

		write_large(&w, (uint8_t)(0x30 | qos << 1), 3, 7);
		write_bytes(&w, (const uint8_t *)"\x32\x05\x00\x01x\x00\x08", 7); /* PUBLISH */
		EXPECT(!w.failed);
		struct bytes all = bytes_of(wire, (size_t)(w.at - wire));

		for (size_t piece = 1; piece <= all.size; piece++) {
			int counts[MQTT_EVENT_CLOSE + 1];
			struct bench b;

			bench_of_largest(&b, MQTT_3_1_1);
			feed(&b, all, piece, counts);
			EXPECT_EQ(counts[MQTT_EVENT_TOO_LARGE], 1);
			EXPECT_EQ(counts[MQTT_EVENT_MESSAGE], 1);
			EXPECT_EQ(b.event.publish.packet_id, 8);
			EXPECT_EQ(b.s.state, MQTT_SESSION_ONLINE);
			if (qos)
				expect_ack(&b, answers[qos], 7);
			expect_ack(&b, MQTT_PUBACK, 8);
			EXPECT_EQ(b.s.outbox_bytes, 0);
			if (qos == 2) {
				EXPECT(!server_acks(&b, MQTT_PUBREL, 7, 0));
				expect_ack(&b, MQTT_PUBCOMP, 7);
			}
		}
	}
}

TEST(in_3_1_1_a_topic_larger_than_our_buffer_is_read_past_too)
{
	for (uint8_t qos = 0; qos <= 2; qos++) {
		uint8_t wire[256];
		struct writer w = writer_of(wire, sizeof(wire));

		write_large(&w, (uint8_t)(0x30 | qos << 1), LARGEST + 20, 7);
		write_bytes(&w, (const uint8_t *)"\x32\x05\x00\x01x\x00\x08", 7); /* PUBLISH */
		EXPECT(!w.failed);
		struct bytes all = bytes_of(wire, (size_t)(w.at - wire));

		for (size_t piece = 1; piece <= all.size; piece++) {
			int counts[MQTT_EVENT_CLOSE + 1];
			struct bench b;

			bench_of_largest(&b, MQTT_3_1_1);
			feed(&b, all, piece, counts);
			EXPECT_EQ(counts[MQTT_EVENT_TOO_LARGE], 1);
			EXPECT_EQ(counts[MQTT_EVENT_MESSAGE], 1);
			EXPECT_EQ(b.event.publish.packet_id, 8);
			if (qos)
				expect_ack(&b, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, 7);
			expect_ack(&b, MQTT_PUBACK, 8);
			EXPECT_EQ(b.s.outbox_bytes, 0);
		}
	}
}

TEST(the_rest_of_a_message_that_is_read_past_ends_with_its_connection)
{
	uint8_t wire[128];
	struct writer w = writer_of(wire, sizeof(wire));
	struct bench b;

	bench_of_largest(&b, MQTT_3_1_1);
	write_large(&w, 0x32, 3, 7);
	EXPECT(server_sends(&b, (const char *)wire, 20));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_TOO_LARGE);
	mqtt_session_lost(&b.s);
	go_online(&b, false, 10);
	EXPECT(server_publishes(&b, 1, 9, false));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
}

TEST(what_is_too_large_and_not_to_be_read_past_closes)
{
	static const struct {
		uint8_t first;
		uint16_t topic_bytes, packet_id;
		bool closes;
	} cases[] = {
		{0x32, LARGEST - 6, 7, false}, /* its topic and identifier just fit */
		{0x32, LARGEST - 5, 7, false},
		{0x34, 116, 7, false}, /* nothing behind them */
		{0x32, 117, 7, true},
		{0x32, 65535, 7, true},
		{0x32, LARGEST, 0, true},
		{0x32, 3, 0, true}, /* identifier 0 */
		{0x90, 3, 7, true}, /* SUBACK */
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t wire[128];
		struct writer w = writer_of(wire, sizeof(wire));
		int counts[MQTT_EVENT_CLOSE + 1];
		struct bench b;

		bench_of_largest(&b, MQTT_3_1_1);
		write_u8(&w, cases[i].first);
		write_u8(&w, 120);
		write_u16(&w, cases[i].topic_bytes);
		for (uint16_t k = 0; k < cases[i].topic_bytes && writer_left(&w) > 2; k++)
			write_u8(&w, 't');
		write_u16(&w, cases[i].packet_id);
		feed(&b, bytes_of(wire, (size_t)(w.at - wire)), 1, counts);
		EXPECT_EQ(counts[MQTT_EVENT_CLOSE], cases[i].closes);
		EXPECT_EQ(counts[MQTT_EVENT_TOO_LARGE], !cases[i].closes);
		if (cases[i].closes)
			EXPECT_EQ(b.s.outbox_bytes, 0); /* not acknowledged either */
	}
}

TEST(in_5_0_a_server_that_ignores_our_maximum_packet_size_is_told_so)
{
	for (uint8_t qos = 0; qos <= 2; qos++) {
		uint8_t wire[128];
		struct writer w = writer_of(wire, sizeof(wire));
		struct bench b;

		bench_of_largest(&b, MQTT_5);
		write_large(&w, (uint8_t)(0x30 | qos << 1), 3, 7);
		EXPECT(server_sends(&b, (const char *)wire, (size_t)(w.at - wire)));
		expect_closed(&b, MQTT_PACKET_TOO_LARGE);
		EXPECT_EQ(MQTT_PACKET_TOO_LARGE, 0x95);
	}
}

/* --- mistakes of 3.1.1 ----------------------------------------------------------------------------------------------- */

TEST(a_malformed_packet_closes_a_connection_of_3_1_1_without_a_word)
{
	static const struct {
		const char *bytes;
		size_t size;
	} mistakes[] = {
		{"\x30\x05\x00\x03"
		 "a\xFFz",
		 7}, /* no UTF-8 */
		{"\x30\x05\x00\x03"
		 "\xED\xA0\x80",
		 7}, /* a surrogate */
		{"\x30\x05\x00\x03"
		 "a\0z",
		 7},                              /* U+0000 */
		{"\x60\x02\x00\x01", 4},          /* PUBREL with flags 0 */
		{"\x41\x02\x00\x01", 4},          /* PUBACK with flags 1 */
		{"\x36\x05\x00\x01x\x00\x01", 7}, /* QoS 3 */
		{"\x38\x03\x00\x01x", 5},         /* DUP at QoS 0 */
		{"\x30\x80\x80\x80\x80", 5},      /* a length of five bytes */
		{"\xF0\x00", 2},                  /* AUTH is of 5.0 */
		{"\xE0\x00", 2},                  /* a server of 3.1.1 does not send DISCONNECT */
		{"\x20\x02\x00\x00", 4},          /* a second CONNACK */
		{"\x32\x05\x00\x01x\x00\x00", 7}, /* identifier 0 */
		{"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00", 13}, /* CONNECT is a client's */
	};

	for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
		struct bench b;

		bench_init(&b, MQTT_3_1_1, true);
		go_online(&b, false, 0);
		ck_assert_msg(server_sends(&b, mistakes[i].bytes, mistakes[i].size), "mistake %zu", i);
		expect_closed(&b, 0);
		EXPECT_NE(mqtt_session_reason(&b.s)[0], 0);
		EXPECT(!server_publishes(&b, 1, 1, false)); /* and nothing more is listened to */
		EXPECT_EQ(b.s.outbox_bytes, 0);
	}
}
