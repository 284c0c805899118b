/* tests/unit/test_ring.c - the ring by one thread: what is kept, what gives way, and that the counters say so. */
#include <errno.h>
#include <string.h>

#include "core/carried.h"
#include "core/prng.h"
#include "core/ring_layout.h"
#include "tests/test.h"

#define HEADROOM 32u

static struct mono at(uint64_t ns)
{
	return (struct mono){.ns = ns};
}

static struct ring *ring_new(uint32_t message_count, uint32_t lane_count)
{
	struct ring_limits limits = {
		.message_count = message_count,
		.record_bytes_max = HEADROOM + 100,
		.lane_count = lane_count,
		.inflight_max = 16,
	};
	struct ring *r = NULL;

	EXPECT_EQ(ring_open(&r, &limits), 0);
	return r;
}

/* A ring so small that its corners can be reached: no room beyond the segments, no limit on what is held. */
static struct ring *ring_new_tiny(uint32_t segment_count, uint32_t records_a_segment, uint32_t lane_count)
{
	struct ring_limits limits = {
		.message_count = 1000000,
		.record_bytes_max = HEADROOM + 16,
		.lane_count = lane_count,
	};
	struct ring_shape shape = {
		.segment_count = segment_count,
		.segment_bytes = 96 * records_a_segment,
		.stride_bytes = 96,
		.lap_limit = segment_count,
		.held_limit = segment_count + 1,
		.waiting_limit = segment_count + 1,
		.window_count = segment_count + 1,
	};
	struct ring *r = NULL;

	EXPECT_EQ(ring_open_shaped(&r, &limits, &shape), 0);
	return r;
}

static bool push_sized(struct ring *r, uint32_t lane_idx, uint64_t value, uint32_t payload_bytes,
		       uint64_t now_ns)
{
	uint8_t *payload = ring_reserve(r, lane_idx, HEADROOM, payload_bytes, at(now_ns));

	if (!payload)
		return false;
	memset(payload, (int)(value & 0xff), payload_bytes);
	memcpy(payload, &value, sizeof(value));
	ring_commit(r, lane_idx, 7, payload_bytes, at(now_ns));
	return true;
}

static bool push(struct ring *r, uint32_t lane_idx, uint64_t value)
{
	return push_sized(r, lane_idx, value, 16, value);
}

static uint64_t value_of(struct ring_record *rec)
{
	uint64_t value;

	memcpy(&value, ring_payload(rec), sizeof(value));
	return value;
}

static struct ring_record *take_one(struct ring *r)
{
	struct ring_record *rec = NULL;

	return ring_take(r, &rec, 1, at(1)) ? rec : NULL;
}

/* The next message, which must be there. */
static struct ring_record *take_next(struct ring *r)
{
	struct ring_record *rec = take_one(r);

	ASSERT(rec);
	return rec;
}

/* Takes and releases the rest; the values must count up by one from first to last. */
static void expect_drain(struct ring *r, uint64_t first, uint64_t last)
{
	uint64_t next = first;
	struct ring_record *rec[64];

	for (;;) {
		uint32_t count = ring_take(r, rec, 64, at(1));

		if (count == 0 && ring_idle(r))
			break;
		for (uint32_t i = 0; i < count; i++) {
			EXPECT_EQ(value_of(rec[i]), next++);
			ring_release(r, rec[i]);
		}
	}
	EXPECT_EQ(next, last + 1);
}

static void expect_whole(struct ring *r)
{
	const char *why;

	if (ring_check(r, &why) < 0)
		ck_abort_msg("%s", why);
}

static void finish(struct ring *r)
{
	expect_whole(r);
	ring_close(r);
}

TEST(a_message_arrives_as_it_was_committed)
{
	struct ring *r = ring_new(10, 1);
	uint8_t *payload = ring_reserve(r, 0, 8, 100, at(5));
	struct ring_record *rec;

	EXPECT_EQ((uintptr_t)payload % 8, 0);
	memcpy(payload, "hello", 5);
	ring_commit(r, 0, 3, 5, at(6));
	rec = take_next(r);
	EXPECT_EQ(rec->payload_bytes, 5);
	EXPECT_EQ(rec->headroom_bytes, 8);
	EXPECT_EQ(rec->channel_idx, 3);
	EXPECT_EQ(rec->time_ns, 6);
	EXPECT_EQ(rec->sequence, 1);
	EXPECT_EQ(rec->flags, 0);
	EXPECT_MEM(ring_payload(rec), "hello", 5);
	ring_release(r, rec);
	finish(r);
}

TEST(an_empty_ring_gives_nothing_and_is_idle)
{
	struct ring *r = ring_new(10, 2);

	EXPECT(ring_idle(r));
	EXPECT(!take_one(r));
	EXPECT_EQ(ring_backlog(r), 0);
	finish(r);
}

/* A message that waits for its PUBACK survives two laps of the ring: samplers go around its segment. */
TEST(a_held_message_survives_a_lap)
{
	struct ring *r = ring_new_tiny(4, 1, 1);
	struct ring_record *held;

	for (uint64_t v = 1; v <= 4; v++)
		EXPECT(push(r, 0, v));
	held = take_next(r);
	EXPECT_EQ(value_of(held), 1);
	for (uint64_t v = 5; v <= 12; v++)
		(void)push(r, 0, v);
	EXPECT_EQ(value_of(held), 1);
	expect_whole(r);
	ring_release(r, held);
	expect_whole(r);
	EXPECT_EQ(ring_counts(r).made, 12);
	ring_close(r);
}

TEST(with_room_left_by_the_limit_a_held_message_costs_only_its_segment)
{
	struct ring *r = ring_new_tiny(8, 1, 1);
	struct ring_record *held;

	r->shape.held_limit = 2;
	r->shape.window_count = 2;
	for (uint64_t v = 1; v <= 8; v++)
		EXPECT(push(r, 0, v));
	held = take_next(r);
	for (uint64_t v = 9; v <= 24; v++)
		EXPECT(push(r, 0, v));
	EXPECT_EQ(value_of(held), 1);
	ring_release(r, held);
	/* The second was touched with the first; six segments were left for the newest. */
	held = take_next(r);
	EXPECT_EQ(value_of(held), 2);
	ring_release(r, held);
	expect_drain(r, 19, 24);
	EXPECT_EQ(ring_counts(r).overwritten, 16);
	finish(r);
}

static void expect_newest_after_outage(uint32_t message_count, uint32_t lane_count, uint64_t made_count)
{
	struct ring *r = ring_new(message_count, lane_count);
	struct prng p = {0};
	uint64_t kept = min_u64(message_count, made_count);

	p.state = message_count + lane_count;
	for (uint64_t v = 1; v <= made_count; v++) {
		/* Lane 0 is slow, the others take turns: a slow lane's segment spans many of a fast one's. */
		uint32_t lane_idx = v % 97 == 0 ? 0 : (uint32_t)(v % lane_count);

		EXPECT(push_sized(r, lane_idx, v, 8 + (uint32_t)prng_below(&p, 92), v));
	}
	EXPECT_EQ(ring_backlog(r), kept);
	EXPECT(!ring_idle(r));
	expect_drain(r, made_count - kept + 1, made_count);
	EXPECT_EQ(ring_counts(r).overwritten, made_count - kept);
	EXPECT_EQ(ring_counts(r).dropped, 0);
	EXPECT_EQ(ring_backlog(r), 0);
	finish(r);
}

TEST(exactly_the_newest_messages_arrive_after_an_outage)
{
	static const uint32_t counts[] = {1, 2, 3, 7, 16, 100, 999, 1000, 1001, 4000};

	for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
		for (uint32_t lanes = 1; lanes <= 5; lanes++) {
			expect_newest_after_outage(counts[i], lanes, counts[i]);
			expect_newest_after_outage(counts[i], lanes, counts[i] + 1ull);
			expect_newest_after_outage(counts[i], lanes, 11ull * counts[i] + 3000);
		}
}

TEST(exactly_the_newest_messages_arrive_with_the_most_lanes)
{
	expect_newest_after_outage(1, RING_LANES_MAX, 5000);
	expect_newest_after_outage(1000, RING_LANES_MAX, 50000);
}

TEST(a_very_slow_lane_keeps_its_newest_and_loses_its_oldest)
{
	struct ring *r = ring_new(1000, 2);
	uint64_t slow_count = 0, taken_count = 0;
	struct ring_record *rec;

	for (uint64_t v = 1; v <= 100000; v++)
		EXPECT(push(r, v % 500 == 0, v));
	while ((rec = take_one(r)) != NULL) {
		EXPECT_EQ(value_of(rec), 99001 + taken_count);
		slow_count += rec->lane_idx == 1;
		taken_count++;
		ring_release(r, rec);
	}
	EXPECT_EQ(taken_count, 1000);
	EXPECT_EQ(slow_count, 2);
	finish(r);
}

/* Or its fresh messages would be the next to be overwritten. */
TEST(a_slow_lane_never_writes_into_the_oldest_part_of_the_ring)
{
	struct ring *r = ring_new(1000, 2);

	for (uint64_t v = 1; v <= 50000; v++) {
		EXPECT(push(r, v % 500 == 0, v));
		if (v % 500 == 0)
			EXPECT(r->map->head - r->samplers[1].position <= r->shape.segment_count / 4);
	}
	finish(r);
}

TEST(the_newest_are_kept_while_others_are_held_through_the_outage)
{
	struct ring *r = ring_new(500, 3);
	struct ring_record *held[16];

	for (uint64_t v = 1; v <= 100; v++)
		EXPECT(push(r, (uint32_t)(v % 3), v));
	EXPECT_EQ(ring_take(r, held, 16, at(1)), 16);
	for (uint64_t v = 101; v <= 30000; v++)
		EXPECT(push(r, (uint32_t)(v % 3), v));
	for (uint32_t i = 0; i < 16; i++)
		EXPECT_EQ(value_of(held[i]), i + 1);
	expect_drain(r, 29501, 30000);
	for (uint32_t i = 16; i-- > 0;)
		ring_release(r, held[i]);
	EXPECT_EQ(ring_take(r, held, 16, at(1)), 0);
	EXPECT_EQ(ring_counts(r).released, 516);
	finish(r);
}

TEST(a_slow_publisher_discards_the_oldest_while_samplers_go_on)
{
	struct ring *r = ring_new(50, 2);
	struct ring_record *rec[4];
	uint64_t last = 0, v = 0;

	for (uint32_t step = 0; step < 5000; step++) {
		uint32_t count;

		for (uint32_t i = 0; i < 10; i++) {
			v++;
			EXPECT(push(r, (uint32_t)(v & 1), v));
		}
		count = ring_take(r, rec, 4, at(1));
		EXPECT_EQ(count, 4);
		for (uint32_t i = 0; i < count; i++) {
			EXPECT(value_of(rec[i]) > last);
			EXPECT(value_of(rec[i]) + 50 > v);
			last = value_of(rec[i]);
			ring_release(r, rec[i]);
		}
	}
	finish(r);
}

TEST(a_lane_keeps_its_order_though_its_messages_vary_in_size)
{
	struct ring *r = ring_new(5000, 1);

	for (uint64_t v = 1; v <= 5000; v++)
		EXPECT(push_sized(r, 0, v, 8 + (uint32_t)(v * 37 % 93), v));
	expect_drain(r, 1, 5000);
	finish(r);
}

TEST(a_message_in_a_segment_that_is_still_open_is_found)
{
	struct ring *r = ring_new(100, 3);

	EXPECT(push(r, 2, 1));
	EXPECT(!ring_idle(r));
	expect_drain(r, 1, 1);
	EXPECT(ring_idle(r));
	EXPECT(push(r, 2, 2));
	EXPECT(!ring_idle(r));
	expect_drain(r, 2, 2);
	finish(r);
}

TEST(releases_in_any_order_free_everything)
{
	struct ring *r = ring_new(1000, 1);
	static struct ring_record *rec[400];
	struct prng p = {0};

	p.state = 1;
	for (uint32_t round = 0; round < 50; round++) {
		uint32_t count;

		for (uint64_t v = 1; v <= 400; v++)
			EXPECT(push(r, 0, v));
		count = ring_take(r, rec, ARRAY_COUNT(rec), at(1));
		EXPECT_EQ(count, 400);
		while (count > 0) {
			uint32_t i = (uint32_t)prng_below(&p, count);

			ring_release(r, rec[i]);
			rec[i] = rec[--count];
		}
		expect_whole(r);
	}
	EXPECT_EQ(ring_counts(r).released, 20000);
	finish(r);
}

TEST(a_message_is_dropped_and_counted_when_everything_is_held)
{
	struct ring *r = ring_new_tiny(4, 2, 1);
	struct ring_record *rec[8];

	for (uint64_t v = 1; v <= 8; v++)
		EXPECT(push(r, 0, v));
	EXPECT_EQ(ring_take(r, rec, 8, at(1)), 8);
	EXPECT(!push(r, 0, 9));
	EXPECT(!push(r, 0, 10));
	EXPECT_EQ(ring_counts(r).dropped, 2);
	EXPECT_EQ(ring_counts(r).made, 10);
	for (uint32_t i = 0; i < 8; i++)
		ring_release(r, rec[i]);
	EXPECT(push(r, 0, 11));
	expect_drain(r, 11, 11);
	finish(r);
}

TEST(the_publisher_may_hold_a_quarter_and_no_more)
{
	struct ring *r = ring_new(1000, 1);
	static struct ring_record *rec[20000];
	uint32_t count, held_count;

	for (uint64_t v = 1; v <= 1000; v++)
		EXPECT(push(r, 0, v));
	held_count = ring_take(r, rec, ARRAY_COUNT(rec), at(1));
	for (uint64_t v = 1001; v <= 100000; v++) {
		EXPECT(push(r, 0, v));
		if (v % 10 == 0)
			held_count += ring_take(r, rec + held_count, ARRAY_COUNT(rec) - held_count, at(1));
	}
	count = ring_take(r, rec + held_count, ARRAY_COUNT(rec) - held_count, at(1));
	EXPECT_EQ(count, 0);
	EXPECT(ring_idle(r));
	EXPECT_LE(r->publisher.held_count, r->shape.segment_count / 4);
	EXPECT_EQ(ring_counts(r).dropped, 0);
	for (uint32_t i = 0; i < held_count; i++)
		ring_release(r, rec[i]);
	expect_drain(r, 99001, 100000);
	finish(r);
}

TEST(old_messages_expire_at_take)
{
	struct ring_limits limits = {
		.message_count = 10, .record_bytes_max = HEADROOM + 100, .lane_count = 1, .max_age_ns = 100};
	struct ring *r = NULL;
	struct ring_record *rec[4];

	EXPECT_EQ(ring_open(&r, &limits), 0);
	EXPECT(push_sized(r, 0, 1, 16, 1000));
	EXPECT(push_sized(r, 0, 2, 16, 1050));
	EXPECT_EQ(ring_take(r, rec, 4, at(1101)), 1);
	EXPECT_EQ(value_of(rec[0]), 2);
	EXPECT_EQ(ring_counts(r).expired, 1);
	EXPECT(push_sized(r, 0, 3, 16, 1102));
	EXPECT_EQ(ring_take(r, rec + 1, 3, at(1202)), 1);
	EXPECT_EQ(ring_counts(r).expired, 1);
	ring_release(r, rec[0]);
	ring_release(r, rec[1]);
	finish(r);
}

TEST(a_reservation_that_is_not_committed_leaves_no_trace)
{
	struct ring *r = ring_new(10, 1);

	for (uint32_t i = 0; i < 5000; i++)
		EXPECT(ring_reserve(r, 0, HEADROOM, 1 + i % 100, at(1)) != NULL);
	EXPECT_EQ(ring_counts(r).made, 0);
	EXPECT(push(r, 0, 1));
	expect_drain(r, 1, 1);
	finish(r);
}

/* A reservation may outlast its turn: then its segment closes with nothing in it. */
TEST(a_touched_segment_that_closes_empty_is_freed)
{
	struct ring *r = ring_new_tiny(8, 1, 2);
	struct ring_record *rec;

	r->shape.lap_limit = 2;
	EXPECT(ring_reserve(r, 0, HEADROOM, 16, at(1)) != NULL);
	EXPECT(!take_one(r)); /* touches it */
	for (uint64_t v = 1; v <= 4; v++)
		EXPECT(push(r, 1, v));
	rec = take_next(r);
	EXPECT(push(r, 0, 5)); /* in another segment */
	EXPECT_EQ(value_of(rec), 1);
	ring_release(r, rec);
	expect_drain(r, 2, 5);
	finish(r);
}

TEST(a_lane_keeps_its_segment_for_as_long_as_the_lap_limit_says)
{
	struct ring *r = ring_new_tiny(16, 1, 2);
	uint64_t position;

	r->shape.lap_limit = 3;
	EXPECT(ring_reserve(r, 1, HEADROOM, 16, at(1)) != NULL);
	position = r->samplers[1].position;
	EXPECT_EQ(r->map->head - position, 1);
	for (uint64_t v = 1; v <= 2; v++)
		EXPECT(push(r, 0, v));
	EXPECT(push(r, 1, 3)); /* head is at the limit */
	EXPECT_EQ(r->samplers[1].position, position);
	expect_drain(r, 1, 3);
	EXPECT(ring_reserve(r, 1, HEADROOM, 16, at(1)) != NULL);
	position = r->samplers[1].position;
	for (uint64_t v = 4; v <= 6; v++)
		EXPECT(push(r, 0, v));
	EXPECT(push(r, 1, 7)); /* and past it */
	EXPECT_NE(r->samplers[1].position, position);
	expect_drain(r, 4, 7);
	finish(r);
}

TEST(limits_outside_their_range_are_refused)
{
	const struct ring_limits good = {.message_count = 1, .record_bytes_max = 1, .lane_count = 1};
	struct ring_limits l = good;
	struct ring *r = NULL;

	EXPECT_EQ(ring_open(&r, &l), 0);
	ring_close(r);
	l.message_count = 0;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	l.message_count = RING_MESSAGES_MAX + 1;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	EXPECT_EQ(ring_size_bytes(&l), 0);
	l = good;
	l.record_bytes_max = 0;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	l.record_bytes_max = RING_RECORD_BYTES_MAX + 1;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	l = good;
	l.lane_count = 0;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	l.lane_count = RING_LANES_MAX + 1;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
}

TEST(the_largest_message_fits_and_comes_back)
{
	struct ring_limits l = {
		.message_count = 1, .record_bytes_max = RING_RECORD_BYTES_MAX, .lane_count = 1};
	struct ring *r = NULL;
	uint8_t *payload;
	struct ring_record *rec;

	EXPECT_EQ(ring_open(&r, &l), 0);
	for (uint32_t i = 0; i < 3; i++) {
		payload = ring_reserve(r, 0, 16, RING_RECORD_BYTES_MAX - 16, at(i));
		payload[0] = (uint8_t)i;
		payload[RING_RECORD_BYTES_MAX - 17] = 9;
		ring_commit(r, 0, 0, RING_RECORD_BYTES_MAX - 16, at(i));
	}
	rec = take_next(r);
	EXPECT_EQ(ring_payload(rec)[0], 2);
	EXPECT_EQ(ring_payload(rec)[RING_RECORD_BYTES_MAX - 17], 9);
	ring_release(r, rec);
	finish(r);
}

TEST(memory_is_little_more_than_twice_the_messages)
{
	static const uint32_t counts[] = {1000, 10000, 100000, 1000000, 10000000};

	for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
		struct ring_limits l = {.message_count = counts[i],
					.record_bytes_max = 300,
					.lane_count = 1,
					.inflight_max = 100};
		uint64_t data_bytes = counts[i] * 352ull;

		EXPECT(ring_size_bytes(&l) >= 2 * data_bytes);
		EXPECT(ring_size_bytes(&l) <= 2 * data_bytes + data_bytes / 2 + 160000);
	}
}

TEST(every_shape_keeps_the_promises_of_its_proof)
{
	struct prng p = {0};

	p.state = 3;
	for (uint32_t i = 0; i < 20000; i++) {
		struct ring_limits l = {
			.message_count = 1 + (uint32_t)prng_below(&p, 1u << (1 + prng_below(&p, 23))),
			.record_bytes_max = 1 + (uint32_t)prng_below(&p, 1u << (1 + prng_below(&p, 24))),
			.lane_count = 1 + (uint32_t)prng_below(&p, RING_LANES_MAX),
			.inflight_max = (uint32_t)prng_below(&p, 70000),
		};
		struct ring_shape s;
		uint64_t per_segment;

		EXPECT_EQ(ring_shape_of(&l, &s), 0);
		per_segment = s.segment_bytes / s.stride_bytes;
		EXPECT(s.segment_count / 2 * per_segment >=
		       l.message_count + 5ull * l.lane_count * per_segment);
		EXPECT(s.waiting_limit * per_segment >= l.inflight_max);
		EXPECT(s.waiting_limit + l.lane_count + 1 <= s.held_limit);
		EXPECT(s.window_count > l.lane_count);
	}
}

/* Everything at once, by chance: several lanes, sizes, holds in any order, outages, expiry; after each step the
 * ring is whole and what is held has not changed. */
TEST(conservation_and_order_hold_in_random_runs)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct prng p = {0};
		struct ring *r;
		struct ring_record *held[64];
		uint64_t values[64], last[4] = {0}, clock_ns = 1000000, made = 0;
		uint32_t held_count = 0, lanes;

		p.state = seed;
		lanes = 1 + (uint32_t)prng_below(&p, 4);
		r = prng_below(&p, 2)
			    ? ring_new_tiny(4u << prng_below(&p, 3), 1 + (uint32_t)prng_below(&p, 3), lanes)
			    : ring_new(1 + (uint32_t)prng_below(&p, 100), lanes);
		r->limits.max_age_ns = prng_below(&p, 2) ? 500 : 0;
		for (uint32_t step = 0; step < 3000; step++) {
			uint32_t burst = (uint32_t)prng_below(&p, step % 100 == 0 ? 400 : 6);
			uint32_t count;

			clock_ns += prng_below(&p, 100);
			for (; burst > 0; burst--, made++)
				(void)push_sized(r, (uint32_t)prng_below(&p, lanes), made + 1,
						 8 + (uint32_t)prng_below(&p, 9), clock_ns++);
			count = ring_take(r, held + held_count,
					  (uint32_t)prng_below(&p, ARRAY_COUNT(held) - held_count + 1),
					  at(clock_ns));
			for (uint32_t i = held_count; i < held_count + count; i++) {
				EXPECT(held[i]->sequence > last[held[i]->lane_idx]);
				last[held[i]->lane_idx] = held[i]->sequence;
				values[i] = value_of(held[i]);
			}
			held_count += count;
			for (uint64_t n = prng_below(&p, held_count + 1); n > 0; n--) {
				uint32_t i = (uint32_t)prng_below(&p, held_count);

				EXPECT_EQ(value_of(held[i]), values[i]);
				ring_release(r, held[i]);
				held[i] = held[--held_count];
				values[i] = values[held_count];
			}
			expect_whole(r);
		}
		EXPECT_EQ(ring_counts(r).made, made);
		ring_close(r);
	}
}

TEST(from_outside_the_books_close_at_the_limit_though_the_pool_holds_more)
{
	struct ring_limits limits = {
		.message_count = 5, .record_bytes_max = 64, .lane_count = 1, .inflight_max = 4};
	struct ring_counts c;
	struct ring *r;

	EXPECT_EQ(ring_open(&r, &limits), 0);
	for (int i = 0; i < 9; i++) {
		EXPECT(ring_reserve(r, 0, 8, 8, (struct mono){.ns = 1}) != NULL);
		ring_commit(r, 0, 0, 8, (struct mono){.ns = 1});
	}
	c = ring_counts_outside(r);
	EXPECT_EQ(c.made, 9);
	EXPECT_EQ(c.overwritten, 4);
	EXPECT_EQ(ring_backlog(r), 5);
	EXPECT_EQ(ring_counts(r).overwritten, 0);
	ring_close(r);
}

TEST(a_message_that_is_too_old_after_it_was_taken_counts_as_expired)
{
	struct ring *r = ring_new(10, 1);
	struct ring_record *held[3];
	struct ring_counts c;

	for (uint64_t i = 1; i <= 3; i++)
		EXPECT(push(r, 0, i));
	EXPECT_EQ(ring_take(r, held, 3, at(5)), 3);
	ring_expire(r, held[1]);
	ring_release(r, held[0]);
	c = ring_counts(r);
	EXPECT_EQ(c.made, 3);
	EXPECT_EQ(c.expired, 1);
	EXPECT_EQ(c.taken, 2);
	EXPECT_EQ(c.released, 1);
	EXPECT_EQ(value_of(held[2]), 3); /* what is held stays */
	expect_whole(r);
	ring_release(r, held[2]);
	c = ring_counts(r);
	EXPECT_EQ(c.taken, c.released);
	EXPECT_EQ(c.made, c.taken + c.expired + c.overwritten + c.dropped + ring_backlog(r));
	EXPECT(ring_idle(r));
	ring_close(r);
}

/* --- messages that bring their own topic (core/carried.h) ------------------------------------------------------------- */

static uint32_t carry(struct ring *r, const char *topic, const char *props, const char *payload)
{
	size_t sizes[] = {strlen(topic), strlen(props), strlen(payload)};
	uint64_t bytes = carried_bytes(sizes[0], sizes[1], sizes[2]);
	uint8_t *room = ring_reserve(r, 0, HEADROOM, (uint32_t)bytes, at(1));
	struct writer w = writer_of(room, bytes);

	EXPECT(room);
	write_bytes(&w, payload, sizes[2]);
	write_bytes(&w, props, sizes[1]);
	carried_write_end(&w, bytes_of(topic, sizes[0]), sizes[1], 60, 2, true);
	EXPECT(!w.failed);
	EXPECT_EQ(writer_left(&w), 0);
	ring_commit(r, 0, CHANNEL_CARRIED, (uint32_t)bytes, at(1));
	return (uint32_t)bytes;
}

TEST(a_message_brings_its_own_topic_and_properties_behind_its_payload)
{
	static const char *const texts[][3] = {
		{"a/b", "props", "payload"}, {"t", "", ""}, {"x/y/z", "", "p"}};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		struct ring *r = ring_new(10, 1);
		uint32_t bytes = carry(r, texts[i][0], texts[i][1], texts[i][2]);
		struct ring_record *rec = take_one(r);
		struct carried c;

		ASSERT(rec);
		c = carried_read(rec);
		EXPECT_EQ(rec->channel_idx, CHANNEL_CARRIED);
		EXPECT_EQ(rec->payload_bytes, bytes);
		EXPECT(bytes_equal(c.topic, bytes_of_text(texts[i][0])));
		EXPECT(bytes_equal(c.props, bytes_of_text(texts[i][1])));
		EXPECT_EQ(c.payload_bytes, strlen(texts[i][2]));
		EXPECT_MEM(ring_payload(rec), texts[i][2], c.payload_bytes);
		EXPECT_EQ(c.expiry_s, 60);
		EXPECT_EQ(c.qos, 2);
		EXPECT(c.retain);
		memset(ring_payload(rec) - HEADROOM, 0xFF, HEADROOM); /* the header goes there: */
		c = carried_read(rec);
		EXPECT(bytes_equal(c.topic, bytes_of_text(texts[i][0]))); /* it does not touch them */
		ring_release(r, rec);
		ring_close(r);
	}
}

TEST(a_check_finds_a_damaged_ring)
{
	struct ring *r = ring_new(10, 1);
	const char *why;

	EXPECT(push(r, 0, 1));
	EXPECT(push(r, 0, 2));
	EXPECT_EQ(ring_check(r, &why), 0);
	ring_record_at(r, r->samplers[0].segment_idx, 0)->payload_bytes++;
	ring_record_at(r, r->samplers[0].segment_idx, 0)->payload_bytes += 32;
	EXPECT_EQ(ring_check(r, &why), -EINVAL);
	ring_record_at(r, r->samplers[0].segment_idx, 0)->payload_bytes -= 33;
	EXPECT_EQ(ring_check(r, &why), 0);
	atomic_fetch_add(&r->lane_counts[0].committed, 1);
	EXPECT_EQ(ring_check(r, &why), -EINVAL);
	atomic_fetch_sub(&r->lane_counts[0].committed, 1);
	atomic_store(&r->segments[3].word, ring_word(4, RING_SEG_FREE));
	EXPECT_EQ(ring_check(r, &why), -EINVAL);
	ring_close(r);
}
