/* io/inbound.h - what a target does with the messages of its server.
 *
 * Purpose:  finds the definitions that a message is for, gives them its values, passes it on to other targets; each message
 *           once, however many filters it matches. Holds what comes before the subscriptions of a kept session are ready.
 *
 *   READY --connected, session kept, something to subscribe--> HOLDING
 *   HOLDING --all subscribed, or the window is over, or the buffer is full--> DRAINING --empty--> READY
 *
 * Owner:    the target. Threads: the publisher's; counters may be read by any.
 * Memory:   all of it in inbound_open. Units: nanoseconds.
 * Errors:   a message that nothing can be made of is counted (rejected, unforwarded) and logged, never fatal.
 * Source:   MQTT 5.0 3.3.4 (overlapping subscriptions), 3.8.4.
 */
#ifndef IO_INBOUND_H
#define IO_INBOUND_H

#include "core/definition.h"
#include "core/subscription.h"
#include "io/inbound_buffer.h"
#include "proto/mqtt_session.h"

struct publisher;

#define INBOUND_COPIES_MAX 64 /* messages that are remembered because copies of them may follow */

enum inbound_state { INBOUND_READY, INBOUND_HOLDING, INBOUND_DRAINING };

/* A message of a server that does not say which subscription it is for: copies may come for the others. */
struct inbound_copy {
	uint64_t key; /* 0: none */
	struct mono at;
	uint32_t left;
	bool alone; /* no copy has come yet, and that was not looked at */
};

struct inbound {
	struct publisher *publisher;
	const struct cfg *cfg;
	uint32_t target_idx;
	enum inbound_state state;
	struct subscriptions subscriptions;
	struct mqtt_session_filter *filters;
	struct definition_lane *lane;
	struct inbound_buffer buffer;
	struct mono hold_until, hold_until_max;
	uint32_t *matched; /* subscriptions of the present message */
	uint32_t matched_count;
	char *topic;       /* of the message that is passed on */
	char *other_topic; /* of one that would be the same */
	struct inbound_copy copies[INBOUND_COPIES_MAX];
	uint32_t copy_next;
	uint32_t copied_count,
		alone_count; /* messages that had copies, and that had none: what the server does */
	struct target_metrics *metrics;
};

/* metrics: the target's. */
NODISCARD int inbound_open(struct inbound *in, struct publisher *p, uint32_t target_idx,
			   struct target_metrics *metrics);
void inbound_close(struct inbound *in);

/* Connected. */
void inbound_online(struct inbound *in, const struct mqtt_session *s, bool session_present, struct mono now);
/* The server has answered a SUBSCRIBE: it goes on, so the window does. */
void inbound_progress(struct inbound *in, struct mono now);
/* Accepted (mqtt_session_accept) when it is delivered, not before: what is only held here the server still has. */
void inbound_message(struct inbound *in, struct mqtt_session *s, const struct mqtt_publish *p,
		     struct mono now, struct wall time);
/* Delivers what was held, once it may be: a bounded number of messages. */
void inbound_step(struct inbound *in, struct mqtt_session *s, struct mono now, struct wall time);
/* The connection is gone: what is held comes again, but for QoS 0, which is delivered. */
void inbound_lost(struct inbound *in, const struct mqtt_session *s, struct mono now, struct wall time);
/* When inbound_step has something to do; MONO_NEVER: not before the next message. */
struct mono inbound_deadline(const struct inbound *in, const struct mqtt_session *s, struct mono now);

#endif
