/* core/clock.h - the two times there are, as two types that the compiler keeps apart.
 *
 * Purpose:  struct mono orders and measures (CLOCK_MONOTONIC); struct wall is printed (CLOCK_REALTIME).
 *           With io/loop.h this is the whole outside world: the product links clock_os.o, the simulator
 *           a clock of its own, so nothing else may ask the system for the time.
 * Threads:  any. A step function reads the clock once and hands the value on.
 * Units:    nanoseconds. mono 0 means "never"/"not set" where a header says so; MONO_NEVER is the far end.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include "core/base.h"

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

struct mono {
	uint64_t ns;
};

struct wall {
	int64_t ns; /* since 1970-01-01T00:00:00Z */
};

#define MONO_NEVER ((struct mono){.ns = UINT64_MAX})

/* What the system's clocks say now. */
struct mono clock_mono(void);
struct wall clock_wall(void);

static inline bool mono_reached(struct mono now, struct mono deadline)
{
	return now.ns >= deadline.ns;
}

/* Saturates at MONO_NEVER. */
static inline struct mono mono_add(struct mono t, uint64_t ns)
{
	return (struct mono){.ns = ns > UINT64_MAX - t.ns ? UINT64_MAX : t.ns + ns};
}

static inline struct mono mono_min(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

/* a - b, 0 where b is later. */
static inline uint64_t mono_since(struct mono a, struct mono b)
{
	return a.ns > b.ns ? a.ns - b.ns : 0;
}

#endif
