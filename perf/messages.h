/* perf/messages.h - what each message of a latency run went through, by its number.
 *
 * Purpose:  the payload is the number alone, in decimal digits; the times are here. So a message carries nothing that the
 *           product would not carry, and one that is missing, twice, or out of order is seen.
 * Owner:    the caller. Threads: due and made by the source, wire and arrived by the receiver, all read when both have ended.
 * Memory:   one shared mapping, present: the receiver may be another process.
 * Units:    nanoseconds of the monotonic clock, 0: has not happened. Errors: no memory ends the program.
 */
#ifndef PERF_MESSAGES_H
#define PERF_MESSAGES_H

#include "core/base.h"
#include "core/clock.h"

struct message_times {
	uint64_t due_ns;  /* precomputed: when it has to be made, whatever has happened to those before */
	uint64_t made_ns; /* before the value is handed to the sampler's code */
	uint64_t committed_ns; /* it is in the ring; the publisher is told next */
	uint64_t wire_ns;      /* the kernel put the receive's last bytes into the receiver's socket */
	uint64_t arrived_ns;   /* the receiver has them */
};

struct messages {
	struct message_times *times;
	uint64_t count;
	uint64_t mapped_bytes;
	_Atomic uint64_t *seen;    /* in the mapping, as the next two */
	_Atomic uint64_t *strange; /* twice, out of order, or no number of ours */
	_Atomic uint64_t *subscribed;
};

void messages_open(struct messages *m, uint64_t count_max);
void messages_close(struct messages *m);
/* Forgets the last run; count messages, one each interval_ns, from `first` on. */
void messages_plan(struct messages *m, uint64_t count, struct mono first, double interval_ns);

/* The receiver: reads an MQTT 3.1.1 connection until it ends. For a server (the kernel's client is the product) it answers
 * CONNECT; for a subscriber it has sent CONNECT itself and has got CONNACK. QoS 0 only. */
void messages_receive(struct messages *m, int fd);
/* Connects to a broker at 127.0.0.1, subscribes to everything, reads until the connection ends. */
void messages_subscribe(struct messages *m, uint16_t port);

enum messages_span {
	SPAN_DUE_WIRE,
	SPAN_DUE_ARRIVED,
	SPAN_DUE_MADE,
	SPAN_MADE_COMMITTED,
	SPAN_COMMITTED_WIRE,
	SPAN_COMMITTED_ARRIVED,
	SPAN_COUNT
};

#define MESSAGES_QUANTILES 6
extern const double messages_quantiles[MESSAGES_QUANTILES]; /* 0.5 .. 0.9999, 1: the largest */
/* Of all that arrived: out[i] in microseconds, negative where there were too few messages to tell. scratch: count of them. */
void messages_quantiles_of(const struct messages *m, enum messages_span span, uint64_t *scratch,
			   double out[MESSAGES_QUANTILES]);

#endif
