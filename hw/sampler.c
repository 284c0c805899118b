#include "hw/sampler.h"

#include <errno.h>

#include "core/memory.h"
#include "core/probe.h"
#include "hw/line.h"

#define LOOP_SPARE_OPERATIONS 64
#define OPERATIONS_A_LINE     4 /* connect, receive, send, lookup */

static uint32_t lines_of(const struct cfg *c, uint32_t sampler_idx)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->line_count; i++)
		count += c->lines[i].sampler_idx == sampler_idx;
	return count;
}

int sampler_open(struct sampler *s, const struct sampler_config *config)
{
	const struct cfg *c = config->cfg;
	uint32_t line_count = lines_of(c, config->sampler_idx);
	uint64_t operation_count = min_u64(LOOP_OPERATIONS_MAX,
					   LOOP_SPARE_OPERATIONS + line_count * OPERATIONS_A_LINE);
	const struct loop_limits limits = {.operation_count = (uint32_t)operation_count};
	int rc;

	*s = (struct sampler){
		.config = *config,
		.lane = &config->definitions->lanes[config->sampler_idx],
		.prng = {.state = config->seed},
	};
	rc = timers_open(&s->timers, line_count);
	if (rc < 0)
		return rc;
	s->lines = memory_alloc((uint64_t)line_count + 1, sizeof(s->lines[0]));
	if (!s->lines) {
		rc = -ENOMEM;
		goto fail;
	}
	memory_count(MEMORY_LOOPS, loop_memory_bytes(&limits));
	if (!config->only_count)
		rc = loop_open(&s->loop, &limits);
	if (rc < 0)
		goto fail;
	for (uint32_t i = 0; i < c->line_count; i++) {
		if (c->lines[i].sampler_idx != config->sampler_idx)
			continue;
		rc = line_open(&s->lines[s->line_count], s, i);
		if (rc < 0)
			goto fail;
		s->line_count++;
	}
	definitions_attach_metrics(config->definitions, config->sampler_idx, &s->metrics);
	return 0;
fail:
	sampler_close(s);
	return rc;
}

void sampler_close(struct sampler *s)
{
	if (s->loop)
		loop_close(s->loop); /* first: the kernel lets go of the lines' buffers */
	for (uint32_t i = 0; i < s->line_count; i++)
		line_close(&s->lines[i]);
	memory_free(s->lines);
	timers_close(&s->timers);
	s->loop = NULL;
	s->lines = NULL;
	s->line_count = 0;
}

/* Lines begin one after another, so that they do not all connect in the same microsecond. */
static void start(struct sampler *s, struct mono now)
{
	s->started = true;
	definition_start(s->lane, now);
	for (uint32_t i = 0; i < s->line_count; i++)
		timer_set(&s->timers, &s->lines[i].timer, mono_add(now, (uint64_t)i * (10 * NS_PER_US)));
}

static void ring_publishers(struct sampler *s)
{
	for (uint32_t i = 0; i < s->lane->touched_count; i++) {
		uint32_t target_idx = s->lane->touched[i];

		publisher_notify(s->config.publisher_of_target[target_idx],
				 s->config.slot_of_target[target_idx]);
	}
	definition_touched_clear(s->lane);
}

/* Percentiles cost a walk over the buckets: once a second is often enough for a person. */
static void tell_lateness(struct sampler *s, struct mono now)
{
	if (mono_since(now, s->told_at) < NS_PER_S)
		return;
	s->told_at = now;
	counter_set(&s->metrics.lateness_p50_ns, histogram_permille(&s->lateness, 500));
	counter_set(&s->metrics.lateness_p99_ns, histogram_permille(&s->lateness, 990));
	counter_set(&s->metrics.lateness_max_ns, counter_get(&s->lateness.max));
}

void sampler_step(struct sampler *s)
{
	struct mono now = turn_now(&s->turn);
	struct timer *timer;

	if (!s->started)
		start(s, now);
	/* A line that is due again at once (it has more than a step's work) comes in the next turn. */
	for (uint32_t i = 0; i < s->line_count && (timer = timers_expire(&s->timers, now)); i++) {
		struct line *l = &s->lines[timer->owner_idx];
		uint64_t late_ns = mono_since(now, timer->deadline);

		/* Set in this very turn, by something that came in: no deadline that could have been missed. */
		if (late_ns > 0) {
			PROBE2(sample__due, l->name, late_ns);
			histogram_add(&s->lateness, late_ns);
			histogram_add(&l->lateness, late_ns);
		}
		line_step(l);
	}
	definition_flush(s->lane, turn_wall(&s->turn), now);
	definition_tick(s->lane, turn_wall(&s->turn), now);
	ring_publishers(s);
	tell_lateness(s, now);
	counter_add(&s->metrics.steps, 1);
}

int sampler_wait(struct sampler *s)
{
	struct mono deadline = mono_min(timers_next(&s->timers), definition_deadline(s->lane));
	int rc;

	turn_over(&s->turn);
	rc = loop_run(s->loop, deadline);
	return rc < 0 ? rc : 0;
}

void sampler_stop(struct sampler *s)
{
	atomic_store_explicit(&s->stopping, true, memory_order_release); /* pairs with sampler_stopping */
	loop_wake(s->loop);
}
