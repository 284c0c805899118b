/* tools/node.h - a configuration as running parts: tags, definitions, rings, publishers, samplers, threads.
 *
 * Purpose:  builds everything that node_open can fail at before a thread starts, then runs it. The simulator opens the same
 *           node and steps its parts itself.
 * Owner:    the control thread. Threads: node_open, node_start, node_stop, node_close by the owner; the parts inside are
 *           read as their headers say.
 * Memory:   all of it in node_open; how much is told by tools/node_memory.h.
 * Errors:   negative errno; *why says what could not be had (a static text).
 */
#ifndef TOOLS_NODE_H
#define TOOLS_NODE_H

#include <pthread.h>

#include "core/config.h"
#include "core/definition.h"
#include "core/forecast.h"
#include "hw/sampler.h"
#include "io/publisher.h"
#include "io/target.h"
#include "tools/node_sync.h"

struct node;

#define NODE_CONTROL_OPERATIONS 256u /* of the control thread's loop */

/* A data thread: pinned, with its priority, its log ring and its proof of not allocating. */
struct node_thread {
	struct node *node;
	pthread_t thread;
	bool running;
	uint32_t idx;
	_Atomic bool ready;
	_Atomic bool failed; /* its loop could not wait any more: the daemon ends */
};

/* Of a target: messages a second. */
struct node_rates {
	struct rate made, sent;
};

struct node {
	const struct cfg *cfg;
	struct tag_table tags;
	struct definitions *definitions;
	struct ring **rings;          /* by target */
	struct publisher *publishers; /* by publisher */
	struct sampler *samplers;     /* by sampler */
	struct publisher **publisher_of_target;
	uint32_t *slot_of_target;
	struct node_thread *publisher_threads, *sampler_threads;
	struct node_sync *sync;                  /* NULL: no target has a file */
	uint32_t publisher_count, sampler_count; /* that are open */
	bool *target_on, *package_on;            /* control thread: switches, by target and by package */
	struct node_rates *rates;                /* control thread: by target */
	struct mono rates_due;
	struct trace_switch trace;
	struct wall started;
	bool only_count;
};

/* The configuration is borrowed; base_dir is where relative secrets start, state_dir where sessions are kept (NULL: they end
 * with the process). */
NODISCARD int node_open(struct node *n, const struct cfg *c, const char *base_dir, const char *state_dir,
			uint64_t seed, const char **why);
/* The same without rings, files, sockets and kernel: what is left says how much memory it takes (core/memory.h). To be closed. */
NODISCARD int node_open_to_count(struct node *n, const struct cfg *c);
/* Starts the threads and waits until each is ready. Afterwards data threads allocate nothing. */
NODISCARD int node_start(struct node *n, const char **why);
/* Samplers first; then publishers send what there is and say good-bye. Returns when all threads have ended. */
void node_stop(struct node *n);
void node_close(struct node *n);

enum node_switch { NODE_OFF, NODE_ON };

/* A target is to be connected while its own switch and its package's are both on. At start they are as the configuration
 * has them, and at the next start again: nothing is written. Control thread; the publishers do the rest. */
void node_switch_target(struct node *n, uint32_t target_idx, enum node_switch to);
void node_switch_package(struct node *n, uint32_t package_idx, enum node_switch to);

/* Control thread, as often as it likes: once a second the rates of all targets are looked at. */
void node_tick(struct node *n, struct mono now);

/* Has it something in a file, which a thread looks after? */
static inline bool node_keeps_files(const struct cfg_target *t)
{
	return t->buffer_path || !t->clean_start;
}

/* Did a thread end that should not have? */
bool node_failed(const struct node *n);

static inline struct target *node_target(const struct node *n, uint32_t target_idx)
{
	return publisher_target(n->publisher_of_target[target_idx], n->slot_of_target[target_idx]);
}

#endif
