#include "tools/rpc_priv.h"

#include <string.h>

#include "core/glob.h"
#include "core/log.h"
#include "core/utf8.h"
#include "tools/version.h"

static const struct control_method methods[] = {
	{"version", CONTROL_READ_ONLY, rpc_version},
	{"status", CONTROL_READ_ONLY, rpc_status},
	{"targets.list", CONTROL_READ_ONLY, rpc_targets_list},
	{"targets.enable", CONTROL_OPERATOR, rpc_targets_enable},
	{"targets.disable", CONTROL_OPERATOR, rpc_targets_disable},
	{"buffer.read", CONTROL_READ_ONLY, rpc_buffer_read},
	{"buffer.set", CONTROL_OPERATOR, rpc_buffer_set},
	{"packages.list", CONTROL_READ_ONLY, rpc_packages_list},
	{"packages.enable", CONTROL_OPERATOR, rpc_packages_enable},
	{"packages.disable", CONTROL_OPERATOR, rpc_packages_disable},
	{"subscriptions.list", CONTROL_READ_ONLY, rpc_subscriptions_list},
	{"definitions.list", CONTROL_READ_ONLY, rpc_definitions_list},
	{"tags.list", CONTROL_READ_ONLY, rpc_tags_list},
	{"tags.read", CONTROL_READ_ONLY, rpc_tags_read},
	{"tags.watch", CONTROL_READ_ONLY, rpc_tags_watch},
	{"tags.unwatch", CONTROL_READ_ONLY, rpc_tags_unwatch},
	{"metrics", CONTROL_READ_ONLY, rpc_metrics},
	{"log.level", CONTROL_READ_ONLY, rpc_log_level},
	{"trace.list", CONTROL_READ_ONLY, rpc_trace_list},
	{"trace.start", CONTROL_OPERATOR, rpc_trace_start},
	{"trace.stop", CONTROL_OPERATOR, rpc_trace_stop},
	{"trace.freeze", CONTROL_OPERATOR, rpc_trace_freeze},
	{"trace.resume", CONTROL_OPERATOR, rpc_trace_resume},
	{"trace.read", CONTROL_OPERATOR, rpc_trace_read}, /* payloads are in it */
	{"stop", CONTROL_OPERATOR, rpc_stop},
};

const struct control_method *rpc_methods(void)
{
	return methods;
}

size_t rpc_method_count(void)
{
	return ARRAY_COUNT(methods);
}

/* --- small methods -------------------------------------------------------------------------------------------------- */

static const char *const no_params[] = {NULL};

int rpc_version(void *context UNUSED, struct control_client *client UNUSED, const json_t *params,
		json_t **result, struct jsonrpc_error *why)
{
	int rc = rpc_params_only(params, no_params, why);

	if (rc < 0)
		return rc;
	return rpc_done(json_pack("{s:s, s:s, s:s}", "name", "ringmain", "version", RINGMAIN_VERSION,
				  "licence", RINGMAIN_LICENCE),
			result);
}

static int level_result(json_t **result)
{
	int level = atomic_load_explicit(&log_level_now, memory_order_relaxed);

	return rpc_done(json_pack("{s:s}", "level", log_level_text((enum log_level)level)), result);
}

/* Tells the level; with a param, an operator sets it first. */
int rpc_log_level(void *context UNUSED, struct control_client *client, const json_t *params, json_t **result,
		  struct jsonrpc_error *why)
{
	static const char *const names[] = {"level", NULL};
	const char *text = NULL;
	enum log_level level;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_text(params, "level", &text, why);
	if (rc < 0)
		return rc;
	if (!text)
		return level_result(result);
	rc = control_require(client, CONTROL_OPERATOR, "log.level", why);
	if (rc < 0)
		return rc;
	rc = log_level_parse(text, &level);
	if (rc < 0) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "level is error, warn, info or debug");
		return rc;
	}
	log_set_level(level);
	LOG_INFO("control", "log_level=%s", log_level_text(level));
	return level_result(result);
}

int rpc_stop(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
	     struct jsonrpc_error *why)
{
	const struct rpc_context *rpc = context;
	int rc = rpc_params_only(params, no_params, why);

	if (rc < 0)
		return rc;
	LOG_INFO("control", "stop requested");
	rpc->stop(rpc->stop_context);
	return rpc_done(json_pack("{s:b}", "stopping", 1), result);
}

/* --- params --------------------------------------------------------------------------------------------------------- */

static bool is_listed(const char *const names[], const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

int rpc_params_only(const json_t *params, const char *const names[], struct jsonrpc_error *why)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)params, name, value) /* jansson's iterators are not const */
	{
		if (is_listed(names, name))
			continue;
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "no such parameter: %s", name);
		return -EINVAL;
	}
	return 0;
}

int rpc_param_text(const json_t *params, const char *name, const char **out, struct jsonrpc_error *why)
{
	const json_t *value = json_object_get(params, name);

	if (!value)
		return 0;
	if (!json_is_string(value)) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "%s is a text", name);
		return -EINVAL;
	}
	*out = json_string_value(value);
	return 0;
}

int rpc_param_count(const json_t *params, const char *name, uint32_t min, uint32_t max, uint32_t *out,
		    struct jsonrpc_error *why)
{
	const json_t *value = json_object_get(params, name);

	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)min ||
	    json_integer_value(value) > (json_int_t)max) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "%s is a whole number from %u to %u", name,
				  min, max);
		return -EINVAL;
	}
	*out = (uint32_t)json_integer_value(value);
	return 0;
}

int rpc_param_flag(const json_t *params, const char *name, bool *out, struct jsonrpc_error *why)
{
	const json_t *value = json_object_get(params, name);

	if (!value)
		return 0;
	if (!json_is_boolean(value)) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "%s is true or false", name);
		return -EINVAL;
	}
	*out = json_is_true(value);
	return 0;
}

int rpc_param_pattern(const json_t *params, const char *name, struct bytes *out, struct jsonrpc_error *why)
{
	const char *text = "*";
	int rc = rpc_param_text(params, name, &text, why);

	if (rc < 0)
		return rc;
	*out = bytes_of_text(text);
	if (out->size > RPC_PATTERN_BYTES_MAX) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "%s has at most %u bytes", name,
				  RPC_PATTERN_BYTES_MAX);
		return -EINVAL;
	}
	return 0;
}

int rpc_param_name(const json_t *params, const char *name, const char **out, struct jsonrpc_error *why)
{
	*out = NULL;
	int rc = rpc_param_text(params, name, out, why);

	if (rc < 0 || *out)
		return rc;
	jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "%s is missing", name);
	return -EINVAL;
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

int rpc_no_such(const char *noun, const struct suggest *s, struct jsonrpc_error *why)
{
	int size = (int)min_size(s->wanted.size, INT16_MAX);
	const char *wanted = (const char *)s->wanted.ptr;

	if (suggest_found(s))
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "there is no %s %.*s; did you mean %.*s?",
				  noun, size, wanted, (int)s->best.size, (const char *)s->best.ptr);
	else
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "there is no %s %.*s", noun, size, wanted);
	return -EINVAL;
}

int rpc_target_find(const struct cfg *c, const char *name, uint32_t *target_idx, struct jsonrpc_error *why)
{
	struct suggest s;

	suggest_begin(&s, bytes_of_text(name));
	for (uint32_t i = 0; i < c->target_count; i++) {
		struct bytes candidate = bytes_of_text(cfg_text(c, c->targets[i].name));

		*target_idx = i;
		if (bytes_equal(candidate, s.wanted))
			return 0;
		suggest_offer(&s, candidate);
	}
	return rpc_no_such("target", &s, why);
}

json_t *rpc_text(char *text)
{
	size_t size = strlen(text), at = 0;

	while (at < size) {
		size_t n = utf8_character_bytes((const uint8_t *)text + at, size - at);

		if (n > 0)
			at += n;
		else
			text[at++] = '?';
	}
	return json_string(text);
}

/* --- pages ---------------------------------------------------------------------------------------------------------- */

int rpc_param_page(const json_t *params, uint32_t limit_default, uint32_t limit_max, struct rpc_page *out,
		   struct jsonrpc_error *why)
{
	int rc;

	*out = (struct rpc_page){.limit = limit_default};
	rc = rpc_param_count(params, "limit", 1, limit_max, &out->limit, why);
	if (rc < 0)
		return rc;
	return rpc_param_count(params, "offset", 0, UINT32_MAX, &out->offset, why);
}

bool rpc_page_takes(struct rpc_page *page)
{
	uint32_t item_idx = page->total++;

	return item_idx >= page->offset && item_idx - page->offset < page->limit;
}

uint32_t rpc_page_range(struct rpc_page *page, uint32_t count, uint32_t *first)
{
	uint64_t begin = page->total, end = begin + count;
	uint64_t from = max_u64(begin, page->offset);
	uint64_t to = min_u64(end, (uint64_t)page->offset + page->limit);

	page->total += count;
	*first = from < end ? (uint32_t)(from - begin) : 0;
	return from < to ? (uint32_t)(to - from) : 0;
}

int rpc_page_result(const struct rpc_page *page, const char *name, json_t *items, json_t **result)
{
	uint64_t next = (uint64_t)page->offset + page->limit;
	json_t *next_value = next < page->total ? json_integer((json_int_t)next) : json_null();

	return rpc_done(json_pack("{s:I, s:I, s:o, s:o}", "total", (json_int_t)page->total, "offset",
				  (json_int_t)page->offset, "next", next_value, name, items),
			result);
}

int rpc_list(const struct node *n, const struct rpc_items *items, uint32_t count, const json_t *params,
	     json_t **result, struct jsonrpc_error *why)
{
	static const char *const names[] = {"pattern", "limit", "offset", NULL};
	struct bytes pattern;
	struct rpc_page page;
	json_t *list;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_pattern(params, "pattern", &pattern, why);
	if (rc == 0)
		rc = rpc_param_page(params, RPC_PAGE_DEFAULT, RPC_PAGE_MAX, &page, why);
	if (rc < 0)
		return rc;
	list = json_array();
	for (uint32_t i = 0; i < count; i++) {
		if (!glob_matches(pattern, items->name_of(n, i)) || !rpc_page_takes(&page))
			continue;
		if (json_array_append_new(list, items->item_of(n, i, items->state))) {
			json_decref(list);
			return -ENOMEM;
		}
	}
	return rpc_page_result(&page, items->name, list, result);
}
