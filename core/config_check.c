/* The rules that span several keys. A rule is silent where one of its keys has been complained about
 * already. */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/config_build.h"
#include "core/payload.h"
#include "core/ring.h"
#include "core/topic.h"
#include "core/units.h"

/* MQTT 5 with clean_start: false and no session_expiry: long enough for a restart of either side. */
#define SESSION_EXPIRY_DEFAULT_NS (3600 * NS_PER_S)

/* The node of a key that was given and is sound, or TREE_NONE. map may be TREE_NONE. */
static uint32_t given(const struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = map == TREE_NONE ? TREE_NONE : tree_find(&b->tree, map, key);

	return node == TREE_NONE || b->tree.nodes[node].bad ? TREE_NONE : node;
}

/* The key has its default, or a value that nobody complained about. */
static bool is_sound(const struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = map == TREE_NONE ? TREE_NONE : tree_find(&b->tree, map, key);

	return node == TREE_NONE || !b->tree.nodes[node].bad;
}

static void check_backoff(struct config_build *b, uint32_t group, uint64_t base_ns, uint64_t cap_ns)
{
	char base[UNITS_TEXT_BYTES], cap[UNITS_TEXT_BYTES];

	if (group == TREE_NONE || !is_sound(b, group, "base") || !is_sound(b, group, "cap") ||
	    base_ns <= cap_ns)
		return;
	config_complain(b, group, "`base` (%s) is longer than `cap` (%s); make `cap` at least as long",
			units_print_duration(base, base_ns), units_print_duration(cap, cap_ns));
}

static void check_whole_seconds(struct config_build *b, uint32_t map, const char *key, uint64_t ns)
{
	uint32_t node = given(b, map, key);

	if (node != TREE_NONE && ns % NS_PER_S != 0)
		config_complain(b, node, "`%s`: MQTT knows whole seconds only; write such as 60s", key);
}

static void need_mqtt5(struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = given(b, map, key);

	if (node != TREE_NONE)
		config_complain(b, node, "`%s` needs `protocol: 5`; leave it out", key);
}

/* MQTT 3.1.1 has no Receive Maximum: mosquitto, by default, drops the connection of a client that has more than 20 QoS 2
 * messages under way, again and again. */
#define INFLIGHT_DEFAULT_3_1_1 20

static void check_version(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	if (!is_sound(b, node, "protocol"))
		return;
	if (t->protocol == 5) {
		if (!t->clean_start && tree_find(&b->tree, node, "session_expiry") == TREE_NONE)
			t->session_expiry_ns = SESSION_EXPIRY_DEFAULT_NS;
		return;
	}
	need_mqtt5(b, node, "session_expiry");
	need_mqtt5(b, node, "topic_alias_max");
	need_mqtt5(b, given(b, node, "will"), "delay");
	need_mqtt5(b, given(b, node, "will"), "expiry");
	t->topic_alias_max = 0;
	if (tree_find(&b->tree, node, "max_inflight") == TREE_NONE)
		t->max_inflight = INFLIGHT_DEFAULT_3_1_1;
	if (given(b, node, "password") != TREE_NONE && tree_find(&b->tree, node, "user") == TREE_NONE)
		config_complain(b, given(b, node, "password"),
				"`password` without `user` needs `protocol: 5`; add `user`");
}

/* The will's topic is filled in here: nothing in it changes later. */
static void check_will(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	uint32_t topic = given(b, given(b, node, "will"), "topic");
	const struct cfg *c = b->cfg;
	struct topic_names names = {.node = cfg_text(c, c->node), .target = cfg_text(c, t->name)};
	char expanded[TOPIC_BYTES_MAX];
	const char *why;
	int size;

	if (topic == TREE_NONE)
		return;
	size = topic_expand(cfg_text(c, t->will.topic), &names, expanded, &why);
	if (size < 0)
		config_complain(b, topic,
				"`topic` of a will, in which {node} and {target} have a meaning: %s", why);
	else
		t->will.topic = config_text_add(b, bytes_of(expanded, (size_t)size));
}

void config_check_target(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	t->has_user = tree_find(&b->tree, node, "user") != TREE_NONE;
	check_backoff(b, given(b, node, "reconnect"), t->reconnect_base_ns, t->reconnect_cap_ns);
	check_whole_seconds(b, node, "keep_alive", t->keep_alive_ns);
	check_whole_seconds(b, node, "session_expiry", t->session_expiry_ns);
	check_version(b, t, node);
	check_will(b, t, node);
}

static bool shares_url(const struct cfg *c, const struct cfg_target *x, const struct cfg_target *y)
{
	for (uint32_t i = 0; i < x->url_count; i++)
		for (uint32_t j = 0; j < y->url_count; j++) {
			const struct cfg_url *u = &c->urls[x->url_first + i], *v = &c->urls[y->url_first + j];

			if (u->port == v->port && !strcmp(cfg_text(c, u->host), cfg_text(c, v->host)))
				return true;
		}
	return false;
}

/* Two clients of one name throw each other out of the server, for ever. */
void config_check_clients(struct config_build *b)
{
	const struct cfg *c = b->cfg;

	for (uint32_t i = 0; i < c->target_count; i++)
		for (uint32_t j = 0; j < i && c->targets[i].client_id; j++) {
			const struct cfg_target *x = &c->targets[j], *y = &c->targets[i];
			struct config_echo e;

			if (!x->client_id ||
			    strcmp(cfg_text(c, x->client_id), cfg_text(c, y->client_id)) != 0 ||
			    !shares_url(c, x, y))
				continue;
			config_complain_at(
				b, y->place.line, y->place.column,
				"`client_id` is that of target %s on the same server; give each its own",
				config_echo(&e, bytes_of_text(cfg_text(c, x->name))));
			break;
		}
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
	check_backoff(b, given(b, node, "reconnect"), l->reconnect_base_ns, l->reconnect_cap_ns);
}

void config_check_device(struct config_build *b, struct cfg_device *d, uint32_t node)
{
	uint32_t unit = given(b, node, "unit");
	const struct cfg_line *l;

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
		if (given(b, node, "line") != TREE_NONE)
			config_complain(b, given(b, node, "line"),
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

static enum cfg_deadband deadband_kind(struct config_build *b, uint32_t group)
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
	uint32_t address = given(b, node, "address");
	bool is_bit;

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
	uint32_t scale = given(b, node, "scale");

	check_tag_type(b, t, node);
	t->deadband = deadband_kind(b, given(b, node, "deadband"));
	t->scaled = t->scale < 1 || t->scale > 1 || t->offset < 0 || t->offset > 0;
	if (scale != TREE_NONE && !(t->scale < 0) && !(t->scale > 0))
		config_complain(b, scale,
				"`scale` is 0: every value would be the same; write another number");
	if (t->scaled && t->type == CFG_TAG_BOOL && is_sound(b, node, "type") && is_sound(b, node, "scale"))
		config_complain(b, node, "a bool has no `scale` and no `offset`; leave them out");
}

static void check_mode(struct config_build *b, const struct cfg_definition *d, uint32_t node)
{
	static const char *const of_change[] = {"heartbeat", "deadband"};

	switch (d->mode) {
	case CFG_MODE_PERIODIC:
		if (tree_find(&b->tree, node, "cycle") == TREE_NONE)
			config_complain(b, node, "`mode: periodic` needs `cycle`; add such as `cycle: 1s`");
		for (uint32_t i = 0; i < ARRAY_COUNT(of_change); i++)
			if (given(b, node, of_change[i]) != TREE_NONE)
				config_complain(b, given(b, node, of_change[i]),
						"`%s` needs `mode: on-change`; leave it out", of_change[i]);
		return;
	case CFG_MODE_ON_CHANGE:
		if (given(b, node, "cycle") != TREE_NONE)
			config_complain(b, given(b, node, "cycle"),
					"`cycle` needs `mode: periodic`; write that, or `heartbeat`");
		return;
	case CFG_MODE_SUBSCRIBE: return;
	}
	UNREACHABLE();
}

/* Every topic that the definition will have is made once, to see that it can be. */
static void check_topic(struct config_build *b, const struct cfg_definition *d, uint32_t topic)
{
	const struct cfg *c = b->cfg;
	const char *template = cfg_text(c, d->topic);
	bool is_per_tag = topic_is_per_tag(template);
	uint32_t topic_count = is_per_tag && d->ref_count ? d->ref_count : 1;
	struct topic_names names = {
		.node = cfg_text(c, c->node),
		.target = d->target_idx != CFG_NONE ? cfg_text(c, c->targets[d->target_idx].name) : "target",
		.definition = cfg_text(c, d->name),
		.device = "device",
		.tag = "tag",
	};
	char expanded[TOPIC_BYTES_MAX];
	const char *why;

	for (uint32_t i = 0; i < topic_count; i++) {
		if (d->ref_count > 0) {
			const struct cfg_tag *t = &c->tags[c->refs[d->ref_first + i]];

			names.device = cfg_text(c, c->devices[t->device_idx].name);
			names.tag = cfg_text(c, t->name);
		}
		if (topic_expand(template, &names, expanded, &why) < 0) {
			config_complain(b, topic, "`topic`: %s", why);
			return;
		}
	}
}

/* A message lies in one record of the ring. */
static void check_size(struct config_build *b, const struct cfg_definition *d, uint32_t topic)
{
	const struct cfg *c = b->cfg;
	uint64_t size_bytes = PAYLOAD_GROUP_BYTES + 2ull * TOPIC_BYTES_MAX;

	for (uint32_t i = 0; i < d->ref_count; i++) {
		const struct cfg_tag *t = &c->tags[c->refs[d->ref_first + i]];

		size_bytes += payload_tag_bytes_max(strlen(cfg_text(c, t->name)) + 1 +
						    strlen(cfg_text(c, c->devices[t->device_idx].name)));
	}
	if (size_bytes > RING_RECORD_BYTES_MAX && !topic_is_per_tag(cfg_text(c, d->topic)))
		config_complain(b, topic,
				"`topic`: one message with %u tags could be larger than %u MiB; put {tag} or "
				"{device} into the topic, or make several definitions",
				d->ref_count, RING_RECORD_BYTES_MAX >> 20);
}

void config_check_definition(struct config_build *b, struct cfg_definition *d, uint32_t node)
{
	uint32_t topic = given(b, node, "topic");

	d->deadband = deadband_kind(b, given(b, node, "deadband"));
	if (!is_sound(b, node, "mode")) /* it may be a subscription, of which other things are true */
		return;
	check_mode(b, d, node);
	if (topic == TREE_NONE)
		return;
	if (d->payload == CFG_PAYLOAD_TEXT && d->ref_count > 1 &&
	    !topic_is_per_tag(cfg_text(b->cfg, d->topic)) && is_sound(b, node, "payload"))
		config_complain(b, topic,
				"`payload: text` has room for one value; put {tag} into the topic, or write "
				"`payload: json`");
	check_size(b, d, topic);
	check_topic(b, d, topic);
}
