/* perf/source.h - a thread that fills rings with messages of one size, as fast as they are sent.
 *
 * Purpose:  for benchmarks of the way from ring to socket: it writes payloads straight into the rings, 64 a target in turn,
 *           and waits while a ring is half full. So nothing is overwritten, and what it costs is apart from what is measured.
 * Owner:    the caller; on a rig with RIG_OWN_SOURCE. Threads: its own, pinned; source_made by any.
 * Memory:   none but its stack. Units: bytes, messages. Errors: no thread ends the program.
 */
#ifndef PERF_SOURCE_H
#define PERF_SOURCE_H

#include "perf/rig.h"

#define SOURCE_TARGETS_MAX 64

struct source {
	struct rig *rig;
	uint32_t payload_bytes;
	uint32_t channel_count; /* of each target: used in turn */
	uint32_t channel_first[SOURCE_TARGETS_MAX];
	int32_t cpu;
	pthread_t thread;
	_Atomic bool stopping;
	CACHELINE_ALIGNED _Atomic uint64_t made;
	_Atomic uint64_t allocated_bytes;
};

/* The first channel_count channels of each target are used. */
void source_start(struct source *s, struct rig *rig, uint32_t payload_bytes, uint32_t channel_count,
		  int32_t cpu);
void source_stop(struct source *s);

/* A configuration for it: so many targets at 127.0.0.1:port, publishers on CPUs from first_cpu downwards, tags t0.. with a
 * topic of 31 bytes each, room for the payload. */
struct source_plan {
	uint32_t payload_bytes, target_count, publisher_count, tag_count, first_cpu;
	uint16_t port;
	uint8_t qos;
	bool alias; /* else protocol 3.1.1 where v5 is false */
	bool v5;
};
size_t source_config(const struct source_plan *plan, char *out, size_t size_bytes);

#endif
