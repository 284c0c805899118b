/* core/suggest.h - "did you mean": the known word that is nearest to a mistyped one.
 *
 * Purpose:  offer every candidate, read off the best; insertions, deletions, replacements and swaps of
 *           neighbours count one each, letters are compared without case.
 * Owner:    the caller's struct; the candidates are borrowed and must outlive it.
 * Threads:  none shared.
 * Memory:   no allocation; words past SUGGEST_BYTES_MAX are never suggested.
 * Errors:   none; nothing near enough is an answer too.
 */
#ifndef CORE_SUGGEST_H
#define CORE_SUGGEST_H

#include "core/bytes.h"

#define SUGGEST_BYTES_MAX 64u

struct suggest {
	struct bytes wanted;
	struct bytes best;
	uint32_t distance; /* of best; a candidate must be below it */
};

/* How far apart two words are; limit where it is that much or more. */
NODISCARD uint32_t suggest_distance(struct bytes a, struct bytes b, uint32_t limit);

void suggest_begin(struct suggest *s, struct bytes wanted);

/* Of equally near candidates the first one stays. */
void suggest_offer(struct suggest *s, struct bytes candidate);

NODISCARD static inline bool suggest_found(const struct suggest *s)
{
	return s->best.size > 0;
}

#endif
