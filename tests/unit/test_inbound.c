/* What a target does with the messages of its server: values, copies, what is passed on, what has to wait. */
#include "io/inbound.h"

#include <stdio.h>

#include "core/carried.h"
#include "io/publisher.h"
#include "tests/unit/session_bench.h"

#define HEAD \
	"node: n1\n" \
	"publishers: [{name: p0}, {name: p1}]\n" \
	"targets:\n" \
	"  - {name: t, url: 'mqtt://127.0.0.1', publisher: p0, clean_start: false, max_buffered_messages: " \
	"3, " \
	"message_buffer_window: 2s}\n" \
	"  - {name: u, url: 'mqtt://127.0.0.1', publisher: p1}\n" \
	"devices: [{name: in, tags: [{name: x, type: float64}, {name: y, type: float64}]}]\n" \
	"definitions:\n" \
	"  - {name: y, target: t, mode: subscribe, tags: [in.y], topic: only/y}\n" \
	"  - {name: rest, target: t, mode: subscribe, tags: [in.x], topic: only/x}\n"

/* A target's inbound side without its target: the session is there, as the bench has it. */
struct side {
	struct bench b;
	struct cfg *cfg;
	struct tag_table tags;
	struct definitions *d;
	struct ring *rings[2];
	struct sampler_metrics lane_metrics[2];
	struct publisher publisher;
	struct target_metrics metrics;
	struct inbound in;
	struct mono now;
};

enum { X, Y }; /* tags */

enum { ONE = 2, ALL = 3 }; /* of the subscriptions of BOTH */

static void side_open(struct side *w, const char *definitions)
{
	struct cfg_errors errors = {0};
	char yaml[4096];
	int rc;

	*w = (struct side){.now = {.ns = NS_PER_S}};
	snprintf(yaml, sizeof(yaml), "%s%s", HEAD, definitions);
	rc = config_parse("test.yaml", bytes_of_text(yaml), &w->cfg, &errors);
	ck_assert_msg(rc == 0, "%s", errors.count ? errors.lines[0] : "?");
	EXPECT_EQ(tag_table_open(&w->tags, w->cfg), 0);
	EXPECT_EQ(definitions_open(&w->d, w->cfg, &w->tags), 0);
	for (uint32_t t = 0; t < 2; t++) {
		struct ring_limits limits = {.message_count = 100,
					     .inflight_max = 8,
					     .record_bytes_max = w->d->ports[t].record_bytes_max,
					     .lane_count = w->d->ports[t].lane_count};

		EXPECT_EQ(ring_open(&w->rings[t], &limits), 0);
		definitions_attach_ring(w->d, t, w->rings[t]);
		definitions_attach_metrics(w->d, t, &w->lane_metrics[t]);
	}
	w->publisher.config = (struct publisher_config){.cfg = w->cfg, .definitions = w->d};
	EXPECT_EQ(inbound_open(&w->in, &w->publisher, 0, &w->metrics), 0);
	definition_start(w->in.lane, w->now);
	bench_init_with(&w->b, &(struct bench_options){.version = MQTT_5,
						       .filters = w->in.filters,
						       .filter_count = w->in.subscriptions.count});
	go_online(&w->b, false, 10);
}

static void side_close(struct side *w)
{
	inbound_close(&w->in);
	definitions_close(w->d);
	ring_close(w->rings[0]);
	ring_close(w->rings[1]);
	tag_table_close(&w->tags);
	config_free(w->cfg);
}

static struct mqtt_publish message(const char *topic, const char *payload)
{
	return (struct mqtt_publish){.topic = bytes_of_text(topic), .payload = bytes_of_text(payload)};
}

static void come(struct side *w, const char *topic, const char *payload)
{
	struct mqtt_publish p = message(topic, payload);

	inbound_message(&w->in, &w->b.s, &p, w->now, (struct wall){.ns = 1});
}

/* With the identifiers of these subscriptions. */
static void come_for(struct side *w, const char *topic, const char *payload, uint32_t first, uint32_t second)
{
	struct mqtt_publish p = message(topic, payload);
	uint8_t raw[16];
	struct writer out = writer_of(raw, sizeof(raw));

	mqtt_write_subscription_identifier(&out, w->in.subscriptions.list[first].id);
	if (second != CFG_NONE)
		mqtt_write_subscription_identifier(&out, w->in.subscriptions.list[second].id);
	p.props.raw = bytes_of(raw, (size_t)(out.at - raw));
	inbound_message(&w->in, &w->b.s, &p, w->now, (struct wall){.ns = 1});
}

static double value_of(const struct side *w, uint32_t tag_idx)
{
	struct tag_sample s = tag_read(&w->tags, tag_idx);

	return s.quality == TAG_GOOD ? value_as_double(s.value) : -1;
}

/* Topic and payload of the next message that was passed on: "topic=payload"; "" for none. */
static const char *passed_on(struct side *w)
{
	static char text[256];
	struct ring_record *rec;
	struct carried c;

	text[0] = 0;
	if (ring_take(w->rings[1], &rec, 1, w->now) == 0)
		return text;
	c = carried_read(rec);
	snprintf(text, sizeof(text), "%.*s=%.*s", (int)c.topic.size, (const char *)c.topic.ptr,
		 (int)c.payload_bytes, (const char *)ring_payload(rec));
	ring_release(w->rings[1], rec);
	return text;
}

#define TAG_X "  - {name: x, target: t, mode: subscribe, tags: [in.x], topic: 'a/+'}\n"

TEST(a_message_goes_to_the_definitions_whose_filter_matches_its_topic)
{
	struct side w;

	side_open(&w, TAG_X);
	come(&w, "a/1", "5");
	EXPECT(value_of(&w, X) == 5);
	EXPECT(value_of(&w, Y) == -1);
	come(&w, "only/y", "6");
	EXPECT(value_of(&w, Y) == 6);
	EXPECT_EQ(counter_get(&w.metrics.received_messages), 2);
	EXPECT_EQ(counter_get(&w.d->counts[2].received), 1);
	EXPECT_EQ(counter_get(&w.d->counts[2].values), 1);
	come(&w, "a/1", "no number");
	EXPECT_EQ(counter_get(&w.d->counts[2].rejected), 1);
	EXPECT(value_of(&w, X) == 5);
	side_close(&w);
}

TEST(a_message_whose_topic_matches_no_filter_is_counted_and_goes_nowhere)
{
	struct side w;

	side_open(&w, TAG_X);
	come(&w, "a/b/c", "5");
	come(&w, "only", "5");
	come_for(&w, "b", "5", 0, CFG_NONE); /* its identifier says one that it does not match */
	EXPECT_EQ(counter_get(&w.metrics.unmatched), 3);
	EXPECT(value_of(&w, X) == -1);
	EXPECT(value_of(&w, Y) == -1);
	side_close(&w);
}

/* in.x by the filter a/1, in.y by a/#: one message of the server matches both. */
#define BOTH \
	"  - {name: a1, target: t, mode: subscribe, tags: [in.x], topic: a/1}\n" \
	"  - {name: a2, target: t, mode: subscribe, tags: [in.y], topic: 'a/#'}\n"

TEST(copies_with_identifiers_are_one_message_and_each_definition_has_it_once)
{
	struct side w;

	side_open(&w, BOTH);
	come_for(&w, "a/1", "5", ONE, CFG_NONE);
	EXPECT(value_of(&w, X) == 5);
	EXPECT(value_of(&w, Y) == -1);
	come_for(&w, "a/1", "5", ALL, CFG_NONE);
	EXPECT(value_of(&w, Y) == 5);
	EXPECT_EQ(counter_get(&w.metrics.received_messages), 1);
	EXPECT_EQ(counter_get(&w.metrics.duplicates), 1);
	EXPECT_EQ(counter_get(&w.d->counts[2].received), 1);
	EXPECT_EQ(counter_get(&w.d->counts[3].received), 1);
	come_for(&w, "a/1", "6", ALL, ONE); /* one copy for both, in any order */
	EXPECT(value_of(&w, X) == 6);
	EXPECT(value_of(&w, Y) == 6);
	EXPECT_EQ(counter_get(&w.metrics.received_messages), 2);
	EXPECT_EQ(counter_get(&w.metrics.duplicates), 1);
	side_close(&w);
}

TEST(copies_without_identifiers_are_told_by_what_they_are)
{
	struct side w;

	side_open(&w, BOTH);
	for (int i = 0; i < 2; i++)
		come(&w, "a/1", "5"); /* one a filter */
	EXPECT_EQ(counter_get(&w.metrics.received_messages), 1);
	EXPECT_EQ(counter_get(&w.metrics.duplicates), 1);
	EXPECT_EQ(counter_get(&w.d->counts[2].received), 1);
	come(&w, "only/y", "5"); /* of one filter: never a copy */
	come(&w, "only/y", "5");
	EXPECT_EQ(counter_get(&w.metrics.received_messages), 3);
	side_close(&w);
}

#define FORWARD \
	"  - {name: f, target: t, mode: subscribe, topic: 'up/+/#', qos: 1, forward: {target: u, topic: " \
	"'{node}/{1}/{2}', max_bytes: 64}}\n"

TEST(a_message_is_passed_on_under_its_new_topic_once)
{
	struct side w;

	side_open(&w, FORWARD "  - {name: g, target: t, mode: subscribe, topic: 'up/#', forward: {target: u, "
			      "topic: '{node}/{1}', max_bytes: 64}}\n");
	come(&w, "up/a/b/c", "payload");
	EXPECT_TEXT(passed_on(&w), "n1/a/b/c=payload"); /* g would send the same: once is enough */
	EXPECT_TEXT(passed_on(&w), "");
	EXPECT_EQ(counter_get(&w.d->counts[2].forwarded), 1);
	EXPECT_EQ(counter_get(&w.d->counts[3].forwarded), 0);
	side_close(&w);
}

/* f passes on up/a/b/c as n1/a/b/c, and so does g. */
#define FORWARD_BOTH(options_of_f) \
	"  - {name: f, target: t, mode: subscribe, topic: 'up/+/#'" options_of_f \
	", forward: {target: u, topic: " \
	"'{node}/{1}/{2}', max_bytes: 64}}\n" \
	"  - {name: g, target: t, mode: subscribe, topic: 'up/#', forward: {target: u, topic: " \
	"'{node}/{1}', " \
	"max_bytes: 64}}\n"

enum { F = 2, G = 3 }; /* subscriptions and definitions */

/* The server has answered all of them. */
static void subscribe_all(struct side *w)
{
	EXPECT(!mqtt_session_subscribe(&w->b.s, &w->b.event));
	for (uint32_t i = 0; i < w->in.subscriptions.count; i++) {
		EXPECT_EQ(take_sent(&w->b), MQTT_SUBSCRIBE);
		EXPECT(server_says(
			&w->b, &(struct mqtt_packet){.type = MQTT_SUBACK,
						     .suback = {.packet_id = w->b.sent.subscribe.packet_id,
								.codes = bytes_of("\0", 1)}}));
		inbound_progress(&w->in, w->now);
	}
	EXPECT(mqtt_session_subscribed(&w->b.s));
}

/* up/a/b/c with the identifier of g alone, as a server sends it that makes a copy a subscription. */
static void come_for_g(struct side *w, bool retain)
{
	struct mqtt_publish p = message("up/a/b/c", "payload");
	uint8_t raw[8];
	struct writer out = writer_of(raw, sizeof(raw));

	p.retain = retain;
	mqtt_write_subscription_identifier(&out, w->in.subscriptions.list[G].id);
	p.props.raw = bytes_of(raw, (size_t)(out.at - raw));
	inbound_message(&w->in, &w->b.s, &p, w->now, (struct wall){.ns = 1});
}

TEST(a_message_that_another_definition_gets_a_copy_of_is_left_to_that_one)
{
	struct side w;

	side_open(&w, FORWARD_BOTH(""));
	subscribe_all(&w);
	come_for_g(&w, false);
	EXPECT_TEXT(passed_on(&w), "");
	come_for(&w, "up/a/b/c", "payload", F, CFG_NONE);
	EXPECT_TEXT(passed_on(&w), "n1/a/b/c=payload");
	EXPECT_TEXT(passed_on(&w), "");
	side_close(&w);
}

/* A retained message comes for the filter that was subscribed to just now, and for no other. */
TEST(a_retained_message_is_passed_on_whatever_the_others_would_do)
{
	struct side w;

	side_open(&w, FORWARD_BOTH(""));
	subscribe_all(&w);
	come_for_g(&w, true);
	EXPECT_TEXT(passed_on(&w), "n1/a/b/c=payload");
	EXPECT_EQ(counter_get(&w.d->counts[G].forwarded), 1);
	side_close(&w);
}

TEST(a_subscription_that_may_hold_back_our_own_messages_is_not_relied_on)
{
	struct side w;

	side_open(&w, FORWARD_BOTH(", no_local: true"));
	subscribe_all(&w);
	come_for_g(&w, false);
	EXPECT_TEXT(passed_on(&w), "n1/a/b/c=payload");
	side_close(&w);
}

TEST(a_subscription_that_the_server_has_not_answered_is_not_relied_on)
{
	struct side w;

	side_open(&w, FORWARD_BOTH(""));
	come_for_g(&w, false); /* nothing is asked for yet */
	EXPECT_TEXT(passed_on(&w), "n1/a/b/c=payload");
	EXPECT(!mqtt_session_subscribe(&w.b.s, &w.b.event));
	come_for_g(&w, false); /* asked for, no answer */
	EXPECT_TEXT(passed_on(&w), "n1/a/b/c=payload");
	side_close(&w);
}

TEST(a_message_that_is_too_large_to_be_passed_on_is_counted)
{
	char payload[80];
	struct side w;

	memset(payload, 'p', sizeof(payload));
	side_open(&w, FORWARD);
	payload[64 - 5] = 0; /* n1/a/ and it: the most */
	come(&w, "up/a", payload);
	EXPECT_EQ(counter_get(&w.d->counts[2].forwarded), 1);
	payload[64 - 5] = 'p';
	payload[64] = 0;
	come(&w, "up/a", payload);
	EXPECT_EQ(counter_get(&w.d->counts[2].unforwarded), 1);
	side_close(&w);
}

/* --- what comes before the subscriptions are ready ---------------------------------------------------------------------- */

static void come_back(struct side *w)
{
	mqtt_session_lost(&w->b.s);
	go_online(&w->b, true, 10); /* the server has our session, and nothing of the filters */
	inbound_online(&w->in, &w->b.s, true, w->now);
}

TEST(messages_of_a_kept_session_wait_until_the_subscriptions_are_ready)
{
	struct side w;

	side_open(&w, TAG_X);
	come_back(&w);
	EXPECT_EQ(w.in.state, INBOUND_HOLDING);
	come(&w, "a/1", "5");
	come(&w, "only/y", "6");
	EXPECT(value_of(&w, X) == -1);
	EXPECT_EQ(inbound_deadline(&w.in, &w.b.s, w.now).ns, mono_add(w.now, 2 * NS_PER_S).ns);
	subscribe_all(&w);
	EXPECT_EQ(inbound_deadline(&w.in, &w.b.s, w.now).ns, w.now.ns);
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_EQ(w.in.state, INBOUND_READY);
	EXPECT(value_of(&w, X) == 5);
	EXPECT(value_of(&w, Y) == 6);
	EXPECT_EQ(inbound_deadline(&w.in, &w.b.s, w.now).ns, MONO_NEVER.ns);
	side_close(&w);
}

/* By way of the session, as a target has it. True: the session takes it for a message, not for a repetition. */
static bool arrives(struct side *w, uint8_t qos, uint16_t id, const char *payload)
{
	struct mqtt_packet p = {.type = MQTT_PUBLISH, .publish = message("up/a", payload)};
	uint8_t wire[64];
	struct writer out = writer_of(wire, sizeof(wire));
	struct mqtt_event e;

	p.publish.qos = qos;
	p.publish.packet_id = id;
	EXPECT(mqtt_encode(&out, MQTT_5, MQTT_SERVER, &p) > 0);
	struct bytes input = bytes_of(wire, (size_t)(out.at - wire));

	if (!mqtt_session_receive(&w->b.s, &input, w->now, &e))
		return false;
	EXPECT_EQ(e.kind, MQTT_EVENT_MESSAGE);
	inbound_message(&w->in, &w->b.s, &e.publish, w->now, (struct wall){.ns = 1});
	return true;
}

static void expect_ack(struct side *w, enum mqtt_type type, uint16_t id)
{
	EXPECT_EQ(take_sent(&w->b), type);
	EXPECT_EQ(w->b.sent.ack.packet_id, id);
}

TEST(a_message_is_acknowledged_when_it_is_delivered_and_in_its_order)
{
	struct side w;

	side_open(&w, FORWARD);
	come_back(&w);
	EXPECT(arrives(&w, 2, 6, "2"));
	EXPECT(arrives(&w, 0, 0, "0"));
	EXPECT(arrives(&w, 1, 5, "1"));
	EXPECT_EQ(w.b.s.outbox_bytes, 0);
	EXPECT(!mqtt_store_inbound_has(&w.b.store, 6));
	subscribe_all(&w);
	EXPECT_EQ(w.b.s.outbox_bytes, 0);
	EXPECT_TEXT(passed_on(&w), "");
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_TEXT(passed_on(&w), "n1/a/=2");
	EXPECT_TEXT(passed_on(&w), "n1/a/=0");
	EXPECT_TEXT(passed_on(&w), "n1/a/=1");
	expect_ack(&w, MQTT_PUBREC, 6);
	expect_ack(&w, MQTT_PUBACK, 5);
	EXPECT_EQ(w.b.s.outbox_bytes, 0);
	EXPECT(mqtt_store_inbound_has(&w.b.store, 6));
	EXPECT(!arrives(&w, 2, 6, "2")); /* a repetition now */
	side_close(&w);
}

TEST(what_is_held_when_the_connection_is_lost_comes_again)
{
	struct side w;

	side_open(&w, FORWARD);
	come_back(&w);
	EXPECT(arrives(&w, 1, 5, "1"));
	EXPECT(arrives(&w, 0, 0, "0"));
	EXPECT(arrives(&w, 2, 6, "2"));
	inbound_lost(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_EQ(w.in.buffer.count, 0);
	EXPECT_EQ(w.in.state, INBOUND_READY);
	EXPECT_EQ(w.b.s.outbox_bytes, 0);
	EXPECT_TEXT(passed_on(&w), "n1/a/=0"); /* nobody sends that again */
	EXPECT_TEXT(passed_on(&w), "");
	come_back(&w);
	EXPECT_EQ(w.in.state, INBOUND_HOLDING);
	EXPECT(arrives(&w, 1, 5, "1"));
	EXPECT(arrives(&w, 2, 6, "2"));
	subscribe_all(&w);
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_TEXT(passed_on(&w), "n1/a/=1");
	EXPECT_TEXT(passed_on(&w), "n1/a/=2");
	EXPECT_TEXT(passed_on(&w), "");
	expect_ack(&w, MQTT_PUBACK, 5);
	expect_ack(&w, MQTT_PUBREC, 6);
	side_close(&w);
}

TEST(when_no_more_messages_can_wait_all_are_acknowledged_in_their_order)
{
	struct side w;

	side_open(&w, FORWARD);
	come_back(&w);
	for (uint16_t id = 1; id <= 3; id++)
		EXPECT(arrives(&w, 1, id, "x"));
	EXPECT_EQ(w.b.s.outbox_bytes, 0);
	EXPECT(arrives(&w, 1, 4, "x"));
	for (uint16_t id = 1; id <= 4; id++)
		expect_ack(&w, MQTT_PUBACK, id);
	side_close(&w);
}

TEST(no_more_is_delivered_than_the_outbox_has_room_for_answers)
{
	struct side w;

	side_open(&w, FORWARD);
	come_back(&w);
	for (uint16_t id = 1; id <= 3; id++)
		EXPECT(arrives(&w, 1, id, "x"));
	w.now = mono_add(w.now, 2 * NS_PER_S);
	w.b.s.outbox_room = 2 * MQTT_SESSION_ANSWER_BYTES + 4; /* two answers, and room is short */
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_EQ(w.in.state, INBOUND_DRAINING);
	EXPECT_EQ(w.in.buffer.count, 1);
	expect_ack(&w, MQTT_PUBACK, 1);
	expect_ack(&w, MQTT_PUBACK, 2);
	EXPECT_EQ(w.b.s.outbox_bytes, 0);
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_EQ(w.in.state, INBOUND_READY);
	expect_ack(&w, MQTT_PUBACK, 3);
	side_close(&w);
}

TEST(messages_wait_no_longer_than_the_window)
{
	struct side w;

	side_open(&w, TAG_X);
	come_back(&w);
	come(&w, "a/1", "5");
	w.now = mono_add(w.now, 2 * NS_PER_S - 1);
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT(value_of(&w, X) == -1);
	w.now = mono_add(w.now, 1);
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT(value_of(&w, X) == 5);
	EXPECT_EQ(w.in.state, INBOUND_READY);
	side_close(&w);
}

TEST(when_no_more_messages_can_wait_all_are_delivered_in_their_order)
{
	struct side w;

	side_open(&w, FORWARD);
	come_back(&w);
	come(&w, "up/a", "1");
	come(&w, "up/a", "2");
	come(&w, "up/a", "3");
	EXPECT_EQ(w.in.state, INBOUND_HOLDING);
	EXPECT_TEXT(passed_on(&w), "");
	come(&w, "up/a", "4");
	EXPECT_EQ(w.in.state, INBOUND_READY);
	EXPECT_TEXT(passed_on(&w), "n1/a/=1");
	EXPECT_TEXT(passed_on(&w), "n1/a/=2");
	EXPECT_TEXT(passed_on(&w), "n1/a/=3");
	EXPECT_TEXT(passed_on(&w), "n1/a/=4");
	side_close(&w);
}

TEST(a_new_session_has_nothing_to_wait_for)
{
	struct side w;

	side_open(&w, TAG_X);
	inbound_online(&w.in, &w.b.s, false, w.now);
	EXPECT_EQ(w.in.state, INBOUND_READY);
	side_close(&w);
}
