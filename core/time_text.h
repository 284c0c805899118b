/* core/time_text.h - a wall time as RFC 3339 text with microseconds, fast enough for every message, and back.
 *
 * Purpose:  "2026-01-02T03:04:05.678901Z". The calendar part changes once a second, so a thread that formats many
 *           keeps a struct time_cache.
 * Threads:  pure, the cache belongs to one thread.
 * Source:   RFC 3339; days to civil date and back: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
#ifndef CORE_TIME_TEXT_H
#define CORE_TIME_TEXT_H

#include "core/base.h"
#include "core/bytes.h"
#include "core/clock.h"

#define TIME_TEXT_SIZE  27 /* characters */
#define TIME_TEXT_BYTES 28 /* with the final zero */

struct time_cache {
	int64_t second;
	char text[TIME_TEXT_BYTES]; /* of that second, .000000Z; empty: nothing cached */
};

/* Years outside 0000..9999 are clamped to the nearest end. */
void time_text(struct wall t, char out[TIME_TEXT_BYTES]);

/* The same into TIME_TEXT_SIZE bytes, without a final zero. */
void time_text_cached(struct time_cache *cache, struct wall t, char out[TIME_TEXT_SIZE]);

/* A date-time of RFC 3339 with the capitals T and Z, or an offset from UTC (+hh:mm, -hh:mm), and nothing around it. Fractions
 * have one to nine digits; none is fine too. 0; -EINVAL: none, or a day that no calendar has; -ERANGE: one that struct wall
 * cannot hold: before 1677-09-21, after 2262-04-11, and a leap second. */
NODISCARD int time_parse(struct bytes text, struct wall *out);

#endif
