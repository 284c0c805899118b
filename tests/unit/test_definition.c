#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "core/definition.h"

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
