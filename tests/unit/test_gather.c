/* Blocks for small packets: so many and no more, each somebody's or free. */
#include "tests/test.h"

#include <string.h>

#include "core/memory.h"
#include "io/gather.h"

TEST(there_are_as_many_blocks_as_asked_for)
{
	struct gather g;
	uint8_t *blocks[GATHER_BLOCKS_MAX];

	for (uint32_t count = 0; count <= GATHER_BLOCKS_MAX; count++) {
		EXPECT_EQ(gather_open(&g, count), 0);
		for (uint32_t i = 0; i < count; i++) {
			blocks[i] = gather_borrow(&g);
			EXPECT(blocks[i] != NULL);
			memset(blocks[i], (int)i + 1, GATHER_BLOCK_BYTES);
		}
		EXPECT(gather_borrow(&g) == NULL);
		for (uint32_t i = 0; i < count; i++) /* none lies over another */
			for (uint32_t k = 0; k < GATHER_BLOCK_BYTES; k += 1021)
				EXPECT_EQ(blocks[i][k], i + 1);
		gather_close(&g);
	}
}

TEST(a_block_that_is_given_back_is_the_next)
{
	struct gather g;
	uint8_t *first, *second;

	EXPECT_EQ(gather_open(&g, 2), 0);
	first = gather_borrow(&g);
	second = gather_borrow(&g);
	gather_return(&g, first);
	gather_return(&g, NULL);
	EXPECT(gather_borrow(&g) == first);
	EXPECT(gather_borrow(&g) == NULL);
	gather_return(&g, second);
	gather_return(&g, first);
	EXPECT(gather_borrow(&g) == first);
	EXPECT(gather_borrow(&g) == second);
	gather_close(&g);
}
