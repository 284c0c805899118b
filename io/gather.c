#include "io/gather.h"

#include <errno.h>

#include "core/assert.h"
#include "core/memory.h"

int gather_open(struct gather *g, uint32_t block_count)
{
	ASSERT(block_count <= GATHER_BLOCKS_MAX);
	*g = (struct gather){.free_count = block_count, .block_bytes = GATHER_BLOCK_BYTES};
	if (block_count == 0)
		return 0;
	g->memory = memory_alloc(block_count, GATHER_BLOCK_BYTES);
	if (!g->memory)
		return -ENOMEM;
	for (uint32_t i = 0; i < block_count; i++)
		g->free[i] = g->memory + (size_t)i * GATHER_BLOCK_BYTES;
	return 0;
}

void gather_close(struct gather *g)
{
	memory_free(g->memory);
	*g = (struct gather){0};
}

uint8_t *gather_borrow(struct gather *g)
{
	return g->free_count ? g->free[--g->free_count]
			     : NULL; /* the one that was used last is in the cache */
}

void gather_return(struct gather *g, uint8_t *block)
{
	if (!block)
		return;
	ASSERT(g->free_count < GATHER_BLOCKS_MAX);
	ASSERT((size_t)(block - g->memory) % GATHER_BLOCK_BYTES == 0);
	g->free[g->free_count++] = block;
}
