#include "core/value_text.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/number_text.h"
#include "core/prng.h"
#include "tests/test.h"

static struct value v;

static int parse(enum cfg_tag_type type, const char *text)
{
	v = value_of_uint(12345);
	return value_parse(type, bytes_of_text(text), &v);
}

#define EXPECT_INT(type, text, number) \
	do { \
		EXPECT_EQ(parse(type, text), 0); \
		EXPECT_EQ(v.kind, VALUE_INT); \
		EXPECT_EQ(v.i, number); \
	} while (0)

#define EXPECT_UINT(type, text, number) \
	do { \
		EXPECT_EQ(parse(type, text), 0); \
		EXPECT_EQ(v.kind, VALUE_UINT); \
		EXPECT_EQ(v.u, number); \
	} while (0)

#define EXPECT_BOOL(text, truth) \
	do { \
		EXPECT_EQ(parse(CFG_TAG_BOOL, text), 0); \
		EXPECT_EQ(v.kind, VALUE_BOOL); \
		EXPECT_EQ(v.b, truth); \
	} while (0)

#define EXPECT_FLOAT(type, its_kind, text, number) \
	do { \
		EXPECT_EQ(parse(type, text), 0); \
		EXPECT_EQ(v.kind, its_kind); \
		ck_assert_msg(v.f == (number), "%.40s is %.17g", text, v.f); \
	} while (0)

#define EXPECT_F64(text, number) EXPECT_FLOAT(CFG_TAG_FLOAT64, VALUE_FLOAT64, text, number)
#define EXPECT_F32(text, number) EXPECT_FLOAT(CFG_TAG_FLOAT32, VALUE_FLOAT32, text, (double)(number))

TEST(integers_reach_to_the_ends_of_their_type_and_no_further)
{
	EXPECT_INT(CFG_TAG_INT16, "32767", 32767);
	EXPECT_INT(CFG_TAG_INT16, "-32768", -32768);
	EXPECT_EQ(parse(CFG_TAG_INT16, "32768"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_INT16, "-32769"), -ERANGE);
	EXPECT_INT(CFG_TAG_INT32, "2147483647", 2147483647);
	EXPECT_INT(CFG_TAG_INT32, "-2147483648", -2147483648);
	EXPECT_EQ(parse(CFG_TAG_INT32, "2147483648"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_INT32, "-2147483649"), -ERANGE);
	EXPECT_UINT(CFG_TAG_UINT16, "65535", 65535);
	EXPECT_EQ(parse(CFG_TAG_UINT16, "65536"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT16, "-1"), -ERANGE);
	EXPECT_UINT(CFG_TAG_UINT32, "4294967295", 4294967295);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "4294967296"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "-1"), -ERANGE);
}

TEST(what_is_far_too_large_does_not_wrap_around)
{
	EXPECT_EQ(parse(CFG_TAG_INT32, "18446744073709551615"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_INT32, "18446744073709551616"), -ERANGE); /* 2^64 is not 0 */
	EXPECT_EQ(parse(CFG_TAG_INT32, "184467440737095516160"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "99999999999999999999"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "1e20"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "1e19"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "1e9999999999999999999999999"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_FLOAT64, "1e9999999999999999999999999"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "1e18446744073709551617"), -ERANGE); /* 2^64 + 1 is not 1 */
}

TEST(a_whole_number_is_one_however_it_is_written)
{
	EXPECT_INT(CFG_TAG_INT16, "12.0", 12);
	EXPECT_INT(CFG_TAG_INT16, "1.2e1", 12);
	EXPECT_INT(CFG_TAG_INT16, "1200e-2", 12);
	EXPECT_INT(CFG_TAG_INT16, "0.0012E+4", 12);
	EXPECT_INT(CFG_TAG_INT16, "-3.2768e4", -32768);
	EXPECT_INT(CFG_TAG_INT16, "12.000000000000000000000000000000000000000000000000", 12);
	EXPECT_UINT(CFG_TAG_UINT32, "4.294967295e9", 4294967295);
	EXPECT_UINT(CFG_TAG_UINT16, "-0", 0);
	EXPECT_UINT(CFG_TAG_UINT16, "0e999999999999999999999", 0);
	EXPECT_UINT(CFG_TAG_UINT16, "0.000e-5", 0);
	EXPECT_INT(CFG_TAG_INT16, "100e0", 100);
}

TEST(a_fraction_is_no_integer)
{
	EXPECT_EQ(parse(CFG_TAG_INT16, "12.5"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_UINT32, "125e-1"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_INT32, "0.1"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_INT32, "1e-400"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_INT32, "1e-99999999999999999999999"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "0.5"), -EINVAL);
}

TEST(a_bool_is_true_or_false_or_the_number_1_or_0)
{
	EXPECT_BOOL("true", true);
	EXPECT_BOOL("false", false);
	EXPECT_BOOL("1", true);
	EXPECT_BOOL("0", false);
	EXPECT_BOOL("1.0", true);
	EXPECT_BOOL("10e-1", true);
	EXPECT_BOOL("-0.0", false);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "2"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "-1"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "True"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "on"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "truex"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "null"), -EINVAL);
}

TEST(words_are_for_bools_only)
{
	EXPECT_EQ(parse(CFG_TAG_INT16, "true"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_FLOAT64, "false"), -EINVAL);
}

TEST(floats_are_the_nearest_there_is)
{
	EXPECT_F64("1.5", 1.5);
	EXPECT_F64("-0.1", -0.1);
	EXPECT_F64("12", 12.0);
	EXPECT_F64("1e22", 1e22);
	EXPECT_F64("1.7976931348623157e308", DBL_MAX);
	EXPECT_F64("-1.7976931348623157e308", -DBL_MAX);
	EXPECT_F64("4.9406564584124654e-324", 0x1p-1074);
	EXPECT_F64("9007199254740993", 9007199254740992.0); /* half way: to even */
	EXPECT_F64("9007199254740993.00000000000000000000000000000001", 9007199254740994.0);
	EXPECT_F32("0.1", 0.1f);
	EXPECT_F32("3.4028234663852886e38", FLT_MAX);
	EXPECT_F32("16777217", 16777216.0f);
}

/* 1 + 2^-24 + 2^-80: half way between two floats and a little; as a double the little is gone, and even wins. */
TEST(a_float_of_32_bits_is_rounded_once)
{
	EXPECT_F32("1.000000059604644775390625", 1.0f);
	EXPECT_F32("1.00000005960464477539062500000000000001", 1.00000011920928955f);
}

TEST(what_no_float_can_hold_is_out_of_range)
{
	EXPECT_EQ(parse(CFG_TAG_FLOAT32, "3.5e38"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_FLOAT32, "-1e39"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_FLOAT64, "1.8e308"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_FLOAT64, "-1e309"), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_FLOAT64, "1e401"), -ERANGE);
}

TEST(what_is_too_small_for_a_float_is_zero)
{
	EXPECT_F32("1e-60", 0.0f);
	EXPECT_F64("1e-330", 0.0);
	EXPECT_F64("1e-999999999999999999999999", 0.0);
	EXPECT_F64("-0.0", 0.0);
	EXPECT(signbit(v.f));
}

/* Thousands of digits, of which the last decides: 2^53 + 1 lies half way. */
TEST(no_digit_is_one_too_many)
{
	char text[3000];

	memset(text, '0', sizeof(text));
	memcpy(text, "9007199254740993.", 17);
	text[sizeof(text) - 1] = 0;
	EXPECT_F64(text, 9007199254740992.0);
	text[sizeof(text) - 2] = '1';
	EXPECT_F64(text, 9007199254740994.0);
	EXPECT_EQ(parse(CFG_TAG_UINT32, text), -EINVAL);
	memset(text, '0', sizeof(text) - 1);
	memcpy(text, "0.", 2);
	memcpy(text + sizeof(text) - 8, "15e2991", 8);
	EXPECT_F64(text, 1.5); /* 2990 zeros behind the point */
	memset(text, '7', sizeof(text) - 1);
	EXPECT_EQ(parse(CFG_TAG_FLOAT64, text), -ERANGE);
	EXPECT_EQ(parse(CFG_TAG_UINT32, text), -ERANGE);
	memcpy(text + sizeof(text) - 7, "e-2992", 7);
	EXPECT_F64(text, 7.7777777777777777); /* 2993 digits */
}

TEST(blanks_around_the_text_are_cut_off)
{
	EXPECT_INT(CFG_TAG_INT16, " \t12\r\n", 12);
	EXPECT_BOOL("\ttrue\n", true);
	EXPECT_F64("  1.5  ", 1.5);
	EXPECT_EQ(parse(CFG_TAG_INT16, "1 2"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_INT16, "\v12"), -EINVAL);
	EXPECT_EQ(parse(CFG_TAG_INT16, " "), -EINVAL);
}

TEST(what_is_no_number_of_the_grammar_is_refused_by_every_type)
{
	static const char *const bad[] = {"",     "-",     "+1",  "01",  ".5",   "1.",          "1e",  "0x10",
					  "1,5",  "nan",   "NaN", "inf", "-inf", "Infinity",    "1_0", "1f",
					  "1e5x", "\"1\"", "[1]", "--1", "1e+",  "\xef\xbc\x91"};

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		for (int type = CFG_TAG_BOOL; type <= CFG_TAG_FLOAT64; type++)
			ck_assert_msg(parse((enum cfg_tag_type)type, bad[i]) == -EINVAL, "%s as type %d",
				      bad[i], type);
	EXPECT_EQ(value_parse(CFG_TAG_INT16, bytes_of(NULL, 0), &v), -EINVAL);
	EXPECT_EQ(value_parse(CFG_TAG_INT16, bytes_of("1\0", 2), &v), -EINVAL);
}

TEST(the_value_is_untouched_by_an_error)
{
	EXPECT_EQ(parse(CFG_TAG_INT16, "99999"), -ERANGE);
	EXPECT_EQ(v.u, 12345);
	EXPECT_EQ(parse(CFG_TAG_FLOAT32, "1e39"), -ERANGE);
	EXPECT_EQ(v.u, 12345);
	EXPECT_EQ(parse(CFG_TAG_BOOL, "x"), -EINVAL);
	EXPECT_EQ(v.u, 12345);
}

TEST(no_byte_behind_the_text_is_read)
{
	char *exact = malloc(3);

	memcpy(exact, "123", 3); /* not terminated */
	EXPECT_EQ(value_parse(CFG_TAG_FLOAT64, bytes_of(exact, 2), &v), 0);
	EXPECT(v.f == 12.0);
	EXPECT_EQ(value_parse(CFG_TAG_INT32, bytes_of(exact, 3), &v), 0);
	EXPECT_EQ(v.i, 123);
	free(exact);
}

TEST(every_double_reads_back_from_its_text)
{
	struct prng prng = {.state = 1};

	for (int i = 0; i < 200000; i++) {
		uint64_t bits = prng_next(&prng);
		char text[NUMBER_TEXT_BYTES];
		double d;

		memcpy(&d, &bits, sizeof(d));
		if (!isfinite(d))
			continue;
		EXPECT_EQ(value_parse(CFG_TAG_FLOAT64, bytes_of(text, number_text_f64(d, text)), &v), 0);
		EXPECT(v.f == d);
	}
}

TEST(every_float_reads_back_from_its_text)
{
	struct prng prng = {.state = 2};

	for (int i = 0; i < 200000; i++) {
		uint32_t bits = (uint32_t)prng_next(&prng);
		char text[NUMBER_TEXT_BYTES];
		float f;

		memcpy(&f, &bits, sizeof(f));
		if (!isfinite(f))
			continue;
		EXPECT_EQ(value_parse(CFG_TAG_FLOAT32, bytes_of(text, number_text_f32((double)f, text)), &v),
			  0);
		EXPECT(v.f == (double)f);
	}
}

TEST(decimals_read_as_the_c_library_reads_them)
{
	struct prng prng = {.state = 3};

	for (int i = 0; i < 200000; i++) {
		char text[96];
		int n = snprintf(text, sizeof(text), "%s%llu.%0*llu", prng_below(&prng, 2) ? "-" : "",
				 (unsigned long long)(prng_next(&prng) >> prng_below(&prng, 64)),
				 (int)prng_below(&prng, 30) + 1,
				 (unsigned long long)(prng_next(&prng) >> prng_below(&prng, 64)));

		if (prng_below(&prng, 2))
			snprintf(text + n, sizeof(text) - (size_t)n, "e%d",
				 (int)prng_below(&prng, 660) - 330);
		if (isinf(strtod(text, NULL)))
			continue;
		EXPECT_F64(text, strtod(text, NULL));
		if (!isinf(strtof(text, NULL)))
			EXPECT_F32(text, strtof(text, NULL));
	}
}
