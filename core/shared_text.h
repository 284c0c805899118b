/* core/shared_text.h - a short text that one thread sets now and then and others read, without a lock.
 *
 * Purpose:  states and reasons that the control thread shows. Set on transitions only.
 * Owner:    one writer thread. Threads: readers any; they repeat while a write is under way.
 * Memory:   SHARED_TEXT_BYTES, in place. Source: sequence lock as in core/tag.h.
 */
#ifndef CORE_SHARED_TEXT_H
#define CORE_SHARED_TEXT_H

#include <string.h>

#include "core/base.h"

#define SHARED_TEXT_BYTES 256

struct shared_text {
	_Atomic uint32_t sequence;
	_Atomic uint64_t words[SHARED_TEXT_BYTES / 8];
};

/* A text that is too long is cut. */
static inline void shared_text_set(struct shared_text *t, const char *text)
{
	uint64_t words[SHARED_TEXT_BYTES / 8] = {0};
	size_t size_bytes = strlen(text);
	uint32_t sequence = atomic_load_explicit(&t->sequence, memory_order_relaxed);

	memcpy(words, text, size_bytes < SHARED_TEXT_BYTES ? size_bytes : SHARED_TEXT_BYTES - 1);
	atomic_store_explicit(&t->sequence, sequence + 1, memory_order_relaxed);
	for (size_t i = 0; i < ARRAY_COUNT(words); i++)
		atomic_store_explicit(&t->words[i], words[i],
				      memory_order_release); /* pairs with the acquires below */
	atomic_store_explicit(&t->sequence, sequence + 2, memory_order_release);
}

static inline void shared_text_get(const struct shared_text *t, char out[SHARED_TEXT_BYTES])
{
	uint64_t words[SHARED_TEXT_BYTES / 8];
	uint32_t before;

	do {
		before = atomic_load_explicit(&t->sequence, memory_order_acquire);
		for (size_t i = 0; i < ARRAY_COUNT(words); i++)
			words[i] = atomic_load_explicit(&t->words[i], memory_order_acquire);
	} while ((before & 1) || atomic_load_explicit(&t->sequence, memory_order_relaxed) != before);
	memcpy(out, words, SHARED_TEXT_BYTES);
	out[SHARED_TEXT_BYTES - 1] = 0;
}

#endif
