/* core/config_build.h - the workshop in which a struct cfg is made; for core/config_*.c only.
 *
 * Purpose:  what reading, checking and resolving share: the tree, the texts, the names, what has been
 *           complained about.
 * Owner:    config_parse, for the length of one call.
 * Threads:  none shared.
 * Errors:   mistakes of the file go to the report and reading goes on; rc becomes -ENOMEM once and stays.
 */
#ifndef CORE_CONFIG_BUILD_H
#define CORE_CONFIG_BUILD_H

#include "core/config.h"
#include "core/name_index.h"
#include "core/schema.h"
#include "core/suggest.h"
#include "core/topic.h"
#include "core/yaml_tree.h"

struct config_message {
	uint32_t line;
	uint32_t column;
	uint32_t order;
	char *text;
};

struct config_build {
	const char *file;
	struct cfg *cfg;
	struct tree tree;
	int rc; /* -ENOMEM once memory was short */

	struct config_message messages[CFG_ERRORS_MAX];
	uint32_t message_count;
	uint32_t message_total;

	uint32_t text_capacity, url_capacity, device_capacity, tag_capacity, ref_capacity, package_capacity,
		pair_capacity;

	struct name_index names[SCHEMA_SECTION_COUNT];
	/* An entry without a usable name stands in the section: references that miss are not worth a word. */
	bool incomplete[SCHEMA_SECTION_COUNT];
	uint8_t *device_flags; /* CONFIG_DEVICE_x of each device */
	uint32_t device_flags_capacity;
	uint32_t *sources; /* of each tag the target whose subscriptions name it; CFG_NONE: none does */
};

/* The same as incomplete, for the tags of a device. */
#define CONFIG_DEVICE_INCOMPLETE 1u
/* It says that it has a line, even where the line cannot be told. */
#define CONFIG_DEVICE_HAS_LINE 2u

/* In sources: a target that could not be told. */
#define CONFIG_SOURCE_UNKNOWN (CFG_NONE - 1)

/* Input in a message: printable, short, between back quotes. */
#define CONFIG_ECHO_BYTES 64u
struct config_echo {
	char text[CONFIG_ECHO_BYTES];
};
const char *config_echo(struct config_echo *e, struct bytes text);

/* Says what is wrong at a node and marks it; the same words at the same place are said once. */
PRINTF(3, 4) void config_complain(struct config_build *b, uint32_t node, const char *format, ...);
PRINTF(4, 5)
void config_complain_at(struct config_build *b, uint32_t line, uint32_t column, const char *format, ...);

/* Is one more suggestion worth its search? Not when nothing more is kept, nor a second time at the same
 * place. */
static inline bool config_is_heard(const struct config_build *b, uint32_t node)
{
	return b->message_count < CFG_ERRORS_MAX && !b->tree.nodes[node].bad;
}

/* "; did you mean `x`?" where something is near, or "; " and the words otherwise. */
#define CONFIG_HINT_BYTES 192u
const char *config_hint(char buffer[static CONFIG_HINT_BYTES], const struct suggest *s,
			const char *otherwise);

/* Sorts by place and hands over. */
NODISCARD int config_report(struct config_build *b, struct cfg_errors *errors);

/* A copy among the texts; 0 for none, and where memory is short. */
uint32_t config_text_add(struct config_build *b, struct bytes text);

static inline bool config_is_null(const struct config_build *b, uint32_t node)
{
	struct bytes text = tree_text(&b->tree, node);

	return b->tree.nodes[node].kind == TREE_SCALAR && b->tree.nodes[node].plain &&
	       (text.size == 0 || bytes_equal(text, bytes_of_text("~")) ||
		bytes_equal(text, bytes_of_text("null")));
}

/* The node of a key that was given and is sound, or TREE_NONE. map may be TREE_NONE. */
static inline uint32_t config_given(const struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = map == TREE_NONE ? TREE_NONE : tree_find(&b->tree, map, key);

	return node == TREE_NONE || b->tree.nodes[node].bad ? TREE_NONE : node;
}

/* The key has its default, or a value that nobody complained about. */
static inline bool config_is_sound(const struct config_build *b, uint32_t map, const char *key)
{
	uint32_t node = map == TREE_NONE ? TREE_NONE : tree_find(&b->tree, map, key);

	return node == TREE_NONE || !b->tree.nodes[node].bad;
}

/* A scalar of the file, or a default of the table, into its field. False: what is wrong stands in why. */
#define CONFIG_WHY_BYTES 256u
NODISCARD bool config_field_set(struct config_build *b, const struct schema_key *k, struct bytes text,
				void *object, char why[static CONFIG_WHY_BYTES]);

/* Every default of a section and its groups. */
void config_defaults(struct config_build *b, enum schema_section section, void *object);

/* All keys of one entry and of its groups; lists and tag names are left to the caller. */
void config_read_object(struct config_build *b, enum schema_section section, uint32_t node, void *object);

/* The rules that span several keys, after all keys of the entry were read. A rule is silent where one of its
 * keys has been complained about already. */
void config_check_target(struct config_build *b, struct cfg_target *t, uint32_t node);
/* Of a target or line. */
void config_check_trace(struct config_build *b, const struct cfg_trace *t, uint32_t node);
void config_check_line(struct config_build *b, struct cfg_line *l, uint32_t node);
void config_check_device(struct config_build *b, struct cfg_device *d, uint32_t node);
void config_check_tag(struct config_build *b, struct cfg_tag *t, uint32_t node);
void config_check_definition(struct config_build *b, struct cfg_definition *d, uint32_t node);
void config_check_subscription(struct config_build *b, struct cfg_definition *d, uint32_t node);
/* Those that span several entries, of sections that are read to their end. */
void config_check_clients(struct config_build *b);
/* max_packet where none is given; after the definitions. */
void config_default_packets(struct config_build *b);
void config_check_paths(struct config_build *b);
void config_check_threads(struct config_build *b);
void config_check_sources(struct config_build *b);
void config_check_lanes(struct config_build *b);
void config_check_filters(struct config_build *b);

/* Parts of those. */
void config_check_backoff(struct config_build *b, uint32_t group, uint64_t base_ns, uint64_t cap_ns);
void config_need_mqtt5(struct config_build *b, uint32_t map, const char *key);
/* What a will or a definition carries; the response topic is filled in. whose: for messages. */
void config_check_props(struct config_build *b, struct cfg_props *props, uint32_t map, uint8_t protocol,
			const struct topic_names *names, const char *whose);
enum cfg_deadband config_deadband_kind(struct config_build *b, uint32_t group);
/* What the placeholders of a definition's topics stand for; tag_idx may be CFG_NONE. */
struct topic_names config_names_of(const struct cfg *c, const struct cfg_definition *d, uint32_t tag_idx);

/* What is no scalar: URLs, networks, packages, user properties, the tags of all definitions. */
void config_read_networks(struct config_build *b);
void config_read_urls(struct config_build *b, struct cfg_target *t, uint32_t node);
void config_read_pairs(struct config_build *b, const struct schema_key *k, uint32_t node, void *object);
void config_resolve_package(struct config_build *b, struct cfg_target *t, uint32_t node);
void config_resolve_tags(struct config_build *b, struct cfg_definition *d, uint32_t node, uint32_t *stamps,
			 uint32_t stamp, uint64_t *steps_left);

/* core/config_pack.c: at the end. -ENOMEM. */
NODISCARD int config_pack(struct cfg *c);

#endif
