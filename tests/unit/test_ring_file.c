/* A ring's file between two processes: what comes back, in what order and with what time, and what does not. */
#include "core/loss.h"
#include "core/ring_layout.h"
#include "tests/unit/ring_file_case.h"

/* --- what comes back -------------------------------------------------------------------------------------------------- */

TEST(a_new_ring_has_a_file_of_its_own_for_nobody_else)
{
	struct stat st;

	folder_open();
	open_file();
	EXPECT_EQ(stat(path, &st), 0);
	EXPECT_EQ(st.st_mode & 07777, 0600);
	EXPECT_EQ(st.st_size, f.memory_bytes);
	EXPECT_LE(f.memory_bytes, st.st_blocks * 512); /* a full disk is told now */
	EXPECT(!exists(".new"));
	EXPECT_TEXT(f.state, "");
	expect_nothing();
	folder_close();
}

TEST(what_was_committed_comes_back_in_the_order_of_time)
{
	folder_open();
	open_file();
	push(0, "first");
	push(1, "second");
	push(0, "third");
	push(2, "fourth");
	push(1, "fifth");
	reopen();
	EXPECT_EQ(f.restored_count, 5);
	EXPECT_EQ(f.broken_count, 0);
	expect_next("a", "first");
	expect_next("plant/b", "second");
	expect_next("a", "third");
	expect_next("c/c", "fourth");
	expect_next("plant/b", "fifth");
	expect_nothing();
	folder_close();
}

TEST(a_message_comes_back_with_all_that_its_channel_said)
{
	struct ring_record *rec;
	struct carried c;

	folder_open();
	open_file();
	push_at(0, 1, "payload", 12345);
	reopen();
	rec = take();
	EXPECT(rec);
	c = carried_read(rec);
	EXPECT(bytes_equal(c.topic, topics[1].topic));
	EXPECT(bytes_equal(c.props, topics[1].props));
	EXPECT_EQ(c.expiry_s, 60);
	EXPECT_EQ(c.qos, 2);
	EXPECT(c.retain);
	EXPECT_EQ(rec->time_ns, 12345);
	/* The header is written backwards from the payload: fixed header, topic, identifier, properties, alias, expiry. */
	EXPECT_LE(24 + c.topic.size + c.props.size, rec->headroom_bytes);
	folder_close();
}

TEST(a_message_that_was_taken_and_not_released_comes_back)
{
	struct ring_record *held;

	folder_open();
	open_file();
	push_numbers(0, 1, 4);
	held = take();
	EXPECT(held);
	held->flags |= 2; /* the publisher's own */
	ring_payload(held)[-1] = 'h';
	ring_release(f.ring, take());
	reopen();
	EXPECT_EQ(f.restored_count, 3);
	expect_next("a", "1");
	expect_next("a", "3");
	expect_next("a", "4");
	folder_close();
}

TEST(what_is_through_does_not_come_back)
{
	struct ring_record *rec[4];

	folder_open();
	open_file();
	push_numbers(0, 1, 5);
	EXPECT_EQ(ring_take(f.ring, rec, 4, now), 4);
	ring_release(f.ring, rec[0]);
	ring_give_up(f.ring, rec[1]);
	ring_expire(f.ring, rec[2]);
	ring_done(f.ring, rec[3]); /* held still, and safe elsewhere */
	reopen();
	expect_numbers(5, 5);
	expect_nothing();
	folder_close();
}

/* It was passed over, and younger ones were sent: behind them it would be out of order. */
TEST(what_was_discarded_does_not_come_back)
{
	folder_open();
	config.limits.message_count = 5;
	open_file();
	push_numbers(0, 1, 20);
	EXPECT(take());
	reopen();
	EXPECT_EQ(f.restored_count, 5);
	expect_numbers(16, 20);
	expect_nothing();
	folder_close();
}

TEST(what_has_expired_does_not_come_back)
{
	folder_open();
	config.limits.max_age_ns = 100 * NS_PER_S;
	open_file();
	push_at(0, 0, "old", now.ns - 200 * NS_PER_S);
	push_at(0, 0, "1", now.ns - 50 * NS_PER_S);
	EXPECT(take());
	config.limits.max_age_ns = 0;
	reopen();
	expect_numbers(1, 1);
	expect_nothing();
	folder_close();
}

TEST(what_was_only_reserved_does_not_come_back)
{
	uint8_t *payload;

	folder_open();
	open_file();
	push_numbers(0, 1, 2);
	payload = ring_reserve(f.ring, 0, HEADROOM, 50, now);
	EXPECT(payload);
	memset(payload, 'x', 50);
	reopen();
	EXPECT_EQ(f.broken_count, 0);
	expect_numbers(1, 2);
	expect_nothing();
	folder_close();
}

TEST(segments_in_every_state_give_what_they_have)
{
	uint32_t seen[RING_SEG_FREE + 1] = {0};

	folder_open();
	config.limits.message_count = 3000;
	open_file();
	push_at(1, 0, "0", next_ns++); /* its segment stays open, and is touched */
	push_numbers(0, 1, 2500);
	EXPECT(take());
	for (uint32_t i = 0; i < f.ring->shape.segment_count; i++)
		seen[ring_state(f.ring->segments[i].word)]++;
	EXPECT(seen[RING_SEG_OPEN]);
	EXPECT(seen[RING_SEG_HELD]);
	EXPECT(seen[RING_SEG_READY]);
	EXPECT(seen[RING_SEG_CLAIMED]);
	reopen();
	expect_numbers(0, 2500);
	expect_nothing();
	folder_close();
}

TEST(after_many_laps_the_newest_come_back)
{
	folder_open();
	config.limits.message_count = 50;
	open_file();
	push_numbers(0, 1, 5000);
	EXPECT(ring_counts(f.ring).overwritten > 0);
	reopen();
	EXPECT_EQ(f.broken_count, 0);
	expect_numbers(4951, 5000);
	expect_nothing();
	folder_close();
}

TEST(a_smaller_ring_keeps_the_newest)
{
	folder_open();
	open_file();
	push_numbers(0, 1, 1000);
	config.limits.message_count = 10;
	reopen();
	expect_numbers(991, 1000);
	expect_nothing();
	folder_close();
}

TEST(a_lane_that_is_not_there_any_more_comes_back)
{
	folder_open();
	open_file();
	push(1, "one");
	push(0, "nought");
	config.limits.lane_count = 1;
	reopen();
	expect_next("plant/b", "one");
	expect_next("a", "nought");
	expect_nothing();
	folder_close();
}

TEST(messages_go_out_under_the_topic_they_were_made_for)
{
	static const struct ring_file_topic others[] = {{.topic = TEXT("new"), .qos = 1}};

	folder_open();
	open_file();
	push(0, "one");
	push(1, "two");
	config.topics = others;
	config.topic_count = 1;
	reopen();
	push_at(0, 0, "three", now.ns);
	reopen();
	expect_next("a", "one");
	expect_next("plant/b", "two");
	expect_next("new", "three");
	expect_nothing();
	folder_close();
}

TEST(a_message_larger_than_the_largest_now_is_counted_and_left_out)
{
	char large[91];

	folder_open();
	open_file();
	memset(large, 'l', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	push_at(0, 1, "1", 1);
	push_at(0, 1, large, 2);
	push_at(0, 1, "2", 3);
	/* Exactly what the small ones need: payload, properties, topic, twice the latter in the headroom. */
	config.limits.record_bytes_max = 24 + 2 * (7 + 7) + 1 + (uint32_t)sizeof(struct carried_end);
	reopen();
	EXPECT_EQ(f.restored_count, 2);
	EXPECT_EQ(f.unfit_count, 1);
	expect_next("plant/b", "1");
	expect_next("plant/b", "2");
	expect_nothing();
	folder_close();
}

TEST(a_smaller_record_than_the_file_needs_can_be_asked_for_and_told)
{
	char large[91];
	struct ring_limits limits;

	folder_open();
	open_file();
	memset(large, 'l', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	push_at(0, 2, "1", 1);
	push_at(0, 2, large, 2);
	push_at(0, 2, "2", 3);
	ring_file_close(&f);
	limits = config.limits;
	limits.record_bytes_max = 20;
	EXPECT_EQ(ring_file_record_bytes(path, &limits, 0), 24 + 2 * 3 + 90 + sizeof(struct carried_end));
	config.limits.record_bytes_max = ring_file_record_bytes(path, &limits, 0);
	open_file();
	EXPECT_EQ(f.unfit_count, 0);
	expect_next("c/c", "1");
	expect_next("c/c", large);
	expect_next("c/c", "2");
	ring_file_close(&f);
	EXPECT_EQ(ring_file_record_bytes(path, &limits, 0), 20); /* all is through */
	folder_close();
}

TEST(one_large_message_does_not_make_a_file_larger_than_the_last)
{
	struct ring_limits limits;

	folder_open();
	config.limits.message_count = 10;
	open_file();
	push(2, "longer than the records of the next configuration");
	limits = config.limits;
	limits.record_bytes_max = 20;
	limits.message_count = 1000000;
	EXPECT_EQ(ring_file_record_bytes(path, &limits, 0), 20);
	limits.message_count = 10;
	EXPECT_LE(21, ring_file_record_bytes(path, &limits, 0));
	folder_close();
}

TEST(without_a_file_to_be_trusted_records_are_as_large_as_configured)
{
	folder_open();
	EXPECT_EQ(ring_file_record_bytes(path, &config.limits, 0), RECORD);
	EXPECT_EQ(ring_file_record_bytes(dir, &config.limits, 0), RECORD);
	open_file();
	push(0, "x");
	((struct ring_file_header *)f.memory)->epoch++;
	config.limits.record_bytes_max = 1;
	EXPECT_EQ(ring_file_record_bytes(path, &config.limits, 0), 1);
	folder_close();
}

TEST(what_came_back_comes_back_again)
{
	struct ring_record *rec;

	folder_open();
	config.limits.record_bytes_max = 24 + 2 * (7 + 7) + 1 + (uint32_t)sizeof(struct carried_end);
	open_file();
	for (uint32_t i = 0; i < 5; i++)
		push_at(0, 1, (const char *[]){"1", "2", "3", "4", "5"}[i], 100 + i);
	reopen();
	ring_release(f.ring, take());
	for (int i = 0; i < 3; i++) {
		reopen();
		EXPECT_EQ(f.restored_count, 4);
		EXPECT_EQ(f.unfit_count, 0);
	}
	rec = take();
	EXPECT(rec);
	EXPECT_EQ(rec->time_ns, 101);
	EXPECT_EQ(carried_read(rec).qos, 2);
	EXPECT(bytes_equal(carried_read(rec).props, topics[1].props));
	ring_release(f.ring, rec);
	expect_next("plant/b", "3");
	folder_close();
}

TEST(what_the_session_has_is_left_to_it)
{
	uint64_t origins[2];
	struct ring_record *rec[4];

	folder_open();
	open_file();
	push_numbers(0, 1, 4);
	EXPECT_EQ(ring_take(f.ring, rec, 4, now), 4);
	origins[0] = ring_file_origin(&f, rec[1]);
	origins[1] = ring_file_origin(&f, rec[3]);
	EXPECT_NE(origins[0], origins[1]);
	if (origins[0] > origins[1]) {
		uint64_t first = origins[1];

		origins[1] = origins[0];
		origins[0] = first;
	}
	ring_file_close(&f);
	EXPECT_EQ(ring_file_open(&f, &config, origins, 2, now, wall), 0);
	EXPECT_EQ(f.known_count, 2);
	EXPECT_EQ(f.restored_count, 2);
	expect_numbers(1, 1);
	expect_numbers(3, 3);
	expect_nothing();
	folder_close();
}

TEST(the_same_record_of_another_file_is_another_message)
{
	struct ring_record *rec;
	uint64_t first;

	folder_open();
	open_file();
	push(0, "x");
	rec = take();
	first = ring_file_origin(&f, rec);
	EXPECT_EQ(first, ring_file_origin(&f, rec));
	EXPECT_NE(first, 0);
	ring_release(f.ring, rec);
	reopen();
	push(0, "x");
	EXPECT_NE(ring_file_origin(&f, take()), first);
	folder_close();
}

/* --- time ----------------------------------------------------------------------------------------------------------------- */

static uint64_t time_of_next(void)
{
	struct ring_record *rec = take();

	EXPECT(rec);
	ring_release(f.ring, rec);
	return rec->time_ns;
}

TEST(a_wall_clock_that_jumps_changes_no_time_of_this_boot)
{
	folder_open();
	open_file();
	push_at(0, 0, "x", 900 * NS_PER_S);
	wall.ns += 50ll * 365 * 86400 * (int64_t)NS_PER_S;
	reopen();
	EXPECT_EQ(time_of_next(), 900 * NS_PER_S);
	folder_close();
}

TEST(a_time_of_another_boot_is_converted)
{
	folder_open();
	open_file(); /* mono 1000 s is wall 5000 s */
	push_at(0, 0, "x", 900 * NS_PER_S);
	push_at(0, 0, "y", 990 * NS_PER_S);
	config.boot++;
	now.ns = 200 *
		 NS_PER_S; /* wall 5100 s, so this boot began at 4900 s; x was made at 4900 s, y at 4990 s */
	wall.ns = 5100 * (int64_t)NS_PER_S;
	reopen();
	EXPECT_EQ(time_of_next(), 1);
	EXPECT_EQ(time_of_next(), 90 * NS_PER_S);
	folder_close();
}

TEST(where_the_boot_is_not_known_the_wall_clock_decides)
{
	folder_open();
	config.boot = 9;
	open_file();
	push_at(0, 0, "x", 900 * NS_PER_S);
	((struct ring_file_header *)f.memory)->boot = 0;
	((struct ring_file_header *)f.memory)->header_crc = ring_file_header_crc(f.memory);
	wall.ns += 10 * (int64_t)NS_PER_S;
	reopen();
	EXPECT_EQ(time_of_next(), 890 * NS_PER_S);
	folder_close();
}

TEST(a_time_in_the_future_is_now)
{
	folder_open();
	open_file();
	push_at(0, 0, "x", 2000 * NS_PER_S);
	push_at(0, 0, "y", UINT64_MAX);
	reopen();
	EXPECT_EQ(time_of_next(), now.ns);
	EXPECT_LE(time_of_next(), now.ns);
	folder_close();
}

TEST(the_kernel_is_asked_which_boot_it_is)
{
	folder_open();
	config.boot = 0;
	open_file();
	EXPECT_NE(f.boot, 0);
	push_at(0, 0, "x", 900 * NS_PER_S);
	wall.ns += 10 * (int64_t)NS_PER_S;
	reopen();
	EXPECT_EQ(time_of_next(), 900 * NS_PER_S);
	folder_close();
}

/* --- what it has lost ------------------------------------------------------------------------------------------------- */

static uint64_t told_sum(void)
{
	uint64_t sum = f.losses.unlocated_count + f.losses.dropped_count;

	for (uint32_t i = 0; i < RING_LOSS_KINDS; i++)
		sum += f.losses.untold[i];
	return sum;
}

TEST(nothing_is_left_untold_where_nothing_was_lost)
{
	folder_open();
	open_file();
	push_numbers(0, 1, 5);
	EXPECT(take());
	reopen();
	EXPECT_EQ(told_sum(), 0);
	folder_close();
}

TEST(what_was_overwritten_and_never_found_is_known_to_the_next_process)
{
	uint64_t made = 20000, overwritten;

	folder_open();
	config.limits.message_count = 5;
	open_file();
	push_numbers(0, 1, made);
	overwritten = ring_counts(f.ring).overwritten;
	EXPECT(overwritten > 0);
	reopen();
	EXPECT_EQ(f.losses.unlocated_count, overwritten);
	EXPECT_EQ(f.restored_count + overwritten, made);
	EXPECT_EQ(f.lost_to.ns <= now.ns && f.lost_from.ns <= f.lost_to.ns, 1);

	/* That one ends, too, before it has told anybody. */
	reopen();
	EXPECT_EQ(f.losses.untold[LOSS_OVERWRITTEN], overwritten);
	folder_close();
}

TEST(what_the_ledger_has_found_and_not_told_is_known_to_the_next_process)
{
	const struct ring_losses left = {.located_count = 3,
					 .untold = {[LOSS_EXPIRED] = 2, [LOSS_THINNED] = 7}};
	uint64_t discarded;

	folder_open();
	config.limits.message_count = 5;
	open_file();
	push_numbers(0, 1, 20);
	EXPECT(take());
	discarded = ring_counts(f.ring).overwritten;
	EXPECT_EQ(discarded, 15);
	ring_losses_keep(f.ring, &left);
	reopen();
	EXPECT_EQ(f.losses.unlocated_count, discarded - 3);
	EXPECT_EQ(f.losses.dropped_count, 0);
	EXPECT_EQ(f.losses.untold[LOSS_EXPIRED], 2);
	EXPECT_EQ(f.losses.untold[LOSS_THINNED], 7);
	EXPECT_EQ(f.losses.untold[LOSS_OVERWRITTEN], 0);
	reopen();
	EXPECT_EQ(f.losses.untold[LOSS_OVERWRITTEN], discarded - 3);
	EXPECT_EQ(f.losses.untold[LOSS_THINNED], 7);
	folder_close();
}

TEST(counters_that_contradict_each_other_tell_of_no_loss)
{
	const struct ring_losses left = {.located_count = 16, .untold = {[LOSS_EXPIRED] = 2}};

	folder_open();
	config.limits.message_count = 5;
	open_file();
	push_numbers(0, 1, 20);
	EXPECT(take());
	ring_losses_keep(f.ring, &left); /* more than were lost */
	reopen();
	EXPECT_EQ(told_sum(), 0);
	folder_close();
}

TEST(a_count_that_no_time_is_enough_for_tells_of_no_loss)
{
	const struct ring_losses left = {.untold = {[LOSS_EXPIRED] = 1ull << 48}};

	folder_open();
	open_file();
	ring_losses_keep(f.ring, &left);
	reopen();
	EXPECT_EQ(told_sum(), 0);
	folder_close();
}
