#include "core/time_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/prng.h"
#include "tests/test.h"

#define S INT64_C(1000000000)

static char text[TIME_TEXT_BYTES];

static const char *of(int64_t ns)
{
	time_text((struct wall){.ns = ns}, text);
	return text;
}

/* The C library's calendar; floor division, because it counts forward also before 1970. */
static const char *expected(int64_t ns)
{
	static char out[64];
	int64_t second = ns / S - (ns % S < 0);
	time_t t = (time_t)second;
	struct tm tm;

	gmtime_r(&t, &tm);
	snprintf(out, sizeof(out), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)((ns - second * S) / 1000));
	return out;
}

TEST(known_moments_have_their_text)
{
	EXPECT_TEXT(of(0), "1970-01-01T00:00:00.000000Z");
	EXPECT_TEXT(of(1767323045678901000), "2026-01-02T03:04:05.678901Z");
	EXPECT_TEXT(of(951782400 * S), "2000-02-29T00:00:00.000000Z");
	EXPECT_TEXT(of(4107542399 * S + 999999999), "2100-02-28T23:59:59.999999Z");
	EXPECT_TEXT(of(4107542400 * S), "2100-03-01T00:00:00.000000Z");
}

TEST(less_than_a_microsecond_is_cut_off_not_rounded)
{
	EXPECT_TEXT(of(999), "1970-01-01T00:00:00.000000Z");
	EXPECT_TEXT(of(1000), "1970-01-01T00:00:00.000001Z");
	EXPECT_TEXT(of(S - 1), "1970-01-01T00:00:00.999999Z");
}

TEST(time_before_1970_counts_forward_too)
{
	EXPECT_TEXT(of(-1), "1969-12-31T23:59:59.999999Z");
	EXPECT_TEXT(of(-S), "1969-12-31T23:59:59.000000Z");
	EXPECT_TEXT(of(-86400 * S - 1), "1969-12-30T23:59:59.999999Z");
}

TEST(any_time_reads_like_the_calendar_of_the_c_library)
{
	struct prng prng = {.state = 1};

	for (int i = 0; i < 200000; i++) {
		int64_t ns = (int64_t)prng_next(&prng);

		EXPECT_TEXT(of(ns), expected(ns));
	}
}

TEST(every_day_of_eight_hundred_years_reads_like_the_calendar_of_the_c_library)
{
	for (int64_t day = -100 * 365; day < 106 * 1000; day++) /* as far as 64 bits of nanoseconds go */
		EXPECT_TEXT(of(day * 86400 * S + 86399 * S), expected(day * 86400 * S + 86399 * S));
}

TEST(the_ends_of_the_nanosecond_count_have_a_text)
{
	EXPECT_TEXT(of(INT64_MAX), "2262-04-11T23:47:16.854775Z");
	EXPECT_TEXT(of(INT64_MIN), "1677-09-21T00:12:43.145224Z");
}

TEST(the_cache_changes_nothing_whatever_the_order_of_times)
{
	struct prng prng = {.state = 2};
	struct time_cache cache = {0};
	char cached[TIME_TEXT_BYTES] = {0};
	int64_t ns = 1767323045 * S;

	for (int i = 0; i < 200000; i++) {
		ns += (int64_t)prng_below(&prng, 3) * S / 2 - S / 2 + (int64_t)prng_below(&prng, 2000);
		time_text_cached(&cache, (struct wall){.ns = ns}, cached);
		EXPECT_TEXT(cached, of(ns));
	}
}

TEST(an_empty_cache_is_not_mistaken_for_the_first_second_of_1970)
{
	struct time_cache cache = {0};
	char cached[TIME_TEXT_BYTES] = {0};

	time_text_cached(&cache, (struct wall){.ns = 5000}, cached);
	EXPECT_TEXT(cached, "1970-01-01T00:00:00.000005Z");
}

TEST(the_cached_text_writes_no_byte_more_than_its_size)
{
	struct time_cache cache = {0};
	char room[TIME_TEXT_SIZE + 1];

	memset(room, '#', sizeof(room));
	time_text_cached(&cache, (struct wall){.ns = 1}, room);
	EXPECT_EQ(room[TIME_TEXT_SIZE], '#');
	EXPECT_EQ(room[TIME_TEXT_SIZE - 1], 'Z');
}
