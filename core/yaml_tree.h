/* core/yaml_tree.h - a YAML document as an array of nodes that know their line and column.
 *
 * Purpose:  the bounded ground under the configuration parser. An alias is the index of the node it stands
 *           for, so the tree is a graph without cycles; its size *with every alias written out* is
 *           bounded, so whoever walks it is.
 * Owner:    the caller's struct; tree_free ends it, also after an error.
 * Threads:  none shared.
 * Units:    lines and columns count from 1.
 * Errors:   the first syntax error ends the parse: -EINVAL with its place and words that never repeat the
 *           input.
 */
#ifndef CORE_YAML_TREE_H
#define CORE_YAML_TREE_H

#include "core/bytes.h"

#define TREE_NONE UINT32_MAX

#define TREE_DEPTH_MAX   16u
#define TREE_NODES_MAX   (16u << 20)  /* every alias written out */
#define TREE_TEXT_MAX    (256u << 20) /* bytes of scalars, every alias written out */
#define TREE_ANCHORS_MAX 1024u

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree_node {
	uint8_t kind; /* enum tree_kind */
	bool plain;   /* a scalar without quotes */
	bool bad;     /* for the user of the tree: something has been said about it */
	uint32_t line;
	uint32_t column;
	uint32_t first; /* scalar: its bytes in tree.text; otherwise into tree.children */
	uint32_t count; /* scalar: bytes; list: items; map: keys and values, two each */
};

struct tree {
	struct tree_node *nodes;
	uint32_t *children;
	uint8_t *text;
	uint32_t node_count, node_capacity;
	uint32_t child_count, child_capacity;
	uint32_t text_bytes, text_capacity;
	uint32_t root; /* TREE_NONE: an empty document */
};

struct tree_error {
	uint32_t line;
	uint32_t column;
	char text[200];
};

NODISCARD int tree_parse(struct tree *t, struct bytes yaml, struct tree_error *error);
void tree_free(struct tree *t);

/* The value of a key in a map, the first where it is given twice; TREE_NONE where it is not given. */
NODISCARD uint32_t tree_find(const struct tree *t, uint32_t map, const char *key);

/* A scalar's bytes; of anything else none. */
static inline struct bytes tree_text(const struct tree *t, uint32_t node)
{
	const struct tree_node *n = &t->nodes[node];

	return n->kind == TREE_SCALAR && n->count ? bytes_of(t->text + n->first, n->count) : bytes_of("", 0);
}

static inline uint32_t tree_child(const struct tree *t, uint32_t node, uint32_t child_idx)
{
	ASSERT(t->nodes[node].kind != TREE_SCALAR);
	ASSERT(child_idx < t->nodes[node].count);
	return t->children[t->nodes[node].first + child_idx];
}

#endif
