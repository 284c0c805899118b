/* core/memory.h - the memory of the configuration: counted before it is taken, taken in one piece, present before it is used.
 *
 * Purpose:  everything that lives as long as the node asks here for its blocks. Opening the node once only to count says how
 *           many bytes it takes: the code that takes them is the code that says so, and no second sum can differ from it.
 *           memory_open then maps that many in one piece, which is easily made present, locked, and put into huge pages.
 * Owner:    the control thread, before the data threads start and after they have ended. What a block holds is the caller's.
 * Threads:  one at a time; memory_map, memory_unmap and memory_populate by any.
 * Memory:   blocks are zero and begin on a cache line of their own, so that two threads never share one. Without memory_open
 *           (tests, tools), and beyond what it was opened for, they are the allocator's.
 * Units:    bytes. Errors: NULL where there is no memory; -errno.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include "core/base.h"

#define MEMORY_PAGE_BYTES 4096u
/* A mapping of this size or more lies on a boundary of huge pages and asks for them: below, rounding and gain are the same. */
#define MEMORY_HUGE_BYTES (2ull << 20)
#define MEMORY_HUGE_FROM  (2 * MEMORY_HUGE_BYTES)

enum memory_part {
	MEMORY_RINGS, /* messages */
	MEMORY_TARGETS,
	MEMORY_LINES,
	MEMORY_DEFINITIONS,
	MEMORY_TAGS,
	MEMORY_LOOPS, /* the queues of io_uring */
	MEMORY_TRACE, /* the flight recorder */
	MEMORY_NODE,  /* what holds the parts together */
	MEMORY_PART_COUNT,
};

/* --- blocks --------------------------------------------------------------------------------------------------------- */

/* A zero block for count objects (at least one byte), of the part that memory_part_begin named last; NULL: no memory. */
NODISCARD void *memory_alloc(uint64_t count, size_t object_bytes);
/* NULL is nothing. */
void memory_free(void *block);

/* What follows belongs to this part. */
void memory_part_begin(enum memory_part part);
/* Something that does not come from memory_alloc: a mapping, a ring. */
void memory_count(enum memory_part part, uint64_t bytes);

struct memory_counts {
	uint64_t part_bytes[MEMORY_PART_COUNT]; /* all that was asked for */
	uint64_t block_bytes;                   /* of that: by memory_alloc */
};
struct memory_counts memory_counts(void);
void memory_counts_clear(void);

/* Maps the piece from which memory_alloc takes. The caller has counted how large it has to be. -ENOMEM. */
NODISCARD int memory_open(uint64_t block_bytes);
/* After the last memory_free. */
void memory_close(void);
/* Makes the whole piece present. 0 or -errno. */
NODISCARD int memory_populate_blocks(void);
/* Bytes that did not fit, because something brought more than the configuration asks for: sessions and rings in files. */
uint64_t memory_extra_bytes(void);

/* --- mappings ------------------------------------------------------------------------------------------------------- */

/* A private mapping of size_bytes, up to the end of a page; zero. NULL: no memory. */
NODISCARD void *memory_map(uint64_t size_bytes);
void memory_unmap(void *start, uint64_t size_bytes);

/* Whole pages that hold these bytes are there, and writable without a page fault: 0 or -errno. Costs what the faults would, at
 * a time when nobody waits. On a file's mapping every page becomes dirty. */
NODISCARD int memory_populate(void *start, uint64_t size_bytes);

#endif
