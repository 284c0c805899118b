#include "core/pace.h"

#include <stdlib.h>

/* The gains of the least squares line through the arrivals so far, until they are those of 14: alpha 0.26, beta 0.03. */
#define ARRIVALS_MAX 14

/* The thread runs, woken by its alarm or by something else. */
static void alarm_over(struct pace *p, struct mono now)
{
	if (p->alarm.ns > 0 && mono_reached(now, p->alarm)) {
		p->late_ns = min_u64(PACE_LATE_NS_MAX,
				     max_u64(mono_since(now, p->alarm), p->late_ns - p->late_ns / 8));
		p->is_up = true;
	}
	p->alarm.ns = 0;
}

void pace_arrived(struct pace *p, struct mono now)
{
	int64_t error_ns = (int64_t)(now.ns - p->expected.ns);

	alarm_over(p, now);
	if (p->last.ns == 0 || mono_reached(p->last, now)) {
		p->gap_ns = 0;
	} else if (p->gap_ns == 0 || (uint64_t)llabs(error_ns) > p->gap_ns / 4) {
		/* Not what was expected: the next one may come as the last two did. */
		p->gap_ns = mono_since(now, p->last);
		p->expected = mono_add(now, p->gap_ns);
		p->arrival_count = 2;
	} else {
		int64_t n = p->arrival_count = (uint32_t)min_u64(p->arrival_count + 1, ARRIVALS_MAX);

		p->gap_ns += (uint64_t)(error_ns * 6 / (n * (n + 1)));
		p->expected.ns += p->gap_ns + (uint64_t)(error_ns * 2 * (2 * n - 1) / (n * (n + 1)));
	}
	p->is_up = false;
	p->last = now;
}

bool pace_is_awake(struct pace *p, uint64_t window_ns, struct mono now, struct mono *until)
{
	struct mono alarm;

	alarm_over(p, now);
	*until = MONO_NEVER;
	if (p->last.ns == 0)
		return false;
	*until = mono_add(p->last, pace_is_fast(p) ? max_u64(window_ns, PACE_WAKE_UP_NS) : window_ns);
	if (!mono_reached(now, *until))
		return true;
	*until = mono_add(p->expected, window_ns);
	if (window_ns == 0 || p->gap_ns == 0 || mono_reached(now, *until)) {
		*until = MONO_NEVER;
		return false;
	}
	alarm.ns = mono_since(p->expected, (struct mono){.ns = window_ns + p->late_ns});
	if (p->is_up || mono_reached(now, alarm))
		return true;
	*until = p->alarm = alarm;
	return false;
}
