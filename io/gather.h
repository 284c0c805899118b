/* io/gather.h - blocks in which small packets lie one behind the other while the kernel sends them.
 *
 * Purpose:  a gathered send costs the kernel some 60 ns for each piece, and it waits for the cache lines of one before it looks at
 *           the next; copied here first, packets of 100 bytes cost less than half as much altogether. From some 300 bytes on
 *           there is nothing to gain: these go out of their records. perf/README.md has the figures.
 * Owner:    a publisher; a block is a target's from gather_borrow until its send is through, however that ends.
 * Threads:  the publisher's.
 * Memory:   all of it in gather_open. Where no block is left, a target sends its packets out of their records.
 * Units:    bytes. Errors: gather_open: -ENOMEM.
 */
#ifndef IO_GATHER_H
#define IO_GATHER_H

#include "core/base.h"

#define GATHER_PACKET_BYTES_MAX 256u
#define GATHER_BLOCK_BYTES      (128u << 10)
/* A send is through at once unless the peer is slow: few are under way at a time. */
#define GATHER_BLOCKS_MAX 4u

struct gather {
	uint8_t *memory;
	uint32_t free_count;
	uint32_t block_bytes; /* of each, that may be used */
	uint8_t *free[GATHER_BLOCKS_MAX];
};

NODISCARD int gather_open(struct gather *g, uint32_t block_count);
void gather_close(struct gather *g);

/* NULL: all are on their way. */
NODISCARD uint8_t *gather_borrow(struct gather *g);
/* NULL is nothing. */
void gather_return(struct gather *g, uint8_t *block);

#endif
