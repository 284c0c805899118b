#include "core/number_text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/prng.h"
#include "tests/test.h"

#define RANDOM_COUNT 60000

static char text[NUMBER_TEXT_BYTES + 1];

static const char *ended(size_t size)
{
	ck_assert_uint_le(size, NUMBER_TEXT_BYTES);
	text[size] = 0;
	return text;
}

static const char *f64(double value)
{
	return ended(number_text_f64(value, text));
}

static const char *f32(float value)
{
	return ended(number_text_f32((double)value, text));
}

/* The grammar of RFC 8259: no leading zeros, digits on both sides of the point. */
static bool is_json_number(const char *at)
{
	at += *at == '-';
	if (*at < '0' || *at > '9')
		return false;
	if (*at == '0')
		at++;
	else
		at += strspn(at, "0123456789");
	if (*at == '.') {
		size_t digits = strspn(++at, "0123456789");

		if (digits == 0)
			return false;
		at += digits;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '-' || *at == '+';
		if (*at < '0' || *at > '9')
			return false;
		at += strspn(at, "0123456789");
	}
	return *at == 0;
}

static void expect_f64_comes_back(double value)
{
	const char *t = f64(value);

	ck_assert_msg(is_json_number(t), "%a gives %s", value, t);
	ck_assert_msg(strtod(t, NULL) == value, "%a gives %s", value, t);
}

static void expect_f32_comes_back(float value)
{
	const char *t = f32(value);

	ck_assert_msg(is_json_number(t), "%a gives %s", (double)value, t);
	ck_assert_msg(strtof(t, NULL) == value, "%a gives %s", (double)value, t);
}

static double f64_of_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float f32_of_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

TEST(integers_print_like_the_c_library_prints_them)
{
	struct prng prng = {.state = 1};
	char expected[32];

	for (int i = 0; i < RANDOM_COUNT; i++) {
		uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);

		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
		EXPECT_TEXT(ended(number_text_u64(value, text)), expected);
		snprintf(expected, sizeof(expected), "%lld", (long long)value);
		EXPECT_TEXT(ended(number_text_i64((int64_t)value, text)), expected);
	}
}

TEST(integers_at_each_power_of_ten_and_at_the_ends_are_exact)
{
	char expected[32];

	for (uint64_t power = 1;; power *= 10) {
		for (uint64_t value = power - 1; value <= power + 1; value++) {
			snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
			EXPECT_TEXT(ended(number_text_u64(value, text)), expected);
		}
		if (power > UINT64_MAX / 10)
			break;
	}
	EXPECT_TEXT(ended(number_text_u64(UINT64_MAX, text)), "18446744073709551615");
	EXPECT_TEXT(ended(number_text_i64(INT64_MAX, text)), "9223372036854775807");
	EXPECT_TEXT(ended(number_text_i64(INT64_MIN, text)), "-9223372036854775808");
	EXPECT_TEXT(ended(number_text_i64(-1, text)), "-1");
}

TEST(a_double_prints_as_people_write_it)
{
	EXPECT_TEXT(f64(1.5), "1.5");
	EXPECT_TEXT(f64(-1.5), "-1.5");
	EXPECT_TEXT(f64(0.1), "0.1");
	EXPECT_TEXT(f64(0.1 + 0.2), "0.30000000000000004");
	EXPECT_TEXT(f64(100), "100");
	EXPECT_TEXT(f64(1e9), "1000000000");
	EXPECT_TEXT(f64(0.001), "0.001");
	EXPECT_TEXT(f64(-0.000000001), "-0.000000001");
	EXPECT_TEXT(f64(123456.789), "123456.789");
	EXPECT_TEXT(f64(20.05), "20.05");
}

TEST(zero_has_no_sign)
{
	EXPECT_TEXT(f64(0.0), "0");
	EXPECT_TEXT(f64(-0.0), "0");
	EXPECT_TEXT(f32(-0.0f), "0");
}

TEST(a_float_prints_only_the_digits_that_are_real)
{
	EXPECT_TEXT(f32(0.1f), "0.1");
	EXPECT_TEXT(f32(-230.4f), "-230.4");
	EXPECT_TEXT(f32(16777216.0f), "16777216");
	EXPECT_TEXT(f32(3.14159265f), "3.1415927");
	EXPECT_TEXT(f32(123456789.0f), "123456792");
	EXPECT_TEXT(f64((double)0.1f), "0.10000000149011612");
}

TEST(every_whole_number_that_a_double_holds_exactly_prints_as_that_number)
{
	char expected[32];

	for (uint64_t base = 1; base <= 1ull << 53; base *= 2) {
		for (uint64_t value = base > 8 ? base - 8 : 1; value <= base + 8 && value <= 1ull << 53;
		     value++) {
			if ((uint64_t)(double)value != value || value >= 10000000000000000)
				continue;
			snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
			EXPECT_TEXT(f64((double)value), expected);
		}
	}
}

TEST(any_double_comes_back_from_its_text)
{
	struct prng prng = {.state = 2};

	for (int i = 0; i < RANDOM_COUNT; i++) {
		double value = f64_of_bits(prng_next(&prng));

		if (isfinite(value))
			expect_f64_comes_back(value);
	}
}

TEST(any_float_comes_back_from_its_text)
{
	struct prng prng = {.state = 3};

	for (int i = 0; i < RANDOM_COUNT; i++) {
		float value = f32_of_bits((uint32_t)prng_next(&prng));

		if (isfinite(value))
			expect_f32_comes_back(value);
	}
}

TEST(doubles_of_the_size_of_measurements_come_back_from_their_text)
{
	struct prng prng = {.state = 4};

	for (int i = 0; i < RANDOM_COUNT; i++) {
		double value = (double)(int64_t)prng_next(&prng) * 0x1p-63;

		expect_f64_comes_back(value * pow(10, prng_below(&prng, 20)));
		expect_f32_comes_back((float)(value * pow(10, prng_below(&prng, 12))));
	}
}

/* Shortest: a decimal of at most nine places and 15 digits is printed as it was written. */
TEST(a_decimal_prints_with_the_places_it_was_written_with)
{
	struct prng prng = {.state = 5};
	char written[40];

	for (int i = 0; i < RANDOM_COUNT; i++) {
		uint64_t whole = prng_next(&prng) % 1000000;
		uint32_t places = 1 + prng_below(&prng, 9);
		uint64_t modulus = (uint64_t)pow(10, places);
		uint64_t fraction = prng_next(&prng) % modulus;

		fraction += fraction % 10 == 0; /* no trailing zero */
		snprintf(written, sizeof(written), "%llu.%0*llu", (unsigned long long)whole, (int)places,
			 (unsigned long long)fraction);
		EXPECT_TEXT(f64(strtod(written, NULL)), written);
		snprintf(written, sizeof(written), "-%llu.%0*llu", (unsigned long long)whole, (int)places,
			 (unsigned long long)fraction);
		EXPECT_TEXT(f64(strtod(written, NULL)), written);
	}
}

/* Six digits survive the way into a float and back, whatever they are. */
TEST(a_float_of_six_digits_prints_with_the_places_it_was_written_with)
{
	char written[40];

	for (uint32_t value = 1; value < 1000000; value += 7) {
		if (value % 10 == 0)
			continue;
		snprintf(written, sizeof(written), "%u.%03u", value / 1000, value % 1000);
		EXPECT_TEXT(f32(strtof(written, NULL)), written);
	}
}

TEST(the_neighbours_of_round_numbers_are_told_from_them)
{
	static const double round[] = {0.1,  0.5, 1,        1.5, 99.999, 1e6, 123456.789, 4503599627370496.0,
				       1e15, 1e9, 16777216, 1e16};

	for (size_t i = 0; i < ARRAY_COUNT(round); i++) {
		expect_f64_comes_back(nextafter(round[i], INFINITY));
		expect_f64_comes_back(nextafter(round[i], 0));
		expect_f64_comes_back(round[i]);
		expect_f32_comes_back(nextafterf((float)round[i], INFINITY));
		expect_f32_comes_back(nextafterf((float)round[i], 0));
	}
}

TEST(the_ends_of_the_range_fit_and_come_back)
{
	static const double ends[] = {
		DBL_MAX, DBL_MIN, DBL_TRUE_MIN,           DBL_EPSILON, 9007199254740991.0, 9007199254740992.0,
		1e22,    1e23,    2.2250738585072011e-308};

	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		expect_f64_comes_back(ends[i]);
		expect_f64_comes_back(-ends[i]);
	}
	expect_f32_comes_back(FLT_MAX);
	expect_f32_comes_back(-FLT_MIN);
	expect_f32_comes_back(FLT_TRUE_MIN);
}
