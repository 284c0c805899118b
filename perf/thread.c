#include "perf/thread.h"

#include <sched.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"

bool thread_pin(int32_t cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return true;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

uint64_t thread_cpu_ns(pthread_t thread)
{
	struct timespec ts;
	clockid_t clock;
	int rc = pthread_getcpuclockid(thread, &clock);

	ASSERT(rc == 0);
	rc = clock_gettime(clock, &ts);
	ASSERT(rc == 0);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}
