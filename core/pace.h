/* core/pace.h - when to expect the next of something that comes again and again, for a thread that would rather wait awake.
 *
 * Purpose:  who sleeps is late by the time that a wake-up takes. A thread that may burn some of its CPU stays awake for a
 *           window after each arrival, and from a window before to a window after the moment at which the next one would
 *           come if it came as the last two did: so what is regular is met awake, and the rest of the time is slept.
 * Owner:    the waiting thread. Threads: its own. Memory: the caller's struct, all zero at first.
 * Units:    nanoseconds. Errors: none: a wrong guess costs a wake-up, as without it.
 */
#ifndef CORE_PACE_H
#define CORE_PACE_H

#include "core/clock.h"

struct pace {
	struct mono last; /* arrival; 0: none yet */
	uint64_t gap_ns;  /* between the last two; 0: unknown */
};

static inline void pace_arrived(struct pace *p, struct mono now)
{
	p->gap_ns = p->last.ns ? mono_since(now, p->last) : 0;
	p->last = now;
}

/* True: stay awake until *until. False: sleep, and look again at *until (MONO_NEVER: nothing is expected). */
NODISCARD static inline bool pace_is_awake(const struct pace *p, uint64_t window_ns, struct mono now,
					   struct mono *until)
{
	struct mono expected;

	*until = MONO_NEVER;
	if (p->last.ns == 0)
		return false;
	*until = mono_add(p->last, window_ns);
	if (!mono_reached(now, *until))
		return true;
	expected = mono_add(p->last, p->gap_ns);
	if (p->gap_ns == 0 || mono_reached(now, mono_add(expected, window_ns))) {
		*until = MONO_NEVER;
		return false;
	}
	if (mono_since(expected, now) > window_ns) {
		*until = (struct mono){.ns = expected.ns - window_ns};
		return false;
	}
	*until = mono_add(expected, window_ns);
	return true;
}

#endif
