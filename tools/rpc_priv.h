/* tools/rpc_priv.h - what the files of the methods share. Nobody else includes it.
 *
 * Purpose:  the methods themselves, and how they read their params.
 * Owner:    the control thread. Errors: -EINVAL with *why; -ENOMEM where jansson has no memory.
 */
#ifndef TOOLS_RPC_PRIV_H
#define TOOLS_RPC_PRIV_H

#include <errno.h>
#include <jansson.h>

#include "core/suggest.h"
#include "tools/rpc.h"

#define RPC_METHOD(name) \
	int name(void *context, struct control_client *client, const json_t *params, json_t **result, \
		 struct jsonrpc_error *why)

RPC_METHOD(rpc_version);
RPC_METHOD(rpc_status);
RPC_METHOD(rpc_targets_list);
RPC_METHOD(rpc_targets_enable);
RPC_METHOD(rpc_targets_disable);
RPC_METHOD(rpc_buffer_read);
RPC_METHOD(rpc_buffer_set);
RPC_METHOD(rpc_packages_list);
RPC_METHOD(rpc_packages_enable);
RPC_METHOD(rpc_packages_disable);
RPC_METHOD(rpc_subscriptions_list);
RPC_METHOD(rpc_definitions_list);
RPC_METHOD(rpc_tags_list);
RPC_METHOD(rpc_tags_read);
RPC_METHOD(rpc_tags_watch);
RPC_METHOD(rpc_tags_unwatch);
RPC_METHOD(rpc_metrics);
RPC_METHOD(rpc_log_level);
RPC_METHOD(rpc_stop);
RPC_METHOD(rpc_trace_list);
RPC_METHOD(rpc_trace_start);
RPC_METHOD(rpc_trace_stop);
RPC_METHOD(rpc_trace_freeze);
RPC_METHOD(rpc_trace_resume);
RPC_METHOD(rpc_trace_read);

/* All that a method takes, so that a mistyped name is an error; the list ends with NULL. */
NODISCARD int rpc_params_only(const json_t *params, const char *const names[], struct jsonrpc_error *why);

/* Each leaves *out as it is where the param is not there. */
NODISCARD int rpc_param_text(const json_t *params, const char *name, const char **out,
			     struct jsonrpc_error *why);
NODISCARD int rpc_param_count(const json_t *params, const char *name, uint32_t min, uint32_t max,
			      uint32_t *out, struct jsonrpc_error *why);
NODISCARD int rpc_param_flag(const json_t *params, const char *name, bool *out, struct jsonrpc_error *why);

#define RPC_PATTERN_BYTES_MAX 256u
/* A text of at most RPC_PATTERN_BYTES_MAX; "*" where it is not there. */
NODISCARD int rpc_param_pattern(const json_t *params, const char *name, struct bytes *out,
				struct jsonrpc_error *why);

/* A text that must be there. */
NODISCARD int rpc_param_name(const json_t *params, const char *name, const char **out,
			     struct jsonrpc_error *why);
/* -EINVAL: there is no such thing, and what was meant perhaps. */
NODISCARD int rpc_no_such(const char *noun, const struct suggest *s, struct jsonrpc_error *why);
NODISCARD int rpc_target_find(const struct cfg *c, const char *name, uint32_t *target_idx,
			      struct jsonrpc_error *why);

/* A text that others have had a hand in, and that may have been cut: what is no UTF-8 becomes '?'. Changes it. */
json_t *rpc_text(char *text);

/* "limit" and "offset". */
struct rpc_page {
	uint32_t limit, offset;
	uint32_t total; /* matching items seen */
};
NODISCARD int rpc_param_page(const json_t *params, uint32_t limit_default, uint32_t limit_max,
			     struct rpc_page *out, struct jsonrpc_error *why);
/* One more item matches: is it on the page? */
bool rpc_page_takes(struct rpc_page *page);
/* The next `count` items match: how many of them are on the page, from *first on. */
uint32_t rpc_page_range(struct rpc_page *page, uint32_t count, uint32_t *first);
/* {"total":n,"offset":n,"next":n or null, name: items}; items are taken over. -ENOMEM. */
NODISCARD int rpc_page_result(const struct rpc_page *page, const char *name, json_t *items, json_t **result);

/* Things with names, of which a method lists those that match "pattern", a page ("limit", "offset") at a time. */
struct rpc_items {
	const char *name; /* of the list in the answer */
	struct bytes (*name_of)(const struct node *n, uint32_t idx);
	json_t *(*item_of)(const struct node *n, uint32_t idx, void *state);
	void *state; /* of item_of */
};
/* The whole of such a method, which takes no other params. */
NODISCARD int rpc_list(const struct node *n, const struct rpc_items *items, uint32_t count,
		       const json_t *params, json_t **result, struct jsonrpc_error *why);

/* What `status` says of a target's subscriptions. */
struct rpc_subscriptions {
	uint32_t total, subscribed, refused;
	json_t *list; /* the first of them; NULL: no memory */
};
/* room_bytes: what the list may take, less what it takes. */
void rpc_subscriptions_get(const struct node *n, uint32_t target_idx, size_t *room_bytes,
			   struct rpc_subscriptions *out);

/* How fast a target's buffer fills, and how long it lasts: for `status` too. The values are owned by the caller. */
struct rpc_forecast {
	double rate;     /* messages made a second */
	json_t *holds_s; /* null: no end to it */
	json_t *full_at; /* null: connected, or never */
	double fill;     /* 0 .. 1 */
	bool is_full;
};
void rpc_forecast_get(const struct node *n, uint32_t target_idx, struct rpc_forecast *out);

/* What buffer.read and buffer.set answer; NULL: no memory. */
json_t *rpc_buffer_of(const struct node *n, uint32_t target_idx);

/* Of a target's ring and of its session: "" or what is not as the configuration asks. */
enum file_state rpc_ring_state(const struct node *n, uint32_t target_idx, char text[SHARED_TEXT_BYTES]);
enum file_state rpc_session_state(const struct node *n, uint32_t target_idx, char text[SHARED_TEXT_BYTES]);
/* {"where":"memory" or "file","state":"ok" or the text}; NULL: no memory. */
json_t *rpc_ring_place(const struct node *n, uint32_t target_idx);
json_t *rpc_session_place(const struct node *n, uint32_t target_idx);

/* A counter as a JSON integer, which has 63 bits. */
static inline json_int_t rpc_integer(uint64_t value)
{
	return value > (uint64_t)INT64_MAX ? INT64_MAX : (json_int_t)value;
}

/* 0 and *result, or -ENOMEM: for the last line of a method. */
NODISCARD static inline int rpc_done(json_t *value, json_t **result)
{
	*result = value;
	return value ? 0 : -ENOMEM;
}

#endif
