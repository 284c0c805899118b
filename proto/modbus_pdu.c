#include "proto/modbus_pdu.h"

#include <errno.h>

#define COIL_ON 0xFF00u

static size_t bit_bytes(size_t bit_count)
{
	return (bit_count + 7) / 8;
}

static bool range_ok(uint32_t address, uint32_t count, uint32_t count_max)
{
	return count >= 1 && count <= count_max && address + count <= 65536;
}

enum modbus_function modbus_read_function(enum address_space space)
{
	switch (space) {
	case ADDRESS_COIL: return MODBUS_READ_COILS;
	case ADDRESS_DISCRETE: return MODBUS_READ_DISCRETES;
	case ADDRESS_INPUT: return MODBUS_READ_INPUT;
	case ADDRESS_HOLDING: return MODBUS_READ_HOLDING;
	}
	UNREACHABLE();
}

uint16_t modbus_read_count_max(enum address_space space)
{
	return address_is_bits(space) ? MODBUS_READ_BITS_MAX : MODBUS_READ_REGISTERS_MAX;
}

/* Counts and data within the limits of sections 6.1 to 6.17? */
static bool request_ok(const struct modbus_request *q)
{
	switch (q->function) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES: return range_ok(q->address, q->count, MODBUS_READ_BITS_MAX);
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT: return range_ok(q->address, q->count, MODBUS_READ_REGISTERS_MAX);
	case MODBUS_WRITE_COIL:
	case MODBUS_WRITE_REGISTER:
	case MODBUS_MASK_REGISTER: return true;
	case MODBUS_WRITE_COILS:
		return range_ok(q->address, q->count, MODBUS_WRITE_BITS_MAX) &&
		       q->data.size == bit_bytes(q->count);
	case MODBUS_WRITE_REGISTERS:
		return range_ok(q->address, q->count, MODBUS_WRITE_REGISTERS_MAX) &&
		       q->data.size == q->count * 2u;
	case MODBUS_READ_WRITE_REGISTERS:
		return range_ok(q->address, q->count, MODBUS_READ_REGISTERS_MAX) &&
		       range_ok(q->write_address, q->write_count, MODBUS_WRITE23_REGISTERS_MAX) &&
		       q->data.size == q->write_count * 2u;
	}
	return false;
}

int modbus_request_encode(const struct modbus_request *request, struct writer *w)
{
	const struct modbus_request *q = request;

	if (!request_ok(q))
		return -EINVAL;
	write_u8(w, (uint8_t)q->function);
	write_u16(w, q->address);
	switch (q->function) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT: write_u16(w, q->count); break;
	case MODBUS_WRITE_COIL: write_u16(w, q->value ? COIL_ON : 0); break;
	case MODBUS_WRITE_REGISTER: write_u16(w, q->value); break;
	case MODBUS_MASK_REGISTER:
		write_u16(w, q->and_mask);
		write_u16(w, q->or_mask);
		break;
	case MODBUS_READ_WRITE_REGISTERS:
		write_u16(w, q->count);
		write_u16(w, q->write_address);
		write_u16(w, q->write_count);
		write_u8(w, (uint8_t)q->data.size);
		write_bytes(w, q->data.ptr, q->data.size);
		break;
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS:
		write_u16(w, q->count);
		write_u8(w, (uint8_t)q->data.size);
		write_bytes(w, q->data.ptr, q->data.size);
		break;
	}
	return w->failed ? -ENOSPC : 0;
}

/* The fields after the address; false: not the length or the form of this function. */
static bool decode_fields(struct modbus_request *q, struct reader *r)
{
	uint8_t data_bytes = 0;

	switch (q->function) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT: q->count = read_u16(r); break;
	case MODBUS_WRITE_COIL:
		q->value = read_u16(r);
		if (q->value != 0 && q->value != COIL_ON)
			return false;
		break;
	case MODBUS_WRITE_REGISTER: q->value = read_u16(r); break;
	case MODBUS_MASK_REGISTER:
		q->and_mask = read_u16(r);
		q->or_mask = read_u16(r);
		break;
	case MODBUS_READ_WRITE_REGISTERS:
		q->count = read_u16(r);
		q->write_address = read_u16(r);
		q->write_count = read_u16(r);
		data_bytes = read_u8(r);
		break;
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS:
		q->count = read_u16(r);
		data_bytes = read_u8(r);
		break;
	}
	q->data = read_bytes(r, data_bytes);
	return !r->failed && reader_left(r) == 0;
}

/* An enum holds known numbers only. */
static bool function_of(uint8_t number, enum modbus_function *out)
{
	static const enum modbus_function known[] = {
		MODBUS_READ_COILS,           MODBUS_READ_DISCRETES,  MODBUS_READ_HOLDING,
		MODBUS_READ_INPUT,           MODBUS_WRITE_COIL,      MODBUS_WRITE_REGISTER,
		MODBUS_WRITE_COILS,          MODBUS_WRITE_REGISTERS, MODBUS_MASK_REGISTER,
		MODBUS_READ_WRITE_REGISTERS,
	};

	for (size_t i = 0; i < ARRAY_COUNT(known); i++)
		if ((uint8_t)known[i] == number) {
			*out = known[i];
			return true;
		}
	return false;
}

int modbus_request_decode(struct bytes pdu, struct modbus_request *out)
{
	struct modbus_request q = {0};
	struct reader r = reader_of(pdu);

	if (!function_of(read_u8(&r), &q.function))
		return MODBUS_ILLEGAL_FUNCTION;
	q.address = read_u16(&r);
	if (!decode_fields(&q, &r))
		return MODBUS_ILLEGAL_VALUE;
	if (!request_ok(&q)) {
		/* A good count that runs past the end of the table is a matter of the address. */
		struct modbus_request from_zero = q;

		from_zero.address = 0;
		from_zero.write_address = 0;
		return request_ok(&from_zero) ? MODBUS_ILLEGAL_ADDRESS : MODBUS_ILLEGAL_VALUE;
	}
	*out = q;
	return 0;
}

size_t modbus_request_bytes(const struct modbus_request *request)
{
	switch (request->function) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT:
	case MODBUS_WRITE_COIL:
	case MODBUS_WRITE_REGISTER: return 5;
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS: return 6 + request->data.size;
	case MODBUS_MASK_REGISTER: return 7;
	case MODBUS_READ_WRITE_REGISTERS: return 10 + request->data.size;
	}
	UNREACHABLE();
}

size_t modbus_response_bytes(const struct modbus_request *request)
{
	switch (request->function) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES: return 2 + bit_bytes(request->count);
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT:
	case MODBUS_READ_WRITE_REGISTERS: return 2 + request->count * 2u;
	case MODBUS_WRITE_COIL:
	case MODBUS_WRITE_REGISTER:
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS: return 5;
	case MODBUS_MASK_REGISTER: return 7;
	}
	UNREACHABLE();
}

static int broken(struct modbus_response *out, const char *why)
{
	out->why = why;
	return -EPROTO;
}

/* Reads and 23: byte count and so many bytes. */
static int decode_data(const struct modbus_request *q, struct reader *r, struct modbus_response *out)
{
	size_t expected_bytes = modbus_response_bytes(q) - 2;

	if (read_u8(r) != expected_bytes)
		return broken(out, "the byte count is not what was asked for");
	out->data = read_bytes(r, expected_bytes);
	return 0;
}

/* Writes: the response repeats the address and the second field of the request. */
static int decode_echo(const struct modbus_request *q, struct reader *r, uint16_t second,
		       struct modbus_response *out)
{
	if (read_u16(r) != q->address)
		return broken(out, "the response names another address");
	if (read_u16(r) != second)
		return broken(out, "the response names another value or count");
	if (q->function == MODBUS_MASK_REGISTER && read_u16(r) != q->or_mask)
		return broken(out, "the response names another mask");
	return 0;
}

int modbus_response_decode(const struct modbus_request *request, struct bytes pdu,
			   struct modbus_response *out)
{
	const struct modbus_request *q = request;
	struct reader r = reader_of(pdu);
	uint8_t function;

	ASSERT(request_ok(q));
	*out = (struct modbus_response){0};
	function = read_u8(&r);
	if (function == ((uint8_t)q->function | MODBUS_EXCEPTION_FLAG)) {
		if (pdu.size != 2)
			return broken(out, "an exception response is two bytes");
		out->exception = read_u8(&r);
		return out->exception ? -EREMOTEIO : broken(out, "exception code 0");
	}
	if (function != (uint8_t)q->function)
		return broken(out, "the response is of another function");
	if (pdu.size != modbus_response_bytes(q))
		return broken(out, "the response is shorter or longer than what was asked for");
	switch (q->function) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT:
	case MODBUS_READ_WRITE_REGISTERS: return decode_data(q, &r, out);
	case MODBUS_WRITE_COIL: return decode_echo(q, &r, q->value ? COIL_ON : 0, out);
	case MODBUS_WRITE_REGISTER: return decode_echo(q, &r, q->value, out);
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS: return decode_echo(q, &r, q->count, out);
	case MODBUS_MASK_REGISTER: return decode_echo(q, &r, q->and_mask, out);
	}
	UNREACHABLE();
}

const char *modbus_exception_text(uint8_t code)
{
	static const char *const texts[] = {
		[MODBUS_EXCEPTION_NONE] = "no exception",
		[MODBUS_ILLEGAL_FUNCTION] = "illegal function",
		[MODBUS_ILLEGAL_ADDRESS] = "illegal data address",
		[MODBUS_ILLEGAL_VALUE] = "illegal data value",
		[MODBUS_DEVICE_FAILURE] = "server device failure",
		[MODBUS_ACKNOWLEDGE] = "acknowledge",
		[MODBUS_BUSY] = "server device busy",
		[MODBUS_NEGATIVE_ACKNOWLEDGE] = "negative acknowledge",
		[MODBUS_MEMORY_PARITY] = "memory parity error",
		[MODBUS_GATEWAY_NO_PATH] = "gateway path unavailable",
		[MODBUS_GATEWAY_NO_ANSWER] = "gateway target device failed to respond",
	};

	return code < ARRAY_COUNT(texts) && texts[code] ? texts[code] : "unknown exception";
}
