#include "core/timers.h"

#include <errno.h>

#include "core/assert.h"
#include "core/memory.h"

int timers_open(struct timers *t, uint32_t timer_count)
{
	*t = (struct timers){.room = timer_count};
	t->heap = memory_alloc((uint64_t)timer_count + 1, sizeof(t->heap[0]));
	return t->heap ? 0 : -ENOMEM;
}

void timers_close(struct timers *t)
{
	memory_free(t->heap);
	*t = (struct timers){0};
}

static void place(struct timers *t, struct timer *timer, uint32_t at)
{
	t->heap[at] = timer;
	timer->heap_idx = at;
}

/* The timer belongs at `at` or nearer to the root. */
static uint32_t rise(struct timers *t, struct timer *timer, uint32_t at)
{
	for (; at > 1 && t->heap[at / 2]->deadline.ns > timer->deadline.ns; at /= 2)
		place(t, t->heap[at / 2], at);
	return at;
}

static uint32_t sink(struct timers *t, struct timer *timer, uint32_t at)
{
	for (;;) {
		uint32_t child = at * 2;

		if (child > t->count)
			return at;
		if (child < t->count && t->heap[child + 1]->deadline.ns < t->heap[child]->deadline.ns)
			child++;
		if (t->heap[child]->deadline.ns >= timer->deadline.ns)
			return at;
		place(t, t->heap[child], at);
		at = child;
	}
}

static void timer_clear(struct timers *t, struct timer *timer)
{
	uint32_t at = timer->heap_idx;
	struct timer *last = t->heap[t->count--];

	ASSERT(t->count + 1 >= at);
	timer->heap_idx = 0;
	if (last != timer)
		place(t, last, sink(t, last, rise(t, last, at)));
}

void timer_set(struct timers *t, struct timer *timer, struct mono deadline)
{
	uint32_t at = timer->heap_idx;

	if (at && timer->deadline.ns == deadline.ns)
		return;
	if (deadline.ns == MONO_NEVER.ns) {
		if (at)
			timer_clear(t, timer);
		return;
	}
	timer->deadline = deadline;
	if (!at) {
		ASSERT(t->count < t->room);
		at = ++t->count;
	}
	place(t, timer, sink(t, timer, rise(t, timer, at)));
}

struct timer *timers_expire(struct timers *t, struct mono now)
{
	struct timer *first = t->count ? t->heap[1] : NULL;

	if (!first || !mono_reached(now, first->deadline))
		return NULL;
	timer_clear(t, first);
	return first;
}
