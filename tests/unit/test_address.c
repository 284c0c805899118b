#include "tests/test.h"

#include <errno.h>
#include <string.h>

#include "core/address.h"
#include "core/value.h"

static struct address parsed(const char *text)
{
	struct address a = {0};
	const char *why = NULL;

	ck_assert_msg(address_parse(text, &a, &why) == 0, "%s: %s", text, why);
	EXPECT(why == NULL);
	return a;
}

static void expect(const char *text, enum address_space space, uint16_t offset, int8_t bit)
{
	struct address a = parsed(text);

	EXPECT_EQ(a.space, space);
	EXPECT_EQ(a.offset, offset);
	EXPECT_EQ(a.bit, bit);
}

static void expect_refused(const char *text, const char *part_of_why)
{
	struct address a = {.offset = 777};
	const char *why = NULL;

	ck_assert_msg(address_parse(text, &a, &why) == -EINVAL, "%s was taken", text);
	ck_assert_msg(strstr(why, part_of_why) != NULL, "%s: %s", text, why);
	EXPECT_EQ(a.offset, 777); /* untouched */
}

TEST(named_tables_count_from_zero)
{
	expect("coil:0", ADDRESS_COIL, 0, -1);
	expect("discrete:7", ADDRESS_DISCRETE, 7, -1);
	expect("input:52", ADDRESS_INPUT, 52, -1);
	expect("holding:65535", ADDRESS_HOLDING, 65535, -1);
}

TEST(a_register_may_name_its_bit)
{
	expect("holding:100.3", ADDRESS_HOLDING, 100, 3);
	expect("input:0.15", ADDRESS_INPUT, 0, 15);
	expect("40101.0", ADDRESS_HOLDING, 100, 0);
	expect_refused("holding:1.16", "0 to 15");
	expect_refused("holding:1.", "0 to 15");
	expect_refused("holding:1.003", "0 to 15");
	expect_refused("coil:1.3", "a bit already");
}

TEST(catalogue_numbers_count_from_one)
{
	expect("40001", ADDRESS_HOLDING, 0, -1);
	expect("400001", ADDRESS_HOLDING, 0, -1);
	expect("49999", ADDRESS_HOLDING, 9998, -1);
	expect("465536", ADDRESS_HOLDING, 65535, -1);
	expect("30001", ADDRESS_INPUT, 0, -1);
	expect("10001", ADDRESS_DISCRETE, 0, -1);
	expect("00001", ADDRESS_COIL, 0, -1);
	expect("000010", ADDRESS_COIL, 9, -1);
	expect_refused("40000", "count from one");
	expect_refused("465537", "highest");
	expect_refused("20001", "first digit");
}

TEST(anything_else_is_refused_with_a_reason)
{
	expect_refused("", "coil:");
	expect_refused("1", "five or six");
	expect_refused("4000001", "five or six");
	expect_refused("99999999999999999999", "five or six");
	expect_refused("holding", "coil:");
	expect_refused("holding:", "number is missing");
	expect_refused("holding:-1", "number is missing");
	expect_refused("holding:65536", "65535");
	expect_refused("holding:4294967296", "65535");
	expect_refused("holding: 1", "number is missing");
	expect_refused("holding:1 ", "after the address");
	expect_refused("holding:1.2.3", "after the address");
	expect_refused("Holding:1", "coil:");
	expect_refused("register:1", "coil:");
}

TEST(formatting_gives_the_canonical_text_back)
{
	char text[ADDRESS_TEXT_BYTES];
	struct address a = parsed("40101.12");

	address_format(&a, text);
	EXPECT_TEXT(text, "holding:100.12");
	a = parsed("discrete:65535");
	address_format(&a, text);
	EXPECT_TEXT(text, "discrete:65535");
}

TEST(values_become_doubles)
{
	EXPECT(value_as_double(value_of_bool(true)) == 1.0);
	EXPECT(value_as_double(value_of_int(-5)) == -5.0);
	EXPECT(value_as_double(value_of_uint(UINT32_MAX)) == 4294967295.0);
	EXPECT(value_as_double(value_of_float32(0.5f)) == 0.5);
	EXPECT(value_as_double((struct value){0}) == 0.0);
}
