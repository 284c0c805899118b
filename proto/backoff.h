/* proto/backoff.h - how long to wait before the next attempt.
 *
 * Purpose:  exponential, with jitter, so that a thousand gateways do not all come back in the same millisecond; back to
 *           the base after a time of success.
 * Owner:    the caller's struct, one thread. Units: nanoseconds. Errors: none.
 * Source:   "equal jitter": half the step is certain, half is random.
 */
#ifndef PROTO_BACKOFF_H
#define PROTO_BACKOFF_H

#include "core/clock.h"
#include "core/prng.h"

struct backoff {
	uint64_t base_ns, cap_ns, stable_ns;
	uint64_t step_ns;  /* 0: at the base */
	struct mono since; /* of the present success; 0: none */
};

/* The wait before the next attempt: in step/2 .. step, and the step doubles up to the cap. */
static inline uint64_t backoff_next(struct backoff *b, struct prng *prng)
{
	uint64_t step = max_u64(1000000, b->step_ns ? b->step_ns : b->base_ns);

	step = min_u64(step, max_u64(1000000, b->cap_ns));
	b->step_ns = min_u64(step * 2, b->cap_ns);
	return step / 2 + (uint64_t)((unsigned __int128)prng_next(prng) * (step / 2 + 1) >> 64);
}

/* A peer that will hardly change its mind: straight to the cap. */
static inline void backoff_slow_down(struct backoff *b)
{
	b->step_ns = b->cap_ns;
}

static inline void backoff_succeeded(struct backoff *b, struct mono now)
{
	b->since = now;
}

/* Success is over; a long one forgives what was before. */
static inline void backoff_failed(struct backoff *b, struct mono now)
{
	if (b->since.ns && mono_since(now, b->since) >= b->stable_ns)
		b->step_ns = 0;
	b->since = (struct mono){0};
}

#endif
