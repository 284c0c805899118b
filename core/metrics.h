/* core/metrics.h - what is counted, in one table that is the documentation too.
 *
 * Purpose:  each object kind has a struct of counters; metric_rows names every one of them, so that `metrics`, `status`
 *           and a monitoring system show the same names and nothing is counted that nobody can read.
 * Owner:    each struct has one writer thread. Threads: readers any; a value is whole but may be a moment old.
 * Units:    in the row; names say them too (_total counts up, everything else is a level).
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include "core/base.h"

/* Single writer: a plain load, add, store; no locked instruction. */
struct counter {
	_Atomic uint64_t value;
};

static inline void counter_add(struct counter *c, uint64_t n)
{
	atomic_store_explicit(&c->value, atomic_load_explicit(&c->value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void counter_set(struct counter *c, uint64_t value)
{
	atomic_store_explicit(&c->value, value, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

/* Written by the target's publisher. */
struct target_metrics {
	struct counter sent_messages, sent_bytes, acknowledged_messages, resent_messages;
	struct counter received_messages, received_bytes;
	struct counter duplicates;       /* copies of a message, for another filter that it matches */
	struct counter unmatched;        /* messages that no definition asks for */
	struct counter oversized;        /* from the server, larger than max_packet */
	struct counter held;             /* that wait for the subscriptions */
	struct counter refused_messages; /* the server's limits do not admit them, or it said no */
	/* Of the ledger (core/loss.h): found when the target is connected again, or has caught up. */
	struct counter lost_overwritten, lost_expired, lost_refused, lost_oversized, lost_no_room,
		lost_thinned;
	struct counter connects, connect_failures, disconnects, redirects;
	struct counter sends; /* system calls' worth: sent_messages / sends is the batch */
	struct counter inflight;
};

/* Written by the ring's sides; a snapshot of struct ring_counts, and of what tools/file_watch.h says. */
struct ring_metrics {
	struct counter made, taken, overwritten, expired, dropped, buffered, buffered_bytes;
	struct counter limit_messages, limit_bytes, limit_age_ns; /* in force; 0 bytes, 0 ns: none */
	struct counter in_file, file_trouble, session_trouble;
};

/* Written by the line's sampler. */
struct line_metrics {
	struct counter requests, responses, timeouts, exceptions, crc_errors, protocol_errors, late, missed,
		resyncs, resets;
	struct counter bytes_sent, bytes_received;
	struct counter connects, connect_failures;
	struct counter suspended_devices;
	struct counter values; /* tag updates */
	struct counter connected;
};

/* Written by the sampler itself. */
struct sampler_metrics {
	struct counter steps, values, messages;
	struct counter missed_cycles; /* periodic definitions that came more than a cycle late */
	struct counter lateness_p50_ns, lateness_p99_ns, lateness_max_ns;
	struct counter allocated_bytes; /* by this thread since it was ready; 0 or something is wrong */
};

struct publisher_metrics {
	struct counter steps;
	struct counter allocated_bytes;
};

enum metric_object { METRIC_TARGET, METRIC_RING, METRIC_LINE, METRIC_SAMPLER, METRIC_PUBLISHER };
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric_row {
	const char *name;
	enum metric_object object;
	enum metric_kind kind;
	const char *unit;
	const char *help;
	size_t offset; /* of its struct counter */
};

extern const struct metric_row metric_rows[];
extern const size_t metric_row_count;

/* The value of a row in its object's struct. */
static inline uint64_t metric_read(const struct metric_row *row, const void *metrics)
{
	return counter_get((const struct counter *)(const void *)((const char *)metrics + row->offset));
}

#endif
