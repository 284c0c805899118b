#include "core/value_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/json_text.h"
#include "core/number_text.h"

/* The text of a double that lies exactly between two others has 767 significant digits at most, so of more digits than
 * these it matters only whether any is not zero. */
#define DIGITS_MAX 800

#define EXPONENT_MAX \
	INT64_C(1000000000000000000) /* far from overflow, and beyond any count of digits in memory */

/* value = digits * 10^exponent; neither the first nor the last digit is 0. */
struct decimal {
	bool is_negative;
	size_t digit_count; /* 0: the number is 0 */
	int64_t exponent;
	char digits[DIGITS_MAX + 1];
};

static int64_t exponent_of(const uint8_t *at, const uint8_t *end)
{
	bool is_negative = *at == '-';
	int64_t exponent = 0;

	at += *at == '-' || *at == '+';
	for (; at < end && exponent < EXPONENT_MAX / 10; at++)
		exponent = exponent * 10 + (*at - '0');
	return is_negative ? -exponent : exponent;
}

/* text is a number of JSON's grammar. */
static void decimal_of(struct bytes text, struct decimal *d)
{
	const uint8_t *at = text.ptr, *end = text.ptr + text.size;
	bool in_fraction = false, more = false;

	d->is_negative = *at == '-';
	d->digit_count = 0;
	d->exponent = 0;
	for (at += d->is_negative; at < end && *at != 'e' && *at != 'E'; at++) {
		if (*at == '.') {
			in_fraction = true;
			continue;
		}
		d->exponent -= in_fraction;
		if (d->digit_count == 0 && *at == '0')
			continue;
		if (d->digit_count < DIGITS_MAX) {
			d->digits[d->digit_count++] = (char)*at;
			continue;
		}
		d->exponent++;
		more |= *at != '0';
	}
	if (at < end)
		d->exponent += exponent_of(at + 1, end);
	if (more) {
		d->digits[d->digit_count++] = '1';
		d->exponent--;
	}
	for (; d->digit_count > 0 && d->digits[d->digit_count - 1] == '0'; d->digit_count--)
		d->exponent++;
}

static int whole_of(const struct decimal *d, uint64_t *magnitude)
{
	uint64_t n = 0;

	*magnitude = 0;
	if (d->digit_count == 0)
		return 0;
	if (d->exponent < 0)
		return -EINVAL; /* the last digit is not 0: there is a fraction */
	if (d->exponent > 19 || d->digit_count > 20)
		return -ERANGE;
	for (size_t i = 0; i < d->digit_count + (size_t)d->exponent; i++) {
		uint64_t digit = i < d->digit_count ? (uint64_t)(d->digits[i] - '0') : 0;

		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
			return -ERANGE;
	}
	*magnitude = n;
	return 0;
}

/* lowest: how far below 0 the type reaches. */
static int whole_within(const struct decimal *d, uint64_t lowest, uint64_t highest, int64_t *out)
{
	uint64_t magnitude;
	int rc = whole_of(d, &magnitude);

	if (rc < 0)
		return rc;
	if (magnitude > (d->is_negative ? lowest : highest))
		return -ERANGE;
	*out = d->is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return 0;
}

/* The text is written without a point, which is the one thing that a locale would change for strtod(). */
static int float_of(const struct decimal *d, enum cfg_tag_type type, double *out)
{
	char text[1 + DIGITS_MAX + 1 + 1 + NUMBER_TEXT_BYTES + 1];
	int64_t magnitude = d->exponent + (int64_t)d->digit_count; /* below 10^magnitude */
	size_t size = 0;

	*out = d->is_negative ? -0.0 : 0.0;
	if (d->digit_count == 0 || magnitude < -400)
		return 0;
	if (magnitude > 400)
		return -ERANGE;
	if (d->is_negative)
		text[size++] = '-';
	memcpy(text + size, d->digits, d->digit_count);
	size += d->digit_count;
	text[size++] = 'e';
	size += number_text_i64(d->exponent, text + size);
	text[size] = 0;
	ASSERT(size < sizeof(text));
	/* Straight to 32 bits: by way of 64 it would be rounded twice. */
	*out = type == CFG_TAG_FLOAT32 ? (double)strtof(text, NULL) : strtod(text, NULL);
	return isinf(*out) ? -ERANGE : 0;
}

static struct bytes trimmed(struct bytes text)
{
	const uint8_t *at = text.ptr, *end;

	if (text.size == 0)
		return text;
	end = text.ptr + text.size;
	at = json_blanks_end(at, end);
	while (end > at && json_blanks_end(end - 1, end) == end)
		end--;
	return bytes_of(at, (size_t)(end - at));
}

static int number_parse(enum cfg_tag_type type, const struct decimal *d, struct value *out)
{
	int64_t whole = 0;
	double real = 0;
	int rc;

	switch (type) {
	case CFG_TAG_BOOL:
		rc = whole_within(d, 0, 1, &whole);
		if (rc == 0)
			*out = value_of_bool(whole != 0);
		return rc;
	case CFG_TAG_INT16:
	case CFG_TAG_INT32:
		rc = type == CFG_TAG_INT16 ? whole_within(d, 1u << 15, INT16_MAX, &whole)
					   : whole_within(d, 1u << 31, INT32_MAX, &whole);
		if (rc == 0)
			*out = value_of_int(whole);
		return rc;
	case CFG_TAG_UINT16:
	case CFG_TAG_UINT32:
		rc = whole_within(d, 0, type == CFG_TAG_UINT16 ? UINT16_MAX : UINT32_MAX, &whole);
		if (rc == 0)
			*out = value_of_uint((uint64_t)whole);
		return rc;
	case CFG_TAG_FLOAT32:
	case CFG_TAG_FLOAT64:
		rc = float_of(d, type, &real);
		if (rc == 0)
			*out = type == CFG_TAG_FLOAT32 ? value_of_float32((float)real)
						       : value_of_float64(real);
		return rc;
	}
	UNREACHABLE();
}

int value_parse(enum cfg_tag_type type, struct bytes text, struct value *out)
{
	struct decimal d;

	text = trimmed(text);
	if (type == CFG_TAG_BOOL) {
		bool is_true = bytes_equal(text, bytes_of_text("true"));

		if (is_true || bytes_equal(text, bytes_of_text("false"))) {
			*out = value_of_bool(is_true);
			return 0;
		}
	}
	if (!json_number_valid(text))
		return -EINVAL;
	decimal_of(text, &d);
	return number_parse(type, &d, out);
}
