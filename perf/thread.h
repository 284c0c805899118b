/* perf/thread.h - where a benchmark's threads run and what they have used.
 *
 * Purpose:  pins the calling thread; reads the CPU time of any.
 * Threads:  thread_cpu_ns of a thread that has not been joined yet.
 * Units:    nanoseconds of CPU time, user and system together. Errors: a CPU that is not ours leaves the thread unpinned.
 */
#ifndef PERF_THREAD_H
#define PERF_THREAD_H

#include <pthread.h>

#include "core/base.h"

/* -1: anywhere. False: not permitted. */
bool thread_pin(int32_t cpu);
uint64_t thread_cpu_ns(pthread_t thread);

#endif
