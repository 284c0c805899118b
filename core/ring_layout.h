/* core/ring_layout.h - how a ring lies in memory; for core/ring*.c and the tests that look inside.
 *
 * Purpose:  struct ring_map and what follows it hold no pointer, so the same bytes can be mapped anywhere, from a
 *           file too; struct ring is one process's handle on them, with what each side keeps for itself.
 * Owner:    core/ring.c; nobody else may rely on it.
 * Threads:  who writes is said at each field.
 * Memory:   one block: struct ring, samplers, the publisher's segments and lists, then the map (on a page):
 *           header, head, publisher's counts, lanes' counts, segment words, records.
 * Units:    fill and taken are in units of RING_UNIT_BYTES.
 * Errors:   ring_open_shaped as ring_open.
 */
#ifndef CORE_RING_LAYOUT_H
#define CORE_RING_LAYOUT_H

#include "core/assert.h"
#include "core/ring.h"

#define RING_MAGIC          0x676e69726e69616dull
#define RING_LAYOUT_VERSION 3u
#define RING_UNIT_BYTES     16u
#define RING_NO_SEGMENT     UINT32_MAX
#define RING_NO_LANE        UINT32_MAX

/* A segment's word is its position and its state; within a position the states only rise. */
enum ring_state { RING_SEG_OPEN, RING_SEG_HELD, RING_SEG_READY, RING_SEG_CLAIMED, RING_SEG_FREE };

#define RING_STATE_BITS 3

static inline uint64_t ring_word(uint64_t position, enum ring_state state)
{
	return position << RING_STATE_BITS | (uint64_t)state;
}

static inline uint64_t ring_position(uint64_t word)
{
	return word >> RING_STATE_BITS;
}

static inline enum ring_state ring_state(uint64_t word)
{
	return (enum ring_state)(word & ((1u << RING_STATE_BITS) - 1));
}

/* committed is the lap (position / K) and the fill in one word: a fill from an earlier lap reads as nothing. 21 bits
 * hold a segment of one largest record; 43 bits of laps do not come round in the life of a machine. */
#define RING_FILL_BITS 21

static_assert((RING_RECORD_BYTES_MAX + sizeof(struct ring_record)) / RING_UNIT_BYTES + 1 <
		      1u << RING_FILL_BITS,
	      "a segment of one largest record fits the fill");

/* What the limits come to. */
struct ring_shape {
	uint32_t segment_count; /* K, a power of two */
	uint32_t segment_bytes; /* a whole number of largest records */
	uint32_t stride_bytes;  /* a largest record, with its meta data */
	uint32_t lap_limit;     /* a lane closes its segment when head is further ahead: K/4 */
	uint32_t held_limit;    /* closed segments that the publisher may have: K/4 */
	uint32_t waiting_limit; /* of those, taken wholly and waiting for releases */
	uint32_t window_count; /* segments with something to take that the publisher tries to see at a time */
};

/* One writer each: the lane's sampler. */
struct ring_lane_counts {
	CACHELINE_ALIGNED _Atomic uint64_t committed;
	_Atomic uint64_t overwritten;
	_Atomic uint64_t
		overwriting; /* about to be counted in overwritten; counted twice for a moment, never missed */
	_Atomic uint64_t dropped;
	_Atomic uint64_t committed_bytes; /* of payload, as the three above */
	_Atomic uint64_t overwritten_bytes;
	_Atomic uint64_t overwriting_bytes;
};

static_assert(sizeof(struct ring_lane_counts) == CACHELINE_BYTES, "a lane's counters share one line");

struct ring_segment {
	CACHELINE_ALIGNED _Atomic uint64_t word;
	_Atomic uint64_t committed;    /* lap and fill; written by the segment's sampler only */
	_Atomic uint64_t record_count; /* set by its sampler before it closes */
	_Atomic uint64_t byte_count;   /* of their payloads */
};

struct ring_map {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t lane_count;
	uint32_t segment_count;
	uint32_t segment_bytes;
	uint64_t config_hash; /* 0 in memory */
	uint64_t epoch;
	CACHELINE_ALIGNED _Atomic uint64_t head; /* next position to be given out; starts at K */
	_Atomic uint64_t
		close_before; /* the publisher's: samplers close what they have open before this position */
	CACHELINE_ALIGNED _Atomic uint64_t taken; /* the publisher's from here */
	_Atomic uint64_t discarded;
	_Atomic uint64_t expired;
	_Atomic uint64_t released;
	_Atomic uint64_t gone_bytes;                       /* of payload: taken, discarded, expired */
	CACHELINE_ALIGNED _Atomic uint64_t losses_located; /* struct ring_losses */
	_Atomic uint64_t losses_dropped;
	_Atomic uint64_t losses_untold[RING_LOSS_KINDS];
};

/* A sampler's own. */
struct ring_sampler {
	CACHELINE_ALIGNED uint64_t position; /* of the open segment */
	uint32_t segment_idx;                /* RING_NO_SEGMENT: none is open */
	uint32_t fill;                       /* committed in it */
	uint32_t record_count;
	uint64_t byte_count; /* of their payloads */
	uint64_t committed_bytes;
	uint32_t reserved_payload_bytes;
	uint32_t reserved_headroom_bytes;
	uint32_t reserved; /* 1: between reserve and commit */
	uint64_t sequence;
};

/* The publisher's own, one a segment. */
struct ring_touched {
	uint64_t position;
	uint32_t seen;     /* fill that the last round saw */
	uint32_t taken;    /* up to here the records are taken, discarded or expired */
	uint32_t holds;    /* taken and not released */
	uint32_t lane_idx; /* RING_NO_LANE until a record was seen */
	uint32_t next_idx; /* the lane's next touched segment */
	uint8_t mine;
	uint8_t closed; /* seen holds all there will ever be, once the round is over */
	uint8_t stream; /* enum ring_stream_kind: in whose queue it is, or will be */
};

/* The publisher's own, one a lane and stream: its touched segments that have more to take, oldest first. */
struct ring_queue {
	uint64_t front_ns; /* commit time of the first record to take, where the lane is in ready_lanes */
	uint64_t expired_count;
	uint32_t first_idx;
	uint32_t last_idx; /* where first_idx is a segment */
};

/* One order in which the publisher takes: all there is, or, once ring_split was called, what is live and what is older
 * each in an order of its own. */
struct ring_stream {
	uint64_t next;             /* position to walk to */
	uint64_t ready_lanes;      /* bit a lane: its first segment has something to take */
	uint32_t ready_count;      /* segments with something to take */
	struct ring_queue *queues; /* one a lane */
};

struct ring_publisher {
	CACHELINE_ALIGNED struct ring_stream streams[RING_STREAM_COUNT];
	uint64_t split;         /* the backlog's walk ends here; up to there the live stream's began */
	uint32_t held_count;    /* touched, known closed, not freed */
	uint32_t waiting_count; /* of these, wholly taken, with holds */
	uint32_t unclosed_count;
	uint32_t *unclosed; /* touched, to be refreshed in each round; of each lane in its order */
	struct ring_touched *touched;
	bool split_is_due;     /* and the live stream goes no further until then */
	_Atomic bool is_split; /* and the backlog was not done when it was last looked at */
	_Atomic uint64_t live_made,
		live_taken; /* for ring_replay_left: committed before the split; taken live after it */
};

struct ring {
	struct ring_limits limits; /* of the pool */
	struct ring_shape shape;
	_Atomic uint64_t keep_messages, keep_bytes,
		keep_age_ns; /* in force: ring_keep; 0 bytes, 0 age: no limit */
	uint64_t block_bytes;
	uint32_t lap_shift; /* log2 K */
	bool in_file;       /* records carry check sums, and marks when they are through */
	struct ring_map *map;
	struct ring_lane_counts *lane_counts;
	struct ring_segment *segments;
	uint8_t *records;
	struct ring_sampler *samplers;
	struct ring_publisher publisher;
};

static_assert(RING_LANES_MAX <= 64, "a lane is a bit of ready_lanes");
static_assert(sizeof(struct ring_record) % RING_UNIT_BYTES == 0, "payloads start aligned");

/* The shape for these limits. -EINVAL for limits out of range. */
NODISCARD int ring_shape_of(const struct ring_limits *limits, struct ring_shape *out);

/* ring_open with a shape of the caller's, for tests of corners that ring_open's shapes keep away from. */
NODISCARD int ring_open_shaped(struct ring **out, const struct ring_limits *limits,
			       const struct ring_shape *shape);

static inline uint32_t ring_segment_idx_of(const struct ring *r, uint64_t position)
{
	return (uint32_t)position & (r->shape.segment_count - 1);
}

static inline struct ring_record *ring_record_at(const struct ring *r, uint32_t segment_idx, uint32_t fill)
{
	return (struct ring_record *)(void *)(r->records + (uint64_t)segment_idx * r->shape.segment_bytes +
					      (uint64_t)fill * RING_UNIT_BYTES);
}

/* Gives a closed segment, of which the publisher holds nothing any more, back to the samplers. */
void ring_segment_free(struct ring *r, uint32_t idx);

/* Over what does not change between commit and release: the head without flags and check sum, and the payload. */
uint32_t ring_record_crc_of(const struct ring_record *rec, const uint8_t *payload);

/* Where the parts of a map lie, from its start. */
struct ring_map_offsets {
	uint64_t lane_counts, segments, records, end;
};
struct ring_map_offsets ring_map_offsets(const struct ring_limits *l, const struct ring_shape *s);

/* Units that a record with these sizes takes. */
static inline uint32_t ring_record_units(uint32_t headroom_bytes, uint32_t payload_bytes)
{
	return (uint32_t)((sizeof(struct ring_record) + headroom_bytes + payload_bytes + RING_UNIT_BYTES -
			   1) /
			  RING_UNIT_BYTES);
}

static inline uint64_t ring_committed_word(const struct ring *r, uint64_t position, uint32_t fill)
{
	return position >> r->lap_shift << RING_FILL_BITS | fill;
}

/* The fill at this position; 0 if the word speaks of another lap. */
static inline uint32_t ring_fill_of(const struct ring *r, uint64_t position, uint64_t committed)
{
	uint64_t fill = committed ^ ring_committed_word(r, position, 0);

	return fill < 1u << RING_FILL_BITS ? (uint32_t)fill : 0;
}

/* Committed, and neither overwritten nor past the publisher: a lower bound for the publisher. */
NODISCARD uint64_t ring_resident_count(const struct ring *r);
/* Of the payloads of these. */
NODISCARD uint64_t ring_resident_bytes(const struct ring *r);

#endif
