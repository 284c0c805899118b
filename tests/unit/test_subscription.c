/* From definitions to the filters that a target asks its server for. */
#include "core/subscription.h"
#include "tests/unit/config_case.h"

#define DEVICES \
	"devices:\n" \
	"  - {name: m1, tags: [{name: x, type: int16}, {name: y, type: float64}]}\n" \
	"  - {name: m2, tags: [{name: x, type: int16}]}\n"
#define HEAD \
	"node: n1\ntargets: [{name: t, url: 'mqtt://b'}, {name: u, url: 'mqtt://b2'}]\n" DEVICES \
	"definitions:\n"

static struct subscriptions s;

static void open_of(const char *definitions, uint32_t target_idx)
{
	parse_good_format(HEAD "%s", definitions);
	EXPECT_EQ(subscriptions_open(&s, c, target_idx), 0);
}

static void close_all(void)
{
	subscriptions_close(&s);
	config_free(c);
}

static void expect_filter(uint32_t sub_idx, const char *filter, uint32_t route_count)
{
	struct bytes f = s.list[sub_idx].filter;

	ck_assert_msg(bytes_equal(f, bytes_of_text(filter)), "%.*s is not %s", (int)f.size,
		      (const char *)f.ptr, filter);
	EXPECT_EQ(s.list[sub_idx].route_count, route_count);
}

static struct subscription_route route(uint32_t sub_idx, uint32_t i)
{
	return s.routes[s.list[sub_idx].route_first + i];
}

TEST(a_definition_with_a_tag_in_its_topic_is_a_filter_a_tag)
{
	open_of("  - {name: d, target: t, mode: subscribe, qos: 1, tags: [m1.x, m1.y, m2.x], topic: "
		"'{node}/{device}/{tag}'}\n",
		0);
	EXPECT_EQ(s.count, 3);
	expect_filter(0, "n1/m1/x", 1);
	expect_filter(1, "n1/m1/y", 1);
	expect_filter(2, "n1/m2/x", 1);
	for (uint32_t i = 0; i < 3; i++) {
		EXPECT_EQ(route(i, 0).definition_idx, 0);
		EXPECT_EQ(route(i, 0).tag_idx, i);
		EXPECT_EQ(s.list[i].qos, 1);
		EXPECT(!s.list[i].wildcard);
		EXPECT(!s.list[i].shared);
	}
	close_all();
}

TEST(tags_of_one_device_share_its_filter)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.x, m1.y, m2.x], topic: 'in/{device}'}\n",
		0);
	EXPECT_EQ(s.count, 2);
	expect_filter(0, "in/m1", 2);
	expect_filter(1, "in/m2", 1);
	EXPECT_EQ(route(0, 0).tag_idx, 0);
	EXPECT_EQ(route(0, 1).tag_idx, 1);
	close_all();
}

TEST(one_filter_of_several_tags_says_itself_which_it_is_for)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.x, m1.y], topic: 'all'}\n"
		"  - {name: e, target: t, mode: subscribe, tags: [m2.x], topic: 'one'}\n",
		0);
	expect_filter(0, "all", 1);
	EXPECT_EQ(route(0, 0).tag_idx, CFG_NONE);
	EXPECT_EQ(route(1, 0).tag_idx, 2);
	close_all();
}

TEST(two_definitions_with_one_filter_are_one_subscription_with_the_higher_qos)
{
	open_of("  - {name: d, target: t, mode: subscribe, qos: 0, tags: [m1.x], topic: 'a/+'}\n"
		"  - {name: e, target: t, mode: subscribe, qos: 1, tags: [m1.y], topic: 'b'}\n"
		"  - {name: f, target: t, mode: subscribe, qos: 2, tags: [m2.x], topic: 'a/+'}\n"
		"  - {name: g, target: t, mode: subscribe, qos: 1, tags: [m2.x], topic: 'a/+'}\n",
		0);
	EXPECT_EQ(s.count, 2);
	expect_filter(0, "a/+", 3); /* in the order of the file, by its first */
	expect_filter(1, "b", 1);
	EXPECT_EQ(s.list[0].qos, 2);
	EXPECT_EQ(s.list[1].qos, 1);
	EXPECT_EQ(route(0, 0).definition_idx, 0);
	EXPECT_EQ(route(0, 1).definition_idx, 2);
	EXPECT_EQ(route(1, 0).definition_idx, 1);
	close_all();
}

TEST(a_target_has_its_own_definitions_only)
{
	static const char definitions[] =
		"  - {name: d, target: t, mode: subscribe, tags: [m1.x, m1.y], topic: 'a'}\n"
		"  - {name: e, target: u, mode: subscribe, tags: [m2.x], topic: 'a'}\n"
		"  - {name: p, target: t, tags: [m1.x], topic: 'out'}\n";

	open_of(definitions, 0);
	EXPECT_EQ(s.count, 1);
	EXPECT_EQ(route(0, 0).definition_idx, 0);
	close_all();
	open_of(definitions, 1);
	EXPECT_EQ(s.count, 1);
	EXPECT_EQ(route(0, 0).definition_idx, 1);
	close_all();
	open_of("  - {name: e, target: u, mode: subscribe, tags: [m1.x, m1.y, m2.x], topic: 'a'}\n", 0);
	EXPECT_EQ(s.count, 0);
	EXPECT_EQ(subscription_by_id(&s, 1), CFG_NONE);
	close_all();
}

TEST(a_shared_filter_matches_without_its_group)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.x, m1.y], topic: '$share/group/a/+/#'}\n"
		"  - {name: e, target: t, mode: subscribe, tags: [m2.x], topic: 'q', no_local: true, "
		"retain_as_published: true, retain_handling: never}\n",
		0);
	expect_filter(0, "$share/group/a/+/#", 1);
	EXPECT(bytes_equal(s.list[0].match, bytes_of_text("a/+/#")));
	EXPECT(s.list[0].shared);
	EXPECT(s.list[0].wildcard);
	EXPECT(s.list[1].no_local);
	EXPECT(s.list[1].retain_as_published);
	EXPECT_EQ(s.list[1].retain_handling, CFG_RETAINED_NEVER);
	close_all();
}

TEST(an_identifier_is_of_the_filter_whatever_else_the_file_says)
{
	uint32_t id;

	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.x, m1.y, m2.x], topic: 'a/b'}\n", 0);
	id = s.list[0].id;
	EXPECT(id >= 1);
	EXPECT(id <= 268435455);
	close_all();
	open_of("  - {name: first, target: t, mode: subscribe, tags: [m2.x], topic: 'c'}\n"
		"  - {name: other, target: t, mode: subscribe, tags: [m1.x, m1.y], topic: 'a/b', qos: 2}\n",
		0);
	EXPECT_EQ(s.list[1].id, id);
	EXPECT_NE(s.list[0].id, id);
	EXPECT_EQ(subscription_by_id(&s, id), 1);
	EXPECT_EQ(subscription_by_id(&s, s.list[0].id), 0);
	EXPECT_EQ(subscription_by_id(&s, id + 1), CFG_NONE);
	EXPECT_EQ(subscription_by_id(&s, id - 1), CFG_NONE);
	EXPECT_EQ(subscription_by_id(&s, 0), CFG_NONE);
	EXPECT_EQ(subscription_by_id(&s, UINT32_MAX), CFG_NONE);
	close_all();
}

TEST(two_filters_of_one_hash_have_identifiers_of_their_own)
{
	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.x, m1.y], topic: 'f/2700'}\n"
		"  - {name: e, target: t, mode: subscribe, tags: [m2.x], topic: 'f/15058'}\n",
		0);
	EXPECT_NE(s.list[0].id, s.list[1].id);
	EXPECT_EQ(subscription_by_id(&s, s.list[0].id), 0);
	EXPECT_EQ(subscription_by_id(&s, s.list[1].id), 1);
	EXPECT_EQ(s.list[0].id + 1, s.list[1].id);
	close_all();
}

TEST(filters_without_wildcards_are_found_by_their_topic)
{
	uint32_t count, first;

	open_of("  - {name: d, target: t, mode: subscribe, tags: [m1.x], topic: 'b/c'}\n"
		"  - {name: e, target: t, mode: subscribe, tags: [m1.y], topic: '$share/g/b/c'}\n"
		"  - {name: f, target: t, mode: subscribe, tags: [m2.x], topic: 'b'}\n"
		"  - {name: g, target: t, mode: subscribe, topic: 'b/+', forward: {target: u, topic: x}}\n"
		"  - {name: h, target: t, mode: subscribe, topic: 'b/cc', forward: {target: u, topic: x}}\n",
		0);
	EXPECT_EQ(s.count, 5);
	EXPECT_EQ(s.exact_count, 4);
	EXPECT_EQ(s.wild_count, 1);
	EXPECT_EQ(s.wild[0], 3);
	first = subscription_exact(&s, bytes_of_text("b/c"), &count);
	EXPECT_EQ(count, 2);
	EXPECT_EQ(s.exact[first] + s.exact[first + 1], 0 + 1);
	first = subscription_exact(&s, bytes_of_text("b"), &count);
	EXPECT_EQ(count, 1);
	EXPECT_EQ(s.exact[first], 2);
	(void)subscription_exact(&s, bytes_of_text("b/x"), &count);
	EXPECT_EQ(count, 0);
	(void)subscription_exact(&s, bytes_of_text("b/ccc"), &count);
	EXPECT_EQ(count, 0);
	(void)subscription_exact(&s, bytes_of_text("a"), &count);
	EXPECT_EQ(count, 0);
	(void)subscription_exact(&s, bytes_of("", 0), &count);
	EXPECT_EQ(count, 0);
	close_all();
}
