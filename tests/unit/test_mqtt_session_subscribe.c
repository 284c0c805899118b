/* What a session asks a server for, and what becomes of the answers. */
#include <stdio.h>

#include "tests/unit/session_bench.h"

#define FILTER(text) \
	{ \
		.options = {.filter = {(const uint8_t *)(text), sizeof(text) - 1}, .qos = 1 } \
	}

static const struct mqtt_session_filter three[] = {FILTER("a/b"), FILTER("c"), FILTER("d/e/f")};

static void bench_of(struct bench *b, enum mqtt_version v, const struct mqtt_session_filter *filters,
		     uint32_t filter_count, uint32_t stale_count)
{
	bench_init_with(b, &(struct bench_options){.version = v,
						   .filters = filters,
						   .filter_count = filter_count,
						   .stale_count = stale_count});
	if (stale_count)
		mqtt_session_server(&b->s, 7);
}

static enum mqtt_subscription_state state_of(const struct bench *b, uint32_t filter_idx)
{
	return (enum mqtt_subscription_state)(counter_get(&b->subscriptions[filter_idx].view) >> 8);
}

static uint8_t code_of(const struct bench *b, uint32_t filter_idx)
{
	return (uint8_t)counter_get(&b->subscriptions[filter_idx].view);
}

static bool server_answers(struct bench *b, enum mqtt_type type, uint16_t id, const void *codes,
			   size_t code_count)
{
	return server_says(
		b, &(struct mqtt_packet){.type = type,
					 .suback = {.packet_id = id, .codes = bytes_of(codes, code_count)}});
}

static bool server_answers_one(struct bench *b, enum mqtt_type type, uint16_t id, uint8_t code)
{
	return server_answers(b, type, id, &code, 1);
}

/* Everything is asked for; the identifier of the first packet. */
static uint16_t ask_one(struct bench *b, enum mqtt_type type)
{
	EXPECT(!mqtt_session_subscribe(&b->s, &b->event));
	EXPECT_EQ(take_sent(b), type);
	EXPECT_EQ(b->s.outbox_bytes, 0);
	return b->sent.subscribe.packet_id;
}

static void expect_nothing_to_ask(struct bench *b)
{
	EXPECT(!mqtt_session_subscribe(&b->s, &b->event));
	EXPECT_EQ(b->s.outbox_bytes, 0);
	EXPECT(mqtt_session_subscribed(&b->s));
}

static void expect_closed(struct bench *b, uint8_t code)
{
	EXPECT_EQ(b->event.kind, MQTT_EVENT_CLOSE);
	EXPECT_EQ(b->s.state, MQTT_SESSION_CLOSING);
	if (b->options.version == MQTT_5) {
		EXPECT_EQ(take_sent(b), MQTT_DISCONNECT);
		EXPECT_EQ(b->sent.goodbye.code, code);
	}
	EXPECT_EQ(b->s.outbox_bytes, 0);
}

/* --- subscribing -------------------------------------------------------------------------------------------------- */

static void each_filter_by_its_packet(enum mqtt_version v)
{
	static const uint8_t codes[] = {0, 1, 2};
	uint16_t ids[3];
	struct bench b;

	bench_of(&b, v, three, 3, 0);
	go_online(&b, false, 10);
	EXPECT(!mqtt_session_subscribed(&b.s));
	EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
	for (int i = 0; i < 3; i++) {
		struct mqtt_subscription entry;
		struct reader it;

		EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
		EXPECT_EQ(b.sent.subscribe.filter_count, 1);
		it = reader_of(b.sent.subscribe.filters);
		EXPECT(mqtt_next_subscription(&it, v, &entry));
		EXPECT(bytes_equal(entry.filter, three[i].options.filter));
		EXPECT_EQ(entry.qos, 1);
		ids[i] = b.sent.subscribe.packet_id;
		EXPECT(ids[i] > MQTT_SESSION_INFLIGHT_MAX);
		EXPECT_EQ(state_of(&b, (uint32_t)i), MQTT_SUBSCRIPTION_ASKED);
	}
	for (int i = 2; i >= 0; i--) { /* in whatever order the answers come: by their identifiers */
		EXPECT(server_answers_one(&b, MQTT_SUBACK, ids[i], codes[i]));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_SUBSCRIPTION);
		EXPECT_EQ(b.event.filter_idx, i);
		EXPECT_EQ(b.event.code, codes[i]);
		EXPECT_EQ(state_of(&b, (uint32_t)i), MQTT_SUBSCRIPTION_DONE);
		EXPECT_EQ(code_of(&b, (uint32_t)i), codes[i]);
		EXPECT_EQ(mqtt_session_subscribed(&b.s), i == 0);
	}
}

TEST(each_filter_is_asked_for_by_a_packet_and_done_with_the_suback_of_its_identifier)
{
	each_filter_by_its_packet(MQTT_5);
	each_filter_by_its_packet(MQTT_3_1_1);
}

TEST(a_subscription_that_the_server_refuses_says_why_and_is_asked_for_on_the_next_connection)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 2, 0);
	go_online(&b, false, 10);
	EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
	EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
	EXPECT(server_answers_one(&b, MQTT_SUBACK, b.sent.subscribe.packet_id, MQTT_NOT_AUTHORIZED));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_SUBSCRIPTION);
	EXPECT_EQ(b.event.code, MQTT_NOT_AUTHORIZED);
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_REFUSED);
	EXPECT_EQ(code_of(&b, 0), MQTT_NOT_AUTHORIZED);
	EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
	EXPECT(server_answers_one(&b, MQTT_SUBACK, b.sent.subscribe.packet_id, 1));
	expect_nothing_to_ask(&b); /* not again on this one */
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT_EQ(state_of(&b, 1), MQTT_SUBSCRIPTION_DONE); /* the server has it still */
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_ASKED);
}

TEST(a_new_session_of_the_servers_is_asked_for_everything_again)
{
	struct bench b;

	bench_of(&b, MQTT_3_1_1, three, 1, 0);
	go_online(&b, false, 0);
	EXPECT(server_answers_one(&b, MQTT_SUBACK, ask_one(&b, MQTT_SUBSCRIBE), 1));
	mqtt_session_lost(&b.s);
	go_online(&b, true, 0);
	expect_nothing_to_ask(&b);
	mqtt_session_lost(&b.s);
	go_online(&b, false, 0);
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
}

TEST(what_was_asked_for_on_a_lost_connection_is_asked_for_again)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 1, 0);
	go_online(&b, false, 10);
	uint16_t id = ask_one(&b, MQTT_SUBSCRIBE);

	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT(!mqtt_session_subscribed(&b.s));
	EXPECT_EQ(ask_one(&b, MQTT_SUBSCRIBE), id); /* that answer will never come */
	EXPECT(server_answers_one(&b, MQTT_SUBACK, id, 1));
	expect_nothing_to_ask(&b);
}

TEST(the_next_process_knows_what_the_server_has)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 2, 0);
	mqtt_session_server(&b.s, 7);
	go_online(&b, false, 10);
	EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
	EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
	EXPECT(server_answers_one(&b, MQTT_SUBACK, b.sent.subscribe.packet_id, 1));
	bench_restart(&b); /* the second was asked for, and never answered */
	mqtt_session_server(&b.s, 7);
	go_online(&b, true, 10);
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_DONE);
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	EXPECT_EQ(state_of(&b, 1), MQTT_SUBSCRIPTION_ASKED);
}

TEST(what_the_server_granted_is_known_on_the_next_connection_and_to_the_next_process)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 3, 0); /* QoS 1 is asked for */
	mqtt_session_server(&b.s, 7);
	go_online(&b, false, 10);
	EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
	for (uint8_t i = 0; i < 3; i++) {
		EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
		EXPECT(server_answers_one(&b, MQTT_SUBACK, b.sent.subscribe.packet_id, i));
	}
	for (int round = 0; round < 2; round++) {
		if (round == 0)
			mqtt_session_lost(&b.s);
		else
			bench_restart(&b);
		mqtt_session_server(&b.s, 7);
		go_online(&b, true, 10);
		for (uint32_t i = 0; i < 3; i++) {
			EXPECT_EQ(state_of(&b, i), MQTT_SUBSCRIPTION_DONE);
			EXPECT_EQ(code_of(&b, i), i);
		}
	}
}

/* --- a CONNACK that did not arrive ------------------------------------------------------------------------------------ */

static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};

/* One subscription that the server has, and no connection. */
static void bench_subscribed(struct bench *b, enum mqtt_version v)
{
	bench_of(b, v, three, 1, 0);
	mqtt_session_server(&b->s, 7);
	go_online(b, false, 10);
	EXPECT(server_answers_one(b, MQTT_SUBACK, ask_one(b, MQTT_SUBSCRIBE), 1));
	mqtt_session_lost(&b->s);
}

static void connack_is_lost(struct bench *b)
{
	start_connecting(b);
	mqtt_session_lost(&b->s);
}

static void server_refuses(struct bench *b)
{
	start_connecting(b);
	EXPECT(server_says(
		b, &(struct mqtt_packet){.type = MQTT_CONNACK,
					 .connack = {.code = b->options.version == MQTT_5
								     ? MQTT_SERVER_UNAVAILABLE
								     : MQTT_RETURN_SERVER_UNAVAILABLE}}));
	EXPECT_EQ(b->event.kind, MQTT_EVENT_CLOSE);
	mqtt_session_lost(&b->s);
}

/* The session that is present may have begun with the CONNACK that was lost, and have no subscription. */
TEST(after_a_connack_that_was_lost_subscriptions_are_asked_for_again)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_subscribed(&b, versions[i]);
		EXPECT(!mqtt_store_unanswered(&b.store));
		connack_is_lost(&b);
		EXPECT(mqtt_store_unanswered(&b.store));
		go_online(&b, true, 10);
		EXPECT(!mqtt_store_unanswered(&b.store)); /* it is known now */
		EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_NEEDED);
		EXPECT(server_answers_one(&b, MQTT_SUBACK, ask_one(&b, MQTT_SUBSCRIBE), 1));
		mqtt_session_lost(&b.s);
		go_online(&b, true, 10);
		expect_nothing_to_ask(&b); /* once was enough */
	}
}

TEST(a_connack_that_was_lost_is_known_to_the_next_process)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_subscribed(&b, versions[i]);
		start_connecting(&b);
		bench_restart(&b);
		EXPECT(mqtt_store_unanswered(&b.store));
		mqtt_session_server(&b.s, 7);
		go_online(&b, true, 10);
		EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	}
}

TEST(a_refusal_is_an_answer_and_leaves_the_session_as_it_was)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_subscribed(&b, versions[i]);
		server_refuses(&b);
		EXPECT(!mqtt_store_unanswered(&b.store));
		go_online(&b, true, 10);
		expect_nothing_to_ask(&b);
	}
}

TEST(a_refusal_does_not_answer_an_earlier_connect)
{
	for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
		struct bench b;

		bench_subscribed(&b, versions[i]);
		connack_is_lost(&b);
		server_refuses(&b);
		EXPECT(mqtt_store_unanswered(&b.store));
		go_online(&b, true, 10);
		EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	}
}

TEST(a_subscription_has_its_options_and_its_identifier_where_the_server_takes_them)
{
	static const struct mqtt_session_filter filter[] = {
		{.options = {.filter = {(const uint8_t *)"x/+", 3},
			     .qos = 2,
			     .no_local = true,
			     .retain_as_published = true,
			     .retain_handling = 2},
		 .id = 268435455,
		 .wildcard = true}};
	struct mqtt_props none = {.present = 1ull << MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE};
	struct mqtt_subscription entry;
	struct reader it;
	struct bench b;
	uint32_t id = 0;

	bench_of(&b, MQTT_5, filter, 1, 0);
	go_online(&b, false, 10);
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	it = reader_of(b.sent.subscribe.filters);
	EXPECT(mqtt_next_subscription(&it, MQTT_5, &entry));
	EXPECT_EQ(entry.qos, 2);
	EXPECT(entry.no_local);
	EXPECT(entry.retain_as_published);
	EXPECT_EQ(entry.retain_handling, 2);
	it = reader_of(b.sent.subscribe.props.raw);
	EXPECT(mqtt_next_subscription_identifier(&it, &id));
	EXPECT_EQ(id, 268435455);
	mqtt_session_lost(&b.s);
	go_online_with(&b, false, &none);
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	EXPECT_EQ(b.sent.subscribe.props.raw.size, 0);
	bench_of(&b, MQTT_3_1_1, filter, 1, 0);
	go_online(&b, false, 0);
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	it = reader_of(b.sent.subscribe.filters);
	EXPECT(mqtt_next_subscription(&it, MQTT_5, &entry)); /* as 5.0 would read it: no other bit is set */
	EXPECT(!entry.no_local);
	EXPECT_EQ(entry.retain_handling, 0);
}

TEST(what_the_server_says_it_has_not_got_is_not_asked_for)
{
	static const struct mqtt_session_filter filters[] = {
		{.options.filter = {(const uint8_t *)"x/#", 3}, .wildcard = true},
		{.options.filter = {(const uint8_t *)"$share/g/x", 10}, .shared = true},
		FILTER("plain"),
	};
	const struct mqtt_props props = {.present = 1ull << MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE |
						    1ull << MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE};
	static const uint8_t codes[] = {MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
					MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED};
	struct bench b;

	bench_of(&b, MQTT_5, filters, 3, 0);
	go_online_with(&b, false, &props);
	for (uint32_t i = 0; i < 2; i++) {
		EXPECT(mqtt_session_subscribe(&b.s, &b.event));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_SUBSCRIPTION);
		EXPECT_EQ(b.event.filter_idx, i);
		EXPECT_EQ(b.event.code, codes[i]);
		EXPECT_EQ(state_of(&b, i), MQTT_SUBSCRIPTION_REFUSED);
	}
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
	EXPECT_EQ(state_of(&b, 2), MQTT_SUBSCRIPTION_ASKED);
}

static const struct mqtt_props twelve_bytes = {.present = 1ull << MQTT_PROP_MAXIMUM_PACKET_SIZE,
					       .maximum_packet_size_bytes = 12};

TEST(a_filter_that_the_server_has_no_room_for_is_refused_and_costs_no_identifier)
{
	static const struct mqtt_session_filter filters[] = {FILTER("four"), FILTER("five5")};
	struct bench b;

	bench_of(&b, MQTT_5, filters, 2, 0);
	go_online_with(&b, false, &twelve_bytes);
	EXPECT(mqtt_session_subscribe(&b.s, &b.event));
	EXPECT_EQ(b.event.filter_idx, 1);
	EXPECT_EQ(b.event.code, MQTT_PACKET_TOO_LARGE);
	EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
	EXPECT_EQ(b.sent_packet.size, 12);
	EXPECT_EQ(b.s.outbox_bytes, 0);
	EXPECT_EQ(b.s.asked_count, 1);
	EXPECT(server_answers_one(&b, MQTT_SUBACK, b.sent.subscribe.packet_id, 0));
	expect_nothing_to_ask(&b);
}

TEST(only_so_many_requests_wait_for_an_answer_and_each_identifier_is_used_once)
{
	static struct mqtt_session_filter many[FILTERS_MAX];
	static char texts[FILTERS_MAX][8];
	static uint16_t ids[FILTERS_MAX];
	static bool used[65536];
	uint32_t sent_count = 0, answered = 0;
	static struct bench b;

	for (int i = 0; i < FILTERS_MAX; i++) {
		snprintf(texts[i], sizeof(texts[i]), "f/%d", i);
		many[i].options.filter = bytes_of_text(texts[i]);
	}
	bench_of(&b, MQTT_5, many, FILTERS_MAX, 0);
	go_online(&b, false, 10);
	while (answered < FILTERS_MAX) {
		EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
		if (b.s.outbox_bytes) {
			EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
			ids[sent_count++] = b.sent.subscribe.packet_id;
			EXPECT(!used[b.sent.subscribe.packet_id]);
			used[b.sent.subscribe.packet_id] = true;
			EXPECT(sent_count - answered <= MQTT_SESSION_ASKED_MAX);
			continue;
		}
		EXPECT_EQ(sent_count - answered,
			  sent_count < FILTERS_MAX ? MQTT_SESSION_ASKED_MAX : sent_count - answered);
		uint32_t at = answered % 2 && sent_count > answered + 1 ? sent_count - 1 : answered;
		uint16_t id = ids[at];

		ids[at] = ids[answered++]; /* the oldest and the newest in turns */
		used[id] = false;
		EXPECT(server_answers_one(&b, MQTT_SUBACK, id, 0));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_SUBSCRIPTION);
		EXPECT_EQ(state_of(&b, b.event.filter_idx), MQTT_SUBSCRIPTION_DONE);
	}
	EXPECT(mqtt_session_subscribed(&b.s));
}

TEST(a_request_that_the_outbox_has_no_room_for_waits)
{
	static char text[500];
	struct mqtt_session_filter filter = {.options.filter = {(const uint8_t *)text, sizeof(text)}};
	struct bench b;

	memset(text, 'x', sizeof(text));
	bench_of(&b, MQTT_5, &filter, 1, 0);
	go_online(&b, false, 10);
	b.s.outbox_bytes = sizeof(b.outbox) - 800;
	EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
	EXPECT_EQ(b.s.outbox_bytes, sizeof(b.outbox) - 800);
	EXPECT(!mqtt_session_subscribed(&b.s));
	b.s.outbox_bytes = 0;
	EXPECT_NE(ask_one(&b, MQTT_SUBSCRIBE), 0);
}

/* --- leaving ------------------------------------------------------------------------------------------------------ */

static void stale_leaves(enum mqtt_version v, uint8_t code)
{
	struct reader it;
	struct bytes filter;
	struct bench b;

	bench_of(&b, v, three, 0, 1);
	go_online(&b, true, 10);
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_STALE);
	uint16_t id = ask_one(&b, MQTT_UNSUBSCRIBE);

	it = reader_of(b.sent.subscribe.filters);
	EXPECT(mqtt_next_filter(&it, &filter));
	EXPECT(bytes_equal(filter, three[0].options.filter));
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_LEAVING);
	EXPECT(mqtt_store_subscribed(&b.store, 0));
	EXPECT(!mqtt_session_subscribed(&b.s));
	EXPECT(!server_answers_one(&b, MQTT_UNSUBACK, id, code));
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_GONE);
	EXPECT(!mqtt_store_subscribed(&b.store, 0));
	expect_nothing_to_ask(&b);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	expect_nothing_to_ask(&b);
}

TEST(what_nothing_wants_any_more_is_left_and_forgotten_with_its_unsuback)
{
	stale_leaves(MQTT_5, MQTT_SUCCESS);
	stale_leaves(MQTT_5, MQTT_NO_SUBSCRIPTION_EXISTED);
	stale_leaves(MQTT_3_1_1, 0);
}

TEST(a_server_that_has_forgotten_us_is_not_asked_to_leave)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 0, 1);
	go_online(&b, false, 10);
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_GONE);
	expect_nothing_to_ask(&b);
	EXPECT(!mqtt_store_subscribed(&b.store, 0));
}

TEST(a_refused_unsubscribe_is_tried_again_on_the_next_connection)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 0, 1);
	go_online(&b, true, 10);
	EXPECT(!server_answers_one(&b, MQTT_UNSUBACK, ask_one(&b, MQTT_UNSUBSCRIBE), MQTT_NOT_AUTHORIZED));
	EXPECT_EQ(state_of(&b, 0), MQTT_SUBSCRIPTION_GONE);
	EXPECT_EQ(code_of(&b, 0), MQTT_NOT_AUTHORIZED);
	EXPECT(mqtt_store_subscribed(&b.store, 0)); /* the server has it still */
	expect_nothing_to_ask(&b);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT_NE(ask_one(&b, MQTT_UNSUBSCRIBE), 0);
}

TEST(a_filter_that_is_too_long_to_be_left_is_no_event_and_stays_for_the_next_connection)
{
	static const struct mqtt_session_filter filters[] = {FILTER("a"), FILTER("longer/than/twelve")};
	struct bench b;

	bench_of(&b, MQTT_5, filters, 1, 1);
	go_online_with(&b, true, &twelve_bytes);
	uint16_t id = ask_one(&b, MQTT_SUBSCRIBE); /* no event of a filter that the owner does not know */

	EXPECT_EQ(state_of(&b, 1), MQTT_SUBSCRIPTION_GONE);
	EXPECT_EQ(code_of(&b, 1), MQTT_PACKET_TOO_LARGE);
	EXPECT(mqtt_store_subscribed(&b.store, 1));
	EXPECT(server_answers_one(&b, MQTT_SUBACK, id, 0));
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT_NE(ask_one(&b, MQTT_UNSUBSCRIBE), 0);
}

/* --- a server's mistakes ------------------------------------------------------------------------------------------ */

static void answer_wrongly(enum mqtt_version v, enum mqtt_type asked, enum mqtt_type answer,
			   uint16_t id_difference, size_t code_count)
{
	static const uint8_t codes[2];
	struct bench b;

	bench_of(&b, v, three, asked == MQTT_SUBSCRIBE, asked == MQTT_UNSUBSCRIBE);
	go_online(&b, asked == MQTT_UNSUBSCRIBE, 10);
	uint16_t id = (uint16_t)(ask_one(&b, asked) + id_difference);

	EXPECT(server_answers(&b, answer, id, codes, code_count));
	expect_closed(&b, MQTT_PROTOCOL_ERROR);
	EXPECT_EQ(mqtt_store_subscribed(&b.store, 0), asked == MQTT_UNSUBSCRIBE); /* as it was */
}

TEST(an_answer_with_another_number_of_codes_than_we_sent_filters_closes)
{
	answer_wrongly(MQTT_5, MQTT_SUBSCRIBE, MQTT_SUBACK, 0, 2);
	answer_wrongly(MQTT_5, MQTT_UNSUBSCRIBE, MQTT_UNSUBACK, 0, 2);
	answer_wrongly(MQTT_3_1_1, MQTT_SUBSCRIBE, MQTT_SUBACK, 0, 2);
}

TEST(an_answer_with_an_identifier_that_we_did_not_send_closes)
{
	answer_wrongly(MQTT_5, MQTT_SUBSCRIBE, MQTT_SUBACK, 1, 1);
	answer_wrongly(MQTT_5, MQTT_UNSUBSCRIBE, MQTT_UNSUBACK, 1, 1);
	answer_wrongly(MQTT_3_1_1, MQTT_SUBSCRIBE, MQTT_SUBACK, 1, 1);
	answer_wrongly(MQTT_3_1_1, MQTT_UNSUBSCRIBE, MQTT_UNSUBACK, 1, 0);
	answer_wrongly(MQTT_5, MQTT_SUBSCRIBE, MQTT_SUBACK, 1000, 1); /* one for messages */
}

TEST(the_answer_to_the_other_request_closes)
{
	answer_wrongly(MQTT_5, MQTT_SUBSCRIBE, MQTT_UNSUBACK, 0, 1);
	answer_wrongly(MQTT_5, MQTT_UNSUBSCRIBE, MQTT_SUBACK, 0, 1);
	answer_wrongly(MQTT_3_1_1, MQTT_SUBSCRIBE, MQTT_UNSUBACK, 0, 0);
	answer_wrongly(MQTT_3_1_1, MQTT_UNSUBSCRIBE, MQTT_SUBACK, 0, 1);
}

TEST(a_second_answer_to_the_same_request_closes)
{
	struct bench b;

	bench_of(&b, MQTT_5, three, 1, 0);
	go_online(&b, false, 10);
	uint16_t id = ask_one(&b, MQTT_SUBSCRIBE);

	EXPECT(server_answers_one(&b, MQTT_SUBACK, id, 0));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_SUBSCRIPTION);
	EXPECT(server_answers_one(&b, MQTT_SUBACK, id, 0));
	expect_closed(&b, MQTT_PROTOCOL_ERROR);
}
