/* The flight recorders' keys: off by default, with limits, and refused where they mean nothing. */
#include "core/clock.h"
#include "core/trace.h"
#include "tests/unit/config_case.h"

#define TARGET "node: n1\ntargets: [{name: a, url: 'mqtt://b', %s}]\n"
#define LINE   "node: n1\nlines: [{name: l, modbus_tcp: {address: h}, %s}]\n"

TEST(without_a_word_nothing_is_recorded_and_nothing_freezes)
{
	parse_good("node: n1\ntargets: [{name: a, url: 'mqtt://b'}]\n"
		   "lines: [{name: l, modbus_tcp: {address: h}}]\n");
	EXPECT_EQ(c->targets[0].trace.memory_bytes, 0);
	EXPECT_EQ(c->lines[0].trace.memory_bytes, 0);
	EXPECT(!c->trace_freezes);
	config_free(c);
}

TEST(a_recorder_is_understood)
{
	parse_good("node: n1\ntrace: {freeze: true, after: 250ms}\n"
		   "targets: [{name: a, url: 'mqtt://b', trace: {memory: 1MiB, snap: 1000B}},\n"
		   "  {name: b, url: 'mqtt://b', trace: {memory: 16KiB, record: false}}]\n"
		   "lines: [{name: l, modbus_rtu: {path: /dev/x}, trace: {memory: 64KiB}}]\n");
	EXPECT(c->trace_freezes);
	EXPECT_EQ(c->trace_after_ns, 250 * NS_PER_MS);
	EXPECT_EQ(c->targets[0].trace.memory_bytes, 1 << 20);
	EXPECT_EQ(c->targets[0].trace.snap_bytes, 1000);
	EXPECT(c->targets[0].trace.record);
	EXPECT_EQ(c->targets[1].trace.memory_bytes, TRACE_MEMORY_BYTES_MIN);
	EXPECT_EQ(c->targets[1].trace.snap_bytes, 256);
	EXPECT(!c->targets[1].trace.record);
	EXPECT_EQ(c->lines[0].trace.memory_bytes, 64 << 10);
	EXPECT(c->lines[0].trace.record);
	config_free(c);
}

TEST(memory_is_none_or_enough)
{
	EXPECT(accepts(TARGET, "trace: {memory: 0}"));
	EXPECT(accepts(TARGET, "trace: {memory: 16KiB}"));
	EXPECT(accepts(TARGET, "trace: {memory: 1GiB}"));
	EXPECT(accepts(LINE, "trace: {memory: 16KiB}"));
	expect_mistake_in(TARGET, "trace: {memory: 16383B}", "less than 16KiB");
	expect_mistake_in(LINE, "trace: {memory: 1B}", "less than 16KiB");
	expect_mistake_in(TARGET, "trace: {memory: 1025MiB}", "must be 0B .. 1GiB");
	expect_mistake_in(LINE, "trace: {memory: much}", "`memory`");
}

TEST(what_needs_memory_says_so)
{
	expect_mistake_in(TARGET, "trace: {record: false}", "`record` needs `memory`");
	expect_mistake_in(TARGET, "trace: {snap: 64B}", "`snap` needs `memory`");
	expect_mistake_in(TARGET, "trace: {memory: 0, snap: 64B}", "`snap` needs `memory`");
	expect_mistake_in(LINE, "trace: {record: true}", "`record` needs `memory`");
}

TEST(what_is_kept_of_a_message_has_limits)
{
	EXPECT(accepts(TARGET, "trace: {memory: 16KiB, snap: 32B}"));
	EXPECT(accepts(TARGET, "trace: {memory: 16KiB, snap: 1400B}"));
	expect_mistake_in(TARGET, "trace: {memory: 16KiB, snap: 31B}", "must be 32B .. 1400B");
	expect_mistake_in(TARGET, "trace: {memory: 16KiB, snap: 1401B}", "must be 32B .. 1400B");
	expect_mistake_in(LINE, "trace: {memory: 16KiB, snap: 64B}", "unknown key `snap`");
}

TEST(a_synthetic_line_has_no_recorder)
{
	expect_mistake(
		"node: n1\nlines: [{name: l, synthetic: {tags: 1, rate: 1}, trace: {memory: 64KiB}}]\n",
		"a synthetic line has no frames to record");
}

TEST(a_wrong_shape_is_refused)
{
	expect_mistake_in(TARGET, "trace: true", "write its keys as {key: value, ...}");
	expect_mistake("node: n1\ntrace: {freeze: maybe}\n", "`freeze` is `maybe`");
	expect_mistake("node: n1\ntrace: {after: 2h}\n", "`after`");
	expect_mistake("node: n1\ntrace: {memory: 64KiB}\n", "unknown key `memory` in a trace");
}
