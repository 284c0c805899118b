#include "io/publisher.h"

#include <errno.h>

#include "core/memory.h"
#include "io/target.h"

#define LOOP_SPARE_OPERATIONS 64
#define OPERATIONS_A_TARGET   4 /* lookup or connect, receive, send, cancel */

static uint32_t targets_of(const struct cfg *c, uint32_t publisher_idx)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->target_count; i++)
		count += c->targets[i].publisher_idx == publisher_idx;
	return count;
}

int publisher_open(struct publisher *p, const struct publisher_config *config)
{
	const struct cfg *c = config->cfg;
	uint32_t target_count = targets_of(c, config->publisher_idx);
	uint64_t operation_count = min_u64(
		LOOP_OPERATIONS_MAX, LOOP_SPARE_OPERATIONS + (uint64_t)target_count * OPERATIONS_A_TARGET);
	const struct loop_limits limits = {.operation_count = (uint32_t)operation_count};
	int rc;

	*p = (struct publisher){
		.config = *config,
		.prng = {.state = config->seed},
		.lane = &config->definitions->lanes[definition_source_of_publisher(c, config->publisher_idx)],
	};
	definitions_attach_metrics(config->definitions,
				   definition_source_of_publisher(c, config->publisher_idx),
				   &p->lane_metrics);
	rc = timers_open(&p->timers, target_count + 1);
	if (rc < 0)
		return rc;
	p->targets = memory_alloc((uint64_t)target_count + 1, sizeof(p->targets[0]));
	if (!p->targets) {
		rc = -ENOMEM;
		goto fail;
	}
	rc = gather_open(&p->gather, (uint32_t)min_u64(config->gather_count, target_count));
	if (rc < 0)
		goto fail;
	memory_count(MEMORY_LOOPS, loop_memory_bytes(&limits));
	if (!config->only_count)
		rc = loop_open(&p->loop, &limits);
	if (rc < 0)
		goto fail;
	for (uint32_t i = 0; i < c->target_count; i++) {
		if (c->targets[i].publisher_idx != config->publisher_idx)
			continue;
		rc = target_open(&p->targets[p->target_count], p, i, p->target_count);
		if (rc < 0)
			goto fail;
		p->target_count++;
	}
	p->stop_timer.owner_idx = UINT32_MAX;
	return 0;
fail:
	publisher_close(p);
	return rc;
}

void publisher_close(struct publisher *p)
{
	if (p->loop)
		loop_close(p->loop); /* first: the kernel lets go of records and buffers */
	for (uint32_t i = 0; i < p->target_count; i++)
		target_close(&p->targets[i]);
	gather_close(&p->gather);
	memory_free(p->targets);
	timers_close(&p->timers);
	p->loop = NULL;
	p->targets = NULL;
	p->target_count = 0;
}

struct target *publisher_target(struct publisher *p, uint32_t slot)
{
	ASSERT(slot < p->target_count);
	return &p->targets[slot];
}

void publisher_notify(struct publisher *p, uint32_t slot)
{
	/* The bit before the bell: whoever answers the bell finds it (P1, pairs with the exchange in step_dirty). */
	atomic_fetch_or_explicit(&p->dirty[slot / 64], 1ull << slot % 64, memory_order_release);
	if (doorbell_ring(&p->bell))
		loop_wake(p->loop);
}

static void step_dirty(struct publisher *p)
{
	for (uint32_t word = 0; word * 64 < p->target_count; word++) {
		uint64_t bits = atomic_load_explicit(&p->dirty[word], memory_order_relaxed);

		if (bits)
			bits = atomic_exchange_explicit(&p->dirty[word], 0, memory_order_acquire); /* P1 */
		for (; bits; bits &= bits - 1)
			target_step(&p->targets[word * 64 + (uint32_t)__builtin_ctzll(bits)]);
	}
}

static void stop_begin(struct publisher *p)
{
	p->stop_begun = true;
	timer_set(&p->timers, &p->stop_timer, mono_add(turn_now(&p->turn), p->config.drain_ns));
	for (uint32_t i = 0; i < p->target_count; i++)
		target_leave(&p->targets[i]);
}

static bool all_left(const struct publisher *p)
{
	for (uint32_t i = 0; i < p->target_count; i++)
		if (!p->targets[i].left)
			return false;
	return true;
}

/* What came by subscription goes its way: to the definitions of its tags, and to other targets. */
static void lane_step(struct publisher *p)
{
	struct mono now = turn_now(&p->turn);

	if (!p->lane_started) {
		p->lane_started = true;
		definition_start(p->lane, now);
	}
	definition_flush(p->lane, turn_wall(&p->turn), now);
	definition_tick(p->lane, turn_wall(&p->turn), now);
	for (uint32_t i = 0; i < p->lane->touched_count; i++) {
		uint32_t target_idx = p->lane->touched[i];

		publisher_notify(p->config.publisher_of_target[target_idx],
				 p->config.slot_of_target[target_idx]);
	}
	definition_touched_clear(p->lane);
}

void publisher_step(struct publisher *p)
{
	struct timer *timer;

	if (doorbell_answer(&p->bell))
		pace_arrived(&p->pace, turn_now(&p->turn));
	if (!p->stop_begun && atomic_load_explicit(&p->stopping, memory_order_acquire))
		stop_begin(p);
	lane_step(p);
	step_dirty(p);
	/* A target that is due again at once comes in the next turn. */
	for (uint32_t i = 0; i <= p->target_count && (timer = timers_expire(&p->timers, turn_now(&p->turn)));
	     i++) {
		if (timer == &p->stop_timer)
			atomic_store_explicit(&p->stopped, true, memory_order_release);
		else
			target_step(&p->targets[timer->owner_idx]);
	}
	if (p->lane->touched_count || p->lane->dirty_count)
		lane_step(p); /* what targets have held back until now */
	if (p->stop_begun && all_left(p))
		atomic_store_explicit(&p->stopped, true,
				      memory_order_release); /* pairs with publisher_stopped */
	counter_add(&p->metrics.steps, 1);
}

/* Waits awake for a while, where that is wanted or costs no more than to sleep; and how long to sleep then. */
static struct mono busy_wait(struct publisher *p, struct mono deadline)
{
	uint64_t window_ns = p->config.cfg->publishers[p->config.publisher_idx].busy_poll_ns;
	struct mono now, until;

	if (window_ns == 0 && !pace_is_fast(&p->pace))
		return deadline;
	now = clock_mono();
	if (!pace_is_awake(&p->pace, window_ns, now, &until))
		return mono_min(deadline, until);
	until = mono_min(deadline, until);
	if (!mono_reached(now, until))
		loop_spin(p->loop, &p->bell.state, DOORBELL_QUIET, until);
	return (struct mono){0}; /* only look; the next turn waits on */
}

int publisher_wait(struct publisher *p)
{
	struct mono deadline = mono_min(timers_next(&p->timers), definition_deadline(p->lane));
	int rc;

	deadline = busy_wait(p, deadline);
	if (deadline.ns > 0 && !doorbell_sleep(&p->bell))
		deadline = (struct mono){0}; /* somebody rang: only look */
	turn_over(&p->turn);
	rc = loop_run(p->loop, deadline);
	return rc < 0 ? rc : 0;
}

void publisher_stop(struct publisher *p)
{
	atomic_store_explicit(&p->stopping, true, memory_order_release);
	loop_wake(p->loop);
}

bool publisher_stopped(const struct publisher *p)
{
	return atomic_load_explicit(&p->stopped, memory_order_acquire);
}
