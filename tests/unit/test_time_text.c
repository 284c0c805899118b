#include "core/time_text.h"

#include <errno.h>
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

/* ------------------------------------------------------------------------------------------ and back */

static struct wall parsed;

static int parse(const char *rfc_3339)
{
	parsed = (struct wall){.ns = 12345};
	return time_parse(bytes_of_text(rfc_3339), &parsed);
}

#define EXPECT_TIME(rfc_3339, its_ns) \
	do { \
		EXPECT_EQ(parse(rfc_3339), 0); \
		EXPECT_EQ(parsed.ns, its_ns); \
	} while (0)

TEST(known_texts_have_their_moment)
{
	EXPECT_TIME("1970-01-01T00:00:00Z", 0);
	EXPECT_TIME("2026-01-02T03:04:05.678901Z", 1767323045678901000);
	EXPECT_TIME("2000-02-29T00:00:00Z", 951782400 * S);
	EXPECT_TIME("2100-03-01T00:00:00Z", 4107542400 * S);
	EXPECT_TIME("1969-12-31T23:59:59.999999999Z", -1);
	EXPECT_TIME("1969-12-31T23:59:59Z", -S);
}

TEST(a_fraction_has_one_to_nine_digits_or_is_not_there)
{
	EXPECT_TIME("1970-01-01T00:00:01.5Z", 1500000000);
	EXPECT_TIME("1970-01-01T00:00:00.000000001Z", 1);
	EXPECT_TIME("1970-01-01T00:00:00.123456789Z", 123456789);
	EXPECT_TIME("1970-01-01T00:00:00.120Z", 120000000);
	EXPECT_EQ(parse("1970-01-01T00:00:00.Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-01T00:00:00.1234567890Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-01T00:00:00,5Z"), -EINVAL);
}

TEST(an_offset_is_taken_off)
{
	EXPECT_TIME("1970-01-01T01:00:00+01:00", 0);
	EXPECT_TIME("1969-12-31T18:30:00-05:30", 0);
	EXPECT_TIME("1970-01-01T00:00:00+00:00", 0);
	EXPECT_TIME("1970-01-01T00:00:00-00:00", 0);
	EXPECT_TIME("1970-01-01T23:59:00.25+23:59", 250000000);
	EXPECT_TIME("2026-01-02T05:34:05.678901+02:30", 1767323045678901000);
}

TEST(what_is_no_rfc_3339_time_is_refused)
{
	static const char *const bad[] = {"",
					  "Z",
					  "1970-01-01",
					  "1970-01-01T00:00:00",
					  "1970-01-01T00:00Z",
					  "1970-01-01 00:00:00Z",
					  "1970-01-01t00:00:00Z",
					  "1970-01-01T00:00:00z",
					  "1970-01-01T00:00:00Z ",
					  " 1970-01-01T00:00:00Z",
					  "1970-01-01T00:00:00ZZ",
					  "1970-1-01T00:00:00Z",
					  "970-01-01T00:00:00Z",
					  "+1970-01-01T00:00:00Z",
					  "1970/01/01T00:00:00Z",
					  "1970-01-01T00.00.00Z",
					  "1970-01-01T 0:00:00Z",
					  "1970-01-01T-1:00:00Z",
					  "19700101T000000Z",
					  "1970-01-01T00:00:00+01",
					  "1970-01-01T00:00:00+0100",
					  "1970-01-01T00:00:00+1:00",
					  "1970-01-01T00:00:00 01:00",
					  "1970-01-01T00:00:00+24:00",
					  "1970-01-01T00:00:00+00:60",
					  "1970-01-01T00:00:00+01:00Z",
					  "1970-01-01T00:00:00+0a:00",
					  "1970-01-01T00:00:00.5+01:0",
					  "197O-01-01T00:00:00Z"};

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		ck_assert_msg(parse(bad[i]) == -EINVAL, "%s is accepted", bad[i]);
		EXPECT_EQ(parsed.ns, 12345);
	}
	EXPECT_EQ(time_parse(bytes_of(NULL, 0), &parsed), -EINVAL);
}

TEST(a_day_or_an_hour_that_does_not_exist_is_refused)
{
	EXPECT_EQ(parse("1970-00-01T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-13-01T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-00T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-32T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-04-31T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-06-31T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-09-31T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-11-31T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1972-02-30T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-02-29T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("2100-02-29T00:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-01T24:00:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-01T00:60:00Z"), -EINVAL);
	EXPECT_EQ(parse("1970-01-01T00:00:61Z"), -EINVAL);
	EXPECT_EQ(parse("2000-02-29T23:59:59Z"), 0);
}

TEST(what_the_nanosecond_count_cannot_hold_is_out_of_range)
{
	EXPECT_TIME("2262-04-11T23:47:16.854775807Z", INT64_MAX);
	EXPECT_EQ(parse("2262-04-11T23:47:16.854775808Z"), -ERANGE);
	EXPECT_EQ(parse("2262-04-11T23:47:17Z"), -ERANGE);
	EXPECT_TIME("1677-09-21T00:12:43.145224192Z", INT64_MIN);
	EXPECT_EQ(parse("1677-09-21T00:12:43.145224191Z"), -ERANGE);
	EXPECT_EQ(parse("0000-01-01T00:00:00+23:59"), -ERANGE);
	EXPECT_EQ(parse("9999-12-31T23:59:59-23:59"), -ERANGE);
	EXPECT_EQ(parse("2016-12-31T23:59:60Z"), -ERANGE); /* a leap second */
}

TEST(every_day_of_five_hundred_years_reads_back_from_its_text)
{
	for (int64_t day = -106 * 1000; day < 106 * 1000; day++)
		EXPECT_TIME(of(day * 86400 * S + 3661 * S + 250000), day * 86400 * S + 3661 * S + 250000);
}

TEST(any_microsecond_reads_back_from_its_text)
{
	struct prng prng = {.state = 3};

	for (int i = 0; i < 200000; i++) {
		int64_t ns = (int64_t)prng_next(&prng) / 1000 * 1000;

		EXPECT_TIME(of(ns), ns);
	}
}
