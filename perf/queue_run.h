/* perf/queue_run.h - one measured run of one queue: who runs where, what is counted, and whether all of it is true.
 *
 * Purpose:  drives a queue of perf/queue.h in one of three profiles and verifies it: each message whole, once, in its
 *           producer's order, and at the end made = taken + lost with nothing left in the queue.
 * Owner:    the caller's figures. Threads: starts and joins its own; the caller sleeps meanwhile.
 * Units:    nanoseconds a message, million messages a second, percent.
 * Errors:   -EBADMSG with figures->wrong: the queue broke a promise, and the figures say nothing.
 */
#ifndef PERF_QUEUE_RUN_H
#define PERF_QUEUE_RUN_H

#include "perf/queue.h"

enum queue_profile {
	PROFILE_ALONE, /* one thread, CPU 0: a batch in, the batch out: no other core, no contention */
	PROFILE_PACED, /* threads; a producer waits while half of its share of the queue is full: nothing is lost */
	PROFILE_FLOOD, /* threads; no producer ever waits for the consumer */
	QUEUE_PROFILES
};

struct queue_run {
	enum queue_kind kind;
	enum queue_profile profile;
	uint32_t producer_count;
	uint64_t duration_ns;
	const char *folder; /* ring in a file */
};

struct queue_figures {
	double producer_ns;       /* CPU time, without what it slept or spent on going to sleep */
	double producer_wall_ns;  /* with everything: sleeping, and others on its CPU */
	double consumer_ns;       /* CPU time as above */
	double taken_per_us;      /* million messages a second */
	double lost_percent;      /* overwritten or refused */
	uint64_t allocated_bytes; /* by producers and consumer while they were measured */
	char wrong[160];
};

const char *queue_profile_name(enum queue_profile profile);
/* The consumer has the last CPU; producers go round all, from 0: with too few CPUs they share, and one shares the consumer's. */
uint32_t queue_consumer_cpu(void);
uint32_t queue_producer_cpu(uint32_t producer_idx);

NODISCARD int queue_run(const struct queue_run *run, struct queue_figures *out);

/* Moves so many messages in the profile `alone`, and measures nothing: for counting instructions. */
NODISCARD int queue_run_count(const struct queue_run *run, uint64_t message_count, struct queue_figures *out);

#endif
