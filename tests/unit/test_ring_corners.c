/* tests/unit/test_ring_corners.c - the corners of the ring's own books: what a lap leaves behind, what is idle and drained,
 * limits that are met exactly, what goes in one call. Shapes are made by hand, so small or so large that each can be reached.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring_layout.h"
#include "tests/test.h"

#define HEADROOM 16u

static struct mono at(uint64_t ns)
{
	return (struct mono){.ns = ns};
}

/* So many records of 16 bytes a segment; no limit is in the way. */
static struct ring *ring_new(uint32_t segment_count, uint32_t records_a_segment, uint32_t lane_count)
{
	const struct ring_limits limits = {.message_count = RING_MESSAGES_MAX,
					   .record_bytes_max = HEADROOM + 16,
					   .lane_count = lane_count};
	const struct ring_shape shape = {
		.segment_count = segment_count,
		.segment_bytes = 80 * records_a_segment,
		.stride_bytes = 80,
		.lap_limit = 2 * segment_count,
		.held_limit = segment_count,
		.waiting_limit = segment_count - lane_count - 1,
		.window_count = lane_count + 1,
	};
	struct ring *r = NULL;

	EXPECT_EQ(ring_open_shaped(&r, &limits, &shape), 0);
	return r;
}

/* Messages first to last, one nanosecond each, so that its time is a message's name. */
static void push_of(struct ring *r, uint32_t lane_idx, uint64_t first, uint64_t last, uint32_t payload_bytes)
{
	for (uint64_t ns = first; ns <= last; ns++) {
		uint8_t *payload = ring_reserve(r, lane_idx, HEADROOM, payload_bytes, at(ns));

		EXPECT(payload != NULL);
		memset(payload, 1, payload_bytes);
		ring_commit(r, lane_idx, 0, payload_bytes, at(ns));
	}
}

static void push(struct ring *r, uint32_t lane_idx, uint64_t first, uint64_t last)
{
	push_of(r, lane_idx, first, last, 16);
}

static void expect_whole(const struct ring *r)
{
	const char *why;

	if (ring_check(r, &why) < 0)
		ck_abort_msg("%s", why);
}

static uint64_t take_of(struct ring *r, enum ring_stream_kind kind)
{
	struct ring_record *rec;
	uint64_t ns;

	if ((kind == RING_LIVE ? ring_take(r, &rec, 1, at(1)) : ring_take_replay(r, &rec, 1, at(1))) == 0)
		return 0;
	ns = rec->time_ns;
	ring_release(r, rec);
	return ns;
}

/* The name of the next message, which is let go; 0: none. */
static uint64_t take(struct ring *r)
{
	return take_of(r, RING_LIVE);
}

static void expect_drain(struct ring *r, uint64_t first, uint64_t last)
{
	for (uint64_t ns = first; ns <= last; ns++)
		EXPECT_EQ(take(r), ns);
	EXPECT_EQ(take(r), 0);
	expect_whole(r);
}

/* --- what a lap leaves behind --------------------------------------------------------------------------------------- */

/* Just where the walk had stopped, and as far from where it goes on as can be. */
TEST(an_idle_lanes_message_goes_first_though_others_have_come_round)
{
	struct ring *r = ring_new(8, 1, 2);

	push(r, 1, 1, 1);
	push(r, 0, 2, 17); /* at 9 to 15, 17 to 23, and 25, 26: around lane 1 */
	EXPECT_EQ(ring_take(r, NULL, 0, at(1)), 0);
	EXPECT_EQ(r->publisher.streams[RING_LIVE].ready_count, r->shape.window_count);
	EXPECT_EQ(take(r), 1);
	expect_drain(r, 11, 17); /* seven segments are all that there is beside */
	ring_close(r);
}

/* It has closed its segment behind the others since. */
TEST(what_a_lane_has_closed_behind_the_others_goes_first)
{
	struct ring *r = ring_new(8, 1, 2);

	push(r, 1, 1, 1);
	push(r, 0, 2, 11);
	push(r, 1, 12, 12);
	EXPECT_EQ(ring_state(r->segments[0].word), RING_SEG_READY);
	EXPECT_EQ(take(r), 1);
	expect_whole(r);
	expect_drain(r, 6, 12);
	ring_close(r);
}

/* Where the walk goes on after a lap is the first segment of what is live. */
TEST(an_idle_lanes_first_live_message_is_not_of_the_backlog_though_others_have_come_round)
{
	struct ring *r = ring_new(8, 1, 2);

	push(r, 0, 1, 3);
	EXPECT(ring_split(r));
	push(r, 1, 4, 4); /* at the split */
	EXPECT_EQ(r->samplers[1].position, r->publisher.split);
	push(r, 0, 5, 25);
	EXPECT_EQ(take_of(r, RING_REPLAY), 0);
	EXPECT(ring_replay_is_done(r));
	EXPECT_EQ(take(r), 4);
	expect_drain(r, 19, 25);
	ring_close(r);
}

/* On a machine where others see late that a segment was closed, a lane may leave several behind, in any places. Here the
 * laps that would overwrite them are left out. */
TEST(what_one_lane_has_left_behind_goes_in_its_order)
{
	struct ring *r = ring_new(8, 1, 1);
	uint64_t sequence[4];

	for (uint64_t skipped = 0; skipped < 8; skipped++) {
		uint64_t next = 10 * skipped;

		r->map->head += skipped; /* holes */
		push(r, 0, next + 1, next + 4);
		for (uint32_t i = 0; i < ARRAY_COUNT(sequence); i++)
			sequence[i] = next + 1 + i;
		r->map->head += 16;
		for (uint32_t i = 0; i < ARRAY_COUNT(sequence); i++)
			EXPECT_EQ(take(r), sequence[i]);
		EXPECT_EQ(take(r), 0);
	}
	ring_close(r);
}

/* As many as may be held are: what is older must not be walked past. */
TEST(a_lap_waits_until_something_may_be_touched)
{
	struct ring *r = ring_new(8, 1, 2);
	struct ring_record *rec[2];

	r->shape.held_limit = 2;
	push(r, 0, 1, 3);
	EXPECT_EQ(ring_take(r, rec, 2, at(1)), 2);
	push(r, 1, 4, 4);
	push(r, 0, 5, 20);
	EXPECT_EQ(ring_take(r, NULL, 0, at(1)), 0);
	EXPECT_EQ(r->publisher.streams[RING_LIVE].next, 10);
	ring_release(r, rec[0]);
	ring_release(r, rec[1]);
	EXPECT_EQ(take(r), 4);
	EXPECT_EQ(take(r), 16);
	ring_close(r);
}

/* --- order among lanes, and how much one call does -------------------------------------------------------------------- */

/* The third segment of lane 0 and the first of lane 1 are written in turns; the window ends between them. */
TEST(order_among_lanes_does_not_end_with_the_window)
{
	struct ring *r = ring_new(16, 2, 2);

	push(r, 0, 1, 5);
	push(r, 1, 6, 6);
	push(r, 0, 7, 7);
	push(r, 1, 8, 8);
	expect_drain(r, 1, 8);
	ring_close(r);
}

TEST(a_take_goes_on_behind_what_it_discards)
{
	struct ring *r = ring_new(16, 1, 1);

	r->shape.held_limit = 1;
	EXPECT_EQ(ring_keep(r, 1, 0, 0), 0);
	push(r, 0, 1, 6);
	EXPECT_EQ(take(r), 6);
	expect_whole(r);
	ring_close(r);
}

/* So many that one call would not discard them one by one. */
#define MANY 70000u

/* All in one segment, which is closed by what follows. */
static struct ring *ring_of_many(uint32_t lane_count, uint32_t segment_count)
{
	struct ring *r = ring_new(segment_count, MANY, lane_count);

	r->shape.window_count = 2 * lane_count + 4;
	return r;
}

TEST(a_whole_segment_that_just_exceeds_the_messages_goes_in_one_call)
{
	struct ring *r = ring_of_many(1, 8);

	push(r, 0, 1, MANY + 1);
	EXPECT_EQ(ring_keep(r, 1, 0, 0), 0);
	EXPECT_EQ(take(r), MANY + 1);
	EXPECT_EQ(ring_counts(r).overwritten, MANY);
	expect_drain(r, 1, 0);
	ring_close(r);
}

TEST(a_whole_segment_that_exceeds_only_the_bytes_goes_in_one_call)
{
	struct ring *r = ring_of_many(1, 8);

	push(r, 0, 1, MANY + 5);
	EXPECT_EQ(ring_keep(r, RING_MESSAGES_MAX, 48, 0), 0);
	EXPECT_EQ(take(r), MANY + 3);
	expect_drain(r, MANY + 4, MANY + 5);
	ring_close(r);
}

TEST(a_whole_segment_that_is_just_as_old_as_another_lanes_goes_in_one_call)
{
	struct ring *r = ring_of_many(2, 16);
	struct ring_record *rec;

	for (uint32_t i = 0; i <= MANY; i++)
		push(r, 0, 7, 7);
	push(r, 1, 7, 7);
	EXPECT_EQ(ring_keep(r, 2, 0, 0), 0);
	EXPECT_EQ(ring_take(r, &rec, 1, at(7)), 1);
	EXPECT_EQ(rec->sequence, MANY + 1);
	EXPECT_EQ(ring_counts(r).overwritten, MANY);
	ring_release(r, rec);
	expect_whole(r);
	ring_close(r);
}

/* The next call goes on with the backlog; what is live does not go instead. */
TEST(what_is_live_stays_though_more_of_the_backlog_has_to_go_than_one_call_discards)
{
	struct ring *r = ring_of_many(1, 8);

	push(r, 0, 1, MANY); /* the segment is open: record by record */
	EXPECT(ring_split(r));
	EXPECT(ring_reserve(r, 0, HEADROOM, 16, at(1)) != NULL);
	push(r, 0, MANY + 1, MANY + 3);
	EXPECT_EQ(ring_keep(r, 3, 0, 0), 0);
	EXPECT_EQ(take(r), MANY + 1);
	EXPECT_EQ(take(r), MANY + 2);
	EXPECT_EQ(take(r), MANY + 3);
	expect_whole(r);
	ring_close(r);
}

/* --- age ------------------------------------------------------------------------------------------------------------ */

TEST(nothing_expires_while_the_clock_is_below_the_age)
{
	struct ring *r = ring_new(8, 1, 1);

	EXPECT_EQ(ring_keep(r, 100, 0, 1000000), 0);
	push(r, 0, 1, 3);
	expect_drain(r, 1, 3);
	EXPECT_EQ(ring_counts(r).expired, 0);
	ring_close(r);
}

/* --- idle, drained ---------------------------------------------------------------------------------------------------- */

TEST(a_ring_is_not_idle_while_a_segment_that_is_not_the_first_has_more)
{
	struct ring *r = ring_new(8, 4, 2);

	push(r, 0, 1, 1);
	push(r, 1, 2, 2);
	expect_drain(r, 1, 2);
	EXPECT(ring_idle(r));
	EXPECT(ring_drained(r));
	push(r, 1, 3, 3); /* in the segment that it has open: head does not move */
	EXPECT(!ring_idle(r));
	EXPECT(!ring_drained(r));
	expect_drain(r, 3, 3);
	EXPECT(ring_drained(r));
	ring_close(r);
}

TEST(a_ring_is_not_idle_or_drained_while_something_is_seen_and_not_taken)
{
	struct ring *r = ring_new(8, 4, 1);

	push(r, 0, 1, 2);
	EXPECT_EQ(take(r), 1);
	EXPECT(!ring_idle(r));
	EXPECT(!ring_drained(r));
	EXPECT_EQ(take(r), 2);
	EXPECT(ring_drained(r));
	ring_close(r);
}

/* As much is held as may be; what samplers write in segments that were the publisher's before is not its business. */
TEST(a_ring_is_idle_while_nothing_more_may_be_touched)
{
	struct ring *r = ring_new(8, 1, 2);
	struct ring_record *rec;

	r->shape.held_limit = 1;
	push(r, 0, 1, 1);
	push(r, 1, 2, 2);
	expect_drain(r, 1, 2);
	push(r, 1, 3, 4);
	EXPECT_EQ(ring_take(r, &rec, 1, at(1)), 1);
	EXPECT_EQ(rec->time_ns, 3);
	EXPECT(ring_idle(r));
	push(r, 1, 5, 12); /* round it */
	EXPECT(ring_idle(r));
	ring_release(r, rec);
	EXPECT(!ring_idle(r));
	ring_close(r);
}

/* --- two streams ------------------------------------------------------------------------------------------------------ */

TEST(what_is_left_of_a_second_backlog_leaves_out_what_is_live_now)
{
	struct ring *r = ring_new(32, 1, 1);

	push(r, 0, 1, 5);
	EXPECT(ring_split(r));
	push(r, 0, 6, 8);
	EXPECT_EQ(ring_replay_left(r), 5);
	expect_drain(r, 6, 8);
	EXPECT_EQ(ring_replay_left(r), 5);
	EXPECT(ring_split(r));
	push(r, 0, 9, 10);
	EXPECT_EQ(ring_replay_left(r), 5);
	EXPECT_EQ(take(r), 9);
	EXPECT_EQ(ring_replay_left(r), 5);
	ring_close(r);
}

TEST(the_backlogs_walk_begins_where_the_live_streams_has_stopped)
{
	struct ring *r = ring_new(32, 1, 1);

	push(r, 0, 1, 5);
	EXPECT_EQ(take(r), 1);
	EXPECT_EQ(r->publisher.streams[RING_LIVE].next, 32 + 3);
	EXPECT(ring_split(r));
	EXPECT_EQ(r->publisher.streams[RING_REPLAY].next, 32 + 3);
	ring_close(r);
}

/* All that may be held was held before the split, which keeps some back: what is live waits. */
TEST(what_is_live_leaves_the_backlog_what_it_needs)
{
	struct ring *r = ring_new(32, 1, 1);
	struct ring_record *rec[6];

	r->shape.held_limit = 8;
	r->shape.waiting_limit = 6;
	push(r, 0, 1, 7);
	EXPECT_EQ(ring_take(r, rec, 6, at(1)), 6);
	EXPECT(ring_split(r));
	push(r, 0, 8, 20);
	EXPECT_EQ(ring_take(r, NULL, 0, at(1)), 0);
	EXPECT_EQ(r->publisher.streams[RING_REPLAY].ready_count, 1);
	EXPECT_EQ(r->publisher.held_count, 7);
	EXPECT(ring_idle(r));
	for (uint32_t i = 0; i < 6; i++)
		ring_release(r, rec[i]);
	EXPECT(!ring_idle(r));
	EXPECT_EQ(take(r), 8);
	EXPECT_EQ(take_of(r, RING_REPLAY), 7);
	expect_drain(r, 9, 20);
	ring_close(r);
}

/* What the backlog has is no reason to keep the same back once more. */
TEST(what_is_live_has_all_that_the_backlog_and_what_is_held_leave)
{
	struct ring *r = ring_new(32, 1, 1);
	struct ring_record *rec[4];

	r->shape.held_limit = 8;
	r->shape.waiting_limit = 6;
	push(r, 0, 1, 10);
	EXPECT(ring_split(r));
	EXPECT_EQ(ring_take_replay(r, rec, 4, at(1)), 4);
	push(r, 0, 11, 20);
	EXPECT_EQ(ring_take(r, NULL, 0, at(1)), 0);
	EXPECT_EQ(r->publisher.streams[RING_REPLAY].ready_count, 2);
	EXPECT_EQ(r->publisher.streams[RING_LIVE].ready_count, 2);
	EXPECT_EQ(r->publisher.held_count, 8);
	for (uint32_t i = 0; i < 4; i++)
		ring_release(r, rec[i]);
	expect_whole(r);
	ring_close(r);
}

/* What is in flight, and what was seen live and has not gone, is all that the publisher may have: the backlog has to be found
 * to give way nevertheless, or the newest would not be kept. */
TEST(a_small_ring_that_is_split_keeps_no_more_than_its_messages_through_an_outage)
{
	const struct ring_limits limits = {.message_count = 120,
					   .record_bytes_max = HEADROOM + 100,
					   .lane_count = 1,
					   .inflight_max = 50};
	struct ring_record *held[50];
	struct ring *r = NULL;
	uint32_t count;

	EXPECT_EQ(ring_open(&r, &limits), 0);
	push_of(r, 0, 1, 120, 100);
	EXPECT(ring_split(r));
	count = ring_take_replay(r, held, 50, at(1));
	EXPECT_EQ(count, 50);
	push_of(r, 0, 121, 200, 100);
	EXPECT_EQ(ring_take(r, NULL, 0, at(1)), 0);
	push_of(r, 0, 201, 290, 100);
	EXPECT_EQ(ring_take(r, NULL, 0, at(1)), 0);
	EXPECT_EQ(ring_resident_count(r), 120);
	expect_whole(r);
	EXPECT_EQ(take(r), 171);
	for (uint32_t i = 0; i < count; i++)
		ring_release(r, held[i]);
	ring_close(r);
}

/* --- what a programmer promises ----------------------------------------------------------------------------------------- */

static jmp_buf broken;

static void broken_hook(void)
{
	longjmp(broken, 1);
}

static bool commit_is_refused(struct ring *r)
{
	bool is_refused = setjmp(broken) != 0;

	if (!is_refused) {
		assert_set_hook(broken_hook);
		ring_commit(r, 0, 0, 0, at(1));
	}
	assert_set_hook(NULL);
	return is_refused;
}

TEST(nothing_is_committed_twice)
{
	struct ring *r = ring_new(8, 4, 1);

	EXPECT(ring_reserve(r, 0, HEADROOM, 16, at(1)) != NULL);
	EXPECT(!commit_is_refused(r));
	EXPECT(commit_is_refused(r));
	EXPECT_EQ(ring_counts(r).made, 1);
	ring_close(r);
}

TEST(nothing_is_committed_where_there_was_no_room)
{
	struct ring *r = ring_new(4, 1, 1);
	struct ring_record *rec[4];

	push(r, 0, 1, 3);
	EXPECT(ring_reserve(r, 0, HEADROOM, 16, at(1)) != NULL); /* and is not committed */
	r->shape.waiting_limit = 5;
	EXPECT_EQ(ring_take(r, rec, 4, at(1)), 3);
	r->shape.lap_limit = 0;
	r->map->head++; /* the segment that it has open is over */
	EXPECT_EQ(ring_reserve(r, 0, HEADROOM, 16, at(1)) != NULL, 0);
	EXPECT(commit_is_refused(r));
	ring_close(r);
}

TEST(a_ring_in_memory_marks_nothing_and_computes_no_check_sums)
{
	struct ring *r = ring_new(8, 4, 1);
	struct ring_record *rec[2];

	push(r, 0, 1, 2);
	EXPECT_EQ(ring_take(r, rec, 2, at(1)), 2);
	EXPECT_EQ(rec[0]->crc32c, 0);
	ring_done(r, rec[0]);
	EXPECT_EQ(rec[0]->flags, 0);
	ring_release(r, rec[1]);
	EXPECT_EQ(rec[1]->flags, 0); /* the segment is open: the bytes are still there */
	ring_release(r, rec[0]);
	ring_close(r);
}
