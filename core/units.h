/* core/units.h - numbers with a unit, as people write them: 60s, 100ms, 64KiB.
 *
 * Purpose:  a duration has a unit always (us ms s min h d; a bare 0 is clear enough), a size may have one
 *           (B KiB MiB GiB). Whole numbers only: 1500ms, not 1.5s.
 * Threads:  pure.
 * Units:    nanoseconds, bytes.
 * Errors:   -EINVAL with *why, a static text that says what to write instead; *out is untouched then.
 */
#ifndef CORE_UNITS_H
#define CORE_UNITS_H

#include "core/bytes.h"

NODISCARD int units_parse_duration(struct bytes text, uint64_t *out_ns, const char **why);
NODISCARD int units_parse_size(struct bytes text, uint64_t *out_bytes, const char **why);

/* A whole decimal number, with a sign or without. */
NODISCARD int units_parse_integer(struct bytes text, int64_t *out, const char **why);

/* A finite decimal number: 1, -0.5, 1e-3. */
NODISCARD int units_parse_number(struct bytes text, double *out, const char **why);

/* So many in a time, "200/s", "30/min", "5/h": from one to the next. At most 1,000,000/s. */
NODISCARD int units_parse_rate(struct bytes text, uint64_t *out_interval_ns, const char **why);
/* "20%": 1 .. 100. */
NODISCARD int units_parse_percent(struct bytes text, uint32_t *out, const char **why);

/* Room for any text that the two below write. */
#define UNITS_TEXT_BYTES 32u

/* In the largest unit that leaves a whole number: 90000000000 is "90s". Returns buffer. */
const char *units_print_duration(char buffer[static UNITS_TEXT_BYTES], uint64_t ns);
const char *units_print_size(char buffer[static UNITS_TEXT_BYTES], uint64_t bytes);

#endif
