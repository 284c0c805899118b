#include "proto/modbus_plan.h"

#include <errno.h>

#include "core/assert.h"
#include "proto/modbus_pdu.h"

/* Device, period, table, address, count; then the index, so that the order is the same on every run. */
static bool item_before(const struct modbus_item *items, uint32_t a_idx, uint32_t b_idx)
{
	const struct modbus_item *a = &items[a_idx];
	const struct modbus_item *b = &items[b_idx];

	if (a->device_idx != b->device_idx)
		return a->device_idx < b->device_idx;
	if (a->period_ns != b->period_ns)
		return a->period_ns < b->period_ns;
	if (a->space != b->space)
		return a->space < b->space;
	if (a->address != b->address)
		return a->address < b->address;
	if (a->count != b->count)
		return a->count < b->count;
	return a_idx < b_idx;
}

static void sift_down(const struct modbus_item *items, uint32_t *order, uint32_t root, uint32_t count)
{
	uint32_t moved = order[root];

	for (;;) {
		uint32_t child = 2 * root + 1;

		if (child >= count)
			break;
		if (child + 1 < count && item_before(items, order[child], order[child + 1]))
			child++;
		if (!item_before(items, moved, order[child]))
			break;
		order[root] = order[child];
		root = child;
	}
	order[root] = moved;
}

/* Heap sort: no memory, no recursion, n log n whatever the configuration holds. */
static void sort_order(const struct modbus_item *items, uint32_t *order, uint32_t count)
{
	for (uint32_t i = count / 2; i-- > 0;)
		sift_down(items, order, i, count);
	for (uint32_t i = count; i-- > 1;) {
		uint32_t last = order[0];

		order[0] = order[i];
		order[i] = last;
		sift_down(items, order, 0, i);
	}
}

static uint32_t count_max(const struct modbus_plan_limits *limits, enum address_space space)
{
	uint32_t protocol_max = modbus_read_count_max(space);
	uint32_t wanted = address_is_bits(space) ? limits->bits_max : limits->registers_max;

	return wanted ? (uint32_t)min_u64(wanted, protocol_max) : protocol_max;
}

static uint32_t item_end(const struct modbus_item *item)
{
	return (uint32_t)item->address + item->count;
}

static bool item_fits(const struct modbus_block *b, const struct modbus_item *item,
		      const struct modbus_plan_limits *limits)
{
	uint32_t gap = address_is_bits(b->space) ? limits->gap_bits : limits->gap_registers;
	uint32_t end = (uint32_t)b->address + b->count;

	return item->device_idx == b->device_idx && item->period_ns == b->period_ns &&
	       item->space == b->space && item->address <= end + gap &&
	       item_end(item) - b->address <= count_max(limits, b->space);
}

/* The block over items [first, first + count) of order. */
static struct modbus_block block_over(const struct modbus_item *items, const uint32_t *order, uint32_t first,
				      uint32_t count)
{
	const struct modbus_item *lowest = &items[order[first]];
	uint32_t end = 0;

	for (uint32_t i = 0; i < count; i++)
		end = (uint32_t)max_u64(end, item_end(&items[order[first + i]]));
	return (struct modbus_block){
		.device_idx = lowest->device_idx,
		.space = lowest->space,
		.address = lowest->address,
		.count = (uint16_t)(end - lowest->address),
		.period_ns = lowest->period_ns,
		.item_first = first,
		.item_count = count,
	};
}

/* Sorted by address, any cover's first request begins at the first item, and the longest run that fits leaves the fewest
 * items for the rest: so taking the longest run each time is the fewest requests. */
int modbus_plan(const struct modbus_item *items, uint32_t item_count, const struct modbus_plan_limits *limits,
		uint32_t *order, struct modbus_block *blocks, uint32_t block_room)
{
	uint32_t block_count = 0;

	ASSERT(item_count <= INT32_MAX);
	for (uint32_t i = 0; i < item_count; i++) {
		const struct modbus_item *item = &items[i];

		if (item->count < 1 || item->count > count_max(limits, item->space) ||
		    item_end(item) > 65536 || item->period_ns < 1)
			return -EINVAL;
		order[i] = i;
	}
	sort_order(items, order, item_count);
	for (uint32_t i = 0; i < item_count; i++) {
		const struct modbus_item *item = &items[order[i]];
		struct modbus_block *last = block_count ? &blocks[block_count - 1] : NULL;

		if (last && item_fits(last, item, limits)) {
			uint32_t end = (uint32_t)last->address + last->count;

			last->count = (uint16_t)(max_u64(end, item_end(item)) - last->address);
			last->item_count++;
			continue;
		}
		if (block_count == block_room)
			return -ENOSPC;
		blocks[block_count++] = block_over(items, order, i, 1);
	}
	ASSERT(block_count <= item_count);
	return (int)block_count;
}

int modbus_plan_split(const struct modbus_item *items, const uint32_t *order, struct modbus_block *block,
		      struct modbus_block *upper)
{
	uint32_t first = block->item_first, count = block->item_count;
	uint32_t middle = count / 2;
	uint32_t end = item_end(&items[order[first]]);
	uint32_t cut = 0, cut_gap = 0, cut_distance = 0;

	ASSERT(count >= 1);
	for (uint32_t i = 1; i < count; i++) {
		const struct modbus_item *before = &items[order[first + i - 1]];
		const struct modbus_item *item = &items[order[first + i]];
		uint32_t gap = item->address > end ? item->address - end : 0;
		uint32_t distance = i > middle ? i - middle : middle - i;

		end = (uint32_t)max_u64(end, item_end(item));
		if (item->address == before->address && item->count == before->count)
			continue;
		if (cut == 0 || gap > cut_gap || (gap == cut_gap && distance < cut_distance)) {
			cut = i;
			cut_gap = gap;
			cut_distance = distance;
		}
	}
	if (cut == 0)
		return -ENOENT;
	*upper = block_over(items, order, first + cut, count - cut);
	*block = block_over(items, order, first, cut);
	return 0;
}
