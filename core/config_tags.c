/* The tags of a definition: names and patterns to indices. */
#include <stdio.h>

#include "core/config_build.h"
#include "core/glob.h"
#include "core/grow.h"

/* Names looked at for a suggestion. */
#define CANDIDATES_MAX 4096u

/* device.tag, longest. */
#define FULL_NAME_BYTES_MAX 129u

struct search {
	struct config_build *b;
	struct cfg_definition *d;
	uint32_t node;    /* the name or pattern */
	uint32_t *stamps; /* a tag's stamp is this definition's: it has it already */
	uint32_t stamp;
	uint64_t *steps_left;
	uint32_t match_count;
};

static struct bytes full_name(const struct cfg *c, const struct cfg_tag *t,
			      char buffer[static FULL_NAME_BYTES_MAX + 1])
{
	struct writer w = writer_of(buffer, FULL_NAME_BYTES_MAX);

	write_text(&w, cfg_text(c, c->devices[t->device_idx].name));
	write_u8(&w, '.');
	write_text(&w, cfg_text(c, t->name));
	return bytes_of(buffer, (size_t)(w.at - (uint8_t *)buffer));
}

/* A subscription gives a value to the tag. One pattern is complained about once. */
static void add_source(struct search *s, uint32_t tag_idx)
{
	struct config_build *b = s->b;
	struct cfg *c = b->cfg;
	const struct cfg_tag *t = &c->tags[tag_idx];
	uint32_t target_idx = s->d->target_idx != CFG_NONE ? s->d->target_idx : CONFIG_SOURCE_UNKNOWN;
	uint32_t *source = &b->sources[tag_idx];
	char buffer[FULL_NAME_BYTES_MAX + 1];
	struct config_echo tag, first, second;

	if (b->tree.nodes[s->node].bad)
		return;
	if (b->device_flags[t->device_idx] & CONFIG_DEVICE_HAS_LINE) {
		config_complain(
			b, s->node,
			"%s has a line, and writing to devices is not supported by this version; name "
			"tags of a device without `line`, which holds subscribed values",
			config_echo(&tag, full_name(c, t, buffer)));
		return;
	}
	if (*source != CFG_NONE && *source != target_idx && *source != CONFIG_SOURCE_UNKNOWN &&
	    target_idx != CONFIG_SOURCE_UNKNOWN)
		config_complain(
			b, s->node,
			"%s has two sources, the targets %s and %s; subscribe to it at one of them",
			config_echo(&tag, full_name(c, t, buffer)),
			config_echo(&first, bytes_of_text(cfg_text(c, c->targets[*source].name))),
			config_echo(&second, bytes_of_text(cfg_text(c, c->targets[target_idx].name))));
	*source = target_idx;
}

static void add_ref(struct search *s, uint32_t tag_idx)
{
	struct cfg *c = s->b->cfg;

	s->match_count++;
	if (s->d->mode == CFG_MODE_SUBSCRIBE)
		add_source(s, tag_idx);
	if (s->stamps[tag_idx] == s->stamp)
		return;
	if (c->ref_count == CFG_REFS_MAX) {
		config_complain(s->b, s->node,
				"the definitions have more than %u tags in all; take narrower patterns",
				CFG_REFS_MAX);
		return;
	}
	if (grow(&c->refs, &s->b->ref_capacity, c->ref_count, 1, sizeof(*c->refs)) < 0) {
		s->b->rc = -ENOMEM;
		return;
	}
	s->stamps[tag_idx] = s->stamp;
	c->refs[c->ref_count++] = tag_idx;
	s->d->ref_count++;
}

static void match_range(struct search *s, struct bytes pattern, uint32_t first, uint32_t count)
{
	const struct cfg *c = s->b->cfg;
	char buffer[FULL_NAME_BYTES_MAX + 1];

	for (uint32_t i = first; i < first + count && s->b->rc == 0; i++) {
		if (*s->steps_left == 0) {
			config_complain(s->b, s->node,
					"too many patterns for so many tags; begin each with its device");
			return;
		}
		--*s->steps_left;
		if (glob_matches(pattern, full_name(c, &c->tags[i], buffer)))
			add_ref(s, i);
	}
}

/* The device that stands before the first dot, NAME_NONE where that is a pattern itself or unknown. */
static uint32_t device_of(const struct config_build *b, struct bytes name, bool *is_literal)
{
	const uint8_t *dot = name.size ? memchr(name.ptr, '.', name.size) : NULL;
	struct bytes device = bytes_of(name.ptr, dot ? (size_t)(dot - name.ptr) : name.size);

	*is_literal = dot && !memchr(device.ptr, '*', device.size ? device.size : 1);
	return *is_literal ? name_index_find(&b->names[SCHEMA_DEVICE], b->cfg->text, 0, device) : NAME_NONE;
}

/* Could something that could not be read have been what is looked for? */
static bool may_be_excused(const struct config_build *b, uint32_t device_idx, bool is_literal)
{
	if (device_idx != NAME_NONE)
		return b->device_flags[device_idx] & CONFIG_DEVICE_INCOMPLETE;
	if (b->incomplete[SCHEMA_DEVICE])
		return true;
	for (uint32_t i = 0; i < b->cfg->device_count && !is_literal; i++)
		if (b->device_flags[i] & CONFIG_DEVICE_INCOMPLETE)
			return true;
	return false;
}

/* Candidates are made up one after the other; the best so far keeps the buffer that it stands in. */
struct candidates {
	struct suggest near;
	char buffers[2][FULL_NAME_BYTES_MAX + 1];
	uint32_t free_idx;
};

static char *candidate_room(struct candidates *k)
{
	return k->buffers[k->free_idx];
}

static void candidate_offer(struct candidates *k, struct bytes candidate)
{
	suggest_offer(&k->near, candidate);
	if (suggest_found(&k->near) && k->near.best.ptr == candidate.ptr)
		k->free_idx ^= 1;
}

/* A pattern or name whose device is misspelt: each device with what stands after the dot. */
static void offer_devices(struct candidates *k, const struct cfg *c, struct bytes name)
{
	const uint8_t *dot = name.size ? memchr(name.ptr, '.', name.size) : NULL;
	int rest = dot ? (int)min_size(name.size - (size_t)(dot - name.ptr), 64) : 0;

	for (uint32_t i = 0; i < c->device_count && i < CANDIDATES_MAX; i++) {
		char *room = candidate_room(k);
		int n = snprintf(room, FULL_NAME_BYTES_MAX + 1, "%s%.*s", cfg_text(c, c->devices[i].name),
				 rest, dot ? (const char *)dot : "");

		candidate_offer(k, bytes_of(room, min_size((size_t)n, FULL_NAME_BYTES_MAX)));
	}
}

static void complain_no_match(struct search *s, struct bytes name, uint32_t device_idx)
{
	const struct cfg *c = s->b->cfg;
	const struct cfg_device *d = device_idx != NAME_NONE ? &c->devices[device_idx] : NULL;
	uint32_t first = d ? d->tag_first : 0, count = d ? d->tag_count : c->tag_count;
	char hint[CONFIG_HINT_BYTES];
	struct candidates k = {0};
	struct config_echo e;

	suggest_begin(&k.near, name);
	for (uint32_t i = 0; i < count && i < CANDIDATES_MAX; i++)
		candidate_offer(&k, full_name(c, &c->tags[first + i], candidate_room(&k)));
	if (!d && memchr(name.ptr, '*', name.size))
		offer_devices(&k, c, name);
	config_complain(s->b, s->node, "no tag matches %s%s", config_echo(&e, name),
			config_hint(hint, &k.near, "a tag's full name is device.tag"));
}

static void resolve(struct search *s)
{
	struct config_build *b = s->b;
	struct bytes name = tree_text(&b->tree, s->node);
	bool is_literal, is_pattern = name.size && memchr(name.ptr, '*', name.size);
	uint32_t device_idx, tag_idx;

	if (b->tree.nodes[s->node].kind != TREE_SCALAR) {
		config_complain(b, s->node, "the name of a tag is a single text, such as meter1.power");
		return;
	}
	if (name.size > 2 * FULL_NAME_BYTES_MAX) {
		config_complain(b, s->node,
				"no tag has so long a name; write device.tag or a pattern such as meter1.*");
		return;
	}
	device_idx = device_of(b, name, &is_literal);
	if (device_idx != NAME_NONE && !is_pattern) {
		size_t device_bytes = strlen(cfg_text(b->cfg, b->cfg->devices[device_idx].name)) + 1;

		tag_idx = name_index_find(&b->names[SCHEMA_TAG], b->cfg->text, device_idx,
					  bytes_of(name.ptr + device_bytes, name.size - device_bytes));
		if (tag_idx != NAME_NONE)
			add_ref(s, tag_idx);
	} else if (device_idx != NAME_NONE) {
		match_range(s, name, b->cfg->devices[device_idx].tag_first,
			    b->cfg->devices[device_idx].tag_count);
	} else if (is_pattern && !is_literal) {
		match_range(s, name, 0, b->cfg->tag_count);
	}
	if (s->match_count > 0 || may_be_excused(b, device_idx, is_literal))
		return;
	if (config_is_heard(b, s->node))
		complain_no_match(s, name, device_idx);
	else
		b->message_total += !b->tree.nodes[s->node].bad;
}

void config_resolve_tags(struct config_build *b, struct cfg_definition *d, uint32_t node, uint32_t *stamps,
			 uint32_t stamp, uint64_t *steps_left)
{
	uint32_t tags = tree_find(&b->tree, node, "tags");
	const struct tree_node *n;

	d->ref_first = b->cfg->ref_count;
	if (tags == TREE_NONE || b->tree.nodes[tags].bad)
		return;
	n = &b->tree.nodes[tags];
	if (n->kind == TREE_LIST && n->count == 0)
		config_complain(b, tags,
				"`tags` is empty; name at least one tag, or a pattern such as meter1.*");
	for (uint32_t i = 0; i < (n->kind == TREE_LIST ? n->count : 1) && b->rc == 0; i++) {
		struct search s = {
			.b = b,
			.d = d,
			.node = n->kind == TREE_LIST ? tree_child(&b->tree, tags, i) : tags,
			.stamps = stamps,
			.stamp = stamp,
			.steps_left = steps_left,
		};

		resolve(&s);
	}
}
