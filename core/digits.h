/* core/digits.h - a fixed count of decimal digits, two at a time.
 *
 * Purpose:  half the divisions of the obvious loop; every message has a time and most have a number.
 * Threads:  pure. Units: count in characters; no final zero is written.
 */
#ifndef CORE_DIGITS_H
#define CORE_DIGITS_H

#include <string.h>

#include "core/base.h"

static const char digit_pairs[201] = "00010203040506070809"
				     "10111213141516171819"
				     "20212223242526272829"
				     "30313233343536373839"
				     "40414243444546474849"
				     "50515253545556575859"
				     "60616263646566676869"
				     "70717273747576777879"
				     "80818283848586878889"
				     "90919293949596979899";

/* The last count digits of value, with leading zeros. */
static inline void digits_put(char *at, uint64_t value, uint32_t count)
{
	for (; count >= 2; value /= 100)
		memcpy(at + (count -= 2), digit_pairs + value % 100 * 2, 2);
	if (count)
		*at = (char)('0' + value % 10);
}

#endif
