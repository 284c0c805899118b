/* perf/daemon.h - the real ringmaind for a benchmark: started with a configuration, watched from outside, ended.
 *
 * Purpose:  what only the whole program shows: its start, its memory, what it costs at rest. Its log, control socket and
 *           state lie in a folder of its own beside the benchmark's program (or in $TMPDIR), which daemon_stop removes.
 * Owner:    the caller, one at a time. Threads: one. Memory: the struct, which must outlive the daemon.
 * Units:    nanoseconds of CPU, user and system; bytes.
 * Errors:   a daemon that does not start, fails or does not end in an orderly way ends the program: it shows the log's end.
 */
#ifndef PERF_DAEMON_H
#define PERF_DAEMON_H

#include <sys/types.h>

#include "core/base.h"
#include "core/clock.h"

#define DAEMON_THREADS_MAX 64

struct daemon {
	pid_t pid;
	char folder[256], config[288], log[288], control[288];
	struct mono started; /* before the program was executed */
	struct mono ready;   /* its log said so: seen at most 0.2 ms later */
};

struct daemon_thread {
	char name[16];
	pid_t tid;
	uint64_t cpu_ns;
	uint64_t wakes;  /* it slept, and was woken: voluntary context switches */
	uint64_t forced; /* somebody else wanted the CPU */
};

struct daemon_sample {
	struct mono at;
	uint64_t cpu_ns; /* all threads */
	uint64_t resident_bytes;
	uint32_t thread_count;
	struct daemon_thread threads[DAEMON_THREADS_MAX];
};

/* What --check says of the configuration. */
struct daemon_budget {
	uint64_t total_bytes, rings_bytes;
};

/* Writes the configuration, without starting anything; daemon_stop removes it. */
void daemon_prepare(struct daemon *d, const char *config);
struct daemon_budget daemon_check(const struct daemon *d);
/* Until its log says `ready`; cpu -1: any, else all its threads there. */
void daemon_start(struct daemon *d, int32_t cpu);
/* Until every target is connected, or the program ends. */
void daemon_wait_connected(const struct daemon *d, uint32_t timeout_s);
/* Until this metric, over all that have it, is at least that much, or the program ends. */
void daemon_wait_metric(const struct daemon *d, const char *name, uint64_t least, uint32_t timeout_s);
void daemon_stop(struct daemon *d);

void daemon_sample(const struct daemon *d, struct daemon_sample *out);
/* A metric with this name, summed over all that have it. */
uint64_t daemon_metric(const struct daemon *d, const char *name);
/* By all data threads since they were ready: must be 0. */
uint64_t daemon_allocated_bytes(const struct daemon *d);

#endif
