/* From a file to a struct cfg: the sections, in the order in which they refer to each other. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/config_build.h"
#include "core/grow.h"

/* The list of a section, or TREE_NONE where there is none to read; what is no list has been said. */
static uint32_t find_list(struct config_build *b, uint32_t map, const char *key, uint32_t count_max)
{
	uint32_t node = tree_find(&b->tree, map, key);

	if (node == TREE_NONE || config_is_null(b, node))
		return TREE_NONE;
	if (b->tree.nodes[node].kind != TREE_LIST) {
		config_complain(b, node, "`%s` must be a list; begin each entry with `- `", key);
		return TREE_NONE;
	}
	if (b->tree.nodes[node].count > count_max) {
		config_complain(b, node, "`%s` has %u entries; at most %u are allowed", key,
				b->tree.nodes[node].count, count_max);
		return TREE_NONE;
	}
	return node;
}

static uint32_t list_count(const struct config_build *b, uint32_t list)
{
	return list == TREE_NONE ? 0 : b->tree.nodes[list].count;
}

/* A section that is there and cannot be read: nothing may be said of what refers to it. */
static uint32_t find_section(struct config_build *b, enum schema_section section, const char *key,
			     uint32_t count_max)
{
	uint32_t list = find_list(b, b->tree.root, key, count_max);
	uint32_t given = tree_find(&b->tree, b->tree.root, key);

	if (list == TREE_NONE && given != TREE_NONE && b->tree.nodes[given].bad)
		b->incomplete[section] = true;
	return list;
}

static bool is_map(struct config_build *b, enum schema_section section, uint32_t node)
{
	if (b->tree.nodes[node].kind == TREE_MAP)
		return true;
	config_complain(b, node, "a %s is a map; write {name: ..., ...}", schema_section_noun(section));
	return false;
}

static struct cfg_place place_of(const struct config_build *b, uint32_t node)
{
	return (struct cfg_place){.line = b->tree.nodes[node].line, .column = b->tree.nodes[node].column};
}

/* The name belongs to idx from now on. False: there is one already, and that has been said. */
static bool add_name(struct config_build *b, enum schema_section section, uint32_t scope, uint32_t node,
		     uint32_t name, uint32_t idx)
{
	uint32_t name_node = tree_find(&b->tree, node, "name");
	struct config_echo e;
	int rc;

	if (name == 0) { /* missing or unusable, and said */
		b->incomplete[section] = true;
		return true;
	}
	rc = name_index_add(&b->names[section], b->cfg->text, scope, name, idx);
	if (rc == -ENOMEM)
		b->rc = rc;
	if (rc != -EEXIST)
		return true;
	config_complain(b, name_node == TREE_NONE ? node : name_node,
			"there is a %s %s already; give this one another name", schema_section_noun(section),
			config_echo(&e, bytes_of_text(cfg_text(b->cfg, name))));
	return false;
}

/* Zeroed room for count entries; at least one, so that no array is NULL. */
static void *room_for(struct config_build *b, uint32_t count, size_t item_bytes)
{
	void *array = calloc(count ? count : 1, item_bytes);

	if (!array)
		b->rc = -ENOMEM;
	return array;
}

static void read_node_name(struct config_build *b)
{
	struct cfg *c = b->cfg;
	char host[65] = "";

	config_defaults(b, SCHEMA_ROOT, c);
	config_read_object(b, SCHEMA_ROOT, b->tree.root, c);
	if (c->node != 0)
		return;
	if (gethostname(host, sizeof(host) - 1) == -1 || !host[0])
		snprintf(host, sizeof(host), "node");
	for (char *p = host; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p))
			*p = '-';
	c->node = config_text_add(b, bytes_of_text(host));
}

static void read_samplers(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_SAMPLER, "samplers", CFG_SAMPLERS_MAX);
	uint32_t count = list_count(b, list);
	struct cfg *c = b->cfg;
	struct cfg_sampler preset = {0};

	c->samplers = room_for(b, count, sizeof(*c->samplers));
	config_defaults(b, SCHEMA_SAMPLER, &preset);
	if (count == 0 && b->rc == 0) {
		c->samplers[0] = preset;
		c->samplers[0].name = config_text_add(b, bytes_of_text("sampler0"));
		c->sampler_count = 1;
		if (!add_name(b, SCHEMA_SAMPLER, 0, b->tree.root, c->samplers[0].name, 0))
			UNREACHABLE(); /* the first of its section */
	}
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		struct cfg_sampler *s = &c->samplers[c->sampler_count++];

		*s = preset;
		s->place = place_of(b, node);
		if (is_map(b, SCHEMA_SAMPLER, node))
			config_read_object(b, SCHEMA_SAMPLER, node, s);
		add_name(b, SCHEMA_SAMPLER, 0, node, s->name, i);
	}
}

static void read_publishers(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_PUBLISHER, "publishers", CFG_PUBLISHERS_MAX);
	uint32_t count = list_count(b, list);
	struct cfg *c = b->cfg;
	struct cfg_publisher preset = {0};

	c->publishers = room_for(b, count, sizeof(*c->publishers));
	config_defaults(b, SCHEMA_PUBLISHER, &preset);
	if (count == 0 && b->rc == 0) {
		c->publishers[0] = preset;
		c->publishers[0].name = config_text_add(b, bytes_of_text("pub0"));
		c->publisher_count = 1;
		if (!add_name(b, SCHEMA_PUBLISHER, 0, b->tree.root, c->publishers[0].name, 0))
			UNREACHABLE(); /* the first of its section */
	}
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		struct cfg_publisher *p = &c->publishers[c->publisher_count++];

		*p = preset;
		p->place = place_of(b, node);
		if (is_map(b, SCHEMA_PUBLISHER, node))
			config_read_object(b, SCHEMA_PUBLISHER, node, p);
		add_name(b, SCHEMA_PUBLISHER, 0, node, p->name, i);
	}
}

static void read_packages(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_PACKAGE, "packages", CFG_PACKAGES_MAX);
	uint32_t count = list_count(b, list);
	struct cfg *c = b->cfg;
	struct cfg_package preset = {0};

	if (grow(&c->packages, &b->package_capacity, 0, count + 1, sizeof(*c->packages)) < 0)
		b->rc = -ENOMEM;
	config_defaults(b, SCHEMA_PACKAGE, &preset);
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		struct cfg_package *p = &c->packages[c->package_count++];

		*p = preset;
		p->place = place_of(b, node);
		if (is_map(b, SCHEMA_PACKAGE, node))
			config_read_object(b, SCHEMA_PACKAGE, node, p);
		add_name(b, SCHEMA_PACKAGE, 0, node, p->name, i);
	}
}

static void read_targets(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_TARGET, "targets", CFG_TARGETS_MAX);
	uint32_t count = list_count(b, list), spread = 0;
	struct cfg *c = b->cfg;
	struct cfg_target preset = {0};

	c->targets = room_for(b, count, sizeof(*c->targets));
	config_defaults(b, SCHEMA_TARGET, &preset);
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		struct cfg_target *t = &c->targets[c->target_count++];

		*t = preset;
		t->place = place_of(b, node);
		t->publisher_idx = CFG_NONE;
		if (is_map(b, SCHEMA_TARGET, node)) {
			config_read_object(b, SCHEMA_TARGET, node, t);
			config_read_urls(b, t, node);
			config_resolve_package(b, t, node);
			if (tree_find(&b->tree, node, "publisher") == TREE_NONE)
				t->publisher_idx = spread++ % c->publisher_count;
			config_check_target(b, t, node);
		}
		add_name(b, SCHEMA_TARGET, 0, node, t->name, i);
	}
	config_read_networks(b);
	config_check_clients(b);
	config_check_paths(b);
}

/* The device that a synthetic line makes, with tags t0, t1 ... */
static void add_synthetic(struct config_build *b, uint32_t line_idx, uint32_t node)
{
	struct cfg *c = b->cfg;
	const struct cfg_line *l = &c->lines[line_idx];
	uint32_t count = l->synthetic_tag_count, device_idx = c->device_count;
	struct cfg_device d = {
		.name = l->name,
		.line_idx = line_idx,
		.every_ns = count * NS_PER_S / l->synthetic_rate_per_s,
		.timeout_ns = NS_PER_S,
		.tag_first = c->tag_count,
		.tag_count = count,
		.place = l->place,
	};

	if (count > CFG_TAGS_MAX - c->tag_count) {
		config_complain(b, node, "more than %u tags in all; make `tags` smaller", CFG_TAGS_MAX);
		return;
	}
	if (grow(&c->devices, &b->device_capacity, c->device_count, 1, sizeof(*c->devices)) < 0 ||
	    grow(&b->device_flags, &b->device_flags_capacity, c->device_count, 1, 1) < 0 ||
	    grow(&c->tags, &b->tag_capacity, c->tag_count, count, sizeof(*c->tags)) < 0) {
		b->rc = -ENOMEM;
		return;
	}
	c->devices[c->device_count++] = d;
	b->device_flags[device_idx] = CONFIG_DEVICE_HAS_LINE;
	add_name(b, SCHEMA_DEVICE, 0, node, d.name, device_idx);
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		struct cfg_tag *t = &c->tags[c->tag_count];
		char name[16];

		snprintf(name, sizeof(name), "t%u", i);
		*t = (struct cfg_tag){
			.name = config_text_add(b, bytes_of_text(name)),
			.device_idx = device_idx,
			.address.bit = -1,
			.type = CFG_TAG_FLOAT64,
			.scale = 1,
			.every_ns = d.every_ns,
			.place = l->place,
		};
		if (b->rc == 0 && !add_name(b, SCHEMA_TAG, device_idx, node, t->name, c->tag_count))
			UNREACHABLE(); /* all numbers differ */
		c->tag_count++;
	}
}

static void read_lines(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_LINE, "lines", CFG_LINES_MAX);
	uint32_t count = list_count(b, list);
	struct cfg *c = b->cfg;
	struct cfg_line preset = {0};

	c->lines = room_for(b, count, sizeof(*c->lines));
	config_defaults(b, SCHEMA_LINE, &preset);
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		struct cfg_line *l = &c->lines[c->line_count++];
		bool is_synthetic = false;

		*l = preset;
		l->place = place_of(b, node);
		if (is_map(b, SCHEMA_LINE, node)) {
			config_read_object(b, SCHEMA_LINE, node, l);
			config_check_line(b, l, node);
			is_synthetic = l->kind == CFG_LINE_SYNTHETIC;
		}
		if (add_name(b, SCHEMA_LINE, 0, node, l->name, i) && is_synthetic)
			add_synthetic(b, i, node);
		if (l->name == 0) /* it may have been a synthetic one */
			b->incomplete[SCHEMA_DEVICE] = true;
	}
}

static void read_tags(struct config_build *b, struct cfg_device *d, uint32_t device_idx, uint32_t device_node)
{
	uint32_t list = find_list(b, device_node, "tags", CFG_TAGS_MAX);
	uint32_t given = tree_find(&b->tree, device_node, "tags");
	uint32_t count = list_count(b, list);
	struct cfg *c = b->cfg;
	struct cfg_tag preset = {.device_idx = device_idx, .order = d->order, .every_ns = d->every_ns};

	d->tag_first = c->tag_count;
	if (given != TREE_NONE && b->tree.nodes[given].bad)
		b->device_flags[device_idx] |= CONFIG_DEVICE_INCOMPLETE;
	if (count > CFG_TAGS_MAX - c->tag_count) {
		config_complain(b, list, "more than %u tags in all", CFG_TAGS_MAX);
		b->device_flags[device_idx] |= CONFIG_DEVICE_INCOMPLETE;
		return;
	}
	if (grow(&c->tags, &b->tag_capacity, c->tag_count, count, sizeof(*c->tags)) < 0) {
		b->rc = -ENOMEM;
		return;
	}
	config_defaults(b, SCHEMA_TAG, &preset);
	if (!(b->device_flags[device_idx] & CONFIG_DEVICE_HAS_LINE))
		preset.type = CFG_TAG_FLOAT64;
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		struct cfg_tag *t = &c->tags[c->tag_count];

		*t = preset;
		t->place = place_of(b, node);
		t->address.bit = -1;
		if (is_map(b, SCHEMA_TAG, node)) {
			config_read_object(b, SCHEMA_TAG, node, t);
			config_check_tag(b, t, node);
		}
		if (t->name == 0)
			b->device_flags[device_idx] |= CONFIG_DEVICE_INCOMPLETE;
		add_name(b, SCHEMA_TAG, device_idx, node, t->name, c->tag_count++);
	}
	d->tag_count = c->tag_count - d->tag_first;
}

/* Somebody wrote out the device that a synthetic line makes by itself. The line has been complained about,
 * so the name need not be. */
static bool is_own_device(const struct cfg *c, const struct cfg_device *d)
{
	const struct cfg_line *l = d->line_idx != CFG_NONE ? &c->lines[d->line_idx] : NULL;

	return l && l->kind == CFG_LINE_SYNTHETIC && !strcmp(cfg_text(c, l->name), cfg_text(c, d->name));
}

static void read_devices(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_DEVICE, "devices", CFG_DEVICES_MAX);
	uint32_t count = list_count(b, list);
	struct cfg *c = b->cfg;
	struct cfg_device preset = {.line_idx = CFG_NONE};

	if (grow(&c->devices, &b->device_capacity, c->device_count, count + 1, sizeof(*c->devices)) < 0 ||
	    grow(&b->device_flags, &b->device_flags_capacity, c->device_count, count + 1, 1) < 0 ||
	    grow(&c->tags, &b->tag_capacity, c->tag_count, 1, sizeof(*c->tags)) < 0)
		b->rc = -ENOMEM;
	config_defaults(b, SCHEMA_DEVICE, &preset);
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		uint32_t node = tree_child(&b->tree, list, i);
		uint32_t device_idx = c->device_count++;
		struct cfg_device *d = &c->devices[device_idx];

		*d = preset;
		d->place = place_of(b, node);
		if (!is_map(b, SCHEMA_DEVICE, node)) {
			b->incomplete[SCHEMA_DEVICE] = true;
			continue;
		}
		config_read_object(b, SCHEMA_DEVICE, node, d);
		if (tree_find(&b->tree, node, "line") != TREE_NONE)
			b->device_flags[device_idx] = CONFIG_DEVICE_HAS_LINE;
		config_check_device(b, d, node);
		read_tags(b, d, device_idx, node);
		if (!is_own_device(c, d))
			add_name(b, SCHEMA_DEVICE, 0, node, d->name, device_idx);
	}
	if (b->rc == 0 && c->device_count > CFG_DEVICES_MAX)
		config_complain(b, b->tree.root, "more than %u devices, with those of synthetic lines",
				CFG_DEVICES_MAX);
}

static void read_definition(struct config_build *b, struct cfg_definition *d, uint32_t node, uint32_t *stamps,
			    uint64_t *steps_left)
{
	uint32_t idx = (uint32_t)(d - b->cfg->definitions);

	d->place = place_of(b, node);
	if (!is_map(b, SCHEMA_DEFINITION, node))
		return;
	config_read_object(b, SCHEMA_DEFINITION, node, d);
	config_resolve_tags(b, d, node, stamps, idx + 1, steps_left);
	config_check_definition(b, d, node);
	if (d->target_idx != CFG_NONE)
		add_name(b, SCHEMA_DEFINITION, d->target_idx, node, d->name, idx);
}

static void read_definitions(struct config_build *b)
{
	uint32_t list = find_section(b, SCHEMA_DEFINITION, "definitions", CFG_DEFINITIONS_MAX);
	uint32_t count = list_count(b, list), mistakes_before = b->message_total;
	/* A pattern is tried on one tag: one step. Some seconds of work at most, for the largest file
	 * there may be. */
	uint64_t steps_left = 1ull << 26;
	struct cfg *c = b->cfg;
	struct cfg_definition preset = {.target_idx = CFG_NONE, .subscribe.forward.target_idx = CFG_NONE};
	uint32_t *stamps = room_for(b, c->tag_count, sizeof(*stamps));

	b->sources = room_for(b, c->tag_count, sizeof(*b->sources));
	c->definitions = room_for(b, count, sizeof(*c->definitions));
	if (grow(&c->refs, &b->ref_capacity, 0, 1, sizeof(*c->refs)) < 0)
		b->rc = -ENOMEM;
	for (uint32_t i = 0; i < c->tag_count && b->rc == 0; i++)
		b->sources[i] = CFG_NONE;
	config_defaults(b, SCHEMA_DEFINITION, &preset);
	for (uint32_t i = 0; i < count && b->rc == 0; i++) {
		struct cfg_definition *d = &c->definitions[c->definition_count++];

		*d = preset;
		read_definition(b, d, tree_child(&b->tree, list, i), stamps, &steps_left);
	}
	free(stamps);
	/* What a definition that has a mistake would have named or asked for is not known. */
	if (b->rc < 0 || b->message_total != mistakes_before || b->incomplete[SCHEMA_DEFINITION])
		return;
	config_check_filters(b);
	config_check_sources(b);
	config_check_lanes(b);
}

static void read_sections(struct config_build *b)
{
	read_node_name(b);
	read_samplers(b);
	if (b->rc == 0)
		read_publishers(b);
	if (b->rc == 0)
		read_packages(b);
	if (b->rc == 0)
		read_targets(b);
	if (b->rc == 0)
		read_lines(b);
	if (b->rc == 0)
		config_check_threads(b); /* both sides are there now */
	if (b->rc == 0)
		read_devices(b);
	if (b->rc == 0)
		read_definitions(b);
	if (b->rc == 0)
		config_default_packets(b);
}

static void read_document(struct config_build *b, struct bytes yaml)
{
	struct tree_error syntax;

	b->rc = tree_parse(&b->tree, yaml, &syntax);
	if (b->rc == -EINVAL) {
		b->rc = 0;
		config_complain_at(b, syntax.line, syntax.column, "%s", syntax.text);
		return;
	}
	if (b->rc < 0)
		return;
	if (b->tree.root == TREE_NONE || b->tree.nodes[b->tree.root].kind != TREE_MAP) {
		config_complain_at(
			b, 1, 1,
			"a configuration is a map of `node`, `targets`, `lines` and more; none is here");
		return;
	}
	read_sections(b);
}

int config_parse(const char *file, struct bytes yaml, struct cfg **out, struct cfg_errors *errors)
{
	struct config_build *b = calloc(1, sizeof(*b));
	struct cfg *c = calloc(1, sizeof(*c));
	int rc = -ENOMEM;

	*out = NULL;
	*errors = (struct cfg_errors){0};
	if (!b || !c)
		goto out;
	b->file = file;
	b->cfg = c;
	rc = grow(&c->text, &b->text_capacity, 0, 1, 1);
	if (rc < 0)
		goto out;
	c->text_bytes = 1; /* offset 0 is the empty text */
	c->file = config_text_add(b, bytes_of_text(file));
	if (yaml.size > CFG_FILE_BYTES_MAX)
		config_complain_at(b, 1, 1, "the file is larger than %u MiB; split it",
				   CFG_FILE_BYTES_MAX >> 20);
	else
		read_document(b, yaml);
	rc = config_report(b, errors);
	if (rc == 0)
		rc = b->rc < 0 ? b->rc : errors->total > 0 ? -EINVAL : 0;
out:
	if (b) {
		for (uint32_t i = 0; i < b->message_count; i++)
			free(b->messages[i].text);
		for (uint32_t i = 0; i < SCHEMA_SECTION_COUNT; i++)
			name_index_free(&b->names[i]);
		free(b->device_flags);
		free(b->sources);
		tree_free(&b->tree);
		free(b);
	}
	if (rc == 0)
		rc = config_pack(c);
	if (rc == 0)
		*out = c;
	else
		config_free(c);
	return rc;
}
