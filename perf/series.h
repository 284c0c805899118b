/* perf/series.h - what several runs of the same thing gave: median, least, most.
 *
 * Purpose:  a noisy machine has one honest number a series, its median, and one honest remark, the spread.
 * Owner:    the caller's struct. Threads: none shared. Memory: fixed; limits: SERIES_MAX values.
 * Units:    whatever is added.
 */
#ifndef PERF_SERIES_H
#define PERF_SERIES_H

#include "core/base.h"

#define SERIES_MAX 99

struct series {
	double values[SERIES_MAX]; /* ascending */
	uint32_t count;
};

void series_add(struct series *s, double value);
/* 0 where nothing was added. */
double series_median(const struct series *s);
double series_min(const struct series *s);
double series_max(const struct series *s);

#endif
