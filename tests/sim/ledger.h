/* tests/sim/ledger.h - what became of each message of one target, as its broker saw it.
 *
 * Purpose:  a message is known by its topic and payload, which the world makes unique; the ledger holds what QoS promises
 *           and the order within a topic against what came.
 * Owner:    the target's broker. Memory: grows; ledger_free.
 *
 *           Topics begin with what may be expected of them:
 *             s/ unique payloads, in order      u/ unique payloads, order open (several samplers in one group)
 *             w/ payloads may repeat (periodic without change): not looked at
 *             fw/ passed on from another server: bridge.c knows them
 */
#ifndef TESTS_SIM_LEDGER_H
#define TESTS_SIM_LEDGER_H

#include "core/bytes.h"

/* LEDGER_GHOST: whole in the client's system when the connection broke; nobody saw it. */
enum ledger_fate { LEDGER_DELIVERED, LEDGER_REFUSED, LEDGER_GHOST };

struct ledger_message {
	uint64_t key; /* 0: an empty place */
	uint64_t first_seq;
	double value; /* of a single tag; for the world's own checks */
	uint32_t delivered_count, ghost_count, refused_count;
	uint32_t epoch, delivered_epoch; /* of the session, when last seen and delivered */
	uint32_t link_id;
	uint8_t qos;
	bool seen; /* false: only excused */
	bool may_repeat;
	char what[56]; /* the payload's beginning */
	bool late;     /* first seen since ledger_mark */
};

struct ledger_channel {
	uint64_t key;
	char last_ts[40];
	double last_value;
};

#define LEDGER_CHANNELS_MAX 256

struct ledger {
	struct ledger_message *messages;
	size_t room, count, excused_count;
	struct ledger_channel channels[LEDGER_CHANNELS_MAX];
	uint64_t seq_next;
	uint64_t delivered_count; /* with repetitions, all topics */
	uint64_t repeated_count;  /* of those that may */
	size_t late_count;        /* different messages since ledger_mark */
	double late_value_min;
	bool has_weak;
};

void ledger_free(struct ledger *l);
/* All is quiet: what was under way at QoS 1 or 2 has arrived [MQTT-4.4.0-1]. */
void ledger_check_drained(const struct ledger *l);
void ledger_mark(struct ledger *l);

struct ledger_sight {
	struct bytes topic, payload;
	enum ledger_fate fate;
	uint8_t qos;
	bool may_repeat; /* what is passed on came to the client more than once */
	bool unordered;  /* some of its kind went out with QoS 0, and the connection broke in between */
	bool lowered;    /* it may have gone out with QoS 0 in between */
	uint32_t epoch, link_id;
};

uint64_t ledger_key(struct bytes topic, struct bytes payload);
/* What is known of it; NULL: nothing. */
const struct ledger_message *ledger_find(const struct ledger *l, uint64_t key);
/* The client may rightly send it more than once, or not in its order: a crash came in between, or damage to its files. */
void ledger_excuse(struct ledger *l, uint64_t key);
bool ledger_excused(const struct ledger *l, uint64_t key);
/* Checks and keeps. The message, or NULL for one of a topic that is not looked at. */
const struct ledger_message *ledger_see(struct ledger *l, const struct ledger_sight *s);

#endif
