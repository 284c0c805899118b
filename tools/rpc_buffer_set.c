/* `buffer.set`: other limits for a target's buffer while the daemon runs. */
#include "tools/rpc_priv.h"

#include <math.h>

#include "core/log.h"

#define MAX_AGE_S_MAX (3650.0 * 86400) /* as in the configuration */

static int refuse_messages(const struct ring_limits *l, struct jsonrpc_error *why)
{
	jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS,
			  "messages is a whole number from 1 to %u: there is memory for no more; the "
			  "configuration's buffer.messages_max says how much is made",
			  l->message_count);
	return -EINVAL;
}

static int refuse_bytes(const struct ring_limits *l, struct jsonrpc_error *why)
{
	if (l->byte_count)
		jsonrpc_error_set(
			why, JSONRPC_INVALID_PARAMS,
			"bytes is a whole number from %u, for one largest message, to %llu: there is memory "
			"for no more; the configuration's buffer.bytes says how much is made",
			l->record_bytes_max, (unsigned long long)l->byte_count);
	else
		jsonrpc_error_set(
			why, JSONRPC_INVALID_PARAMS,
			"bytes is 0, for no limit, or a whole number from %u, for one largest message",
			l->record_bytes_max);
	return -EINVAL;
}

static int param_messages(const json_t *params, const struct ring_limits *l, struct ring_keeping *keep,
			  struct jsonrpc_error *why)
{
	const json_t *value = json_object_get(params, "messages");

	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > (json_int_t)l->message_count)
		return refuse_messages(l, why);
	keep->messages = (uint64_t)json_integer_value(value);
	return 0;
}

static int param_bytes(const json_t *params, const struct ring_limits *l, struct ring_keeping *keep,
		       struct jsonrpc_error *why)
{
	const json_t *value = json_object_get(params, "bytes");
	uint64_t bytes;

	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return refuse_bytes(l, why);
	bytes = (uint64_t)json_integer_value(value);
	if (bytes == 0 ? l->byte_count != 0
		       : bytes < l->record_bytes_max || (l->byte_count && bytes > l->byte_count))
		return refuse_bytes(l, why);
	keep->bytes = bytes;
	return 0;
}

static int param_max_age(const json_t *params, struct ring_keeping *keep, struct jsonrpc_error *why)
{
	const json_t *value = json_object_get(params, "max_age_s");
	double s = json_number_value(value);

	if (!value)
		return 0;
	if (!json_is_number(value) || !(s >= 0) || s > MAX_AGE_S_MAX || (s > 0 && s * (double)NS_PER_S < 1)) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS,
				  "max_age_s is 0, for no limit, or a number of seconds up to ten years");
		return -EINVAL;
	}
	keep->age_ns = (uint64_t)llround(s * (double)NS_PER_S);
	return 0;
}

int rpc_buffer_set(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		   struct jsonrpc_error *why)
{
	static const char *const names[] = {"target", "messages", "bytes", "max_age_s", NULL};
	const struct rpc_context *rpc = context;
	const struct node *n = rpc->node;
	const struct ring_limits *limits;
	struct ring_keeping keep;
	const char *name;
	uint32_t target_idx = CFG_NONE;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_name(params, "target", &name, why);
	if (rc == 0)
		rc = rpc_target_find(n->cfg, name, &target_idx, why);
	if (rc < 0)
		return rc;
	if (json_object_size(params) == 1) {
		jsonrpc_error_set(why, JSONRPC_INVALID_PARAMS, "messages, bytes and max_age_s are missing");
		return -EINVAL;
	}
	limits = ring_limits_of(n->rings[target_idx]);
	keep = ring_keeping(n->rings[target_idx]);
	rc = param_messages(params, limits, &keep, why);
	if (rc == 0)
		rc = param_bytes(params, limits, &keep, why);
	if (rc == 0)
		rc = param_max_age(params, &keep, why);
	if (rc < 0)
		return rc;
	rc = target_keep(node_target(n, target_idx), &keep);
	ASSERT(rc == 0); /* looked at above */
	LOG_INFO("control", "target=%s messages=%llu bytes=%llu max_age_ms=%llu", name,
		 (unsigned long long)keep.messages, (unsigned long long)keep.bytes,
		 (unsigned long long)(keep.age_ns / NS_PER_MS));
	return rpc_done(rpc_buffer_of(n, target_idx), result);
}
