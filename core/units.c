#include "core/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first, for printing. */
static const struct unit durations[] = {
	{"d", 86400000000000ull}, {"h", 3600000000000ull}, {"min", 60000000000ull},
	{"s", 1000000000ull},     {"ms", 1000000ull},      {"us", 1000ull},
};

static const struct unit sizes[] = {
	{"GiB", 1ull << 30},
	{"MiB", 1ull << 20},
	{"KiB", 1ull << 10},
	{"B", 1},
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* The digits at the start; the rest is the unit. False: no digit, or more than 64 bits. */
static bool split_number(struct bytes text, uint64_t *number, struct bytes *rest)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < text.size && is_digit(text.ptr[i]); i++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value))
			return false;
	*number = value;
	*rest = bytes_of(text.ptr + i, text.size - i);
	return i > 0;
}

static int scale_by_unit(const struct unit *units, size_t unit_count, uint64_t number, struct bytes name,
			 uint64_t *out)
{
	for (size_t i = 0; i < unit_count; i++)
		if (bytes_equal(name, bytes_of_text(units[i].name)))
			return __builtin_mul_overflow(number, units[i].factor, out) ? -ERANGE : 0;
	return -EINVAL;
}

int units_parse_duration(struct bytes text, uint64_t *out_ns, const char **why)
{
	struct bytes name;
	uint64_t number, ns = 0;
	int rc = -EINVAL;

	if (split_number(text, &number, &name)) {
		if (name.size == 0 && number == 0) {
			*out_ns = 0;
			return 0;
		}
		if (name.size == 0) {
			*why = "a duration needs a unit: us ms s min h d, such as 100ms";
			return -EINVAL;
		}
		rc = scale_by_unit(durations, ARRAY_COUNT(durations), number, name, &ns);
	}
	if (rc < 0) {
		*why = rc == -ERANGE
			       ? "this duration is too large"
			       : "write a whole number and one of the units us ms s min h d, such as 100ms";
		return -EINVAL;
	}
	*out_ns = ns;
	return 0;
}

#define RATE_MAX 1000000u /* a second */

int units_parse_rate(struct bytes text, uint64_t *out_interval_ns, const char **why)
{
	struct bytes name;
	uint64_t number, ns;

	if (!split_number(text, &number, &name) || name.size < 2 || name.ptr[0] != '/' || number == 0 ||
	    scale_by_unit(durations, ARRAY_COUNT(durations), 1, bytes_of(name.ptr + 1, name.size - 1), &ns) <
		    0) {
		*why = "write a whole number in a time, such as 200/s, 30/min or 5/h, or a share such as 20%";
		return -EINVAL;
	}
	if (ns / number < NS_PER_S / RATE_MAX) {
		*why = "this rate is more than 1000000/s";
		return -EINVAL;
	}
	*out_interval_ns = ns / number;
	return 0;
}

int units_parse_percent(struct bytes text, uint32_t *out, const char **why)
{
	struct bytes name;
	uint64_t number;

	if (!split_number(text, &number, &name) || !bytes_equal(name, bytes_of_text("%")) || number < 1 ||
	    number > 100) {
		*why = "a share is 1% .. 100%";
		return -EINVAL;
	}
	*out = (uint32_t)number;
	return 0;
}

int units_parse_size(struct bytes text, uint64_t *out_bytes, const char **why)
{
	struct bytes name;
	uint64_t number, size = 0;
	int rc = -EINVAL;

	if (split_number(text, &number, &name))
		rc = scale_by_unit(sizes, ARRAY_COUNT(sizes), number, name.size ? name : bytes_of_text("B"),
				   &size);
	if (rc < 0) {
		*why = rc == -ERANGE
			       ? "this size is too large"
			       : "write a whole number of bytes or one with B KiB MiB GiB, such as 64KiB";
		return -EINVAL;
	}
	*out_bytes = size;
	return 0;
}

int units_parse_integer(struct bytes text, int64_t *out, const char **why)
{
	bool negative = text.size > 0 && text.ptr[0] == '-';
	struct bytes digits = negative ? bytes_of(text.ptr + 1, text.size - 1) : text;
	struct bytes rest;
	uint64_t number;

	if (!split_number(digits, &number, &rest) || rest.size > 0 || number > INT64_MAX) {
		*why = "write a whole number in decimal digits";
		return -EINVAL;
	}
	*out = negative ? -(int64_t)number : (int64_t)number;
	return 0;
}

int units_parse_number(struct bytes text, double *out, const char **why)
{
	char copy[64];
	char *end;
	double value;

	*why = "write a number such as 10, -0.5 or 1e-3";
	if (text.size == 0 || text.size >= sizeof(copy))
		return -EINVAL;
	/* strtod also takes hexadecimal, "inf", "nan" and leading blanks: none of them belongs here. */
	for (size_t i = 0; i < text.size; i++)
		if (!is_digit(text.ptr[i]) && !memchr("+-.eE", text.ptr[i], 5))
			return -EINVAL;
	memcpy(copy, text.ptr, text.size);
	copy[text.size] = 0;
	value = strtod(copy, &end);
	if (*end != 0 || end == copy || !isfinite(value))
		return -EINVAL;
	*out = value;
	return 0;
}

static const char *print_unit(char *buffer, const struct unit *units, size_t unit_count, uint64_t value)
{
	for (size_t i = 0; i < unit_count; i++)
		if (value % units[i].factor == 0) {
			snprintf(buffer, UNITS_TEXT_BYTES, "%" PRIu64 "%s", value / units[i].factor,
				 units[i].name);
			return buffer;
		}
	snprintf(buffer, UNITS_TEXT_BYTES, "%" PRIu64 "ns", value);
	return buffer;
}

const char *units_print_duration(char buffer[static UNITS_TEXT_BYTES], uint64_t ns)
{
	if (ns > 0)
		return print_unit(buffer, durations, ARRAY_COUNT(durations), ns);
	snprintf(buffer, UNITS_TEXT_BYTES, "0s");
	return buffer;
}

const char *units_print_size(char buffer[static UNITS_TEXT_BYTES], uint64_t bytes)
{
	if (bytes > 0)
		return print_unit(buffer, sizes, ARRAY_COUNT(sizes), bytes);
	snprintf(buffer, UNITS_TEXT_BYTES, "0B");
	return buffer;
}
