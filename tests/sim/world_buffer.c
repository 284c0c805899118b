/* What buffers do beside keeping so many messages: bytes, age, live messages first, thinning, losses told, limits that change; and
 * the accounts of it. All of it is drawn from a chance of its own, so that the other worlds stay what they are. */
#include <stdarg.h>
#include <stdio.h>

#include "hw/line.h"
#include "tests/sim/world.h"

#define BESIDE_NS (5 * NS_PER_S / 2) /* an acknowledgement takes a second at the most */

static uint32_t below(struct world *w, uint32_t bound)
{
	return prng_below(&w->buffer_prng, bound);
}

static bool chance(struct world *w, uint32_t thousandths)
{
	return below(w, 1000) < thousandths;
}

static void put(struct writer *out, const char *format, ...) PRINTF(2, 3);
static void put(struct writer *out, const char *format, ...)
{
	char text[120];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_text(out, text);
}

static void thin_put(struct world *w, struct account *a, struct writer *out)
{
	static const char *const keeps[] = {"last", "min-max", "average"};
	uint32_t bucket_ms = 20 + below(w, 1000);

	a->thin = (enum cfg_thin)(CFG_THIN_LAST + below(w, 3));
	if (a->thin == CFG_THIN_LAST && chance(w, 500))
		a->thin = CFG_THIN_AVERAGE;
	a->bucket_ns = bucket_ms * NS_PER_MS;
	put(out, ", thin: {keep: %s, bucket: %ums, within: %ums}", keeps[a->thin - CFG_THIN_LAST], bucket_ms,
	    chance(w, 500) ? 0 : below(w, 3000));
}

static void replay_put(struct world *w, struct world_target *t, struct writer *out)
{
	struct account *a = &t->broker.account;
	uint32_t per_s = 2 + below(w, chance(w, 600) ? 40 : 400);

	a->live_first = true;
	a->prefixes = chance(w, 400);
	a->marks = t->broker.expect.level == 5 && chance(w, 800);
	put(out, ", replay: {order: live-first");
	if (chance(w, 650)) {
		a->interval_ns = NS_PER_S / per_s;
		put(out, ", rate: %u/s", per_s);
	} else {
		put(out, ", rate: %u%%", 1 + below(w, 90));
	}
	if (t->broker.expect.level == 5)
		put(out, ", mark: %s", a->marks ? "true" : "false");
	if (a->prefixes)
		put(out, ", topic_prefix: \"%s\"", ACCOUNT_PREFIX);
	if (chance(w, 500) && w->crash_count == 0) /* a file has what was thinned away or averaged */
		thin_put(w, a, out);
	put(out, "}");
}

void world_buffer_put(struct world *w, uint32_t i, char *text, size_t text_bytes)
{
	struct world_target *t = &w->targets[i];
	struct account *a = &t->broker.account;
	struct writer out = writer_of(text, text_bytes - 1);

	t->buffer_messages_max = t->buffer_messages;
	t->is_plain = true;
	a->is_on = w->has_accounts;
	snprintf(a->name, sizeof(a->name), "target%u", i);
	if (w->has_accounts) {
		if (chance(w, 300)) {
			t->buffer_messages_max += below(w, 200);
			put(&out, ", messages_max: %u", t->buffer_messages_max);
		}
		if (chance(w, 250)) {
			put(&out, ", bytes: %uB", 4096 + below(w, 20000));
			t->is_plain = false;
		}
		if (chance(w, 500)) {
			put(&out, ", loss_topic: \"%s\", loss_qos: %u", ACCOUNT_LOSS_TOPIC, below(w, 3));
			t->is_plain = false;
		}
		if (chance(w, 600))
			replay_put(w, t, &out);
		t->changes_limits = chance(w, 300);
		t->is_plain &= !a->live_first && !t->changes_limits;
	}
	ASSERT(!out.failed);
	*out.at = 0;
}

void world_accounts_open(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++) {
		struct world_target *t = &w->targets[i];
		struct account *a = &t->broker.account;
		const struct definition_port *port = &w->node.definitions->ports[i];

		if (w->has_crashed) /* numbers begin anew, and what is left of the old ones comes, too */
			a->is_on = false;
		a->is_single = t->single;
		a->tag_count = w->cfg->lines[0].synthetic_tag_count;
		a->may_expire = t->max_age || t->expires || t->changes_limits || t->is_bridged_to;
		for (uint32_t p = 0; t->is_bridged_to && p < w->cfg->publisher_count; p++) {
			uint32_t lane = port->lane_of_source[definition_source_of_publisher(w->cfg, p)];

			if (lane != DEFINITION_NO_LANE)
				a->strangers |= 1ull << lane;
		}
	}
}

void world_accounts_step(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++) {
		w->targets[i].broker.account.updates = w->node.samplers[0].lines[0].synthetic.made;
		account_step(&w->targets[i].broker.account, node_target(&w->node, i));
	}
}

void world_accounts_check(struct world *w, uint32_t i)
{
	const struct broker *b = &w->targets[i].broker;

	account_check_drained(&w->targets[i].broker.account, node_target(&w->node, i),
			      b->ever_lowered || b->small_packets, b->expect.refuses);
}

/* As `ringctl buffer` does. */
void world_limits_change(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && w->has_accounts; i++) {
		struct world_target *t = &w->targets[i];
		struct ring_keeping keep = ring_keeping(w->node.rings[i]);

		if (!t->changes_limits || !chance(w, 500))
			continue;
		if (chance(w, 700))
			keep.messages = 1 + below(w, t->buffer_messages_max);
		if (chance(w, 300))
			keep.age_ns = chance(w, 300) ? 0 : (100 + below(w, 3000)) * NS_PER_MS;
		sim_trace("target%u keeps %lu messages, %.3f s", i, keep.messages, (double)keep.age_ns / 1e9);
		if (target_keep(node_target(&w->node, i), &keep) < 0)
			sim_fail("target%u does not take limits that there is memory for", i);
		sim_covered[COVER_LIMITS_CHANGED]++;
	}
}

/* --- live messages beside a backlog ---------------------------------------------------------------------------------- */

struct beside {
	uint64_t since_ns; /* connected, nothing to be sent again, a backlog there */
	uint64_t live_count, made_first, made_half;
};

static uint64_t made_of(const struct account *a)
{
	uint64_t made = 0;

	for (uint32_t i = 0; i < RING_LANES_MAX; i++)
		made += a->lanes[i].count;
	return made;
}

/* While a backlog waits for its rate, what is made now goes out. */
static void look(struct world *w, uint32_t i, struct beside *s)
{
	const struct target *t = node_target(&w->node, i);
	const struct account *a = &w->targets[i].broker.account;

	/* A server that takes no message this large sees none. */
	if (w->targets[i].broker.small_packets || !a->live_first || !(a->marks || a->prefixes) ||
	    target_state(t) != TARGET_CONNECTED || mqtt_session_resending(&t->session) || t->waiting_count ||
	    ring_replay_left(t->ring) == 0) {
		s->since_ns = UINT64_MAX;
		return;
	}
	if (s->since_ns == UINT64_MAX)
		*s = (struct beside){
			.since_ns = sim.now_ns, .live_count = a->live_count, .made_first = made_of(a)};
	if (sim.now_ns - s->since_ns < BESIDE_NS / 2)
		s->made_half = made_of(a);
	if (sim.now_ns - s->since_ns < BESIDE_NS)
		return;
	/* A few may have been written just when the backlog became one: they belong to it. */
	if (s->made_half < s->made_first + 5)
		return;
	if (a->live_count == s->live_count)
		sim_fail("target%u: nothing new comes while a backlog is there", i);
	sim_covered[COVER_REPLAY_BESIDE]++;
	s->since_ns = UINT64_MAX;
}

void world_replay_beside(struct world *w)
{
	struct beside state[WORLD_TARGETS_MAX] = {
		{.since_ns = UINT64_MAX}, {.since_ns = UINT64_MAX}, {.since_ns = UINT64_MAX}};
	uint64_t end_ns = sim.now_ns + (w->has_accounts ? (2 + below(w, 8)) * NS_PER_S : 0);

	while (!sim.failed && sim.now_ns < end_ns) {
		world_run_for(w, 50 * NS_PER_MS);
		for (uint32_t i = 0; i < w->target_count; i++)
			look(w, i, &state[i]);
	}
}
