/* core/turn.h - one time for one turn of a thread.
 *
 * Purpose:  a thread waits, then runs what has completed and what is due. All of that happens "now": the clocks are read
 *           at most once a turn, by whoever asks first after the wait, and everyone else gets the same answer.
 * Owner:    the thread. Units: core/clock.h.
 */
#ifndef CORE_TURN_H
#define CORE_TURN_H

#include "core/clock.h"

struct turn {
	struct mono mono;
	struct wall wall;
	bool read;
};

/* Before the thread waits: what it knew is old. */
static inline void turn_over(struct turn *t)
{
	t->read = false;
}

static inline void turn_read(struct turn *t)
{
	if (t->read)
		return;
	t->mono = clock_mono();
	t->wall = clock_wall();
	t->read = true;
}

static inline struct mono turn_now(struct turn *t)
{
	turn_read(t);
	return t->mono;
}

static inline struct wall turn_wall(struct turn *t)
{
	turn_read(t);
	return t->wall;
}

#endif
