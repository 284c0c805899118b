#include "core/glob.h"

/* Only the last star is ever tried again: what an earlier one has taken would not make a later one's task easier. */
bool glob_matches(struct bytes pattern, struct bytes text)
{
	size_t p = 0, t = 0, retry_p = 0, retry_t = 0;
	bool has_star = false;

	while (t < text.size) {
		if (p < pattern.size && pattern.ptr[p] == '*') {
			has_star = true;
			retry_p = ++p;
			retry_t = t;
		} else if (p < pattern.size && pattern.ptr[p] == text.ptr[t]) {
			p++;
			t++;
		} else if (has_star) { /* it takes one character more */
			p = retry_p;
			t = ++retry_t;
		} else {
			return false;
		}
	}
	while (p < pattern.size && pattern.ptr[p] == '*')
		p++;
	return p == pattern.size;
}
