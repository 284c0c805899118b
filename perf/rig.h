/* perf/rig.h - a node to be measured: from a configuration to connected targets, and back.
 *
 * Purpose:  what all benchmarks of the whole node need. With RIG_OWN_SOURCE no sampler thread runs: the benchmark's own thread
 *           takes the place of sampler 0 (its lane in rings and definitions), so that it decides what is made, and when.
 * Owner:    the caller, one thread. Threads: those of tools/node.c. Memory: the node's.
 * Errors:   a benchmark that cannot begin has no result: it says why and ends the program with status 1.
 */
#ifndef PERF_RIG_H
#define PERF_RIG_H

#include "perf/thread.h"
#include "tools/node.h"

enum rig_source { RIG_SAMPLERS, RIG_OWN_SOURCE };

struct rig {
	struct cfg *cfg;
	struct node node;
	uint32_t sampler_count; /* open, whether their threads run or not */
};

/* printf into out; a text that does not fit ends the program. Returns where the next goes. */
size_t rig_text(char *out, size_t size_bytes, size_t used_bytes, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

void rig_open(struct rig *r, const char *config, enum rig_source source);
void rig_close(struct rig *r);
/* Every target is connected, or the program ends after 10 s. */
void rig_wait_connected(const struct rig *r);

/* CPU time of all publisher threads, of all sampler threads that run. */
uint64_t rig_publishers_cpu_ns(const struct rig *r);
uint64_t rig_samplers_cpu_ns(const struct rig *r);
/* By data threads since they were ready: must be 0. */
uint64_t rig_allocated_bytes(const struct rig *r);

void rig_pause_s(double seconds);
NORETURN void rig_fail(const char *what, int error);

#endif
