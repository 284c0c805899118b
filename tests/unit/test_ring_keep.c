/* tests/unit/test_ring_keep.c - what a ring keeps by messages, bytes and age together, and limits that change at run time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/prng.h"
#include "core/ring_layout.h"
#include "tests/test.h"

#define HEADROOM    32u
#define PAYLOAD_MAX 100u
#define AGE_NONE    0u

static struct mono at(uint64_t ns)
{
	return (struct mono){.ns = ns};
}

/* A ring and all that was ever made in it, in the order of its times. */
struct made {
	uint64_t time_ns;
	uint32_t payload_bytes;
	uint32_t lane_idx;
	uint64_t sequence;
};

struct world {
	struct ring *ring;
	struct ring_limits limits;
	struct made *made;
	uint64_t made_count;
	uint64_t gone_to; /* all of made[] before this is taken or discarded */
	uint64_t room;
	uint64_t now_ns;
	uint64_t committed[RING_LANES_MAX];
};

static struct world *world_open(const struct ring_limits *limits)
{
	struct world *w = calloc(1, sizeof(*w));

	EXPECT(w != NULL);
	w->limits = *limits;
	w->now_ns = 1000;
	EXPECT_EQ(ring_open(&w->ring, limits), 0);
	return w;
}

static struct world *world_of(uint32_t message_count, uint64_t byte_count, uint32_t lane_count)
{
	const struct ring_limits limits = {
		.message_count = message_count,
		.record_bytes_max = HEADROOM + PAYLOAD_MAX,
		.lane_count = lane_count,
		.inflight_max = 16,
		.byte_count = byte_count,
		.headroom_bytes_max = HEADROOM,
	};

	return world_open(&limits);
}

static void expect_whole(const struct world *w)
{
	const char *why;

	if (ring_check(w->ring, &why) < 0)
		ck_abort_msg("%s", why);
}

static void world_close(struct world *w)
{
	expect_whole(w);
	ring_close(w->ring);
	free(w->made);
	free(w);
}

/* One nanosecond a message: their order is that of their times. */
static void push(struct world *w, uint32_t lane_idx, uint32_t payload_bytes)
{
	uint8_t *payload = ring_reserve(w->ring, lane_idx, HEADROOM, payload_bytes, at(++w->now_ns));

	EXPECT(payload != NULL);
	memset(payload, (int)lane_idx, min_u64(payload_bytes, 64));
	ring_commit(w->ring, lane_idx, 0, payload_bytes, at(w->now_ns));
	if (w->made_count == w->room) {
		w->room = max_u64(1024, 2 * w->room);
		w->made = realloc(w->made, w->room * sizeof(*w->made));
		EXPECT(w->made != NULL);
	}
	w->made[w->made_count++] = (struct made){.time_ns = w->now_ns,
						 .payload_bytes = payload_bytes,
						 .lane_idx = lane_idx,
						 .sequence = ++w->committed[lane_idx]};
}

static void push_many(struct world *w, uint32_t lane_idx, uint32_t payload_bytes, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		push(w, lane_idx, payload_bytes);
}

/* The oldest that is to be kept now, by the definition: the newest within all three limits. */
static uint64_t oldest_kept(const struct world *w, struct ring_keeping k)
{
	uint64_t i = w->made_count, messages = 0, bytes = 0;

	while (i > w->gone_to) {
		const struct made *m = &w->made[i - 1];

		if (messages + 1 > k.messages || (k.bytes && bytes + m->payload_bytes > k.bytes) ||
		    (k.age_ns && m->time_ns + k.age_ns < w->now_ns))
			break;
		messages++;
		bytes += m->payload_bytes;
		i--;
	}
	return i;
}

/* Takes up to this many and releases them: they must be the oldest of those to be kept. Returns how many came. */
static uint64_t take_expected(struct world *w, uint64_t count_max)
{
	struct ring_record *rec[64];
	uint64_t taken_count = 0;

	w->gone_to = oldest_kept(w, ring_keeping(w->ring));
	if (count_max == 0)
		EXPECT_EQ(ring_take(w->ring, NULL, 0, at(w->now_ns)), 0);
	while (taken_count < count_max) {
		uint32_t count = ring_take(w->ring, rec, (uint32_t)min_u64(64, count_max - taken_count),
					   at(w->now_ns));

		if (count == 0 && ring_idle(w->ring))
			break;
		for (uint32_t i = 0; i < count; i++) {
			const struct made *m;

			EXPECT(w->gone_to < w->made_count);
			m = &w->made[w->gone_to++];
			EXPECT_EQ(rec[i]->time_ns, m->time_ns);
			EXPECT_EQ(rec[i]->lane_idx, m->lane_idx);
			EXPECT_EQ(rec[i]->sequence, m->sequence);
			EXPECT_EQ(rec[i]->payload_bytes, m->payload_bytes);
			ring_release(w->ring, rec[i]);
		}
		taken_count += count;
	}
	return taken_count;
}

/* Takes the rest: exactly what is to be kept comes, and the counters know of everything else. */
static uint64_t drain_expected(struct world *w)
{
	uint64_t taken_count = take_expected(w, UINT64_MAX);
	struct ring_counts c = ring_counts(w->ring);

	EXPECT_EQ(w->gone_to, w->made_count);
	EXPECT(ring_drained(w->ring));
	EXPECT_EQ(ring_backlog(w->ring), 0);
	EXPECT_EQ(ring_backlog_bytes(w->ring), 0);
	EXPECT_EQ(c.dropped, 0);
	EXPECT_EQ(c.made, w->made_count);
	EXPECT_EQ(c.made, c.taken + c.overwritten + c.expired);
	expect_whole(w);
	return taken_count;
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

TEST(exactly_the_newest_whose_bytes_fit_arrive_after_an_outage)
{
	static const uint64_t bytes[] = {HEADROOM + PAYLOAD_MAX, 999, 1000, 1001, 1099, 1100, 25000};

	for (size_t i = 0; i < ARRAY_COUNT(bytes); i++) {
		struct world *w = world_of(1000, bytes[i], 1);

		push_many(w, 0, 100, 5000);
		EXPECT_EQ(drain_expected(w), bytes[i] / 100);
		EXPECT_EQ(ring_counts(w->ring).overwritten, 5000 - bytes[i] / 100);
		world_close(w);
	}
}

TEST(whichever_of_messages_and_bytes_is_reached_first_limits)
{
	struct world *w = world_of(100, 5000, 2);

	push_many(w, 0, 10, 3000);
	EXPECT_EQ(drain_expected(w), 100);
	push_many(w, 1, 100, 3000);
	EXPECT_EQ(drain_expected(w), 50);
	push_many(w, 0, 50, 3000); /* both at once */
	EXPECT_EQ(drain_expected(w), 100);
	push_many(w, 0, 51, 3000);
	EXPECT_EQ(drain_expected(w), 98);
	world_close(w);
}

TEST(age_limits_what_messages_and_bytes_would_keep_and_the_other_way_round)
{
	struct world *w = world_of(100, 5000, 2);

	EXPECT_EQ(ring_keep(w->ring, 100, 5000, 30), 0);
	push_many(w, 0, 10, 3000);
	EXPECT_EQ(drain_expected(w), 31); /* just as old as the limit is not too old */
	EXPECT_EQ(ring_keep(w->ring, 100, 5000, 3000), 0);
	push_many(w, 0, 100, 3000);
	EXPECT_EQ(drain_expected(w), 50);
	push_many(w, 1, 100, 60);
	w->now_ns += 2975;
	EXPECT_EQ(drain_expected(w), 26);
	EXPECT_EQ(ring_counts(w->ring).expired, 69 + 24);
	world_close(w);
}

TEST(one_largest_message_fits_the_smallest_byte_limit)
{
	struct ring_limits l = {.message_count = 10,
				.record_bytes_max = 1000,
				.lane_count = 1,
				.byte_count = 1000,
				.headroom_bytes_max = 0};
	struct world *w = world_open(&l);

	for (uint32_t i = 0; i < 200; i++) {
		uint8_t *payload = ring_reserve(w->ring, 0, 0, 1000, at(i + 1));

		EXPECT(payload != NULL);
		payload[999] = (uint8_t)i;
		ring_commit(w->ring, 0, 0, 1000, at(i + 1));
	}
	EXPECT_EQ(ring_backlog_bytes(w->ring), 1000);
	struct ring_record *rec[2];

	EXPECT_EQ(ring_take(w->ring, rec, 2, at(1)), 1);
	EXPECT_EQ(ring_payload(rec[0])[999], 199);
	ring_release(w->ring, rec[0]);
	world_close(w);
}

TEST(a_byte_limit_below_one_largest_record_is_refused)
{
	struct ring_limits l = {
		.message_count = 10, .record_bytes_max = 1000, .lane_count = 1, .byte_count = 999};
	struct ring *r = NULL;

	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	EXPECT_EQ(ring_size_bytes(&l), 0);
	l.byte_count = 1000;
	l.headroom_bytes_max = 1001;
	EXPECT_EQ(ring_open(&r, &l), -EINVAL);
	l.headroom_bytes_max = 1000;
	EXPECT_EQ(ring_open(&r, &l), 0);
	ring_close(r);
}

/* Whole segments are discarded at once where that is exact; here none of a segment's last messages has any bytes. */
TEST(messages_without_payload_are_kept_as_long_as_they_fit)
{
	struct world *w = world_of(100, 0, 1);

	push_many(w, 0, 0, 5000);
	EXPECT_EQ(drain_expected(w), 100);
	world_close(w);

	w = world_of(3000, 500, 1);
	for (uint32_t i = 0; i < 300; i++) {
		push_many(w, 0, 100, 5);
		push_many(w, 0, 0, 200);
	}
	EXPECT_EQ(drain_expected(w), 200 + 5 + 200);
	world_close(w);
}

/* The border between what goes and what stays at every place of a segment, with empty messages on either side of it. */
TEST(the_border_may_be_anywhere_in_a_segment)
{
	for (uint32_t more = 0; more < 300; more++) {
		struct world *w = world_of(2000, 2000, 1);

		push_many(w, 0, 100, 60);
		push_many(w, 0, 0, more);
		push_many(w, 0, 20, 100);
		push_many(w, 0, 0, 10);
		EXPECT_EQ(drain_expected(w), more + 110);
		world_close(w);
	}
}

TEST(the_bytes_that_wait_are_those_of_the_messages_that_are_kept)
{
	struct world *w = world_of(10, 0, 1);

	for (uint32_t i = 0; i < 15; i++)
		push(w, 0, 40);
	EXPECT_EQ(ring_backlog(w->ring), 10);
	EXPECT_EQ(ring_backlog_bytes(w->ring), 400);
	world_close(w);
}

TEST(the_bytes_that_wait_are_said_exactly_and_never_more_than_the_limit)
{
	struct world *w = world_of(100, 3000, 3);
	uint64_t bytes = 0;

	EXPECT_EQ(ring_backlog_bytes(w->ring), 0);
	for (uint32_t i = 0; i < 40; i++) {
		push(w, i % 3, i);
		bytes += i;
		EXPECT_EQ(ring_backlog_bytes(w->ring), bytes);
	}
	EXPECT_EQ(take_expected(w, 10), 10);
	EXPECT_EQ(ring_backlog_bytes(w->ring), bytes - 45);
	push_many(w, 0, 100, 100);
	EXPECT_EQ(ring_backlog_bytes(w->ring), 3000);
	EXPECT_EQ(ring_take(w->ring, NULL, 0, at(w->now_ns)), 0);
	EXPECT_EQ(ring_resident_bytes(w->ring), 3000);
	EXPECT_EQ(ring_resident_count(w->ring), 30);
	world_close(w);
}

TEST(room_for_nothing_only_discards_and_leaves_exactly_what_is_kept)
{
	struct prng p = {.state = 9};

	for (uint32_t run = 0; run < 60; run++) {
		uint32_t lane_count = 1 + prng_below(&p, 4);
		struct world *w = world_of(1 + prng_below(&p, 300),
					   HEADROOM + PAYLOAD_MAX + prng_below(&p, 9000), lane_count);
		uint64_t left, bytes = 0;

		for (uint32_t i = 1000 + prng_below(&p, 9000); i > 0; i--)
			push(w, prng_below(&p, lane_count), prng_below(&p, PAYLOAD_MAX + 1));
		EXPECT_EQ(ring_take(w->ring, NULL, 0, at(w->now_ns)), 0);
		left = oldest_kept(w, ring_keeping(w->ring));
		for (uint64_t i = left; i < w->made_count; i++)
			bytes += w->made[i].payload_bytes;
		EXPECT_EQ(ring_resident_count(w->ring), w->made_count - left);
		EXPECT_EQ(ring_resident_bytes(w->ring), bytes);
		EXPECT_EQ(ring_counts(w->ring).taken, 0);
		EXPECT_EQ(ring_counts(w->ring).overwritten, left);
		expect_whole(w);
		EXPECT_EQ(drain_expected(w), w->made_count - left);
		world_close(w);
	}
}

/* --- everything at once -------------------------------------------------------------------------------------------- */

/* Outages of all lengths, some over many laps; between them some is taken, or all. */
TEST(after_every_outage_the_newest_within_all_three_limits_arrive)
{
	for (uint64_t seed = 1; seed <= 80; seed++) {
		struct prng p = {.state = seed};
		uint32_t lane_count = 1 + prng_below(&p, 5);
		uint64_t byte_count = prng_below(&p, 4) ? HEADROOM + PAYLOAD_MAX + prng_below(&p, 20000) : 0;
		struct world *w = world_of(1 + prng_below(&p, 500), byte_count, lane_count);
		uint64_t age_ns = prng_below(&p, 2) ? AGE_NONE : 1 + prng_below(&p, 800);

		EXPECT_EQ(ring_keep(w->ring, w->limits.message_count, byte_count, age_ns), 0);
		for (uint32_t outage = 0; outage < 12; outage++) {
			uint32_t largest = 1 + prng_below(&p, PAYLOAD_MAX + 1);
			uint32_t busy_count = 1 + prng_below(&p, lane_count); /* the others are idle */

			for (uint32_t i = prng_below(&p, outage % 4 == 3 ? 8000 : 800); i > 0; i--)
				push(w, prng_below(&p, busy_count), prng_below(&p, largest));
			w->now_ns += prng_below(&p, 4) ? 0 : prng_below(&p, 1000);
			if (prng_below(&p, 2))
				(void)take_expected(w, prng_below(&p, 300));
			else
				(void)drain_expected(w);
			expect_whole(w);
		}
		(void)drain_expected(w);
		world_close(w);
	}
}

/* Takes all there is, and holds the first. */
static struct ring_record *hold_one(struct world *w)
{
	struct ring_record *first = NULL, *rec;

	while (ring_take(w->ring, &rec, 1, at(w->now_ns)) == 1) {
		w->gone_to = rec->time_ns - w->made[0].time_ns + 1; /* a nanosecond a message */
		if (first)
			ring_release(w->ring, rec);
		else
			first = rec;
	}
	return first;
}

/* Sizes of which segments are left as empty as they can be, and others. */
static uint32_t size_of(struct prng *p, uint32_t mode, uint64_t n, uint32_t payload_max)
{
	switch (mode) {
	case 0: return n % 2 ? payload_max : 0;
	case 1: return payload_max;
	case 2: return prng_below(p, 30) ? 0 : payload_max;
	case 3: return 1; /* takes the most space for its bytes */
	default: return prng_below(p, payload_max + 1);
	}
}

/* What the publisher holds through an outage is the worst for what is kept beside it: one message in each of as many
 * segments as it may have. */
static void hold_through_an_outage(const struct ring_limits *l, struct prng *p)
{
	struct world *w = world_open(l);
	uint32_t payload_max = l->record_bytes_max - HEADROOM, mode = prng_below(p, 5), held_count = 0;
	uint32_t per_segment = w->ring->shape.segment_bytes / w->ring->shape.stride_bytes;
	struct ring_record **held = calloc(l->inflight_max + 1, sizeof(struct ring_record *));
	uint64_t map_bytes = ring_map_bytes(l), written_bytes = 0;

	EXPECT(held != NULL);
	for (uint32_t i = 0; i < l->lane_count;
	     i++) /* from here on most of them are idle, with a segment open */
		push(w, i, 0);
	while (held_count < l->inflight_max) {
		push_many(w, 0, prng_below(p, 2) ? payload_max : 0, 1 + prng_below(p, 2 * per_segment));
		held[held_count] = hold_one(w);
		if (!held[held_count])
			break; /* as much is held as the ring allows */
		held_count++;
	}
	/* Three times round the memory. */
	for (uint64_t n = 0; written_bytes < 3 * map_bytes; n++) {
		uint32_t payload_bytes = size_of(p, mode, n, payload_max);

		push(w, n % 97 == 5 ? prng_below(p, l->lane_count) : 0, payload_bytes);
		written_bytes += ring_record_units(HEADROOM, payload_bytes) * RING_UNIT_BYTES;
	}
	EXPECT_EQ(ring_counts(w->ring).dropped, 0);
	expect_whole(w);
	while (held_count > 0)
		ring_release(w->ring, held[--held_count]);
	EXPECT(drain_expected(w) > 0);
	free(held);
	world_close(w);
}

TEST(every_shape_with_a_byte_limit_keeps_the_newest_though_others_are_held)
{
	struct prng p = {.state = 77};

	for (uint32_t i = 0; i < 150; i++) {
		struct ring_limits l = {
			.message_count = 1 + prng_below(&p, 1u << (1 + prng_below(&p, 11))),
			.record_bytes_max = HEADROOM + 1 + prng_below(&p, 1u << (1 + prng_below(&p, 11))),
			.lane_count = 1 + prng_below(&p, prng_below(&p, 4) ? 3 : 12),
			.inflight_max = prng_below(&p, 1u << prng_below(&p, 8)),
		};

		l.headroom_bytes_max = prng_below(&p, 8) ? HEADROOM : 0;
		l.byte_count = l.record_bytes_max + prng_below(&p, 1u << (1 + prng_below(&p, 16)));
		hold_through_an_outage(&l, &p);
	}
}

/* By arithmetic, for limits of any size. Half the segments but five a lane are the newest; each but those is full: of
 * records, or of bytes but for one largest record. */
TEST(every_shape_has_room_for_what_it_promises_to_keep)
{
	struct prng p = {.state = 3};
	uint32_t by_bytes_count = 0;

	for (uint32_t i = 0; i < 50000; i++) {
		struct ring_limits l = {
			.message_count = 1 + prng_below(&p, 1u << (1 + prng_below(&p, 23))),
			.record_bytes_max = 1 + prng_below(&p, 1u << (1 + prng_below(&p, 24))),
			.lane_count = 1 + prng_below(&p, RING_LANES_MAX),
			.inflight_max = prng_below(&p, 1u << prng_below(&p, 20)),
		};
		struct ring_shape s;
		uint64_t per_segment, kept_segments, kept_bytes, payload_segments, waiting_count;
		bool by_count, by_bytes;

		l.headroom_bytes_max = prng_below(&p, (uint32_t)min_u64(l.record_bytes_max, 200) + 1);
		l.byte_count = l.record_bytes_max + (prng_next(&p) >> (24 + prng_below(&p, 40)));
		EXPECT_EQ(ring_shape_of(&l, &s), 0);
		per_segment = s.segment_bytes / s.stride_bytes;
		EXPECT_EQ(s.segment_bytes % s.stride_bytes, 0);
		EXPECT(s.stride_bytes >= sizeof(struct ring_record) + l.record_bytes_max);
		kept_segments = s.segment_count / 2 - 5ull * l.lane_count;
		by_count = kept_segments * per_segment >= l.message_count;
		/* One record of the smallest payload of which it takes the most space: as many as fit the bytes. */
		kept_bytes = l.message_count * (sizeof(struct ring_record) + l.headroom_bytes_max +
						RING_UNIT_BYTES - 1ull) +
			     l.byte_count;
		payload_segments = kept_segments * (per_segment - 1);
		by_bytes = l.headroom_bytes_max > 0 && payload_segments * s.stride_bytes >= kept_bytes;
		EXPECT(by_count || by_bytes);
		by_bytes_count += !by_count;
		/* What is in flight, of the largest, fits what may wait, though there is a backlog. */
		waiting_count = s.waiting_limit - l.lane_count - 1;
		EXPECT((by_count ? per_segment : per_segment - 1) * waiting_count >= l.inflight_max);
		EXPECT(s.waiting_limit + l.lane_count + 1 <= s.held_limit);
		EXPECT(s.held_limit <= s.segment_count / 4);
	}
	EXPECT(by_bytes_count > 5000);
}

TEST(the_pool_is_much_smaller_where_bytes_limit_it)
{
	struct ring_limits l = {.message_count = 100000,
				.record_bytes_max = 65536,
				.lane_count = 2,
				.inflight_max = 20,
				.headroom_bytes_max = 128};
	uint64_t without = ring_size_bytes(&l), before = 0;

	EXPECT(without > 2ull * l.message_count * l.record_bytes_max);
	for (uint64_t bytes = 1u << 20; bytes <= 64u << 20; bytes *= 4) {
		uint64_t kept_bytes = bytes + l.message_count * (48ull + 128 + 16);

		l.byte_count = bytes;
		EXPECT(ring_size_bytes(&l) < without / 10);
		EXPECT(ring_size_bytes(&l) >= 2 * kept_bytes);
		EXPECT(ring_size_bytes(&l) < 5 * kept_bytes + (32u << 20));
		EXPECT(ring_size_bytes(&l) > before);
		before = ring_size_bytes(&l);
	}
	/* Where the headroom is not known, or the bytes do not limit, it is made for the messages. */
	l.headroom_bytes_max = 0;
	EXPECT_EQ(ring_size_bytes(&l), without);
	l.headroom_bytes_max = 128;
	l.byte_count = UINT64_MAX;
	EXPECT_EQ(ring_size_bytes(&l), without);
	l.byte_count = 10ull * l.message_count * l.record_bytes_max;
	EXPECT_LE(ring_size_bytes(&l), without);
	EXPECT(ring_size_bytes(&l) >= without / 2);
}

TEST(ten_million_messages_are_little_more_than_twice_their_memory)
{
	struct ring_limits l = {.message_count = RING_MESSAGES_MAX,
				.record_bytes_max = 4096,
				.lane_count = 4,
				.inflight_max = 1000,
				.byte_count = 1ull << 30,
				.headroom_bytes_max = 128};
	uint64_t kept_bytes = RING_MESSAGES_MAX * (48ull + 128 + 16) + (1ull << 30);

	EXPECT(ring_size_bytes(&l) >= 2 * kept_bytes);
	EXPECT(ring_size_bytes(&l) <= 2 * kept_bytes + kept_bytes / 2);
	l.message_count++;
	EXPECT_EQ(ring_size_bytes(&l), 0);
}

/* Its messages are the oldest, wherever in the ring the segment lies that it left open. */
TEST(what_an_idle_lane_has_left_in_an_open_segment_goes_before_anything_younger)
{
	for (uint32_t before = 0; before < 400; before += 7) {
		for (uint32_t wakes = 0; wakes < 2; wakes++) {
			struct world *w = world_of(200, 0, 2);

			push_many(w, 0, 50, before);
			push_many(w, 1, 50, 4);
			push_many(w, 0, 50, 5000 + 3 * before);
			if (wakes) { /* and its next message closes it */
				push_many(w, 1, 50, 1);
				push_many(w, 0, 50, 20);
			}
			EXPECT_EQ(drain_expected(w), 200);
			world_close(w);
		}
	}
}

/* --- limits that change ------------------------------------------------------------------------------------------- */

TEST(the_limits_in_force_are_those_of_the_memory_at_first)
{
	const struct ring_limits l = {.message_count = 70,
				      .record_bytes_max = 100,
				      .lane_count = 1,
				      .max_age_ns = 5,
				      .byte_count = 800};
	struct world *w = world_open(&l);
	struct ring_keeping k = ring_keeping(w->ring);

	EXPECT_EQ(k.messages, 70);
	EXPECT_EQ(k.bytes, 800);
	EXPECT_EQ(k.age_ns, 5);
	EXPECT_EQ(ring_keep(w->ring, 7, 200, 9), 0);
	k = ring_keeping(w->ring);
	EXPECT_EQ(k.messages, 7);
	EXPECT_EQ(k.bytes, 200);
	EXPECT_EQ(k.age_ns, 9);
	world_close(w);
}

TEST(limits_that_the_memory_was_not_made_for_are_refused_and_change_nothing)
{
	struct world *w = world_of(100, 5000, 1);
	static const struct ring_keeping bad[] = {{0, 5000, 1},
						  {101, 5000, 1},
						  {UINT64_MAX, 5000, 1},
						  {100, 5001, 1},
						  {100, 0, 1},
						  {100, 1, 1},
						  {100, HEADROOM + PAYLOAD_MAX - 1, 1},
						  {100, UINT64_MAX, 1}};
	struct ring_keeping k;

	EXPECT_EQ(ring_keep(w->ring, 50, 3000, 0), 0);
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		EXPECT_EQ(ring_keep(w->ring, bad[i].messages, bad[i].bytes, bad[i].age_ns), -EINVAL);
		k = ring_keeping(w->ring);
		EXPECT_EQ(k.messages, 50);
		EXPECT_EQ(k.bytes, 3000);
		EXPECT_EQ(k.age_ns, 0);
	}
	EXPECT_EQ(ring_keep(w->ring, 1, HEADROOM + PAYLOAD_MAX, 1), 0);
	EXPECT_EQ(ring_keep(w->ring, 100, 5000, UINT64_MAX), 0);
	world_close(w);
}

/* A pool made for messages of the largest size holds any number of bytes that they can have. */
TEST(without_a_byte_limit_in_the_memory_any_may_be_set_and_lifted)
{
	struct world *w = world_of(100, 0, 1);

	EXPECT_EQ(ring_keep(w->ring, 100, HEADROOM + PAYLOAD_MAX - 1, 0), -EINVAL);
	EXPECT_EQ(ring_keep(w->ring, 100, 300, 0), 0);
	push_many(w, 0, 50, 3000);
	EXPECT_EQ(drain_expected(w), 6);
	EXPECT_EQ(ring_keep(w->ring, 100, UINT64_MAX, 0), 0);
	push_many(w, 0, 50, 3000);
	EXPECT_EQ(drain_expected(w), 100);
	EXPECT_EQ(ring_keep(w->ring, 100, 0, 0), 0);
	push_many(w, 0, 50, 3000);
	EXPECT_EQ(drain_expected(w), 100);
	world_close(w);
}

TEST(smaller_limits_keep_the_newest_and_larger_ones_keep_more_from_then_on)
{
	struct world *w = world_of(100, 5000, 2);
	struct ring_counts c;

	push_many(w, 0, 50, 90);
	EXPECT_EQ(ring_keep(w->ring, 40, 5000, 0), 0);
	EXPECT_EQ(ring_backlog(w->ring), 40);
	c = ring_counts_outside(w->ring); /* before anything is discarded the books close at the new limit */
	EXPECT_EQ(c.overwritten, 50);
	EXPECT_EQ(c.made, c.taken + c.overwritten + c.expired + c.dropped + ring_backlog(w->ring));
	EXPECT_EQ(take_expected(w, 1), 1);
	EXPECT_EQ(ring_counts(w->ring).overwritten, 50);
	EXPECT_EQ(ring_keep(w->ring, 40, 1000, 0), 0);
	EXPECT_EQ(ring_backlog_bytes(w->ring), 1000);
	EXPECT_EQ(take_expected(w, 1), 1);
	EXPECT_EQ(ring_counts(w->ring).overwritten, 69);
	EXPECT_EQ(ring_keep(w->ring, 40, 1000, 5), 0);
	EXPECT_EQ(take_expected(w, 1), 1);
	EXPECT_EQ(ring_counts(w->ring).expired, 13);
	EXPECT_EQ(ring_keep(w->ring, 100, 5000, 0), 0);
	push_many(w, 1, 50, 200);
	EXPECT_EQ(drain_expected(w), 100);
	world_close(w);
}

TEST(a_limit_that_is_widened_again_before_anything_was_discarded_has_cost_nothing)
{
	struct world *w = world_of(100, 5000, 1);

	push_many(w, 0, 50, 90);
	EXPECT_EQ(ring_keep(w->ring, 1, 200, 1), 0);
	EXPECT_EQ(ring_backlog(w->ring), 1);
	EXPECT_EQ(ring_keep(w->ring, 100, 5000, 0), 0);
	EXPECT_EQ(drain_expected(w), 90);
	world_close(w);
}

TEST(the_books_close_whenever_limits_change_while_samplers_go_on)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct prng p = {.state = seed};
		uint64_t byte_count = prng_below(&p, 2) ? 6000 : 0;
		struct world *w = world_of(200, byte_count, 3);

		for (uint32_t step = 0; step < 300; step++) {
			struct ring_counts c;

			for (uint32_t i = prng_below(&p, step % 50 ? 40 : 3000); i > 0; i--)
				push(w, prng_below(&p, 3), prng_below(&p, PAYLOAD_MAX + 1));
			if (prng_below(&p, 3) == 0)
				EXPECT_EQ(ring_keep(w->ring, 1 + prng_below(&p, 200),
						    132 + prng_below(&p, 6000 - 131),
						    prng_below(&p, 2) ? 0 : 1 + prng_below(&p, 300)),
					  0);
			c = ring_counts_outside(w->ring);
			EXPECT_EQ(c.made, c.taken + c.overwritten + c.expired + ring_backlog(w->ring));
			EXPECT_EQ(c.made, w->made_count);
			(void)take_expected(w, prng_below(&p, 60));
			expect_whole(w);
		}
		(void)drain_expected(w);
		world_close(w);
	}
}

/* One step discards no more than 65536 messages, or as many segments; the rest goes with the next ones. */
TEST(what_expired_in_a_long_outage_goes_in_steps_of_bounded_work)
{
	const struct ring_limits l = {.message_count = 140000, .record_bytes_max = HEADROOM, .lane_count = 1};
	struct world *w = world_open(&l);
	struct ring_record *rec;

	push_many(w, 0, 0, 140000);
	EXPECT_EQ(ring_keep(w->ring, 140000, 0, 1), 0);
	w->now_ns += 2;
	for (uint32_t step = 1; step <= 2; step++) {
		EXPECT_EQ(ring_take(w->ring, &rec, 1, at(w->now_ns)), 0);
		EXPECT(!ring_idle(w->ring));
		EXPECT_EQ(ring_counts(w->ring).expired, 65536 * step);
	}
	EXPECT_EQ(ring_take(w->ring, &rec, 1, at(w->now_ns)), 0);
	EXPECT_EQ(ring_counts(w->ring).expired, 140000);
	w->gone_to = w->made_count;
	EXPECT_EQ(drain_expected(w), 0);
	world_close(w);
}

TEST(a_long_outage_is_discarded_in_steps_of_bounded_work)
{
	const struct ring_limits l = {
		.message_count = 200000, .record_bytes_max = HEADROOM, .lane_count = 2, .inflight_max = 4};
	struct world *w = world_open(&l);
	struct ring_record *rec;
	uint64_t before;

	for (uint64_t i = 0; i < 200000; i++)
		push(w, i & 1, 0); /* in turns: no segment goes as a whole */
	EXPECT_EQ(ring_keep(w->ring, 1, 0, 0), 0);
	for (uint32_t step = 1; step <= 3; step++) {
		before = ring_counts(w->ring).overwritten;
		EXPECT_EQ(ring_take(w->ring, &rec, 1, at(w->now_ns)), 0);
		EXPECT(!ring_idle(w->ring));
		EXPECT_EQ(ring_counts(w->ring).overwritten - before, 65536);
		expect_whole(w);
	}
	EXPECT_EQ(drain_expected(w), 1);
	world_close(w);
}
