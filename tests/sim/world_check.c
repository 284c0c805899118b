/* What must hold at each step, and what when all is quiet. */
#include <math.h>

#include "hw/line.h"
#include "tests/sim/bridge.h"
#include "tests/sim/world.h"

#define STEPS_A_SECOND_MAX 30000u
#define RING_CHECK_EVERY   64u

static const char *name_of(const struct world *w, uint32_t i)
{
	return cfg_text(w->cfg, w->cfg->targets[i].name);
}

static void check_ring(const struct world *w, uint32_t i, bool deep)
{
	const struct ring *r = w->node.rings[i];
	struct ring_counts n = ring_counts(r);
	uint64_t gone = n.taken + n.overwritten + n.expired + n.dropped;
	const char *why = NULL;

	if (gone > n.made)
		sim_fail("%s: made %lu, but taken %lu overwritten %lu expired %lu dropped %lu", name_of(w, i),
			 n.made, n.taken, n.overwritten, n.expired, n.dropped);
	if (n.released > n.taken)
		sim_fail("%s: released %lu of %lu taken", name_of(w, i), n.released, n.taken);
	if (ring_backlog(r) != min_u64(n.made - gone, ring_keeping(r).messages))
		sim_fail("%s: backlog %lu, resident %lu", name_of(w, i), ring_backlog(r), n.made - gone);
	if (deep && ring_check(r, &why) < 0)
		sim_fail("%s: ring: %s", name_of(w, i), why);
}

static void check_target(const struct world *w, uint32_t i)
{
	const struct target *t = node_target(&w->node, i);
	struct ring_counts n = ring_counts(w->node.rings[i]);
	uint64_t held = n.taken - n.released;
	uint32_t thinning = t->thin.table.held_count + t->thin.input_count;

	if (t->session.inflight.count > t->config->max_inflight)
		sim_fail("%s: %u in flight", name_of(w, i), t->session.inflight.count);
	if (target_state(t) == TARGET_CONNECTED && t->session.state != MQTT_SESSION_ONLINE &&
	    !t->close_when_sent && !t->leaving)
		sim_fail("%s: connected without a session", name_of(w, i));
	if (held > (uint64_t)t->session.inflight.count + t->batch_count + t->waiting_count + thinning)
		sim_fail("%s: %lu records held: %u in flight, %u in the batch, %u wait, %u are thinned",
			 name_of(w, i), held, t->session.inflight.count, t->batch_count, t->waiting_count,
			 thinning);
	if (t->timer.heap_idx == 0 && t->stream.state == STREAM_CLOSED && !t->left &&
	    target_state(t) != TARGET_DISABLED)
		sim_fail("%s: closed, and nothing will ever wake it", name_of(w, i));
}

static void say_livelock(const struct world_thread *th)
{
	for (uint32_t i = 0; th->publisher && i < th->publisher->target_count; i++) {
		const struct target *t = &th->publisher->targets[i];

		if (t->timer.heap_idx && t->timer.deadline.ns <= sim.now_ns)
			sim_fail("target%u steps all the time: flush in %ld, link in %ld, session in %ld us; "
				 "idle ring %d, "
				 "waiting %u, room %u, sending %d, leaving %d, resending %d",
				 t->cfg_idx, (long)(t->flush_deadline.ns - sim.now_ns) / 1000,
				 (long)(t->link_deadline.ns - sim.now_ns) / 1000,
				 (long)(mqtt_session_deadline(&t->session).ns - sim.now_ns) / 1000,
				 ring_idle(t->ring), t->waiting_count, mqtt_session_room(&t->session),
				 stream_is_sending(&t->stream), t->leaving,
				 mqtt_session_resending(&t->session));
	}
	sim_fail("%s: %lu steps within a second", th->publisher ? "publisher" : "sampler",
		 th->steps_in_second);
}

void world_check_step(struct world *w, const struct world_thread *t)
{
	if (t->steps_in_second > STEPS_A_SECOND_MAX)
		say_livelock(t);
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		check_ring(w, i, w->step_count % RING_CHECK_EVERY == 0);
		check_target(w, i);
	}
	world_accounts_step(w);
}

bool world_is_drained(const struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++) {
		const struct target *t = node_target(&w->node, i);
		struct ring_counts n = ring_counts(w->node.rings[i]);

		if (target_state(t) != TARGET_CONNECTED || !broker_is_settled(&w->targets[i].broker) ||
		    !mqtt_session_subscribed(&t->session) || t->inbound.state != INBOUND_READY ||
		    t->session.inflight.count || t->waiting_count || t->batch_count ||
		    ring_backlog(w->node.rings[i]) || n.released != n.taken)
			return false;
	}
	return true;
}

/* Every message is delivered, overwritten, expired, dropped, refused, or lost by a connection that broke with it. */
static void check_counts(const struct world *w, uint32_t i)
{
	const struct world_target *t = &w->targets[i];
	const struct broker *b = &t->broker;
	struct ring_counts n = ring_counts(w->node.rings[i]);
	uint64_t seen = b->ledger.count + b->ledger.repeated_count;

	if (n.made != n.taken + n.overwritten + n.expired + n.dropped)
		sim_fail("%s: drained, and made %lu is not taken %lu + overwritten %lu + expired %lu "
			 "+ dropped %lu",
			 name_of(w, i), n.made, n.taken, n.overwritten, n.expired, n.dropped);
	if (w->has_crashed || !t->strong || b->small_packets || t->expires ||
	    w->cfg->targets[i].replay.thin || (b->expect.refuses && b->ever_lowered))
		return;
	/* What was in flight, went out again with QoS 0 and was given up then counts as overwritten, though it had
	 * arrived before. */
	if (t->is_bridged_to ? n.taken > seen : n.taken != seen && !(b->ever_lowered && n.taken < seen))
		sim_fail("%s: %lu messages were taken from the ring, %lu left the machine", name_of(w, i),
			 n.taken, seen);
}

static bool ring_lost(const struct world *w, uint32_t i)
{
	const struct world_target *t = &w->targets[i];
	struct ring_counts n = ring_counts(w->node.rings[i]);

	return n.overwritten || n.expired || n.dropped || t->broker.small_packets ||
	       (t->broker.expect.refuses && t->broker.ever_lowered) || t->was_disabled;
}

void world_check_drained(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		const struct broker *b = &w->targets[i].broker;

		check_counts(w, i);
		if (!sim.failed && broker_online(b))
			broker_check_settled(b);
		bridge_check_drained(b, ring_lost(w, i));
		bridge_check_tags(b, &w->node.tags);
		world_ring_check_drained(w, i);
		world_accounts_check(w, i);
		if (!w->has_crashed && !b->ever_lowered && !b->small_packets)
			ledger_check_drained(&w->targets[i].broker.ledger);
	}
}

/* --- an outage ----------------------------------------------------------------------------------------------------- */

void world_outage_begins(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++) {
		ledger_mark(&w->targets[i].broker.ledger);
		w->targets[i].broker.account.outage = ACCOUNT_AWAY;
		w->targets[i].outage_made = ring_counts(w->node.rings[i]).made -
					    node_target(&w->node, i)->waiting_count -
					    ring_backlog(w->node.rings[i]);
		w->targets[i].outage_inflight = node_target(&w->node, i)->session.inflight.count;
	}
}

static uint64_t updates_of_syn0(const struct world *w)
{
	const struct line *l = &w->node.samplers[0].lines[0];

	return l->synthetic.made;
}

/* The newest that fit into the buffer have arrived, and no other. */
void world_check_outage(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		struct world_target *t = &w->targets[i];
		const struct cfg_target *c = &w->cfg->targets[i];
		uint64_t made = ring_counts(w->node.rings[i]).made - t->outage_made;
		uint64_t expected = min_u64(made, c->buffer_messages);

		if (!t->is_plain || !t->strong || t->broker.small_packets || c->buffer_max_age_ns ||
		    t->is_bridged_to || t->expires || (t->broker.expect.refuses && t->broker.ever_lowered))
			continue;
		/* What was in flight may not have arrived whole before: it comes, too. */
		if (t->broker.ledger.late_count < expected ||
		    t->broker.ledger.late_count > expected + t->outage_inflight)
			sim_fail("%s: an outage left %zu messages of %lu, the buffer is for %u",
				 name_of(w, i), t->broker.ledger.late_count, made, c->buffer_messages);
		if (t->single && expected && !t->outage_inflight) {
			double oldest = (double)(updates_of_syn0(w) - expected) / 1000;

			if (fabs(t->broker.ledger.late_value_min - oldest) > 1e-6)
				sim_fail("%s: after an outage the oldest is %.3f, not %.3f", name_of(w, i),
					 t->broker.ledger.late_value_min, oldest);
		}
		sim_covered[COVER_OUTAGE_EXACT]++;
	}
}
