/* `buffer.read`: what waits for a target, how long its buffer lasts, and what was lost. */
#include "tools/rpc_priv.h"

#include <stdio.h>

#include "core/time_text.h"

/* Later than any calendar that a JSON reader knows: as good as never. */
#define YEARS_100_S (100 * 365.25 * 86400)

static json_int_t count_of(const struct counter *c)
{
	return rpc_integer(counter_get(c));
}

static json_t *time_of(struct wall t)
{
	char text[TIME_TEXT_BYTES];

	time_text(t, text);
	return json_string(text);
}

/* A monotonic time on the wall's clock as it goes now. */
static json_t *wall_of(struct mono t, struct mono now, struct wall wall)
{
	return time_of((struct wall){.ns = wall.ns - (int64_t)now.ns + (int64_t)t.ns});
}

void rpc_forecast_get(const struct node *n, uint32_t target_idx, struct rpc_forecast *out)
{
	const struct ring *r = n->rings[target_idx];
	struct ring_keeping keep = ring_keeping(r);
	struct ring_counts counts = ring_counts(r);
	uint64_t committed = counts.made - counts.dropped;
	const struct forecast_input in = {
		.made_rate = rate_get(&n->rates[target_idx].made),
		.message_bytes = committed ? (double)ring_committed_bytes(r) / (double)committed : 0,
		.message_count = keep.messages,
		.buffered_count = ring_backlog(r),
		.byte_count = keep.bytes,
		.buffered_bytes = ring_backlog_bytes(r),
		.max_age_ns = keep.age_ns,
	};
	double holds_s = forecast_holds_s(&in), full_s = forecast_full_s(&in);
	bool connected = target_state(node_target(n, target_idx)) == TARGET_CONNECTED;

	out->rate = in.made_rate;
	out->fill = forecast_fill(&in);
	out->is_full = forecast_is_full(&in);
	out->holds_s = holds_s < 0 ? json_null() : json_real(holds_s);
	out->full_at = json_null();
	if (!connected && full_s > 0 && full_s < YEARS_100_S)
		out->full_at = time_of(
			(struct wall){.ns = clock_wall().ns + (int64_t)(full_s * (double)NS_PER_S)});
}

/* --- losses --------------------------------------------------------------------------------------------------------- */

static json_t *gap_of(const struct loss_gap *g, struct mono now, struct wall wall)
{
	json_t *one = json_pack("{s:I, s:s, s:I, s:o, s:o}", "gap", rpc_integer(g->number), "reason",
				loss_reason_text(g->reason), "count", rpc_integer(g->count), "from",
				wall_of(g->from, now, wall), "to", wall_of(g->to, now, wall));
	json_t *numbers = g->lane_idx == LOSS_NO_LANE
				  ? json_pack("{s:n, s:n, s:n}", "source", "first", "last")
				  : json_pack("{s:I, s:I, s:I}", "source", (json_int_t)g->lane_idx, "first",
					      rpc_integer(g->first), "last", rpc_integer(g->last));

	if (!one || !numbers || json_object_update(one, numbers)) {
		json_decref(one);
		one = NULL;
	}
	json_decref(numbers);
	return one;
}

/* The newest first. NULL: no memory. */
static json_t *gaps_of(const struct loss_ledger *l)
{
	struct mono now = clock_mono();
	struct wall wall = clock_wall();
	uint64_t newest = loss_newest(l);
	json_t *list = json_array();
	struct loss_gap g;

	for (uint64_t i = 0; i < LOSS_GAPS_MAX && i < newest; i++) {
		if (!loss_read(l, newest - i, &g)) /* it has left the table just now */
			break;
		if (json_array_append_new(list, gap_of(&g, now, wall))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *lost_of(const struct target_metrics *m)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "overwritten", count_of(&m->lost_overwritten),
			 "expired", count_of(&m->lost_expired), "refused", count_of(&m->lost_refused),
			 "oversized", count_of(&m->lost_oversized), "no_room", count_of(&m->lost_no_room),
			 "thinned", count_of(&m->lost_thinned));
}

/* Lost already, but which they are is seen when the target takes from its ring again. */
static json_int_t unlocated_of(const struct target_metrics *m, const struct ring_counts *ring)
{
	uint64_t located = counter_get(&m->lost_overwritten) + counter_get(&m->lost_expired) +
			   counter_get(&m->lost_no_room);
	uint64_t lost = ring->overwritten + ring->expired + ring->dropped;

	return lost > located ? rpc_integer(lost - located) : 0;
}

/* --- the file --------------------------------------------------------------------------------------------------------- */

/* null where the ring is in memory and is meant to be. What is told of it was settled before the threads started. */
static json_t *file_of(const struct node *n, uint32_t target_idx)
{
	const struct target *t = node_target(n, target_idx);
	const struct ring_file *f = &t->ring_file;

	if (!t->config->buffer_path)
		return json_null();
	return json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:I}", "path",
			 cfg_text(n->cfg, t->config->buffer_path), "used", (int)(f->handle >= 0), "state",
			 f->state, "restored", rpc_integer(f->restored_count), "with_the_session",
			 rpc_integer(f->known_count), "broken", rpc_integer(f->broken_count), "too_large",
			 rpc_integer(f->unfit_count));
}

/* --- where it is ------------------------------------------------------------------------------------------------------ */

enum file_state rpc_ring_state(const struct node *n, uint32_t target_idx, char text[SHARED_TEXT_BYTES])
{
	const struct target *t = node_target(n, target_idx);

	if (!t->config->buffer_path || t->ring_file.handle >= 0)
		return node_sync_ring_state(n->sync, &t->ring_file, text);
	snprintf(text, SHARED_TEXT_BYTES, "%s", t->ring_file.state);
	return FILE_NOT_MADE;
}

enum file_state rpc_session_state(const struct node *n, uint32_t target_idx, char text[SHARED_TEXT_BYTES])
{
	const struct target *t = node_target(n, target_idx);
	const char *state = t->session_file.state;

	if (t->config->clean_start || t->session_file.handle >= 0)
		return node_sync_session_state(n->sync, &t->session_file, text);
	snprintf(text, SHARED_TEXT_BYTES, "%s",
		 *state ? state : "in memory, because there is no state directory");
	return FILE_NOT_MADE;
}

static json_t *place_of(enum file_state state, char text[SHARED_TEXT_BYTES])
{
	return json_pack("{s:s, s:o}", "where", file_state_survives(state) ? "file" : "memory", "state",
			 file_state_is_good(state) ? json_string("ok") : rpc_text(text));
}

json_t *rpc_ring_place(const struct node *n, uint32_t target_idx)
{
	char text[SHARED_TEXT_BYTES];

	return place_of(rpc_ring_state(n, target_idx, text), text);
}

json_t *rpc_session_place(const struct node *n, uint32_t target_idx)
{
	char text[SHARED_TEXT_BYTES];

	return place_of(rpc_session_state(n, target_idx, text), text);
}

/* What an outage has left, where it does not simply go first; else null. */
static json_t *replay_of(const struct target *t)
{
	const struct cfg_replay *c = &t->config->replay;
	uint64_t held = atomic_load_explicit(&t->thin.held_told, memory_order_relaxed);

	if (c->order != CFG_REPLAY_LIVE_FIRST)
		return json_null();
	return json_pack("{s:I, s:s, s:b}", "left", rpc_integer(ring_replay_left(t->ring) + held), "rate",
			 cfg_text(t->publisher->config.cfg, c->rate_text), "thinning",
			 (int)atomic_load_explicit(&t->thin.is_told, memory_order_relaxed));
}

/* --- the method ------------------------------------------------------------------------------------------------------- */

json_t *rpc_buffer_of(const struct node *n, uint32_t target_idx)
{
	const struct target *t = node_target(n, target_idx);
	const struct cfg_target *c = &n->cfg->targets[target_idx];
	const struct ring *r = n->rings[target_idx];
	const struct ring_limits *limits = ring_limits_of(r);
	struct ring_keeping keep = ring_keeping(r);
	struct ring_counts ring = ring_counts_outside(r);
	uint64_t sent = counter_get(&t->metrics.sent_messages);
	struct rpc_forecast forecast;

	rpc_forecast_get(n, target_idx, &forecast);
	return json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:f, s:f, s:o, s:o, s:o, s:f, s:o, s:o, "
		"s:o, "
		"s:I, s:I, s:o, s:I, s:o, s:o}",
		"target", cfg_text(n->cfg, c->name), "state", target_state_text(target_state(t)), "capacity",
		rpc_integer(keep.messages), "messages_max", (json_int_t)limits->message_count, "buffered",
		rpc_integer(ring_backlog(r)), "bytes", rpc_integer(keep.bytes), "bytes_max",
		rpc_integer(limits->byte_count), "buffered_bytes", rpc_integer(ring_backlog_bytes(r)),
		"fill_percent", 100.0 * forecast.fill, "full", (int)forecast.is_full, "rate", forecast.rate,
		"sent_rate", rate_get(&n->rates[target_idx].sent), "message_bytes",
		sent ? json_real((double)counter_get(&t->metrics.sent_bytes) / (double)sent) : json_null(),
		"holds_s", forecast.holds_s, "full_at", forecast.full_at, "max_age_s",
		(double)keep.age_ns / (double)NS_PER_S, "file", file_of(n, target_idx), "buffer",
		rpc_ring_place(n, target_idx), "session", rpc_session_place(n, target_idx), "memory_bytes",
		rpc_integer(ring_size_bytes(limits)), "made", rpc_integer(ring.made), "lost",
		lost_of(&t->metrics), "unlocated", unlocated_of(&t->metrics, &ring), "gaps",
		gaps_of(t->losses), "replay", replay_of(t));
}

int rpc_buffer_read(void *context, struct control_client *client UNUSED, const json_t *params,
		    json_t **result, struct jsonrpc_error *why)
{
	static const char *const names[] = {"target", NULL};
	const struct rpc_context *rpc = context;
	const char *name;
	uint32_t target_idx;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_name(params, "target", &name, why);
	if (rc == 0)
		rc = rpc_target_find(rpc->node->cfg, name, &target_idx, why);
	if (rc < 0)
		return rc;
	return rpc_done(rpc_buffer_of(rpc->node, target_idx), result);
}
