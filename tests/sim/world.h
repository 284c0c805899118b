/* tests/sim/world.h - one node among brokers and devices, all of it drawn from the seed.
 *
 * Purpose:  writes a configuration, opens the node of tools/node.h without its threads, and steps it through chaos, calm,
 *           an outage and a stop, checking at each step what must always hold.
 * Owner:    main. Memory: freed by world_run.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "tests/sim/broker.h"
#include "tests/sim/device.h"
#include "tools/node.h"

#define WORLD_TARGETS_MAX 3
#define WORLD_THREADS_MAX 4

/* One thread of the node, as the world schedules it. */
struct world_thread {
	struct publisher *publisher; /* one of these two */
	struct sampler *sampler;
	struct loop *loop;
	bool frozen, ended;
	uint64_t stalled_until_ns;
	uint64_t second, steps_in_second; /* against live-lock */
};

/* Whose it was at the crash, to be delivered. */
enum world_pledge { WORLD_PLEDGE_NONE, WORLD_PLEDGE_RING, WORLD_PLEDGE_SESSION };

struct world_ring_message {
	uint64_t key; /* as the ledger's */
	uint8_t qos;
	uint8_t pledge; /* enum world_pledge */
	bool weak;      /* its payload comes again */
};

enum world_ring_fate { WORLD_RING_WHOLE, WORLD_RING_DELETED, WORLD_RING_TRUNCATED, WORLD_RING_FLIPPED };

#define WORLD_MARKS_MAX 64

/* A ring in a file, at the last crash. */
struct world_ring {
	bool in_file; /* by the configuration */
	enum world_ring_fate fate;
	bool session_kept;
	struct world_ring_message *messages; /* what was in the file */
	size_t count, room;
	uint64_t least, most;            /* messages to be taken over */
	uint64_t marks[WORLD_MARKS_MAX]; /* of records in flight: where their flags are in the file */
	uint32_t mark_count;
	uint64_t known; /* of these, without their mark now */
	uint64_t unfit; /* too large for the configuration after the crash */
};

struct world_target {
	struct broker broker;
	char names[BROKER_URLS_MAX][24];
	bool single;        /* one on-change definition of all tags of syn0: each update is a message */
	bool strong;        /* every message is known by its payload */
	bool expires;       /* messages with an expiry */
	bool max_age;       /* or of the whole ring */
	bool is_bridged_to; /* another target passes messages on to it */
	bool was_disabled;  /* ever: what was passed on meanwhile is not followed */
	uint32_t buffer_messages;
	struct world_ring ring;
	uint32_t buffer_messages_max; /* that there is memory for */
	bool changes_limits;          /* at run time */
	bool is_plain;                /* its buffer has a number of messages, and goes out in order */
	uint64_t outage_made;         /* by the ring, when the outage was known, without what waits */
	uint32_t outage_inflight;
};

struct world {
	char yaml[16384];
	size_t yaml_bytes;
	size_t optional_from,
		optional_to; /* a definition that subscribes and that a restart may do without */
	uint32_t optional_target, optional_sub;
	size_t spare_from, spare_to; /* the same of one that publishes */
	struct prng
		ring_prng; /* of its own: so seeds of before there were rings in files stay what they are */
	struct prng buffer_prng; /* the same for what buffers can do beside */
	bool has_accounts;       /* messages have numbers, and buffers do more */
	struct cfg *cfg;
	struct node node;
	struct world_target *targets;
	uint32_t target_count;
	struct device tcp_device, rtu_device;
	struct world_thread threads[WORLD_THREADS_MAX];
	uint32_t thread_count;
	uint64_t step_count;
	struct sim_faults faults; /* of the chaos */
	uint32_t crash_count;     /* to come */
	bool has_files;
	bool toggles;     /* targets are disabled and enabled */
	bool has_crashed; /* since its parts were last counted from zero */
	char state_dir[64];
};

/* Runs a seed. False: sim.failure says what was violated. */
NODISCARD bool world_run(uint64_t seed, bool verbose);

/* Time goes on, and with it whoever has something to do. */
void world_run_for(struct world *w, uint64_t ns);
/* world_config.c: fills yaml, targets, brokers, devices, faults. */
void world_draw(struct world *w);
/* world_crash.c: the daemon is killed and started again. */
NODISCARD int world_open_node(struct world *w);
void world_crash(struct world *w);
void world_files_begin(struct world *w);
void world_files_end(struct world *w);
void world_flip(const char *path, int64_t size_bytes);
/* world_ring.c: before the crash, between the runs, and when it runs again. */
void world_rings_look(struct world *w);
void world_ring_damage(struct world *w, uint32_t target_idx, bool session_kept);
void world_rings_opened(struct world *w);
void world_ring_check_drained(struct world *w, uint32_t target_idx);
void world_rings_end(struct world *w);
/* world_buffer.c: what buffers do beside keeping so many messages, and that it is accounted for. */
void world_buffer_put(struct world *w, uint32_t target_idx, char *out, size_t out_bytes);
void world_accounts_open(struct world *w);
void world_accounts_step(struct world *w);
void world_accounts_check(struct world *w, uint32_t target_idx);
void world_limits_change(struct world *w);
void world_replay_beside(struct world *w);
/* world_check.c */
void world_check_step(struct world *w, const struct world_thread *t);
bool world_is_drained(const struct world *w);
void world_check_drained(struct world *w);
void world_outage_begins(struct world *w);
void world_check_outage(struct world *w);

/* world_trace.c */
void world_check_traces(const struct world *w);

#endif
