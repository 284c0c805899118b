/* io/target.h - one MQTT server as a destination: the link, the session, and the records on their way.
 *
 * Purpose:  brings the stream, the session and the ring together: connects along the URL list, takes batches from the
 *           ring, sends them in one gathered send each, lets records go when they are through.
 * Owner:    its publisher. Threads: the publisher's; state, metrics and texts may be read by any.
 * Memory:   all of it in target_open.
 * Errors:   none leave here: a lost or refused connection is a state, with its reason in words.
 *
 *   DISABLED <---------------- target_want(): farewell, DISCONNECT ----------------.
 *      | target_want()                                                              |
 *      v                                                                            |
 *   IDLE -> CONNECTING -CONNACK-> CONNECTED ----------------------------------------'
 *    ^          |                     |
 *    |        failed                 lost, sent to another server, back to the first one
 *    |          v                     v
 *    '------ CLOSING (the kernel lets go of the records' memory) -> WAITING, REFUSED (back-off)
 *
 * Where a record is: in the ring -take-> batch (a send is under way, or it waits for the next) -sent-> through (QoS 0),
 * or in flight until its acknowledgement. After a loss, what the kernel had not taken whole is first in the next batch.
 * Records of the target's own, which no ring knows, go the same way: what an earlier process left in flight, and the
 * messages that say that the node is there (on_connect) and that it leaves (on_disconnect).
 */
#ifndef IO_TARGET_H
#define IO_TARGET_H

#include "core/loss.h"
#include "core/ring_file.h"
#include "core/shared_text.h"
#include "core/thin.h"
#include "io/inbound.h"
#include "io/publisher.h"
#include "io/session_file.h"
#include "io/stream.h"
#include "proto/backoff.h"
#include "proto/mqtt_session.h"

#define TARGET_BATCH_MAX 1024

/* Records a send: enough to make its system call cheap, and few enough that what is on its way does not make the ring
 * larger than the messages it is to keep. */
static inline uint32_t target_batch_max(const struct cfg_target *c)
{
	uint64_t quarter = c->buffer_messages / 4;

	return (uint32_t)min_u64(TARGET_BATCH_MAX, max_u64(16, quarter));
}

enum target_state {
	TARGET_DISABLED,
	TARGET_CONNECTING,
	TARGET_CONNECTED,
	TARGET_WAITING,
	TARGET_REFUSED,
};

/* A server: one of the list, or where one of the list has sent us. */
struct target_place {
	char host[256];
	uint16_t port;
	char text[SHARED_TEXT_BYTES]; /* for people */
};

#define TARGET_REDIRECTS_MAX 4 /* followed in a row; then the list is walked on, after the back-off */

/* Live first after an outage; io/target_replay.c. */
struct target_replay {
	bool split_is_due;        /* connected, and the ring not split since */
	struct mono live_from;    /* the present connection: what was made before is replayed */
	struct mono allowed_from; /* the backlog's messages are paid for up to here, by the rate */
	struct mono deadline;     /* for the next of them */
	struct mono trim_deadline;
	struct ring_keeping trimmed_to; /* the limits at the last trim */
	uint8_t *text;                  /* topic and properties of a marked message */
	size_t text_bytes;
};

#define THIN_INPUT_COUNT 64

/* Fewer of them; io/target_thin.c. All zero: not wanted. */
struct target_thin {
	struct thin table;                           /* by the channel's number in the target */
	struct ring_record *input[THIN_INPUT_COUNT]; /* taken from the ring, and not looked at */
	uint32_t input_first, input_count;
	uint32_t *topics; /* channels by their topics, for what a file brings; + 1 */
	uint32_t topics_mask;
	uint8_t *averages; /* records of our own, average_bytes each */
	uint32_t average_bytes, average_record_bytes;
	uint32_t average_free;     /* + 1; 0: none */
	bool is_on;                /* the next bucket is thinned */
	bool is_interrupted;       /* by the bound of a step */
	uint64_t to_wall_ns;       /* added to a record's time, so that minutes begin at full minutes */
	struct mono measured_from; /* the backlog's speed, where its rate is a share */
	uint64_t measured_count;
	double speed;               /* messages a second while all of them went; 0: not known */
	_Atomic bool is_told;       /* is_on, for others */
	_Atomic uint32_t held_told; /* messages in table and input, for others */
};

/* What the flight recorder knows of it; io/target_trace.c. */
struct target_trace {
	struct trace_source source;
	uint64_t received_bytes; /* of the present connection: recorded so far, or passed over */
	uint64_t sent_bytes;
	enum trace_kind end;
	bool garbled;  /* what comes in is no MQTT: recorded as it comes */
	bool incident; /* it was connected, and is lost */
};

struct target {
	struct publisher *publisher;
	const struct cfg_target *config;
	const char *name; /* of the configuration, at hand for the probes */
	uint32_t cfg_idx;
	uint32_t slot;
	struct ring *ring;
	struct stream stream;
	struct mqtt_session session;
	struct backoff backoff;
	struct timer timer;
	struct mono link_deadline;  /* of the connect, the wait, or the closing */
	struct mono flush_deadline; /* MONO_NEVER: no message waits for company */
	bool open;                  /* the stream is up */
	bool closing;               /* until the stream is closed */
	bool close_when_sent;
	bool leaving; /* the daemon stops */
	bool left;
	bool enabled;               /* as wanted, when it was last looked at */
	bool parting;               /* leaving, or being disabled: says good-bye */
	bool has_acked;             /* some of its messages are QoS 1 or 2 */
	struct mono part_deadline;  /* parting: DISCONNECT goes out now, whatever is left */
	struct mono first_deadline; /* at another server than the first: then back to that one */
	uint32_t url_idx;
	uint32_t tried_count; /* URLs that failed in this pass through the list */
	struct target_place place;
	bool is_sent;            /* place is where a server has sent us, not the list's */
	bool sent_for_good;      /* "server moved": come back here after a loss, too */
	bool follows;            /* it goes there next */
	bool goes_first;         /* this connection ends so that the first server is tried */
	uint32_t redirect_count; /* followed since the last wait or stable connection */
	struct mono online_since;
	struct ring_record *
		*batch; /* in the present send; QoS 1 and 2 may be acknowledged before it completes */
	uint32_t batch_count;
	uint32_t batch_max;
	struct ring_record *
		*waiting; /* taken, and not taken by the kernel when the connection was lost: first to go */
	uint32_t waiting_count, waiting_max;
	uint32_t *packet_bytes;     /* beside batch */
	uint32_t control_bytes;     /* before the batch in the present send */
	uint64_t sent_before_bytes; /* of this connection, before the present send */
	struct iovec *iov;          /* batch_max + 2 */
	uint32_t iov_count;
	uint8_t *gathered; /* a block of the publisher's, or NULL: the small packets of the send under way */
	uint32_t gathered_bytes;
	uint8_t *outboxes[2]; /* the session writes into one while the other is sent */
	size_t outbox_bytes;
	uint32_t outbox_idx;
	struct mqtt_session_memory session_memory;
	struct session_file session_file;
	struct ring_file ring_file; /* where the ring is in a file */
	uint32_t ring_record_bytes; /* of the largest record in it, of this configuration or an earlier one */
	uint64_t *origins;          /* of what was restored: not to come from the ring as well */
	struct target_replay replay;
	struct target_thin thin;
	struct loss_ledger *losses;
	struct loss_lane *loss_lanes;
	struct mono losses_since;    /* connected, and something is untold; MONO_NEVER: no */
	struct mono losses_deadline; /* to tell of more */
	uint32_t losses_budget;      /* of this connection */
	struct inbound inbound;
	struct bytes *
		props; /* by the channel's number in the target: its messages' properties; NULL: none has any */
	uint8_t *props_text;
	uint8_t *will_props;
	uint8_t *connect_props;
	struct ring_record **restored; /* what an earlier process had in flight */
	uint32_t restored_count;
	struct ring_record *hello, *farewell; /* on_connect, on_disconnect; NULL: none */
	bool hello_due, farewell_due;
	bool farewell_said;
	uint8_t *receive;
	struct target_trace trace;
	struct target_metrics metrics;
	_Atomic bool wanted;       /* by any thread: shall it be connected? */
	_Atomic uint32_t state;    /* enum target_state */
	struct shared_text reason; /* "" where all is well */
	struct shared_text url;    /* the one in use, or tried last */
	char client_id[257];       /* the schema admits 256 bytes */
	bool has_told_down;        /* since it was connected last */
	struct mono told_since;
	uint32_t told_count;
};

NODISCARD int target_open(struct target *t, struct publisher *p, uint32_t cfg_idx, uint32_t slot);
void target_close(struct target *t);
/* What its ring is made with. */
struct ring_limits target_ring_limits(const struct cfg *c, uint32_t cfg_idx, const struct definitions *d);

/* New messages, a deadline, a completion: does what there is to do now, at most one batch. */
void target_step(struct target *t);
/* The daemon stops: send what there is, then say good-bye. */
void target_leave(struct target *t);

/* Any thread: as ring_keep; what exceeds the limits goes now, if the target does not take from its ring anyway. */
NODISCARD int target_keep(struct target *t, const struct ring_keeping *keep);

/* Any thread: enables or disables it, now. */
void target_want(struct target *t, bool enabled);
static inline bool target_wanted(const struct target *t)
{
	return atomic_load_explicit(&t->wanted, memory_order_acquire);
}

static inline enum target_state target_state(const struct target *t)
{
	return (enum target_state)atomic_load_explicit(&t->state, memory_order_relaxed);
}
/* "disabled" "connecting" "connected" "waiting" "refused" */
const char *target_state_text(enum target_state state);

#endif
