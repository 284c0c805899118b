/* perf/relay.h - the plain-send limit of what comes from another thread.
 *
 * Purpose:  a thread copies whole packets into a buffer, another sends them from there: what a publisher of this machine costs
 *           at least whose messages were written by another core. No ring that overwrites, no headers, nothing held.
 * Owner:    the caller, who fills `same` (plain_fill_same) before relay_start. Threads: two of its own, pinned.
 * Memory:   the struct and a buffer. Errors: a connection that fails ends the program.
 */
#ifndef PERF_RELAY_H
#define PERF_RELAY_H

#include "perf/plain.h"

#define RELAY_BYTES \
	(512u << 10) /* some 4096 packets of 100 bytes, as many as the ring of the other ways has */

struct relay {
	struct plain same; /* its bytes are what is copied */
	uint8_t *buffer;
	int32_t source_cpu, cpu;
	pthread_t source, sender;
	CACHELINE_ALIGNED _Atomic uint64_t head; /* bytes written since the start */
	CACHELINE_ALIGNED _Atomic uint64_t tail; /* bytes sent */
};

void relay_start(struct relay *r, uint16_t port, int32_t source_cpu, int32_t cpu);
void relay_stop(struct relay *r);

#endif
