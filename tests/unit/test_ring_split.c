/* tests/unit/test_ring_split.c - a ring in two streams: what is live goes first, what was there before follows. */
#include <stdlib.h>
#include <string.h>

#include "core/prng.h"
#include "core/ring_layout.h"
#include "tests/test.h"

#define HEADROOM  32u
#define HOLDS_MAX 16u

/* Where a message is, as the test knows it. */
enum place { LIVE, BACKLOG, TAKEN, GONE };

struct made {
	uint32_t lane_idx, payload_bytes;
	uint64_t sequence;
	enum place place;
	bool reached; /* lies in a segment that the live stream has reached; while a split is due it goes no further */
};

/* A ring and all that was ever made in it: one nanosecond a message, so made[i] is of time FIRST_NS + i. */
#define FIRST_NS 1000u

struct world {
	struct ring *ring;
	struct made *made;
	uint64_t made_count, room;
	uint64_t past; /* all before this are TAKEN or GONE */
	uint64_t now_ns;
	uint64_t committed[RING_LANES_MAX];
	bool split_is_due;
	struct ring_record *held[HOLDS_MAX];
	uint32_t held_count;
};

static struct mono at(uint64_t ns)
{
	return (struct mono){.ns = ns};
}

static struct world *world_of(const struct ring_limits *limits, const struct ring_shape *shape)
{
	struct world *w = calloc(1, sizeof(*w));

	EXPECT(w != NULL);
	w->now_ns = FIRST_NS - 1;
	EXPECT_EQ(shape ? ring_open_shaped(&w->ring, limits, shape) : ring_open(&w->ring, limits), 0);
	return w;
}

static struct world *world_open(uint32_t message_count, uint32_t lane_count)
{
	const struct ring_limits limits = {
		.message_count = message_count,
		.record_bytes_max = HEADROOM + 100,
		.lane_count = lane_count,
		.inflight_max = HOLDS_MAX,
	};

	return world_of(&limits, NULL);
}

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

static void expect_whole(const struct world *w)
{
	const char *why;

	if (ring_check(w->ring, &why) < 0)
		ck_abort_msg("%s", why);
}

static void push(struct world *w, uint32_t lane_idx, uint32_t payload_bytes)
{
	uint8_t *payload = ring_reserve(w->ring, lane_idx, HEADROOM, payload_bytes, at(++w->now_ns));

	EXPECT(payload != NULL);
	memset(payload, (int)(w->now_ns & 0xff), payload_bytes);
	ring_commit(w->ring, lane_idx, 0, payload_bytes, at(w->now_ns));
	if (w->made_count == w->room) {
		w->room = max_u64(1024, 2 * w->room);
		w->made = realloc(w->made, w->room * sizeof(*w->made));
		EXPECT(w->made != NULL);
	}
	w->made[w->made_count++] = (struct made){
		.lane_idx = lane_idx, .payload_bytes = payload_bytes, .sequence = ++w->committed[lane_idx]};
}

static void push_many(struct world *w, uint32_t lane_idx, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		push(w, lane_idx, 16);
}

/* While a split is due. */
static void reached_find(struct world *w)
{
	const struct ring *r = w->ring;

	for (uint64_t i = w->past; i < w->made_count; i++)
		w->made[i].reached = false;
	for (uint32_t idx = 0; idx < r->shape.segment_count; idx++) {
		const struct ring_touched *t = &r->publisher.touched[idx];
		uint32_t fill = t->mine ? ring_fill_of(r, t->position, r->segments[idx].committed) : 0;

		for (uint32_t i = t->taken; i < fill;) {
			const struct ring_record *rec = ring_record_at(r, idx, i);

			w->made[rec->time_ns - FIRST_NS].reached = true;
			i += ring_record_units(rec->headroom_bytes, rec->payload_bytes);
		}
	}
}

static bool is_due_of(const struct world *w, const struct made *m, enum place place)
{
	return m->place == place && (place != LIVE || !w->split_is_due || m->reached);
}

static uint64_t count_of(const struct world *w, enum place place)
{
	uint64_t count = 0;

	for (uint64_t i = w->past; i < w->made_count; i++)
		count += w->made[i].place == place;
	return count;
}

static struct made *oldest_of(struct world *w, enum place place)
{
	while (w->past < w->made_count && w->made[w->past].place >= TAKEN)
		w->past++;
	for (uint64_t i = w->past; i < w->made_count; i++)
		if (is_due_of(w, &w->made[i], place))
			return &w->made[i];
	return NULL;
}

/* All that there is becomes the backlog. */
static bool split(struct world *w)
{
	w->split_is_due = !ring_split(w->ring);
	expect_whole(w);
	if (w->split_is_due)
		return false;
	for (uint64_t i = w->past; i < w->made_count; i++)
		if (w->made[i].place == LIVE)
			w->made[i].place = BACKLOG;
	return true;
}

/* What exceeds the limits goes: of the backlog first, then, in the live stream's turn, of what is live. */
static void model_discard(struct world *w, enum ring_stream_kind kind)
{
	struct ring_keeping k = ring_keeping(w->ring);
	uint64_t count = 0, bytes = 0;
	enum place from = kind == RING_REPLAY ? BACKLOG : LIVE;
	struct made *m;

	for (uint64_t i = w->past; i < w->made_count; i++)
		if (w->made[i].place < TAKEN) {
			count++;
			bytes += w->made[i].payload_bytes;
		}
	if (kind == RING_REPLAY || !oldest_of(w, BACKLOG))
		while ((count > k.messages || (k.bytes && bytes > k.bytes)) && (m = oldest_of(w, from))) {
			m->place = GONE;
			count--;
			bytes -= m->payload_bytes;
		}
	if (k.age_ns)
		while ((m = oldest_of(w, from)) && (uint64_t)(m - w->made) + FIRST_NS + k.age_ns < w->now_ns)
			m->place = GONE;
}

static void model_take(struct world *w, enum ring_stream_kind kind)
{
	if (w->split_is_due)
		reached_find(w);
	model_discard(w, RING_REPLAY);
	if (kind == RING_LIVE)
		model_discard(w, RING_LIVE);
}

static bool waits_for_releases(const struct world *w)
{
	return w->ring->publisher.waiting_count + ring_lane_count(w->ring) + 1 >=
	       w->ring->shape.waiting_limit;
}

/* Takes up to room, and holds it: exactly what is due in this stream, oldest first. */
static uint32_t take(struct world *w, enum ring_stream_kind kind, uint32_t room)
{
	struct ring_record **rec = w->held + w->held_count;
	uint64_t left = 0;
	uint32_t count;

	room = (uint32_t)min_u64(room, HOLDS_MAX - w->held_count);
	model_take(w, kind);
	for (uint64_t i = w->past; i < w->made_count; i++)
		left += is_due_of(w, &w->made[i], kind == RING_LIVE ? LIVE : BACKLOG);
	count = kind == RING_LIVE ? ring_take(w->ring, rec, room, at(w->now_ns))
				  : ring_take_replay(w->ring, rec, room, at(w->now_ns));
	for (uint32_t i = 0; i < count; i++) {
		struct made *m = oldest_of(w, kind == RING_LIVE ? LIVE : BACKLOG);

		EXPECT(m != NULL);
		EXPECT_EQ(rec[i]->time_ns, (uint64_t)(m - w->made) + FIRST_NS);
		EXPECT_EQ(rec[i]->lane_idx, m->lane_idx);
		EXPECT_EQ(rec[i]->sequence, m->sequence);
		EXPECT_EQ(rec[i]->payload_bytes, m->payload_bytes);
		m->place = TAKEN;
	}
	w->held_count += count;
	if (!waits_for_releases(w))
		EXPECT_EQ(count, min_u64(left, room));
	expect_whole(w);
	return count;
}

static void release(struct world *w, uint32_t idx)
{
	struct ring_record *rec = w->held[idx];

	for (uint32_t i = 0; i < rec->payload_bytes; i++)
		EXPECT_EQ(ring_payload(rec)[i], rec->time_ns & 0xff);
	ring_release(w->ring, rec);
	w->held[idx] = w->held[--w->held_count];
}

static void release_all(struct world *w)
{
	while (w->held_count)
		release(w, w->held_count - 1);
	expect_whole(w);
}

/* Takes all of one stream; returns how many came. */
static uint64_t drain(struct world *w, enum ring_stream_kind kind)
{
	uint64_t count = 0;
	uint32_t n;

	while ((n = take(w, kind, HOLDS_MAX)) > 0) {
		count += n;
		release_all(w);
	}
	return count;
}

/* The next of a stream is this one of its lane. */
static void expect_next(struct world *w, enum ring_stream_kind kind, uint32_t lane_idx, uint64_t sequence)
{
	EXPECT_EQ(take(w, kind, 1), 1);
	EXPECT_EQ(w->held[w->held_count - 1]->lane_idx, lane_idx);
	EXPECT_EQ(w->held[w->held_count - 1]->sequence, sequence);
	release(w, w->held_count - 1);
}

static void world_close(struct world *w)
{
	struct ring_counts c;

	release_all(w);
	c = ring_counts(w->ring);
	EXPECT_EQ(c.made, w->made_count + c.dropped);
	EXPECT_EQ(c.taken, c.released);
	ring_close(w->ring);
	free(w->made);
	free(w);
}

/* --- the two streams ---------------------------------------------------------------------------------------------- */

TEST(a_ring_that_was_never_split_has_no_backlog)
{
	struct world *w = world_open(100, 2);
	struct ring_record *rec;

	push_many(w, 0, 50);
	EXPECT(ring_replay_is_done(w->ring));
	EXPECT_EQ(ring_replay_left(w->ring), 0);
	EXPECT_EQ(ring_take_replay(w->ring, &rec, 1, at(w->now_ns)), 0);
	EXPECT_EQ(drain(w, RING_LIVE), 50);
	EXPECT_EQ(ring_replay_left(w->ring), 0);
	world_close(w);
}

TEST(an_empty_ring_can_be_split_any_number_of_times)
{
	struct world *w = world_open(100, 2);

	for (uint32_t i = 0; i < 10; i++)
		EXPECT(split(w));
	EXPECT(ring_idle(w->ring));
	EXPECT_EQ(take(w, RING_REPLAY, 1), 0);
	EXPECT(ring_replay_is_done(w->ring));
	EXPECT_EQ(take(w, RING_LIVE, 1), 0);
	EXPECT(ring_drained(w->ring));
	push_many(w, 1, 3);
	EXPECT_EQ(drain(w, RING_LIVE), 3);
	world_close(w);
}

TEST(what_comes_after_a_split_goes_first_and_the_backlog_is_not_touched_by_it)
{
	struct world *w = world_open_tiny(1);

	push_many(w, 0, 20);
	EXPECT(split(w));
	push_many(w, 0, 5);
	for (uint64_t i = 21; i <= 25; i++)
		expect_next(w, RING_LIVE, 0, i);
	EXPECT_EQ(take(w, RING_LIVE, 1), 0);
	for (uint64_t i = 1; i <= 20; i++)
		expect_next(w, RING_REPLAY, 0, i);
	EXPECT_EQ(take(w, RING_REPLAY, 1), 0);
	EXPECT(ring_replay_is_done(w->ring));
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

TEST(the_streams_may_be_taken_in_turns)
{
	struct world *w = world_open_tiny(1);

	push_many(w, 0, 12);
	EXPECT(split(w));
	for (uint64_t i = 1; i <= 12; i++) {
		push(w, 0, 16);
		expect_next(w, RING_LIVE, 0, 12 + i);
		expect_next(w, RING_REPLAY, 0, i);
	}
	EXPECT(ring_replay_is_done(w->ring));
	world_close(w);
}

TEST(each_lane_keeps_its_order_in_both_streams_and_the_older_lane_goes_first)
{
	struct world *w = world_open_tiny(3);

	for (uint32_t i = 0; i < 30; i++)
		push(w, i % 3, 16);
	EXPECT(split(w));
	for (uint32_t i = 0; i < 9; i++)
		push(w, 2 - i % 3, 16);
	for (uint64_t i = 0; i < 30; i++)
		expect_next(w, RING_REPLAY, (uint32_t)(i % 3), i / 3 + 1);
	for (uint32_t i = 0; i < 9; i++)
		expect_next(w, RING_LIVE, 2 - i % 3, 11 + i / 3);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

/* Its sampler leaves it before its next message. */
TEST(an_idle_lanes_open_segment_is_of_the_backlog_and_takes_nothing_more)
{
	struct world *w = world_open(1000, 3);

	push_many(w, 1, 2);
	push_many(w, 0, 6);
	EXPECT(split(w));
	push_many(w, 1, 1);
	expect_next(w, RING_LIVE, 1, 3);
	expect_next(w, RING_REPLAY, 1, 1);
	expect_next(w, RING_REPLAY, 1, 2);
	EXPECT_EQ(drain(w, RING_REPLAY), 6);
	push_many(w, 0, 1);
	expect_next(w, RING_LIVE, 0, 7);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

TEST(an_open_segment_of_which_all_is_taken_is_of_neither_stream_and_goes_when_its_lane_leaves_it)
{
	struct world *w = world_open(1000, 2);

	push_many(w, 0, 3);
	push_many(w, 1, 3);
	EXPECT_EQ(drain(w, RING_LIVE), 6);
	push_many(w, 1, 1);
	EXPECT(split(w));
	push_many(w, 0, 2);
	expect_next(w, RING_LIVE, 0, 4);
	expect_next(w, RING_LIVE, 0, 5);
	expect_next(w, RING_REPLAY, 1, 4);
	push_many(w, 1, 2);
	expect_next(w, RING_LIVE, 1, 5);
	expect_next(w, RING_LIVE, 1, 6);
	EXPECT(ring_drained(w->ring));
	EXPECT_EQ(w->ring->publisher.held_count, 0);
	world_close(w);
}

/* The backlog is done while its last segment is still open: its lane may yet find it so. */
TEST(a_message_that_was_being_written_at_the_split_comes_after_it)
{
	struct world *w = world_open(1000, 1);

	push_many(w, 0, 1);
	EXPECT_EQ(drain(w, RING_LIVE), 1);
	EXPECT(ring_reserve(w->ring, 0, HEADROOM, 16, at(w->now_ns)) != NULL);
	EXPECT(split(w));
	EXPECT_EQ(take(w, RING_REPLAY, 1), 0);
	EXPECT(ring_replay_is_done(w->ring));
	ring_commit(w->ring, 0, 0, 0, at(++w->now_ns));
	EXPECT_EQ(ring_take(w->ring, w->held, 1, at(w->now_ns)), 1);
	EXPECT_EQ(w->held[0]->sequence, 2);
	ring_release(w->ring, w->held[0]);
	ring_close(w->ring);
	free(w->made);
	free(w);
}

/* --- what gives way --------------------------------------------------------------------------------------------- */

TEST(the_backlog_gives_way_first_to_what_is_live)
{
	struct world *w = world_open_tiny(1);

	EXPECT_EQ(ring_keep(w->ring, 20, 0, 0), 0);
	push_many(w, 0, 17);
	EXPECT(split(w));
	push_many(w, 0, 11);
	expect_next(w, RING_LIVE, 0, 18); /* 28: eight of the backlog had to go */
	expect_next(w, RING_REPLAY, 0, 9);
	EXPECT_EQ(ring_counts(w->ring).overwritten, 8);
	EXPECT_EQ(ring_keep(w->ring, 5, 0, 0), 0);
	EXPECT_EQ(drain(w, RING_REPLAY), 0); /* all of it has to, but nothing of what is live by that */
	EXPECT(ring_replay_is_done(w->ring));
	EXPECT_EQ(ring_counts(w->ring).overwritten, 8 + 8);
	expect_next(w, RING_LIVE, 0, 24); /* that follows in its own turn */
	EXPECT_EQ(drain(w, RING_LIVE), 4);
	world_close(w);
}

TEST(the_bytes_of_both_streams_count_and_the_backlogs_go_first)
{
	const struct ring_limits limits = {.message_count = 1000,
					   .record_bytes_max = HEADROOM + 100,
					   .lane_count = 1,
					   .inflight_max = HOLDS_MAX,
					   .byte_count = 10000,
					   .headroom_bytes_max = HEADROOM};
	struct world *w = world_of(&limits, NULL);

	for (uint32_t i = 0; i < 200; i++)
		push(w, 0, 50);
	EXPECT(split(w));
	for (uint32_t i = 0; i < 50; i++)
		push(w, 0, 100);
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	EXPECT_EQ(count_of(w, BACKLOG), 100);
	EXPECT_EQ(ring_backlog_bytes(w->ring), 10000 - w->held[0]->payload_bytes);
	release_all(w);
	EXPECT_EQ(drain(w, RING_LIVE) + 1, 50);
	EXPECT_EQ(drain(w, RING_REPLAY), 100);
	world_close(w);
}

/* Also where only what is live is asked for: or old messages would take the place of new ones. */
TEST(the_backlog_expires_while_only_what_is_live_is_taken)
{
	struct world *w = world_open_tiny(1);

	EXPECT_EQ(ring_keep(w->ring, 1000, 0, 15), 0);
	push_many(w, 0, 20);
	EXPECT(split(w));
	push_many(w, 0, 5); /* now it is 25: 10 and younger are young enough */
	expect_next(w, RING_LIVE, 0, 21);
	EXPECT_EQ(ring_counts(w->ring).expired, 9);
	EXPECT_EQ(ring_lane_expired(w->ring, 0, RING_REPLAY), 9);
	EXPECT_EQ(ring_lane_expired(w->ring, 0, RING_LIVE), 0);
	w->now_ns += 13; /* all of the backlog, and the 22nd */
	expect_next(w, RING_LIVE, 0, 23);
	EXPECT(ring_replay_is_done(w->ring));
	EXPECT_EQ(ring_lane_expired(w->ring, 0, RING_REPLAY), 20);
	EXPECT_EQ(ring_lane_expired(w->ring, 0, RING_LIVE), 1);
	EXPECT_EQ(drain(w, RING_LIVE), 2);
	EXPECT(split(w)); /* what expired before is the backlog's from here on */
	EXPECT_EQ(ring_lane_expired(w->ring, 0, RING_REPLAY), 21);
	EXPECT_EQ(ring_lane_expired(w->ring, 0, RING_LIVE), 0);
	world_close(w);
}

TEST(an_outage_of_many_laps_after_a_split_leaves_exactly_the_newest)
{
	struct world *w = world_open(300, 2);

	for (uint32_t i = 0; i < 300; i++)
		push(w, i % 2, 50);
	EXPECT(split(w));
	EXPECT_EQ(take(w, RING_REPLAY, 3), 3); /* held through the outage */
	for (uint32_t i = 0; i < 20000; i++)
		push(w, i % 2, i % 101);
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	EXPECT_EQ(w->held[3]->time_ns, w->now_ns - 299);
	EXPECT(ring_replay_is_done(w->ring));
	release_all(w);
	EXPECT_EQ(drain(w, RING_LIVE), 299);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

/* --- more than one split ------------------------------------------------------------------------------------------ */

TEST(a_second_outage_joins_the_backlog_of_the_first)
{
	struct world *w = world_open_tiny(1);

	push_many(w, 0, 10);
	EXPECT(split(w)); /* backlog 1..10 */
	push_many(w, 0, 3);
	EXPECT_EQ(drain(w, RING_LIVE), 3); /* 11..13 */
	expect_next(w, RING_REPLAY, 0, 1);
	push_many(w, 0, 7);
	EXPECT(split(w)); /* and 14..20 */
	push_many(w, 0, 1);
	for (uint64_t i = 2; i <= 10; i++)
		expect_next(w, RING_REPLAY, 0, i);
	for (uint64_t i = 14; i <= 20; i++)
		expect_next(w, RING_REPLAY, 0, i);
	EXPECT(ring_replay_is_done(w->ring));
	expect_next(w, RING_LIVE, 0, 21);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

/* They are younger than what the backlog has not come to yet: it cannot take them in. */
TEST(what_was_seen_live_and_not_taken_has_to_be_taken_before_a_second_split)
{
	struct world *w = world_open_tiny(1);
	uint64_t count = 0;

	push_many(w, 0, 10);
	EXPECT(split(w));
	push_many(w, 0, 20);
	expect_next(w, RING_LIVE, 0, 11); /* some after it are seen with it */
	EXPECT(!split(w));
	push_many(w, 0, 5);
	EXPECT(!split(w));
	while (take(w, RING_LIVE, HOLDS_MAX) > 0) {
		count += w->held_count;
		release_all(w);
	}
	/* These, and nothing else: the rest is of the backlog once it is split. */
	EXPECT_EQ(count, ring_lane_count(w->ring) + 1);
	EXPECT_EQ(take(w, RING_LIVE, 1), 0);
	EXPECT(!ring_idle(w->ring));
	EXPECT(split(w));
	EXPECT_EQ(take(w, RING_LIVE, 1), 0);
	for (uint64_t i = 1; i <= 10; i++)
		expect_next(w, RING_REPLAY, 0, i);
	expect_next(w, RING_REPLAY, 0, 11 + count + 1);
	(void)drain(w, RING_REPLAY);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

TEST(what_was_seen_and_not_taken_joins_at_once_where_the_backlog_is_done)
{
	struct world *w = world_open_tiny(2);

	push_many(w, 0, 10);
	push_many(w, 1, 10);
	expect_next(w, RING_LIVE, 0, 1);
	EXPECT(split(w));
	EXPECT_EQ(count_of(w, BACKLOG), 19);
	expect_next(w, RING_REPLAY, 0, 2);
	EXPECT_EQ(drain(w, RING_REPLAY), 18);
	EXPECT_EQ(drain(w, RING_LIVE), 0);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

TEST(a_third_and_fourth_split_behave_like_the_second)
{
	struct world *w = world_open_tiny(2);
	uint64_t before = 0;

	for (uint32_t outage = 0; outage < 4; outage++) {
		push_many(w, outage % 2, 8);
		EXPECT(split(w));
		EXPECT(count_of(w, BACKLOG) > before);
		(void)drain(w, RING_LIVE);
		before = count_of(w, BACKLOG);
		EXPECT_EQ(take(w, RING_REPLAY, 1), 1);
		release_all(w);
		before--;
	}
	EXPECT_EQ(drain(w, RING_REPLAY), before);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

TEST(splits_without_end_do_not_use_anything_up)
{
	struct world *w = world_open(50, 2);

	for (uint32_t i = 0; i < 3000; i++) {
		push(w, i % 2, 50);
		while (!split(w)) {
			EXPECT(take(w, RING_LIVE, 4) > 0);
			release_all(w);
		}
		push(w, i % 2, 50);
		(void)take(w, i % 5 ? RING_REPLAY : RING_LIVE, 2);
		(void)take(w, i % 3 ? RING_REPLAY : RING_LIVE, 2);
		release_all(w);
	}
	(void)drain(w, RING_LIVE);
	(void)drain(w, RING_REPLAY);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

/* Only what was open at the split is left. */
TEST(a_lane_goes_on_in_the_first_segment_it_has_opened_after_a_split)
{
	struct world *w = world_open(1000, 1);
	uint64_t position;

	push_many(w, 0, 3);
	EXPECT(split(w));
	push_many(w, 0, 1);
	position = w->ring->samplers[0].position;
	EXPECT_EQ(position, w->ring->map->close_before);
	push_many(w, 0, 1);
	EXPECT_EQ(w->ring->samplers[0].position, position);
	world_close(w);
}

TEST(a_ring_is_crowded_when_half_of_what_may_be_held_is)
{
	struct world *w = world_open_tiny(1);
	uint32_t half;

	push_many(w, 0, 30);
	half = w->ring->shape.waiting_limit / 2; /* 7 */
	for (uint32_t count = 1; count <= half; count++) {
		EXPECT(!ring_is_crowded(w->ring));
		EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	}
	EXPECT(ring_is_crowded(w->ring));
	release(w, 0);
	EXPECT(!ring_is_crowded(w->ring));
	EXPECT(split(w)); /* that keeps two back: 6 are half */
	EXPECT(ring_is_crowded(w->ring));
	release(w, 0);
	EXPECT(!ring_is_crowded(w->ring));
	(void)drain(w, RING_REPLAY);
	world_close(w);
}

/* --- what is held, and what is said ------------------------------------------------------------------------------ */

TEST(held_messages_of_both_streams_survive_splits_and_laps)
{
	struct world *w = world_open(200, 2);

	for (uint32_t i = 0; i < 200; i++)
		push(w, i % 2, i % 101);
	EXPECT_EQ(take(w, RING_LIVE, 4), 4);
	EXPECT(split(w));
	EXPECT_EQ(take(w, RING_REPLAY, 4), 4);
	push_many(w, 0, 8);
	EXPECT_EQ(take(w, RING_LIVE, 4), 4);
	for (uint32_t i = 0; i < 9000; i++)
		push(w, i % 2, i % 101);
	(void)split(w);
	for (uint32_t i = 0; i < 9000; i++)
		push(w, i % 2, i % 101);
	expect_whole(w);
	release_all(w); /* verifies their bytes */
	(void)drain(w, RING_LIVE);
	if (w->split_is_due)
		EXPECT(split(w));
	(void)drain(w, RING_LIVE);
	(void)drain(w, RING_REPLAY);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

/* A segment that waits for a release only, at the split, belongs to neither stream. */
TEST(a_message_of_the_live_stream_may_be_released_after_the_split)
{
	struct world *w = world_open_tiny(1);

	push_many(w, 0, 10);
	EXPECT_EQ(take(w, RING_LIVE, 5), 5);
	EXPECT(split(w));
	EXPECT_EQ(take(w, RING_REPLAY, 2), 2);
	release(w, 0);
	expect_whole(w);
	release(w, 3);
	expect_whole(w);
	EXPECT(split(w));
	release_all(w);
	EXPECT_EQ(drain(w, RING_REPLAY), 3);
	EXPECT_EQ(w->ring->publisher.held_count, 0);
	world_close(w);
}

TEST(what_is_left_of_the_backlog_counts_down_to_nothing)
{
	struct world *w = world_open_tiny(2);

	push_many(w, 0, 10);
	push_many(w, 1, 10);
	EXPECT_EQ(take(w, RING_LIVE, 3), 3);
	release_all(w);
	EXPECT_EQ(ring_replay_left(w->ring), 0);
	EXPECT(split(w));
	EXPECT_EQ(count_of(w, BACKLOG), 17);
	push_many(w, 1, 2);
	EXPECT_EQ(drain(w, RING_LIVE), 2);
	for (uint64_t left = 17; left > 0; left--) {
		EXPECT(!ring_replay_is_done(w->ring));
		EXPECT_EQ(ring_replay_left(w->ring), left);
		EXPECT_EQ(take(w, RING_REPLAY, 1), 1);
		release_all(w);
	}
	EXPECT(ring_replay_is_done(w->ring));
	EXPECT_EQ(ring_replay_left(w->ring), 0);
	push_many(w, 0, 4); /* as soon as the publisher has looked */
	EXPECT_EQ(take(w, RING_LIVE, 1), 1);
	EXPECT_EQ(ring_replay_left(w->ring), 0);
	world_close(w);
}

TEST(a_ring_is_idle_though_it_has_a_backlog_and_drained_only_without)
{
	struct world *w = world_open_tiny(1);

	push_many(w, 0, 6);
	EXPECT(split(w));
	push(w, 0, 16);
	EXPECT(!ring_idle(w->ring));
	EXPECT(!ring_drained(w->ring));
	EXPECT_EQ(drain(w, RING_LIVE), 1);
	EXPECT(ring_idle(w->ring));
	EXPECT(!ring_drained(w->ring));
	EXPECT(!ring_replay_idle(w->ring));
	EXPECT_EQ(drain(w, RING_REPLAY), 6);
	EXPECT(ring_replay_idle(w->ring));
	EXPECT(ring_idle(w->ring));
	EXPECT(ring_drained(w->ring));
	push(w, 0, 16);
	EXPECT(!ring_idle(w->ring));
	EXPECT(!ring_drained(w->ring));
	world_close(w);
}

/* Or a server that is slow to answer would keep what is live from being found. */
TEST(what_is_held_of_the_backlog_never_keeps_the_live_stream_from_its_oldest)
{
	struct world *w = world_open_tiny(1);

	push_many(w, 0, 30);
	EXPECT(split(w));
	push_many(w, 0, 20);
	while (take(w, RING_REPLAY, 1) == 1)
		; /* as much as may be held */
	EXPECT_EQ(w->held_count, w->ring->shape.waiting_limit - 2);
	EXPECT(ring_idle(w->ring));
	EXPECT(ring_replay_idle(w->ring));
	release(w, 0);
	EXPECT(!ring_idle(w->ring));
	EXPECT(!ring_replay_idle(w->ring));
	expect_next(w, RING_LIVE, 0, 31);
	expect_next(w, RING_LIVE, 0, 32);
	release_all(w);
	(void)drain(w, RING_LIVE);
	(void)drain(w, RING_REPLAY);
	EXPECT(ring_drained(w->ring));
	world_close(w);
}

/* --- by chance ---------------------------------------------------------------------------------------------------- */

static struct world *world_by_chance(struct prng *p)
{
	struct ring_limits l = {
		.message_count = 1 + prng_below(p, 400),
		.record_bytes_max = HEADROOM + 100,
		.lane_count = 1 + prng_below(p, 4),
		.inflight_max = HOLDS_MAX,
		.max_age_ns = prng_below(p, 3) ? 0 : 1 + prng_below(p, 900),
		.byte_count = prng_below(p, 2) ? 0 : HEADROOM + 100 + prng_below(p, 20000),
		.headroom_bytes_max = HEADROOM,
	};

	return world_of(&l, NULL);
}

static void step_by_chance(struct world *w, struct prng *p, uint32_t step)
{
	uint32_t lane_count = ring_lane_count(w->ring), busy_count = 1 + prng_below(p, lane_count);
	uint64_t backlog_count;

	for (uint32_t i = prng_below(p, step % 40 == 0 ? 5000 : 30); i > 0; i--)
		push(w, prng_below(p, busy_count), prng_below(p, 101));
	if (w->split_is_due || prng_below(p, 12) == 0)
		(void)split(w);
	(void)take(w, prng_below(p, 2) ? RING_LIVE : RING_REPLAY, prng_below(p, HOLDS_MAX + 1));
	model_take(w, RING_LIVE);
	EXPECT_EQ(ring_take(w->ring, NULL, 0, at(w->now_ns)), 0);
	backlog_count = count_of(w, BACKLOG);
	if (w->split_is_due) /* what exceeds the limits may wait until the ring is split, or be overwritten */
		EXPECT_LE(ring_resident_count(w->ring), backlog_count + count_of(w, LIVE));
	else
		EXPECT_EQ(ring_resident_count(w->ring), backlog_count + count_of(w, LIVE));
	EXPECT_EQ(ring_replay_left(w->ring), backlog_count);
	EXPECT_EQ(ring_replay_is_done(w->ring), backlog_count == 0);
}

TEST(random_runs_give_each_stream_exactly_what_is_its_own)
{
	for (uint64_t seed = 1; seed <= 25; seed++) {
		struct prng p = {.state = seed};
		struct world *w = world_by_chance(&p);
		struct ring_counts c;

		for (uint32_t step = 0; step < 200; step++) {
			step_by_chance(w, &p, step);
			for (uint32_t n = prng_below(&p, w->held_count + 1); n > 0; n--)
				release(w, prng_below(&p, w->held_count));
			expect_whole(w);
		}
		release_all(w);
		while (!ring_drained(w->ring)) {
			(void)drain(w, RING_LIVE);
			if (w->split_is_due)
				(void)split(w);
			(void)drain(w, RING_REPLAY);
		}
		EXPECT_EQ(count_of(w, LIVE) + count_of(w, BACKLOG), 0);
		EXPECT_EQ(ring_replay_left(w->ring), 0);
		c = ring_counts(w->ring);
		EXPECT_EQ(c.made, c.taken + c.overwritten + c.expired);
		world_close(w);
	}
}
