/* perf/plain_many.h - the plain-send limit of many connections: messages that are due each millisecond, one a connection.
 *
 * Purpose:  what a program cannot do without that samples on one thread and sends on another: a timer, a wake-up of the other
 *           thread, a send a connection; nothing is sampled, kept or encoded.
 * Owner:    the caller. Threads: two of its own, not pinned. Memory: a descriptor a connection.
 * Units:    nanoseconds of CPU. Errors: a connection that fails ends the program.
 */
#ifndef PERF_PLAIN_MANY_H
#define PERF_PLAIN_MANY_H

#include "core/base.h"

/* Sends rate_per_s messages of so many bytes of payload, the connections in turn, for so long; the CPU time of both threads. */
uint64_t plain_many_run(uint16_t port, uint32_t connection_count, uint32_t rate_per_s, const char *topic,
			uint32_t payload_bytes, double seconds);

#endif
