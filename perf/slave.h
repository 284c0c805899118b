/* perf/slave.h - a Modbus TCP server that counts: as little of a device as a master needs to run at full speed.
 *
 * Purpose:  answers reads of registers (functions 3 and 4) on any number of connections, all of one receive in one send, and
 *           counts them; anything else is exception 1. So a benchmark measures who asks and not who answers.
 * Owner:    whoever opened it, before it has threads: the slave is a process forked from the caller. Threads: slave_reads any.
 * Memory:   a page shared with the process. Units: reads.
 * Errors:   what cannot be opened ends the program. The process ends with its parent.
 */
#ifndef PERF_SLAVE_H
#define PERF_SLAVE_H

#include <sys/types.h>

#include "core/base.h"

struct slave_counts {
	_Atomic uint64_t reads;
	_Atomic uint64_t strange; /* answered with an exception */
};

struct slave {
	uint16_t port;
	pid_t pid;
	struct slave_counts *counts;
};

/* On a free port of the loopback interface; cpu -1: not pinned. */
void slave_open(struct slave *s, int32_t cpu);
void slave_close(struct slave *s);

uint64_t slave_reads(const struct slave *s);
/* Must be 0: nobody asks for anything else. */
uint64_t slave_strange(const struct slave *s);
uint64_t slave_cpu_ns(const struct slave *s);

#endif
