#include "perf/series.h"

#include "core/assert.h"

void series_add(struct series *s, double value)
{
	uint32_t at = s->count;

	ASSERT(s->count < SERIES_MAX);
	for (; at > 0 && s->values[at - 1] > value; at--)
		s->values[at] = s->values[at - 1];
	s->values[at] = value;
	s->count++;
}

double series_median(const struct series *s)
{
	if (s->count == 0)
		return 0;
	return (s->values[(s->count - 1) / 2] + s->values[s->count / 2]) / 2;
}

double series_min(const struct series *s)
{
	return s->count ? s->values[0] : 0;
}

double series_max(const struct series *s)
{
	return s->count ? s->values[s->count - 1] : 0;
}
