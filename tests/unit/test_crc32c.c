/* Includes the .c file, to reach both ways of computing on a processor that would take one of them only. */
#include "core/crc32c.c"

#include "core/prng.h"
#include "tests/test.h"

/* RFC 3720 B.4, whose sums are printed there byte by byte, the lowest first. */
TEST(the_vectors_of_rfc_3720_have_their_sums)
{
	uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
	static const uint8_t read_command[48] = {0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
						 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00,
						 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00,
						 0x00, 0x18, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
						 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	EXPECT_EQ(crc32c(0, zeros, 32), 0x8a9136aa);
	EXPECT_EQ(crc32c(0, ones, 32), 0x62a8ab43);
	EXPECT_EQ(crc32c(0, up, 32), 0x46dd794e);
	EXPECT_EQ(crc32c(0, down, 32), 0x113fdb5c);
	EXPECT_EQ(crc32c(0, read_command, 48), 0xd9963a56);
	EXPECT_EQ(crc32c(0, "123456789", 9), 0xe3069283);
}

TEST(the_table_alone_has_the_same_sum)
{
	EXPECT_EQ(~by_table(~0u, (const uint8_t *)"123456789", 9), 0xe3069283);
}

TEST(every_entry_of_the_table_is_the_remainder_of_its_byte)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t remainder = byte;

		for (int bit = 0; bit < 8; bit++)
			remainder = remainder >> 1 ^ (remainder & 1 ? 0x82f63b78 : 0);
		EXPECT_EQ(remainders[byte], remainder);
	}
}

TEST(table_and_instruction_agree_whatever_the_size_and_alignment)
{
#ifdef __x86_64__
	uint8_t noise[512];
	struct prng prng = {.state = 1};

	if (!__builtin_cpu_supports("sse4.2"))
		return;
	for (int i = 0; i < 512; i++)
		noise[i] = (uint8_t)prng_next(&prng);
	for (size_t from = 0; from < 16; from++)
		for (size_t size = 0; size + from <= 512; size++) {
			uint32_t crc = (uint32_t)prng_next(&prng);

			EXPECT_EQ(by_instruction(crc, noise + from, size), by_table(crc, noise + from, size));
		}
#endif
}

TEST(a_sum_goes_on_where_the_last_one_ended)
{
	uint8_t noise[300];
	struct prng prng = {.state = 2};

	for (int i = 0; i < 300; i++)
		noise[i] = (uint8_t)prng_next(&prng);
	for (size_t cut = 0; cut <= 300; cut++)
		EXPECT_EQ(crc32c(crc32c(0, noise, cut), noise + cut, 300 - cut), crc32c(0, noise, 300));
}

TEST(the_sum_of_nothing_is_nothing)
{
	EXPECT_EQ(crc32c(0, NULL, 0), 0);
	EXPECT_EQ(crc32c(0x12345678, NULL, 0), 0x12345678);
}

TEST(every_bit_that_flips_changes_the_sum)
{
	uint8_t record[64] = "a record";
	uint32_t sum = crc32c(0, record, sizeof(record));

	for (size_t bit = 0; bit < 8 * sizeof(record); bit++) {
		record[bit / 8] ^= (uint8_t)(1u << bit % 8);
		EXPECT_NE(crc32c(0, record, sizeof(record)), sum);
		record[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
