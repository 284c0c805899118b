#include "core/time_text.h"

#include <errno.h>
#include <string.h>

#include "core/digits.h"

#define SECONDS_A_DAY 86400
#define SECOND_MIN    (-62167219200) /* 0000-01-01T00:00:00Z */
#define SECOND_MAX    253402300799   /* 9999-12-31T23:59:59Z */

static void second_text(int64_t second, char out[TIME_TEXT_BYTES])
{
	int64_t days = second / SECONDS_A_DAY;
	int64_t of_day = second % SECONDS_A_DAY;

	if (of_day < 0) {
		of_day += SECONDS_A_DAY;
		days--;
	}
	/* Days since 0000-03-01, in eras of 400 years: the leap day ends the year, so months follow one formula. */
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	uint32_t doe = (uint32_t)(z - era * 146097);
	uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint32_t mp = (5 * doy + 2) / 153;
	uint32_t day = doy - (153 * mp + 2) / 5 + 1;
	uint32_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = (int64_t)yoe + era * 400 + (month <= 2);

	memcpy(out, "0000-00-00T00:00:00.000000Z", TIME_TEXT_BYTES);
	digits_put(out, (uint32_t)year, 4);
	digits_put(out + 5, month, 2);
	digits_put(out + 8, day, 2);
	digits_put(out + 11, (uint32_t)of_day / 3600, 2);
	digits_put(out + 14, (uint32_t)of_day / 60 % 60, 2);
	digits_put(out + 17, (uint32_t)of_day % 60, 2);
}

/* Splits into a second within the years we can print, and the microsecond of it. */
static int64_t split(struct wall t, uint32_t *us)
{
	int64_t second = t.ns / (int64_t)NS_PER_S;
	int64_t ns = t.ns % (int64_t)NS_PER_S;

	if (ns < 0) {
		ns += (int64_t)NS_PER_S;
		second--;
	}
	*us = (uint32_t)(ns / 1000);
	if (second < SECOND_MIN)
		return SECOND_MIN;
	return second > SECOND_MAX ? SECOND_MAX : second;
}

void time_text(struct wall t, char out[TIME_TEXT_BYTES])
{
	uint32_t us;

	second_text(split(t, &us), out);
	digits_put(out + 20, us, 6);
}

void time_text_cached(struct time_cache *cache, struct wall t, char out[TIME_TEXT_SIZE])
{
	uint32_t us;
	int64_t second = split(t, &us);

	if (cache->second != second || cache->text[0] == 0) {
		second_text(second, cache->text);
		cache->second = second;
	}
	memcpy(out, cache->text, TIME_TEXT_SIZE);
	digits_put(out + 20, us, 6);
}

/* ------------------------------------------------------------------------------------------ and back */

/* The date's and the time's fields stand at fixed places: 0 is a digit, anything else is itself. */
static const char form[] = "0000-00-00T00:00:00";

#define FORM_SIZE (sizeof(form) - 1)

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool has_form(const uint8_t *at, const char *expected, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (expected[i] == '0' ? !is_digit(at[i]) : at[i] != expected[i])
			return false;
	return true;
}

static uint32_t number_at(const uint8_t *at, size_t digit_count)
{
	uint32_t n = 0;

	for (size_t i = 0; i < digit_count; i++)
		n = n * 10 + (at[i] - '0');
	return n;
}

static uint32_t days_of_month(uint32_t year, uint32_t month)
{
	bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	if (month == 2)
		return is_leap ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Since 1970-01-01: second_text() backwards. */
static int64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
	uint32_t y = year + 400 - (month <= 2); /* one era later, so that nothing is below 0 */
	uint32_t yoe = y % 400;
	uint32_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	uint32_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return (int64_t)(y / 400) * 146097 + doe - 146097 - 719468;
}

/* Nanoseconds of ".678", the cursor behind it; none is 0. false: a point without digits, or too many. */
static bool read_fraction(struct reader *r, uint32_t *ns)
{
	uint32_t digit_count = 0;

	*ns = 0;
	if (reader_left(r) == 0 || *r->at != '.')
		return true;
	for (r->at++; reader_left(r) > 0 && is_digit(*r->at) && digit_count < 9; digit_count++)
		*ns = *ns * 10 + (*r->at++ - '0');
	for (uint32_t i = digit_count; i < 9; i++)
		*ns *= 10;
	return digit_count > 0;
}

/* Seconds that the local time is ahead of UTC. The cursor must end here. */
static bool read_offset(struct reader *r, int64_t *ahead_s)
{
	struct bytes rest = bytes_of(r->at, reader_left(r));
	uint32_t hours, minutes;

	*ahead_s = 0;
	if (rest.size == 1)
		return rest.ptr[0] == 'Z';
	if (rest.size != 6 || (rest.ptr[0] != '+' && rest.ptr[0] != '-') ||
	    !has_form(rest.ptr + 1, "00:00", 5))
		return false;
	hours = number_at(rest.ptr + 1, 2);
	minutes = number_at(rest.ptr + 4, 2);
	*ahead_s = (int64_t)hours * 3600 + minutes * 60;
	if (rest.ptr[0] == '-')
		*ahead_s = -*ahead_s;
	return hours < 24 && minutes < 60;
}

int time_parse(struct bytes text, struct wall *out)
{
	struct reader r = reader_of(text);
	const uint8_t *at = read_bytes(&r, FORM_SIZE).ptr;
	uint32_t month, day, hour, minute, second, ns;
	int64_t ahead_s, since_s, fraction_ns;

	if (r.failed || !has_form(at, form, FORM_SIZE))
		return -EINVAL;
	month = number_at(at + 5, 2);
	day = number_at(at + 8, 2);
	hour = number_at(at + 11, 2);
	minute = number_at(at + 14, 2);
	second = number_at(at + 17, 2);
	if (month < 1 || month > 12 || day < 1 || day > days_of_month(number_at(at, 4), month))
		return -EINVAL;
	if (hour > 23 || minute > 59 || second > 60)
		return -EINVAL;
	if (!read_fraction(&r, &ns) || !read_offset(&r, &ahead_s))
		return -EINVAL;
	if (second == 60)
		return -ERANGE;
	since_s = days_of(number_at(at, 4), month, day) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second -
		  ahead_s;
	fraction_ns = ns;
	if (since_s < 0 && ns > 0) { /* or the first second that fits would overflow on the way */
		since_s++;
		fraction_ns -= (int64_t)NS_PER_S;
	}
	if (__builtin_mul_overflow(since_s, (int64_t)NS_PER_S, &since_s) ||
	    __builtin_add_overflow(since_s, fraction_ns, &since_s))
		return -ERANGE;
	*out = (struct wall){.ns = since_s};
	return 0;
}
