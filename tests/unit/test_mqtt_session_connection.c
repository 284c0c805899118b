/* An MQTT session and its connection: keep-alive, what the server says in CONNACK and DISCONNECT, other servers, the will. */
#include "tests/unit/session_bench.h"

/* --- keep-alive and servers --------------------------------------------------------------------------------------------- */

TEST(silence_brings_a_ping_and_silence_after_it_the_end)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT_EQ(mqtt_session_deadline(&b.s).ns, mono_add(b.now, 60 * NS_PER_S).ns);
	b.now = mono_add(b.now, 60 * NS_PER_S);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	EXPECT_EQ(take_sent(&b), MQTT_PINGREQ);
	b.now = mono_add(b.now, 30 * NS_PER_S - 1);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	b.now = mono_add(b.now, 1);
	EXPECT(mqtt_session_tick(&b.s, b.now, &b.event));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
}

TEST(a_ping_is_answered_and_life_goes_on)
{
	struct bench b;

	bench_init(&b, MQTT_3_1_1, true);
	go_online(&b, false, 0);
	b.now = mono_add(b.now, 60 * NS_PER_S);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	EXPECT(!server_says(&b, &(struct mqtt_packet){.type = MQTT_PINGRESP}));
	b.now = mono_add(b.now, 59 * NS_PER_S);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
}

TEST(under_load_a_server_that_says_nothing_is_asked_too)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	for (int i = 0; i < 60; i++) {
		b.now = mono_add(b.now, NS_PER_S);
		mqtt_session_sent(&b.s, b.now);
	}
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	EXPECT_EQ(take_sent(&b), MQTT_PINGREQ);
}

TEST(signs_of_life_put_the_end_off)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
	uint16_t id = b.sent.publish.packet_id;

	b.now = mono_add(b.now, 60 * NS_PER_S);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	b.now = mono_add(b.now, 29 * NS_PER_S);
	EXPECT(server_acks(&b, MQTT_PUBACK, id, 0)); /* the PINGRESP is behind it, on a slow line */
	b.now = mono_add(b.now, 29 * NS_PER_S);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	b.now = mono_add(b.now, NS_PER_S);
	EXPECT(mqtt_session_tick(&b.s, b.now, &b.event));
}

TEST(another_server_of_the_list_is_not_trusted_with_our_session)
{
	struct bench b;

	bench_init(&b, MQTT_5, false);
	go_online(&b, false, 10);
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 7);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
	EXPECT(server_accepts(&b, true, 10)); /* it has one of us, from some time ago */
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
	mqtt_session_lost(&b.s);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
	EXPECT(b.sent.connect.clean_start);
}

TEST(the_servers_keep_alive_replaces_ours)
{
	struct bench b;
	struct mqtt_packet p = {.type = MQTT_CONNACK};

	bench_init(&b, MQTT_5, true);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	mqtt_props_set(&p.connack.props, MQTT_PROP_SERVER_KEEP_ALIVE);
	p.connack.props.server_keep_alive_s = 5;
	EXPECT(server_says(&b, &p));
	EXPECT_EQ(mqtt_session_deadline(&b.s).ns, mono_add(b.now, 5 * NS_PER_S).ns);
}

TEST(a_refusal_is_told_in_the_words_of_the_version)
{
	struct bench b;

	bench_init(&b, MQTT_3_1_1, true);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT(server_says(&b, &(struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.code = 5}}));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
	EXPECT(strstr(mqtt_session_reason(&b.s), "not authorized"));
	EXPECT(mqtt_session_refusal_is_lasting(&b.s));
	bench_init(&b, MQTT_5, true);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT(server_says(
		&b, &(struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.code = MQTT_SERVER_BUSY}}));
	EXPECT(strstr(mqtt_session_reason(&b.s), "Server busy (137)"));
	EXPECT(!mqtt_session_refusal_is_lasting(&b.s));
}

TEST(a_servers_mistakes_end_the_connection_with_the_right_reason)
{
	const struct mqtt_packet mistakes[] = {
		{.type = MQTT_CONNACK},
		{.type = MQTT_SUBACK, .suback = {.packet_id = 1, .codes = bytes_of("\0", 1)}},
		{.type = MQTT_AUTH},
		{.type = MQTT_PUBLISH,
		 .publish = {.topic = bytes_of_text("x"),
			     .props = {.present = 1ull << MQTT_PROP_TOPIC_ALIAS, .topic_alias = 1}}},
	};
	const uint8_t codes[] = {MQTT_PROTOCOL_ERROR, MQTT_PROTOCOL_ERROR, MQTT_PROTOCOL_ERROR,
				 MQTT_TOPIC_ALIAS_INVALID};

	for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
		struct bench b;

		bench_init(&b, MQTT_5, true);
		go_online(&b, false, 10);
		EXPECT(server_says(&b, &mistakes[i]));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
		EXPECT_EQ(take_sent(&b), MQTT_DISCONNECT);
		EXPECT_EQ(b.sent.goodbye.code, codes[i]);
	}
}

TEST(a_packet_before_connack_is_refused)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT(server_says(&b, &(struct mqtt_packet){.type = MQTT_PINGRESP}));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
}

TEST(a_session_from_before_our_start_is_discarded)
{
	struct bench b;

	static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};
	static const bool present[] = {true, false, false}, clean[] = {false, true, false};

	/* Asked for, and discarded by a clean one; in 3.1.1 that one does not stay, so there is a third. */
	for (size_t v = 0; v < ARRAY_COUNT(versions); v++) {
		int last = versions[v] == MQTT_5 ? 1 : 2;

		bench_init(&b, versions[v], false);
		for (int i = 0; i <= last; i++) {
			mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
			EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
			EXPECT_EQ(b.sent.connect.clean_start, clean[i]);
			EXPECT(server_accepts(&b, present[i], versions[v] == MQTT_5 ? 10 : 0));
			EXPECT_EQ(b.event.kind, i == last ? MQTT_EVENT_ONLINE : MQTT_EVENT_CLOSE);
			mqtt_session_lost(&b.s);
		}
		mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
		EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
		EXPECT(!b.sent.connect.clean_start);
	}
}

/* --- CONNACK and DISCONNECT ------------------------------------------------------------------------------------------- */

TEST(a_session_that_is_present_after_a_clean_start_closes)
{
	static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};

	for (size_t v = 0; v < ARRAY_COUNT(versions); v++) {
		struct bench b;

		bench_init(&b, versions[v], true);
		start_connecting(&b);
		EXPECT(b.sent.connect.clean_start);
		EXPECT(server_accepts(&b, true, 10));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
		EXPECT_EQ(b.s.state, MQTT_SESSION_CLOSING);
		EXPECT(strstr(mqtt_session_reason(&b.s), "clean start"));
	}
}

TEST(a_session_that_is_present_and_not_ours_closes)
{
	struct bench b;

	bench_init(&b, MQTT_5, false);
	start_connecting(&b);
	EXPECT(server_accepts(&b, true, 10));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
	mqtt_session_lost(&b.s);
	start_connecting(&b);
	EXPECT(b.sent.connect.clean_start); /* asked to discard it, as before */
	bench_init(&b, MQTT_3_1_1, false);
	start_connecting(&b);
	EXPECT(server_accepts(&b, true, 0));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
	EXPECT(b.s.starts_over);
}

TEST(a_session_of_ours_goes_on_after_a_loss)
{
	static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};

	for (size_t v = 0; v < ARRAY_COUNT(versions); v++) {
		struct bench b;

		bench_init(&b, versions[v], false);
		go_online(&b, false, 10);
		EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
		mqtt_session_lost(&b.s);
		start_connecting(&b);
		EXPECT(!b.sent.connect.clean_start);
		EXPECT(server_accepts(&b, true, 10));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_ONLINE);
		EXPECT(b.event.session_present);
		EXPECT(mqtt_session_resending(&b.s));
	}
}

TEST(an_authentication_method_that_we_did_not_ask_for_closes)
{
	struct mqtt_packet p = {.type = MQTT_CONNACK};
	struct bench b;

	bench_init(&b, MQTT_5, true);
	start_connecting(&b);
	mqtt_props_set(&p.connack.props, MQTT_PROP_AUTHENTICATION_METHOD);
	p.connack.props.authentication_method = bytes_of_text("SCRAM");
	EXPECT(server_says(&b, &p));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
	EXPECT_EQ(b.s.state, MQTT_SESSION_CLOSING);
	EXPECT(strstr(mqtt_session_reason(&b.s), "authentication method"));
}

TEST(a_disconnect_of_the_server_ends_the_connection_and_says_why)
{
	static const struct {
		uint8_t code;
		bool lasting;
	} cases[] = {
		{MQTT_SERVER_SHUTTING_DOWN, false},
		{MQTT_SESSION_TAKEN_OVER, true},
		{MQTT_NOT_AUTHORIZED, true},
		{MQTT_SUCCESS, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct mqtt_packet p = {.type = MQTT_DISCONNECT, .goodbye = {.code = cases[i].code}};
		struct bench b;

		bench_init(&b, MQTT_5, false);
		go_online(&b, false, 10);
		mqtt_props_set(&p.goodbye.props, MQTT_PROP_REASON_STRING);
		p.goodbye.props.reason_string = bytes_of_text("because\x1b[31m");
		EXPECT(server_says(&b, &p));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
		EXPECT_EQ(b.s.state, MQTT_SESSION_CLOSING);
		EXPECT_EQ(b.s.outbox_bytes, 0); /* nothing is to be sent after it */
		EXPECT(strstr(mqtt_session_reason(&b.s),
			      mqtt_reason_text(MQTT_5, MQTT_DISCONNECT, cases[i].code)));
		EXPECT(strstr(mqtt_session_reason(&b.s), "because?[31m"));
		EXPECT_EQ(mqtt_session_refusal_is_lasting(&b.s), cases[i].lasting);
	}
}

static void refer(struct bench *b, enum mqtt_type type, uint8_t code, size_t size)
{
	char text[MQTT_SESSION_REFERENCE_BYTES + 1];
	struct mqtt_packet p = {.type = type};
	struct mqtt_props *props = type == MQTT_CONNACK ? &p.connack.props : &p.goodbye.props;

	memset(text, 'h', sizeof(text));
	bench_init(b, MQTT_5, false);
	if (type == MQTT_CONNACK)
		start_connecting(b);
	else
		go_online(b, false, 10);
	mqtt_props_set(props, MQTT_PROP_SERVER_REFERENCE);
	props->server_reference = bytes_of(text, size);
	if (type == MQTT_CONNACK)
		p.connack.code = code;
	else
		p.goodbye.code = code;
	EXPECT(server_says(b, &p));
	EXPECT_EQ(b->event.kind, MQTT_EVENT_CLOSE);
}

TEST(a_server_reference_counts_where_the_server_sends_us_away)
{
	static const enum mqtt_type types[] = {MQTT_CONNACK, MQTT_DISCONNECT};

	for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
		struct bench b;

		refer(&b, types[i], MQTT_USE_ANOTHER_SERVER, 5);
		EXPECT_TEXT(b.s.reference, "hhhhh");
		refer(&b, types[i], MQTT_SERVER_MOVED, MQTT_SESSION_REFERENCE_BYTES - 1);
		EXPECT_EQ(strlen(b.s.reference), MQTT_SESSION_REFERENCE_BYTES - 1);
		refer(&b, types[i], MQTT_SERVER_MOVED,
		      MQTT_SESSION_REFERENCE_BYTES); /* half a name is none */
		EXPECT_TEXT(b.s.reference, "");
		refer(&b, types[i], MQTT_SERVER_BUSY, 5);
		EXPECT_TEXT(b.s.reference, "");
	}
}

TEST(a_reference_ends_with_the_connection_after_it)
{
	struct bench b;

	refer(&b, MQTT_DISCONNECT, MQTT_USE_ANOTHER_SERVER, 5);
	mqtt_session_lost(&b.s);
	EXPECT_TEXT(b.s.reference, "hhhhh");
	start_connecting(&b);
	EXPECT_TEXT(b.s.reference, "");
}

/* --- the will --------------------------------------------------------------------------------------------------------- */

TEST(a_will_that_the_server_does_not_offer_is_lowered_and_tried_at_once)
{
	static const uint8_t refusals[] = {MQTT_RETAIN_NOT_SUPPORTED, MQTT_QOS_NOT_SUPPORTED,
					   MQTT_QOS_NOT_SUPPORTED};
	struct bench b;

	bench_init(&b, MQTT_5, true);
	b.s.config.connect.has_will = true;
	b.s.config.connect.will = (struct mqtt_will){.qos = 2, .retain = true, .topic = bytes_of_text("w")};
	mqtt_session_server(&b.s, 3);
	for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
		start_connecting(&b);
		EXPECT_EQ(b.sent.connect.will.qos, i == 2 ? 1 : 2);
		EXPECT_EQ(b.sent.connect.will.retain, i == 0);
		EXPECT(server_says(
			&b, &(struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.code = refusals[i]}}));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
		EXPECT(b.s.starts_over);
		mqtt_session_lost(&b.s);
	}
	start_connecting(&b);
	EXPECT_EQ(b.sent.connect.will.qos, 0);
	EXPECT(server_says(&b, &(struct mqtt_packet){.type = MQTT_CONNACK,
						     .connack = {.code = MQTT_QOS_NOT_SUPPORTED}}));
	EXPECT(!b.s.starts_over); /* there is nothing left to lower */
}

TEST(the_will_is_lowered_for_the_server_that_wanted_it_and_for_no_other)
{
	static const uint8_t refusals[] = {MQTT_RETAIN_NOT_SUPPORTED, MQTT_QOS_NOT_SUPPORTED};
	struct bench b;

	bench_init(&b, MQTT_5, true);
	b.s.config.connect.has_will = true;
	b.s.config.connect.will = (struct mqtt_will){.qos = 2, .retain = true, .topic = bytes_of_text("w")};
	mqtt_session_server(&b.s, 3);
	for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
		start_connecting(&b);
		EXPECT(server_says(
			&b, &(struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.code = refusals[i]}}));
		mqtt_session_lost(&b.s);
		mqtt_session_server(&b.s, 3);
	}
	start_connecting(&b);
	EXPECT_EQ(b.sent.connect.will.qos, 1);
	EXPECT(!b.sent.connect.will.retain);
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 4);
	start_connecting(&b);
	EXPECT_EQ(b.sent.connect.will.qos, 2);
	EXPECT(b.sent.connect.will.retain);
}

TEST(a_will_that_is_to_stay_in_force_is_left_so_in_the_words_of_the_version)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	mqtt_session_disconnect(&b.s, MQTT_DISCONNECT_WITH_WILL);
	EXPECT_EQ(b.s.state, MQTT_SESSION_CLOSING);
	EXPECT_EQ(take_sent(&b), MQTT_DISCONNECT);
	EXPECT_EQ(b.sent.goodbye.code, 0x04);
	EXPECT_EQ(b.s.outbox_bytes, 0);
	bench_init(&b, MQTT_3_1_1, true);
	go_online(&b, false, 0);
	mqtt_session_disconnect(&b.s, MQTT_DISCONNECT_WITH_WILL);
	EXPECT_EQ(b.s.state, MQTT_SESSION_CLOSING);
	EXPECT_EQ(b.s.outbox_bytes, 0); /* any DISCONNECT would end it [MQTT-3.14.4-3] */
	bench_init(&b, MQTT_3_1_1, true);
	go_online(&b, false, 0);
	mqtt_session_disconnect(&b.s, MQTT_SUCCESS);
	EXPECT_EQ(take_sent(&b), MQTT_DISCONNECT);
}
