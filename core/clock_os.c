#include "core/clock.h"

#include <time.h>

#include "core/assert.h"

static struct timespec now_of(clockid_t id)
{
	struct timespec ts;
	int rc = clock_gettime(id, &ts);

	ASSERT(rc == 0); /* fails only for a clock that does not exist */
	return ts;
}

struct mono clock_mono(void)
{
	struct timespec ts = now_of(CLOCK_MONOTONIC);

	return (struct mono){.ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec};
}

struct wall clock_wall(void)
{
	struct timespec ts = now_of(CLOCK_REALTIME);

	return (struct wall){.ns = (int64_t)ts.tv_sec * (int64_t)NS_PER_S + ts.tv_nsec};
}
