/* What a session keeps beyond a connection, a server or the process, and what it does with it then. */
#include <errno.h>

#include "tests/unit/session_bench.h"

static void bench_that_keeps(struct bench *b, enum mqtt_version v)
{
	bench_init_with(b, &(struct bench_options){.version = v, .keeps_messages = true});
	mqtt_session_server(&b->s, 7);
}

static uint16_t publish_with(struct bench *b, uint8_t qos, const char *topic, void *token)
{
	struct mqtt_message m = bench_message(b, qos, token, 0);

	m.topic = bytes_of_text(topic);
	m.time_ns = 12345;
	EXPECT_EQ(publish_message(b, &m), 1);
	return b->sent.publish.packet_id;
}

static void restart(struct bench *b)
{
	bench_restart(b);
	mqtt_session_server(&b->s, 7);
}

/* Gives every restored message a token; how many there are. */
static uint32_t attach_all(struct bench *b, uint16_t ids[INFLIGHT])
{
	struct mqtt_stored m;
	uint16_t packet_id = 0;
	uint32_t count = 0;
	uint8_t qos;

	while (mqtt_session_restored(&b->s, &packet_id, &m, &qos)) {
		ids[count] = packet_id;
		mqtt_session_attach(&b->s, packet_id, &tokens[count++]);
	}
	return count;
}

static int republish(struct bench *b, uint16_t id)
{
	struct mqtt_message m = bench_message(b, 2, &tokens[0], 0);
	struct mqtt_error error;
	int rc = mqtt_session_republish(&b->s, id, &m, &b->sent_packet);

	if (rc >= 0)
		EXPECT_EQ(mqtt_decode(b->sent_packet, b->s.config.version, MQTT_CLIENT, 0, &b->sent, &error),
			  (int)b->sent_packet.size);
	return rc;
}

static void session_outlives_us(enum mqtt_version v)
{
	uint16_t ids[INFLIGHT], id, released;
	struct bench b;

	bench_that_keeps(&b, v);
	go_online(&b, false, 10);
	id = publish_with(&b, 1, "first", NULL);
	EXPECT(server_acks(&b, MQTT_PUBACK, id, 0));
	released = publish_with(&b, 2, "released", NULL);
	EXPECT_EQ(publish_with(&b, 1, "one", NULL), 3);
	EXPECT_EQ(publish_with(&b, 2, "two", NULL), 4);
	EXPECT_EQ(publish_with(&b, 1, "three", NULL), 1); /* its identifier is lower, it is newer */
	EXPECT(server_acks(&b, MQTT_PUBREC, released, 0));
	restart(&b);
	EXPECT_EQ(b.s.inflight.count, 4);
	EXPECT_EQ(attach_all(&b, ids), 3);
	EXPECT_EQ(ids[0], 3);
	EXPECT_EQ(ids[1], 4);
	EXPECT_EQ(ids[2], 1);
	start_connecting(&b);
	EXPECT(!b.sent.connect.clean_start);
	EXPECT(server_accepts(&b, true, 10));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_ONLINE);
	for (int i = 0; i < 3; i++) {
		EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[i]);
		if (i == 0) { /* the oldest of all: its PUBREL goes before */
			EXPECT_EQ(take_sent(&b), MQTT_PUBREL);
			EXPECT_EQ(b.sent.ack.packet_id, released);
		}
		EXPECT_EQ(id, ids[i]);
		EXPECT_EQ(republish(&b, id), 1);
		EXPECT(b.sent.publish.dup);
		EXPECT_EQ(b.sent.publish.packet_id, id);
		EXPECT_EQ(b.sent.publish.qos, i == 1 ? 2 : 1);
	}
	EXPECT(!mqtt_session_resending(&b.s));
	EXPECT(!server_acks(&b, MQTT_PUBCOMP, released, 0));
	EXPECT_EQ(publish(&b, 1, &tokens[3], 0), 1);
	EXPECT_EQ(b.sent.publish.packet_id, released); /* the only free one */
}

TEST(what_is_in_flight_outlives_the_process_in_its_order)
{
	session_outlives_us(MQTT_5);
	session_outlives_us(MQTT_3_1_1);
}

TEST(a_restored_message_is_what_was_sent)
{
	uint8_t props[32];
	struct writer w = writer_of(props, sizeof(props));
	uint16_t packet_id = 0;
	struct mqtt_message m;
	struct mqtt_stored out;
	struct bench b;
	uint8_t qos;

	bench_that_keeps(&b, MQTT_5);
	go_online(&b, false, 10);
	mqtt_write_user_property(&w, bytes_of_text("k"), bytes_of_text("v"));
	m = bench_message(&b, 2, NULL, 0);
	m.topic = bytes_of_text("a/b");
	m.props = bytes_of(props, (size_t)(w.at - props));
	m.expiry_s = 60;
	m.expiry_left_s = 59;
	m.time_ns = 987654321;
	m.retain = true;
	EXPECT_EQ(publish_message(&b, &m), 1);
	EXPECT_EQ(b.sent.publish.props.message_expiry_interval_s, 59);
	restart(&b);
	EXPECT(mqtt_session_restored(&b.s, &packet_id, &out, &qos));
	EXPECT_EQ(qos, 2);
	EXPECT(bytes_equal(out.topic, m.topic));
	EXPECT(bytes_equal(out.props, m.props));
	EXPECT(bytes_equal(out.payload, bytes_of_text("1.5")));
	EXPECT_EQ(out.expiry_s, 60);
	EXPECT_EQ(out.time_ns, 987654321);
	EXPECT(out.retain);
	EXPECT(!mqtt_session_restored(&b.s, &packet_id, &out, &qos));
}

TEST(what_was_sent_once_is_sent_again_however_old_it_is)
{
	struct bench b;
	uint16_t id;

	bench_that_keeps(&b, MQTT_5);
	go_online(&b, false, 10);
	struct mqtt_message m = bench_message(&b, 2, &tokens[0], 0);

	m.expiry_s = m.expiry_left_s = 5;
	EXPECT_EQ(publish_message(&b, &m), 1);
	b.now = mono_add(b.now, 1000 * NS_PER_S);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 10);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
	m.expiry_left_s = 1; /* an interval of 0 would be none */
	EXPECT_EQ(mqtt_session_republish(&b.s, id, &m, &b.sent_packet), 1);
	EXPECT(server_acks(&b, MQTT_PUBREC, id, 0));
	EXPECT_EQ(take_sent(&b), MQTT_PUBREL); /* and its exchange is ended, too */
	EXPECT(!server_acks(&b, MQTT_PUBCOMP, id, 0));
	EXPECT_EQ(b.s.inflight.count, 0);
}

TEST(what_was_refused_is_through_and_not_sent_again)
{
	for (uint8_t qos = 1; qos <= 2; qos++) {
		struct bench b;

		bench_that_keeps(&b, MQTT_5);
		go_online(&b, false, 10);
		uint16_t id = publish_with(&b, qos, "x", &tokens[0]);

		EXPECT(server_acks(&b, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, id, MQTT_NOT_AUTHORIZED));
		EXPECT_EQ(b.event.kind, MQTT_EVENT_RELEASED);
		EXPECT_EQ(b.event.code, MQTT_NOT_AUTHORIZED);
		mqtt_session_lost(&b.s);
		go_online(&b, true, 10);
		EXPECT(!mqtt_session_resending(&b.s));
		restart(&b);
		EXPECT_EQ(b.s.inflight.count, 0);
	}
}

TEST(to_another_server_what_is_in_flight_is_sent_as_new)
{
	struct bench b;
	uint16_t id;

	bench_that_keeps(&b, MQTT_5);
	go_online(&b, false, 10);
	EXPECT_EQ(publish_with(&b, 1, "x", &tokens[0]), 1);
	EXPECT(server_publishes(&b, 2, 9, false));
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 8);
	EXPECT_EQ(mqtt_store_server(&b.store), 7); /* until that one has accepted us */
	start_connecting(&b);
	EXPECT(server_accepts(&b, false, 10));
	EXPECT_EQ(mqtt_store_server(&b.store), 8);
	EXPECT_EQ(b.s.store.inbound_count, 0);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
	EXPECT_EQ(republish(&b, id), 1);
	EXPECT(!b.sent.publish.dup);
}

TEST(until_the_other_server_has_accepted_us_the_first_ones_session_stays)
{
	uint16_t ids[INFLIGHT];
	struct bench b;

	bench_that_keeps(&b, MQTT_5);
	go_online(&b, false, 10);
	EXPECT_EQ(publish_with(&b, 1, "x", &tokens[0]), 1);
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 8);
	start_connecting(&b);
	restart(&b); /* at the first server again */
	EXPECT_EQ(attach_all(&b, ids), 1);
	start_connecting(&b);
	EXPECT(server_accepts(&b, true, 10));
	EXPECT_EQ(b.event.kind, MQTT_EVENT_ONLINE);
	EXPECT(b.event.session_present);
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

TEST(another_server_that_refuses_us_does_not_cost_the_first_ones_session)
{
	static const enum mqtt_version versions[] = {MQTT_5, MQTT_3_1_1};

	for (size_t i = 0; i < 2 * ARRAY_COUNT(versions); i++) {
		struct bench b;
		uint16_t id, ids[INFLIGHT];

		bench_that_keeps(&b, versions[i / 2]);
		go_online(&b, false, 10);
		EXPECT_EQ(publish_with(&b, 1, "one", &tokens[0]), 1);
		EXPECT(server_publishes(&b, 2, 9, false));
		mqtt_session_lost(&b.s);
		mqtt_session_server(&b.s, 8);
		server_refuses(&b);
		EXPECT(b.s.has_state);
		EXPECT_EQ(mqtt_store_server(&b.store), 7);
		if (i % 2) { /* and for the next process */
			bench_restart(&b);
			EXPECT_EQ(attach_all(&b, ids), 1);
		}
		mqtt_session_server(&b.s, 7);
		go_online(&b, true, 10);
		EXPECT(b.event.session_present);
		EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
		EXPECT_EQ(republish(&b, id), 1);
		EXPECT(b.sent.publish.dup);
		EXPECT(!server_publishes(&b, 2, 9, true));
	}
}

TEST(with_a_clean_start_no_server_is_in_the_store)
{
	struct bench b;

	bench_init(&b, MQTT_5, true);
	mqtt_session_server(&b.s, 7);
	go_online(&b, false, 10);
	EXPECT_EQ(mqtt_store_server(&b.store), 0);
	mqtt_session_lost(&b.s);
	start_connecting(&b);
	EXPECT(b.sent.connect.clean_start);
}

TEST(a_qos_2_message_is_sent_again_at_the_qos_the_server_has_now)
{
	static const uint8_t offered[] = {1, 0};

	for (size_t i = 0; i < ARRAY_COUNT(offered); i++) {
		struct mqtt_props props = {.present = 1ull << MQTT_PROP_MAXIMUM_QOS,
					   .maximum_qos = offered[i]};
		uint64_t sequence;
		struct bench b;
		uint16_t id;

		bench_that_keeps(&b, MQTT_5);
		go_online(&b, false, 10);
		EXPECT_EQ(publish_with(&b, 2, "x", &tokens[0]), 1);
		mqtt_session_lost(&b.s);
		go_online_with(&b, true, &props);
		EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
		EXPECT_EQ(republish(&b, id), offered[i]);
		EXPECT_EQ(b.sent.publish.qos, offered[i]);
		EXPECT_EQ(mqtt_store_get(&b.store, 1, &sequence),
			  offered[i] ? MQTT_INFLIGHT_PUBLISHED_1 : MQTT_INFLIGHT_FREE);
		EXPECT(!mqtt_session_resending(&b.s));
	}
}

TEST(what_a_smaller_server_does_not_take_again_frees_its_identifier)
{
	struct mqtt_props props = {.present = 1ull << MQTT_PROP_MAXIMUM_PACKET_SIZE,
				   .maximum_packet_size_bytes = 12};
	struct bench b;
	uint16_t id;

	bench_that_keeps(&b, MQTT_5);
	go_online(&b, false, 10);
	EXPECT_EQ(publish_with(&b, 2, "x", &tokens[0]), 1);
	mqtt_session_lost(&b.s);
	go_online_with(&b, true, &props);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[0]);
	EXPECT_EQ(republish(&b, id), -EMSGSIZE);
	EXPECT_EQ(b.s.inflight.count, 0);
	EXPECT_EQ(b.s.quota, UINT16_MAX);
	restart(&b);
	EXPECT_EQ(b.s.inflight.count, 0);
}

TEST(pubrels_that_come_again_leave_one_place_for_a_publish)
{
	struct bench b;
	uint16_t id;

	bench_that_keeps(&b, MQTT_5);
	go_online(&b, false, 10);
	for (int i = 0; i < 3; i++)
		EXPECT(server_acks(&b, MQTT_PUBREC, publish_with(&b, 2, "x", &tokens[i]), 0));
	EXPECT_EQ(publish_with(&b, 1, "y", &tokens[3]), 4);
	mqtt_session_lost(&b.s);
	go_online(&b, true, 2);
	EXPECT_EQ(b.s.quota, 1);
	EXPECT(mqtt_session_resend(&b.s, &id) == &tokens[3]);
	EXPECT_EQ(republish(&b, id), 1);
	EXPECT_EQ(b.s.quota, 0);
	EXPECT(server_acks(&b, MQTT_PUBACK, 4, 0));
	for (uint16_t i = 1; i <= 3; i++)
		EXPECT(!server_acks(&b, MQTT_PUBCOMP, i, 0));
	EXPECT_EQ(b.s.quota, 2); /* what was not counted gives nothing back */
}

/* --- the identifier that a server has given us ------------------------------------------------------------------------ */

TEST(an_identifier_that_the_server_assigned_is_ours_from_then_on)
{
	struct mqtt_props props = {.present = 1ull << MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER,
				   .assigned_client_identifier = bytes_of_text("you-are-42")};
	struct bench b;

	bench_init_with(&b, &(struct bench_options){.version = MQTT_5, .no_client_id = true});
	mqtt_session_server(&b.s, 7);
	start_connecting(&b);
	EXPECT_EQ(b.sent.connect.client_id.size, 0);
	EXPECT(server_says(&b, &(struct mqtt_packet){.type = MQTT_CONNACK, .connack = {.props = props}}));
	mqtt_session_lost(&b.s);
	start_connecting(&b);
	EXPECT(bytes_equal(b.sent.connect.client_id, bytes_of_text("you-are-42")));
	bench_restart(&b);
	mqtt_session_server(&b.s, 7);
	start_connecting(&b);
	EXPECT(bytes_equal(b.sent.connect.client_id, bytes_of_text("you-are-42")));
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 8); /* another server did not give it */
	start_connecting(&b);
	EXPECT_EQ(b.sent.connect.client_id.size, 0);
}

TEST(another_server_that_refuses_us_does_not_cost_the_identifier_that_the_first_one_assigned)
{
	struct mqtt_props props = {.present = 1ull << MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER,
				   .assigned_client_identifier = bytes_of_text("you-are-42")};
	struct bench b;

	bench_init_with(&b, &(struct bench_options){.version = MQTT_5, .no_client_id = true});
	mqtt_session_server(&b.s, 7);
	go_online_with(&b, false, &props);
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 8);
	server_refuses(&b);
	EXPECT_TEXT(mqtt_store_assigned_id(&b.store), "you-are-42");
	mqtt_session_server(&b.s, 7);
	start_connecting(&b);
	EXPECT(bytes_equal(b.sent.connect.client_id, bytes_of_text("you-are-42")));
	mqtt_session_lost(&b.s);
	mqtt_session_server(&b.s, 8);
	go_online(&b, false, 10); /* it has accepted us, and has given none */
	EXPECT_TEXT(mqtt_store_assigned_id(&b.store), "");
}

TEST(an_assigned_identifier_that_has_no_room_is_done_without)
{
	char text[MQTT_STORE_ID_BYTES];
	struct mqtt_props props = {.present = 1ull << MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER};

	memset(text, 'i', sizeof(text));
	for (size_t size = sizeof(text) - 1; size <= sizeof(text); size++) {
		struct bench b;

		bench_init_with(&b, &(struct bench_options){.version = MQTT_5, .no_client_id = true});
		mqtt_session_server(&b.s, 7);
		props.assigned_client_identifier = bytes_of(text, size);
		go_online_with(&b, false, &props);
		EXPECT_EQ(strlen(mqtt_store_assigned_id(&b.store)), size < sizeof(text) ? size : 0);
		bench_restart(&b);
	}
}
