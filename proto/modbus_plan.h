/* proto/modbus_plan.h - which requests read a line's tags: the fewest that the protocol allows.
 *
 * Purpose:  merges items (one tag's registers or bits) of the same device, period and table into blocks (one request
 *           each), spanning gaps up to an allowance. No item is ever torn apart: a 32-bit value comes from one response.
 * Memory:   everything is the caller's; nothing is allocated. Items are read, `order` is filled and sorted.
 * Threads:  pure.
 * Units:    addresses and counts in bits or registers, by the table; periods in nanoseconds.
 * Errors:   -EINVAL: an item is empty, longer than one request or reaches past 65535. -ENOSPC: block_room is too small.
 */
#ifndef PROTO_MODBUS_PLAN_H
#define PROTO_MODBUS_PLAN_H

#include "core/address.h"
#include "core/base.h"

struct modbus_item {
	uint32_t device_idx;
	enum address_space space;
	uint16_t address;
	uint16_t count;     /* >= 1 */
	uint64_t period_ns; /* >= 1 */
	uint32_t user;      /* the caller's: its tag */
};

struct modbus_block {
	uint32_t device_idx;
	enum address_space space;
	uint16_t address;
	uint16_t count;
	uint64_t period_ns;
	uint32_t item_first; /* into order[]: its items, by rising address */
	uint32_t item_count;
};

struct modbus_plan_limits {
	uint16_t registers_max; /* a request's; 0: the protocol's 125 */
	uint16_t bits_max;      /* a request's; 0: the protocol's 2000 */
	uint16_t gap_registers; /* unused registers that a block may span at a place; 0: none */
	uint16_t gap_bits;
};

/* Fills order[item_count] with item indices, sorted by device, period, table and address, and blocks[] with the requests.
 * Returns how many blocks; at most item_count. */
NODISCARD int modbus_plan(const struct modbus_item *items, uint32_t item_count,
			  const struct modbus_plan_limits *limits, uint32_t *order,
			  struct modbus_block *blocks, uint32_t block_room);

/* Cuts a block in two, at its widest gap or else near the middle: 0, *block keeps the lower part, *upper is the rest.
 * For a block that a device refuses. -ENOENT: all its items are the same registers, nothing is gained by a cut. */
NODISCARD int modbus_plan_split(const struct modbus_item *items, const uint32_t *order,
				struct modbus_block *block, struct modbus_block *upper);

#endif
