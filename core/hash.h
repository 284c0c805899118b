/* core/hash.h - a number for some bytes, the same on every machine and at each start.
 *
 * Purpose:  tables, identifiers and names that have to be found again; no protection against somebody who looks for two that
 *           collide.
 * Threads:  pure. Source: FNV-1a, 64 bits (Fowler, Noll, Vo).
 */
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include "core/bytes.h"

#define HASH_START 0xcbf29ce484222325ull

/* hash: HASH_START, or what came before. */
static inline uint64_t hash_bytes(uint64_t hash, struct bytes b)
{
	for (size_t i = 0; i < b.size; i++)
		hash = (hash ^ b.ptr[i]) * 0x100000001b3ull;
	return hash;
}

static inline uint64_t hash_text(uint64_t hash, const char *text)
{
	return hash_bytes(hash, bytes_of_text(text));
}

static inline uint64_t hash_number(uint64_t hash, uint64_t number)
{
	return (hash ^ number) * 0x100000001b3ull;
}

#endif
