/* One entry of the file - a map and the maps in it - into one object, key by key. */
#include <stdio.h>

#include "core/config_build.h"
#include "core/grow.h"
#include "core/url.h"

/* Groups of one entry that wait to be read; no section has more. */
#define GROUPS_MAX 8u

struct group {
	enum schema_section section;
	uint32_t node;
};

struct entry {
	enum schema_section section; /* whose keys are being read */
	uint32_t node;
	void *object;
	uint64_t seen[4]; /* a bit each of schema_keys */
	struct group groups[GROUPS_MAX];
	uint32_t group_count;
};

static const char *shape(const struct config_build *b, uint32_t node)
{
	switch ((enum tree_kind)b->tree.nodes[node].kind) {
	case TREE_SCALAR: return "a single value";
	case TREE_LIST: return "a list";
	case TREE_MAP: return "a map";
	}
	UNREACHABLE();
}

/* Only what looks like a key is repeated: `{password hunter2}` is a key too, for YAML. */
static bool looks_like_key(struct bytes text)
{
	if (text.size == 0 || text.size > 40)
		return false;
	for (size_t i = 0; i < text.size; i++)
		if (!memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", text.ptr[i],
			    65))
			return false;
	return true;
}

static void unknown_key(struct config_build *b, const struct entry *e, uint32_t key_node, struct bytes key)
{
	const char *noun = schema_section_noun(e->section);
	char hint[CONFIG_HINT_BYTES];
	struct config_echo echo;
	struct suggest s;

	if (!config_is_heard(b, key_node)) {
		b->message_total += !b->tree.nodes[key_node].bad;
		return;
	}
	if (!looks_like_key(key) && !bytes_equal(key, bytes_of_text("<<"))) {
		config_complain(b, key_node, "this is no key of a %s; write `key: value`", noun);
		return;
	}
	if (bytes_equal(key, bytes_of_text("<<"))) {
		config_complain(b, key_node, "merge keys (`<<`) are not supported; write the keys out");
		return;
	}
	suggest_begin(&s, key);
	for (uint32_t i = 0; i < schema_key_count; i++)
		if (schema_keys[i].section == e->section)
			suggest_offer(&s, bytes_of_text(schema_keys[i].key));
	config_complain(b, key_node, "unknown key %s in a %s%s", config_echo(&echo, key), noun,
			config_hint(hint, &s, "--print-schema lists what there is"));
}

static void read_scalar(struct config_build *b, const struct entry *e, const struct schema_key *k,
			uint32_t node)
{
	char why[CONFIG_WHY_BYTES];

	if (b->tree.nodes[node].kind != TREE_SCALAR) {
		config_complain(b, node, "`%s` is %s; write a single value", k->key, shape(b, node));
		return;
	}
	if ((k->type == SCHEMA_REFERENCE || k->type == SCHEMA_WORD) && b->tree.nodes[node].bad)
		return; /* by an alias again: the field keeps its preset */
	if (!config_field_set(b, k, tree_text(&b->tree, node), e->object, why))
		config_complain(b, node, "%s", why);
}

static void read_value(struct config_build *b, struct entry *e, const struct schema_key *k, uint32_t key_node,
		       uint32_t node)
{
	if (k->type == SCHEMA_LATER) {
		config_complain(b, key_node, "`%s` is not supported by this version; leave it out", k->key);
		b->tree.nodes[node].bad = true;
		return;
	}
	if (k->type ==
	    SCHEMA_LIST) /* the caller reads it; commented out to the last entry it is an empty one */
		return;
	if (config_is_null(b, node)) {
		config_complain(b, node, "`%s` has no value; write one or leave the key out", k->key);
		return;
	}
	if (k->type == SCHEMA_URLS || k->type == SCHEMA_NETWORKS || k->type == SCHEMA_TAGS)
		return;
	if (k->type == SCHEMA_PAIRS) {
		config_read_pairs(b, k, node, e->object);
		return;
	}
	if (k->type != SCHEMA_GROUP) {
		read_scalar(b, e, k, node);
		return;
	}
	if (b->tree.nodes[node].kind != TREE_MAP) {
		config_complain(b, node, "`%s` is %s; write its keys as {key: value, ...}", k->key,
				shape(b, node));
		return;
	}
	ASSERT(e->group_count < GROUPS_MAX);
	e->groups[e->group_count++] = (struct group){.section = k->refers, .node = node};
}

static void read_pair(struct config_build *b, struct entry *e, uint32_t key_node, uint32_t value_node)
{
	struct bytes key = tree_text(&b->tree, key_node);
	const struct schema_key *k = schema_find(e->section, key);
	uint32_t bit;

	if (!k) {
		unknown_key(b, e, key_node, key);
		return;
	}
	bit = (uint32_t)(k - schema_keys);
	ASSERT(bit / 64 < ARRAY_COUNT(e->seen));
	if (e->seen[bit / 64] & (1ull << bit % 64)) {
		uint32_t first = tree_find(&b->tree, e->node, k->key);

		config_complain(b, key_node, "`%s` is given twice, before in line %u; keep one of them",
				k->key, b->tree.nodes[first].line);
		return;
	}
	e->seen[bit / 64] |= 1ull << bit % 64;
	read_value(b, e, k, key_node, value_node);
}

static void miss_required(struct config_build *b, const struct entry *e)
{
	for (uint32_t i = 0; i < schema_key_count; i++) {
		const struct schema_key *k = &schema_keys[i];

		if (k->section == e->section && k->need == SCHEMA_REQUIRED &&
		    !(e->seen[i / 64] & (1ull << i % 64)))
			config_complain(b, e->node, "`%s` is missing in this %s; add `%s: ...`%s%s", k->key,
					schema_section_noun(e->section), k->key, *k->doc ? ": " : "", k->doc);
	}
}

static void read_map(struct config_build *b, struct entry *e)
{
	const struct tree_node *map = &b->tree.nodes[e->node];

	for (uint32_t i = 0; i + 1 < map->count; i += 2)
		read_pair(b, e, tree_child(&b->tree, e->node, i), tree_child(&b->tree, e->node, i + 1));
	miss_required(b, e);
}

void config_read_object(struct config_build *b, enum schema_section section, uint32_t node, void *object)
{
	struct entry e = {.section = section, .node = node, .object = object};

	ASSERT(b->tree.nodes[node].kind == TREE_MAP);
	read_map(b, &e);
	for (uint32_t i = 0; i < e.group_count; i++) { /* may grow while it runs, up to GROUPS_MAX */
		e.section = e.groups[i].section;
		e.node = e.groups[i].node;
		read_map(b, &e);
	}
}

static void read_url(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	struct bytes text = tree_text(&b->tree, node);
	struct cfg *c = b->cfg;
	struct config_echo echo;
	struct url url;
	const char *why;

	if (b->tree.nodes[node].kind != TREE_SCALAR) {
		config_complain(b, node, "a URL is a single text, such as mqtt://host:1883");
		return;
	}
	if (url_parse(text, &url, &why) < 0) {
		/* With an @ in it there may be a password in it. */
		if (memchr(text.ptr, '@', text.size))
			config_complain(b, node, "this URL is not understood: %s", why);
		else
			config_complain(b, node, "the URL %s is not understood: %s", config_echo(&echo, text),
					why);
		return;
	}
	if (url.scheme == URL_MQTTS) {
		config_complain(b, node, "TLS is not supported by this version; use mqtt://");
		return;
	}
	if (grow(&c->urls, &b->url_capacity, c->url_count, 1, sizeof(*c->urls)) < 0) {
		b->rc = -ENOMEM;
		return;
	}
	c->urls[c->url_count++] = (struct cfg_url){
		.scheme = CFG_SCHEME_MQTT,
		.host = config_text_add(b, bytes_of_text(url.host)),
		.port = url.port,
		.text = config_text_add(b, text),
	};
	t->url_count++;
}

void config_read_urls(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	uint32_t urls = tree_find(&b->tree, node, "urls");
	uint32_t url = tree_find(&b->tree, node, "url");
	uint32_t given = urls != TREE_NONE ? urls : url;
	const struct tree_node *n;

	t->url_first = b->cfg->url_count;
	if (urls != TREE_NONE && url != TREE_NONE) {
		config_complain(b, url, "`url` and `urls` are the same; put all of them into `urls`");
		return;
	}
	if (given == TREE_NONE) {
		config_complain(b, node, "`urls` is missing in this target; add `urls: [mqtt://host:1883]`");
		return;
	}
	n = &b->tree.nodes[given];
	if (n->bad)
		return;
	if (n->kind != TREE_LIST) {
		read_url(b, t, given);
		return;
	}
	if (n->count == 0 || n->count > CFG_URLS_PER_TARGET) {
		config_complain(b, given, "`urls` has %u entries; write 1 to %u", n->count,
				CFG_URLS_PER_TARGET);
		return;
	}
	for (uint32_t i = 0; i < n->count; i++)
		read_url(b, t, tree_child(&b->tree, given, i));
}

static void read_network(struct config_build *b, uint32_t node)
{
	struct cfg *c = b->cfg;
	const char *why = "a network is a single text, such as 10.20.0.0/16";

	if (b->tree.nodes[node].kind != TREE_SCALAR ||
	    network_parse(tree_text(&b->tree, node), &c->own_networks[c->own_network_count], &why) < 0) {
		config_complain(b, node, "this network is not understood: %s", why);
		return;
	}
	c->own_network_count++;
}

void config_read_networks(struct config_build *b)
{
	uint32_t list = tree_find(&b->tree, b->tree.root, "own_networks");
	const struct tree_node *n;

	if (list == TREE_NONE || b->tree.nodes[list].bad)
		return;
	n = &b->tree.nodes[list];
	if (n->kind != TREE_LIST) {
		read_network(b, list);
		return;
	}
	if (n->count > CFG_OWN_NETWORKS_MAX) {
		config_complain(b, list, "`own_networks` has %u entries; at most %u are allowed", n->count,
				CFG_OWN_NETWORKS_MAX);
		return;
	}
	for (uint32_t i = 0; i < n->count; i++)
		read_network(b, tree_child(&b->tree, list, i));
}
