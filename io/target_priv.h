/* io/target_priv.h - what the files of the target share; for io/target*.c only.
 *
 * Purpose:  io/target.c is the link (connect, lose, wait), io/target_batch.c the records on their way, io/target_open.c the
 *           set-up.
 * Owner:    the target's publisher. Threads: the publisher's. Errors: none.
 */
#ifndef IO_TARGET_PRIV_H
#define IO_TARGET_PRIV_H

#include "io/target.h"

/* What a record in our hands waits for; in ring_record.flags. Without a hold it is let go. */
enum target_hold {
	HOLD_KERNEL = 1,
	HOLD_ACK = 2,
	IS_QOS_0 = 4,
	IS_OWN = 8,       /* no ring's */
	IS_REPLAYED = 16, /* marked as such, each time it is sent */
	IS_AVERAGE = 32,  /* ours, in the place of one in the ring: target_original */
};
#define HOLDS_STAY \
	((uint32_t)IS_OWN | IS_REPLAYED | IS_AVERAGE | RING_RECORD_DONE) /* whatever becomes of a send */

static inline bool target_is_held(const struct ring_record *rec)
{
	return rec->flags & (HOLD_KERNEL | HOLD_ACK);
}

static inline const char *target_text(const struct target *t, uint32_t text)
{
	return cfg_text(t->publisher->config.cfg, text);
}

static inline const char *target_name(const struct target *t)
{
	return target_text(t, t->config->name);
}

static inline struct mono target_now(const struct target *t)
{
	return turn_now(&t->publisher->turn);
}

/* Room for what lost connections leave over: all that we ever hold. More than one batch: a server that takes no QoS 1 makes
 * QoS 0 of what was in flight, and each connection that is lost then may add a batch. */
static inline uint32_t target_waiting_max(const struct cfg_target *c)
{
	return c->max_inflight + target_batch_max(c);
}

/* May messages go out of the ring? Not while it is being disabled, nor after its last words. */
static inline bool target_may_take(const struct target *t)
{
	return (!t->parting || t->leaving) && !t->farewell_said;
}

/* Sets the state that others see; the only place that logs it. */
void target_enter(struct target *t, enum target_state state, const char *reason);

/* Sends what there is, where the stream is free: one gathered send. */
void target_pump(struct target *t);
/* Writes what subscribing still needs. */
void target_subscribe(struct target *t);
/* Ends the present attempt or connection. */
void target_link_down(struct target *t, enum target_state state, const char *reason);
/* The last words are written: they go out, then the stream ends. */
void target_finish(struct target *t);
/* The first count records of the batch are with the kernel. */
void target_batch_through(struct target *t, uint32_t count);
/* The connection is gone, and the kernel has let go of everything: sorts out what was on its way. */
void target_batch_recover(struct target *t);
/* Connected again: lets go of what the ring has made obsolete meanwhile. */
void target_give_up_excess(struct target *t);
/* The kernel has let go of what was gathered for a send. */
void target_gathered_return(struct target *t);
void target_hold_drop(struct target *t, struct ring_record *rec, uint32_t hold);
/* What a record is as a message, good as long as the record. */
void target_message(const struct target *t, struct ring_record *rec, struct mqtt_message *m);

/* io/target_loss.c: what did not get through. A record in our hands is lost; it is let go afterwards. */
void target_losses_open(struct target *t);
void target_losses_online(struct target *t);
/* Tells the server of gaps, where that is wanted; messages as others, for the ring. */
void target_losses_step(struct target *t);
void target_lost(struct target *t, const struct ring_record *rec, enum loss_reason reason);

/* io/target_replay.c: what an outage has left. */
NODISCARD int target_replay_open(struct target *t);
void target_replay_online(struct target *t);
/* Live messages and the backlog's into the present send, at most room. */
void target_replay_fill(struct target *t, uint32_t room);
/* When the backlog has something to send again. */
struct mono target_replay_deadline(const struct target *t);
bool target_is_replayed(const struct target *t, const struct ring_record *rec, enum ring_stream_kind kind);
void target_mark(const struct target *t, const struct ring_record *rec, struct mqtt_message *m);
/* Not connected: lets go of what is too old, or too much. When next. */
struct mono target_trim(struct target *t);
/* Up to room messages of this stream of the ring into the present send; how many were taken. */
uint32_t target_fill(struct target *t, enum ring_stream_kind kind, uint32_t room);
/* Its two halves: records of the stream into out, accounted for and marked; */
uint32_t target_take(struct target *t, enum ring_stream_kind kind, struct ring_record **out, uint32_t room);
/* and one into the present send. False: it must wait, the window is full. */
NODISCARD bool target_send_record(struct target *t, struct ring_record *rec);
/* Nothing is left of the backlog, in the ring or in our hands to be thinned. */
static inline bool target_backlog_is_done(const struct target *t)
{
	return ring_replay_is_done(t->ring) && t->thin.input_count == 0 && t->thin.table.held_count == 0;
}

/* io/target_thin.c: fewer messages, where the backlog would take too long. */
NODISCARD int target_thin_open(struct target *t);
void target_thin_close(struct target *t);
void target_thin_online(struct target *t);
static inline bool target_thins(const struct target *t)
{
	return t->thin.table.slots;
}
/* Up to room messages of the backlog, thinned or whole, into the present send; how many. */
uint32_t target_thin_fill(struct target *t, uint32_t room);
/* Would target_thin_fill do something now? If not, a release or an acknowledgement comes first. */
NODISCARD bool target_thin_can_go_on(const struct target *t);
/* The ring's record that stands behind one in our hands: itself, but for an average. */
struct ring_record *target_original(struct ring_record *rec);
/* The same; an average's own memory is free again. */
struct ring_record *target_thin_free(struct target *t, struct ring_record *rec);

/* Aborts where a definition's records have too little room for their header. */
void target_check_headroom(const struct target *t);

/* io/target_trace.c: for the flight recorder. Each is asked for only while trace_is_on, but opened and closed. */
NODISCARD int target_trace_open(struct target *t);
void target_trace_opened(struct target *t);
/* What is about to be sent, before any of it is. */
void target_trace_sent(struct target *t);
/* What has come in and is not consumed, as the stream has it. */
void target_trace_received(struct target *t, struct bytes input);
/* The same, but nobody will look at it: it will not become whole. */
void target_trace_discarded(struct target *t, struct bytes input);
void target_trace_closed(struct target *t);

/* io/target_place.c: where to go. */
void target_place_from_list(struct target *t);
/* The server has said where. False: it is not understood, or was followed too often. */
NODISCARD bool target_place_from_reference(struct target *t, const char *reference);
/* A number for the server, by which a session is known to be of it. */
uint64_t target_place_key(const struct target *t);

/* io/target_part.c: leaving and being disabled. */
void target_part_step(struct target *t);
/* Closed, and nothing more to do but to be enabled again, or to go. */
bool target_part_closed(struct target *t);

/* The stream's events, in io/target.c. */
extern const struct stream_user target_stream_user;

#endif
