/* perf/sink.h - a server that counts: as little of an MQTT broker as a publisher needs to run at full speed.
 *
 * Purpose:  takes PUBLISH packets of either version and counts them; answers CONNECT, PINGREQ and the acknowledgements of
 *           QoS 1 and 2, all of one receive in one send. It looks at a packet's first bytes only, so that a benchmark
 *           measures who sends and not who counts.
 * Owner:    whoever opened it. Threads: its own, pinned; sink_counts by any (a count is whole, but up to one receive old).
 * Memory:   two buffers, in sink_open; a few bytes a connection, and what it has of an unfinished packet.
 * Errors:   negative errno from sink_open. A connection that sends what is no MQTT is closed, the others are served.
 */
#ifndef PERF_SINK_H
#define PERF_SINK_H

#include <pthread.h>

#include "core/base.h"

struct sink_connection;

struct sink {
	int listen_fd, epoll_fd;
	struct sink_connection *connections;
	uint16_t port; /* on 127.0.0.1 */
	int32_t cpu;
	uint16_t topic_alias_max; /* offered to MQTT 5 clients */
	pthread_t thread;
	_Atomic bool stopping;
	uint8_t *input, *acks;
	size_t input_bytes, acks_bytes; /* in use, of the connection that is being served */
	CACHELINE_ALIGNED _Atomic uint64_t messages;
	_Atomic uint64_t bytes;    /* of PUBLISH packets */
	_Atomic uint64_t receives; /* system calls */
};

struct sink_counts {
	uint64_t messages, bytes, receives;
	uint64_t cpu_ns; /* of its thread */
};

/* Listens on a free port of the loopback interface and starts the thread; cpu -1: not pinned. */
NODISCARD int sink_open(struct sink *s, int32_t cpu, uint16_t topic_alias_max);
void sink_close(struct sink *s);

struct sink_counts sink_counts(const struct sink *s);

#endif
