#include "core/number_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/digits.h"

#define DECIMALS_MAX 9
#define TWO_POW_52   4503599627370496.0

static const double powers_of_ten[DECIMALS_MAX + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
static const uint64_t whole_powers_of_ten[20] = {1ull,
						 10ull,
						 100ull,
						 1000ull,
						 10000ull,
						 100000ull,
						 1000000ull,
						 10000000ull,
						 100000000ull,
						 1000000000ull,
						 10000000000ull,
						 100000000000ull,
						 1000000000000ull,
						 10000000000000ull,
						 100000000000000ull,
						 1000000000000000ull,
						 10000000000000000ull,
						 100000000000000000ull,
						 1000000000000000000ull,
						 10000000000000000000ull};

/* log10(2) is 1233/4096 as far as 64 bits need it; the guess is right or one too small. */
static uint32_t digit_count(uint64_t value)
{
	uint32_t bit_count = 64 - (uint32_t)__builtin_clzll(value | 1);
	uint32_t guess = bit_count * 1233 >> 12;

	return guess + (value >= whole_powers_of_ten[guess] || guess == 0);
}

size_t number_text_u64(uint64_t value, char *out)
{
	uint32_t count = digit_count(value);

	digits_put(out, value, count);
	return count;
}

size_t number_text_i64(int64_t value, char *out)
{
	if (value >= 0)
		return number_text_u64((uint64_t)value, out);
	*out = '-';
	return 1 + number_text_u64(-(uint64_t)value, out + 1);
}

/* m / 10^decimals, m > 0 */
static size_t decimal_text(bool negative, uint64_t m, uint32_t decimals, char *out)
{
	size_t used = 0;

	if (negative)
		out[used++] = '-';
	used += number_text_u64(m / whole_powers_of_ten[decimals], out + used);
	if (decimals == 0)
		return used;
	out[used++] = '.';
	digits_put(out + used, m, decimals);
	return used + decimals;
}

static bool same(double a, double b, bool as_float)
{
	return as_float ? (float)a == (float)b : a == b;
}

/* Rare sizes: very large, very small, or with more than nine decimals. Tries rising precision. */
static size_t general_text(double value, bool as_float, char *out)
{
	int most = as_float ? 9 : 17;

	for (int precision = as_float ? 6 : 15;; precision++) {
		char text[NUMBER_TEXT_BYTES];
		int n = snprintf(text, sizeof(text), "%.*g", precision, value);

		ASSERT(n > 0);
		ASSERT(n < NUMBER_TEXT_BYTES);
		if (precision == most || same(strtod(text, NULL), value, as_float)) {
			memcpy(out, text, (size_t)n);
			return (size_t)n;
		}
	}
}

static size_t float_text(double value, bool as_float, char *out)
{
	double magnitude = fabs(value);
	/* Of a float more digits than these are not real, so a shorter text is to be found. */
	double m_max = as_float ? 64 * 16777216.0 : TWO_POW_52;

	ASSERT(isfinite(value));
	if (magnitude == 0) {
		*out = '0'; /* -0 has no meaning on a plant */
		return 1;
	}
	if (magnitude < (as_float ? m_max : 2 * TWO_POW_52) && (double)(int64_t)magnitude == magnitude)
		return decimal_text(value < 0, (uint64_t)magnitude, 0, out);
	/* m below 2^53 and a power of ten below 10^22 are exact, so m / 10^d is the correctly rounded value of the decimal
	 * (Clinger 1990): comparing it says whether the decimal reads back as the same number. Below 2^52 half can be
	 * added exactly, so cutting off rounds to the nearest. */
	for (uint32_t d = as_float ? 0 : 1; d <= DECIMALS_MAX; d++) {
		double scaled = magnitude * powers_of_ten[d];

		if (scaled >= m_max)
			break;
		int64_t m = (int64_t)(scaled + 0.5);

		if (m > 0 && same((double)m / powers_of_ten[d], magnitude, as_float))
			return decimal_text(value < 0, (uint64_t)m, d, out);
	}
	return general_text(value, as_float, out);
}

size_t number_text_f64(double value, char *out)
{
	return float_text(value, false, out);
}

size_t number_text_f32(double value, char *out)
{
	return float_text(value, true, out);
}
