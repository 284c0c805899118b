/* core/number_text.h - numbers as the shortest text that reads back as the same number.
 *
 * Purpose:  values in payloads. Integers are exact; a double or float prints with the fewest decimals that give it back,
 *           1.5 and not 1.5000000000000000.
 * Threads:  pure, no locale.
 * Limits:   NUMBER_TEXT_BYTES is enough for any result.
 */
#ifndef CORE_NUMBER_TEXT_H
#define CORE_NUMBER_TEXT_H

#include "core/base.h"

#define NUMBER_TEXT_BYTES 32

/* Each writes at out, no final zero, and returns the number of characters. */
size_t number_text_u64(uint64_t value, char *out);
size_t number_text_i64(int64_t value, char *out);

/* value must be finite. Always contains only digits, sign, point and exponent: a JSON number. */
size_t number_text_f64(double value, char *out);
/* The same where value came from 32 bits: shortest that gives the same float. */
size_t number_text_f32(double value, char *out);

#endif
