/* What messages carry beside topic and payload: reading user properties, and the rules of all of them. */
#include <errno.h>
#include <string.h>

#include "core/config_build.h"
#include "core/grow.h"

/* A name or a value as MQTT has them: the reader of YAML lets nothing through but well-formed UTF-8, so that only the
 * zero byte and the size are left to look at. False: what is wrong has been said. */
static bool is_text(struct config_build *b, const struct schema_key *k, uint32_t node)
{
	struct bytes text = tree_text(&b->tree, node);

	if (b->tree.nodes[node].kind != TREE_SCALAR)
		config_complain(b, node, "`%s` has names and texts; write {name: text}", k->key);
	else if (config_is_null(b, node))
		config_complain(b, node, "a property of `%s` has no text; write one, or an empty one as \"\"",
				k->key);
	else if (text.size && memchr(text.ptr, 0, text.size))
		config_complain(b, node, "`%s` may not have a zero byte", k->key);
	else if (text.size > CFG_PAIR_BYTES_MAX)
		config_complain(b, node, "`%s` has a text of %zu bytes; at most %u are allowed", k->key,
				text.size, CFG_PAIR_BYTES_MAX);
	else
		return true;
	return false;
}

static bool is_repeated(struct config_build *b, const struct schema_key *k, uint32_t map, uint32_t idx)
{
	uint32_t name = tree_child(&b->tree, map, idx);

	for (uint32_t i = 0; i < idx; i += 2)
		if (bytes_equal(tree_text(&b->tree, name),
				tree_text(&b->tree, tree_child(&b->tree, map, i)))) {
			config_complain(b, name, "this name is in `%s` twice; keep one of them", k->key);
			return true;
		}
	return false;
}

void config_read_pairs(struct config_build *b, const struct schema_key *k, uint32_t node, void *object)
{
	const struct tree_node *n = &b->tree.nodes[node];
	struct cfg *c = b->cfg;
	struct cfg_pairs pairs = {.first = c->pair_count, .count = n->count / 2};

	ASSERT(k->width == sizeof(pairs));
	if (n->kind != TREE_MAP) {
		config_complain(b, node, "`%s` has names and texts; write {name: text, ...}", k->key);
		return;
	}
	if (pairs.count > CFG_PAIRS_PER_OBJECT) {
		config_complain(b, node, "`%s` has %u entries; at most %u are allowed", k->key, pairs.count,
				CFG_PAIRS_PER_OBJECT);
		return;
	}
	if (grow(&c->pairs, &b->pair_capacity, c->pair_count, pairs.count, sizeof(*c->pairs)) < 0) {
		b->rc = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i + 1 < n->count; i += 2) {
		uint32_t name = tree_child(&b->tree, node, i), value = tree_child(&b->tree, node, i + 1);

		if (!is_text(b, k, name) || is_repeated(b, k, node, i) || !is_text(b, k, value))
			continue;
		c->pairs[c->pair_count++] = (struct cfg_pair){
			.name = config_text_add(b, tree_text(&b->tree, name)),
			.value = config_text_add(b, tree_text(&b->tree, value))};
	}
	pairs.count = c->pair_count - pairs.first;
	memcpy((char *)object + k->offset, &pairs, sizeof(pairs));
}

void config_check_props(struct config_build *b, struct cfg_props *props, uint32_t map, uint8_t protocol,
			const struct topic_names *names, const char *whose)
{
	static const char *const of_5[] = {"content_type", "payload_format", "response_topic",
					   "correlation_data", "user_properties"};
	uint32_t topic = config_given(b, map, "response_topic");
	char expanded[TOPIC_BYTES_MAX];
	const char *why;
	int size;

	for (uint32_t i = 0; i < ARRAY_COUNT(of_5) && protocol != 5; i++)
		config_need_mqtt5(b, map, of_5[i]);
	if (topic == TREE_NONE)
		return;
	size = topic_expand(cfg_text(b->cfg, props->response_topic), names, expanded, &why);
	if (size < 0)
		config_complain(b, topic, "`response_topic` %s: %s", whose, why);
	else
		props->response_topic = config_text_add(b, bytes_of(expanded, (size_t)size));
}
