#include "core/number_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

#define DECIMALS_MAX 9

static const double powers_of_ten[DECIMALS_MAX + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};

size_t number_text_u64(uint64_t value, char *out)
{
	char digits[20];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
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
static size_t decimal_text(bool negative, uint64_t m, unsigned decimals, char *out)
{
	char digits[20];
	size_t used = 0;
	size_t count = number_text_u64(m, digits);

	if (negative)
		out[used++] = '-';
	if (count <= decimals) {
		out[used++] = '0';
		out[used++] = '.';
		for (size_t i = count; i < decimals; i++)
			out[used++] = '0';
		memcpy(out + used, digits, count);
		return used + count;
	}
	memcpy(out + used, digits, count - decimals);
	used += count - decimals;
	if (decimals == 0)
		return used;
	out[used++] = '.';
	memcpy(out + used, digits + count - decimals, decimals);
	return used + decimals;
}

/* Rare sizes: very large, very small, or with more than nine decimals. Tries rising precision. */
static size_t general_text(double value, bool as_float, char *out)
{
	int most = as_float ? 9 : 17;

	for (int precision = as_float ? 6 : 15;; precision++) {
		char text[NUMBER_TEXT_BYTES];
		int n = snprintf(text, sizeof(text), "%.*g", precision, value);
		double back = strtod(text, NULL);

		ASSERT(n > 0);
		ASSERT(n < NUMBER_TEXT_BYTES);
		if (precision == most || (as_float ? (float)back == (float)value : back == value)) {
			memcpy(out, text, (size_t)n);
			return (size_t)n;
		}
	}
}

static size_t float_text(double value, bool as_float, char *out)
{
	double magnitude = fabs(value);
	double exact_max = as_float ? 16777216.0 : 9007199254740992.0; /* integers up to here are all exact */

	ASSERT(isfinite(value));
	if (magnitude == 0) {
		*out = '0'; /* -0 has no meaning on a plant */
		return 1;
	}
	/* m below 2^53 and a power of ten below 10^22 are exact, so m / 10^d is the correctly rounded value of the decimal
	 * (Clinger 1990): comparing it says whether the decimal reads back as the same number. */
	for (unsigned d = 0; d <= DECIMALS_MAX; d++) {
		double m = nearbyint(magnitude * powers_of_ten[d]);

		if (m > exact_max * (as_float ? 64 : 1) || m >= 9007199254740992.0)
			break;
		double back = m / powers_of_ten[d];

		if (m > 0 && (as_float ? (float)back == (float)magnitude : back == magnitude))
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
