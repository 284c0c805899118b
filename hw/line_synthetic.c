/* The synthetic source: values at a set rate, for load tests and benchmarks. */
#include <math.h>

#include "hw/line.h"

#define TURN_NS NS_PER_MS /* how often it makes up for the time that has passed */
#define BURST_MAX \
	1024u /* updates a step: the bound of its work, and how far the publisher may be behind the bell */
#define BEHIND_MAX_NS (50 * NS_PER_MS)

static uint64_t rate_of(const struct line *l)
{
	return l->sampler->config.cfg->lines[l->cfg_idx].synthetic_rate_per_s;
}

void line_synthetic_open(struct line *l)
{
	const struct cfg *c = l->sampler->config.cfg;

	for (uint32_t i = 0; i < c->device_count; i++) {
		if (c->devices[i].line_idx != l->cfg_idx)
			continue;
		l->synthetic.tag_first = c->devices[i].tag_first;
		l->synthetic.tag_count = c->devices[i].tag_count;
	}
	l->state = LINE_UP;
	line_tell(l, "");
}

/* Updates that should have been made by now. */
static uint64_t due_count(const struct line *l, struct mono now)
{
	return (uint64_t)((unsigned __int128)mono_since(now, l->synthetic.start) * rate_of(l) / NS_PER_S);
}

void line_synthetic_step(struct line *l)
{
	struct line_synthetic *syn = &l->synthetic;
	struct mono now = turn_now(&l->sampler->turn);
	struct wall wall = turn_wall(&l->sampler->turn);

	if (syn->tag_count == 0)
		return;
	if (syn->start.ns == 0)
		syn->start = now;
	uint64_t due = due_count(l, now);
	uint64_t behind_max = (uint64_t)((unsigned __int128)rate_of(l) * BEHIND_MAX_NS / NS_PER_S) + 1;

	if (due - syn->made >
	    behind_max) { /* what cannot be kept up with is skipped and counted, never queued */
		counter_add(&l->metrics.missed, due - syn->made - behind_max);
		syn->made = due - behind_max;
	}
	uint32_t count = (uint32_t)min_u64(due - syn->made, BURST_MAX);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t n = syn->made + i;
		/* A counter in thousandths: every update is a change, and every value can be told from the others. */
		double value = (double)(n % 1000000000) / 1000;

		definition_update(l->sampler->lane, syn->tag_first + syn->next_tag, value_of_float64(value),
				  wall, now);
		syn->next_tag = syn->next_tag + 1 < syn->tag_count ? syn->next_tag + 1 : 0;
	}
	syn->made += count;
	counter_add(&l->metrics.values, count);
	timer_set(&l->sampler->timers, &l->timer,
		  syn->made < due ? now : mono_add(now, max_u64(TURN_NS, NS_PER_S / rate_of(l))));
}
