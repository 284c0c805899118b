/* io/publisher.h - the thread that sends: its targets, their deadlines, one loop.
 *
 * Purpose:  takes what samplers have committed, target by target, in batches, and keeps each connection alive.
 * Owner:    made before the threads start; its targets, timers and loop belong to its thread.
 * Threads:  publisher_step and publisher_wait by the thread itself (or the simulator); publisher_notify by samplers;
 *           publisher_stop and publisher_stopped by any.
 * Memory:   all of it in publisher_open.
 * Errors:   none leave here but a loop that cannot wait; a target's troubles are its own.
 */
#ifndef IO_PUBLISHER_H
#define IO_PUBLISHER_H

#include "core/config.h"
#include "core/definition.h"
#include "core/doorbell.h"
#include "core/metrics.h"
#include "core/prng.h"
#include "core/timers.h"
#include "core/trace.h"
#include "core/turn.h"
#include "core/pace.h"
#include "io/gather.h"
#include "io/loop.h"

struct target;

#define PUBLISHER_DIRTY_WORDS (CFG_TARGETS_MAX / 64)

struct publisher_config {
	const struct cfg *cfg;
	uint32_t publisher_idx;
	struct definitions *definitions;        /* channels and rings; rings are attached already */
	const char *base_dir;                   /* where file: secrets start */
	const char *state_dir;                  /* where sessions are kept; NULL: nowhere */
	struct publisher **publisher_of_target; /* for what is passed on; complete before the threads start */
	const uint32_t *slot_of_target;
	uint64_t seed;              /* for back-off jitter */
	uint32_t gather_count;      /* blocks for small packets; at most one a target */
	uint64_t drain_ns;          /* at a stop: how long the rest may take to go out */
	struct trace_switch *trace; /* of the flight recorders */
	bool only_count; /* nothing of the outside world is touched: opened to count its memory, then closed */
};

struct publisher {
	struct publisher_config config;
	struct loop *loop;
	struct turn turn;
	struct timers timers; /* one a target, and one for the stop */
	struct target *targets;
	struct gather gather;
	uint32_t target_count;
	struct prng prng;
	struct publisher_metrics metrics;
	struct definition_lane *lane; /* for values that come by subscription, and for what is passed on */
	bool lane_started;
	struct sampler_metrics lane_metrics;
	struct doorbell bell;
	struct pace pace;                                                /* of the bell */
	CACHELINE_ALIGNED _Atomic uint64_t dirty[PUBLISHER_DIRTY_WORDS]; /* by slot: has new messages */
	_Atomic bool stopping;                                           /* asked to */
	_Atomic bool stopped; /* every target has said good-bye, or its time is up */
	bool stop_begun;
	struct timer stop_timer;
};

NODISCARD int publisher_open(struct publisher *p, const struct publisher_config *config);
void publisher_close(struct publisher *p);

/* Its target with this number; slots follow the order of the configuration. */
struct target *publisher_target(struct publisher *p, uint32_t slot);

/* Sampler: the target has new messages. One exchange, and a system call only where the publisher sleeps. */
void publisher_notify(struct publisher *p, uint32_t slot);

/* One bounded step for every target that has news or is due. */
void publisher_step(struct publisher *p);
NODISCARD int publisher_wait(struct publisher *p);

/* Any thread: what is buffered goes out within drain_ns, every target disconnects, then publisher_stopped() is true. */
void publisher_stop(struct publisher *p);
bool publisher_stopped(const struct publisher *p);

#endif
