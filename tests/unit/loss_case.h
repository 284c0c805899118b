/* tests/unit/loss_case.h - a ring and its ledger of losses, and what the test knows of each number.
 *
 * Purpose:  samplers push, the target takes and looks; no number comes to two ends.
 * Owner:    each test has its own world, by one thread. Errors: a failed expectation ends the test.
 */
#ifndef TESTS_UNIT_LOSS_CASE_H
#define TESTS_UNIT_LOSS_CASE_H

#include <stdlib.h>
#include <string.h>

#include "core/loss.h"
#include "core/ring_layout.h"
#include "tests/test.h"

#define HEADROOM     32u
#define LANES_MAX    4u
#define SEQUENCE_MAX 40000u

/* What a number has come to, as the test knows it. */
enum fate { MADE, DELIVERED, LOST };

struct world {
	struct ring *ring;
	struct loss_ledger losses;
	struct loss_lane lanes[RING_LANES_MAX];
	struct target_metrics metrics;
	uint64_t now_ns;
	uint64_t made[LANES_MAX];
	struct ring_record *held[64];
	uint32_t held_count;
	uint8_t fates[LANES_MAX][SEQUENCE_MAX + 1];
	uint64_t lost[LANES_MAX][LOSS_REASON_COUNT]; /* as the gaps say */
	uint64_t let_expire[LANES_MAX];              /* after they were taken */
	bool split_is_due;
};

static inline struct mono at(uint64_t ns)
{
	return (struct mono){.ns = ns};
}

static inline struct world *world_of(const struct ring_limits *limits, const struct ring_shape *shape)
{
	struct world *w = calloc(1, sizeof(*w));

	EXPECT(w != NULL);
	EXPECT_EQ(shape ? ring_open_shaped(&w->ring, limits, shape) : ring_open(&w->ring, limits), 0);
	w->now_ns = 1000;
	loss_init(&w->losses, w->lanes, ARRAY_COUNT(w->lanes), &w->metrics, at(w->now_ns));
	return w;
}

static inline void world_close(struct world *w)
{
	ring_close(w->ring);
	free(w);
}

static inline void push(struct world *w, uint32_t lane_idx, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *payload = ring_reserve(w->ring, lane_idx, HEADROOM, 16, at(++w->now_ns));

		if (!payload)
			continue;
		EXPECT_EQ(ring_next_sequence(w->ring, lane_idx), w->made[lane_idx] + 1);
		memset(payload, 0, 16);
		ring_commit(w->ring, lane_idx, 0, 16, at(w->now_ns));
		w->made[lane_idx]++;
	}
}

static inline void set_fate(struct world *w, uint32_t lane_idx, uint64_t sequence, enum fate fate)
{
	EXPECT(sequence >= 1);
	EXPECT_LE(sequence, w->made[lane_idx]);
	EXPECT_LE(sequence, SEQUENCE_MAX);
	EXPECT_EQ(w->fates[lane_idx][sequence], MADE); /* nothing before: no number comes to two ends */
	w->fates[lane_idx][sequence] = (uint8_t)fate;
}

/* As the target takes: up to room records, into held. */
static inline uint32_t take(struct world *w, enum ring_stream_kind kind, uint32_t room)
{
	struct ring_record **fresh = w->held + w->held_count;
	uint32_t count;

	room = (uint32_t)min_u64(room, ARRAY_COUNT(w->held) - w->held_count);
	if (room == 0)
		return 0;
	count = kind == RING_LIVE ? ring_take(w->ring, fresh, room, at(w->now_ns))
				  : ring_take_replay(w->ring, fresh, room, at(w->now_ns));
	for (uint32_t i = 0; i < count; i++) {
		EXPECT_EQ(w->fates[fresh[i]->lane_idx][fresh[i]->sequence], MADE);
		if (!loss_follows(&w->losses, fresh[i], kind))
			loss_skipped(&w->losses, w->ring, fresh[i], kind);
	}
	if (count < room)
		loss_look(&w->losses, w->ring, at(w->now_ns));
	w->held_count += count;
	return count;
}

static inline struct ring_record *unhold(struct world *w, uint32_t idx)
{
	struct ring_record *rec = w->held[idx];

	w->held[idx] = w->held[--w->held_count];
	return rec;
}

static inline void expect_gap(const struct world *w, uint64_t number, enum loss_reason reason, uint64_t first,
			      uint64_t last)
{
	struct loss_gap g;

	EXPECT(loss_read(&w->losses, number, &g));
	EXPECT_EQ(g.first, first);
	EXPECT_EQ(g.last, last);
	EXPECT_EQ(g.count, last - first + 1);
	EXPECT_TEXT(loss_reason_text(g.reason), loss_reason_text(reason));
}

/* The books of the ring and of the ledger are the same. */
static inline void expect_books(const struct world *w)
{
	struct ring_counts c = ring_counts(w->ring);

	EXPECT_EQ(counter_get(&w->metrics.lost_overwritten), c.overwritten);
	EXPECT_EQ(counter_get(&w->metrics.lost_expired), c.expired);
	EXPECT_EQ(counter_get(&w->metrics.lost_no_room), c.dropped);
}

#endif
