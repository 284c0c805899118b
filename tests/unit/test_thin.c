/* tests/unit/test_thin.c - the table of thinning: records in, what is let go and what goes out. */
#include <math.h>
#include <stdlib.h>

#include "core/prng.h"
#include "core/thin.h"
#include "tests/test.h"

#define BUCKET_NS 100u
#define RECORDS   4096u

struct bench {
	struct thin table;
	enum cfg_thin keep;
	struct ring_record records[RECORDS];
	double values[RECORDS];
	bool gone[RECORDS];
	uint32_t count;
	uint32_t gone_count;
	struct thin_out out[RECORDS];
	uint32_t out_count;
};

static struct bench *bench_open(enum cfg_thin keep)
{
	struct bench *b = calloc(1, sizeof(*b));

	EXPECT(b != NULL);
	EXPECT_EQ(thin_open(&b->table, 8, BUCKET_NS), 0);
	b->keep = keep;
	return b;
}

static void bench_close(struct bench *b)
{
	thin_close(&b->table);
	free(b);
}

static uint32_t number_of(const struct bench *b, const struct ring_record *rec)
{
	return (uint32_t)(rec - b->records);
}

/* All that has ended, into out. */
static void drain(struct bench *b)
{
	while (thin_front(&b->table, &b->out[b->out_count])) {
		b->out_count++;
		thin_pop(&b->table);
	}
}

/* One more record, as the target does it; its number. */
static uint32_t add_in_lane(struct bench *b, uint32_t lane_idx, uint32_t channel, uint64_t time_ns,
			    double value)
{
	uint32_t number = b->count++;
	struct ring_record *rec = &b->records[number], *gone;
	const struct thin_item item = {.rec = rec,
				       .channel = channel,
				       .lane_idx = lane_idx,
				       .time_ns = time_ns,
				       .keep = b->keep,
				       .value = value};

	EXPECT(number < RECORDS);
	rec->time_ns = time_ns;
	rec->sequence = number + 1;
	b->values[number] = value;
	thin_reached(&b->table, lane_idx, time_ns);
	drain(b);
	if (!thin_takes(&b->table, &item)) {
		thin_end(&b->table, channel);
		drain(b);
	}
	gone = thin_add(&b->table, &item);
	if (gone) {
		EXPECT(!b->gone[number_of(b, gone)]);
		b->gone[number_of(b, gone)] = true;
		b->gone_count++;
	}
	return number;
}

static uint32_t add(struct bench *b, uint32_t channel, uint64_t time_ns, double value)
{
	return add_in_lane(b, 0, channel, time_ns, value);
}

static void finish(struct bench *b)
{
	thin_end_all(&b->table);
	drain(b);
	EXPECT_EQ(b->table.held_count, 0);
	EXPECT_EQ(b->table.open_count, 0);
	EXPECT_EQ(b->out_count + b->gone_count, b->count);
}

static void expect_out(const struct bench *b, uint32_t at, uint32_t number)
{
	EXPECT(at < b->out_count);
	EXPECT_EQ(number_of(b, b->out[at].rec), number);
}

TEST(the_last_record_of_a_bucket_is_kept)
{
	struct bench *b = bench_open(CFG_THIN_LAST);

	add(b, 1, 100, 5);
	add(b, 1, 150, 9);
	add(b, 1, 199, 1);
	add(b, 1, 200, 2);
	EXPECT_EQ(b->out_count, 1);
	expect_out(b, 0, 2);
	EXPECT(!b->out[0].is_average);
	finish(b);
	EXPECT_EQ(b->out_count, 2);
	expect_out(b, 1, 3);
	EXPECT(b->gone[0]);
	EXPECT(b->gone[1]);
	bench_close(b);
}

TEST(the_smallest_and_the_largest_go_in_the_order_of_their_time)
{
	struct bench *b = bench_open(CFG_THIN_MIN_MAX);

	add(b, 0, 100, 5);
	add(b, 0, 110, 9); /* 1: the largest */
	add(b, 0, 120, 7);
	add(b, 0, 130, -1); /* 3: the smallest, after it */
	add(b, 0, 140, 9);
	finish(b);
	EXPECT_EQ(b->out_count, 2);
	expect_out(b, 0, 1);
	expect_out(b, 1, 3);
	EXPECT(!b->out[0].is_average);
	bench_close(b);
}

TEST(one_record_that_is_both_the_smallest_and_the_largest_goes_once)
{
	struct bench *b = bench_open(CFG_THIN_MIN_MAX);

	add(b, 0, 100, 5);
	add(b, 0, 110, 5);
	add(b, 0, 200, 6);
	finish(b);
	EXPECT_EQ(b->out_count, 2);
	expect_out(b, 0, 0); /* of equal ones the first */
	expect_out(b, 1, 2);
	bench_close(b);
}

TEST(the_average_goes_with_the_last_record)
{
	struct bench *b = bench_open(CFG_THIN_AVERAGE);

	add(b, 0, 100, 1);
	add(b, 0, 110, 2);
	add(b, 0, 120, 6);
	add(b, 0, 230, 4);
	finish(b);
	EXPECT_EQ(b->out_count, 2);
	expect_out(b, 0, 2);
	EXPECT(b->out[0].is_average);
	EXPECT(b->out[0].average == 3);
	expect_out(b, 1, 3);
	EXPECT(!b->out[1].is_average); /* of one: it goes as it is */
	bench_close(b);
}

TEST(a_sum_without_an_end_begins_a_new_bucket)
{
	struct bench *b = bench_open(CFG_THIN_AVERAGE);

	add(b, 0, 100, 1.5e308);
	add(b, 0, 110, 1.5e308);
	finish(b);
	EXPECT_EQ(b->out_count, 2);
	EXPECT_EQ(b->gone_count, 0);
	bench_close(b);
}

/* A channel that tells seldom would hold its record, and with it a part of the ring, for long. */
TEST(a_bucket_ends_when_its_lane_is_past_it_whichever_channel_tells)
{
	struct bench *b = bench_open(CFG_THIN_LAST);

	add(b, 0, 100, 0);
	add(b, 1, 110, 0);
	add(b, 2, 205, 0);
	EXPECT_EQ(b->out_count, 2);
	expect_out(b, 0, 0);
	expect_out(b, 1, 1);
	EXPECT_EQ(b->table.open_count, 1);
	finish(b);
	bench_close(b);
}

/* The lanes are in step only roughly: one that is behind may still add to its bucket. */
TEST(another_lane_does_not_end_a_bucket)
{
	struct bench *b = bench_open(CFG_THIN_LAST);

	add_in_lane(b, 0, 0, 190, 0);
	add_in_lane(b, 1, 1, 201, 0);
	add_in_lane(b, 0, 0, 199, 0);
	EXPECT_EQ(b->out_count, 0);
	finish(b);
	EXPECT_EQ(b->out_count, 2);
	expect_out(b, 0, 2);
	expect_out(b, 1, 1);
	bench_close(b);
}

TEST(a_channel_that_ends_alone_leaves_the_others_open)
{
	struct bench *b = bench_open(CFG_THIN_LAST);

	for (uint32_t i = 0; i < 3; i++)
		add(b, i, 100 + i, 0);
	thin_end(&b->table, 1); /* from the middle of the list */
	drain(b);
	EXPECT_EQ(b->out_count, 1);
	expect_out(b, 0, 1);
	EXPECT(thin_is_open(&b->table, 0));
	EXPECT(!thin_is_open(&b->table, 1));
	EXPECT(thin_is_open(&b->table, 2));
	finish(b);
	expect_out(b, 1, 0);
	expect_out(b, 2, 2);
	bench_close(b);
}

/* Worked out anew from all records: what is kept of a channel's bucket. */
static void expect_bucket(const struct bench *b, uint32_t from, uint32_t to, const uint32_t *channels,
			  uint32_t channel, uint32_t *at)
{
	uint32_t low = UINT32_MAX, high = 0, last = 0, count = 0;
	double sum = 0;

	for (uint32_t i = from; i < to; i++) {
		if (channels[i] != channel)
			continue;
		if (low == UINT32_MAX)
			low = high = i;
		low = b->values[i] < b->values[low] ? i : low;
		high = b->values[i] > b->values[high] ? i : high;
		sum += b->values[i];
		last = i;
		count++;
	}
	if (count == 0)
		return;
	if (b->keep == CFG_THIN_MIN_MAX) {
		expect_out(b, (*at)++, low < high ? low : high);
		if (low != high)
			expect_out(b, (*at)++, low < high ? high : low);
		return;
	}
	expect_out(b, *at, last);
	if (b->keep == CFG_THIN_AVERAGE && count > 1)
		EXPECT(b->out[*at].average == sum / count);
	++*at;
}

/* Buckets in which the channels begin in their order, so that it is known in which they go. */
static void any_records(enum cfg_thin keep)
{
	struct bench *b = bench_open(keep);
	struct prng prng = {.state = 7};
	uint32_t channels[RECORDS], begins[64], at = 0;

	for (uint32_t bucket = 0; bucket < 40; bucket++) {
		uint32_t count = 1 + (uint32_t)prng_below(&prng, 90);

		begins[bucket] = b->count;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t channel = i < 8 ? i : (uint32_t)prng_below(&prng, 8);

			channels[b->count] = channel;
			add(b, channel, bucket * BUCKET_NS + i, (double)prng_below(&prng, 20) - 10);
		}
	}
	begins[40] = b->count;
	finish(b);
	for (uint32_t bucket = 0; bucket < 40; bucket++)
		for (uint32_t channel = 0; channel < 8; channel++)
			expect_bucket(b, begins[bucket], begins[bucket + 1], channels, channel, &at);
	EXPECT_EQ(at, b->out_count);
	bench_close(b);
}

TEST(of_any_records_exactly_the_last_of_each_bucket_are_kept)
{
	any_records(CFG_THIN_LAST);
}

TEST(of_any_records_exactly_the_smallest_and_the_largest_of_each_bucket_are_kept)
{
	any_records(CFG_THIN_MIN_MAX);
}

TEST(of_any_records_exactly_the_average_of_each_bucket_goes_out)
{
	any_records(CFG_THIN_AVERAGE);
}
