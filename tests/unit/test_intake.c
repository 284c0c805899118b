/* Payloads that come by subscription, into tags. */
#include <string.h>

#include "core/intake.h"
#include "tests/unit/config_case.h"

#define HEAD \
	"targets: [{name: t, url: 'mqtt://b'}]\n" \
	"devices:\n" \
	"  - {name: m1, tags: [{name: i, type: int16}, {name: f, type: float64}, {name: b, type: bool}]}\n" \
	"  - {name: m2, tags: [{name: i, type: uint16, scale: 0.1}]}\n" \
	"definitions:\n"

enum { M1_I, M1_F, M1_B, M2_I };

static struct tag_table tags;
static struct definitions *d;
static struct sampler_metrics metrics;
static struct definition_lane *lane;
static const char *why;

static const struct mono now = {.ns = NS_PER_S};
static const struct wall at = {.ns = 1000};

static void open_of(const char *definition)
{
	/* and what gives the other tags a source */
	parse_good_format(HEAD "%s"
			       "  - {name: rest, target: t, mode: subscribe, tags: 'm*', topic: "
			       "'rest/{device}/{tag}'}\n",
			  definition);
	EXPECT_EQ(tag_table_open(&tags, c), 0);
	EXPECT_EQ(definitions_open(&d, c, &tags), 0);
	definitions_attach_metrics(d, definition_source_of_publisher(c, 0), &metrics);
	lane = &d->lanes[definition_source_of_publisher(c, 0)];
	definition_start(lane, now);
}

static void close_all(void)
{
	definitions_close(d);
	tag_table_close(&tags);
	config_free(c);
}

static int take(uint32_t tag_idx, const char *payload)
{
	why = "";
	return intake(lane, 0, tag_idx, bytes_of_text(payload), now, at, &why);
}

static double value_of(uint32_t tag_idx)
{
	struct tag_sample s = tag_read(&tags, tag_idx);

	EXPECT_EQ(s.quality, TAG_GOOD);
	return value_as_double(s.value);
}

static void expect_refused(uint32_t tag_idx, const char *payload, int rc, const char *reason)
{
	struct tag_sample before[4], after;

	for (uint32_t i = 0; i < 4; i++)
		before[i] = tag_read(&tags, i);
	int got = take(tag_idx, payload);

	ck_assert_msg(got == rc, "%s: %d, not %d (%s)", payload, got, rc, why);
	ck_assert_msg(strstr(why, reason), "%s: %s", payload, why);
	for (uint32_t i = 0; i < 4; i++) {
		after = tag_read(&tags, i);
		EXPECT_EQ(after.version, before[i].version); /* nothing has changed */
	}
}

/* --- one tag ---------------------------------------------------------------------------------------------------------- */

TEST(a_plain_number_or_truth_value_is_the_value)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: 'm*', topic: '{device}/{tag}'}\n");
	EXPECT_EQ(take(M1_I, "-12"), 1);
	EXPECT_EQ(value_of(M1_I), -12);
	EXPECT_EQ(tag_read(&tags, M1_I).time.ns, at.ns);
	EXPECT_EQ(take(M1_I, " 1.2e1\r\n"), 1);
	EXPECT_EQ(value_of(M1_I), 12);
	EXPECT_EQ(take(M1_F, "-0.25"), 1);
	EXPECT(value_of(M1_F) == -0.25);
	EXPECT_EQ(take(M1_B, "true"), 1);
	EXPECT_EQ(value_of(M1_B), 1);
	EXPECT_EQ(take(M1_B, "0"), 1);
	EXPECT_EQ(value_of(M1_B), 0);
	EXPECT_EQ(take(M1_I, "\"34\""), 1); /* some write numbers in quotes */
	EXPECT_EQ(value_of(M1_I), 34);
	EXPECT_EQ(take(M1_I, "\"\\u0033\\u0035\""), 1);
	EXPECT_EQ(value_of(M1_I), 35);
	EXPECT_EQ(take(M2_I, "50"), 1); /* a raw value, as a device's: scaled */
	EXPECT(value_of(M2_I) == 5.0);
	close_all();
}

TEST(what_is_no_value_of_the_tags_type_is_refused_with_a_reason)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: 'm*', topic: '{device}/{tag}'}\n");
	expect_refused(M1_I, "40000", -ERANGE, "does not fit");
	expect_refused(M1_I, "1.5", -EINVAL, "none of the tag's type");
	expect_refused(M2_I, "-1", -ERANGE, "does not fit");
	expect_refused(M1_B, "2", -ERANGE, "");
	expect_refused(M1_F, "true", -EINVAL, "none of the tag's type");
	expect_refused(M1_F, "null", -EINVAL, "null");
	expect_refused(M1_F, "\"on\"", -EINVAL, "");
	expect_refused(M1_F, "", -EINVAL, "neither JSON nor a number");
	expect_refused(M1_F, "12,5", -EINVAL, "neither JSON nor a number");
	expect_refused(M1_F, "1 2", -EINVAL, "neither JSON nor a number");
	expect_refused(M1_F, "NaN", -EINVAL, "neither JSON nor a number");
	expect_refused(M1_F, "[1]", -ENOENT, "no `value`");
	expect_refused(M1_F, "{\"val\":1}", -ENOENT, "no `value`");
	expect_refused(M1_F, "{\"value\":{\"value\":1}}", -ENOENT, "no `value`");
	expect_refused(M1_F, "{\"value\":1", -EINVAL, "neither JSON");
	expect_refused(M1_F, "{\"value\":1}}", -EINVAL, "neither JSON");
	expect_refused(M1_I, "{\"value\":1e99}", -ERANGE, "does not fit");
	close_all();
}

TEST(a_message_as_we_write_it_brings_quality_and_time)
{
	struct tag_sample s;

	open_of("  - {name: d, target: t, mode: subscribe, tags: 'm*', topic: '{device}/{tag}'}\n");
	EXPECT_EQ(take(M1_F, "{\"tag\":\"m1.f\",\"value\":1.5,\"quality\":\"good\",\"ts\":"
			     "\"2026-01-02T03:04:05.678901Z\"}"),
		  1);
	EXPECT(value_of(M1_F) == 1.5);
	EXPECT_EQ(tag_read(&tags, M1_F).time.ns, 1767323045678901000);
	EXPECT_EQ(take(M1_F, "{\"value\":9,\"quality\":\"bad\",\"ts\":\"no time\"}"), 1);
	s = tag_read(&tags, M1_F);
	EXPECT_EQ(s.quality, TAG_BAD_DEVICE);
	EXPECT(value_as_double(s.value) == 1.5); /* the last good one */
	EXPECT_EQ(s.time.ns, at.ns);
	EXPECT_EQ(take(M1_F, "{\"value\":null,\"quality\":\"bad\"}"), 1); /* as of a tag never read */
	EXPECT_EQ(take(M1_F, "{\"value\":2,\"quality\":null}"), 1);
	EXPECT_EQ(tag_read(&tags, M1_F).quality, TAG_BAD_DEVICE);
	EXPECT_EQ(take(M1_F, "{\"value\":2}"), 1);
	EXPECT_EQ(value_of(M1_F), 2);
	expect_refused(M1_F, "{\"value\":\"x\",\"quality\":\"good\"}", -EINVAL, "");
	close_all();
}

TEST(a_pointer_says_where_the_value_is)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.i], topic: a, value: /data/0/v}\n");
	EXPECT_EQ(take(M1_I, "{\"data\":[{\"v\":7,\"value\":8}]}"), 1);
	EXPECT_EQ(value_of(M1_I), 7);
	EXPECT_EQ(take(M1_I, "{\"data\":[{\"v\":{\"value\":9}}]}"), 1);
	EXPECT_EQ(value_of(M1_I), 9);
	expect_refused(M1_I, "{\"data\":[]}", -ENOENT, "pointer");
	expect_refused(M1_I, "12", -ENOENT, "pointer");
	expect_refused(M1_I, "12 V", -EINVAL, "neither JSON nor a number");
	close_all();
}

/* --- several tags ----------------------------------------------------------------------------------------------------- */

#define ALL "  - {name: d, target: t, mode: subscribe, tags: [m1.i, m1.f, m2.i], topic: a}\n"

TEST(an_object_gives_its_members_to_the_tags_of_that_name)
{
	open_of(ALL);
	EXPECT_EQ(take(CFG_NONE, "{\"m1.i\":1,\"f\":2.5,\"m2.i\":{\"value\":30},\"other\":4,\"b\":1}"), 3);
	EXPECT_EQ(value_of(M1_I), 1);
	EXPECT(value_of(M1_F) == 2.5);
	EXPECT_EQ(value_of(M2_I), 3);
	EXPECT_EQ(tag_read(&tags, M1_B).quality, TAG_NEVER); /* no tag of the definition */
	EXPECT_EQ(take(CFG_NONE, "{\"i\":11}"), 1); /* a name that two devices have: the first of them */
	EXPECT_EQ(value_of(M1_I), 11);
	EXPECT_EQ(value_of(M2_I), 3);
	EXPECT_EQ(take(CFG_NONE, "{\"m1\\u002ei\":12}"), 1); /* however the name is written */
	EXPECT_EQ(value_of(M1_I), 12);
	close_all();
}

TEST(a_group_message_of_ours_is_taken_whole)
{
	open_of(ALL);
	EXPECT_EQ(take(CFG_NONE,
		       "{\"ts\":\"2026-01-02T03:04:05Z\",\"values\":{"
		       "\"m1.i\":{\"value\":1,\"quality\":\"good\",\"ts\":\"2026-01-02T03:04:05Z\"},"
		       "\"m1.f\":{\"value\":null,\"quality\":\"bad\",\"ts\":\"2026-01-02T03:04:05Z\"}}}"),
		  2);
	EXPECT_EQ(value_of(M1_I), 1);
	EXPECT_EQ(tag_read(&tags, M1_I).time.ns, 1767323045000000000);
	EXPECT_EQ(tag_read(&tags, M1_F).quality, TAG_BAD_DEVICE);
	close_all();
}

TEST(a_message_of_one_tag_names_it)
{
	open_of(ALL);
	EXPECT_EQ(take(CFG_NONE, "{\"tag\":\"m2.i\",\"value\":40,\"quality\":\"good\"}"), 1);
	EXPECT_EQ(value_of(M2_I), 4);
	EXPECT_EQ(take(CFG_NONE, "{\"tag\":\"f\",\"value\":\"1.25\"}"), 1);
	EXPECT(value_of(M1_F) == 1.25);
	expect_refused(CFG_NONE, "{\"tag\":\"m1.b\",\"value\":1}", -ENOENT, "none of the definition");
	expect_refused(CFG_NONE, "{\"tag\":\"m1.i\"}", -ENOENT, "no `value`");
	close_all();
}

TEST(a_message_counts_wholly_or_not_at_all)
{
	open_of(ALL);
	expect_refused(CFG_NONE, "{\"m1.i\":1,\"m1.f\":2,\"m2.i\":-1}", -ERANGE, "does not fit");
	expect_refused(CFG_NONE, "{\"m1.i\":1,\"m1.f\":{}}", -ENOENT, "no `value`");
	expect_refused(CFG_NONE, "{\"m1.i\":1,\"m1.f\":\"x\"}", -EINVAL, "");
	expect_refused(CFG_NONE, "{\"m1.i\":1,\"m1.f\":2", -EINVAL, "");
	expect_refused(CFG_NONE, "{\"x\":1}", -ENOENT, "names no tag");
	expect_refused(CFG_NONE, "{\"values\":{\"x\":1}}", -ENOENT, "names no tag");
	expect_refused(CFG_NONE, "{}", -ENOENT, "names no tag");
	expect_refused(CFG_NONE, "[1,2]", -ENOENT, "does not say for which");
	expect_refused(CFG_NONE, "12", -ENOENT, "does not say for which");
	expect_refused(CFG_NONE, "x", -EINVAL, "neither JSON nor a number");
	close_all();
}

TEST(a_value_that_came_by_subscription_is_told_to_those_who_publish_it)
{
	struct ring_limits limits = {.message_count = 10, .inflight_max = 4};
	struct ring_record *rec;
	struct ring *ring;

	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.i], topic: in}\n"
		"  - {name: p, target: t, tags: [m1.i], topic: out, payload: text}\n");
	limits.record_bytes_max = d->ports[0].record_bytes_max;
	limits.lane_count = d->ports[0].lane_count;
	EXPECT_EQ(ring_open(&ring, &limits), 0);
	definitions_attach_ring(d, 0, ring);
	EXPECT_EQ(take(M1_I, "5"), 1);
	EXPECT_EQ(take(M1_I, "5"), 1); /* no change: nothing to tell */
	definition_flush(lane, at, now);
	EXPECT_EQ(ring_take(ring, &rec, 1, now), 1);
	EXPECT_EQ(rec->payload_bytes, 1);
	EXPECT_MEM(ring_payload(rec), "5", 1);
	ring_release(ring, rec);
	EXPECT_EQ(ring_take(ring, &rec, 1, now), 0);
	ring_close(ring);
	close_all();
}

/* --- any bytes -------------------------------------------------------------------------------------------------------- */

TEST(a_payload_that_was_cut_off_changes_nothing)
{
	static const char whole[] = "{\"values\":{\"m1.i\":{\"value\":1,\"quality\":\"good\"},\"m1.f\":2.5}}";
	char cut[sizeof(whole)];

	open_of(ALL);
	for (size_t size = 0; size + 1 < sizeof(whole); size++) {
		memcpy(cut, whole, size);
		cut[size] = 0;
		expect_refused(CFG_NONE, cut, -EINVAL, "neither JSON nor a number");
	}
	EXPECT_EQ(take(CFG_NONE, whole), 2);
	close_all();
}
