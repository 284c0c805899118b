/* core/trace.h - the flight recorder: what went over chosen connections in the last seconds, in fixed memory.
 *
 * Purpose:  a ring of bytes a data thread, into which it writes what it sends and receives; the newest records push the oldest
 *           ones out. The control thread reads it at any time and stops nobody. What is off costs a branch.
 * Owner:    the data thread writes (trace_bytes, trace_text, trace_incident); sources belong to targets and lines.
 * Threads:  trace_read, trace_counts and the switch by any; trace_set by the control thread.
 * Memory:   all of it in trace_open; nothing grows.
 * Units:    positions in words of 8 bytes since the start, times in nanoseconds of the monotonic clock.
 * Errors:   none while writing.
 *
 *        overwritten             readable                free
 *     ----------------|--------------------------|---------------------   position grows to the right,
 *                   oldest                      made                      made - oldest <= word_count
 *
 *     writer of n words                              reader of the record at p
 *     oldest moves behind what n words need (W1)     made (R1, acquire), p = oldest or where it was
 *     the words, each with release          (W2)     the words, each with acquire (R2)
 *     made moves n on, release              (W3)     oldest again (R3): beyond p? then nothing of this counts
 *
 * Why that is enough: R1 sees a W3, so every word up to made is the record's or younger. A word that is younger was stored by a
 * W2 that comes after the W1 which moved oldest beyond p; R2 has acquired it, so R3 sees that W1 or a later one. No fence is
 * needed, and ThreadSanitizer understands all of it.
 */
#ifndef CORE_TRACE_H
#define CORE_TRACE_H

#include "core/bytes.h"
#include "core/clock.h"

#define TRACE_MEMORY_BYTES_MIN (16u << 10)
#define TRACE_SEGMENT_BYTES \
	1400u /* kept in one record at most: no packet of the file is larger than on a network */
#define TRACE_ENDPOINT_BYTES   36u
#define TRACE_NOTES_MAX        64u
#define TRACE_RECORD_BYTES_MAX (32u + 40u + TRACE_SEGMENT_BYTES + 4 * TRACE_NOTES_MAX)

enum trace_kind {
	TRACE_SENT, /* handed to the kernel */
	TRACE_RECEIVED,
	TRACE_OPENED,        /* what these four keep is a text for people */
	TRACE_ENDED_BY_US,   /* in order, or for want of an answer */
	TRACE_ENDED_BY_PEER, /* in order */
	TRACE_BROKEN,        /* or it could not be opened */
};
#define TRACE_KIND_COUNT 6u

/* The head of a record; behind it, each filled up to whole words, the endpoints, what is kept, and notes, 32 bits each: what the
 * bytes do not say by themselves. Of MQTT sent: the channel of each PUBLISH that has an alias in place of its topic. */
struct trace_record {
	uint32_t size_bytes; /* of the whole record */
	uint8_t kind;
	uint8_t endpoint_bytes; /* 12: local and peer IPv4 address, both ports; 36: IPv6; 0: no network */
	uint16_t channel_idx;   /* targets, then lines, as the configuration has them */
	uint64_t time_ns;
	uint32_t sequence;     /* bytes before these in this direction of the connection, modulo 2^32 */
	uint32_t acknowledged; /* bytes in the other direction so far */
	uint32_t length_bytes; /* as they were */
	uint16_t kept_bytes;   /* of those, or of the text */
	uint16_t note_count;
};

/* Shared by all rings of a node: until when records are taken. */
#define TRACE_NO_CHANNEL UINT32_MAX
struct trace_switch {
	_Atomic uint64_t until_ns;   /* UINT64_MAX: for ever; passed: frozen */
	_Atomic uint32_t cause;      /* the channel whose incident it was */
	bool freezes_after_incident; /* constant, as the next */
	uint64_t after_ns;           /* how long it goes on then */
};

struct trace_ring {
	CACHELINE_ALIGNED _Atomic uint64_t oldest; /* W1, R3 */
	_Atomic uint64_t made;                     /* W3, R1 */
	_Atomic uint64_t record_count;             /* written since the start; relaxed */
	_Atomic uint64_t overwritten_count;
	_Atomic uint64_t *words; /* W2, R2 */
	uint64_t word_count;
	struct trace_switch *shared;
	uint8_t segment[TRACE_SEGMENT_BYTES]; /* the writer's: where a record is put together */
	uint32_t notes[TRACE_NOTES_MAX];
	uint32_t note_count; /* for the next trace_bytes, which takes them */
};

/* One target or line. */
struct trace_source {
	struct trace_ring *ring; /* its thread's; NULL: no memory for it */
	_Atomic bool on;         /* control thread; relaxed: a late change costs a record */
	uint16_t channel_idx;
	uint8_t endpoint_bytes; /* of the present connection; its thread's */
	uint8_t endpoints
		[TRACE_ENDPOINT_BYTES]; /* local address, peer's, local port, peer's: as on the wire */
};

void trace_switch_init(struct trace_switch *s, bool freezes_after_incident, uint64_t after_ns);
/* From now on nothing is recorded; from now on it is. */
void trace_freeze(struct trace_switch *s, struct mono now);
void trace_resume(struct trace_switch *s);
static inline struct mono trace_until(const struct trace_switch *s)
{
	return (struct mono){.ns = atomic_load_explicit(&s->until_ns, memory_order_relaxed)};
}

/* memory_bytes: TRACE_MEMORY_BYTES_MIN or more. -ENOMEM. */
NODISCARD int trace_open(struct trace_ring **out, uint64_t memory_bytes, struct trace_switch *shared);
/* NULL is nothing. */
void trace_close(struct trace_ring *r);

/* --- the thread that has the source ----------------------------------------------------------------------------------- */

static inline bool trace_is_on(const struct trace_source *s)
{
	return UNLIKELY(atomic_load_explicit(&s->on, memory_order_relaxed));
}

/* Is there room for a note with the next trace_bytes? */
static inline bool trace_note(struct trace_source *s, uint32_t note)
{
	struct trace_ring *r = s->ring;

	if (r->note_count == TRACE_NOTES_MAX)
		return false;
	r->notes[r->note_count++] = note;
	return true;
}

/* kept: at most TRACE_SEGMENT_BYTES of length_bytes that begin at sequence. Costs the copy, and a look at each record that it
 * pushes out: TRACE_RECORD_BYTES_MAX / 32 at most. */
void trace_bytes(struct trace_source *s, enum trace_kind kind, struct mono now, uint32_t sequence,
		 uint32_t acknowledged, struct bytes kept, uint32_t length_bytes);
/* The connection has begun or ended; a text that is too long is cut. */
void trace_text(struct trace_source *s, enum trace_kind kind, struct mono now, uint32_t sequence,
		uint32_t acknowledged, const char *text);
/* It was lost, or its devices are dead: where that is wanted, recording ends soon. True: this was what ends it. */
bool trace_incident(struct trace_source *s, struct mono now);

/* --- any thread ----------------------------------------------------------------------------------------------------------- */

void trace_set(struct trace_source *s, bool on);

/* Copies whole records from *from on (0: from the oldest) into buffer, which has room for at least one; returns their bytes,
 * 0 where there are none. *from moves behind them; *lost_bytes: what was overwritten before. */
size_t trace_read(const struct trace_ring *r, uint64_t *from, uint8_t *buffer, size_t room_bytes,
		  uint64_t *lost_bytes);

/* The position behind the newest record. */
static inline uint64_t trace_made(const struct trace_ring *r)
{
	return atomic_load_explicit(&r->made, memory_order_acquire);
}

struct trace_counts {
	uint64_t records, overwritten, used_bytes, memory_bytes;
};
struct trace_counts trace_counts(const struct trace_ring *r);

/* Takes the first record off what trace_read has given. False: there is none, or it is not one. */
NODISCARD bool trace_next(struct bytes *input, struct trace_record *head, struct bytes *endpoints,
			  struct bytes *kept);
/* The same, with the notes: note_count of 32 bits, in the machine's order. */
NODISCARD bool trace_next_noted(struct bytes *input, struct trace_record *head, struct bytes *endpoints,
				struct bytes *kept, struct bytes *notes);

#endif
