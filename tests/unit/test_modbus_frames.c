/* Framing on both transports; CRC vectors from MODBUS over Serial Line V1.02, section 6.2.2 and elsewhere. */
#include "tests/test.h"

#include <errno.h>

#include "proto/modbus_rtu.h"
#include "proto/modbus_tcp.h"

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define T35_NS     1750000ull

static struct mono at_us(uint64_t us)
{
	return (struct mono){.ns = NS_PER_S + us * NS_PER_US};
}

/* ---- TCP */

TEST(a_tcp_frame_has_the_header_of_the_guide)
{
	uint8_t buffer[16];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct modbus_tcp_frame f = {.transaction_id = 0x1501, .unit = 0xFF, .pdu = BYTES(0x03, 0, 4, 0, 1)};

	EXPECT_EQ(modbus_tcp_encode(&f, &w), 0);
	EXPECT_EQ(w.at - buffer, 12);
	EXPECT_MEM(buffer, BYTES(0x15, 0x01, 0, 0, 0, 6, 0xFF, 0x03, 0, 4, 0, 1).ptr, 12);
}

static const uint8_t two_frames[] = {0, 1, 0, 0, 0, 5, 9, 3, 2, 0xAA, 0xBB, 0, 2, 0, 0, 0, 3, 7, 0x83, 2};

TEST(tcp_frames_are_found_at_every_split)
{
	for (size_t cut = 0; cut <= sizeof(two_frames); cut++) {
		struct modbus_tcp_parser p = {0};
		struct modbus_tcp_frame f;
		struct bytes parts[2] = {bytes_of(two_frames, cut),
					 bytes_of(two_frames + cut, sizeof(two_frames) - cut)};
		int found = 0;

		for (int i = 0; i < 2; i++) {
			while (modbus_tcp_feed(&p, &parts[i], &f) == 1) {
				found++;
				EXPECT_EQ(f.transaction_id, found);
				EXPECT_EQ(f.unit, found == 1 ? 9 : 7);
				EXPECT_EQ(f.pdu.size, found == 1 ? 4 : 2);
			}
			EXPECT_EQ(parts[i].size, 0);
		}
		EXPECT_EQ(found, 2);
	}
}

static int feed_header(uint8_t protocol, uint16_t length)
{
	struct modbus_tcp_parser p = {0};
	struct modbus_tcp_frame f;
	uint8_t header[7] = {0, 1, 0, protocol, (uint8_t)(length >> 8), (uint8_t)length, 1};
	struct bytes input = bytes_of(header, sizeof(header));

	return modbus_tcp_feed(&p, &input, &f);
}

TEST(a_broken_tcp_header_breaks_the_stream_for_good)
{
	struct modbus_tcp_parser p = {0};
	struct modbus_tcp_frame f;
	struct bytes bad = BYTES(0, 1, 0, 1, 0, 3, 1, 3, 1);
	struct bytes good = bytes_of(two_frames, sizeof(two_frames));

	EXPECT_EQ(feed_header(0, 0), -EPROTO);
	EXPECT_EQ(feed_header(0, 1), -EPROTO);
	EXPECT_EQ(feed_header(0, 2), 0);
	EXPECT_EQ(feed_header(0, 254), 0);
	EXPECT_EQ(feed_header(0, 255), -EPROTO);
	EXPECT_EQ(feed_header(0, 65535), -EPROTO);
	EXPECT_EQ(modbus_tcp_feed(&p, &bad, &f), -EPROTO);
	EXPECT_EQ(modbus_tcp_feed(&p, &good, &f), -EPROTO);
	modbus_tcp_reset(&p);
	EXPECT_EQ(modbus_tcp_feed(&p, &good, &f), 1);
}

TEST(the_longest_tcp_frame_fits)
{
	struct modbus_tcp_parser p = {0};
	struct modbus_tcp_frame f;
	uint8_t frame[260] = {0, 1, 0, 0, 0, 254, 1};
	struct bytes input = bytes_of(frame, sizeof(frame));

	EXPECT_EQ(modbus_tcp_feed(&p, &input, &f), 1);
	EXPECT_EQ(f.pdu.size, 253);
	EXPECT_EQ(input.size, 0);
}

/* ---- RTU */

static uint16_t crc_by_the_book(struct bytes b)
{
	uint16_t crc = 0xFFFF;

	for (size_t i = 0; i < b.size; i++) {
		crc ^= b.ptr[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xA001) : (uint16_t)(crc >> 1);
	}
	return crc;
}

TEST(the_crc_is_that_of_the_specification)
{
	uint8_t all[256];

	EXPECT_EQ(modbus_crc16(BYTES(0x02, 0x07)), 0x1241); /* sent 41 12 */
	EXPECT_EQ(modbus_crc16((struct bytes){0}), 0xFFFF);
	EXPECT_EQ(modbus_crc16(bytes_of_text("123456789")), 0x4B37); /* the catalogue's check value */
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)(i * 7);
	for (size_t size = 0; size <= 256; size++)
		EXPECT_EQ(modbus_crc16(bytes_of(all, size)), crc_by_the_book(bytes_of(all, size)));
}

TEST(an_rtu_frame_ends_with_its_crc_low_byte_first)
{
	uint8_t buffer[8];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct modbus_rtu_frame f = {.unit = 0x02, .pdu = BYTES(0x07)};

	EXPECT_EQ(modbus_rtu_encode(&f, &w), 0);
	EXPECT_EQ(w.at - buffer, 4);
	EXPECT_MEM(buffer, BYTES(0x02, 0x07, 0x41, 0x12).ptr, 4);
}

TEST(silences_follow_the_baud_up_to_19200_and_are_fixed_above)
{
	struct modbus_rtu_timing t = modbus_rtu_timing(9600, 11);

	EXPECT_EQ(t.char_ns, 1145834);
	EXPECT_EQ(t.t15_ns, 1718750);
	EXPECT_EQ(t.t35_ns, 4010417);
	t = modbus_rtu_timing(19200, modbus_rtu_character_bits(8, 'E', 1));
	EXPECT_EQ(t.t35_ns, 2005209);
	t = modbus_rtu_timing(115200, modbus_rtu_character_bits(8, 'N', 1));
	EXPECT_EQ(t.char_ns, 86806);
	EXPECT_EQ(t.t15_ns, 750000);
	EXPECT_EQ(t.t35_ns, 1750000);
	t = modbus_rtu_timing(4000000, 10);
	EXPECT_EQ(t.char_ns, 2500);
}

TEST(an_exchange_lasts_its_bytes_and_two_silences)
{
	struct modbus_rtu_timing t = modbus_rtu_timing(19200, 11);
	struct modbus_request q = {.function = MODBUS_READ_HOLDING, .count = 10};

	/* request 8, response 25 bytes */
	EXPECT_EQ(modbus_rtu_exchange_ns(&t, &q), 33 * t.char_ns + 2 * t.t35_ns);
}

static size_t framed(uint8_t *buffer, uint8_t unit, struct bytes pdu)
{
	struct writer w = writer_of(buffer, MODBUS_RTU_FRAME_BYTES_MAX);
	struct modbus_rtu_frame f = {.unit = unit, .pdu = pdu};

	EXPECT_EQ(modbus_rtu_encode(&f, &w), 0);
	return (size_t)(w.at - buffer);
}

static void expect_found_byte_by_byte(struct bytes pdu)
{
	uint8_t buffer[MODBUS_RTU_FRAME_BYTES_MAX];
	size_t size_bytes = framed(buffer, 17, pdu);
	struct modbus_rtu_parser p = {.t35_ns = T35_NS};
	struct modbus_rtu_frame f;

	for (size_t i = 0; i < size_bytes; i++) {
		struct bytes one = bytes_of(buffer + i, 1);

		EXPECT_EQ(modbus_rtu_feed(&p, &one, at_us(i), &f), i + 1 == size_bytes);
		EXPECT_EQ(one.size, 0);
	}
	EXPECT_EQ(f.unit, 17);
	EXPECT(bytes_equal(f.pdu, pdu));
}

TEST(responses_tell_their_own_length)
{
	expect_found_byte_by_byte(BYTES(0x01, 0x03, 0xCD, 0x6B, 0x05));
	expect_found_byte_by_byte(BYTES(0x03, 0x02, 0xAA, 0xBB));
	expect_found_byte_by_byte(BYTES(0x83, 0x02));
	expect_found_byte_by_byte(BYTES(0x05, 0x00, 0xAC, 0xFF, 0x00));
	expect_found_byte_by_byte(BYTES(0x10, 0x00, 0x01, 0x00, 0x02));
	expect_found_byte_by_byte(BYTES(0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x25));
}

TEST(two_rtu_frames_in_one_read_are_two_frames)
{
	uint8_t buffer[2 * MODBUS_RTU_FRAME_BYTES_MAX];
	size_t size_bytes = framed(buffer, 1, BYTES(0x03, 0x02, 1, 2));
	struct modbus_rtu_parser p = {.t35_ns = T35_NS};
	struct modbus_rtu_frame f;
	struct bytes input;

	size_bytes += framed(buffer + size_bytes, 2, BYTES(0x84, 0x01));
	input = bytes_of(buffer, size_bytes);
	EXPECT_EQ(modbus_rtu_feed(&p, &input, at_us(0), &f), 1);
	EXPECT_EQ(f.unit, 1);
	EXPECT_EQ(modbus_rtu_feed(&p, &input, at_us(0), &f), 1);
	EXPECT_EQ(f.unit, 2);
	EXPECT_EQ(modbus_rtu_feed(&p, &input, at_us(0), &f), 0);
}

TEST(after_garbage_only_silence_of_t35_lets_a_frame_in)
{
	uint8_t buffer[MODBUS_RTU_FRAME_BYTES_MAX];
	size_t size_bytes = framed(buffer, 1, BYTES(0x03, 0x02, 1, 2));
	struct modbus_rtu_parser p = {.t35_ns = T35_NS};
	struct modbus_rtu_frame f;
	struct bytes garbage = BYTES(0x00, 0x55), input = bytes_of(buffer, size_bytes);

	EXPECT_EQ(modbus_rtu_feed(&p, &garbage, at_us(0), &f), -EPROTO);
	EXPECT_EQ(garbage.size, 0);
	EXPECT_EQ(modbus_rtu_feed(&p, &input, at_us(1749), &f), 0);
	input = bytes_of(buffer, size_bytes);
	EXPECT_EQ(modbus_rtu_feed(&p, &input, at_us(1749 + 1749), &f), 0); /* each byte prolongs it */
	input = bytes_of(buffer, size_bytes);
	EXPECT_EQ(modbus_rtu_feed(&p, &input, at_us(1749 + 1749 + 1750), &f), 1);
}

TEST(any_flipped_bit_is_noticed)
{
	uint8_t good[MODBUS_RTU_FRAME_BYTES_MAX], buffer[MODBUS_RTU_FRAME_BYTES_MAX];
	size_t size_bytes = framed(good, 1, BYTES(0x03, 0x04, 1, 2, 3, 4));

	for (size_t bit = 0; bit < size_bytes * 8; bit++) {
		struct modbus_rtu_parser p = {.t35_ns = T35_NS};
		struct modbus_rtu_frame f;
		struct bytes input = bytes_of(buffer, size_bytes);

		memcpy(buffer, good, size_bytes);
		buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
		EXPECT_NE(modbus_rtu_feed(&p, &input, at_us(0), &f), 1);
	}
}
