#include "tests/test.h"

#include <errno.h>
#include <math.h>

#include "proto/modbus_value.h"

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct value decoded(enum modbus_type type, enum modbus_order order, struct bytes data)
{
	struct modbus_field f = {.address = {.space = ADDRESS_HOLDING, .offset = 100, .bit = -1},
				 .type = type,
				 .order = order};
	struct value v;

	EXPECT_EQ(modbus_field_decode(&f, 100, data, &v), 0);
	return v;
}

static bool decoded_bit(enum address_space space, uint16_t offset, int8_t bit, struct bytes data)
{
	struct modbus_field f = {.address = {.space = space, .offset = offset, .bit = bit},
				 .type = MODBUS_BOOL};
	struct value v;

	EXPECT_EQ(modbus_field_decode(&f, 20, data, &v), 0);
	EXPECT_EQ(v.kind, VALUE_BOOL);
	return v.b;
}

/* 123456.0f is 47 F1 20 00. */
TEST(float32_is_read_in_all_four_orders)
{
	EXPECT(decoded(MODBUS_FLOAT32, MODBUS_ABCD, BYTES(0x47, 0xF1, 0x20, 0x00)).f == 123456.0);
	EXPECT(decoded(MODBUS_FLOAT32, MODBUS_CDAB, BYTES(0x20, 0x00, 0x47, 0xF1)).f == 123456.0);
	EXPECT(decoded(MODBUS_FLOAT32, MODBUS_BADC, BYTES(0xF1, 0x47, 0x00, 0x20)).f == 123456.0);
	EXPECT(decoded(MODBUS_FLOAT32, MODBUS_DCBA, BYTES(0x00, 0x20, 0xF1, 0x47)).f == 123456.0);
	EXPECT_EQ(decoded(MODBUS_FLOAT32, MODBUS_ABCD, BYTES(0x47, 0xF1, 0x20, 0x00)).kind, VALUE_FLOAT32);
	EXPECT(isnan(decoded(MODBUS_FLOAT32, MODBUS_ABCD, BYTES(0x7F, 0xC0, 0, 0)).f));
}

TEST(integers_of_32_bits_are_read_in_all_four_orders)
{
	EXPECT_EQ(decoded(MODBUS_UINT32, MODBUS_ABCD, BYTES(0x12, 0x34, 0x56, 0x78)).u, 0x12345678);
	EXPECT_EQ(decoded(MODBUS_UINT32, MODBUS_CDAB, BYTES(0x56, 0x78, 0x12, 0x34)).u, 0x12345678);
	EXPECT_EQ(decoded(MODBUS_UINT32, MODBUS_BADC, BYTES(0x34, 0x12, 0x78, 0x56)).u, 0x12345678);
	EXPECT_EQ(decoded(MODBUS_UINT32, MODBUS_DCBA, BYTES(0x78, 0x56, 0x34, 0x12)).u, 0x12345678);
	EXPECT_EQ(decoded(MODBUS_UINT32, MODBUS_ABCD, BYTES(0xFF, 0xFF, 0xFF, 0xFE)).u, 0xFFFFFFFEll);
	EXPECT_EQ(decoded(MODBUS_INT32, MODBUS_ABCD, BYTES(0xFF, 0xFF, 0xFF, 0xFE)).i, -2);
}

TEST(sixteen_bits_have_only_bytes_to_swap)
{
	EXPECT_EQ(decoded(MODBUS_UINT16, MODBUS_ABCD, BYTES(0x80, 0x01)).u, 0x8001);
	EXPECT_EQ(decoded(MODBUS_UINT16, MODBUS_CDAB, BYTES(0x80, 0x01)).u, 0x8001);
	EXPECT_EQ(decoded(MODBUS_UINT16, MODBUS_BADC, BYTES(0x80, 0x01)).u, 0x0180);
	EXPECT_EQ(decoded(MODBUS_UINT16, MODBUS_DCBA, BYTES(0x80, 0x01)).u, 0x0180);
	EXPECT_EQ(decoded(MODBUS_INT16, MODBUS_ABCD, BYTES(0x80, 0x01)).i, -32767);
	EXPECT_EQ(decoded(MODBUS_INT16, MODBUS_ABCD, BYTES(0x80, 0x01)).kind, VALUE_INT);
}

TEST(sixty_four_bits_follow_the_same_rule)
{
	EXPECT_EQ(decoded(MODBUS_UINT64, MODBUS_ABCD, BYTES(1, 2, 3, 4, 5, 6, 7, 8)).u, 0x0102030405060708ll);
	EXPECT_EQ(decoded(MODBUS_UINT64, MODBUS_CDAB, BYTES(7, 8, 5, 6, 3, 4, 1, 2)).u, 0x0102030405060708ll);
	EXPECT_EQ(decoded(MODBUS_UINT64, MODBUS_BADC, BYTES(2, 1, 4, 3, 6, 5, 8, 7)).u, 0x0102030405060708ll);
	EXPECT_EQ(decoded(MODBUS_UINT64, MODBUS_DCBA, BYTES(8, 7, 6, 5, 4, 3, 2, 1)).u, 0x0102030405060708ll);
	EXPECT_EQ(decoded(MODBUS_INT64, MODBUS_ABCD, BYTES(255, 255, 255, 255, 255, 255, 255, 255)).i, -1);
	EXPECT(decoded(MODBUS_FLOAT64, MODBUS_ABCD, BYTES(0x3F, 0xF8, 0, 0, 0, 0, 0, 0)).f == 1.5);
}

/* CD 6B 05 from 20 on: the outputs of section 6.1's example, the lowest address in the lowest bit. */
TEST(bits_of_a_table_come_lowest_first)
{
	struct bytes data = BYTES(0xCD, 0x6B, 0x05);

	EXPECT(decoded_bit(ADDRESS_COIL, 20, -1, data));
	EXPECT(!decoded_bit(ADDRESS_COIL, 21, -1, data));
	EXPECT(decoded_bit(ADDRESS_COIL, 27, -1, data));
	EXPECT(decoded_bit(ADDRESS_DISCRETE, 28, -1, data));
	EXPECT(!decoded_bit(ADDRESS_DISCRETE, 30, -1, data));
	EXPECT(decoded_bit(ADDRESS_DISCRETE, 38, -1, data));
}

TEST(a_bool_in_a_register_is_a_bit_or_the_whole)
{
	struct bytes data = BYTES(0x00, 0x00, 0x80, 0x01);

	EXPECT(!decoded_bit(ADDRESS_INPUT, 20, -1, data));
	EXPECT(decoded_bit(ADDRESS_INPUT, 21, -1, data));
	EXPECT(decoded_bit(ADDRESS_INPUT, 21, 0, data));
	EXPECT(!decoded_bit(ADDRESS_INPUT, 21, 1, data));
	EXPECT(decoded_bit(ADDRESS_INPUT, 21, 15, data));
}

TEST(a_field_outside_the_data_is_an_error)
{
	struct modbus_field f = {.address = {.space = ADDRESS_HOLDING, .offset = 11, .bit = -1},
				 .type = MODBUS_UINT32};
	struct modbus_field coil = {.address = {.space = ADDRESS_COIL, .offset = 16, .bit = -1},
				    .type = MODBUS_BOOL};
	struct value v;

	EXPECT_EQ(modbus_field_decode(&f, 10, BYTES(0, 0, 0, 0, 0, 0), &v), 0);
	EXPECT_EQ(modbus_field_decode(&f, 10, BYTES(0, 0, 0, 0, 0), &v), -ERANGE);
	EXPECT_EQ(modbus_field_decode(&f, 10, BYTES(0), &v), -ERANGE);
	EXPECT_EQ(modbus_field_decode(&f, 12, BYTES(0, 0, 0, 0), &v), -ERANGE);
	EXPECT_EQ(modbus_field_decode(&coil, 0, BYTES(0, 0), &v), -ERANGE);
	EXPECT_EQ(modbus_field_decode(&coil, 0, BYTES(0, 0, 1), &v), 0);
}

TEST(a_field_knows_its_size_and_its_faults)
{
	struct modbus_field f = {.address = {.space = ADDRESS_HOLDING, .offset = 65534, .bit = -1},
				 .type = MODBUS_FLOAT32};

	EXPECT_EQ(modbus_field_count(&f), 2);
	EXPECT(modbus_field_fault(&f) == NULL);
	f.address.offset = 65535;
	EXPECT(modbus_field_fault(&f) != NULL);
	f = (struct modbus_field){.address = {.space = ADDRESS_COIL, .bit = -1}, .type = MODBUS_INT16};
	EXPECT(modbus_field_fault(&f) != NULL);
	f.type = MODBUS_BOOL;
	EXPECT(modbus_field_fault(&f) == NULL);
	EXPECT_EQ(modbus_field_count(&f), 1);
	f = (struct modbus_field){.address = {.space = ADDRESS_INPUT, .bit = 3}, .type = MODBUS_UINT16};
	EXPECT(modbus_field_fault(&f) != NULL);
}
