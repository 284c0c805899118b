/* How much a configuration file may have of everything: as much as its limit, and not one more. */
#include "tests/unit/config_case.h"

/* 64 entries of a section that may have 64, then 65. */
TEST(a_section_is_full_at_its_limit)
{
	char yaml[4096];
	size_t at = (size_t)snprintf(yaml, sizeof(yaml), "samplers:\n");

	for (int i = 0; i < 64; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "- {name: s%d}\n", i);
	parse_good(yaml);
	EXPECT_EQ(c->sampler_count, 64);
	config_free(c);
	snprintf(yaml + at, sizeof(yaml) - at, "- {name: s64}\n");
	expect_mistake(yaml, "`samplers` has 65 entries; at most 64 are allowed");
}

TEST(tags_are_counted_over_all_lines)
{
	expect_mistake("lines: [{name: a, synthetic: {tags: 1048576}}, {name: b, synthetic: {tags: 1}}]",
		       "more than 1048576 tags");
	parse_good("lines: [{name: a, synthetic: {tags: 1048575}}, {name: b, synthetic: {tags: 1}}]");
	EXPECT_EQ(c->tag_count, CFG_TAGS_MAX);
	config_free(c);
}

/* A sampler and a line each, all to one target; and a target more, whose publisher forwards to it. */
static const char *many_writers(uint32_t sampler_count, const char *buffer, const char *forward)
{
	static char yaml[16384];
	size_t at = 0;

#define ADD(...) at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, __VA_ARGS__)
	ADD("publishers: [{name: p}, {name: q}]\nsamplers:\n");
	for (uint32_t i = 0; i < sampler_count; i++)
		ADD("  - {name: s%u}\n", i);
	ADD("targets:\n  - {name: other, url: 'mqtt://x', publisher: q}\n"
	    "  - {name: plant, url: 'mqtt://x', publisher: p, %s}\nlines:\n",
	    buffer);
	for (uint32_t i = 0; i < sampler_count; i++)
		ADD("  - {name: l%u, sampler: s%u, synthetic: {tags: 1, rate: 1}}\n", i, i);
	ADD("definitions:\n  - {name: d, target: plant, topic: x, tags: ['*']}\n%s\n", forward);
#undef ADD
	EXPECT(at < sizeof(yaml) - 1);
	return yaml;
}

TEST(a_target_has_room_for_64_samplers_and_publishers)
{
	static const char forward[] =
		"  - {name: f, target: other, mode: subscribe, topic: y, forward: {target: "
		"plant}}";

	static const char subscribed[] =
		"  - {name: s, target: other, mode: subscribe, topic: y, tags: in.v}\n"
		"devices: [{name: in, tags: [{name: v}]}]";

	EXPECT_EQ(parse(many_writers(64, "", "")), 0);
	config_free(c);
	EXPECT_EQ(parse(many_writers(63, "", forward)), 0);
	config_free(c);
	EXPECT_EQ(parse(many_writers(63, "buffer: {path: p.ring}", "")), 0);
	config_free(c);
	expect_mistake(many_writers(64, "", forward), "f.yaml:69:5: 65 samplers and publishers write to this "
						      "target, and its buffer has room for 64;");
	expect_mistake(many_writers(64, "", subscribed), "room for 64;");
	expect_mistake(many_writers(64, "buffer: {loss_topic: lost}", ""), "room for 64;");
	expect_mistake(many_writers(64, "buffer: {path: p.ring}", ""), "room for 63 with a `path`;");
}

/* So many of each, all of one thread. */
static const char *many_links(uint32_t line_count, uint32_t target_count)
{
	static char yaml[512u << 10];
	size_t at = 0;

#define ADD(...) at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, __VA_ARGS__)
	ADD("node: n\ntargets:\n");
	for (uint32_t i = 0; i < target_count; i++)
		ADD("  - {name: t%u, url: 'mqtt://x'}\n", i);
	ADD("lines:\n");
	for (uint32_t i = 0; i < line_count; i++)
		ADD("  - {name: l%u, modbus_tcp: {address: 'a:1'}}\n", i);
#undef ADD
	EXPECT(at < sizeof(yaml) - 1);
	return yaml;
}

/* More than its io_uring has operations for would be lost again and again. */
TEST(a_thread_has_4000_lines_or_targets_at_most)
{
	EXPECT_EQ(parse(many_links(CFG_LINES_PER_SAMPLER, CFG_TARGETS_PER_PUBLISHER)), 0);
	config_free(c);
	expect_mistake(many_links(CFG_LINES_PER_SAMPLER + 1, 1),
		       "a sampler has at most 4000 lines; add another");
	expect_mistake(many_links(1, CFG_TARGETS_PER_PUBLISHER + 1),
		       "a publisher has at most 4000 targets; add");
}
