/* core/utf8.h - one character of UTF-8.
 *
 * Purpose:  well-formed as Unicode defines it: shortest form, no surrogates, nothing above U+10FFFF. What more a text may not
 *           have (U+0000, a quote) is its reader's matter.
 * Threads:  pure. Memory: none.
 * Source:   Unicode 15 table 3-7; RFC 3629.
 */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include "core/base.h"

/* Bytes of the character at `at` (1 to 4), 0 where it is ill-formed; left_bytes is 1 at least. The second byte's range
 * excludes what is too long (E0, F0), surrogates (ED) and what is above U+10FFFF (F4). */
NODISCARD static inline size_t utf8_character_bytes(const uint8_t *at, size_t left_bytes)
{
	uint8_t low = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80;
	uint8_t high = *at == 0xed ? 0x9f : *at == 0xf4 ? 0x8f : 0xbf;
	size_t size = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;

	if (size == 1)
		return 1;
	if (*at < 0xc2 || *at > 0xf4 || size > left_bytes)
		return 0;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

#endif
