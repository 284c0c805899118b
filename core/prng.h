/* core/prng.h - repeatable randomness for jitter, tests and the simulator; not for secrets.
 *
 * Purpose:  splitmix64 (Steele, Lea, Flood 2014): one word of state, any seed is good.
 * Owner:    the caller's struct, one thread.
 */
#ifndef CORE_PRNG_H
#define CORE_PRNG_H

#include "core/assert.h"
#include "core/base.h"

struct prng {
	uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
	uint64_t z = p->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Uniform in 0 .. bound - 1 (bound > 0); the bias of the multiplication is below 2^-32. */
static inline uint32_t prng_below(struct prng *p, uint32_t bound)
{
	ASSERT(bound > 0);
	return (uint32_t)((prng_next(p) >> 32) * bound >> 32);
}

#endif
