/* core/pace.h - when to expect the next of something that comes again and again, for a thread that would rather wait awake.
 *
 * Purpose:  who sleeps is late by the time that a wake-up takes. A thread that may burn some of its CPU stays awake for a
 *           window after each arrival, and from a window before to a window after the moment at which the next one is
 *           expected: so what is regular is met awake, and the rest of the time is slept. Since its own timer wakes it as late
 *           as anything else would, it asks for that much earlier than the window.
 *           Where the last two came within the time that a wake-up takes anyway, the next one is waited for awake without
 *           being asked for: a sleep would cost both sides more than it saves.
 * Owner:    the waiting thread. Threads: its own. Memory: the caller's struct, all zero at first.
 * Units:    nanoseconds. Errors: none: a wrong guess costs a wake-up, as without it.
 * Source:   alpha-beta filter with growing, then fixed memory (E. Brookner, "Tracking and Kalman Filtering Made Easy", 1998,
 *           chapter 1); to wait awake for as long as a sleep costs is at most twice the best that can be done (A. R. Karlin et al.,
 *           "Empirical studies of competitive spinning for a shared-memory multiprocessor", SOSP 1991).
 */
#ifndef CORE_PACE_H
#define CORE_PACE_H

#include "core/clock.h"

#define PACE_WAKE_UP_NS  (40 * NS_PER_US) /* a sleep and a wake-up, both sides together */
#define PACE_LATE_NS_MAX (500 * NS_PER_US)

struct pace {
	struct mono last;       /* arrival; 0: none yet */
	struct mono expected;   /* the next one, where gap_ns is not 0 */
	uint64_t gap_ns;        /* from one to the next; 0: unknown */
	uint32_t arrival_count; /* that the two above are from */
	struct mono alarm;      /* sleeps until then, to meet the expected one; 0: does not */
	uint64_t late_ns; /* how late it woke from such sleeps: the worst, half of it forgotten in five */
	bool is_up;       /* has slept enough: stays awake for the expected one */
};

void pace_arrived(struct pace *p, struct mono now);

/* Comes as fast as a wake-up: it is worth asking pace_is_awake without a window, too. */
static inline bool pace_is_fast(const struct pace *p)
{
	return p->gap_ns - 1 < PACE_WAKE_UP_NS; /* 0: unknown */
}

/* window_ns 0: only what comes as soon as a wake-up could be over is worth waiting for. True: stay awake until *until. False:
 * sleep, and look again at *until (MONO_NEVER: nothing is expected). */
NODISCARD bool pace_is_awake(struct pace *p, uint64_t window_ns, struct mono now, struct mono *until);

#endif
