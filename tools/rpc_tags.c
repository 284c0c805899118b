/* Tags: `tags.list`, `tags.read`, `tags.watch`, `tags.unwatch`. */
#include "tools/rpc_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/glob.h"
#include "core/number_text.h"

#define WATCH_INTERVAL_MS_MIN     50u
#define WATCH_INTERVAL_MS_MAX     60000u
#define WATCH_INTERVAL_MS_DEFAULT 100u
#define WATCH_LOOK_MAX            20000u /* cells in one poll: about 2 ms */
#define WATCH_TELL_MAX            500u   /* tags in one notification */
#define SUGGEST_TAGS_MAX          20000u /* with more, looking for a similar name takes too long */

static json_t *text_of(struct bytes text)
{
	return json_stringn(text.size ? (const char *)text.ptr : "", text.size);
}

/* The shortest decimal number that is this float, as the payloads have it: 0.1 and not 0.10000000149011612. */
static double as_printed(double value)
{
	char text[NUMBER_TEXT_BYTES + 1];

	text[number_text_f32(value, text)] = '\0';
	return strtod(text, NULL);
}

static json_t *value_of(const struct tag_sample *s)
{
	if (!s->valued)
		return json_null();
	switch (s->value.kind) {
	case VALUE_BOOL: return json_boolean(s->value.b);
	case VALUE_INT: return json_integer(s->value.i);
	case VALUE_UINT: return json_integer(rpc_integer(s->value.u));
	case VALUE_FLOAT32:
	case VALUE_FLOAT64:
		if (!isfinite(s->value.f))
			return json_null();
		return json_real(s->value.kind == VALUE_FLOAT32 ? as_printed(s->value.f) : s->value.f);
	}
	UNREACHABLE();
}

/* {"tag":"meter1.power","value":1.5,"quality":"good","reason":"","ts":"...","unit":"kW"} */
static json_t *sample_of(const struct node *n, uint32_t tag_idx, const struct tag_sample *s)
{
	char time[TIME_TEXT_BYTES];
	json_t *ts;

	time_text(s->time, time);
	ts = s->quality == TAG_NEVER ? json_null() : json_string(time);
	return json_pack("{s:o, s:o, s:s, s:s, s:o, s:s}", "tag", text_of(n->tags.names[tag_idx]), "value",
			 value_of(s), "quality", tag_quality_text(s->quality), "reason",
			 tag_quality_reason(s->quality), "ts", ts, "unit",
			 cfg_text(n->cfg, n->cfg->tags[tag_idx].unit));
}

static const char *type_of(enum cfg_tag_type type)
{
	switch (type) {
	case CFG_TAG_BOOL: return "bool";
	case CFG_TAG_INT16: return "int16";
	case CFG_TAG_UINT16: return "uint16";
	case CFG_TAG_INT32: return "int32";
	case CFG_TAG_UINT32: return "uint32";
	case CFG_TAG_FLOAT32: return "float32";
	case CFG_TAG_FLOAT64: return "float64";
	}
	UNREACHABLE();
}

/* What it is: its device and line, type and period. */
static json_t *description_of(const struct node *n, uint32_t tag_idx, void *state UNUSED)
{
	const struct cfg *c = n->cfg;
	const struct cfg_tag *tag = &c->tags[tag_idx];
	const struct cfg_device *device = &c->devices[tag->device_idx];
	/* Subscribed values come by no line. */
	const char *line = device->line_idx == CFG_NONE ? "" : cfg_text(c, c->lines[device->line_idx].name);

	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:I}", "tag", text_of(n->tags.names[tag_idx]), "device",
			 cfg_text(c, device->name), "line", line, "type", type_of(tag->type), "unit",
			 cfg_text(c, tag->unit), "every_us", rpc_integer(tag->every_ns / NS_PER_US));
}

static json_t *tag_now(const struct node *n, uint32_t tag_idx, void *state UNUSED)
{
	struct tag_sample s = tag_read(&n->tags, tag_idx);

	return sample_of(n, tag_idx, &s);
}

/* --- list and read -------------------------------------------------------------------------------------------------- */

static struct bytes name_of(const struct node *n, uint32_t tag_idx)
{
	return n->tags.names[tag_idx];
}

int rpc_tags_list(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		  struct jsonrpc_error *why)
{
	static const struct rpc_items items = {"tags", name_of, description_of, NULL};
	const struct rpc_context *rpc = context;

	return rpc_list(rpc->node, &items, rpc->node->tags.count, params, result, why);
}

static int no_such_tag(const struct tag_table *t, const char *name, struct jsonrpc_error *why)
{
	struct suggest s;

	suggest_begin(&s, bytes_of_text(name));
	for (uint32_t i = 0; i < t->count && i < SUGGEST_TAGS_MAX; i++)
		suggest_offer(&s, t->names[i]);
	return rpc_no_such("tag", &s, why);
}

static int tag_add(const struct node *n, const json_t *name, json_t *list, struct jsonrpc_error *why)
{
	uint32_t tag_idx;

	if (!json_is_string(name)) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "names is a list of texts");
		return -EINVAL;
	}
	tag_idx = tag_find(&n->tags, bytes_of_text(json_string_value(name)));
	if (tag_idx == CFG_NONE)
		return no_such_tag(&n->tags, json_string_value(name), why);
	return json_array_append_new(list, tag_now(n, tag_idx, NULL)) ? -ENOMEM : 0;
}

static int read_names(const struct node *n, const json_t *wanted, json_t **result, struct jsonrpc_error *why)
{
	json_t *list;
	int rc = 0;

	if (!json_is_array(wanted) || json_array_size(wanted) > RPC_NAMES_MAX) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "names is a list of at most %u texts",
				  RPC_NAMES_MAX);
		return -EINVAL;
	}
	list = json_array();
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < json_array_size(wanted); i++)
		rc = tag_add(n, json_array_get(wanted, i), list, why);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	return rpc_done(json_pack("{s:o}", "tags", list), result);
}

int rpc_tags_read(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		  struct jsonrpc_error *why)
{
	static const char *const names[] = {"names", "pattern", "limit", "offset", NULL};
	static const struct rpc_items items = {"tags", name_of, tag_now, NULL};
	const struct rpc_context *rpc = context;
	const json_t *wanted = json_object_get(params, "names");
	int rc = rpc_params_only(params, names, why);

	if (rc < 0)
		return rc;
	if (wanted && json_object_size(params) > 1) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS,
				  "names, or a pattern with limit and offset: not both");
		return -EINVAL;
	}
	return wanted ? read_names(rpc->node, wanted, result, why)
		      : rpc_list(rpc->node, &items, rpc->node->tags.count, params, result, why);
}

/* --- watch ---------------------------------------------------------------------------------------------------------- */

#define VERSION_NONE 1u /* versions are even */

struct watched {
	uint32_t tag_idx;
	uint32_t version; /* that the client has been told */
};

struct watch {
	const struct node *node;
	uint32_t count;
	uint32_t next; /* where the next look begins, so that every tag has its turn */
	struct watched tags[];
};

/* {"tags":[...]} of those that have changed since they were told; NULL where none has. */
static json_t *watch_poll(void *state)
{
	struct watch *w = state;
	json_t *list = NULL;
	uint32_t told_count = 0;

	for (uint32_t i = 0; i < w->count && i < WATCH_LOOK_MAX && told_count < WATCH_TELL_MAX; i++) {
		struct watched *at = &w->tags[w->next];
		struct tag_sample s = tag_read(&w->node->tags, at->tag_idx);

		w->next = w->next + 1 == w->count ? 0 : w->next + 1;
		if (s.version == at->version)
			continue;
		if (!list)
			list = json_array();
		if (json_array_append_new(list, sample_of(w->node, at->tag_idx, &s)))
			break; /* no memory: it is still new the next time */
		at->version = s.version;
		told_count++;
	}
	return list ? json_pack("{s:o}", "tags", list) : NULL;
}

static uint32_t matching_count(const struct tag_table *t, struct bytes pattern)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < t->count; i++)
		count += glob_matches(pattern, t->names[i]);
	return count;
}

static struct watch *watch_of(const struct node *n, struct bytes pattern)
{
	uint32_t count = matching_count(&n->tags, pattern);
	struct watch *w = malloc(sizeof(*w) + count * sizeof(w->tags[0]));

	if (!w)
		return NULL;
	*w = (struct watch){.node = n};
	for (uint32_t i = 0; i < n->tags.count && w->count < count; i++)
		if (glob_matches(pattern, n->tags.names[i]))
			w->tags[w->count++] = (struct watched){.tag_idx = i, .version = VERSION_NONE};
	return w;
}

int rpc_tags_watch(void *context, struct control_client *client, const json_t *params, json_t **result,
		   struct jsonrpc_error *why)
{
	static const char *const names[] = {"pattern", "interval", NULL};
	const struct rpc_context *rpc = context;
	uint32_t interval_ms = WATCH_INTERVAL_MS_DEFAULT;
	struct bytes pattern;
	struct watch *w;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_pattern(params, "pattern", &pattern, why);
	if (rc == 0)
		rc = rpc_param_count(params, "interval", WATCH_INTERVAL_MS_MIN, WATCH_INTERVAL_MS_MAX,
				     &interval_ms, why);
	if (rc < 0)
		return rc;
	w = watch_of(rpc->node, pattern);
	if (!w)
		return -ENOMEM;
	if (w->count == 0) {
		free(w);
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "no tag matches the pattern");
		return -EINVAL;
	}
	control_watch_set(client, &(struct control_watch){
					  .notification = "tags.update",
					  .interval_ns = interval_ms * NS_PER_MS,
					  .state = w,
					  .poll = watch_poll,
					  .close = free,
				  });
	return rpc_done(json_pack("{s:I, s:I}", "watching", (json_int_t)w->count, "interval",
				  (json_int_t)interval_ms),
			result);
}

int rpc_tags_unwatch(void *context UNUSED, struct control_client *client, const json_t *params,
		     json_t **result, struct jsonrpc_error *why)
{
	static const char *const names[] = {NULL};
	int rc = rpc_params_only(params, names, why);

	if (rc < 0)
		return rc;
	return rpc_done(json_pack("{s:b}", "watched", (int)control_watch_clear(client)), result);
}
