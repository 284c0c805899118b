/* core/loss.h - which messages of a target did not get through, and why: the ledger of losses.
 *
 * Purpose:  the records of a ring's lane are numbered from 1 and are taken in that order, so a number that does not follow
 *           the last one is a gap. Every number of a lane that was given to a message is at any time one of: delivered,
 *           in the publisher's hands, in the ring, or in exactly one gap here. The table has the LOSS_GAPS_MAX newest
 *           gaps, the counters of the target have all. A ring from a file begins anew: what it brought is numbered from 1
 *           in its last lane, and the ledger of the process before is gone.
 * Owner:    the target's publisher. Threads: loss_read and loss_newest by any, the rest by the owner. A reader repeats
 *           while a gap is being written: a handful of stores; the writer never waits.
 * Memory:   the caller's struct, and an array of lanes, one a lane of the ring; both all zero at first.
 * Units:    counts are messages, times are monotonic. Errors: none.
 * Source:   the sequence count of each gap is that of core/tag.h.
 *
 * A ring that was split (ring_split) gives two streams of a lane, each in order. The backlog's numbers end where the live
 * stream's begin; where the ring was split again before the backlog was through, what was taken live in between is an
 * island among the backlog's numbers. There are at most LOSS_ISLANDS_MAX of these: loss_can_split says whether there is room.
 *
 * What is thinned away lies between messages that are not, in as many pieces as there are buckets: a gap of these has the first
 * and the last of their numbers and how many they are. The numbers between that were neither delivered nor are in another gap
 * are it.
 *
 * Where a record was seen (it expired or was refused on its way) from and to are its own time. What was overwritten was
 * not seen: it was made after `from` and before `to`, the times of its lane's records on either side. In a gap of records
 * that were not seen those that expired are the newest.
 */
#ifndef CORE_LOSS_H
#define CORE_LOSS_H

#include "core/metrics.h"
#include "core/ring.h"

#define LOSS_GAPS_MAX          256u
#define LOSS_MESSAGE_BYTES_MAX 384u           /* of one that tells of a gap */
#define LOSS_NO_LANE           RING_LANES_MAX /* messages that never had a number */
#define LOSS_ISLANDS_MAX       16u

enum loss_reason {
	LOSS_OVERWRITTEN, /* gave way to newer ones */
	LOSS_EXPIRED,     /* older than max_age or the definition's expiry */
	LOSS_REFUSED,     /* by the server, or its limits do not admit it */
	LOSS_OVERSIZED,   /* larger than the server or the ring takes */
	LOSS_NO_ROOM,     /* every segment of the ring was held */
	LOSS_THINNED,     /* another of its bucket stands for it: `thin` */
};
#define LOSS_REASON_COUNT 6
static_assert(LOSS_REASON_COUNT == RING_LOSS_KINDS, "what is left to the next process has a place for each");

/* "overwritten" "expired" "refused" "oversized" "no room" "thinned" */
const char *loss_reason_text(enum loss_reason reason);

struct loss_gap {
	uint64_t number; /* of the gap: 1 is the first that was found */
	uint32_t lane_idx;
	enum loss_reason reason;
	bool is_quiet;        /* not to be told: a message about losses itself */
	uint64_t first, last; /* 0: without numbers */
	uint64_t count;
	struct mono from, to;
};

struct loss_cell {
	_Atomic uint32_t sequence; /* odd: being written */
	_Atomic uint32_t kinds;    /* reason, is_quiet, lane */
	_Atomic uint64_t number, first, last, count, from_ns, to_ns;
};

/* One stream of a lane. */
struct loss_place {
	uint64_t last_sequence; /* up to here every message is accounted for */
	uint64_t last_ns;       /* when that one was made */
	uint64_t expired_count; /* as ring_lane_expired said last */
};

/* Numbers that were taken live, or are lost and noted, among those of the backlog. */
struct loss_island {
	uint64_t first, last;
};

struct loss_lane {
	struct loss_place streams[RING_STREAM_COUNT];
	uint64_t live_first; /* of a split lane: its first live number; 0: none was seen since */
	uint64_t newest;     /* number of its newest gap */
	bool is_split;
	uint8_t island_count; /* between the backlog's last_sequence and live_first */
	struct loss_island islands[LOSS_ISLANDS_MAX];
};

/* Gaps that had to leave the table before they were told. */
struct loss_sum {
	uint64_t gap_count, count;
	struct mono from, to;
};

struct loss_ledger {
	struct loss_lane *lanes;
	uint32_t lane_count;
	uint64_t newest_unnumbered; /* gap */
	struct loss_cell cells[LOSS_GAPS_MAX];
	_Atomic uint64_t newest;
	uint64_t told; /* gaps up to this number take nothing more in */
	struct loss_sum untold[LOSS_REASON_COUNT];
	uint64_t located_count;                   /* overwritten or expired, and found in a lane */
	uint64_t dropped_count;                   /* of ring_counts */
	uint64_t untold_count[LOSS_REASON_COUNT]; /* messages in gaps that are to be told */
	struct mono looked;
	bool is_split;
	struct target_metrics *metrics; /* lost_* are counted there */
};

/* now: nothing was made before. */
void loss_init(struct loss_ledger *l, struct loss_lane *lanes, uint32_t lane_count,
	       struct target_metrics *metrics, struct mono now);

/* The record was taken from this stream of the ring: does it follow its lane's last one? All that a message costs. */
NODISCARD static inline bool loss_follows(struct loss_ledger *l, const struct ring_record *rec,
					  enum ring_stream_kind kind)
{
	struct loss_place *at = &l->lanes[rec->lane_idx].streams[kind];

	if (UNLIKELY(rec->sequence != at->last_sequence + 1))
		return false;
	at->last_sequence = rec->sequence;
	at->last_ns = rec->time_ns;
	return true;
}

/* It does not: what lies between is lost, or the other stream's. */
void loss_skipped(struct loss_ledger *l, const struct ring *r, const struct ring_record *rec,
		  enum ring_stream_kind kind);

/* Is there room for one more split? Then the ring may be split, and the ledger with it. */
NODISCARD bool loss_can_split(const struct loss_ledger *l);
void loss_split(struct loss_ledger *l, const struct ring *r);

/* The ring gave less than it could have: nothing may be left of what has gone, without a record after it to tell. Also what
 * found no room. A few loads where nothing is new. */
void loss_look(struct loss_ledger *l, struct ring *r, struct mono now);

/* The backlog has ended, and what is missing of it is not noted yet: look. */
NODISCARD static inline bool loss_is_due(const struct loss_ledger *l, const struct ring *r)
{
	return UNLIKELY(l->is_split) && ring_replay_is_done(r);
}

/* A record that was taken is lost after all. */
void loss_record(struct loss_ledger *l, const struct ring_record *rec, enum loss_reason reason,
		 bool is_quiet);
/* Messages without a number. */
void loss_unnumbered(struct loss_ledger *l, enum loss_reason reason, uint64_t count, struct mono from,
		     struct mono to);

/* A lane of what was there before the ledger: made after this. */
void loss_lane_begins(struct loss_ledger *l, uint32_t lane_idx, struct mono from);

/* What is to be told by the process after this one, if this one comes to its end now. Where nobody is ever told, only what has
 * not been found yet. */
void loss_leaves(const struct loss_ledger *l, bool tells, struct ring_losses *out);

/* The number of the newest gap; 0: there is none. */
static inline uint64_t loss_newest(const struct loss_ledger *l)
{
	return atomic_load_explicit(&l->newest, memory_order_acquire);
}

/* The gap of that number. False: there is none, or it has left the table. */
NODISCARD bool loss_read(const struct loss_ledger *l, uint64_t number, struct loss_gap *out);

/* Telling of losses, in the order in which they were found: what is next, and that it was told. A gap of number 0 sums up
 * those of one reason that left the table; *gap_count says how many. False: all was told. */
NODISCARD bool loss_untold(struct loss_ledger *l, struct loss_gap *out, uint64_t *gap_count);
void loss_told(struct loss_ledger *l, const struct loss_gap *gap);

#endif
