#include "core/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/assert.h"

/* An allocator that finds what is written past the end of a block has to see each block. */
#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

static struct {
	uint8_t *start; /* NULL: every block is the allocator's */
	uint64_t size_bytes, used_bytes, extra_bytes;
	uint32_t block_count; /* of the piece, in use */
	enum memory_part part;
	struct memory_counts counts;
} all;

/* --- blocks --------------------------------------------------------------------------------------------------------- */

static void *take(uint64_t size_bytes)
{
	void *block;

	if (!all.start || size_bytes > all.size_bytes - all.used_bytes)
		return NULL;
	block = all.start + all.used_bytes;
	all.used_bytes += size_bytes;
	all.block_count++;
	return block;
}

/* From the allocator; where it begins lies just before the block. Nothing is written that need not be: whoever only counts may
 * count more than this machine has. */
static void *borrow(uint64_t size_bytes)
{
	uint8_t *start = calloc(1, size_bytes + 2 * CACHELINE_BYTES);
	void **block;

	if (!start)
		return NULL;
	block = (void **)(void *)(start + 2 * CACHELINE_BYTES - (uintptr_t)start % CACHELINE_BYTES);
	block[-1] = start;
	if (all.start) { /* not counted before, and yet it is to be present */
		all.extra_bytes += size_bytes;
		memset(block, 0, size_bytes);
	}
	return block;
}

void *memory_alloc(uint64_t count, size_t object_bytes)
{
	uint64_t size_bytes, counted_bytes;
	void *block;

	if (__builtin_mul_overflow(count, (uint64_t)object_bytes, &size_bytes) || size_bytes > UINT64_MAX / 2)
		return NULL;
	counted_bytes = align_up(max_u64(size_bytes, 1), CACHELINE_BYTES);
	block = take(counted_bytes);
	if (!block)
		block = borrow(size_bytes);
	if (!block)
		return NULL;
	all.counts.part_bytes[all.part] += counted_bytes;
	all.counts.block_bytes += counted_bytes;
	return block;
}

void memory_free(void *block)
{
	uintptr_t at = (uintptr_t)block, start = (uintptr_t)all.start;

	if (!block)
		return;
	if (!all.start || at < start || at >= start + all.size_bytes) {
		free(((void **)block)[-1]);
		return;
	}
	ASSERT(all.block_count > 0);
	if (--all.block_count > 0)
		return;
	/* The last is back: whoever opens again begins anew. */
	memset(all.start, 0, all.used_bytes);
	all.used_bytes = 0;
}

void memory_part_begin(enum memory_part part)
{
	ASSERT(part < MEMORY_PART_COUNT);
	all.part = part;
}

void memory_count(enum memory_part part, uint64_t bytes)
{
	ASSERT(part < MEMORY_PART_COUNT);
	all.counts.part_bytes[part] += bytes;
}

struct memory_counts memory_counts(void)
{
	return all.counts;
}

void memory_counts_clear(void)
{
	all.counts = (struct memory_counts){0};
	all.extra_bytes = 0;
}

int memory_open(uint64_t block_bytes)
{
	ASSERT(!all.start);
	if (IS_SANITIZED)
		return 0;
	all.size_bytes = align_up(max_u64(block_bytes, 1), MEMORY_PAGE_BYTES);
	all.used_bytes = 0;
	all.start = memory_map(all.size_bytes);
	return all.start ? 0 : -ENOMEM;
}

void memory_close(void)
{
	ASSERT(all.block_count == 0);
	if (all.start)
		memory_unmap(all.start, all.size_bytes);
	all.start = NULL;
	all.size_bytes = all.used_bytes = 0;
}

int memory_populate_blocks(void)
{
	return all.start ? memory_populate(all.start, all.size_bytes) : 0;
}

uint64_t memory_extra_bytes(void)
{
	return all.extra_bytes;
}

/* --- mappings ------------------------------------------------------------------------------------------------------- */

static void cut(uint8_t *from, const uint8_t *to)
{
	if (from < to)
		(void)munmap(from, (size_t)(to - from));
}

void *memory_map(uint64_t size_bytes)
{
	uint64_t bytes = align_up(size_bytes, MEMORY_PAGE_BYTES);
	uint64_t spare = bytes >= MEMORY_HUGE_FROM ? MEMORY_HUGE_BYTES : 0;
	uint8_t *block, *start;

	if (bytes < size_bytes || bytes + spare < bytes)
		return NULL;
	block = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		return NULL;
	if (spare == 0)
		return block;
	start = block + (align_up((uintptr_t)block, MEMORY_HUGE_BYTES) - (uintptr_t)block);
	cut(block, start);
	cut(start + bytes, block + bytes + spare);
	/* The end that fills no huge page stays in small ones, so nothing is rounded. Refused where the kernel has none. */
	(void)madvise(start, bytes, MADV_HUGEPAGE);
	return start;
}

void memory_unmap(void *start, uint64_t size_bytes)
{
	if (start)
		(void)munmap(start, align_up(size_bytes, MEMORY_PAGE_BYTES));
}

int memory_populate(void *start, uint64_t size_bytes)
{
	uintptr_t from = (uintptr_t)start & ~(uintptr_t)(MEMORY_PAGE_BYTES - 1);
	uint64_t bytes = align_up((uintptr_t)start + size_bytes - from, MEMORY_PAGE_BYTES);
	int rc;

	do
		rc = madvise((uint8_t *)start - ((uintptr_t)start - from), bytes, MADV_POPULATE_WRITE);
	while (rc == -1 && errno == EINTR);
	return rc == -1 ? -errno : 0;
}
