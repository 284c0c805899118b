/* Blocks of a pcapng file, byte for byte. */
#include "core/pcapng.h"

#include <errno.h>
#include <string.h>

#include "tests/test.h"

TEST(a_section_names_the_program)
{
	static const uint8_t golden[] = {
		0x0a, 0x0d, 0x0d, 0x0a, 0,    0,    0,    40,   0x1a, 0x2b, 0x3c, 0x4d, 0, 1,
		0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,    4,    0, 3,
		'r',  'i',  'n',  0,    0,    0,    0,    0,    0,    0,    0,    40,
	};
	uint8_t out[64];
	struct writer w = writer_of(out, sizeof(out));

	EXPECT_EQ(pcapng_section(&w, "rin"), 0);
	EXPECT_EQ(w.at - out, sizeof(golden));
	EXPECT_MEM(out, golden, sizeof(golden));
}

TEST(an_interface_has_nanoseconds)
{
	static const uint8_t golden[] = {
		0, 0, 0, 1, 0,   0,   0,   52,  0,   101, 0,   0, 0, 0,
		0, 0, 0, 2, 0,   5,   'p', 'l', 'a', 'n', 't', 0, 0, 0, /* if_name */
		0, 3, 0, 4, 'M', 'Q', 'T', 'T',                         /* if_description */
		0, 9, 0, 1, 9,   0,   0,   0,                           /* if_tsresol: 10^-9 */
		0, 0, 0, 0, 0,   0,   0,   52,
	};
	uint8_t out[64];
	struct writer w = writer_of(out, sizeof(out));

	EXPECT_EQ(pcapng_interface(&w, PCAPNG_LINK_RAW, "plant", "MQTT"), 0);
	EXPECT_EQ(w.at - out, sizeof(golden));
	EXPECT_MEM(out, golden, sizeof(golden));
}

TEST(a_packet_has_its_time_its_sizes_direction_and_comment)
{
	static const uint8_t golden[] = {
		0, 0, 0, 6, 0,   0,   0,   60,  0,   0,   0, 2, 1, 2, 3, 4, 5, 6, 7, 8,  0,
		0, 0, 3, 0, 0,   0,   9,   'a', 'b', 'c', 0, 0, 2, 0, 4, 0, 0, 0, 2, /* epb_flags: outbound */
		0, 1, 0, 5, 'h', 'e', 'l', 'l', 'o', 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 60,
	};
	const struct pcapng_packet p = {
		.interface_idx = 2,
		.time = {.ns = 0x0102030405060708},
		.direction = PCAPNG_OUTBOUND,
		.kept = bytes_of_text("abc"),
		.length_bytes = 9,
		.comment = bytes_of_text("hello"),
	};
	uint8_t out[64];
	struct writer w = writer_of(out, sizeof(out));

	EXPECT_EQ(pcapng_packet(&w, &p), 0);
	EXPECT_EQ(w.at - out, sizeof(golden));
	EXPECT_MEM(out, golden, sizeof(golden));
}

TEST(nothing_is_written_beyond_the_buffer)
{
	const struct pcapng_packet p = {.kept = bytes_of_text("abcdefgh"),
					.length_bytes = 8,
					.comment = bytes_of_text("text"),
					.direction = PCAPNG_INBOUND};
	uint8_t out[128];

	for (size_t room = 0; room < 60; room++) {
		struct writer w = writer_of(out, room);

		memset(out, 0x55, sizeof(out));
		EXPECT_EQ(pcapng_packet(&w, &p), room < 60 - 0 ? -EMSGSIZE : 0);
		for (size_t i = room; i < sizeof(out); i++)
			EXPECT_EQ(out[i], 0x55);
		w = writer_of(out, room < 35 ? room : 35);
		EXPECT_EQ(pcapng_section(&w, "abc"), -EMSGSIZE);
		w = writer_of(out, room < 35 ? room : 35);
		EXPECT_EQ(pcapng_interface(&w, PCAPNG_LINK_RAW, "a", "b"), -EMSGSIZE);
	}
	struct writer w = writer_of(out, 60);

	EXPECT_EQ(pcapng_packet(&w, &p), 0);
}

TEST(a_comment_is_cut_at_its_limit)
{
	static uint8_t text[PCAPNG_TEXT_BYTES_MAX + 1], out[4096];
	struct pcapng_packet p = {.comment = bytes_of(text, sizeof(text)), .direction = PCAPNG_INBOUND};
	struct writer a = writer_of(out, sizeof(out)), b = writer_of(out + 2048, 2048);

	EXPECT_EQ(pcapng_packet(&a, &p), 0);
	p.comment.size--;
	EXPECT_EQ(pcapng_packet(&b, &p), 0);
	EXPECT_EQ(a.at - out, b.at - (out + 2048));
	EXPECT_LE(a.at - out, PCAPNG_OVERHEAD_BYTES);
}
