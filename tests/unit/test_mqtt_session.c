/* A client's own messages; what comes in is in test_mqtt_session_in.c, its connection and subscriptions beside it. */
#include <errno.h>

#include "tests/unit/session_bench.h"

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

TEST(our_own_window_is_the_configurations_where_the_store_has_more_identifiers)
{
	struct bench b;

	bench_init(&b, MQTT_3_1_1, false);
	b.s.config.inflight_max = INFLIGHT - 2;
	mqtt_session_server(&b.s, 7);
	go_online(&b, false, 0);
	EXPECT_EQ(mqtt_session_room(&b.s), INFLIGHT - 2);
	for (int i = 0; i < INFLIGHT - 2; i++)
		EXPECT_EQ(publish(&b, 1, &tokens[i], 0), 1);
	EXPECT(!mqtt_session_window_open(&b.s));
	EXPECT_EQ(mqtt_session_room(&b.s), 0);
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), -EAGAIN);
	EXPECT(server_acks(&b, MQTT_PUBACK, 1, 0));
	EXPECT_EQ(mqtt_session_room(&b.s), 1);
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
}

TEST(a_window_that_has_become_smaller_than_what_is_in_flight_opens_when_that_is_through)
{
	struct bench b;

	bench_init(&b, MQTT_5, false);
	mqtt_session_server(&b.s, 7);
	go_online(&b, false, 10);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(publish(&b, 1, &tokens[i], 0), 1);
	b.s.config.inflight_max = 2;
	for (uint16_t id = 1; id <= 2; id++) {
		EXPECT_EQ(mqtt_session_room(&b.s), 0);
		EXPECT_EQ(publish(&b, 1, &tokens[3], 0), -EAGAIN);
		EXPECT(server_acks(&b, MQTT_PUBACK, id, 0));
	}
	EXPECT_EQ(mqtt_session_room(&b.s), 1);
	EXPECT_EQ(publish(&b, 1, &tokens[3], 0), 1);
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

/* A server that has the message already may pass over the packet, alias and all. */
TEST(a_message_that_is_sent_again_gives_no_alias)
{
	struct bench b;
	struct mqtt_message m = {.topic = bytes_of_text("plant/a"), .qos = 2, .payload_bytes = 3};
	struct mqtt_error error;
	struct bytes packet;
	uint16_t id;

	bench_init(&b, MQTT_5, false);
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
	m.payload = b.record + 128;
	EXPECT_EQ(mqtt_session_republish(&b.s, id, &m, &packet), 1);
	EXPECT(mqtt_decode(packet, MQTT_5, MQTT_CLIENT, 0, &b.sent, &error) > 0);
	EXPECT(b.sent.publish.dup);
	EXPECT(!mqtt_props_has(&b.sent.publish.props, MQTT_PROP_TOPIC_ALIAS));
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
	mqtt_session_accept(&b.s, 1, 1);
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

/* --- limits of the server ------------------------------------------------------------------------------------------- */

TEST(retain_is_not_sent_where_the_server_retains_nothing)
{
	const struct mqtt_props props = {.present = 1ull << MQTT_PROP_RETAIN_AVAILABLE};
	struct bench b;
	struct mqtt_message m;

	bench_init(&b, MQTT_5, true);
	go_online_with(&b, false, &props);
	m = bench_message(&b, 0, NULL, 0);
	m.retain = true;
	EXPECT_EQ(publish_message(&b, &m), 0);
	EXPECT(!b.sent.publish.retain);
	mqtt_session_lost(&b.s);
	go_online(&b, false, 10);
	EXPECT_EQ(publish_message(&b, &m), 0);
	EXPECT(b.sent.publish.retain);
}

TEST(what_is_not_to_be_lowered_is_refused)
{
	struct mqtt_props props = {.present = 1ull << MQTT_PROP_RETAIN_AVAILABLE |
					      1ull << MQTT_PROP_MAXIMUM_QOS,
				   .maximum_qos = 1};
	struct mqtt_message m;
	struct bench b;
	uint16_t id;

	bench_init_with(&b, &(struct bench_options){.version = MQTT_5, .refuse_lowered = true});
	go_online(&b, false, 10);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	mqtt_session_lost(&b.s);
	go_online_with(&b, true, &props);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
	m = bench_message(&b, 2, &tokens[0], 0);
	EXPECT_EQ(mqtt_session_republish(&b.s, id, &m, &b.sent_packet), -EOPNOTSUPP);
	EXPECT_EQ(b.s.inflight.count, 0);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), -EOPNOTSUPP);
	m = bench_message(&b, 0, NULL, 0);
	m.retain = true;
	EXPECT_EQ(publish_message(&b, &m), -EOPNOTSUPP);
	EXPECT_EQ(publish(&b, 1, &tokens[0], 0), 1);
	EXPECT_EQ(publish(&b, 0, NULL, 0), 0);
}

TEST(a_server_that_names_no_alias_maximum_gets_no_alias)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	go_online_with(&b, false, &(struct mqtt_props){0});
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(publish(&b, 0, NULL, 0), 0);
		EXPECT_EQ(b.sent.publish.topic.size, 7);
		EXPECT(!mqtt_props_has(&b.sent.publish.props, MQTT_PROP_TOPIC_ALIAS));
	}
}

TEST(a_full_window_holds_up_nothing_but_publish)
{
	static const struct mqtt_session_filter filter[] = {{.options.filter = {(const uint8_t *)"f", 1}}};
	struct bench b;

	bench_init_with(
		&b, &(struct bench_options){
			    .version = MQTT_5, .clean_start = true, .filters = filter, .filter_count = 1});
	go_online(&b, false, 1);
	EXPECT_EQ(publish(&b, 2, &tokens[0], 0), 1);
	uint16_t id = b.sent.publish.packet_id;

	EXPECT_EQ(b.s.quota, 0);
	EXPECT_EQ(publish(&b, 1, &tokens[1], 0), -EAGAIN);
	EXPECT_EQ(publish(&b, 0, NULL, 0), 0);
	EXPECT(server_publishes(&b, 1, 5, false));
	EXPECT_EQ(take_sent(&b), MQTT_PUBACK);
	EXPECT(server_publishes(&b, 2, 6, false));
	EXPECT_EQ(take_sent(&b), MQTT_PUBREC);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 6, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBCOMP);
	EXPECT(server_acks(&b, MQTT_PUBREC, id, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBREL);
	EXPECT_EQ(b.s.quota, 0); /* until PUBCOMP */
	EXPECT(!mqtt_session_subscribe(&b.s, &b.event));
	EXPECT_EQ(take_sent(&b), MQTT_SUBSCRIBE);
	b.now = mono_add(b.now, 60 * NS_PER_S);
	EXPECT(!mqtt_session_tick(&b.s, b.now, &b.event));
	EXPECT_EQ(take_sent(&b), MQTT_PINGREQ);
	EXPECT(!server_acks(&b, MQTT_PUBCOMP, id, 0));
	EXPECT_EQ(b.s.quota, 1);
	mqtt_session_disconnect(&b.s, MQTT_SUCCESS);
	EXPECT_EQ(take_sent(&b), MQTT_DISCONNECT);
}

TEST(pubrels_leave_in_the_order_of_their_pubrecs)
{
	static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};
	static const uint16_t ids[] = {3, 1, 4, 2};

	for (size_t v = 0; v < ARRAY_COUNT(versions); v++) {
		struct bench b;

		bench_init(&b, versions[v], true);
		go_online(&b, false, 10);
		for (int i = 0; i < INFLIGHT; i++)
			EXPECT_EQ(publish(&b, 2, &tokens[i], 0), 1);
		for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
			EXPECT(server_acks(&b, MQTT_PUBREC, ids[i], 0));
		for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
			EXPECT_EQ(take_sent(&b), MQTT_PUBREL);
			EXPECT_EQ(b.sent.ack.packet_id, ids[i]);
		}
	}
}

/* The smallest packets: what an acknowledgement needs, and one byte more for its code. */
static void go_online_small(struct bench *b, uint32_t max_packet_bytes)
{
	const struct mqtt_props props = {.present = 1ull << MQTT_PROP_MAXIMUM_PACKET_SIZE,
					 .maximum_packet_size_bytes = max_packet_bytes};

	bench_init(b, MQTT_5, true);
	go_online_with(b, false, &props);
}

TEST(a_reason_code_that_the_server_has_no_room_for_is_left_out)
{
	struct bench b;

	go_online_small(&b, 5);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 9, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBCOMP);
	EXPECT_EQ(b.sent.ack.code, MQTT_PACKET_IDENTIFIER_NOT_FOUND);
	EXPECT_EQ(b.sent_packet.size, 5);
	go_online_small(&b, 4);
	EXPECT(!server_acks(&b, MQTT_PUBREL, 9, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBCOMP);
	EXPECT_EQ(b.sent_packet.size, 4);
	EXPECT(!server_acks(&b, MQTT_PUBREC, 9, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBREL);
	EXPECT_EQ(b.sent_packet.size, 4);
}

TEST(a_server_that_has_no_room_for_an_acknowledgement_is_left_with_a_reason)
{
	for (uint32_t bytes = 1; bytes <= 3; bytes++) {
		struct mqtt_packet p = {.type = MQTT_CONNACK};
		struct bench b;

		bench_init(&b, MQTT_5, true);
		start_connecting(&b);
		mqtt_props_set(&p.connack.props, MQTT_PROP_MAXIMUM_PACKET_SIZE);
		p.connack.props.maximum_packet_size_bytes = bytes;
		EXPECT(server_says(&b, &p));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_CLOSE);
		EXPECT(strstr(mqtt_session_reason(&b.s), "maximum packet size"));
		if (bytes >= 2) {
			EXPECT_EQ(take_sent(&b), MQTT_DISCONNECT);
			EXPECT_LE(b.sent_packet.size, bytes);
		}
		EXPECT_EQ(b.s.outbox_bytes, 0);
	}
}
