#include "proto/modbus_rtu.h"

#include <errno.h>

/* Above this baud the specification fixes the silences. */
#define FIXED_SILENCE_BAUD 19200u
#define FIXED_T15_NS       (750 * NS_PER_US)
#define FIXED_T35_NS       (1750 * NS_PER_US)

/* Four bits at a time: 32 bytes of table stay in the first cache line, and a serial byte takes 10 us or more. */
uint16_t modbus_crc16(struct bytes bytes)
{
	static const uint16_t nibble[16] = {
		0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
		0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400,
	};
	uint32_t crc = 0xFFFF;

	for (size_t i = 0; i < bytes.size; i++) {
		crc = crc >> 4 ^ nibble[(crc ^ bytes.ptr[i]) & 15];
		crc = crc >> 4 ^ nibble[(crc ^ (uint32_t)bytes.ptr[i] >> 4) & 15];
	}
	return (uint16_t)crc;
}

/* Rounded up: a silence may be longer, never shorter. */
static uint64_t bits_ns(uint64_t bit_count, uint32_t baud)
{
	return (bit_count * NS_PER_S + baud - 1) / baud;
}

struct modbus_rtu_timing modbus_rtu_timing(uint32_t baud, uint32_t character_bits)
{
	struct modbus_rtu_timing t = {.t15_ns = FIXED_T15_NS, .t35_ns = FIXED_T35_NS};

	ASSERT(baud >= 1);
	ASSERT(character_bits >= 7);
	ASSERT(character_bits <= 12);
	t.char_ns = bits_ns(character_bits, baud);
	if (baud <= FIXED_SILENCE_BAUD) {
		t.t15_ns = bits_ns(character_bits * 3ull, baud * 2);
		t.t35_ns = bits_ns(character_bits * 7ull, baud * 2);
	}
	return t;
}

uint64_t modbus_rtu_exchange_ns(const struct modbus_rtu_timing *timing, const struct modbus_request *request)
{
	size_t byte_count = modbus_request_bytes(request) + modbus_response_bytes(request) +
			    2 * MODBUS_RTU_OVERHEAD_BYTES;

	return byte_count * timing->char_ns + 2 * timing->t35_ns;
}

int modbus_rtu_encode(const struct modbus_rtu_frame *frame, struct writer *w)
{
	const uint8_t *begin = w->at;
	uint16_t crc;

	if (frame->pdu.size < 1 || frame->pdu.size > MODBUS_PDU_BYTES_MAX)
		return -EINVAL;
	write_u8(w, frame->unit);
	write_bytes(w, frame->pdu.ptr, frame->pdu.size);
	if (w->failed)
		return -ENOSPC;
	crc = modbus_crc16(bytes_of(begin, (size_t)(w->at - begin)));
	write_u8(w, (uint8_t)crc);
	write_u8(w, (uint8_t)(crc >> 8));
	return w->failed ? -ENOSPC : 0;
}

void modbus_rtu_reset(struct modbus_rtu_parser *p, uint64_t t35_ns)
{
	p->state = MODBUS_RTU_EMPTY;
	p->filled_bytes = 0;
	p->t35_ns = t35_ns;
}

/* The length of the response that begins with these bytes: 0 if more bytes are needed to tell, -EPROTO if no response
 * begins like this. */
static int response_frame_bytes(const uint8_t *b, size_t filled_bytes)
{
	if (filled_bytes >= 1 && (b[0] == 0 || b[0] > MODBUS_UNIT_MAX))
		return -EPROTO;
	if (filled_bytes < 3)
		return 0;
	switch (b[1]) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETES:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT:
	case MODBUS_READ_WRITE_REGISTERS:
		return b[2] >= 1 && b[2] <= MODBUS_PDU_BYTES_MAX - 2 ? 5 + b[2] : -EPROTO;
	case MODBUS_WRITE_COIL:
	case MODBUS_WRITE_REGISTER:
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS: return 8;
	case MODBUS_MASK_REGISTER: return 10;
	case MODBUS_EXCEPTION_FLAG | MODBUS_READ_COILS:
	case MODBUS_EXCEPTION_FLAG | MODBUS_READ_DISCRETES:
	case MODBUS_EXCEPTION_FLAG | MODBUS_READ_HOLDING:
	case MODBUS_EXCEPTION_FLAG | MODBUS_READ_INPUT:
	case MODBUS_EXCEPTION_FLAG | MODBUS_WRITE_COIL:
	case MODBUS_EXCEPTION_FLAG | MODBUS_WRITE_REGISTER:
	case MODBUS_EXCEPTION_FLAG | MODBUS_WRITE_COILS:
	case MODBUS_EXCEPTION_FLAG | MODBUS_WRITE_REGISTERS:
	case MODBUS_EXCEPTION_FLAG | MODBUS_MASK_REGISTER:
	case MODBUS_EXCEPTION_FLAG | MODBUS_READ_WRITE_REGISTERS: return 5;
	default: return -EPROTO;
	}
}

static int discard(struct modbus_rtu_parser *p, struct bytes *input)
{
	p->state = MODBUS_RTU_DISCARD;
	p->filled_bytes = 0;
	*input = (struct bytes){0};
	return -EPROTO;
}

int modbus_rtu_feed(struct modbus_rtu_parser *p, struct bytes *input, struct mono now,
		    struct modbus_rtu_frame *out)
{
	if (input->size == 0)
		return 0;
	if (p->state == MODBUS_RTU_DISCARD && mono_since(now, p->last_byte) >= p->t35_ns)
		modbus_rtu_reset(p, p->t35_ns);
	p->last_byte = now;
	if (p->state == MODBUS_RTU_DISCARD) {
		*input = (struct bytes){0};
		return 0;
	}
	while (input->size) {
		int frame_bytes;

		ASSERT(p->filled_bytes < sizeof(p->buffer));
		p->state = MODBUS_RTU_FRAME;
		p->buffer[p->filled_bytes++] = input->ptr[0];
		*input = bytes_of(input->ptr + 1, input->size - 1);
		frame_bytes = response_frame_bytes(p->buffer, p->filled_bytes);
		if (frame_bytes < 0)
			return discard(p, input);
		if (frame_bytes == 0 || p->filled_bytes < frame_bytes)
			continue;
		/* The CRC of a frame with its own CRC behind it is zero. */
		if (modbus_crc16(bytes_of(p->buffer, p->filled_bytes)) != 0)
			return discard(p, input);
		out->unit = p->buffer[0];
		out->pdu = bytes_of(p->buffer + 1, p->filled_bytes - MODBUS_RTU_OVERHEAD_BYTES);
		p->state = MODBUS_RTU_EMPTY;
		p->filled_bytes = 0;
		return 1;
	}
	return 0;
}
