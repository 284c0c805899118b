#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "core/carried.h"
#include "core/definition.h"
#include "core/loss.h"

/* One sampler with a synthetic line of four tags (load.t0 .. load.t3), one target with a ring; the test is the publisher. */
struct bench {
	struct cfg *cfg;
	struct tag_table tags;
	struct definitions *d;
	struct ring *ring;
	struct sampler_metrics metrics;
	struct definition_lane *lane;
	struct mono now;
	char last[512]; /* payload of the message taken last */
	char topic[128];
};

static void bench_open(struct bench *b, const char *definitions)
{
	char yaml[2048];
	struct cfg_errors errors = {0};
	struct ring_limits limits = {.message_count = 100, .inflight_max = 8};
	int rc;

	snprintf(yaml, sizeof(yaml),
		 "node: n1\n"
		 "targets: [{name: t, url: 'mqtt://127.0.0.1'}]\n"
		 "lines: [{name: load, synthetic: {tags: 4, rate: 100}}]\n"
		 "definitions:\n%s",
		 definitions);
	*b = (struct bench){.now = {.ns = NS_PER_S}};
	rc = config_parse("test.yaml", bytes_of_text(yaml), &b->cfg, &errors);
	ck_assert_msg(rc == 0, "%s", errors.count ? errors.lines[0] : "?");
	EXPECT_EQ(tag_table_open(&b->tags, b->cfg), 0);
	EXPECT_EQ(definitions_open(&b->d, b->cfg, &b->tags), 0);
	limits.record_bytes_max = b->d->ports[0].record_bytes_max;
	limits.lane_count = b->d->ports[0].lane_count;
	EXPECT_EQ(ring_open(&b->ring, &limits), 0);
	definitions_attach_ring(b->d, 0, b->ring);
	definitions_attach_metrics(b->d, 0, &b->metrics);
	b->lane = &b->d->lanes[0];
	definition_start(b->lane, b->now);
}

static void bench_close(struct bench *b)
{
	definitions_close(b->d);
	ring_close(b->ring);
	tag_table_close(&b->tags);
	config_free(b->cfg);
}

/* How many messages there are; the last one's payload and topic are kept. */
static int take_all(struct bench *b)
{
	struct ring_record *rec;
	int count = 0;

	definition_flush(b->lane, (struct wall){0}, b->now);
	for (; ring_take(b->ring, &rec, 1, b->now) == 1; count++) {
		const struct channel *ch = &b->d->channels[rec->channel_idx];

		snprintf(b->last, sizeof(b->last), "%.*s", (int)rec->payload_bytes,
			 (const char *)ring_payload(rec));
		snprintf(b->topic, sizeof(b->topic), "%.*s", (int)ch->topic.size,
			 (const char *)ch->topic.ptr);
		ring_release(b->ring, rec);
	}
	return count;
}

static void sample(struct bench *b, uint32_t tag_idx, double value)
{
	definition_update(b->lane, tag_idx, value_of_float64(value), (struct wall){.ns = 1767323045678901000},
			  b->now);
}

static void pass(struct bench *b, uint64_t ns)
{
	b->now = mono_add(b->now, ns);
	definition_tick(b->lane, (struct wall){0}, b->now);
}

TEST(a_value_that_did_not_change_is_told_once)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: [load.t0], topic: 'p/{node}/{device}/{tag}'}\n");
	sample(&b, 0, 1.5);
	sample(&b, 0, 1.5);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.topic, "p/n1/load/t0");
	EXPECT_TEXT(b.last, "{\"tag\":\"load.t0\",\"value\":1.5,\"quality\":\"good\",\"ts\":\"2026-01-02T03:"
			    "04:05.678901Z\"}");
	sample(&b, 0, 1.6);
	EXPECT_EQ(take_all(&b), 1);
	bench_close(&b);
}

TEST(a_dead_band_counts_from_the_value_that_was_told_last)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: [load.t0], topic: '{tag}', deadband: {abs: 1}}\n");
	sample(&b, 0, 10);
	EXPECT_EQ(take_all(&b), 1);
	sample(&b, 0, 10.6);
	sample(&b, 0, 11); /* exactly the band: not beyond it */
	EXPECT_EQ(take_all(&b), 0);
	sample(&b, 0, 11.1); /* creeping adds up */
	EXPECT_EQ(take_all(&b), 1);
	bench_close(&b);
}

TEST(a_percent_dead_band_grows_with_the_value)
{
	struct bench b;

	bench_open(&b,
		   "  - {name: d, target: t, tags: [load.t0], topic: '{tag}', deadband: {percent: 10}}\n");
	sample(&b, 0, 100);
	sample(&b, 0, 109);
	EXPECT_EQ(take_all(&b), 1);
	sample(&b, 0, 111);
	EXPECT_EQ(take_all(&b), 1);
	bench_close(&b);
}

TEST(losing_and_regaining_quality_is_told_within_the_dead_band_too)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: [load.t0], topic: '{tag}', deadband: {abs: 5}}\n");
	sample(&b, 0, 1);
	EXPECT_EQ(take_all(&b), 1);
	definition_update_bad(b.lane, 0, TAG_BAD_TIMEOUT, (struct wall){0}, b.now);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT(strstr(b.last, "\"value\":1,\"quality\":\"bad\""));
	definition_update_bad(b.lane, 0, TAG_BAD_CONNECTION, (struct wall){0}, b.now);
	EXPECT_EQ(take_all(&b), 0); /* still bad: another reason is no news to a subscriber */
	sample(&b, 0, 1);
	EXPECT_EQ(take_all(&b), 1);
	bench_close(&b);
}

TEST(a_value_that_was_never_read_is_null)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: [load.t0], topic: '{tag}'}\n");
	definition_update_bad(b.lane, 0, TAG_BAD_TIMEOUT, (struct wall){0}, b.now);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT(strstr(b.last, "\"value\":null,\"quality\":\"bad\""));
	bench_close(&b);
}

TEST(a_heartbeat_tells_each_tag_again_when_it_was_quiet_for_that_long)
{
	struct bench b;

	bench_open(&b,
		   "  - {name: d, target: t, tags: [load.t0, load.t1], topic: '{tag}', heartbeat: 10s}\n");
	pass(&b, 60 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 0); /* nothing was read yet: nothing to repeat */
	sample(&b, 0, 1);
	pass(&b, 4 * NS_PER_S);
	sample(&b, 1, 2);
	EXPECT_EQ(take_all(&b), 2);
	pass(&b, 6 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.topic, "t0");
	EXPECT_EQ(definition_deadline(b.lane).ns, mono_add(b.now, 4 * NS_PER_S).ns);
	sample(&b, 1, 3); /* a change restarts its quiet time */
	EXPECT_EQ(take_all(&b), 1);
	pass(&b, 4 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 0);
	bench_close(&b);
}

TEST(a_group_is_one_message_however_many_of_its_tags_changed)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: ['load.*'], topic: 'group/{definition}'}\n");
	sample(&b, 0, 1);
	sample(&b, 1, 2);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.topic, "group/d");
	EXPECT(strstr(b.last, "\"values\":{\"load.t0\":{\"value\":1,\"quality\":\"good\""));
	EXPECT(strstr(b.last, ",\"load.t1\":{\"value\":2,"));
	EXPECT(strstr(b.last, "\"load.t3\":{\"value\":null,\"quality\":\"bad\""));
	bench_close(&b);
}

TEST(a_group_heartbeat_needs_no_message_before_it_but_something_to_tell)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: ['load.*'], topic: 'g', heartbeat: 10s}\n");
	pass(&b, 10 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 0);
	tag_write(&b.tags, 3, value_of_float64(1), (struct wall){0}); /* as another sampler would */
	pass(&b, 10 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 1);
	bench_close(&b);
}

TEST(a_group_heartbeat_counts_from_the_last_message)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: ['load.*'], topic: 'g', heartbeat: 10s}\n");
	sample(&b, 0, 1);
	EXPECT_EQ(take_all(&b), 1);
	pass(&b, 9 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 0);
	pass(&b, 1 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 1);
	pass(&b, 10 * NS_PER_S);
	EXPECT_EQ(take_all(&b), 1);
	bench_close(&b);
}

TEST(a_cycle_keeps_its_grid_and_counts_what_it_missed)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, mode: periodic, cycle: 1s, tags: ['load.*'], topic: 'g'}\n");
	sample(&b, 0, 1);
	EXPECT_EQ(take_all(&b), 0);
	pass(&b, NS_PER_S);
	EXPECT_EQ(take_all(&b), 1);
	pass(&b, 3 * NS_PER_S + NS_PER_S / 2);
	EXPECT_EQ(take_all(&b), 1); /* not three at once */
	EXPECT_EQ(counter_get(&b.metrics.missed_cycles), 2);
	EXPECT_EQ(definition_deadline(b.lane).ns, NS_PER_S + 5 * NS_PER_S);
	bench_close(&b);
}

TEST(a_cycle_has_nothing_to_tell_before_the_first_sample)
{
	struct bench b;

	bench_open(&b,
		   "  - {name: d, target: t, mode: periodic, cycle: 1s, tags: ['load.*'], topic: '{tag}'}\n");
	sample(&b, 2, 1);
	pass(&b, NS_PER_S);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.topic, "t2");
	bench_close(&b);
}

TEST(text_payloads_are_the_bare_value)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: [load.t0], topic: '{tag}', payload: text}\n");
	sample(&b, 0, -0.25);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.last, "-0.25");
	definition_update_bad(b.lane, 0, TAG_BAD_TIMEOUT, (struct wall){0}, b.now);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.last, "-0.25");
	bench_close(&b);
}

TEST(messages_that_are_numbered_leave_no_number_of_their_source_out)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: [load.t0], topic: '{tag}', sequence: true}\n"
		       "  - {name: e, target: t, tags: [load.t1, load.t2], topic: 'g', sequence: true}\n"
		       "  - {name: f, target: t, tags: [load.t3], topic: 'f'}\n");
	sample(&b, 0, 1);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT_TEXT(b.last, "{\"tag\":\"load.t0\",\"value\":1,\"quality\":\"good\",\"ts\":\"2026-01-02T03:"
			    "04:05.678901Z\",\"seq\":1,\"source\":0}");
	sample(&b, 1, 1);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT(strstr(b.last, "}},\"seq\":2,\"source\":0}"));
	sample(&b, 3, 1);
	EXPECT_EQ(take_all(&b), 1); /* counts, and does not say so */
	EXPECT(!strstr(b.last, "seq"));
	sample(&b, 0, 2);
	EXPECT_EQ(take_all(&b), 1);
	EXPECT(strstr(b.last, "\"seq\":4,\"source\":0}"));
	bench_close(&b);
}

TEST(a_target_that_tells_of_losses_has_a_lane_and_room_for_it)
{
	static const char *const files[] = {
		"targets: [{name: t, url: 'mqtt://b'}]\n",
		"node: n\ntargets: [{name: t, url: 'mqtt://b', buffer: {loss_topic: "
		"'loss/{node}/{target}'}}]\n",
	};
	const uint64_t topic_bytes = strlen("loss/n/t");

	for (uint32_t i = 0; i < 2; i++) {
		struct cfg_errors errors = {0};
		struct tag_table tags;
		struct definitions *d;
		struct cfg *c;

		EXPECT_EQ(config_parse("f.yaml", bytes_of_text(files[i]), &c, &errors), 0);
		EXPECT_EQ(tag_table_open(&tags, c), 0);
		EXPECT_EQ(definitions_open(&d, c, &tags), 0);
		EXPECT_EQ(d->ports[0].lane_count, 1);
		EXPECT_EQ(d->ports[0].lane_of_source[definition_source_of_publisher(c, 0)],
			  i ? 0 : DEFINITION_NO_LANE);
		if (i)
			EXPECT_EQ(d->ports[0].record_bytes_max,
				  CHANNEL_HEADER_BYTES + topic_bytes +
					  carried_bytes(topic_bytes, 0, LOSS_MESSAGE_BYTES_MAX));
		definitions_close(d);
		tag_table_close(&tags);
		config_free(c);
	}
}

TEST(targets_with_news_are_named_once_until_they_were_told)
{
	struct bench b;

	bench_open(&b, "  - {name: d, target: t, tags: ['load.*'], topic: '{tag}'}\n");
	sample(&b, 0, 1);
	sample(&b, 1, 1);
	EXPECT_EQ(b.lane->touched_count, 1);
	EXPECT_EQ(b.lane->touched[0], 0);
	definition_touched_clear(b.lane);
	EXPECT_EQ(b.lane->touched_count, 0);
	sample(&b, 1, 2);
	EXPECT_EQ(b.lane->touched_count, 1);
	bench_close(&b);
}

/* --- values that come by subscription, and messages that are passed on -------------------------------------------------- */

/* Two targets with a publisher each; a line's tag, and a device without a line that target t gives values to. */
struct two {
	struct cfg *cfg;
	struct tag_table tags;
	struct definitions *d;
	struct ring *rings[2];
	struct sampler_metrics metrics[3];
	struct mono now;
};

enum { LOAD_T0, IN_X }; /* tags */

static void two_open(struct two *w)
{
	static const char yaml[] =
		"publishers: [{name: p0}, {name: p1}]\n"
		"targets:\n"
		"  - {name: t, url: 'mqtt://127.0.0.1', publisher: p0}\n"
		"  - {name: u, url: 'mqtt://127.0.0.1', publisher: p1}\n"
		"lines: [{name: load, synthetic: {tags: 1, rate: 100}}]\n"
		"devices: [{name: in, tags: [{name: x, type: float64}]}]\n"
		"definitions:\n"
		"  - {name: s, target: t, mode: subscribe, tags: [in.x], topic: in}\n"
		"  - {name: f, target: t, mode: subscribe, topic: 'up/#', forward: {target: u, topic: "
		"'{topic}', max_bytes: 200}}\n"
		"  - {name: g, target: u, tags: [load.t0, in.x], topic: group, heartbeat: 10s}\n"
		"  - {name: e, target: u, tags: [in.x], topic: '{tag}', qos: 1, expiry: 60s, content_type: "
		"text}\n";
	struct cfg_errors errors = {0};
	int rc = config_parse("test.yaml", bytes_of_text(yaml), &w->cfg, &errors);

	ck_assert_msg(rc == 0, "%s", errors.count ? errors.lines[0] : "?");
	EXPECT_EQ(tag_table_open(&w->tags, w->cfg), 0);
	EXPECT_EQ(definitions_open(&w->d, w->cfg, &w->tags), 0);
	w->now = (struct mono){.ns = NS_PER_S};
	for (uint32_t t = 0; t < 2; t++) {
		struct ring_limits limits = {.message_count = 100,
					     .inflight_max = 8,
					     .record_bytes_max = w->d->ports[t].record_bytes_max,
					     .lane_count = w->d->ports[t].lane_count};

		EXPECT_EQ(ring_open(&w->rings[t], &limits), 0);
		definitions_attach_ring(w->d, t, w->rings[t]);
	}
	EXPECT_EQ(w->d->source_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		w->metrics[i] = (struct sampler_metrics){0};
		definitions_attach_metrics(w->d, i, &w->metrics[i]);
		definition_start(&w->d->lanes[i], w->now);
	}
}

static void two_close(struct two *w)
{
	definitions_close(w->d);
	ring_close(w->rings[0]);
	ring_close(w->rings[1]);
	tag_table_close(&w->tags);
	config_free(w->cfg);
}

/* The channels of what waits for that target, by the letter of their definition; "f" for what was passed on. */
static void expect_waiting(struct two *w, uint32_t target_idx, const char *letters)
{
	struct ring_record *rec;
	char got[16] = "";

	for (size_t n = 0; n < 15 && ring_take(w->rings[target_idx], &rec, 1, w->now) == 1; n++) {
		got[n] = 'f';
		if (rec->channel_idx != CHANNEL_CARRIED) {
			const struct channel *ch = &w->d->channels[rec->channel_idx];

			got[n] = *cfg_text(w->cfg, w->cfg->definitions[ch->definition_idx].name);
		}
		ring_release(w->rings[target_idx], rec);
	}
	EXPECT_TEXT(got, letters);
}

static struct definition_lane *publisher_lane(struct two *w, uint32_t publisher_idx)
{
	return &w->d->lanes[definition_source_of_publisher(w->cfg, publisher_idx)];
}

TEST(a_tag_of_a_device_without_a_line_has_the_publisher_of_its_target_as_source)
{
	struct two w;

	two_open(&w);
	EXPECT_EQ(w.d->source_of_tag[LOAD_T0], 0);
	EXPECT_EQ(w.d->source_of_tag[IN_X], definition_source_of_publisher(w.cfg, 0));
	EXPECT_EQ(w.d->ports[0].channel_count, 0); /* what is subscribed to is no channel */
	EXPECT_EQ(w.d->ports[0].lane_count, 1);    /* and yet it has a ring */
	EXPECT_EQ(w.d->ports[1].channel_count, 2);
	EXPECT_EQ(w.d->ports[1].lane_count, 2); /* the sampler, and target t's publisher */
	EXPECT_EQ(w.d->ports[1].lane_of_source[definition_source_of_publisher(w.cfg, 1)], DEFINITION_NO_LANE);
	two_close(&w);
}

TEST(a_value_that_came_by_subscription_goes_where_its_tag_goes)
{
	struct definition_lane *lane;
	struct two w;

	two_open(&w);
	lane = publisher_lane(&w, 0);
	definition_update(lane, IN_X, value_of_float64(1), (struct wall){0}, w.now);
	definition_flush(lane, (struct wall){0}, w.now);
	expect_waiting(&w, 1, "eg");
	expect_waiting(&w, 0, "");
	EXPECT_EQ(lane->touched_count, 1);
	EXPECT_EQ(lane->touched[0], 1);
	EXPECT_EQ(counter_get(&w.metrics[1].messages), 2);
	definition_update(&w.d->lanes[0], LOAD_T0, value_of_float64(1), (struct wall){0}, w.now);
	definition_flush(&w.d->lanes[0], (struct wall){0}, w.now);
	expect_waiting(&w, 1, "g");
	two_close(&w);
}

TEST(a_groups_heartbeat_is_the_duty_of_its_first_tags_source)
{
	struct definition_lane *lane;
	struct two w;

	two_open(&w);
	lane = publisher_lane(&w, 0);
	definition_update(lane, IN_X, value_of_float64(1), (struct wall){0}, w.now);
	definition_flush(lane, (struct wall){0}, w.now);
	expect_waiting(&w, 1, "eg");
	w.now = mono_add(w.now, 10 * NS_PER_S);
	EXPECT_EQ(definition_deadline(lane).ns, MONO_NEVER.ns);
	definition_tick(lane, (struct wall){0}, w.now);
	expect_waiting(&w, 1, "");
	definition_tick(&w.d->lanes[0], (struct wall){0}, w.now);
	expect_waiting(&w, 1, "g");
	two_close(&w);
}

TEST(a_channel_has_room_for_its_properties_and_its_expiry)
{
	const struct channel *ch;
	struct two w;

	two_open(&w);
	ch = &w.d->channels[1];
	EXPECT_EQ(ch->expiry_s, 60);
	EXPECT_EQ(definition_props_bytes_max(w.cfg, &w.cfg->definitions[ch->definition_idx].props), 3 + 4);
	EXPECT_EQ(ch->headroom_bytes, CHANNEL_HEADER_BYTES + 1 + 7);
	two_close(&w);
}

TEST(a_message_that_is_passed_on_fits_up_to_its_limit_and_goes_into_the_other_ring)
{
	const uint32_t headroom = CHANNEL_HEADER_BYTES + 100, limit = 200;
	struct definition_lane *lane;
	struct ring_record *rec;
	struct carried carried;
	struct writer writer;
	uint8_t *payload;
	char topic[100];
	struct two w;

	two_open(&w);
	lane = publisher_lane(&w, 0);
	memset(topic, 't', sizeof(topic));
	payload = definition_forward_begin(lane, 1, headroom, carried_bytes(sizeof(topic), 0, limit - 100),
					   w.now);
	EXPECT(payload);
	payload = definition_forward_begin(lane, 1, headroom, carried_bytes(sizeof(topic), 0, 3),
					   w.now); /* not sent: reserved again */
	EXPECT(payload);
	writer = writer_of(payload, carried_bytes(sizeof(topic), 0, 3));
	write_text(&writer, "abc");
	carried_write_end(&writer, bytes_of(topic, sizeof(topic)), 0, 0, 1, false);
	definition_forward_end(lane, 1, (uint32_t)(writer.at - payload), w.now);
	EXPECT_EQ(lane->touched_count, 1);
	EXPECT_EQ(lane->touched[0], 1);
	EXPECT_EQ(ring_take(w.rings[1], &rec, 1, w.now), 1);
	EXPECT_EQ(rec->channel_idx, CHANNEL_CARRIED);
	EXPECT_EQ(rec->headroom_bytes, headroom);
	carried = carried_read(rec);
	EXPECT_EQ(carried.payload_bytes, 3);
	EXPECT(bytes_equal(carried.topic, bytes_of(topic, sizeof(topic))));
	ring_release(w.rings[1], rec);
	EXPECT(!definition_forward_begin(lane, 1, UINT32_MAX, 1, w.now));
	EXPECT(!definition_forward_begin(lane, 1, 1, 1ull << 40, w.now));
	EXPECT(!definition_forward_begin(lane, 1, 1, w.d->ports[1].record_bytes_max, w.now));
	expect_waiting(&w, 1, "");
	two_close(&w);
}
