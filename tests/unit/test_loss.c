/* tests/unit/test_loss.c - the ledger of losses against a ring, by one thread: each number is accounted for exactly once. */
#include "core/prng.h"
#include "tests/unit/loss_case.h"

static struct world *world_open(uint32_t message_count, uint32_t lane_count, uint64_t max_age_ns)
{
	const struct ring_limits limits = {
		.message_count = message_count,
		.record_bytes_max = HEADROOM + 16,
		.lane_count = lane_count,
		.inflight_max = 16,
		.max_age_ns = max_age_ns,
	};

	return world_of(&limits, NULL);
}

static struct loss_gap gap(const struct world *w, uint64_t number)
{
	struct loss_gap g;

	EXPECT(loss_read(&w->losses, number, &g));
	EXPECT_EQ(g.number, number);
	return g;
}

static void drain(struct world *w)
{
	while (take(w, RING_LIVE, 64) || !ring_idle(w->ring))
		while (w->held_count)
			ring_release(w->ring, unhold(w, 0));
}

TEST(nothing_is_lost_while_everything_is_taken)
{
	struct world *w = world_open(100, 2, 0);

	for (uint32_t i = 0; i < 50; i++) {
		push(w, i % 2, 30);
		drain(w);
	}
	EXPECT_EQ(loss_newest(&w->losses), 0);
	world_close(w);
}

TEST(what_was_overwritten_is_one_gap_before_the_newest)
{
	struct world *w = world_open(100, 1, 0);

	push(w, 0, 10);
	drain(w);
	uint64_t before_ns = w->now_ns;
	push(w, 0, 1000);
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	EXPECT_EQ(w->held[0]->sequence, 911);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 11, 910);
	EXPECT_EQ(gap(w, 1).from.ns, before_ns);
	EXPECT_EQ(gap(w, 1).to.ns, w->held[0]->time_ns);
	EXPECT_EQ(counter_get(&w->metrics.lost_overwritten), 900);
	world_close(w);
}

TEST(a_gap_before_records_that_are_older_than_the_ledger_ends_where_it_begins)
{
	struct world *w = world_open(100, 1, 0);

	w->now_ns = 10;
	push(w, 0, 150);
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 50);
	EXPECT_EQ(gap(w, 1).from.ns, w->held[0]->time_ns);
	EXPECT_EQ(gap(w, 1).to.ns, w->held[0]->time_ns);
	world_close(w);
}

TEST(each_lane_has_its_own_gap)
{
	struct world *w = world_open(100, 2, 0);

	push(w, 0, 300);
	push(w, 1, 130);
	drain(w);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	EXPECT_EQ(counter_get(&w->metrics.lost_overwritten), 330);
	for (uint64_t n = 1; n <= 2; n++)
		if (gap(w, n).lane_idx == 0)
			expect_gap(w, n, LOSS_OVERWRITTEN, 1, 300);
		else
			expect_gap(w, n, LOSS_OVERWRITTEN, 1, 30);
	world_close(w);
}

TEST(what_is_too_old_has_expired_and_what_was_before_it_was_overwritten)
{
	struct world *w = world_open(100, 1, 1000);

	push(w, 0, 150);
	w->now_ns += 950; /* the newest 50 are just young enough */
	drain(w);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 50);
	EXPECT_EQ(gap(w, 2).first, 51);
	EXPECT_EQ(gap(w, 2).reason, LOSS_EXPIRED);
	EXPECT_EQ(gap(w, 2).count, counter_get(&w->metrics.lost_expired));
	EXPECT_EQ(ring_counts(w->ring).expired, gap(w, 2).count);
	world_close(w);
}

TEST(a_gap_at_the_very_end_is_found_though_no_record_follows)
{
	struct world *w = world_open(100, 3, 1000);

	push(w, 2, 20);
	w->now_ns += 10000;
	EXPECT_EQ(take(w, RING_LIVE, 8), 0);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_gap(w, 1, LOSS_EXPIRED, 1, 20);
	EXPECT_EQ(gap(w, 1).lane_idx, 2);
	EXPECT_EQ(gap(w, 1).to.ns, w->now_ns);
	push(w, 2, 1);
	EXPECT_EQ(take(w, RING_LIVE, 8), 1);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	world_close(w);
}

TEST(what_is_in_the_ring_still_is_no_gap)
{
	struct world *w = world_open(100, 1, 0);

	push(w, 0, 150);
	EXPECT_EQ(take(w, RING_LIVE, 10), 10);
	loss_look(&w->losses, w->ring, at(w->now_ns));
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 50);
	world_close(w);
}

TEST(neighbours_of_one_reason_are_one_gap_and_others_are_not)
{
	struct world *w = world_open(100, 1, 0);

	push(w, 0, 8);
	EXPECT_EQ(take(w, RING_LIVE, 8), 8);
	loss_record(&w->losses, w->held[1], LOSS_REFUSED, false);
	loss_record(&w->losses, w->held[2], LOSS_REFUSED, false);
	loss_record(&w->losses, w->held[0], LOSS_REFUSED, false);
	loss_record(&w->losses, w->held[3], LOSS_OVERSIZED, false);
	loss_record(&w->losses, w->held[5], LOSS_OVERSIZED, false);
	EXPECT_EQ(loss_newest(&w->losses), 3);
	expect_gap(w, 1, LOSS_REFUSED, 1, 3);
	EXPECT_EQ(gap(w, 1).from.ns, w->held[0]->time_ns);
	EXPECT_EQ(gap(w, 1).to.ns, w->held[2]->time_ns);
	expect_gap(w, 2, LOSS_OVERSIZED, 4, 4);
	expect_gap(w, 3, LOSS_OVERSIZED, 6, 6);
	EXPECT_EQ(counter_get(&w->metrics.lost_refused), 3);
	EXPECT_EQ(counter_get(&w->metrics.lost_oversized), 2);
	world_close(w);
}

/* Two segments of one record each. */
static struct world *world_open_tiny(void)
{
	struct world *w = world_open(100, 1, 0);
	struct ring_shape shape = {
		.segment_count = 2,
		.segment_bytes = 96,
		.stride_bytes = 96,
		.lap_limit = 2,
		.held_limit = 3,
		.waiting_limit = 3,
		.window_count = 3,
	};
	struct ring_limits limits = {
		.message_count = 100, .record_bytes_max = HEADROOM + 16, .lane_count = 1};

	ring_close(w->ring);
	EXPECT_EQ(ring_open_shaped(&w->ring, &limits, &shape), 0);
	return w;
}

TEST(what_found_no_room_is_counted_with_its_time)
{
	struct world *w = world_open_tiny();
	uint64_t before_ns;

	push(w, 0, 2);
	EXPECT_EQ(take(w, RING_LIVE, 8), 2);
	before_ns = w->now_ns;
	push(w, 0, 3);
	EXPECT_EQ(ring_counts(w->ring).dropped, 3);
	EXPECT_EQ(take(w, RING_LIVE, 8), 0);
	push(w, 0, 2);
	EXPECT_EQ(take(w, RING_LIVE, 8), 0);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	EXPECT_EQ(gap(w, 1).reason, LOSS_NO_ROOM);
	EXPECT_EQ(gap(w, 1).lane_idx, LOSS_NO_LANE);
	EXPECT_EQ(gap(w, 1).count, 5);
	EXPECT_EQ(gap(w, 1).first, 0);
	EXPECT_EQ(gap(w, 1).from.ns, before_ns);
	EXPECT_EQ(gap(w, 1).to.ns, w->now_ns);
	w->now_ns += 2 * NS_PER_S;
	EXPECT_EQ(take(w, RING_LIVE, 8), 0);
	push(w, 0, 1);
	EXPECT_EQ(take(w, RING_LIVE, 8), 0);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	EXPECT_EQ(counter_get(&w->metrics.lost_no_room), 6);
	world_close(w);
}

/* Refuses every other one of count records of a lane: as many gaps. */
static void make_gaps(struct world *w, uint32_t count)
{
	for (uint32_t i = 0; i < 2 * count; i++) {
		push(w, 0, 1);
		EXPECT_EQ(take(w, RING_LIVE, 1), 1);
		struct ring_record *rec = unhold(w, 0);

		if (i % 2)
			loss_record(&w->losses, rec, LOSS_REFUSED, false);
		ring_release(w->ring, rec);
	}
}

TEST(the_newest_gaps_stay_and_older_ones_are_counted)
{
	struct world *w = world_open(100, 1, 0);
	struct loss_gap g;

	make_gaps(w, LOSS_GAPS_MAX + 10);
	EXPECT_EQ(loss_newest(&w->losses), LOSS_GAPS_MAX + 10);
	EXPECT(!loss_read(&w->losses, 0, &g));
	EXPECT(!loss_read(&w->losses, 10, &g));
	EXPECT(loss_read(&w->losses, 11, &g));
	EXPECT(!loss_read(&w->losses, LOSS_GAPS_MAX + 11, &g));
	EXPECT_EQ(counter_get(&w->metrics.lost_refused), LOSS_GAPS_MAX + 10);
	world_close(w);
}

TEST(gaps_are_told_once_in_order_and_those_that_left_the_table_as_a_sum)
{
	struct world *w = world_open(100, 1, 0);
	struct loss_gap g;
	uint64_t gap_count, told = 0;

	make_gaps(w, LOSS_GAPS_MAX + 10);
	EXPECT(loss_untold(&w->losses, &g, &gap_count));
	EXPECT_EQ(g.number, 0);
	EXPECT_EQ(gap_count, 10);
	EXPECT_EQ(g.count, 10);
	EXPECT_EQ(g.reason, LOSS_REFUSED);
	loss_told(&w->losses, &g);
	while (loss_untold(&w->losses, &g, &gap_count)) {
		EXPECT_EQ(gap_count, 1);
		EXPECT_EQ(g.number, 11 + told++);
		loss_told(&w->losses, &g);
	}
	EXPECT_EQ(told, LOSS_GAPS_MAX);
	world_close(w);
}

TEST(what_was_not_told_is_left_to_the_next_process)
{
	struct world *w = world_open(100, 1, 0);
	struct ring_losses left;
	struct loss_gap g;
	uint64_t gap_count;

	make_gaps(w, LOSS_GAPS_MAX + 10);
	push(w, 0, 1);
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	loss_record(&w->losses, w->held[0], LOSS_REFUSED, true); /* one that is not to be told */
	loss_leaves(&w->losses, true, &left);
	EXPECT_EQ(left.untold[LOSS_REFUSED], LOSS_GAPS_MAX + 10);
	EXPECT_EQ(left.untold[LOSS_OVERWRITTEN], 0);
	for (uint32_t i = 0; i < 2; i++) { /* a sum of eleven, and a gap */
		EXPECT(loss_untold(&w->losses, &g, &gap_count));
		loss_told(&w->losses, &g);
	}
	loss_leaves(&w->losses, true, &left);
	EXPECT_EQ(left.untold[LOSS_REFUSED], LOSS_GAPS_MAX + 10 - 12);
	loss_leaves(&w->losses, false, &left);
	EXPECT_EQ(left.untold[LOSS_REFUSED], 0);
	world_close(w);
}

TEST(what_was_found_and_what_was_dropped_is_left_to_the_next_process)
{
	struct world *w = world_open(10, 1, 0);
	struct ring_losses left;

	push(w, 0, 30);
	loss_leaves(&w->losses, true, &left);
	EXPECT_EQ(left.located_count, 0);
	EXPECT_EQ(take(w, RING_LIVE, 10), 10);
	loss_leaves(&w->losses, true, &left);
	EXPECT_EQ(left.located_count, 20);
	EXPECT_EQ(left.untold[LOSS_OVERWRITTEN], 20);
	EXPECT_EQ(left.dropped_count, w->losses.dropped_count);
	while (w->held_count)
		ring_release(w->ring, unhold(w, 0));
	world_close(w);
}

TEST(a_gap_that_was_told_takes_nothing_more_in)
{
	struct world *w = world_open(100, 1, 0);
	struct loss_gap g;
	uint64_t gap_count;

	push(w, 0, 3);
	EXPECT_EQ(take(w, RING_LIVE, 3), 3);
	loss_record(&w->losses, w->held[0], LOSS_REFUSED, false);
	EXPECT(loss_untold(&w->losses, &g, &gap_count));
	loss_told(&w->losses, &g);
	loss_record(&w->losses, w->held[1], LOSS_REFUSED, false);
	loss_record(&w->losses, w->held[2], LOSS_REFUSED, false);
	EXPECT(loss_untold(&w->losses, &g, &gap_count));
	EXPECT_EQ(g.first, 2);
	EXPECT_EQ(g.last, 3);
	world_close(w);
}

/* Every other one of 40, and later one more: a bucket's messages are never in a row. */
TEST(what_is_thinned_away_is_one_gap_with_its_own_count)
{
	struct world *w = world_open(100, 2, 0);

	push(w, 0, 40);
	push(w, 1, 4);
	EXPECT_EQ(take(w, RING_LIVE, 44), 44);
	for (uint32_t i = 0; i < 40; i += 2)
		loss_record(&w->losses, w->held[i], LOSS_THINNED, false);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	EXPECT_EQ(gap(w, 1).reason, LOSS_THINNED);
	EXPECT_EQ(gap(w, 1).first, 1);
	EXPECT_EQ(gap(w, 1).last, 39);
	EXPECT_EQ(gap(w, 1).count, 20);
	EXPECT_EQ(counter_get(&w->metrics.lost_thinned), 20);
	loss_record(&w->losses, w->held[41], LOSS_THINNED, false); /* of the other lane */
	EXPECT_EQ(loss_newest(&w->losses), 2);
	EXPECT_EQ(gap(w, 2).lane_idx, 1);
	EXPECT_EQ(gap(w, 2).count, 1);
	world_close(w);
}

TEST(losses_of_messages_about_losses_are_not_told)
{
	struct world *w = world_open(100, 1, 0);
	struct loss_gap g;
	uint64_t gap_count;

	push(w, 0, 3);
	EXPECT_EQ(take(w, RING_LIVE, 3), 3);
	loss_record(&w->losses, w->held[0], LOSS_REFUSED, true);
	loss_record(&w->losses, w->held[1], LOSS_REFUSED, false);
	EXPECT(loss_untold(&w->losses, &g, &gap_count));
	EXPECT_EQ(g.first, 2);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	loss_told(&w->losses, &g);
	EXPECT(!loss_untold(&w->losses, &g, &gap_count));
	loss_record(&w->losses, w->held[2], LOSS_REFUSED, true);
	EXPECT(!loss_untold(&w->losses, &g, &gap_count));
	world_close(w);
}

/* --- each number exactly once ------------------------------------------------------------------------------------------ */

/* One of what is held: through, refused, given up or expired. */
static void let_one_go(struct world *w, struct prng *prng)
{
	struct ring_record *rec = unhold(w, prng_below(prng, w->held_count));

	switch (prng_below(prng, 8)) {
	case 0: loss_record(&w->losses, rec, LOSS_REFUSED, false); break;
	case 1:
		loss_record(&w->losses, rec, LOSS_OVERWRITTEN, false);
		ring_give_up(w->ring, rec);
		return;
	case 2:
		loss_record(&w->losses, rec, LOSS_EXPIRED, false);
		ring_expire(w->ring, rec);
		return;
	default: set_fate(w, rec->lane_idx, rec->sequence, DELIVERED); break;
	}
	ring_release(w->ring, rec);
}

/* The gaps that are new, or not closed: all are kept here, as the table forgets. */
static void collect(struct world *w)
{
	struct loss_gap g;
	uint64_t gap_count;

	while (loss_untold(&w->losses, &g, &gap_count)) {
		EXPECT_NE(g.number, 0);
		for (uint64_t n = g.first; g.lane_idx != LOSS_NO_LANE && n <= g.last; n++)
			set_fate(w, g.lane_idx, n, LOST);
		loss_told(&w->losses, &g);
	}
}

TEST(every_number_of_a_lane_is_delivered_held_in_the_ring_or_in_one_gap)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct prng prng = {.state = seed};
		uint32_t lane_count = 1 + prng_below(&prng, 4);
		struct world *w = world_open(20 + prng_below(&prng, 100), lane_count,
					     prng_below(&prng, 2) ? 400 : 0);

		for (uint32_t turn = 0; turn < 300; turn++) {
			push(w, prng_below(&prng, lane_count), prng_below(&prng, turn % 20 ? 20 : 400));
			if (prng_below(&prng, 3)) /* else: the target is away */
				(void)take(w, RING_LIVE, prng_below(&prng, 40));
			while (w->held_count && prng_below(&prng, 8))
				let_one_go(w, &prng);
			if (prng_below(&prng, 10) == 0)
				w->now_ns += 300;
			collect(w);
			for (uint32_t i = 0; i < w->held_count; i++)
				EXPECT_EQ(w->fates[w->held[i]->lane_idx][w->held[i]->sequence], MADE);
		}
		while (take(w, RING_LIVE, 64) || !ring_idle(w->ring) || w->held_count) {
			while (w->held_count)
				let_one_go(w, &prng);
			collect(w);
		}
		for (uint32_t lane_idx = 0; lane_idx < lane_count; lane_idx++)
			for (uint64_t n = 1; n <= w->made[lane_idx]; n++)
				EXPECT(w->fates[lane_idx][n] == DELIVERED || w->fates[lane_idx][n] == LOST);
		expect_books(w);
		world_close(w);
	}
}
