/* tests/sim/account.h - each number of each lane of one target: made when, seen by its server how, lost by which gap.
 *
 * Purpose:  holds the product's ledger of losses against what the simulator knows. A number is delivered, or named by exactly one
 *           gap with a reason that can be, or (QoS 0) gone with a connection; messages that are replayed are marked with their
 *           time, come in their order, at their rate, and not in the way of live ones; what is thinned has somebody to stand for it.
 * Owner:    the world; its broker tells what it sees. Memory: grows; account_end.
 * Units:    nanoseconds of virtual time; numbers begin with 1.
 *
 *           All messages of the target say their number and lane (`sequence: true`), but for those that are passed on.
 */
#ifndef TESTS_SIM_ACCOUNT_H
#define TESTS_SIM_ACCOUNT_H

#include "core/loss.h"
#include "io/target.h"
#include "tests/sim/ledger.h"

#define ACCOUNT_PREFIX     "late/"
#define ACCOUNT_LOSS_TOPIC "u/loss"

enum account_flags {
	ACCOUNT_DELIVERED = 1,
	ACCOUNT_GHOST = 2,
	ACCOUNT_REFUSED = 4,
	ACCOUNT_QOS_0 = 8, /* when it was seen last */
	ACCOUNT_HELD = 16, /* on its way when a connection broke */
	ACCOUNT_MARKED = 32,
};

struct account_number {
	uint64_t made_ns;
	double value;
	uint64_t update; /* of an account that is_single */
	uint8_t flags;
	uint8_t gap; /* enum loss_reason + 1; of the last check */
};

struct account_lane {
	struct account_number *numbers;
	uint64_t count, room;
};

/* The order of a topic's messages: of a second outage some may go before the rest of the first. */
struct account_topic {
	uint64_t key, live_top, replay_top, leftover_top;
};

/* The backlog goes at its rate, and nothing beside it: in the first connection after an outage before which all was drained. */
enum account_outage { ACCOUNT_ANY, ACCOUNT_AWAY, ACCOUNT_FIRST_BACK };

#define ACCOUNT_TOPICS_MAX 256

struct account {
	char name[16];
	bool is_on;      /* the configuration asks for numbers, and no crash has mixed them up */
	bool live_first; /* by the configuration */
	bool marks, prefixes;
	bool is_single; /* numbers and values of its lane 0 go hand in hand: one on-change definition of all tags of syn0 */
	uint64_t strangers;   /* lanes with messages that do not say their number */
	uint64_t interval_ns; /* of the rate; 0: a share */
	enum cfg_thin thin;
	uint64_t bucket_ns;
	uint64_t updates; /* of syn0, as the world knows */
	uint64_t updates_numbered;
	uint32_t tag_count; /* of syn0 */
	bool may_expire;
	bool was_connected;
	enum account_outage outage;
	bool has_leftovers;                              /* of a second outage: replayed, and not thinned */
	uint64_t live_from_ns, marked_count, live_count; /* of this connection */
	struct account_lane lanes[RING_LANES_MAX];
	struct account_topic topics[ACCOUNT_TOPICS_MAX];
	struct loss_gap *gaps; /* by number - 1 */
	uint64_t gap_count, gap_room, lost_count;
};

struct account_sight {
	struct bytes topic, payload;
	enum ledger_fate fate;
	uint8_t qos;
	bool has_prefix;
	const char *mark; /* "": none */
	bool is_newest;   /* the client's present connection */
	bool in_order;
};

void account_end(struct account *a);
/* After each step: what was made, what is on its way, what the ledger says. */
void account_step(struct account *a, const struct target *t);
/* A whole message has left the client. */
void account_see(struct account *a, const struct account_sight *s);
/* All is quiet. lowered: the server's limits may have given up what had arrived before. */
void account_check_drained(struct account *a, const struct target *t, bool lowered, bool refuses);

#endif
