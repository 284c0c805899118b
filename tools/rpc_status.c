/* What the node is doing: `status` and `targets.list`. */
#include "tools/rpc_priv.h"

#include "core/histogram.h"
#include "hw/line.h"
#include "tools/version.h"

static json_int_t count_of(const struct counter *c)
{
	return rpc_integer(counter_get(c));
}

static json_int_t us_of(uint64_t ns)
{
	return rpc_integer(ns / NS_PER_US);
}

/* {"name":...,"state":...,...}: what people and monitoring look at first. `enabled` is as it is now. room_bytes: a size_t,
 * what the lists of subscriptions may take together. */
static json_t *target_of(const struct node *n, uint32_t target_idx, void *room_bytes)
{
	const struct target *t = node_target(n, target_idx);
	const struct cfg_target *c = &n->cfg->targets[target_idx];
	const struct target_metrics *m = &t->metrics;
	const struct ring *r = n->rings[target_idx];
	struct ring_counts ring = ring_counts_outside(r);
	struct ring_keeping keep = ring_keeping(r);
	char reason[SHARED_TEXT_BYTES], url[SHARED_TEXT_BYTES];
	struct rpc_subscriptions subs;
	struct rpc_forecast forecast;

	rpc_forecast_get(n, target_idx, &forecast);
	shared_text_get(&t->reason, reason);
	shared_text_get(&t->url, url);
	rpc_subscriptions_get(n, target_idx, room_bytes, &subs);
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:f, "
		"s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, "
		"s:o, s:o, s:o, s:o, s:o}",
		"name", cfg_text(n->cfg, c->name), "state", target_state_text(target_state(t)), "reason",
		rpc_text(reason), "url", rpc_text(url), "description", cfg_text(n->cfg, c->description),
		"package", cfg_text(n->cfg, c->package), "package_enabled",
		(int)n->package_on[c->package_idx], "enabled", (int)target_wanted(t), "protocol",
		c->protocol == 5 ? "5" : "3.1.1", "sent", count_of(&m->sent_messages), "received",
		count_of(&m->received_messages), "sent_bytes", count_of(&m->sent_bytes), "received_bytes",
		count_of(&m->received_bytes), "made", rpc_integer(ring.made), "buffered",
		rpc_integer(ring_backlog(r)), "capacity", rpc_integer(keep.messages), "buffered_bytes",
		rpc_integer(ring_backlog_bytes(r)), "bytes", rpc_integer(keep.bytes), "max_age_s",
		(double)keep.age_ns / (double)NS_PER_S, "overwritten", rpc_integer(ring.overwritten),
		"expired", rpc_integer(ring.expired), "dropped", rpc_integer(ring.dropped), "acknowledged",
		count_of(&m->acknowledged_messages), "inflight", count_of(&m->inflight), "resent",
		count_of(&m->resent_messages), "refused", count_of(&m->refused_messages), "duplicates",
		count_of(&m->duplicates), "unmatched", count_of(&m->unmatched), "held", count_of(&m->held),
		"connects", count_of(&m->connects), "connect_failures", count_of(&m->connect_failures),
		"disconnects", count_of(&m->disconnects), "redirects", count_of(&m->redirects), "subscribed",
		(json_int_t)subs.subscribed, "refused_subscriptions", (json_int_t)subs.refused,
		"subscriptions_total", (json_int_t)subs.total, "rate", forecast.rate, "holds_s",
		forecast.holds_s, "full_at", forecast.full_at, "buffer", rpc_ring_place(n, target_idx),
		"session", rpc_session_place(n, target_idx), "subscriptions", subs.list);
}

static const char *kind_of(enum cfg_line_kind kind)
{
	switch (kind) {
	case CFG_LINE_MODBUS_TCP: return "modbus_tcp";
	case CFG_LINE_MODBUS_RTU: return "modbus_rtu";
	case CFG_LINE_SYNTHETIC: return "synthetic";
	}
	UNREACHABLE();
}

/* line->state is the sampler's own; whether it is open is a counter. */
static json_t *line_of(const struct node *n, const struct line *l)
{
	const struct cfg_line *c = &n->cfg->lines[l->cfg_idx];
	const struct line_metrics *m = &l->metrics;
	char reason[SHARED_TEXT_BYTES];

	shared_text_get(&l->reason, reason);
	return json_pack(
		"{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"name", cfg_text(n->cfg, c->name), "kind", kind_of(c->kind), "state",
		counter_get(&m->connected) ? "up" : "down", "reason", rpc_text(reason), "requests",
		count_of(&m->requests), "responses", count_of(&m->responses), "timeouts",
		count_of(&m->timeouts), "missed", count_of(&m->missed), "exceptions",
		count_of(&m->exceptions), "crc_errors", count_of(&m->crc_errors), "protocol_errors",
		count_of(&m->protocol_errors), "suspended_devices", count_of(&m->suspended_devices), "values",
		count_of(&m->values), "connect_failures", count_of(&m->connect_failures), "lateness_p50_us",
		us_of(histogram_permille(&l->lateness, 500)), "lateness_p99_us",
		us_of(histogram_permille(&l->lateness, 990)), "lateness_max_us",
		us_of(counter_get(&l->lateness.max)));
}

static json_t *sampler_of(const struct node *n, uint32_t sampler_idx)
{
	const struct sampler *s = &n->samplers[sampler_idx];
	const struct sampler_metrics *m = &s->metrics;

	return json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
		cfg_text(n->cfg, n->cfg->samplers[sampler_idx].name), "lines", (json_int_t)s->line_count,
		"values", count_of(&m->values), "messages", count_of(&m->messages), "missed_cycles",
		count_of(&m->missed_cycles), "lateness_p50_us", us_of(counter_get(&m->lateness_p50_ns)),
		"lateness_p99_us", us_of(counter_get(&m->lateness_p99_ns)), "lateness_max_us",
		us_of(counter_get(&m->lateness_max_ns)), "allocated_bytes", count_of(&m->allocated_bytes));
}

static json_t *publisher_of(const struct node *n, uint32_t publisher_idx)
{
	const struct publisher *p = &n->publishers[publisher_idx];

	return json_pack("{s:s, s:I, s:I, s:I}", "name",
			 cfg_text(n->cfg, n->cfg->publishers[publisher_idx].name), "targets",
			 (json_int_t)p->target_count, "steps", count_of(&p->metrics.steps), "allocated_bytes",
			 count_of(&p->metrics.allocated_bytes));
}

/* --- lists: NULL where there is no memory ------------------------------------------------------------------------------- */

static json_t *targets_of(const struct node *n)
{
	size_t room_bytes = RPC_STATUS_SUBSCRIPTIONS_BYTES;
	json_t *list = json_array();

	for (uint32_t i = 0; i < n->cfg->target_count; i++)
		if (json_array_append_new(list, target_of(n, i, &room_bytes)))
			goto fail;
	return list;
fail:
	json_decref(list);
	return NULL;
}

/* In the order of the configuration: within a sampler lines have that order already. */
static json_t *lines_of(const struct node *n)
{
	uint32_t next[CFG_SAMPLERS_MAX] = {0};
	json_t *list = json_array();

	for (uint32_t i = 0; i < n->cfg->line_count; i++) {
		uint32_t sampler_idx = n->cfg->lines[i].sampler_idx;
		const struct line *l = &n->samplers[sampler_idx].lines[next[sampler_idx]++];

		ASSERT(l->cfg_idx == i);
		if (json_array_append_new(list, line_of(n, l)))
			goto fail;
	}
	return list;
fail:
	json_decref(list);
	return NULL;
}

static json_t *threads_of(const struct node *n, uint32_t count, json_t *(*one)(const struct node *, uint32_t))
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < count; i++)
		if (json_array_append_new(list, one(n, i)))
			goto fail;
	return list;
fail:
	json_decref(list);
	return NULL;
}

/* The global indicator is set while any enabled target is not connected. */
static bool all_connected(const struct node *n)
{
	for (uint32_t i = 0; i < n->cfg->target_count; i++)
		if (target_wanted(node_target(n, i)) && target_state(node_target(n, i)) != TARGET_CONNECTED)
			return false;
	return true;
}

static json_int_t uptime_s(const struct rpc_context *rpc)
{
	int64_t wall_ns = clock_wall().ns - rpc->node->started.ns;

	if (rpc->started.ns)
		return rpc_integer(mono_since(clock_mono(), rpc->started) / NS_PER_S);
	return wall_ns > 0 ? wall_ns / (int64_t)NS_PER_S : 0;
}

/* --- methods -------------------------------------------------------------------------------------------------------------- */

int rpc_status(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
	       struct jsonrpc_error *why)
{
	static const char *const names[] = {NULL};
	const struct rpc_context *rpc = context;
	const struct node *n = rpc->node;
	int rc = rpc_params_only(params, names, why);

	if (rc < 0)
		return rc;
	return rpc_done(
		json_pack("{s:b, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:s}", "ok", (int)all_connected(n),
			  "version", RINGMAIN_VERSION, "node", cfg_text(n->cfg, n->cfg->node), "uptime_s",
			  uptime_s(rpc), "targets", targets_of(n), "lines", lines_of(n), "samplers",
			  threads_of(n, n->sampler_count, sampler_of), "publishers",
			  threads_of(n, n->publisher_count, publisher_of), "licence", RINGMAIN_LICENCE),
		result);
}

static struct bytes target_name(const struct node *n, uint32_t target_idx)
{
	return bytes_of_text(cfg_text(n->cfg, n->cfg->targets[target_idx].name));
}

int rpc_targets_list(void *context, struct control_client *client UNUSED, const json_t *params,
		     json_t **result, struct jsonrpc_error *why)
{
	const struct rpc_context *rpc = context;
	const struct node *n = rpc->node;
	size_t room_bytes = RPC_STATUS_SUBSCRIPTIONS_BYTES;
	const struct rpc_items items = {"targets", target_name, target_of, &room_bytes};
	int rc = rpc_list(n, &items, n->cfg->target_count, params, result, why);

	if (rc == 0 && json_object_set_new(*result, "ok", json_boolean(all_connected(n)))) {
		json_decref(*result);
		*result = NULL;
		rc = -ENOMEM;
	}
	return rc;
}
