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
	EXPECT(!mqtt_session_subscribe(&w.b.s, &w.b.event));
	for (uint32_t i = 0; i < w.in.subscriptions.count; i++) {
		EXPECT_EQ(take_sent(&w.b), MQTT_SUBSCRIBE);
		EXPECT(server_says(&w.b,
				   &(struct mqtt_packet){.type = MQTT_SUBACK,
							 .suback = {.packet_id = w.b.sent.subscribe.packet_id,
								    .codes = bytes_of("\0", 1)}}));
		inbound_progress(&w.in, w.now);
	}
	EXPECT_EQ(inbound_deadline(&w.in, &w.b.s, w.now).ns, w.now.ns);
	inbound_step(&w.in, &w.b.s, w.now, (struct wall){.ns = 1});
	EXPECT_EQ(w.in.state, INBOUND_READY);
	EXPECT(value_of(&w, X) == 5);
	EXPECT(value_of(&w, Y) == 6);
	EXPECT_EQ(inbound_deadline(&w.in, &w.b.s, w.now).ns, MONO_NEVER.ns);
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
