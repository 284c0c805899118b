/* core/thin.h - of many messages a few: what of each channel and bucket of time is kept, and when it goes.
 *
 * Purpose:  the table behind `thin`: each channel has at most one bucket open, and of it one or two records: the newest; those
 *           with the smallest and the largest value; or the newest with the average of all. What a record pushes out, and
 *           what a bucket leaves when it ends, is the caller's to release and to send.
 *
 *     thin_add -> OPEN -thin_reached, thin_end, thin_end_all-> ENDED -thin_front, thin_pop-> EMPTY
 *
 * Owner:    the caller, one thread. Threads: pure but for thin_open.
 * Memory:   72 bytes a channel, in thin_open; records are borrowed and not looked into but for their time.
 * Units:    times in nanoseconds, of any clock that is the same for all; a bucket is its time divided by bucket_ns.
 * Errors:   -ENOMEM from thin_open; none later.
 *
 * Order: buckets end in the order in which they were opened, lane by lane; the records of one in the order of their time. What
 * has ended goes before anything else is added, so that a channel's messages stay in their order.
 */
#ifndef CORE_THIN_H
#define CORE_THIN_H

#include "core/config.h"
#include "core/ring.h"

struct thin_slot {
	uint64_t bucket, count;
	double low, high; /* CFG_THIN_AVERAGE: low is the sum */
	struct ring_record *first,
		*second; /* min-max: of the smallest and the largest, once ended in order of time; else first alone */
	uint32_t older, newer; /* in the list of its lane, or of those that have ended; + 1 */
	uint32_t lane_idx;
	uint8_t keep; /* enum cfg_thin; CFG_THIN_NONE: empty */
	bool has_ended;
};

struct thin_list {
	uint32_t oldest, newest; /* slots + 1 */
};

struct thin {
	struct thin_slot *slots;
	uint32_t slot_count;
	uint64_t bucket_ns;
	struct thin_list open[RING_LANES_MAX];
	struct thin_list ended;
	uint32_t held_count; /* records here */
	uint32_t open_count; /* buckets that have not ended */
};

/* A record as the table is to see it. */
struct thin_item {
	struct ring_record *rec;
	uint32_t channel; /* below channel_count */
	uint32_t lane_idx;
	uint64_t time_ns;
	enum cfg_thin keep; /* not CFG_THIN_NONE */
	double value;       /* finite; of CFG_THIN_LAST any */
};

struct thin_out {
	struct ring_record *rec;
	bool is_average; /* of more than this one */
	double average;
};

NODISCARD int thin_open(struct thin *t, uint32_t channel_count, uint64_t bucket_ns);
void thin_close(struct thin *t);

/* The lane has come to this time: its buckets before that end. */
void thin_reached(struct thin *t, uint32_t lane_idx, uint64_t time_ns);

/* Has the channel a bucket open? */
NODISCARD static inline bool thin_is_open(const struct thin *t, uint32_t channel)
{
	return t->slots[channel].keep != CFG_THIN_NONE;
}

/* Can it go into the channel's bucket as it is, or into a new one? If not, that has to end first. */
NODISCARD bool thin_takes(const struct thin *t, const struct thin_item *item);
/* It does. Returns the record that is kept no more, which may be this one; NULL: none. Nothing is left of what has ended. */
NODISCARD struct ring_record *thin_add(struct thin *t, const struct thin_item *item);

/* The channel's bucket ends, or all of them. */
void thin_end(struct thin *t, uint32_t channel);
void thin_end_all(struct thin *t);

/* What is to go next, and that it has gone. False: nothing has ended. */
NODISCARD bool thin_front(const struct thin *t, struct thin_out *out);
void thin_pop(struct thin *t);

#endif
