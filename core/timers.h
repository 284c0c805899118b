/* core/timers.h - the deadlines of one thread, the next one first.
 *
 * Purpose:  a binary heap of timers that live in their owners' structs. Setting, moving and clearing cost O(log n);
 *           nothing is allocated after timers_open.
 * Owner:    one thread. Memory: one pointer a timer, room for timer_count.
 * Units:    absolute monotonic times; MONO_NEVER is "not set".
 */
#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

#include "core/base.h"
#include "core/clock.h"

struct timer {
	struct mono deadline;
	uint32_t heap_idx;  /* 1-based; 0: not set */
	uint32_t owner_idx; /* the owner's name for itself */
};

struct timers {
	struct timer **heap; /* 1-based */
	uint32_t count;
	uint32_t room;
};

NODISCARD int timers_open(struct timers *t, uint32_t timer_count);
void timers_close(struct timers *t);

/* Sets, moves or (MONO_NEVER) clears. */
void timer_set(struct timers *t, struct timer *timer, struct mono deadline);

/* The next deadline, or MONO_NEVER. */
static inline struct mono timers_next(const struct timers *t)
{
	return t->count ? t->heap[1]->deadline : MONO_NEVER;
}

/* The timer that is due, cleared; NULL where none is. */
NODISCARD struct timer *timers_expire(struct timers *t, struct mono now);

#endif
