/* The byte vectors are the examples of the Modbus Application Protocol V1.1b3, section 6, each request with its response. */
#include "tests/test.h"

#include <errno.h>

#include "proto/modbus_pdu.h"

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void expect_encoded(const struct modbus_request *q, struct bytes expected)
{
	uint8_t buffer[MODBUS_PDU_BYTES_MAX];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct modbus_request back;

	EXPECT_EQ(modbus_request_encode(q, &w), 0);
	EXPECT_EQ(w.at - buffer, expected.size);
	EXPECT_MEM(buffer, expected.ptr, expected.size);
	EXPECT_EQ(modbus_request_bytes(q), expected.size);
	EXPECT_EQ(modbus_request_decode(expected, &back), 0);
	EXPECT_EQ(back.function, q->function);
	EXPECT_EQ(back.address, q->address);
	EXPECT_EQ(back.count, q->count);
	EXPECT(bytes_equal(back.data, q->data));
}

static struct modbus_response expect_response(const struct modbus_request *q, struct bytes pdu, int rc)
{
	struct modbus_response r;

	EXPECT_EQ(modbus_response_decode(q, pdu, &r), rc);
	EXPECT_EQ(r.why != NULL, rc == -EPROTO);
	EXPECT_EQ(r.exception != 0, rc == -EREMOTEIO);
	if (rc == 0)
		EXPECT_EQ(modbus_response_bytes(q), pdu.size);
	return r;
}

TEST(read_coils_is_as_in_section_6_1)
{
	struct modbus_request q = {.function = MODBUS_READ_COILS, .address = 0x13, .count = 0x13};
	struct modbus_response r;

	expect_encoded(&q, BYTES(0x01, 0x00, 0x13, 0x00, 0x13));
	r = expect_response(&q, BYTES(0x01, 0x03, 0xCD, 0x6B, 0x05), 0);
	EXPECT_EQ(r.data.size, 3);
	EXPECT_EQ(r.data.ptr[0], 0xCD);
}

TEST(read_discrete_inputs_is_as_in_section_6_2)
{
	struct modbus_request q = {.function = MODBUS_READ_DISCRETES, .address = 0xC4, .count = 0x16};

	expect_encoded(&q, BYTES(0x02, 0x00, 0xC4, 0x00, 0x16));
	expect_response(&q, BYTES(0x02, 0x03, 0xAC, 0xDB, 0x35), 0);
}

TEST(read_holding_registers_is_as_in_section_6_3)
{
	struct modbus_request q = {.function = MODBUS_READ_HOLDING, .address = 0x6B, .count = 3};
	struct modbus_response r;

	expect_encoded(&q, BYTES(0x03, 0x00, 0x6B, 0x00, 0x03));
	r = expect_response(&q, BYTES(0x03, 0x06, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64), 0);
	EXPECT_EQ(r.data.size, 6);
	EXPECT_EQ(r.data.ptr[5], 0x64);
}

TEST(read_input_registers_is_as_in_section_6_4)
{
	struct modbus_request q = {.function = MODBUS_READ_INPUT, .address = 8, .count = 1};

	expect_encoded(&q, BYTES(0x04, 0x00, 0x08, 0x00, 0x01));
	expect_response(&q, BYTES(0x04, 0x02, 0x00, 0x0A), 0);
}

TEST(writes_are_as_in_sections_6_5_and_6_6)
{
	struct modbus_request coil = {.function = MODBUS_WRITE_COIL, .address = 0xAC, .value = 1};
	struct modbus_request reg = {.function = MODBUS_WRITE_REGISTER, .address = 1, .value = 3};

	expect_encoded(&coil, BYTES(0x05, 0x00, 0xAC, 0xFF, 0x00));
	expect_response(&coil, BYTES(0x05, 0x00, 0xAC, 0xFF, 0x00), 0);
	expect_response(&coil, BYTES(0x05, 0x00, 0xAC, 0x00, 0x00), -EPROTO);
	expect_encoded(&reg, BYTES(0x06, 0x00, 0x01, 0x00, 0x03));
	expect_response(&reg, BYTES(0x06, 0x00, 0x01, 0x00, 0x03), 0);
	expect_response(&reg, BYTES(0x06, 0x00, 0x02, 0x00, 0x03), -EPROTO);
}

TEST(multiple_writes_are_as_in_sections_6_11_and_6_12)
{
	struct modbus_request coils = {
		.function = MODBUS_WRITE_COILS, .address = 0x13, .count = 10, .data = BYTES(0xCD, 0x01)};
	struct modbus_request regs = {.function = MODBUS_WRITE_REGISTERS,
				      .address = 1,
				      .count = 2,
				      .data = BYTES(0x00, 0x0A, 0x01, 0x02)};

	expect_encoded(&coils, BYTES(0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0x01));
	expect_response(&coils, BYTES(0x0F, 0x00, 0x13, 0x00, 0x0A), 0);
	expect_encoded(&regs, BYTES(0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A, 0x01, 0x02));
	expect_response(&regs, BYTES(0x10, 0x00, 0x01, 0x00, 0x02), 0);
	expect_response(&regs, BYTES(0x10, 0x00, 0x01, 0x00, 0x01), -EPROTO);
}

TEST(mask_write_and_read_write_are_as_in_sections_6_16_and_6_17)
{
	struct modbus_request mask = {
		.function = MODBUS_MASK_REGISTER, .address = 4, .and_mask = 0xF2, .or_mask = 0x25};
	struct modbus_request both = {.function = MODBUS_READ_WRITE_REGISTERS,
				      .address = 3,
				      .count = 6,
				      .write_address = 0x0E,
				      .write_count = 3,
				      .data = BYTES(0x00, 0xFF, 0x00, 0xFF, 0x00, 0xFF)};
	struct modbus_response r;

	expect_encoded(&mask, BYTES(0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x25));
	expect_response(&mask, BYTES(0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x25), 0);
	expect_response(&mask, BYTES(0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x24), -EPROTO);
	expect_encoded(&both, BYTES(0x17, 0x00, 0x03, 0x00, 0x06, 0x00, 0x0E, 0x00, 0x03, 0x06, 0x00, 0xFF,
				    0x00, 0xFF, 0x00, 0xFF));
	r = expect_response(
		&both,
		BYTES(0x17, 0x0C, 0x00, 0xFE, 0x0A, 0xCD, 0x00, 0x01, 0x00, 0x03, 0x00, 0x0D, 0x00, 0xFF), 0);
	EXPECT_EQ(r.data.size, 12);
}

TEST(an_exception_carries_its_code_and_text)
{
	struct modbus_request q = {.function = MODBUS_READ_COILS, .address = 0x4A1, .count = 1};
	struct modbus_response r = expect_response(&q, BYTES(0x81, 0x02),
						   -EREMOTEIO); /* section 7's example */

	EXPECT_EQ(r.exception, 2);
	EXPECT_TEXT(modbus_exception_text(r.exception), "illegal data address");
	EXPECT_TEXT(modbus_exception_text(11), "gateway target device failed to respond");
	EXPECT_TEXT(modbus_exception_text(9), "unknown exception");
	EXPECT_TEXT(modbus_exception_text(255), "unknown exception");
	expect_response(&q, BYTES(0x81, 0x00), -EPROTO);
	expect_response(&q, BYTES(0x81), -EPROTO);
	expect_response(&q, BYTES(0x81, 0x02, 0x00), -EPROTO);
	expect_response(&q, BYTES(0x82, 0x02), -EPROTO); /* of another function */
}

TEST(a_response_that_does_not_fit_its_request_is_refused)
{
	struct modbus_request q = {.function = MODBUS_READ_HOLDING, .address = 0, .count = 2};

	expect_response(&q, BYTES(0x03, 0x04, 1, 2, 3, 4), 0);
	expect_response(&q, (struct bytes){0}, -EPROTO);
	expect_response(&q, BYTES(0x03), -EPROTO);
	expect_response(&q, BYTES(0x04, 0x04, 1, 2, 3, 4), -EPROTO);
	expect_response(&q, BYTES(0x03, 0x02, 1, 2), -EPROTO);
	expect_response(&q, BYTES(0x03, 0x04, 1, 2, 3), -EPROTO);
	expect_response(&q, BYTES(0x03, 0x04, 1, 2, 3, 4, 5), -EPROTO);
	expect_response(&q, BYTES(0x03, 0x05, 1, 2, 3, 4), -EPROTO);
}

static int encode(enum modbus_function function, uint16_t address, uint16_t count)
{
	uint8_t buffer[MODBUS_PDU_BYTES_MAX];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct modbus_request q = {.function = function, .address = address, .count = count};

	return modbus_request_encode(&q, &w);
}

TEST(counts_stop_at_the_limits_of_the_protocol)
{
	EXPECT_EQ(encode(MODBUS_READ_COILS, 0, 2000), 0);
	EXPECT_EQ(encode(MODBUS_READ_COILS, 0, 2001), -EINVAL);
	EXPECT_EQ(encode(MODBUS_READ_DISCRETES, 0, 0), -EINVAL);
	EXPECT_EQ(encode(MODBUS_READ_HOLDING, 0, 125), 0);
	EXPECT_EQ(encode(MODBUS_READ_HOLDING, 0, 126), -EINVAL);
	EXPECT_EQ(encode(MODBUS_READ_INPUT, 65535, 1), 0);
	EXPECT_EQ(encode(MODBUS_READ_INPUT, 65535, 2), -EINVAL);
	EXPECT_EQ(encode(MODBUS_WRITE_REGISTERS, 0, 1), -EINVAL); /* without its data */
}

TEST(an_encoder_without_room_says_so)
{
	uint8_t buffer[4];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct modbus_request q = {.function = MODBUS_READ_COILS, .count = 1};

	EXPECT_EQ(modbus_request_encode(&q, &w), -ENOSPC);
}

TEST(a_server_answers_bad_requests_with_the_right_exception)
{
	struct modbus_request q;

	EXPECT_EQ(modbus_request_decode((struct bytes){0}, &q), MODBUS_ILLEGAL_FUNCTION);
	EXPECT_EQ(modbus_request_decode(BYTES(0x63, 0, 0, 0, 1), &q), MODBUS_ILLEGAL_FUNCTION);
	EXPECT_EQ(modbus_request_decode(BYTES(0x03, 0, 0, 0, 126), &q), MODBUS_ILLEGAL_VALUE);
	EXPECT_EQ(modbus_request_decode(BYTES(0x03, 0, 0, 0), &q), MODBUS_ILLEGAL_VALUE);
	EXPECT_EQ(modbus_request_decode(BYTES(0x03, 0xFF, 0xFF, 0, 2), &q), MODBUS_ILLEGAL_ADDRESS);
	EXPECT_EQ(modbus_request_decode(BYTES(0x05, 0, 0, 0x12, 0), &q), MODBUS_ILLEGAL_VALUE);
	EXPECT_EQ(modbus_request_decode(BYTES(0x10, 0, 0, 0, 2, 4, 1, 2, 3), &q), MODBUS_ILLEGAL_VALUE);
}
