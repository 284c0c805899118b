/* The threads of a node, stepped one after another in an order and at times that the seed chooses. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/bridge.h"

#define DRAIN_MAX_NS (600 * NS_PER_S)
#define STOP_MAX_NS  (6 * NS_PER_S) /* the daemon has 4 s to send what there is */
#define SETTLE_NS    (3 * NS_PER_S)

/* --- scheduling -------------------------------------------------------------------------------------------------- */

static bool can_run(const struct world_thread *t)
{
	return !t->frozen && !t->ended && sim.now_ns >= t->stalled_until_ns && loop_sim_ready(t->loop);
}

static uint64_t next_of(const struct world_thread *t)
{
	if (t->frozen || t->ended)
		return UINT64_MAX;
	return max_u64(t->stalled_until_ns, loop_sim_ready(t->loop) ? sim.now_ns : loop_sim_next(t->loop));
}

static void step(struct world_thread *t)
{
	if (t->publisher)
		publisher_step(t->publisher);
	else
		sampler_step(t->sampler);
}

static bool has_ended(const struct world_thread *t)
{
	return t->publisher ? publisher_stopped(t->publisher) : sampler_stopping(t->sampler);
}

static int wait_of(struct world_thread *t)
{
	return t->publisher ? publisher_wait(t->publisher) : sampler_wait(t->sampler);
}

/* From one wait to the next, as the thread's own loop does it: a wait that ends runs completions, then comes a step. */
static void run(struct world *w, struct world_thread *t)
{
	uint64_t second = sim.now_ns / NS_PER_S;

	if (loop_sim_waits(t->loop) && loop_run(t->loop, (struct mono){0}) < 0)
		sim_fail("loop_run failed");
	step(t);
	w->step_count++;
	t->steps_in_second = t->second == second ? t->steps_in_second + 1 : 1;
	t->second = second;
	world_check_step(w, t);
	if (has_ended(t)) {
		loop_quiet(t->loop);
		t->ended = true;
	} else if (wait_of(t) < 0) {
		sim_fail("waiting failed");
	}
	sim.now_ns += sim_between(NS_PER_US,
				  20 * NS_PER_US); /* work takes time; no two turns are at the same */
	if (sim_chance(sim.faults.stall))
		t->stalled_until_ns = sim.now_ns + sim_between(0, 20 * NS_PER_MS);
}

/* One thread's turn, or time goes on to the next that happens. */
static void advance(struct world *w, uint64_t limit_ns)
{
	struct world_thread *able[WORLD_THREADS_MAX];
	uint32_t able_count = 0;
	uint64_t next_ns = min_u64(limit_ns, sim_next_event());

	sim_run_events();
	for (uint32_t i = 0; i < w->thread_count; i++)
		if (can_run(&w->threads[i]))
			able[able_count++] = &w->threads[i];
	if (able_count > 0) {
		run(w, able[sim_below(able_count)]);
		return;
	}
	next_ns = min_u64(limit_ns, sim_next_event());
	for (uint32_t i = 0; i < w->thread_count; i++)
		next_ns = min_u64(next_ns, next_of(&w->threads[i]));
	sim.now_ns = max_u64(sim.now_ns, next_ns);
}

void world_run_for(struct world *w, uint64_t ns)
{
	uint64_t until_ns = sim.now_ns + ns;

	while (!sim.failed && sim.now_ns < until_ns)
		advance(w, until_ns);
}

/* False: it did not happen in time. */
static bool run_until(struct world *w, bool (*happened)(const struct world *w), uint64_t ns)
{
	uint64_t until_ns = sim.now_ns + ns;

	while (!sim.failed && !happened(w)) {
		if (sim.now_ns >= until_ns)
			return false;
		advance(w, until_ns);
	}
	return true;
}

static void others_speak(struct world *w, bool speak)
{
	for (uint32_t i = 0; i < w->target_count; i++)
		w->targets[i].broker.is_quiet = !speak;
}

static void freeze_samplers(struct world *w, bool frozen)
{
	for (uint32_t i = 0; i < w->thread_count; i++)
		if (w->threads[i].sampler)
			w->threads[i].frozen = frozen;
}

/* --- the phases ---------------------------------------------------------------------------------------------------- */

static void want(struct world *w, uint32_t i, bool enabled)
{
	struct world_target *t = &w->targets[i];

	sim_trace("target%u %s", i, enabled ? "enabled" : "disabled");
	t->broker.told_to_leave |= !enabled;
	t->was_disabled |= !enabled;
	target_want(node_target(&w->node, i), enabled);
}

static void all_want(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++)
		if (!target_wanted(node_target(&w->node, i)))
			want(w, i, true);
}

/* Faults all the time, and now and then somebody disables a target or kills the daemon. */
static void chaos(struct world *w)
{
	uint64_t end_ns = sim.now_ns + sim_between(2 * NS_PER_S, 12 * NS_PER_S);

	sim_trace("chaos");
	sim.faults = w->faults;
	others_speak(w, true);
	while (!sim.failed && sim.now_ns < end_ns) {
		world_run_for(w, min_u64(end_ns - sim.now_ns, sim_between(0, 5 * NS_PER_S)));
		if (sim.failed)
			return;
		if (w->crash_count && sim_chance(500)) {
			w->crash_count--;
			world_crash(w);
		} else if (w->toggles && sim_chance(500)) {
			uint32_t i = sim_below(w->target_count);

			want(w, i, !target_wanted(node_target(&w->node, i)));
		}
		world_limits_change(w);
	}
	if (!sim.failed)
		all_want(w);
}

static void say_undrained(const struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++) {
		const struct target *t = node_target(&w->node, i);

		if (target_state(t) != TARGET_CONNECTED || t->session.inflight.count || t->waiting_count ||
		    ring_backlog(w->node.rings[i]) || !broker_online(&w->targets[i].broker))
			sim_fail("no faults, and target%u does not drain: %s, in flight %u, waiting %u, "
				 "backlog %lu, "
				 "sending %d, quota %u, resend %u, outbox %zu",
				 i, target_state_text(target_state(t)), t->session.inflight.count,
				 t->waiting_count, ring_backlog(w->node.rings[i]),
				 stream_is_sending(&t->stream), t->session.quota, t->session.resend_next,
				 t->session.outbox_bytes);
	}
	sim_fail("no faults, and something does not drain");
}

/* Until all is quiet and stays so: what the system has taken arrives, and a target that goes back to its first server gets
 * what is retained there. */
static void drain(struct world *w)
{
	uint64_t end_ns = sim.now_ns + DRAIN_MAX_NS;

	do {
		if (!run_until(w, world_is_drained, DRAIN_MAX_NS))
			say_undrained(w);
		world_run_for(w, SETTLE_NS);
		if (sim.now_ns > end_ns)
			say_undrained(w);
	} while (!sim.failed && !world_is_drained(w));
	if (!sim.failed)
		world_check_drained(w);
	if (!sim.failed)
		world_check_traces(w);
}

static void calm(struct world *w)
{
	sim_trace("calm");
	sim.faults = (struct sim_faults){0};
	world_run_for(w, sim_between(0, 2 * NS_PER_S));
	if (!sim.failed && w->crash_count && sim_chance(500)) {
		w->crash_count--;
		world_crash(w);
		if (!sim.failed)
			world_run_for(w, sim_between(0, 2 * NS_PER_S));
	}
	if (sim.failed)
		return;
	freeze_samplers(w, true);
	others_speak(w, false);
	world_run_for(w, 10 * NS_PER_S); /* half-open connections are found out by keep-alive */
	drain(w);
}

static bool all_know(const struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++) {
		const struct target *t = node_target(&w->node, i);

		if (target_state(t) == TARGET_CONNECTED ||
		    t->closing) /* closing: a batch is still with the system */
			return false;
	}
	return true;
}

static void outage(struct world *w)
{
	bool beside; /* what is made after it goes with what it has left */

	sim_trace("outage");
	if (sim_chance(500)) { /* with messages on their way */
		freeze_samplers(w, false);
		others_speak(w, true);
		world_run_for(w, sim_between(0, NS_PER_S));
	}
	others_speak(w, false);
	for (uint32_t i = 0; i < w->target_count; i++)
		broker_set_down(&w->targets[i].broker, true);
	if (!run_until(w, all_know, 10 * NS_PER_S))
		sim_fail("a broken connection is not noticed");
	if (sim.failed)
		return;
	world_outage_begins(w);
	freeze_samplers(w, false);
	world_run_for(w, sim_between(NS_PER_MS, 4 * NS_PER_S));
	world_limits_change(w);
	beside = w->has_accounts && prng_below(&w->buffer_prng, 2);
	freeze_samplers(w, !beside);
	for (uint32_t i = 0; i < w->target_count; i++)
		broker_set_down(&w->targets[i].broker, false);
	world_replay_beside(w);
	freeze_samplers(w, true);
	drain(w);
	for (uint32_t i = 0; i < w->target_count; i++)
		w->targets[i].broker.account.outage = ACCOUNT_ANY;
	if (!beside)
		world_check_outage(w);
}

static uint32_t away_idx; /* the target that away() is about */

static bool is_away(const struct world *w)
{
	return target_state(node_target(&w->node, away_idx)) == TARGET_DISABLED &&
	       !w->targets[away_idx].broker.current;
}

/* No faults, and somebody disables a target: it says good-bye, and comes back when it is enabled. */
static void away(struct world *w)
{
	struct broker *b;

	away_idx = sim_below(w->target_count);
	b = &w->targets[away_idx].broker;
	want(w, away_idx, false);
	if (!run_until(w, is_away, STOP_MAX_NS))
		sim_fail("target%u was disabled, and is %s", away_idx,
			 target_state_text(target_state(node_target(&w->node, away_idx))));
	if (!sim.failed && !b->said_goodbye)
		sim_fail("target%u was disabled and left without DISCONNECT", away_idx);
	if (!sim.failed && b->expect.on_disconnect[0] && !b->goodbye_was_told && !b->ever_lowered &&
	    !b->small_packets)
		sim_fail("target%u left without on_disconnect", away_idx);
	world_run_for(w, sim_between(0, 2 * NS_PER_S));
	want(w, away_idx, true);
	sim_covered[COVER_DISABLED]++;
	drain(w);
}

static bool publishers_have_ended(const struct world *w)
{
	for (uint32_t i = 0; i < w->thread_count; i++)
		if (w->threads[i].publisher && !w->threads[i].ended)
			return false;
	return true;
}

/* As node_stop: samplers first. */
static void stop(struct world *w, bool is_calm)
{
	bool expects_goodbye[WORLD_TARGETS_MAX];

	sim_trace("stop");
	freeze_samplers(w, false);
	world_run_for(w, sim_between(0, 300 * NS_PER_MS));
	for (uint32_t i = 0; i < w->target_count; i++)
		expects_goodbye[i] = is_calm &&
				     !w->targets[i].broker.floods && /* the answers to a flood take longer */
				     target_state(node_target(&w->node, i)) == TARGET_CONNECTED;
	others_speak(w, false);
	for (uint32_t i = 0; i < w->target_count; i++)
		w->targets[i].broker.told_to_leave = true;
	for (uint32_t i = 0; i < w->node.sampler_count; i++)
		sampler_stop(&w->node.samplers[i]);
	for (uint32_t i = 0; i < w->node.publisher_count; i++)
		publisher_stop(&w->node.publishers[i]);
	if (!run_until(w, publishers_have_ended, STOP_MAX_NS))
		sim_fail("a stop takes longer than %u s", (unsigned)(STOP_MAX_NS / NS_PER_S));
	for (uint32_t i = 0; i < w->target_count; i++)
		w->targets[i].broker.client_has_ended = true;
	world_run_for(w, SETTLE_NS);
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		const struct broker *b = &w->targets[i].broker;

		if (expects_goodbye[i] && !b->said_goodbye)
			sim_fail("target%u left without DISCONNECT", i);
		else if (expects_goodbye[i] && b->expect.on_disconnect[0] && !b->goodbye_was_told &&
			 !b->ever_lowered && !b->small_packets)
			sim_fail("target%u left without on_disconnect", i);
	}
	sim_covered[is_calm ? COVER_STOP_CALM : COVER_STOP_CHAOS]++;
}

static void cover(const struct world *w)
{
	for (uint32_t i = 0; w->cfg && i < w->target_count; i++) {
		struct ring_counts n = ring_counts(w->node.rings[i]);

		sim_covered[COVER_OVERWRITTEN] += n.overwritten;
		sim_covered[COVER_EXPIRED] += n.expired;
		sim_covered[COVER_DROPPED] += n.dropped;
	}
}

static void live(struct world *w)
{
	bool ends_calm = sim_chance(500);

	chaos(w);
	if (!sim.failed && sim_chance(850)) {
		calm(w);
		if (!sim.failed && w->toggles && sim_chance(300))
			away(w);
		if (!sim.failed && sim_chance(500))
			outage(w);
		if (!sim.failed && !ends_calm) {
			freeze_samplers(w, false);
			chaos(w);
		}
	} else {
		ends_calm = false;
	}
	if (!sim.failed)
		stop(w, ends_calm);
	cover(w);
}

/* --- building ------------------------------------------------------------------------------------------------------- */

bool world_run(uint64_t seed, bool verbose)
{
	struct world *w = calloc(1, sizeof(*w));

	ASSERT(w);
	w->targets = calloc(WORLD_TARGETS_MAX, sizeof(w->targets[0]));
	ASSERT(w->targets);
	sim_begin(seed, verbose);
	bridge_begin();
	world_draw(w);
	if (verbose)
		printf("%s", w->yaml);
	world_files_begin(w);
	for (uint32_t i = 0; i < w->target_count; i++)
		bridge_add(&w->targets[i].broker);
	if (world_open_node(w) == 0)
		live(w);
	if (w->cfg) {
		node_close(&w->node);
		config_free(w->cfg);
	}
	world_files_end(w);
	world_rings_end(w);
	for (uint32_t i = 0; i < w->target_count; i++)
		broker_end(&w->targets[i].broker);
	device_end(&w->tcp_device);
	device_end(&w->rtu_device);
	net_end();
	loop_sim_end();
	bridge_end();
	sim_end();
	free(w->targets);
	free(w);
	return !sim.failed;
}
