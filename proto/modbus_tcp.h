/* proto/modbus_tcp.h - Modbus over a byte stream: the MBAP header.
 *
 * Purpose:  puts the header before a PDU, and finds frames in a stream that comes in pieces of any size.
 * Memory:   one frame's buffer in the parser; a frame's PDU is borrowed from it until the next call.
 * Threads:  pure; a parser has one owner.
 * Errors:   -EPROTO: the stream is broken (protocol id not 0, length not 2..254). There is no way to find the next
 *           frame then: close the connection and reset the parser.
 * Source:   MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.
 */
#ifndef PROTO_MODBUS_TCP_H
#define PROTO_MODBUS_TCP_H

#include "proto/modbus_pdu.h"

#define MODBUS_TCP_HEADER_BYTES    7u
#define MODBUS_TCP_FRAME_BYTES_MAX (MODBUS_TCP_HEADER_BYTES + MODBUS_PDU_BYTES_MAX)

struct modbus_tcp_frame {
	uint16_t transaction_id;
	uint8_t unit;
	struct bytes pdu; /* 1..253 bytes */
};

/* Zero is the empty state. */
struct modbus_tcp_parser {
	uint16_t filled_bytes;
	bool broken;
	uint8_t buffer[MODBUS_TCP_FRAME_BYTES_MAX];
};

/* Appends a frame; -EINVAL for a PDU of 0 or more than 253 bytes, -ENOSPC. */
NODISCARD int modbus_tcp_encode(const struct modbus_tcp_frame *frame, struct writer *w);

void modbus_tcp_reset(struct modbus_tcp_parser *p);

/* Takes bytes off the front of *input until a frame is whole. 1: *out holds it, input may have more; 0: all of the
 * input is taken, more is needed; -EPROTO: broken, and stays so until the reset. */
NODISCARD int modbus_tcp_feed(struct modbus_tcp_parser *p, struct bytes *input, struct modbus_tcp_frame *out);

#endif
