#include "tests/test.h"

#include <errno.h>
#include <string.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_session.h"

#define INFLIGHT 4
#define CHANNELS 3

/* A session and what a server would say to it; `now` moves only where a test says so. */
struct bench {
	struct mqtt_session s;
	struct mqtt_inflight_entry entries[INFLIGHT + 1];
	uint64_t store_block[2048];
	struct mqtt_store store;
	uint16_t aliases[CHANNELS];
	uint8_t outbox[8192];
	uint8_t record[256];
	struct mono now;
	struct mqtt_event event;
	struct mqtt_packet sent; /* the last packet that left */
};

static void bench_init(struct bench *b, enum mqtt_version v, bool clean_start)
{
	const struct mqtt_session_config config = {
		.version = v,
		.connect = {.clean_start = clean_start, .keep_alive_s = 60, .client_id = bytes_of_text("c1")},
		.max_packet_bytes = 4096,
		.receive_max = 64,
		.topic_alias_max = 2,
		.channel_count = CHANNELS,
	};

	*b = (struct bench){.now = {.ns = NS_PER_S}};
	const struct mqtt_store_shape shape = {.inflight_room = INFLIGHT};
	const struct mqtt_session_memory memory = {
		.entries = b->entries,
		.alias_of = b->aliases,
		.outbox = b->outbox,
		.outbox_bytes = sizeof(b->outbox),
	};

	ASSERT(mqtt_store_bytes(&shape) <= sizeof(b->store_block));
	mqtt_store_init(&b->store, b->store_block, &shape, v, 1);
	mqtt_store_seal(&b->store);
	mqtt_session_init(&b->s, &config, &b->store, &memory);
}

/* Takes the first packet out of the outbox. */
static enum mqtt_type take_sent(struct bench *b)
{
	static uint8_t copy[8192];
	struct mqtt_error error;

	memcpy(copy, b->s.outbox, b->s.outbox_bytes);
	int n = mqtt_decode(bytes_of(copy, b->s.outbox_bytes), b->s.config.version, MQTT_CLIENT, 0, &b->sent,
			    &error);

	ck_assert_msg(n > 0, "the outbox holds no whole packet");
	memmove(b->s.outbox, b->s.outbox + n, b->s.outbox_bytes - (size_t)n);
	b->s.outbox_bytes -= (size_t)n;
	return b->sent.type;
}

static bool server_says(struct bench *b, const struct mqtt_packet *p)
{
	static uint8_t wire[4096];
	struct writer w = writer_of(wire, sizeof(wire));
	int n = mqtt_encode(&w, b->s.config.version, MQTT_SERVER, p);
	struct bytes input = bytes_of(wire, (size_t)n);

	EXPECT(n > 0);
	return mqtt_session_receive(&b->s, &input, b->now, &b->event);
}

static bool server_acks(struct bench *b, enum mqtt_type type, uint16_t id, uint8_t code)
{
	return server_says(b, &(struct mqtt_packet){.type = type, .ack = {.packet_id = id, .code = code}});
}

static bool server_accepts(struct bench *b, bool session_present, uint16_t receive_max)
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

static void go_online(struct bench *b, bool session_present, uint16_t receive_max)
{
	mqtt_session_connect(&b->s, bytes_of(NULL, 0), b->now);
	EXPECT_EQ(take_sent(b), MQTT_CONNECT);
	EXPECT(server_accepts(b, session_present, receive_max));
	EXPECT_EQ(b->event.kind, MQTT_EVENT_ONLINE);
}

/* Publishes one message with this token; its packet is decoded into b->sent. */
static int publish(struct bench *b, uint8_t qos, void *token, uint32_t channel_idx)
{
	struct mqtt_message m = {.topic = bytes_of_text("plant/a"),
				 .channel_idx = channel_idx,
				 .qos = qos,
				 .payload = b->record + 128,
				 .payload_bytes = 3,
				 .token = token};
	struct mqtt_error error;
	struct bytes packet;
	int rc;

	memcpy(b->record + 128, "1.5", 3);
	rc = mqtt_session_publish(&b->s, &m, &packet);
	if (rc >= 0)
		EXPECT_EQ(mqtt_decode(packet, b->s.config.version, MQTT_CLIENT, 0, &b->sent, &error),
			  (int)packet.size);
	return rc;
}

static int tokens[8];

TEST(a_qos_1_message_is_released_by_its_puback)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
	EXPECT_EQ(b.sent.publish.qos, 1);
	EXPECT(!b.sent.publish.dup);
	EXPECT(server_acks(&b, MQTT_PUBACK, b.sent.publish.packet_id, 0));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_RELEASED);
	EXPECT(b.event.token == &tokens[0]);
	EXPECT_EQ(b.s.inflight.count, 0);
}

TEST(a_qos_2_message_is_released_by_pubrec_and_its_id_by_pubcomp)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	uint16_t id = b.sent.publish.packet_id;

	EXPECT(server_acks(&b, MQTT_PUBREC, id, 0));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_RELEASED);
	EXPECT_EQ(take_sent(&b), MQTT_PUBREL);
	EXPECT_EQ(b.sent.ack.packet_id, id);
	EXPECT_EQ(b.s.inflight.count, 1);
	EXPECT(!server_acks(&b, MQTT_PUBREC, id, 0)); /* again: answered again, released once */
	EXPECT_EQ(take_sent(&b), MQTT_PUBREL);
	EXPECT(!server_acks(&b, MQTT_PUBCOMP, id, 0));
	EXPECT_EQ(b.s.inflight.count, 0);
}

TEST(a_pubrec_that_refuses_ends_the_exchange_without_pubrel)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	EXPECT(server_acks(&b, MQTT_PUBREC, b.sent.publish.packet_id, MQTT_QUOTA_EXCEEDED));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_RELEASED);
	EXPECT_EQ(b.event.code, MQTT_QUOTA_EXCEEDED);
	EXPECT_EQ(b.s.outbox_bytes, 0);
	EXPECT_EQ(b.s.inflight.count, 0);
	EXPECT_EQ(b.s.quota, 10);
}

TEST(no_more_than_the_servers_receive_maximum_is_under_way)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 2);
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
	uint16_t first = b.sent.publish.packet_id;

	EXPECT_EQ(publish(&b, 2, &tokens[1], 0), 1);
	EXPECT_EQ(publish(&b, 1, &tokens[2], 0), -EAGAIN);
	EXPECT_EQ(publish(&b, 0, &tokens[2], 0), 0); /* QoS 0 is not counted */
	EXPECT(server_acks(&b, MQTT_PUBACK, first, 0));
	EXPECT_EQ(publish(&b, 1, &tokens[2], 0), 1);
}

TEST(our_own_window_ends_it_where_the_server_has_no_limit)
{
	struct bench b;

	bench_init(&b, MQTT_3_1_1, true);
	go_online(&b, false, 0);
	for (int i = 0; i < INFLIGHT; i++)
		EXPECT_EQ(publish(&b, 1, &tokens[i], 0), 1);
	EXPECT_EQ(publish(&b, 1, &tokens[4], 0), -EAGAIN);
	EXPECT_EQ(mqtt_session_room(&b.s), 0);
}

TEST(what_was_in_flight_is_sent_again_in_its_order_with_dup)
{
	struct bench b;
	struct mqtt_message m = {.topic = bytes_of_text("plant/a"), .qos = 1, .payload_bytes = 3};
	struct bytes packet;
	uint16_t id, ids[3];

	bench_init(&b, MQTT_5, false);
	go_online(&b, false, 10);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(publish(&b, i == 1 ? 2 : 1, &tokens[i], 0), 1);
		ids[i] = b.sent.publish.packet_id;
	}
	EXPECT(server_acks(&b, MQTT_PUBREC, ids[1], 0));
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	m.payload = b.record + 128;
	EXPECT(mqtt_session_resending(&b.s));
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
	EXPECT_EQ(id, ids[0]);
	EXPECT_EQ(mqtt_session_republish(&b.s, id, &m, &packet), 1);
	EXPECT_EQ(packet.ptr[0], 0x3A); /* PUBLISH, DUP, QoS 1 */
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[2]);
	EXPECT_EQ(take_sent(&b), MQTT_PUBREL); /* the one that the server has: its PUBREL only */
	EXPECT_EQ(b.sent.ack.packet_id, ids[1]);
	EXPECT_EQ(mqtt_session_republish(&b.s, id, &m, &packet), 1);
	EXPECT(!mqtt_session_resending(&b.s));
}

TEST(without_a_session_messages_are_sent_as_new_and_released_ids_are_free)
{
	struct bench b;
	struct mqtt_message m = {.topic = bytes_of_text("plant/a"), .qos = 2, .payload_bytes = 3};
	struct bytes packet;
	uint16_t id;

	bench_init(&b, MQTT_5, false);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	EXPECT(server_acks(&b, MQTT_PUBREC, b.sent.publish.packet_id, 0));
	EXPECT_EQ(publish(&b, 2, &tokens[1], 0), 1);
	mqtt_session_lost(&b.s);
	go_online(&b, false, 10);
	EXPECT_EQ(b.s.inflight.count, 1);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[1]);
	m.payload = b.record + 128;
	EXPECT_EQ(mqtt_session_republish(&b.s, id, &m, &packet), 1);
	EXPECT_EQ(packet.ptr[0], 0x34); /* no DUP */
}

TEST(an_alias_replaces_the_topic_from_its_second_use_and_ends_with_the_connection)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 0, NULL, 0), 0);
	EXPECT_EQ(b.sent.publish.topic.size, 7);
	EXPECT_EQ(b.sent.publish.props.topic_alias, 1);
	EXPECT_EQ(publish(&b, 0, NULL, 0), 0);
	EXPECT_EQ(b.sent.publish.topic.size, 0);
	EXPECT_EQ(publish(&b, 0, NULL, 1), 0);
	EXPECT_EQ(b.sent.publish.props.topic_alias, 2);
	EXPECT_EQ(publish(&b, 0, NULL, 2), 0); /* we use two at most */
	EXPECT(!mqtt_props_has(&b.sent.publish.props, MQTT_PROP_TOPIC_ALIAS));
	mqtt_session_lost(&b.s);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 0, NULL, 0), 0);
	EXPECT_EQ(b.sent.publish.topic.size, 7);
}

TEST(a_packet_larger_than_the_server_takes_is_refused_and_costs_no_id)
{
	struct bench b;
	struct mqtt_packet p = {.type = MQTT_CONNACK};

	bench_init(&b, MQTT_5, true);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
	mqtt_props_set(&p.connack.props, MQTT_PROP_MAXIMUM_PACKET_SIZE);
	p.connack.props.maximum_packet_size_bytes = 12;
	EXPECT(server_says(&b, &p));
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), -EMSGSIZE);
	EXPECT_EQ(b.s.inflight.count, 0);
	EXPECT_EQ(b.s.quota, UINT16_MAX);
}

TEST(qos_and_retain_are_lowered_to_what_the_server_offers)
{
	struct bench b;
	struct mqtt_packet p = {.type = MQTT_CONNACK};

	bench_init(&b, MQTT_5, true);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
	mqtt_props_set(&p.connack.props, MQTT_PROP_MAXIMUM_QOS);
	p.connack.props.maximum_qos = 1;
	EXPECT(server_says(&b, &p));
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	EXPECT_EQ(b.sent.publish.qos, 1);
}

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

TEST(an_inbound_qos_2_message_is_delivered_once)
{
	struct bench b;
	const struct mqtt_packet p = {.type = MQTT_PUBLISH,
				      .publish = {.qos = 2, .packet_id = 7, .topic = bytes_of_text("x")}};

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	EXPECT(server_says(&b, &p));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_MESSAGE);
	EXPECT_EQ(take_sent(&b), MQTT_PUBREC);
	EXPECT(!server_says(&b, &p));
	EXPECT_EQ(take_sent(&b), MQTT_PUBREC);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 7, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBCOMP);
	EXPECT_EQ(b.sent.ack.code, MQTT_SUCCESS);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 7, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBCOMP);
	EXPECT_EQ(b.sent.ack.code, MQTT_PACKET_IDENTIFIER_NOT_FOUND);
}

TEST(a_session_from_before_our_start_is_discarded)
{
	struct bench b;

	bench_init(&b, MQTT_5, false); /* 5.0: a clean start, and the new session stays */
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
	EXPECT(b.sent.connect.clean_start);
	EXPECT(server_accepts(&b, false, 10));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_ONLINE);
	mqtt_session_lost(&b.s);
	mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
	EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
	EXPECT(!b.sent.connect.clean_start);

	bench_init(&b, MQTT_3_1_1, false); /* 3.1.1: only a clean session discards, and it does not stay */
	const bool present[] = {true, false, false}, clean[] = {false, true, false};

	for (int i = 0; i < 3; i++) {
		mqtt_session_connect(&b.s, bytes_of(NULL, 0), b.now);
		EXPECT_EQ(take_sent(&b), MQTT_CONNECT);
		EXPECT_EQ(b.sent.connect.clean_start, clean[i]);
		EXPECT(server_accepts(&b, present[i], 0));
		EXPECT_EQ(b.event.kind, i == 2 ? MQTT_EVENT_ONLINE : MQTT_EVENT_CLOSE);
		if (i < 2)
			mqtt_session_lost(&b.s);
	}
}

TEST(answers_that_have_no_room_leave_the_input_where_it_is)
{
	struct bench b;
	static uint8_t wire[8192 * 2];
	struct writer w = writer_of(wire, sizeof(wire));
	struct bytes input;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	while (writer_left(&w) >= 16) {
		const struct mqtt_publish p = {.qos = 1, .packet_id = 1, .topic = bytes_of_text("x")};

		EXPECT(mqtt_encode_publish(&w, MQTT_5, MQTT_SERVER, &p) > 0);
	}
	input = bytes_of(wire, (size_t)(w.at - wire));
	b.s.outbox_bytes = b.s.outbox_room - MQTT_SESSION_ANSWER_BYTES;
	EXPECT(mqtt_session_receive(&b.s, &input, b.now, &b.event));
	EXPECT(!mqtt_session_receive(&b.s, &input, b.now, &b.event));
	EXPECT(!mqtt_session_takes_input(&b.s));
	EXPECT(input.size > 0);
	b.s.outbox_bytes = 0;
	EXPECT(mqtt_session_receive(&b.s, &input, b.now, &b.event));
}

TEST(identifiers_rest_before_they_are_used_again)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online(&b, false, 10);
	for (uint16_t i = 0; i < 3 * INFLIGHT; i++) {
		EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
		EXPECT_EQ(b.sent.publish.packet_id, i % INFLIGHT + 1);
		EXPECT(server_acks(&b, MQTT_PUBACK, b.sent.publish.packet_id, 0));
	}
}
