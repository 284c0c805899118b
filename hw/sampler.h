/* hw/sampler.h - a thread that samples: its lines, their deadlines, and the definitions of their tags.
 *
 * Purpose:  wakes at absolute deadlines or when something came in, lets each due line take a step, publishes what the
 *           definitions ask for, and rings the publishers it has news for.
 * Owner:    made before the threads start; its lines, timers and loop belong to its thread.
 * Threads:  sampler_step and sampler_wait by the thread itself (or the simulator); sampler_stop by any.
 * Memory:   all of it in sampler_open.
 * Errors:   a line that fails is the line's business: it is counted, logged once a transition and opened again.
 */
#ifndef HW_SAMPLER_H
#define HW_SAMPLER_H

#include "core/definition.h"
#include "core/histogram.h"
#include "core/prng.h"
#include "core/trace.h"
#include "core/turn.h"
#include "io/loop.h"
#include "io/publisher.h"

struct line;

struct sampler_config {
	const struct cfg *cfg;
	uint32_t sampler_idx;
	struct definitions *definitions;
	struct publisher *const *publisher_of_target; /* by target index */
	const uint32_t *slot_of_target;               /* its number within that publisher */
	uint64_t seed;                                /* for back-off jitter and the synthetic source */
	struct trace_switch *trace;                   /* of the flight recorders */
	bool only_count;                              /* as in struct publisher_config */
};

struct sampler {
	struct sampler_config config;
	struct loop *loop;
	struct turn turn;
	struct timers timers; /* of its lines */
	struct line *lines;
	uint32_t line_count;
	struct definition_lane *lane;
	struct prng prng;
	struct histogram lateness; /* how late deadlines were met */
	struct sampler_metrics metrics;
	struct mono told_at; /* when the percentiles were last put into the metrics */
	_Atomic bool stopping;
	bool started;
};

NODISCARD int sampler_open(struct sampler *s, const struct sampler_config *config);
void sampler_close(struct sampler *s);

/* What is due and what has come in. Bounded by the lines that are due, and by one batch a line. */
void sampler_step(struct sampler *s);
/* Waits for the next deadline or event, and runs completions. -errno: the loop cannot wait any more. */
NODISCARD int sampler_wait(struct sampler *s);

/* Any thread: sampler_stopping() becomes true. */
void sampler_stop(struct sampler *s);
static inline bool sampler_stopping(const struct sampler *s)
{
	return atomic_load_explicit(&s->stopping, memory_order_acquire);
}

#endif
