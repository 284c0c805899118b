#include "perf/rig.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "tools/node_memory.h"

#define CONNECT_MAX_MS 10000

void rig_fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
	exit(1);
}

void rig_pause_s(double seconds)
{
	struct timespec ts = {.tv_sec = (time_t)seconds,
			      .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	while (nanosleep(&ts, &ts) < 0)
		;
}

size_t rig_text(char *out, size_t size_bytes, size_t used_bytes, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out + used_bytes, size_bytes - used_bytes, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= size_bytes - used_bytes)
		rig_fail("the configuration is too long", EMSGSIZE);
	return used_bytes + (size_t)n;
}

static struct cfg *parsed(const char *config)
{
	struct cfg_errors errors = {0};
	struct cfg *c;

	if (config_parse("bench.yaml", bytes_of(config, strlen(config)), &c, &errors) == 0)
		return c;
	for (uint32_t i = 0; i < errors.count; i++)
		fprintf(stderr, "%s\n", errors.lines[i]);
	exit(1);
}

void rig_open(struct rig *r, const char *config, enum rig_source source)
{
	const char *why;
	int rc;

	log_set_level(LOG_LEVEL_WARN);
	*r = (struct rig){.cfg = parsed(config)};
	rc = node_open(&r->node, r->cfg, ".", NULL, 1, &why);
	if (rc < 0)
		rig_fail(why, -rc);
	node_populate(&r->node); /* as the daemon does: page faults are no part of the way */
	r->sampler_count = r->node.sampler_count;
	if (source == RIG_OWN_SOURCE)
		r->node.sampler_count = 0; /* no thread for them */
	rc = node_start(&r->node, &why);
	if (rc < 0)
		rig_fail(why, -rc);
}

void rig_close(struct rig *r)
{
	node_stop(&r->node);
	r->node.sampler_count = r->sampler_count;
	node_close(&r->node);
	config_free(r->cfg);
}

void rig_wait_connected(const struct rig *r)
{
	uint32_t connected = 0;

	for (uint32_t ms = 0; ms < CONNECT_MAX_MS; ms++) {
		while (connected < r->cfg->target_count &&
		       target_state(node_target(&r->node, connected)) == TARGET_CONNECTED)
			connected++;
		if (connected == r->cfg->target_count)
			return;
		rig_pause_s(0.001);
	}
	rig_fail("the node did not reach its servers", ETIMEDOUT);
}

uint64_t rig_publishers_cpu_ns(const struct rig *r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->node.publisher_count; i++)
		sum += thread_cpu_ns(r->node.publisher_threads[i].thread);
	return sum;
}

uint64_t rig_samplers_cpu_ns(const struct rig *r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->node.sampler_count; i++)
		sum += thread_cpu_ns(r->node.sampler_threads[i].thread);
	return sum;
}

uint64_t rig_allocated_bytes(const struct rig *r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->node.publisher_count; i++)
		sum += counter_get(&r->node.publishers[i].metrics.allocated_bytes);
	for (uint32_t i = 0; i < r->node.sampler_count; i++)
		sum += counter_get(&r->node.samplers[i].metrics.allocated_bytes);
	return sum;
}
