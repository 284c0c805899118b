/* tests/unit/test_loss_split.c - the ledger of losses over a ring in two streams: each number has one end, for the right
 * reason. */
#include "core/prng.h"
#include "tests/unit/loss_case.h"

/* Each message has a segment of its own: all are closed but the newest of each lane. */
static struct world *world_open_tiny(uint32_t lane_count)
{
	const struct ring_limits limits = {
		.message_count = 1000, .record_bytes_max = HEADROOM + 16, .lane_count = lane_count};
	const struct ring_shape shape = {
		.segment_count = 64,
		.segment_bytes = 96,
		.stride_bytes = 96,
		.lap_limit = 64,
		.held_limit = 16,
		.waiting_limit = 16 - lane_count - 1,
		.window_count = lane_count + 3,
	};

	return world_of(&limits, &shape);
}

/* The gaps that are new: all are kept here, as the table forgets, and as none takes more in once it was told. */
static void collect(struct world *w)
{
	struct loss_gap g;
	uint64_t gap_count;

	while (loss_untold(&w->losses, &g, &gap_count)) {
		EXPECT_NE(g.number, 0);
		if (g.lane_idx != LOSS_NO_LANE) {
			EXPECT_EQ(g.count, g.last - g.first + 1);
			EXPECT(g.from.ns <= g.to.ns);
			for (uint64_t n = g.first; n <= g.last; n++)
				set_fate(w, g.lane_idx, n, LOST);
			w->lost[g.lane_idx][g.reason] += g.count;
		}
		loss_told(&w->losses, &g);
	}
}

static void deliver_all(struct world *w)
{
	while (w->held_count) {
		struct ring_record *rec = unhold(w, 0);

		set_fate(w, rec->lane_idx, rec->sequence, DELIVERED);
		ring_release(w->ring, rec);
	}
}

static uint32_t deliver(struct world *w, enum ring_stream_kind kind, uint32_t room)
{
	uint32_t count = take(w, kind, room);

	deliver_all(w);
	return count;
}

static void drain(struct world *w, enum ring_stream_kind kind)
{
	while (deliver(w, kind, 64))
		;
}

static bool split(struct world *w)
{
	if (!loss_can_split(&w->losses))
		return false;
	w->split_is_due = !ring_split(w->ring);
	if (w->split_is_due)
		return false;
	loss_split(&w->losses, w->ring);
	return true;
}

/* --- one backlog -------------------------------------------------------------------------------------------------- */

TEST(a_split_loses_nothing_by_itself)
{
	struct world *w = world_open_tiny(2);

	push(w, 0, 8);
	push(w, 1, 8);
	EXPECT(split(w));
	push(w, 0, 4);
	drain(w, RING_LIVE);
	push(w, 1, 4);
	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 0);
	collect(w);
	for (uint64_t n = 1; n <= 12; n++)
		EXPECT(w->fates[0][n] == DELIVERED && w->fates[1][n] == DELIVERED);
	world_close(w);
}

TEST(what_of_the_backlog_gave_way_is_one_gap_before_what_of_it_came)
{
	struct world *w = world_open_tiny(1);

	push(w, 0, 10);
	EXPECT(split(w)); /* 1..10 */
	push(w, 0, 5);
	EXPECT_EQ(ring_keep(w->ring, 10, 0, 0), 0);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 0); /* not known before something follows */
	EXPECT_EQ(take(w, RING_REPLAY, 1), 1);
	EXPECT_EQ(w->held[0]->sequence, 6);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 5);
	deliver_all(w);
	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_books(w);
	world_close(w);
}

TEST(a_gap_at_the_end_of_the_backlog_is_found_when_nothing_is_left_of_it)
{
	struct world *w = world_open_tiny(1);

	push(w, 0, 10);
	EXPECT(split(w));
	EXPECT_EQ(deliver(w, RING_REPLAY, 2), 2);
	push(w, 0, 1);
	EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
	push(w, 0, 5);
	/* 13 and on: it costs the backlog its rest, and the 12th. */
	EXPECT_EQ(ring_keep(w->ring, 4, 0, 0), 0);
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	EXPECT_EQ(w->held[0]->sequence, 13);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 12, 12);
	deliver_all(w);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	expect_gap(w, 2, LOSS_OVERWRITTEN, 3, 10);
	EXPECT(!w->losses.is_split);
	expect_books(w);
	world_close(w);
}

TEST(after_the_backlog_a_lane_has_one_order_again)
{
	struct world *w = world_open_tiny(2);

	push(w, 0, 10);
	push(w, 1, 1);
	EXPECT(split(w));
	EXPECT(w->losses.is_split);
	drain(w, RING_LIVE);
	drain(w, RING_REPLAY);
	EXPECT_EQ(take(w, RING_LIVE, 1), 0); /* it looks */
	EXPECT(!w->losses.is_split);
	EXPECT_EQ(w->losses.lanes[0].streams[RING_LIVE].last_sequence, 10);
	EXPECT_EQ(w->losses.lanes[1].streams[RING_LIVE].last_sequence, 1);
	push(w, 0, 20);
	EXPECT_EQ(ring_keep(w->ring, 5, 0, 0), 0);
	EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 11, 25);
	push(w, 1, 9);
	drain(w, RING_LIVE);
	collect(w);
	EXPECT_EQ(w->lost[1][LOSS_OVERWRITTEN], 4);
	expect_books(w);
	world_close(w);
}

TEST(a_lane_from_which_nothing_came_live_goes_on_where_its_backlog_ended)
{
	struct world *w = world_open_tiny(1);

	push(w, 0, 1);
	EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
	push(w, 0, 9); /* the first closes the segment of the one before */
	EXPECT(split(w));
	drain(w, RING_REPLAY); /* 2..10 */
	EXPECT_EQ(take(w, RING_LIVE, 0), 0);
	loss_look(&w->losses, w->ring, at(w->now_ns));
	EXPECT(!w->losses.is_split);
	EXPECT_EQ(w->losses.lanes[0].streams[RING_LIVE].last_sequence, 10);
	push(w, 0, 3);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 0);
	world_close(w);
}

/* --- reasons ------------------------------------------------------------------------------------------------------ */

TEST(a_backlog_that_expired_has_expired_though_nothing_follows_it)
{
	struct world *w = world_open_tiny(1);

	EXPECT_EQ(ring_keep(w->ring, 1000, 0, 100), 0);
	push(w, 0, 10);
	EXPECT_EQ(deliver(w, RING_LIVE, 2), 2);
	EXPECT(split(w));
	w->now_ns += 1000;
	EXPECT_EQ(take(w, RING_LIVE, 1), 0);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	expect_gap(w, 1, LOSS_EXPIRED, 3, 10);
	expect_books(w);
	push(w, 0, 3);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 1);
	world_close(w);
}

TEST(what_expired_live_before_anything_came_live_has_expired_too)
{
	struct world *w = world_open_tiny(1);

	EXPECT_EQ(ring_keep(w->ring, 1000, 0, 100), 0);
	push(w, 0, 10);
	EXPECT(split(w));
	push(w, 0, 10);
	w->now_ns += 1000; /* 1..10 of the backlog, 11..20 live */
	push(w, 0, 3);
	EXPECT_EQ(deliver(w, RING_LIVE, 64), 3);
	collect(w);
	EXPECT_EQ(w->lost[0][LOSS_EXPIRED], 20);
	EXPECT_EQ(w->lost[0][LOSS_OVERWRITTEN], 0);
	expect_books(w);
	world_close(w);
}

TEST(what_gave_way_of_the_backlog_is_not_taken_for_what_expired_live)
{
	struct world *w = world_open_tiny(1);

	push(w, 0, 20);
	EXPECT(split(w)); /* 1..20 */
	push(w, 0, 5);
	EXPECT_EQ(ring_keep(w->ring, 15, 0, 0), 0);
	EXPECT_EQ(take(w, RING_REPLAY, 0), 0);
	EXPECT_EQ(ring_take(w->ring, NULL, 0, at(w->now_ns)), 0); /* 1..10 give way */
	w->now_ns += 1000;
	push(w, 0, 3);
	EXPECT_EQ(ring_keep(w->ring, 18, 0, 100), 0);
	EXPECT_EQ(deliver(w, RING_LIVE, 64), 3); /* 11..25 expire, the backlog's and the live ones */
	EXPECT_EQ(loss_newest(&w->losses), 3);
	expect_gap(w, 1, LOSS_EXPIRED, 21, 25);
	expect_gap(w, 2, LOSS_OVERWRITTEN, 1, 10);
	expect_gap(w, 3, LOSS_EXPIRED, 11, 20);
	expect_books(w);
	world_close(w);
}

/* --- islands ------------------------------------------------------------------------------------------------------ */

/* 1..10 are the backlog, 11..13 come live, and 14..20 join the backlog. */
static struct world *world_with_an_island(void)
{
	struct world *w = world_open_tiny(1);

	push(w, 0, 10);
	EXPECT(split(w));
	push(w, 0, 3);
	drain(w, RING_LIVE);
	push(w, 0, 7);
	EXPECT(split(w));
	EXPECT_EQ(w->losses.lanes[0].island_count, 1);
	return w;
}

TEST(what_came_live_between_two_splits_is_no_gap_of_the_backlog)
{
	struct world *w = world_with_an_island();

	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 0);
	EXPECT_EQ(w->losses.lanes[0].island_count, 0);
	EXPECT_EQ(w->losses.lanes[0].streams[RING_LIVE].last_sequence, 20);
	world_close(w);
}

TEST(a_gap_around_an_island_is_two)
{
	struct world *w = world_with_an_island();

	EXPECT_EQ(ring_keep(w->ring, 4, 0, 0), 0); /* 17..20 stay */
	EXPECT_EQ(deliver(w, RING_REPLAY, 1), 1);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 10);
	expect_gap(w, 2, LOSS_OVERWRITTEN, 14, 16);
	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	expect_books(w);
	world_close(w);
}

TEST(a_backlog_that_is_lost_wholly_is_a_gap_on_each_side_of_its_island)
{
	struct world *w = world_with_an_island();

	EXPECT_EQ(ring_keep(w->ring, 1, 0, 0), 0);
	push(w, 0, 1);
	EXPECT_EQ(deliver(w, RING_LIVE, 64), 1);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 10);
	expect_gap(w, 2, LOSS_OVERWRITTEN, 14, 20);
	expect_books(w);
	world_close(w);
}

TEST(of_gaps_around_an_island_the_older_gave_way_and_the_newer_expired)
{
	struct world *w = world_with_an_island();

	EXPECT_EQ(ring_keep(w->ring, 7, 0, 0), 0); /* 1..10 give way, 14..20 stay */
	EXPECT_EQ(ring_take(w->ring, NULL, 0, at(w->now_ns)), 0);
	EXPECT_EQ(ring_keep(w->ring, 1000, 0, 3), 0); /* of them 14..16 are too old */
	EXPECT_EQ(deliver(w, RING_REPLAY, 1), 1);
	EXPECT_EQ(loss_newest(&w->losses), 2);
	expect_gap(w, 1, LOSS_OVERWRITTEN, 1, 10);
	expect_gap(w, 2, LOSS_EXPIRED, 14, 16);
	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	expect_books(w);
	world_close(w);
}

TEST(an_island_lies_behind_what_the_backlog_has_come_to)
{
	struct world *w = world_with_an_island();

	EXPECT_EQ(deliver(w, RING_REPLAY, 4), 4);
	EXPECT_EQ(w->losses.lanes[0].island_count, 1);
	EXPECT_EQ(deliver(w, RING_REPLAY, 7), 7); /* 5..10, and 14 on the other side */
	EXPECT_EQ(w->losses.lanes[0].island_count, 0);
	EXPECT_EQ(loss_newest(&w->losses), 0);
	world_close(w);
}

/* Splits again and again before the backlog comes to an end: each time something came live in between. */
TEST(with_all_its_islands_the_ledger_takes_no_split_until_one_is_passed)
{
	struct world *w = world_open_tiny(1);

	push(w, 0, 3);
	EXPECT(split(w));
	for (uint32_t i = 0; i < LOSS_ISLANDS_MAX; i++) {
		EXPECT(loss_can_split(&w->losses));
		push(w, 0, 1);
		EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
		push(w, 0, 1);
		EXPECT(split(w));
		EXPECT_EQ(w->losses.lanes[0].island_count, i + 1);
	}
	EXPECT(!loss_can_split(&w->losses));
	EXPECT_EQ(deliver(w, RING_REPLAY, 3), 3); /* before the first island */
	EXPECT(!loss_can_split(&w->losses));
	EXPECT_EQ(deliver(w, RING_REPLAY, 1), 1); /* behind it */
	EXPECT(loss_can_split(&w->losses));
	push(w, 0, 1);
	EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
	push(w, 0, 1);
	EXPECT(split(w));
	EXPECT(!loss_can_split(&w->losses));
	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	EXPECT(loss_can_split(&w->losses));
	EXPECT_EQ(w->losses.lanes[0].island_count, 0);
	EXPECT_EQ(loss_newest(&w->losses), 0);
	collect(w);
	for (uint64_t n = 1; n <= w->made[0]; n++)
		EXPECT_EQ(w->fates[0][n], DELIVERED);
	world_close(w);
}

TEST(a_lane_from_which_nothing_came_live_between_two_splits_gets_no_island)
{
	struct world *w = world_open_tiny(2);

	push(w, 1, 1);
	EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
	push(w, 0, 3);
	EXPECT(split(w));
	for (uint32_t i = 0; i < 3; i++) {
		push(w, 0, 1);
		EXPECT_EQ(deliver(w, RING_LIVE, 1), 1);
		push(w, 0, 1);
		EXPECT(split(w));
	}
	EXPECT_EQ(w->losses.lanes[0].island_count, 3);
	EXPECT_EQ(w->losses.lanes[1].island_count, 0);
	push(w, 1, 2);
	drain(w, RING_LIVE);
	drain(w, RING_REPLAY);
	drain(w, RING_LIVE);
	EXPECT_EQ(loss_newest(&w->losses), 0);
	world_close(w);
}

/* --- by chance ---------------------------------------------------------------------------------------------------- */

static struct world *world_by_chance(struct prng *p, uint32_t lane_count)
{
	const struct ring_limits limits = {
		.message_count = 20 + prng_below(p, 150),
		.record_bytes_max = HEADROOM + 16,
		.lane_count = lane_count,
		.inflight_max = 16,
		.max_age_ns = prng_below(p, 2) ? 400 : 0,
		.byte_count = prng_below(p, 2) ? 1000 : 0,
		.headroom_bytes_max = HEADROOM,
	};

	return prng_below(p, 3) ? world_of(&limits, NULL) : world_open_tiny(lane_count);
}

/* One of what is held: through, refused, given up or expired. */
static void let_one_go(struct world *w, struct prng *p)
{
	struct ring_record *rec = unhold(w, prng_below(p, w->held_count));

	switch (prng_below(p, 8)) {
	case 0: loss_record(&w->losses, rec, LOSS_REFUSED, false); break;
	case 1:
		loss_record(&w->losses, rec, LOSS_OVERWRITTEN, false);
		ring_give_up(w->ring, rec);
		return;
	case 2:
		w->let_expire[rec->lane_idx]++;
		loss_record(&w->losses, rec, LOSS_EXPIRED, false);
		ring_expire(w->ring, rec);
		return;
	default: set_fate(w, rec->lane_idx, rec->sequence, DELIVERED); break;
	}
	ring_release(w->ring, rec);
}

static void step_by_chance(struct world *w, struct prng *p, uint32_t turn)
{
	uint32_t lane_count = ring_lane_count(w->ring);

	push(w, prng_below(p, lane_count), prng_below(p, turn % 20 ? 20 : 400));
	if (w->split_is_due || prng_below(p, 9) == 0)
		(void)split(w);
	if (prng_below(p, 3)) /* else: the target is away */
		(void)take(w, RING_LIVE, prng_below(p, 40));
	if (prng_below(p, 3))
		(void)take(w, RING_REPLAY, prng_below(p, 20));
	while (w->held_count && prng_below(p, 8))
		let_one_go(w, p);
	if (prng_below(p, 10) == 0)
		w->now_ns += 300;
	collect(w);
	for (uint32_t i = 0; i < w->held_count; i++)
		EXPECT_EQ(w->fates[w->held[i]->lane_idx][w->held[i]->sequence], MADE);
}

static void finish_by_chance(struct world *w, struct prng *p)
{
	do {
		while (w->held_count)
			let_one_go(w, p);
		if (w->split_is_due)
			(void)split(w);
		(void)take(w, RING_LIVE, 64);
		(void)take(w, RING_REPLAY, 64);
		collect(w);
	} while (w->held_count || w->split_is_due || !ring_drained(w->ring));
	loss_look(&w->losses, w->ring, at(w->now_ns));
	collect(w);
}

TEST(every_number_ends_delivered_or_in_one_gap_of_the_right_reason)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct prng p = {.state = seed};
		uint32_t lane_count = 1 + prng_below(&p, LANES_MAX);
		struct world *w = world_by_chance(&p, lane_count);

		for (uint32_t turn = 0; turn < 250; turn++)
			step_by_chance(w, &p, turn);
		finish_by_chance(w, &p);
		for (uint32_t i = 0; i < lane_count; i++) {
			uint64_t expired = ring_lane_expired(w->ring, i, RING_LIVE) +
					   ring_lane_expired(w->ring, i, RING_REPLAY) + w->let_expire[i];

			for (uint64_t n = 1; n <= w->made[i]; n++)
				EXPECT_NE(w->fates[i][n], MADE);
			EXPECT_EQ(w->lost[i][LOSS_EXPIRED], expired);
		}
		expect_books(w);
		world_close(w);
	}
}
