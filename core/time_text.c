#include "core/time_text.h"

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
