/* The rules between the keys of lines, devices and tags, and what a thread can carry. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_build.h"
#include "core/ring.h"
#include "core/trace.h"
#include "core/units.h"

void config_check_backoff(struct config_build *b, uint32_t group, uint64_t base_ns, uint64_t cap_ns)
{
	char base[UNITS_TEXT_BYTES], cap[UNITS_TEXT_BYTES];

	if (group == TREE_NONE || !config_is_sound(b, group, "base") || !config_is_sound(b, group, "cap") ||
	    base_ns <= cap_ns)
		return;
	config_complain(b, group, "`base` (%s) is longer than `cap` (%s); make `cap` at least as long",
			units_print_duration(base, base_ns), units_print_duration(cap, cap_ns));
}

void config_need_mqtt5(struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = config_given(b, map, key);

	if (node != TREE_NONE)
		config_complain(b, node, "`%s` needs `protocol: 5`; leave it out", key);
}

void config_check_threads(struct config_build *b)
{
	uint32_t lines[CFG_SAMPLERS_MAX] = {0}, targets[CFG_PUBLISHERS_MAX] = {0};
	const struct cfg *c = b->cfg;

	for (uint32_t i = 0; i < c->line_count; i++) {
		const struct cfg_line *l = &c->lines[i];

		if (l->sampler_idx < c->sampler_count && ++lines[l->sampler_idx] == CFG_LINES_PER_SAMPLER + 1)
			config_complain_at(b, l->place.line, l->place.column,
					   "a sampler has at most %u lines; add another under `samplers`",
					   CFG_LINES_PER_SAMPLER);
	}
	for (uint32_t i = 0; i < c->target_count; i++) {
		const struct cfg_target *t = &c->targets[i];

		if (t->publisher_idx < c->publisher_count &&
		    ++targets[t->publisher_idx] == CFG_TARGETS_PER_PUBLISHER + 1)
			config_complain_at(
				b, t->place.line, t->place.column,
				"a publisher has at most %u targets; add another under `publishers`",
				CFG_TARGETS_PER_PUBLISHER);
	}
}

/* The threads that write to a target, as core/definition_open.c will have them. */
struct writers {
	uint64_t samplers, publishers; /* a bit each */
};

static_assert(CFG_SAMPLERS_MAX <= 64 && CFG_PUBLISHERS_MAX <= 64, "a thread is a bit of struct writers");

static void add_publisher_of(struct config_build *b, struct writers *w, uint32_t target_idx)
{
	if (target_idx < b->cfg->target_count &&
	    b->cfg->targets[target_idx].publisher_idx < CFG_PUBLISHERS_MAX)
		w->publishers |= 1ull << b->cfg->targets[target_idx].publisher_idx;
}

static void add_tag(struct config_build *b, struct writers *w, uint32_t tag_idx)
{
	const struct cfg *c = b->cfg;
	uint32_t line_idx = c->devices[c->tags[tag_idx].device_idx].line_idx;

	if (line_idx >= c->line_count)
		add_publisher_of(b, w, b->sources[tag_idx]);
	else if (c->lines[line_idx].sampler_idx < CFG_SAMPLERS_MAX)
		w->samplers |= 1ull << c->lines[line_idx].sampler_idx;
}

static void add_definition(struct config_build *b, struct writers *writers, const struct cfg_definition *d)
{
	uint32_t to_idx = d->mode == CFG_MODE_SUBSCRIBE ? d->subscribe.forward.target_idx : d->target_idx;

	if (to_idx >= b->cfg->target_count)
		return;
	if (d->mode == CFG_MODE_SUBSCRIBE)
		add_publisher_of(b, &writers[to_idx], d->target_idx);
	for (uint32_t i = 0; d->mode != CFG_MODE_SUBSCRIBE && i < d->ref_count; i++)
		add_tag(b, &writers[to_idx], b->cfg->refs[d->ref_first + i]);
}

/* Each has a lane of the target's ring; so have the messages that a file brings. */
void config_check_lanes(struct config_build *b)
{
	const struct cfg *c = b->cfg;
	struct writers *writers = calloc((size_t)c->target_count + 1, sizeof(writers[0]));

	if (!writers) {
		b->rc = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < c->definition_count; i++)
		add_definition(b, writers, &c->definitions[i]);
	for (uint32_t i = 0; i < c->target_count; i++) {
		const struct cfg_target *t = &c->targets[i];
		uint32_t count, count_max = RING_LANES_MAX - (t->buffer_path ? 1 : 0);

		if (t->buffer_loss_topic)
			add_publisher_of(b, &writers[i], i);
		count = (uint32_t)(__builtin_popcountll(writers[i].samplers) +
				   __builtin_popcountll(writers[i].publishers));
		if (count > count_max)
			config_complain_at(
				b, t->place.line, t->place.column,
				"%u samplers and publishers write to this target, and its buffer has "
				"room for %u%s; let fewer samplers read what is published there, or "
				"add another target",
				count, count_max, t->buffer_path ? " with a `path`" : "");
	}
	free(writers);
}

void config_check_trace(struct config_build *b, const struct cfg_trace *t, uint32_t node)
{
	static const char *const of_memory[] = {"record", "snap"};
	uint32_t group = config_given(b, node, "trace");

	if (group == TREE_NONE || !config_is_sound(b, group, "memory"))
		return;
	if (t->memory_bytes > 0 && t->memory_bytes < TRACE_MEMORY_BYTES_MIN)
		config_complain(b, config_given(b, group, "memory"),
				"`memory` is less than 16KiB; write that or more, or 0 for no recorder");
	for (size_t i = 0; t->memory_bytes == 0 && i < ARRAY_COUNT(of_memory); i++) {
		uint32_t key = config_given(b, group, of_memory[i]);

		if (key != TREE_NONE)
			config_complain(b, key, "`%s` needs `memory`; add `memory: 64KiB`, or leave it out",
					of_memory[i]);
	}
}

void config_check_line(struct config_build *b, struct cfg_line *l, uint32_t node)
{
	static const struct {
		const char *key;
		enum cfg_line_kind kind;
	} kinds[] = {
		{"modbus_tcp", CFG_LINE_MODBUS_TCP},
		{"modbus_rtu", CFG_LINE_MODBUS_RTU},
		{"synthetic", CFG_LINE_SYNTHETIC},
	};
	uint32_t kind_count = 0, last = node;

	for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		uint32_t group = tree_find(&b->tree, node, kinds[i].key);

		if (group == TREE_NONE)
			continue;
		if (kind_count++ == 0)
			l->kind = kinds[i].kind;
		last = group;
	}
	if (kind_count == 0)
		config_complain(
			b, node,
			"a line needs one of `modbus_tcp`, `modbus_rtu` and `synthetic`; add what it is");
	if (kind_count > 1)
		config_complain(
			b, last,
			"a line has exactly one of `modbus_tcp`, `modbus_rtu` and `synthetic`; keep one");
	if (kind_count == 1 && l->kind == CFG_LINE_SYNTHETIC && strchr(cfg_text(b->cfg, l->name), '.'))
		config_complain(
			b, node,
			"a synthetic line makes a device of its name, so it has no dot; write _ or -");
	config_check_backoff(b, config_given(b, node, "reconnect"), l->reconnect_base_ns,
			     l->reconnect_cap_ns);
	if (l->kind == CFG_LINE_SYNTHETIC && config_given(b, node, "trace") != TREE_NONE)
		config_complain(b, config_given(b, node, "trace"),
				"a synthetic line has no frames to record; leave `trace` out");
	else
		config_check_trace(b, &l->trace, node);
}

/* Without a line nothing is read; the values come by subscription. */
static void need_line(struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = config_given(b, map, key);

	if (node != TREE_NONE)
		config_complain(b, node,
				"`%s` needs a device with `line`; leave it out where values come by "
				"subscription, or add `line`",
				key);
}

void config_check_device(struct config_build *b, struct cfg_device *d, uint32_t node)
{
	static const char *const of_line[] = {"unit", "every", "timeout", "order"};
	uint32_t unit = config_given(b, node, "unit");
	const struct cfg_line *l;

	if (tree_find(&b->tree, node, "line") == TREE_NONE) {
		for (uint32_t i = 0; i < ARRAY_COUNT(of_line); i++)
			need_line(b, node, of_line[i]);
		d->unit = 0;
		d->every_ns = d->timeout_ns = 0;
		return;
	}
	if (d->line_idx == CFG_NONE)
		return;
	l = &b->cfg->lines[d->line_idx];
	switch (l->kind) {
	case CFG_LINE_MODBUS_TCP: return;
	case CFG_LINE_MODBUS_RTU:
		if (unit != TREE_NONE && (d->unit < 1 || d->unit > 247))
			config_complain(b, unit, "`unit` is %u: on a serial line it must be 1 .. 247",
					d->unit);
		return;
	case CFG_LINE_SYNTHETIC:
		if (config_given(b, node, "line") != TREE_NONE)
			config_complain(b, config_given(b, node, "line"),
					"a synthetic line has a device of its own; use its tags t0, t1 ... "
					"as they are");
		return;
	}
	UNREACHABLE();
}

static uint32_t registers_of(enum cfg_tag_type type)
{
	switch (type) {
	case CFG_TAG_BOOL:
	case CFG_TAG_INT16:
	case CFG_TAG_UINT16: return 1;
	case CFG_TAG_INT32:
	case CFG_TAG_UINT32:
	case CFG_TAG_FLOAT32: return 2;
	case CFG_TAG_FLOAT64: return 4;
	}
	UNREACHABLE();
}

enum cfg_deadband config_deadband_kind(struct config_build *b, uint32_t group)
{
	uint32_t abs_node, percent_node;

	if (group == TREE_NONE)
		return CFG_DEADBAND_NONE;
	abs_node = tree_find(&b->tree, group, "abs");
	percent_node = tree_find(&b->tree, group, "percent");
	if ((abs_node == TREE_NONE) == (percent_node == TREE_NONE))
		config_complain(
			b, group,
			"`deadband` has exactly one of `abs` and `percent`; write such as {abs: 0.5}");
	return abs_node != TREE_NONE ? CFG_DEADBAND_ABS : CFG_DEADBAND_PERCENT;
}

static void check_tag_type(struct config_build *b, struct cfg_tag *t, uint32_t node)
{
	uint32_t type = tree_find(&b->tree, node, "type");
	uint32_t address = config_given(b, node, "address");
	bool is_bit;

	if (type != TREE_NONE && !b->tree.nodes[type].bad && t->type == CFG_TAG_FLOAT64)
		config_complain(b, type,
				"`type: float64` is not supported by this version for a tag with an address");
	if (tree_find(&b->tree, node, "address") == TREE_NONE)
		config_complain(b, node, "`address` is missing in this tag; add `address: ...`: %s",
				schema_find(SCHEMA_TAG, bytes_of_text("address"))->doc);
	if (address == TREE_NONE || (type != TREE_NONE && b->tree.nodes[type].bad))
		return;
	is_bit = address_is_bits(t->address.space) || t->address.bit >= 0;
	if (is_bit && type != TREE_NONE && t->type != CFG_TAG_BOOL)
		config_complain(b, type,
				"`type`: a single bit is a bool; write bool, or the address of a register");
	if (is_bit)
		return;
	if (type == TREE_NONE)
		config_complain(b, node,
				"`type` is missing in this tag; add one of bool, int16, uint16, int32, "
				"uint32, float32");
	else if (t->address.offset + registers_of(t->type) > 65536)
		config_complain(
			b, address,
			"`address`: a value of two registers ends beyond register 65535; begin at 65534");
}

void config_check_tag(struct config_build *b, struct cfg_tag *t, uint32_t node)
{
	static const char *const of_line[] = {"address", "order", "every"};
	uint32_t scale = config_given(b, node, "scale");

	if (b->device_flags[t->device_idx] & CONFIG_DEVICE_HAS_LINE)
		check_tag_type(b, t, node);
	else
		for (uint32_t i = 0; i < ARRAY_COUNT(of_line); i++)
			need_line(b, node, of_line[i]);
	t->deadband = config_deadband_kind(b, config_given(b, node, "deadband"));
	t->scaled = t->scale < 1 || t->scale > 1 || t->offset < 0 || t->offset > 0;
	if (scale != TREE_NONE && !(t->scale < 0) && !(t->scale > 0))
		config_complain(b, scale,
				"`scale` is 0: every value would be the same; write another number");
	if (t->scaled && t->type == CFG_TAG_BOOL && config_is_sound(b, node, "type") &&
	    config_is_sound(b, node, "scale"))
		config_complain(b, node, "a bool has no `scale` and no `offset`; leave them out");
}
