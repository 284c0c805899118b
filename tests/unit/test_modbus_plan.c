#include "tests/test.h"

#include <errno.h>

#include "proto/modbus_plan.h"

#define ITEM_MAX 400

static uint32_t order[ITEM_MAX];
static struct modbus_block blocks[ITEM_MAX];
static const struct modbus_plan_limits tight;

static struct modbus_item reg(uint16_t address, uint16_t count)
{
	return (struct modbus_item){
		.space = ADDRESS_HOLDING, .address = address, .count = count, .period_ns = 1000};
}

static int plan(const struct modbus_item *items, uint32_t count, const struct modbus_plan_limits *limits)
{
	return modbus_plan(items, count, limits, order, blocks, ITEM_MAX);
}

static void expect_block(uint32_t idx, uint16_t address, uint16_t count, uint32_t item_count)
{
	EXPECT_EQ(blocks[idx].address, address);
	EXPECT_EQ(blocks[idx].count, count);
	EXPECT_EQ(blocks[idx].item_count, item_count);
}

TEST(neighbours_in_any_order_are_one_request)
{
	struct modbus_item items[] = {reg(12, 2), reg(10, 1), reg(14, 1), reg(11, 1)};

	EXPECT_EQ(plan(items, 4, &tight), 1);
	expect_block(0, 10, 5, 4);
	EXPECT_EQ(order[0], 1);
	EXPECT_EQ(order[3], 2);
}

TEST(a_gap_is_spanned_up_to_the_allowance)
{
	struct modbus_item items[] = {reg(10, 1), reg(14, 1), reg(19, 1)};
	struct modbus_plan_limits three = {.gap_registers = 3};

	EXPECT_EQ(plan(items, 3, &tight), 3);
	EXPECT_EQ(plan(items, 3, &three), 2);
	expect_block(0, 10, 5, 2);
	expect_block(1, 19, 1, 1);
}

TEST(a_request_holds_125_registers_or_2000_bits_at_most)
{
	struct modbus_item registers[] = {reg(0, 124), reg(124, 1), reg(125, 1)};
	struct modbus_item bits[] = {
		{.space = ADDRESS_COIL, .address = 0, .count = 1, .period_ns = 1},
		{.space = ADDRESS_COIL, .address = 1999, .count = 1, .period_ns = 1},
		{.space = ADDRESS_COIL, .address = 2000, .count = 1, .period_ns = 1},
	};
	struct modbus_plan_limits wide = {.gap_bits = 2000};

	EXPECT_EQ(plan(registers, 3, &tight), 2);
	expect_block(0, 0, 125, 2);
	EXPECT_EQ(plan(bits, 3, &wide), 2);
	expect_block(0, 0, 2000, 2);
}

TEST(a_device_may_take_less_than_the_protocol_allows)
{
	struct modbus_item items[] = {reg(0, 2), reg(2, 2), reg(4, 2)};
	struct modbus_plan_limits small = {.registers_max = 5};

	EXPECT_EQ(plan(items, 3, &small), 2);
	expect_block(0, 0, 4, 2);
	EXPECT_EQ(plan((struct modbus_item[]){reg(0, 6)}, 1, &small), -EINVAL);
}

TEST(an_item_is_never_torn_apart)
{
	struct modbus_item items[] = {reg(0, 123), reg(123, 4)};

	EXPECT_EQ(plan(items, 2, &tight), 2);
	expect_block(0, 0, 123, 1);
	expect_block(1, 123, 4, 1);
}

TEST(devices_periods_and_tables_are_kept_apart)
{
	struct modbus_item items[] = {reg(0, 1), reg(1, 1), reg(2, 1), reg(3, 1)};

	items[1].device_idx = 1;
	items[2].period_ns = 2000;
	items[3].space = ADDRESS_INPUT;
	EXPECT_EQ(plan(items, 4, &tight), 4);
}

TEST(items_that_overlap_share_a_request)
{
	struct modbus_item items[] = {reg(10, 4), reg(11, 1), reg(11, 1), reg(10, 1), reg(12, 4)};

	EXPECT_EQ(plan(items, 5, &tight), 1);
	expect_block(0, 10, 6, 5);
}

TEST(the_last_register_is_within_and_the_next_is_not)
{
	EXPECT_EQ(plan((struct modbus_item[]){reg(65535, 1)}, 1, &tight), 1);
	EXPECT_EQ(plan((struct modbus_item[]){reg(65535, 2)}, 1, &tight), -EINVAL);
	EXPECT_EQ(plan((struct modbus_item[]){reg(0, 0)}, 1, &tight), -EINVAL);
	EXPECT_EQ(plan((struct modbus_item[]){reg(0, 126)}, 1, &tight), -EINVAL);
}

TEST(too_little_room_is_said)
{
	struct modbus_item items[] = {reg(0, 1), reg(10, 1)};

	EXPECT_EQ(modbus_plan(items, 2, &tight, order, blocks, 1), -ENOSPC);
	EXPECT_EQ(modbus_plan(items, 2, &tight, order, blocks, 2), 2);
	EXPECT_EQ(modbus_plan(items, 0, &tight, order, blocks, 0), 0);
}

/* Scattered by a multiplicative walk; the answer is that of the sorted list. */
TEST(many_scattered_items_are_planned_as_if_sorted)
{
	struct modbus_item items[ITEM_MAX];
	int covered = 0;

	for (uint32_t i = 0; i < ITEM_MAX; i++)
		items[i] = reg((uint16_t)(i * 7 % ITEM_MAX), 1);
	EXPECT_EQ(plan(items, ITEM_MAX, &tight), 4); /* 125 + 125 + 125 + 25 */
	expect_block(3, 375, 25, 25);
	for (int i = 0; i < 4; i++)
		covered += (int)blocks[i].item_count;
	EXPECT_EQ(covered, ITEM_MAX);
	for (uint32_t i = 0; i < ITEM_MAX; i++)
		EXPECT_EQ(items[order[i]].address, i);
}

TEST(a_split_goes_through_the_widest_gap)
{
	struct modbus_item items[] = {reg(0, 2), reg(4, 1), reg(9, 1), reg(10, 2), reg(13, 1)};
	struct modbus_plan_limits gaps = {.gap_registers = 8};
	struct modbus_block upper;

	EXPECT_EQ(plan(items, 5, &gaps), 1);
	EXPECT_EQ(modbus_plan_split(items, order, &blocks[0], &upper), 0);
	expect_block(0, 0, 5, 2);
	EXPECT_EQ(upper.address, 9);
	EXPECT_EQ(upper.count, 5);
	EXPECT_EQ(upper.item_first, 2);
	EXPECT_EQ(upper.item_count, 3);
}

TEST(a_split_without_gaps_goes_near_the_middle_and_not_between_equals)
{
	struct modbus_item items[] = {reg(0, 1), reg(1, 1), reg(2, 1), reg(2, 1), reg(2, 1), reg(3, 1)};
	struct modbus_block upper;

	EXPECT_EQ(plan(items, 6, &tight), 1);
	EXPECT_EQ(modbus_plan_split(items, order, &blocks[0], &upper), 0);
	expect_block(0, 0, 2, 2);
	EXPECT_EQ(upper.address, 2);
	EXPECT_EQ(upper.count, 2);
	EXPECT_EQ(upper.item_count, 4);
}

TEST(bits_of_one_register_cannot_be_split)
{
	struct modbus_item items[] = {reg(5, 1), reg(5, 1), reg(5, 1)};
	struct modbus_block upper;

	EXPECT_EQ(plan(items, 3, &tight), 1);
	EXPECT_EQ(modbus_plan_split(items, order, &blocks[0], &upper), -ENOENT);
}
