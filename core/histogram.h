/* core/histogram.h - how late, how long: counts in buckets that grow with the value.
 *
 * Purpose:  eight buckets for each power of two, so a percentile is right within 12.5 %, in 4 KiB, at the cost of one add.
 * Owner:    one thread writes. Threads: readers any (each bucket is whole).
 * Units:    whatever the caller adds; nanoseconds here.
 * Source:   the bucket scheme is that of HDR histograms (G. Tene).
 */
#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include "core/metrics.h"

#define HISTOGRAM_SUB_BITS 3
#define HISTOGRAM_BUCKETS  (62u << HISTOGRAM_SUB_BITS)

struct histogram {
	struct counter buckets[HISTOGRAM_BUCKETS];
	struct counter count;
	struct counter max;
};

static inline uint32_t histogram_bucket(uint64_t value)
{
	if (value < 1u << HISTOGRAM_SUB_BITS)
		return (uint32_t)value;
	uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;

	return ((shift + 1) << HISTOGRAM_SUB_BITS) +
	       (uint32_t)(value >> shift & ((1u << HISTOGRAM_SUB_BITS) - 1));
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	counter_add(&h->buckets[histogram_bucket(value)], 1);
	counter_add(&h->count, 1);
	if (value > counter_get(&h->max))
		counter_set(&h->max, value);
}

/* A value that permille of all added ones do not exceed, rounded up to its bucket; 0 where nothing was added. */
static inline uint64_t histogram_permille(const struct histogram *h, uint32_t permille)
{
	uint64_t count = counter_get(&h->count);
	uint64_t wanted = (count * permille + 999) / 1000;
	uint64_t seen = 0;

	for (uint32_t i = 0; count && i < HISTOGRAM_BUCKETS; i++) {
		seen += counter_get(&h->buckets[i]);
		if (seen < wanted)
			continue;
		uint32_t shift = i >> HISTOGRAM_SUB_BITS;
		uint64_t top = shift == 0 ? i
					  : (((uint64_t)(i & ((1u << HISTOGRAM_SUB_BITS) - 1)) +
					      (1u << HISTOGRAM_SUB_BITS) + 1)
					     << (shift - 1)) -
						    1;

		return min_u64(top, counter_get(&h->max));
	}
	return counter_get(&h->max);
}

#endif
