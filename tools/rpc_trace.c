/* `trace.list`, `trace.start` and the like: the flight recorders, and what they have recorded. */
#include "tools/rpc_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/glob.h"
#include "core/log.h"
#include "core/time_text.h"
#include "hw/line.h"

#define PAGE_BYTES (64u << 10)

static const char *const no_params[] = {NULL};
static const char *const names_params[] = {"names", NULL};

/* --- sources: each target, then each line ------------------------------------------------------------------------------ */

/* The source with this number; NULL: behind the last. */
static struct trace_source *source_of(const struct node *n, uint32_t source_idx)
{
	uint32_t idx = source_idx;

	if (idx < n->cfg->target_count)
		return &node_target(n, idx)->trace.source;
	idx -= n->cfg->target_count;
	for (uint32_t i = 0; i < n->sampler_count; i++) {
		struct sampler *s = &n->samplers[i];

		if (idx < s->line_count)
			return &s->lines[idx].trace;
		idx -= s->line_count;
	}
	return NULL;
}

static bool is_target(const struct cfg *c, uint32_t channel_idx)
{
	return channel_idx < c->target_count;
}

static const char *name_of(const struct cfg *c, uint32_t channel_idx)
{
	return cfg_text(c, is_target(c, channel_idx) ? c->targets[channel_idx].name
						     : c->lines[channel_idx - c->target_count].name);
}

static const char *protocol_of(const struct cfg *c, uint32_t channel_idx)
{
	if (is_target(c, channel_idx))
		return "mqtt";
	switch (c->lines[channel_idx - c->target_count].kind) {
	case CFG_LINE_MODBUS_TCP: return "modbus_tcp";
	case CFG_LINE_MODBUS_RTU: return "modbus_rtu";
	case CFG_LINE_SYNTHETIC: return "synthetic";
	}
	UNREACHABLE();
}

/* Of MQTT; "" where it is Modbus. */
static const char *version_of(const struct cfg *c, uint32_t channel_idx)
{
	if (!is_target(c, channel_idx))
		return "";
	return c->targets[channel_idx].protocol == 5 ? "5" : "3.1.1";
}

/* --- names ------------------------------------------------------------------------------------------------------------- */

struct matches {
	uint32_t count;    /* with a recorder */
	uint32_t bare_idx; /* the channel of one without; UINT32_MAX: none */
};

static bool is_named(const struct node *n, const struct trace_source *s, struct bytes pattern)
{
	return glob_matches(pattern, bytes_of_text(name_of(n->cfg, s->channel_idx)));
}

static struct matches matches_of(const struct node *n, struct bytes pattern)
{
	struct matches found = {.bare_idx = UINT32_MAX};
	const struct trace_source *s;

	for (uint32_t i = 0; (s = source_of(n, i)); i++) {
		if (!is_named(n, s, pattern))
			continue;
		if (s->ring)
			found.count++;
		else if (found.bare_idx == UINT32_MAX)
			found.bare_idx = s->channel_idx;
	}
	return found;
}

static int refuse_bare(const struct cfg *c, uint32_t channel_idx, struct jsonrpc_error *why)
{
	const char *noun = is_target(c, channel_idx) ? "target" : "line";

	if (!strcmp(protocol_of(c, channel_idx), "synthetic"))
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS,
				  "line %s is synthetic: it has no frames to record",
				  name_of(c, channel_idx));
	else
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS,
				  "%s %s has no recorder: give it `trace: {memory: 64KiB}` in the "
				  "configuration, and start again",
				  noun, name_of(c, channel_idx));
	return -EINVAL;
}

static int refuse_unknown(const struct node *n, const char *name, struct jsonrpc_error *why)
{
	const struct trace_source *s;
	struct suggest suggest;

	suggest_begin(&suggest, bytes_of_text(name));
	for (uint32_t i = 0; (s = source_of(n, i)); i++)
		suggest_offer(&suggest, bytes_of_text(name_of(n->cfg, s->channel_idx)));
	return rpc_no_such("target or line", &suggest, why);
}

/* Each of `names` is, or matches, something with a recorder. */
static int names_check(const struct node *n, const json_t *names, struct jsonrpc_error *why)
{
	const json_t *name;
	size_t i;

	if (!json_is_array(names) || json_array_size(names) == 0 || json_array_size(names) > RPC_NAMES_MAX) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "names is a list of 1 to %u names or patterns",
				  RPC_NAMES_MAX);
		return -EINVAL;
	}
	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);
		struct matches found;

		if (!text || strlen(text) > RPC_PATTERN_BYTES_MAX) {
			jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "a name is a text of at most %u bytes",
					  RPC_PATTERN_BYTES_MAX);
			return -EINVAL;
		}
		found = matches_of(n, bytes_of_text(text));
		if (found.count == 0 && found.bare_idx != UINT32_MAX)
			return refuse_bare(n->cfg, found.bare_idx, why);
		if (found.count == 0)
			return refuse_unknown(n, text, why);
	}
	return 0;
}

/* names: NULL for all. */
static bool is_chosen(const struct node *n, const struct trace_source *s, const json_t *names)
{
	const json_t *name;
	size_t i;

	if (!s->ring || !names)
		return s->ring;
	json_array_foreach(names, i, name)
	{
		if (is_named(n, s, bytes_of_text(json_string_value(name))))
			return true;
	}
	return false;
}

/* --- list -------------------------------------------------------------------------------------------------------------- */

static json_t *source_json(const struct node *n, const struct trace_source *s, uint32_t source_idx)
{
	struct trace_counts counts = trace_counts(s->ring);

	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "source",
			 (json_int_t)source_idx, "name", name_of(n->cfg, s->channel_idx), "kind",
			 is_target(n->cfg, s->channel_idx) ? "target" : "line", "protocol",
			 protocol_of(n->cfg, s->channel_idx), "version", version_of(n->cfg, s->channel_idx),
			 "recording", (int)trace_is_on(s), "records", rpc_integer(counts.records),
			 "overwritten", rpc_integer(counts.overwritten), "used_bytes",
			 rpc_integer(counts.used_bytes), "memory_bytes", rpc_integer(counts.memory_bytes));
}

/* A monotonic time on the wall's clock as it goes now. */
static struct wall wall_of(struct mono t)
{
	return (struct wall){.ns = clock_wall().ns - (int64_t)(clock_mono().ns - t.ns)};
}

/* null: not yet. */
static json_t *until_json(const struct node *n)
{
	struct mono until = trace_until(&n->trace);
	char text[TIME_TEXT_BYTES];

	if (until.ns == MONO_NEVER.ns)
		return json_null();
	time_text(wall_of(until), text);
	return json_string(text);
}

static json_t *cause_json(const struct node *n)
{
	uint32_t cause = atomic_load_explicit(&n->trace.cause, memory_order_relaxed);

	return cause == TRACE_NO_CHANNEL ? json_null() : json_string(name_of(n->cfg, cause));
}

/* Of all recorders: do they stop, when, and why? */
static json_t *freeze_json(const struct node *n)
{
	return json_pack("{s:b, s:o, s:o, s:b, s:f}", "frozen",
			 (int)(clock_mono().ns > trace_until(&n->trace).ns), "until", until_json(n), "cause",
			 cause_json(n), "freezes", (int)n->trace.freezes_after_incident, "after_s",
			 (double)n->trace.after_ns / (double)NS_PER_S);
}

int rpc_trace_list(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		   struct jsonrpc_error *why)
{
	static const char *const param_names[] = {"names", "limit", "offset", NULL};
	const struct rpc_context *rpc = context;
	const struct node *n = rpc->node;
	const json_t *names = json_object_get(params, "names");
	const struct trace_source *s;
	struct rpc_page page;
	json_t *list;
	int rc = rpc_params_only(params, param_names, why);

	if (rc == 0)
		rc = rpc_param_page(params, RPC_PAGE_DEFAULT, RPC_PAGE_MAX, &page, why);
	if (rc == 0 && names)
		rc = names_check(n, names, why);
	if (rc < 0)
		return rc;
	list = json_array();
	for (uint32_t i = 0; (s = source_of(n, i)); i++) {
		if (is_chosen(n, s, names) && rpc_page_takes(&page) &&
		    json_array_append_new(list, source_json(n, s, i))) {
			json_decref(list);
			return -ENOMEM;
		}
	}
	rc = rpc_page_result(&page, "sources", list, result);
	if (rc == 0 && json_object_update_new(*result, freeze_json(n))) {
		json_decref(*result);
		rc = -ENOMEM;
	}
	return rc;
}

/* --- on and off, stop and go on ---------------------------------------------------------------------------------------- */

static int switch_to(const struct node *n, bool on, const json_t *params, json_t **result,
		     struct jsonrpc_error *why)
{
	const json_t *names = json_object_get(params, "names");
	struct trace_source *s;
	uint32_t count = 0;
	int rc = rpc_params_only(params, names_params, why);

	if (rc == 0)
		rc = names_check(n, names, why);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; (s = source_of(n, i)); i++) {
		if (!is_chosen(n, s, names))
			continue;
		if (trace_is_on(s) != on)
			LOG_INFO("trace", "%s=%s recording=%d",
				 is_target(n->cfg, s->channel_idx) ? "target" : "line",
				 name_of(n->cfg, s->channel_idx), on);
		trace_set(s, on);
		count++;
	}
	return rpc_done(json_pack("{s:b, s:I}", "recording", (int)on, "count", (json_int_t)count), result);
}

int rpc_trace_start(void *context, struct control_client *client UNUSED, const json_t *params,
		    json_t **result, struct jsonrpc_error *why)
{
	const struct rpc_context *rpc = context;

	return switch_to(rpc->node, true, params, result, why);
}

int rpc_trace_stop(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		   struct jsonrpc_error *why)
{
	const struct rpc_context *rpc = context;

	return switch_to(rpc->node, false, params, result, why);
}

int rpc_trace_freeze(void *context, struct control_client *client UNUSED, const json_t *params,
		     json_t **result, struct jsonrpc_error *why)
{
	const struct rpc_context *rpc = context;
	int rc = rpc_params_only(params, no_params, why);

	if (rc < 0)
		return rc;
	trace_freeze(&rpc->node->trace, clock_mono());
	LOG_INFO("trace", "frozen=1");
	return rpc_done(freeze_json(rpc->node), result);
}

int rpc_trace_resume(void *context, struct control_client *client UNUSED, const json_t *params,
		     json_t **result, struct jsonrpc_error *why)
{
	const struct rpc_context *rpc = context;
	int rc = rpc_params_only(params, no_params, why);

	if (rc < 0)
		return rc;
	trace_resume(&rpc->node->trace);
	LOG_INFO("trace", "frozen=0");
	return rpc_done(freeze_json(rpc->node), result);
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

static json_t *hex_json(struct bytes bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(bytes.size * 2 + 1);
	json_t *value;

	if (!text)
		return NULL;
	for (size_t i = 0; i < bytes.size; i++) {
		text[2 * i] = digits[bytes.ptr[i] >> 4];
		text[2 * i + 1] = digits[bytes.ptr[i] & 15];
	}
	value = json_stringn_nocheck(text, bytes.size * 2);
	free(text);
	return value;
}

/* What the notes of these records stand for, by their numbers. */
static json_t *topics_json(const struct node *n, struct bytes page)
{
	const struct definitions *d = n->definitions;
	struct bytes endpoints, kept, notes;
	json_t *topics = json_object();
	struct trace_record head;
	bool is_whole = topics;

	while (is_whole && trace_next_noted(&page, &head, &endpoints, &kept, &notes)) {
		for (uint32_t i = 0; is_whole && i < head.note_count; i++) {
			uint32_t channel_idx;
			char key[16];

			memcpy(&channel_idx, notes.ptr + i * sizeof(channel_idx), sizeof(channel_idx));
			snprintf(key, sizeof(key), "%u", channel_idx);
			if (channel_idx >= d->channel_count || json_object_get(topics, key))
				continue;
			struct bytes topic = d->channels[channel_idx].topic;

			is_whole = !json_object_set_new(topics, key,
							json_stringn((const char *)topic.ptr, topic.size));
		}
	}
	if (is_whole)
		return topics;
	json_decref(topics);
	return NULL;
}

static int page_result(const struct node *n, const struct trace_source *s, uint64_t from, json_t **result)
{
	struct mono now = clock_mono();
	struct mono end = {.ns = min_u64(now.ns, trace_until(&n->trace).ns)};
	uint8_t *buffer = malloc(PAGE_BYTES);
	uint64_t lost_bytes = 0, made;
	struct bytes page;

	if (!buffer)
		return -ENOMEM;
	made = trace_made(s->ring);
	page = bytes_of(buffer, trace_read(s->ring, &from, buffer, PAGE_BYTES, &lost_bytes));
	*result = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "next", rpc_integer(from), "made",
			    rpc_integer(made), "lost_bytes", rpc_integer(lost_bytes), "mono_ns",
			    rpc_integer(end.ns), "wall_ns", (json_int_t)wall_of(end).ns, "records",
			    hex_json(page), "topics", topics_json(n, page));
	free(buffer);
	return *result ? 0 : -ENOMEM;
}

/* One page of a source's records, from a position on: that of an earlier page, or 0. */
int rpc_trace_read(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		   struct jsonrpc_error *why)
{
	static const char *const param_names[] = {"source", "from", NULL};
	const struct rpc_context *rpc = context;
	const json_t *from = json_object_get(params, "from");
	const struct trace_source *s;
	uint32_t source_idx = UINT32_MAX;
	int rc = rpc_params_only(params, param_names, why);

	if (rc == 0)
		rc = rpc_param_count(params, "source", 0, INT32_MAX, &source_idx, why);
	if (rc < 0)
		return rc;
	s = source_of(rpc->node, source_idx);
	if (!s || !s->ring) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "source is a number from trace.list");
		return -EINVAL;
	}
	if (from && (!json_is_integer(from) || json_integer_value(from) < 0)) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "from is a whole number from 0");
		return -EINVAL;
	}
	return page_result(rpc->node, s, (uint64_t)json_integer_value(from), result);
}
