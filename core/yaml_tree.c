#include "core/yaml_tree.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#include "core/grow.h"

/* A list or map whose end has not come yet. */
struct frame {
	uint32_t node;
	uint32_t pending_first; /* its children so far are pending[pending_first ..] */
	uint32_t anchor;        /* into anchors, or TREE_NONE */
};

struct anchor {
	char *name;
	uint32_t node;
	bool complete;
	uint64_t node_count; /* while open: what stood before it; then: its own size, aliases written out */
	uint64_t text_bytes;
};

struct build {
	struct tree *t;
	struct tree_error *error;
	struct frame frames[TREE_DEPTH_MAX];
	uint32_t depth;
	uint32_t *pending; /* children of all open frames, outermost first */
	uint32_t pending_count, pending_capacity;
	struct anchor anchors[TREE_ANCHORS_MAX];
	uint32_t anchor_count;
	uint64_t expanded_nodes; /* so far, aliases written out */
	uint64_t expanded_bytes;
	uint32_t documents;
};

static int fail_at(struct tree_error *error, uint32_t line, uint32_t column, const char *text)
{
	error->line = line;
	error->column = column;
	snprintf(error->text, sizeof(error->text), "%s", text);
	return -EINVAL;
}

static int fail(struct build *b, const yaml_event_t *event, const char *text)
{
	return fail_at(b->error, (uint32_t)event->start_mark.line + 1, (uint32_t)event->start_mark.column + 1,
		       text);
}

/* Counts what is new, every alias at its full size. Everything later walks at most this much. */
static int count_expanded(struct build *b, const yaml_event_t *event, uint64_t nodes, uint64_t bytes)
{
	b->expanded_nodes += nodes;
	b->expanded_bytes += bytes;
	if (b->expanded_nodes > TREE_NODES_MAX || b->expanded_bytes > TREE_TEXT_MAX)
		return fail(b, event, "the file is too large, with every alias written out; split it");
	return 0;
}

/* The node becomes a child of the innermost open list or map, or the root. */
static int attach(struct build *b, uint32_t node)
{
	int rc;

	if (b->depth == 0) {
		b->t->root = node;
		return 0;
	}
	rc = grow(&b->pending, &b->pending_capacity, b->pending_count, 1, sizeof(*b->pending));
	if (rc == 0)
		b->pending[b->pending_count++] = node;
	return rc;
}

static int add_node(struct build *b, const yaml_event_t *event, enum tree_kind kind, uint32_t *out)
{
	struct tree *t = b->t;
	int rc = grow(&t->nodes, &t->node_capacity, t->node_count, 1, sizeof(*t->nodes));

	if (rc < 0)
		return rc;
	*out = t->node_count++;
	t->nodes[*out] = (struct tree_node){
		.kind = (uint8_t)kind,
		.line = (uint32_t)event->start_mark.line + 1,
		.column = (uint32_t)event->start_mark.column + 1,
	};
	return 0;
}

/* A later anchor of the same name replaces the earlier one, so the search runs backwards. */
static struct anchor *find_anchor(struct build *b, const yaml_char_t *name)
{
	for (uint32_t i = b->anchor_count; i > 0; i--)
		if (!strcmp(b->anchors[i - 1].name, (const char *)name))
			return &b->anchors[i - 1];
	return NULL;
}

static int add_anchor(struct build *b, const yaml_event_t *event, const yaml_char_t *name, uint32_t node,
		      uint32_t *out)
{
	struct anchor *a;

	*out = TREE_NONE;
	if (!name)
		return 0;
	if (b->anchor_count == TREE_ANCHORS_MAX)
		return fail(b, event, "too many anchors; at most 1024 are read");
	a = &b->anchors[b->anchor_count];
	*a = (struct anchor){
		.name = strdup((const char *)name),
		.node = node,
		.node_count = b->expanded_nodes,
		.text_bytes = b->expanded_bytes,
	};
	if (!a->name)
		return -ENOMEM;
	*out = b->anchor_count++;
	return 0;
}

static void complete_anchor(struct build *b, uint32_t anchor)
{
	struct anchor *a = &b->anchors[anchor];

	a->complete = true;
	a->node_count = b->expanded_nodes - a->node_count + 1;
	a->text_bytes = b->expanded_bytes - a->text_bytes;
}

static int on_scalar(struct build *b, const yaml_event_t *event)
{
	struct tree *t = b->t;
	size_t size = event->data.scalar.length;
	uint32_t node, anchor;
	int rc = count_expanded(b, event, 1, size);

	if (rc < 0)
		return rc;
	if (event->data.scalar.tag)
		return fail(b, event, "YAML tags (`!...`) have no meaning here; leave the tag out");
	rc = add_node(b, event, TREE_SCALAR, &node);
	if (rc == 0)
		rc = grow(&t->text, &t->text_capacity, t->text_bytes, (uint32_t)size, 1);
	if (rc == 0)
		rc = add_anchor(b, event, event->data.scalar.anchor, node, &anchor);
	if (rc < 0)
		return rc;
	if (anchor != TREE_NONE) {
		b->anchors[anchor].text_bytes -= size; /* it was counted just before */
		complete_anchor(b, anchor);
	}
	t->nodes[node].plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	t->nodes[node].first = t->text_bytes;
	t->nodes[node].count = (uint32_t)size;
	if (size)
		memcpy(t->text + t->text_bytes, event->data.scalar.value, size);
	t->text_bytes += (uint32_t)size;
	return attach(b, node);
}

static int on_start(struct build *b, const yaml_event_t *event, enum tree_kind kind)
{
	bool is_list = kind == TREE_LIST;
	const yaml_char_t *tag = is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
	const yaml_char_t *name = is_list ? event->data.sequence_start.anchor
					  : event->data.mapping_start.anchor;
	uint32_t node, anchor;
	int rc = count_expanded(b, event, 1, 0);

	if (rc < 0)
		return rc;
	if (tag)
		return fail(b, event, "YAML tags (`!...`) have no meaning here; leave the tag out");
	if (b->depth == TREE_DEPTH_MAX)
		return fail(b, event, "nested too deeply; no key needs more than 16 levels");
	rc = add_node(b, event, kind, &node);
	if (rc == 0)
		rc = attach(b, node);
	if (rc == 0)
		rc = add_anchor(b, event, name, node, &anchor);
	if (rc < 0)
		return rc;
	b->frames[b->depth++] = (struct frame){
		.node = node, .pending_first = b->pending_count, .anchor = anchor};
	return 0;
}

static int on_end(struct build *b)
{
	struct tree *t = b->t;
	const struct frame *f = &b->frames[--b->depth];
	uint32_t count = b->pending_count - f->pending_first;
	int rc = grow(&t->children, &t->child_capacity, t->child_count, count, sizeof(*t->children));

	if (rc < 0)
		return rc;
	if (count)
		memcpy(t->children + t->child_count, b->pending + f->pending_first,
		       count * sizeof(*t->children));
	t->nodes[f->node].first = t->child_count;
	t->nodes[f->node].count = count;
	t->child_count += count;
	b->pending_count = f->pending_first;
	if (f->anchor != TREE_NONE)
		complete_anchor(b, f->anchor);
	return 0;
}

static int on_alias(struct build *b, const yaml_event_t *event)
{
	const struct anchor *a = find_anchor(b, event->data.alias.anchor);
	int rc;

	/* The name is not repeated: somebody may have typed a secret that begins with a star. */
	if (!a)
		return fail(b, event,
			    "there is no anchor of this name before; quote the text if it begins with a *");
	if (!a->complete)
		return fail(b, event, "an alias inside of what it stands for; write it out");
	rc = count_expanded(b, event, a->node_count, a->text_bytes);
	return rc < 0 ? rc : attach(b, a->node);
}

static int on_event(struct build *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++b->documents > 1)
			return fail(b, event, "a second document begins here; one file is one document");
		return 0;
	case YAML_SCALAR_EVENT: return on_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT: return on_start(b, event, TREE_LIST);
	case YAML_MAPPING_START_EVENT: return on_start(b, event, TREE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: return on_end(b);
	case YAML_ALIAS_EVENT: return on_alias(b, event);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT: return 0;
	}
	UNREACHABLE();
}

/* libyaml's words, with its place; an encoding error knows only how many bytes came before it. */
static int syntax_error(const yaml_parser_t *parser, struct bytes yaml, struct tree_error *error)
{
	const char *problem = parser->problem ? parser->problem : "not readable";
	const char *hint = "";
	char text[sizeof(error->text)], began[48] = "";

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR) {
		uint32_t line = 1, column = 1;

		for (size_t i = 0; i < parser->problem_offset && i < yaml.size; i++) {
			column++;
			if (yaml.ptr[i] == '\n') {
				line++;
				column = 1;
			}
		}
		snprintf(text, sizeof(text), "not YAML: %s; write the file in UTF-8", problem);
		return fail_at(error, line, column, text);
	}
	if (strstr(problem, "cannot start any token") || strstr(problem, "tab character"))
		hint = "; indent with spaces, not tabs, and quote texts that begin with a sign";
	else if (strstr(problem, "mapping values are not allowed"))
		hint = "; quote texts that contain `: `, and check the indentation";
	else if (strstr(problem, "did not find expected"))
		hint = "; check indentation, brackets and commas above";
	else if (strstr(problem, "could not find expected ':'"))
		hint = "; write `key: value`, here or in the line above";
	if (parser->context && parser->context_mark.line != parser->problem_mark.line)
		snprintf(began, sizeof(began), " that began in line %zu", parser->context_mark.line + 1);
	snprintf(text, sizeof(text), "not YAML: %s%s%s%s%s", problem, parser->context ? ", " : "",
		 parser->context ? parser->context : "", began, hint);
	return fail_at(error, (uint32_t)parser->problem_mark.line + 1,
		       (uint32_t)parser->problem_mark.column + 1, text);
}

static int parse_events(struct build *b, yaml_parser_t *parser, struct bytes yaml)
{
	bool ended = false;
	int rc = 0;

	while (rc == 0 && !ended) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event))
			return syntax_error(parser, yaml, b->error);
		ended = event.type == YAML_STREAM_END_EVENT;
		rc = on_event(b, &event);
		yaml_event_delete(&event);
	}
	return rc;
}

int tree_parse(struct tree *t, struct bytes yaml, struct tree_error *error)
{
	yaml_parser_t parser;
	struct build *b = calloc(1, sizeof(*b));
	int rc = -ENOMEM;

	*t = (struct tree){.root = TREE_NONE};
	*error = (struct tree_error){.line = 1, .column = 1};
	if (!b)
		return -ENOMEM;
	b->t = t;
	b->error = error;
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_string(&parser, yaml.size ? yaml.ptr : (const uint8_t *)"", yaml.size);
		rc = parse_events(b, &parser, yaml);
		yaml_parser_delete(&parser);
	}
	for (uint32_t i = 0; i < b->anchor_count; i++)
		free(b->anchors[i].name);
	free(b->pending);
	free(b);
	return rc;
}

void tree_free(struct tree *t)
{
	free(t->nodes);
	free(t->children);
	free(t->text);
	*t = (struct tree){.root = TREE_NONE};
}

uint32_t tree_find(const struct tree *t, uint32_t map, const char *key)
{
	const struct tree_node *n = &t->nodes[map];
	struct bytes wanted = bytes_of_text(key);

	if (n->kind != TREE_MAP)
		return TREE_NONE;
	for (uint32_t i = 0; i + 1 < n->count; i += 2)
		if (bytes_equal(tree_text(t, tree_child(t, map, i)), wanted))
			return tree_child(t, map, i + 1);
	return TREE_NONE;
}
