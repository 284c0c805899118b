/* core/ring.h - what a target still has to send: many samplers append, one publisher takes.
 *
 * Purpose:  an overwrite-oldest ring of messages. When it is full the oldest give way, the publisher may hold
 *           messages in any order for as long as a send and an acknowledgement take, and nobody ever waits.
 * Owner:    created before the threads start, destroyed after they have ended. A lane belongs to one sampler
 *           thread, the taking side to one publisher thread.
 * Threads:  ring_reserve/ring_commit by the lane's sampler; ring_take/ring_release/ring_idle by the publisher;
 *           ring_counts/ring_backlog by anyone (lower bounds while others run, exact when they are quiet).
 * Memory:   one block, sized from the limits by ring_size_bytes(); nothing is allocated later.
 * Units:    sizes in bytes, counts in messages, times in nanoseconds.
 * Errors:   a full ring is no error: the sampler's message replaces the oldest, or is dropped and counted when
 *           every segment is held.
 * Source:   the id-and-state word follows Linux's printk ring, the lap number the Disruptor, the append log
 *           Aeron; the states and the proof of each arrow are in core/ring.c and core/README.md.
 *
 *   FREE(p), READY(p) --sampler, CAS--> OPEN(p')      p' > p; what was READY is overwritten
 *   OPEN(p)           --publisher, CAS--> HELD(p)     first touch while it is still being written
 *   OPEN(p)           --sampler, CAS--> READY(p)      closed untouched
 *   HELD(p)           --sampler, store--> CLAIMED(p)  closed, and the publisher is in it
 *   READY(p)          --publisher, CAS--> CLAIMED(p)  first touch of a closed one
 *   CLAIMED(p)        --publisher, store--> FREE(q)   all its records are through
 *   FREE(p)           --publisher, CAS--> FREE(next)  no late sampler can open behind the publisher
 *
 * What is kept through an outage is the newest messages that are within all of three limits: their number, the bytes of
 * their payloads, their age. The memory is made for the limits given to ring_open; ring_keep narrows them at run time, and
 * widens them again.
 *
 * The publisher takes the oldest first. After ring_split it has two streams instead: what is committed from then on, with
 * ring_take, and what was there, with ring_take_replay. Each has its order; discarded is from the backlog first.
 */
#ifndef CORE_RING_H
#define CORE_RING_H

#include "core/assert.h"
#include "core/base.h"
#include "core/clock.h"

struct ring;

/* The limits of one ring; all set before ring_open. */
struct ring_limits {
	uint32_t message_count;    /* newest messages kept through an outage, exactly; 1 .. 10,000,000 */
	uint32_t record_bytes_max; /* headroom + payload of the largest message; 1 .. RING_RECORD_BYTES_MAX */
	uint32_t lane_count;       /* samplers that write here; 1 .. RING_LANES_MAX */
	uint32_t inflight_max;     /* messages the publisher may hold at a time, beside what it is sending */
	uint64_t max_age_ns;       /* older unsent messages expire; 0: no limit */
	uint64_t byte_count;       /* payload bytes kept, at least one largest record; 0: no limit */
	uint32_t
		headroom_bytes_max; /* of any record; with byte_count the pool need not be made for the largest; 0: unknown */
};

enum ring_stream_kind { RING_LIVE, RING_REPLAY };
#define RING_STREAM_COUNT 2

#define RING_LANES_MAX        64
#define RING_MESSAGES_MAX     10000000u
#define RING_RECORD_BYTES_MAX (1u << 24)

/* One message. The publisher gets it from ring_take and gives it back with ring_release. The headroom before the
 * payload is the publisher's to write its header into, backwards from the payload; the payload itself never
 * changes until release. Read-only otherwise. */
struct ring_record {
	uint32_t payload_bytes;
	uint32_t headroom_bytes;
	uint32_t channel_idx; /* what the definition said: topic, QoS, retain */
	uint32_t
		flags; /* the publisher's own while it holds the record, but for RING_RECORD_DONE; 0 at take */
	uint32_t crc32c; /* of the rest, where the ring is in a file; see ring_record_crc_of() */
	uint32_t spare;
	uint64_t time_ns;  /* monotonic, at commit */
	uint64_t sequence; /* counts up by one a message in its lane, from 1 */
	uint32_t lane_idx;
	uint32_t segment_idx; /* where it lives; for ring_release */
};

static_assert(sizeof(struct ring_record) == 48, "a record starts with 48 bytes, then headroom, then payload");

/* In flags, of a ring in a file: the message is through, or safe elsewhere; the next process leaves it out. */
#define RING_RECORD_DONE 0x80000000u

static inline uint8_t *ring_payload(struct ring_record *rec)
{
	return (uint8_t *)(rec + 1) + rec->headroom_bytes;
}

/* made = taken + overwritten + dropped + expired + resident. */
struct ring_counts {
	uint64_t made;        /* committed or dropped by samplers */
	uint64_t taken;       /* handed to the publisher for sending */
	uint64_t overwritten; /* gave way to newer ones, in the ring or past message_count */
	uint64_t expired;     /* older than max_age_ns before they could be sent */
	uint64_t dropped;     /* no segment could be had: everything was held */
	uint64_t released;    /* taken and let go again */
};

/* Bytes of memory that a ring with these limits uses, header to last segment. */
NODISCARD uint64_t ring_size_bytes(const struct ring_limits *limits);

/* A new, empty ring in memory of its own. -ENOMEM, -EINVAL for limits out of range. */
NODISCARD int ring_open(struct ring **out, const struct ring_limits *limits);
void ring_close(struct ring *r);
/* Its block is present, so that no side waits for a page of it: 0 or -errno. A file's mapping is the caller's. */
NODISCARD int ring_populate(struct ring *r);

/* The same with the part that others may see in the caller's memory: a mapped file, zeroed, on a page. What a sampler has
 * committed there survives the process; core/ring_file.h brings it back. The memory stays the caller's. */
NODISCARD uint64_t ring_map_bytes(const struct ring_limits *limits);
NODISCARD int ring_open_in(struct ring **out, const struct ring_limits *limits, void *map);

/* Sampler: room for a message of headroom + at most payload_bytes_max, or NULL (dropped, counted). Returns where the
 * payload is to be written. At most one reservation a lane is open; a reservation that is not committed is
 * simply reserved again. headroom + payload_bytes_max <= record_bytes_max. */
NODISCARD uint8_t *ring_reserve(struct ring *r, uint32_t lane_idx, uint32_t headroom_bytes,
				uint32_t payload_bytes_max, struct mono now);

/* Sampler: the reserved message has this many payload bytes (<= reserved) and is there for the publisher. One release
 * store. */
void ring_commit(struct ring *r, uint32_t lane_idx, uint32_t channel_idx, uint32_t payload_bytes,
		 struct mono now);

/* Publisher: takes up to `room` of the oldest messages into out[]; returns how many. Discards what exceeds
 * message_count or byte_count (overwritten) or max_age (expired) first, which is all it does with no room. Within a lane in
 * order of commit; among lanes the older first, as far as one round saw. 0: nothing to take now; or as much is held as the
 * ring allows (a quarter of it); or so much had to be discarded that the rest is left to the next call (ring_idle says
 * false then). After ring_split: of the live stream. */
NODISCARD uint32_t ring_take(struct ring *r, struct ring_record **out, uint32_t room, struct mono now);

/* Publisher: what is there now becomes the backlog, or joins it; what is committed from now on goes by ring_take,
 * but for a message that a sampler is just writing. False: there still is an older backlog, and
 * some messages that were live have been seen but not taken: ring_take gives these, and nothing else, until ring_split is
 * called again. */
NODISCARD bool ring_split(struct ring *r);
/* Publisher: as ring_take, of what was there at the last ring_split. */
NODISCARD uint32_t ring_take_replay(struct ring *r, struct ring_record **out, uint32_t room, struct mono now);
/* Publisher: nothing is left of the backlog, or none was made. */
NODISCARD bool ring_replay_is_done(const struct ring *r);
/* Publisher: ring_idle for ring_take_replay. */
NODISCARD bool ring_replay_idle(const struct ring *r);
/* Publisher: half of what may be held is; who keeps records of the backlog back lets them go, so that the live stream has
 * the other half. */
NODISCARD bool ring_is_crowded(const struct ring *r);
/* Any thread: messages of the backlog still to be taken. */
NODISCARD uint64_t ring_replay_left(const struct ring *r);

/* Any thread: from now on this much is kept; what exceeds it goes with the next ring_take. -EINVAL, nothing changed, where
 * the memory was not made for it: message_count and byte_count of ring_open are the most (0 bytes there: any), one message
 * and one largest record the least. 0 ns: no limit of age. */
NODISCARD int ring_keep(struct ring *r, uint64_t messages, uint64_t bytes, uint64_t age_ns);
struct ring_keeping {
	uint64_t messages, bytes, age_ns;
};
NODISCARD struct ring_keeping ring_keeping(const struct ring *r);
/* What its memory was made for. */
NODISCARD const struct ring_limits *ring_limits_of(const struct ring *r);

/* Publisher: the message is through (sent for QoS 0, acknowledged for QoS 1 and 2). In any order. */
void ring_release(struct ring *r, struct ring_record *rec);

/* Publisher: the message was taken, but newer ones have filled the ring before it could be sent: it counts as overwritten,
 * not as taken. */
void ring_give_up(struct ring *r, struct ring_record *rec);

/* Publisher: the message is safe elsewhere though not yet through: after a crash it must not come again from here. */
void ring_done(struct ring *r, struct ring_record *rec);

/* Publisher: the message was taken, and is too old to be sent: it counts as expired, not as taken. */
void ring_expire(struct ring *r, struct ring_record *rec);

/* Publisher: would ring_take give nothing? False may be wrong; true is right but for a message that comes in just now.
 * Also true while so much is held that ring_take gives nothing until a release. */
NODISCARD bool ring_idle(struct ring *r);

/* Publisher: messages committed and not yet taken, as far as its own view goes; what `buffered` in status is. Any
 * thread may ask; never more than message_count. What is past the limits of bytes and age counts until the next ring_take. */
NODISCARD uint64_t ring_backlog(const struct ring *r);
/* Bytes of their payloads, with the same reservations; where more than the newest message_count lie in the pool, by the
 * mean size of all of them. */
NODISCARD uint64_t ring_backlog_bytes(const struct ring *r);

/* Any thread: bytes of payload committed so far. */
NODISCARD uint64_t ring_committed_bytes(const struct ring *r);

/* What the publisher's ledger of losses (core/loss.h) has to leave to the process after this one. All zero at first. */
#define RING_LOSS_KINDS 6
struct ring_losses {
	uint64_t located_count;           /* of those overwritten and expired: found */
	uint64_t dropped_count;           /* of those dropped: seen */
	uint64_t untold[RING_LOSS_KINDS]; /* of each reason: not told to the server yet */
};
/* Publisher: it is there when a ring in a file is opened again. */
void ring_losses_keep(struct ring *r, const struct ring_losses *losses);

NODISCARD struct ring_counts ring_counts(const struct ring *r);

/* The same as the outside sees it: what is in the pool beyond the newest message_count will never be sent and counts as
 * overwritten already, so made = taken + overwritten + expired + dropped + ring_backlog. */
NODISCARD struct ring_counts ring_counts_outside(const struct ring *r);

/* Any thread: messages committed in a lane so far, which is the number of its newest. */
NODISCARD uint64_t ring_lane_committed(const struct ring *r, uint32_t lane_idx);
NODISCARD uint32_t ring_lane_count(const struct ring *r);
/* The lane's sampler: the number that the message which is being written will get. */
NODISCARD uint64_t ring_next_sequence(const struct ring *r, uint32_t lane_idx);
/* Publisher: messages of a lane that ring_take has let expire in this stream; ring_split makes all of them the backlog's. */
NODISCARD uint64_t ring_lane_expired(const struct ring *r, uint32_t lane_idx, enum ring_stream_kind kind);
/* Publisher: was everything that was committed before this call taken, or has it gone? False may be wrong; true is right. */
NODISCARD bool ring_drained(const struct ring *r);

/* Verifies every invariant of a quiet ring. 0, or -EINVAL with *why (a static text). */
NODISCARD int ring_check(const struct ring *r, const char **why);

#endif
