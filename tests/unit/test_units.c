#include "core/units.h"

#include <errno.h>

#include "tests/test.h"

static int64_t duration(const char *text)
{
	const char *why = "";
	uint64_t ns = 0;

	return units_parse_duration(bytes_of_text(text), &ns, &why) < 0 ? -1 : (int64_t)ns;
}

static int64_t size(const char *text)
{
	const char *why = "";
	uint64_t bytes = 0;

	return units_parse_size(bytes_of_text(text), &bytes, &why) < 0 ? -1 : (int64_t)bytes;
}

static bool is_number(const char *text)
{
	const char *why = "";
	double value;

	return units_parse_number(bytes_of_text(text), &value, &why) == 0;
}

TEST(every_unit_of_time_is_known)
{
	EXPECT_EQ(duration("7us"), 7000);
	EXPECT_EQ(duration("7ms"), 7000000);
	EXPECT_EQ(duration("7s"), 7000000000);
	EXPECT_EQ(duration("7min"), 420000000000);
	EXPECT_EQ(duration("7h"), 25200000000000);
	EXPECT_EQ(duration("7d"), 604800000000000);
	EXPECT_EQ(duration("0s"), 0);
}

TEST(a_duration_without_a_unit_is_refused_but_zero_is_clear)
{
	const char *why = "";
	uint64_t ns = 5;

	EXPECT_EQ(units_parse_duration(bytes_of_text("60"), &ns, &why), -EINVAL);
	EXPECT(strstr(why, "needs a unit"));
	EXPECT_EQ(ns, 5);
	EXPECT_EQ(duration("0"), 0);
}

TEST(what_is_no_duration_is_refused)
{
	static const char *const wrong[] = {"",     "s",  "1.5s", "-1s", "1 s", "1S",
					    "1sec", "1m", "1s2",  "ms1", "0x1s"};

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		ck_assert_msg(duration(wrong[i]) == -1, "%s", wrong[i]);
}

TEST(durations_past_64_bits_are_refused)
{
	EXPECT_EQ(duration("106751d"), 106751 * 86400000000000);
	EXPECT_EQ(duration("213504d"), -1);
	EXPECT_EQ(duration("99999999999999d"), -1);
	EXPECT_EQ(duration("99999999999999999999999s"), -1);
}

TEST(sizes_are_bytes_or_have_a_binary_unit)
{
	EXPECT_EQ(size("17"), 17);
	EXPECT_EQ(size("17B"), 17);
	EXPECT_EQ(size("64KiB"), 65536);
	EXPECT_EQ(size("3MiB"), 3 << 20);
	EXPECT_EQ(size("2GiB"), 2ll << 30);
	EXPECT_EQ(size("64KB"), -1);
	EXPECT_EQ(size("KiB"), -1);
	EXPECT_EQ(size("-1"), -1);
	EXPECT_EQ(size("99999999999999GiB"), -1);
}

TEST(integers_have_64_bits_and_no_rest)
{
	const char *why;
	int64_t value;

	EXPECT_EQ(units_parse_integer(bytes_of_text("-12"), &value, &why), 0);
	EXPECT_EQ(value, -12);
	EXPECT_EQ(units_parse_integer(bytes_of_text("9223372036854775807"), &value, &why), 0);
	EXPECT_EQ(value, INT64_MAX);
	EXPECT_EQ(units_parse_integer(bytes_of_text("9223372036854775808"), &value, &why), -EINVAL);
	EXPECT_EQ(units_parse_integer(bytes_of_text("1e3"), &value, &why), -EINVAL);
	EXPECT_EQ(units_parse_integer(bytes_of_text("-"), &value, &why), -EINVAL);
	EXPECT_EQ(units_parse_integer(bytes_of_text(""), &value, &why), -EINVAL);
}

TEST(numbers_are_finite_decimals)
{
	EXPECT(is_number("0.001"));
	EXPECT(is_number("-1e-3"));
	EXPECT(!is_number("nan"));
	EXPECT(!is_number("inf"));
	EXPECT(!is_number("1e999"));
	EXPECT(!is_number("0x10"));
	EXPECT(!is_number("1,5"));
	EXPECT(!is_number("1.2.3"));
	EXPECT(!is_number("-"));
	EXPECT(!is_number(""));
}

TEST(a_duration_is_printed_in_its_largest_whole_unit)
{
	char text[UNITS_TEXT_BYTES];

	EXPECT_TEXT(units_print_duration(text, 0), "0s");
	EXPECT_TEXT(units_print_duration(text, 1), "1ns");
	EXPECT_TEXT(units_print_duration(text, 1500000000), "1500ms");
	EXPECT_TEXT(units_print_duration(text, 90000000000), "90s");
	EXPECT_TEXT(units_print_duration(text, 3600000000000), "1h");
	EXPECT_TEXT(units_print_size(text, 0), "0B");
	EXPECT_TEXT(units_print_size(text, 1025), "1025B");
	EXPECT_TEXT(units_print_size(text, 1 << 20), "1MiB");
}
