#include "core/suggest.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* The optimal string alignment distance, three rows of the table at a time. */
uint32_t suggest_distance(struct bytes a, struct bytes b, uint32_t limit)
{
	uint8_t rows[3][SUGGEST_BYTES_MAX + 1];
	uint8_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (a.size > SUGGEST_BYTES_MAX || b.size > SUGGEST_BYTES_MAX)
		return limit;
	for (size_t j = 0; j <= b.size; j++)
		above[j] = (uint8_t)j;
	for (size_t i = 1; i <= a.size; i++) {
		uint8_t ca = lower(a.ptr[i - 1]);
		uint8_t *oldest = before;

		row[0] = (uint8_t)i;
		for (size_t j = 1; j <= b.size; j++) {
			uint8_t cb = lower(b.ptr[j - 1]);
			uint64_t best = min_u64(above[j] + 1u, row[j - 1] + 1u);

			best = min_u64(best, above[j - 1] + (ca == cb ? 0u : 1u));
			if (i > 1 && j > 1 && ca == lower(b.ptr[j - 2]) && lower(a.ptr[i - 2]) == cb)
				best = min_u64(best, before[j - 2] + 1u);
			row[j] = (uint8_t)best;
		}
		before = above;
		above = row;
		row = oldest;
	}
	return (uint32_t)min_u64(above[b.size], limit);
}

void suggest_begin(struct suggest *s, struct bytes wanted)
{
	/* A third of the letters may be wrong, but a suggestion must share at least half with what was
	 * meant. */
	uint32_t allowed = wanted.size < 3 ? 1 : (uint32_t)(wanted.size + 5) / 4;

	*s = (struct suggest){.wanted = wanted, .distance = allowed + 1};
}

void suggest_offer(struct suggest *s, struct bytes candidate)
{
	size_t longer = s->wanted.size > candidate.size ? s->wanted.size : candidate.size;
	size_t shorter = s->wanted.size + candidate.size - longer;
	uint32_t distance;

	if (candidate.size == 0 || longer - shorter >= s->distance)
		return;
	distance = suggest_distance(s->wanted, candidate, s->distance);
	if (distance >= s->distance || distance * 2 > longer)
		return;
	s->distance = distance;
	s->best = candidate;
}
