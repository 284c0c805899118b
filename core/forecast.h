/* core/forecast.h - how fast a counter rises, and what that says of a buffer.
 *
 * Purpose:  the rate of the last minute, the newest seconds weighing most; how long a buffer with its limits holds at
 *           that rate, and when it will be full: when the first limit is reached, of messages or bytes, unless what is in it
 *           expires before.
 * Owner:    the caller. Threads: one. Memory: the caller's structs, all zero at first.
 * Units:    a second; times in nanoseconds. Errors: none: what cannot be said is negative.
 */
#ifndef CORE_FORECAST_H
#define CORE_FORECAST_H

#include "core/clock.h"

/* An average that is weighted by e^(-age / a minute), and fair from the first sample on. */
struct rate {
	double sum, weight;
	uint64_t last_count;
	struct mono last;
};

/* The counter as it is now; called every second or so. The first call only begins. */
void rate_sample(struct rate *r, uint64_t count, struct mono now);
/* A second; 0 before the second sample. */
double rate_get(const struct rate *r);

struct forecast_input {
	double made_rate;     /* a second */
	double message_bytes; /* of payload, in the middle; 0: not known */
	uint64_t message_count, buffered_count;
	uint64_t byte_count, buffered_bytes; /* 0: no limit */
	uint64_t max_age_ns;                 /* 0: none */
};

/* Would one more push another out? */
bool forecast_is_full(const struct forecast_input *in);
/* What is taken of the limit that is nearest, of messages or bytes: 0 .. 1. */
double forecast_fill(const struct forecast_input *in);

/* Seconds of messages that the buffer holds at this rate; negative: nothing is made, so there is no end to it. */
double forecast_holds_s(const struct forecast_input *in);
/* Seconds until it is full while nothing is sent; 0: it is; negative: never, what is in it expires before. */
double forecast_full_s(const struct forecast_input *in);

#endif
