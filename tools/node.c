#include "tools/node.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/assert.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/thread_memory.h"
#include "hw/line.h"
#include "tools/node_memory.h"

#define DRAIN_NS (4 * NS_PER_S)

/* --- building ------------------------------------------------------------------------------------------------------- */

static int arrays_open(struct node *n)
{
	const struct cfg *c = n->cfg;

	n->rings = memory_alloc((uint64_t)c->target_count + 1, sizeof(n->rings[0]));
	n->publishers = memory_alloc((uint64_t)c->publisher_count + 1, sizeof(n->publishers[0]));
	n->samplers = memory_alloc((uint64_t)c->sampler_count + 1, sizeof(n->samplers[0]));
	n->publisher_of_target = memory_alloc((uint64_t)c->target_count + 1,
					      sizeof(n->publisher_of_target[0]));
	n->slot_of_target = memory_alloc((uint64_t)c->target_count + 1, sizeof(n->slot_of_target[0]));
	n->publisher_threads = memory_alloc((uint64_t)c->publisher_count + 1,
					    sizeof(n->publisher_threads[0]));
	n->sampler_threads = memory_alloc((uint64_t)c->sampler_count + 1, sizeof(n->sampler_threads[0]));
	n->target_on = memory_alloc((uint64_t)c->target_count + 1, sizeof(n->target_on[0]));
	n->rates = memory_alloc((uint64_t)c->target_count + 1, sizeof(n->rates[0]));
	n->package_on = memory_alloc((uint64_t)c->package_count + 1, sizeof(n->package_on[0]));
	return n->rings && n->publishers && n->samplers && n->publisher_of_target && n->slot_of_target &&
			       n->publisher_threads && n->sampler_threads && n->target_on && n->package_on &&
			       n->rates
		       ? 0
		       : -ENOMEM;
}

/* As target_open has them. */
static void switches_open(struct node *n)
{
	const struct cfg *c = n->cfg;

	for (uint32_t i = 0; i < c->target_count; i++)
		n->target_on[i] = c->targets[i].enabled;
	for (uint32_t i = 0; i < c->package_count; i++)
		n->package_on[i] = c->packages[i].enabled;
}

static int rings_open(struct node *n, const char **why)
{
	for (uint32_t i = 0; i < n->cfg->target_count; i++) {
		struct ring_limits limits = target_ring_limits(n->cfg, i, n->definitions);
		int rc;

		if (n->cfg->targets[i]
			    .buffer_path) /* the target opens it, when it knows what its session has */
			continue;
		memory_count(MEMORY_RINGS, ring_size_bytes(&limits));
		if (n->only_count)
			continue;
		rc = ring_open(&n->rings[i], &limits);
		if (rc < 0) {
			*why = "a target's buffer does not fit into memory: lower its buffer.messages";
			return rc;
		}
		definitions_attach_ring(n->definitions, i, n->rings[i]);
	}
	return 0;
}

static int publishers_open(struct node *n, const char *base_dir, const char *state_dir, struct prng *prng,
			   const char **why)
{
	for (uint32_t i = 0; i < n->cfg->publisher_count; i++) {
		const struct publisher_config config = {
			.cfg = n->cfg,
			.publisher_idx = i,
			.definitions = n->definitions,
			.base_dir = base_dir,
			.state_dir = state_dir,
			.publisher_of_target = n->publisher_of_target,
			.slot_of_target = n->slot_of_target,
			.seed = prng_next(prng),
			.gather_count = GATHER_BLOCKS_MAX,
			.drain_ns = DRAIN_NS,
			.trace = &n->trace,
			.only_count = n->only_count,
		};
		int rc = publisher_open(&n->publishers[i], &config);

		if (rc < 0) {
			*why = rc == -EBUSY
				       ? "a target's session or ring file is in use: is another ringmaind "
					 "running with this --state-dir, or have two targets one file?"
				       : loop_open_hint(rc);
			return rc;
		}
		n->publisher_count++;
		for (uint32_t slot = 0; slot < n->publishers[i].target_count; slot++) {
			uint32_t target_idx = publisher_target(&n->publishers[i], slot)->cfg_idx;

			n->publisher_of_target[target_idx] = &n->publishers[i];
			n->slot_of_target[target_idx] = slot;
			n->rings[target_idx] = n->definitions->ports[target_idx].ring;
		}
	}
	return 0;
}

static int samplers_open(struct node *n, struct prng *prng, const char **why)
{
	for (uint32_t i = 0; i < n->cfg->sampler_count; i++) {
		const struct sampler_config config = {
			.cfg = n->cfg,
			.sampler_idx = i,
			.definitions = n->definitions,
			.publisher_of_target = n->publisher_of_target,
			.slot_of_target = n->slot_of_target,
			.seed = prng_next(prng),
			.trace = &n->trace,
			.only_count = n->only_count,
		};
		int rc = sampler_open(&n->samplers[i], &config);

		if (rc < 0) {
			*why = loop_open_hint(rc);
			return rc;
		}
		n->sampler_count++;
	}
	return 0;
}

static int sync_open(struct node *n)
{
	uint32_t count = n->cfg->target_count;
	struct node_sync_ring *rings = calloc((size_t)count + 1, sizeof(rings[0]));
	int rc;

	if (!rings)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		rings[i] = (struct node_sync_ring){
			.file = &node_target(n, i)->ring_file,
			.name = cfg_text(n->cfg, n->cfg->targets[i].name),
			.sync = n->cfg->targets[i].buffer_sync,
			.interval_ns = n->cfg->targets[i].buffer_sync_interval_ns,
			.session = &node_target(n, i)->session_file,
			.do_sync = node_sync_disk,
			.do_look = file_look,
			.do_end = node_sync_end,
			.only_count = n->only_count && node_keeps_files(&n->cfg->targets[i]),
		};
	rc = node_sync_open(&n->sync, rings, count);
	free(rings);
	return rc;
}

static int parts_open(struct node *n, const char *base_dir, const char *state_dir, uint64_t seed,
		      const char **why)
{
	const struct cfg *c = n->cfg;
	struct prng prng = {.state = seed};
	int rc;

	*why = "not enough memory";
	trace_switch_init(&n->trace, c->trace_freezes, c->trace_after_ns);
	memory_counts_clear();
	memory_part_begin(MEMORY_NODE);
	rc = arrays_open(n);
	memory_part_begin(MEMORY_TAGS);
	if (rc == 0)
		rc = tag_table_open(&n->tags, c);
	memory_part_begin(MEMORY_DEFINITIONS);
	if (rc == 0)
		rc = definitions_open(&n->definitions, c, &n->tags);
	if (rc == 0)
		rc = rings_open(n, why);
	memory_part_begin(MEMORY_TARGETS);
	if (rc == 0)
		rc = publishers_open(n, base_dir, state_dir, &prng, why);
	memory_part_begin(MEMORY_LINES);
	if (rc == 0)
		rc = samplers_open(n, &prng, why);
	memory_part_begin(MEMORY_NODE);
	if (rc == 0)
		rc = sync_open(n);
	if (rc == 0)
		switches_open(n);
	else
		node_close(n);
	return rc;
}

int node_open(struct node *n, const struct cfg *c, const char *base_dir, const char *state_dir, uint64_t seed,
	      const char **why)
{
	*n = (struct node){.cfg = c, .started = clock_wall()};
	return parts_open(n, base_dir, state_dir, seed, why);
}

int node_open_to_count(struct node *n, const struct cfg *c)
{
	const char *why;

	*n = (struct node){.cfg = c, .only_count = true};
	return parts_open(n, "", "", 0, &why);
}

void node_close(struct node *n)
{
	node_sync_close(n->sync);
	for (uint32_t i = 0; i < n->sampler_count; i++)
		sampler_close(&n->samplers[i]);
	for (uint32_t i = 0; i < n->publisher_count; i++)
		publisher_close(&n->publishers[i]);
	definitions_close(n->definitions);
	for (uint32_t i = 0; n->rings && i < n->cfg->target_count; i++)
		if (n->rings[i] && !n->cfg->targets[i].buffer_path)
			ring_close(n->rings[i]);
	tag_table_close(&n->tags);
	memory_free(n->rings);
	memory_free(n->publishers);
	memory_free(n->samplers);
	memory_free(n->publisher_of_target);
	memory_free(n->slot_of_target);
	memory_free(n->publisher_threads);
	memory_free(n->sampler_threads);
	memory_free(n->target_on);
	memory_free(n->package_on);
	memory_free(n->rates);
	*n = (struct node){0};
}

/* --- switches ------------------------------------------------------------------------------------------------------- */

/* Publishers are told of changes only. */
static void target_switched(struct node *n, uint32_t target_idx)
{
	struct target *t = node_target(n, target_idx);
	bool wanted = n->target_on[target_idx] && n->package_on[n->cfg->targets[target_idx].package_idx];

	if (wanted != target_wanted(t))
		target_want(t, wanted);
}

void node_switch_target(struct node *n, uint32_t target_idx, enum node_switch to)
{
	ASSERT(target_idx < n->cfg->target_count);
	n->target_on[target_idx] = to == NODE_ON;
	target_switched(n, target_idx);
}

void node_switch_package(struct node *n, uint32_t package_idx, enum node_switch to)
{
	ASSERT(package_idx < n->cfg->package_count);
	n->package_on[package_idx] = to == NODE_ON;
	for (uint32_t i = 0; i < n->cfg->target_count; i++)
		target_switched(n, i); /* nothing new for those of other packages */
}

/* --- rates ---------------------------------------------------------------------------------------------------------- */

void node_tick(struct node *n, struct mono now)
{
	if (!mono_reached(now, n->rates_due))
		return;
	n->rates_due = mono_add(now, NS_PER_S);
	for (uint32_t i = 0; i < n->cfg->target_count; i++) {
		rate_sample(&n->rates[i].made, ring_counts(n->rings[i]).made, now);
		rate_sample(&n->rates[i].sent, counter_get(&node_target(n, i)->metrics.sent_messages), now);
	}
}

/* --- threads -------------------------------------------------------------------------------------------------------- */

/* Pins and prioritises the calling thread. What is not permitted is said and done without. */
static void thread_settle(const char *name, int32_t cpu, uint8_t priority)
{
	char short_name[16];

	snprintf(short_name, sizeof(short_name), "%s", name);
	prctl(PR_SET_NAME, short_name);
	node_stack_populate();
	prctl(PR_SET_TIMERSLACK, 1ul); /* 50 us of slack would be most of a 1 kHz period's lateness */
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((size_t)cpu, &set);
		int rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);

		if (rc != 0)
			LOG_WARN("thread",
				 "name=%s cpu=%d pinned=0 reason=\"%s: is there such a cpu, and may we use "
				 "it?\"",
				 name, cpu, strerror(rc));
	}
	if (priority > 0) {
		const struct sched_param param = {.sched_priority = priority};
		int rc = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);

		if (rc != 0)
			LOG_WARN("thread",
				 "name=%s priority=%u realtime=0 reason=\"%s: grant CAP_SYS_NICE or "
				 "LimitRTPRIO=; "
				 "sampling goes on with the ordinary scheduler\"",
				 name, priority, strerror(rc));
	}
}

static void *publisher_main(void *arg)
{
	struct node_thread *t = arg;
	struct publisher *p = &t->node->publishers[t->idx];
	const struct cfg_publisher *c = &t->node->cfg->publishers[t->idx];
	const char *name = cfg_text(t->node->cfg, c->name);
	uint64_t allocated_before;

	if (log_thread_open(name) < 0)
		LOG_WARN("thread", "name=%s log_ring=0 reason=\"no memory\"", name);
	thread_settle(name, c->cpu, 0);
	allocated_before = thread_allocated_bytes();
	atomic_store_explicit(&t->ready, true, memory_order_release);
	while (!publisher_stopped(p)) {
		publisher_step(p);
		counter_set(&p->metrics.allocated_bytes, thread_allocated_bytes() - allocated_before);
		if (!publisher_stopped(p) && publisher_wait(p) < 0) {
			atomic_store_explicit(&t->failed, true, memory_order_release);
			break;
		}
	}
	loop_quiet(p->loop);
	log_thread_close();
	return NULL;
}

static void *sampler_main(void *arg)
{
	struct node_thread *t = arg;
	struct sampler *s = &t->node->samplers[t->idx];
	const struct cfg_sampler *c = &t->node->cfg->samplers[t->idx];
	const char *name = cfg_text(t->node->cfg, c->name);
	uint64_t allocated_before;

	if (log_thread_open(name) < 0)
		LOG_WARN("thread", "name=%s log_ring=0 reason=\"no memory\"", name);
	thread_settle(name, c->cpu, c->priority);
	allocated_before = thread_allocated_bytes();
	atomic_store_explicit(&t->ready, true, memory_order_release);
	while (!sampler_stopping(s)) {
		sampler_step(s);
		counter_set(&s->metrics.allocated_bytes, thread_allocated_bytes() - allocated_before);
		if (sampler_wait(s) < 0) {
			atomic_store_explicit(&t->failed, true, memory_order_release);
			break;
		}
	}
	loop_quiet(s->loop);
	log_thread_close();
	return NULL;
}

static int thread_start(struct node *n, struct node_thread *t, uint32_t idx, void *(*main)(void *))
{
	pthread_attr_t attr;
	int rc;

	t->node = n;
	t->idx = idx;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, NODE_STACK_BYTES);
	rc = pthread_create(&t->thread, &attr, main, t);
	pthread_attr_destroy(&attr);
	t->running = rc == 0;
	return -rc;
}

static void wait_ready(const struct node_thread *t)
{
	const struct timespec pause = {.tv_nsec = 200000};

	while (!atomic_load_explicit(&t->ready, memory_order_acquire))
		nanosleep(&pause, NULL);
}

int node_start(struct node *n, const char **why)
{
	int rc = 0;

	*why = "cannot start a thread";
	for (uint32_t i = 0; rc == 0 && i < n->publisher_count; i++)
		rc = thread_start(n, &n->publisher_threads[i], i, publisher_main);
	for (uint32_t i = 0; rc == 0 && i < n->sampler_count; i++)
		rc = thread_start(n, &n->sampler_threads[i], i, sampler_main);
	if (rc == 0)
		rc = node_sync_start(n->sync);
	if (rc < 0) {
		node_stop(n);
		return rc;
	}
	for (uint32_t i = 0; i < n->publisher_count; i++)
		wait_ready(&n->publisher_threads[i]);
	for (uint32_t i = 0; i < n->sampler_count; i++)
		wait_ready(&n->sampler_threads[i]);
	return 0;
}

static void join(struct node_thread *t)
{
	if (t->running)
		pthread_join(t->thread, NULL);
	t->running = false;
}

void node_stop(struct node *n)
{
	for (uint32_t i = 0; i < n->sampler_count; i++)
		sampler_stop(&n->samplers[i]);
	for (uint32_t i = 0; i < n->sampler_count; i++)
		join(&n->sampler_threads[i]);
	for (uint32_t i = 0; i < n->publisher_count; i++)
		publisher_stop(&n->publishers[i]);
	for (uint32_t i = 0; i < n->publisher_count; i++)
		join(&n->publisher_threads[i]);
	node_sync_stop(n->sync);
}

bool node_failed(const struct node *n)
{
	for (uint32_t i = 0; i < n->publisher_count; i++)
		if (atomic_load_explicit(&n->publisher_threads[i].failed, memory_order_acquire))
			return true;
	for (uint32_t i = 0; i < n->sampler_count; i++)
		if (atomic_load_explicit(&n->sampler_threads[i].failed, memory_order_acquire))
			return true;
	return false;
}
