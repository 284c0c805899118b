/* proto/modbus_rtu.h - Modbus on a serial line: unit, PDU, CRC, and the silence between frames.
 *
 * Purpose:  frames a PDU; finds a master's responses in what a serial port delivers; says how long characters, frames and
 *           silences last. A response tells its own length (exception 5 bytes, reads by their byte count, writes 8 or 10),
 *           so a frame ends with its last byte, not with a time-out that USB adapters would stretch. What cannot be a
 *           response, or has a wrong CRC, is thrown away until the line was silent for t3.5.
 * Memory:   one frame's buffer in the parser; a frame's PDU is borrowed from it until the next call.
 * Threads:  pure; a parser has one owner.
 * Units:    nanoseconds; baud in bits a second.
 * Errors:   -EPROTO: garbage, or a CRC that does not fit; the parser discards until the silence by itself.
 *
 *   EMPTY --byte--> FRAME --last byte, CRC right--> EMPTY (frame out)
 *     ^               |---- CRC wrong, no response's beginning, too long ----> DISCARD
 *     '------------------------- first byte after t3.5 of silence ----------------'
 *
 * The gap of t1.5 inside a frame is data here (modbus_rtu_timing) and kept when sending, since a frame is one write; it
 * is not judged on reception: the time of a read() says nothing about the time of a byte on the wire.
 * Source:   MODBUS over Serial Line V1.02, sections 2.5.1 and 6.2.2.
 */
#ifndef PROTO_MODBUS_RTU_H
#define PROTO_MODBUS_RTU_H

#include "core/clock.h"
#include "proto/modbus_pdu.h"

#define MODBUS_RTU_FRAME_BYTES_MAX 256u
#define MODBUS_RTU_OVERHEAD_BYTES  3u /* unit and CRC */
#define MODBUS_UNIT_MAX            247u

struct modbus_rtu_frame {
	uint8_t unit;
	struct bytes pdu;
};

struct modbus_rtu_timing {
	uint64_t char_ns; /* start bit to last stop bit */
	uint64_t t15_ns;  /* longest gap inside a frame */
	uint64_t t35_ns;  /* shortest silence between frames */
};

enum modbus_rtu_state { MODBUS_RTU_EMPTY, MODBUS_RTU_FRAME, MODBUS_RTU_DISCARD };

/* Zero is the empty state, but for the timing. */
struct modbus_rtu_parser {
	enum modbus_rtu_state state;
	uint16_t filled_bytes;
	struct mono last_byte;
	uint64_t t35_ns;
	uint8_t buffer[MODBUS_RTU_FRAME_BYTES_MAX];
};

/* CRC-16 of Modbus; goes onto the wire low byte first. */
NODISCARD uint16_t modbus_crc16(struct bytes bytes);

/* Timing of a line: baud >= 1; character_bits with start, parity and stop bits (11 for 8E1 and 8N2, 10 for 8N1). Above
 * 19200 baud t1.5 and t3.5 are 750 us and 1.75 ms, as the specification recommends. */
NODISCARD struct modbus_rtu_timing modbus_rtu_timing(uint32_t baud, uint32_t character_bits);

/* 1 start bit, data, parity (N, E, O), stop: the bits of one character. */
static inline uint32_t modbus_rtu_character_bits(uint32_t data_bits, char parity, uint32_t stop_bits)
{
	return 1 + data_bits + (parity == 'N' ? 0 : 1) + stop_bits;
}

/* How long a read occupies the line: request, response, and a t3.5 after each; for the load of a line. The device's own
 * thinking time comes on top. */
NODISCARD uint64_t modbus_rtu_exchange_ns(const struct modbus_rtu_timing *timing,
					  const struct modbus_request *request);

/* Appends a frame; -EINVAL for a PDU of 0 or more than 253 bytes, -ENOSPC. */
NODISCARD int modbus_rtu_encode(const struct modbus_rtu_frame *frame, struct writer *w);

/* Empty, expecting the beginning of a frame. */
void modbus_rtu_reset(struct modbus_rtu_parser *p, uint64_t t35_ns);

/* Takes bytes that arrived at `now` off the front of *input. 1: *out holds a frame with a right CRC, input may have
 * more; 0: all of the input is taken; -EPROTO: garbage began here (once for each stretch of it), go on calling. */
NODISCARD int modbus_rtu_feed(struct modbus_rtu_parser *p, struct bytes *input, struct mono now,
			      struct modbus_rtu_frame *out);

#endif
