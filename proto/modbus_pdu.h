/* proto/modbus_pdu.h - what a Modbus request and its response say, without their framing.
 *
 * Purpose:  encodes requests and checks responses against the request they answer; decodes requests too (tests, the
 *           server side). Functions 1-6, 15, 16, 22 and 23; another function is one more case in each switch.
 * Memory:   caller's structs; `data` is borrowed from the PDU or from the caller.
 * Threads:  pure.
 * Units:    addresses and counts in bits (functions 1, 2, 5, 15) or registers; registers are big-endian in `data`, bits are
 *           packed eight a byte, the lowest address in the lowest bit: both as on the wire.
 * Errors:   -EINVAL: the request breaks a limit of the protocol. -EREMOTEIO: the device answered with an exception.
 *           -EPROTO: the answer does not fit the request; the text says how.
 * Source:   MODBUS Application Protocol Specification V1.1b3, sections 4, 6 and 7.
 */
#ifndef PROTO_MODBUS_PDU_H
#define PROTO_MODBUS_PDU_H

#include "core/address.h"
#include "core/base.h"
#include "core/bytes.h"

#define MODBUS_PDU_BYTES_MAX         253u
#define MODBUS_READ_BITS_MAX         2000u
#define MODBUS_READ_REGISTERS_MAX    125u
#define MODBUS_WRITE_BITS_MAX        1968u
#define MODBUS_WRITE_REGISTERS_MAX   123u
#define MODBUS_WRITE23_REGISTERS_MAX 121u
#define MODBUS_EXCEPTION_FLAG        0x80u

enum modbus_function {
	MODBUS_READ_COILS = 1,
	MODBUS_READ_DISCRETES = 2,
	MODBUS_READ_HOLDING = 3,
	MODBUS_READ_INPUT = 4,
	MODBUS_WRITE_COIL = 5,
	MODBUS_WRITE_REGISTER = 6,
	MODBUS_WRITE_COILS = 15,
	MODBUS_WRITE_REGISTERS = 16,
	MODBUS_MASK_REGISTER = 22,
	MODBUS_READ_WRITE_REGISTERS = 23,
};

enum modbus_exception {
	MODBUS_EXCEPTION_NONE = 0,
	MODBUS_ILLEGAL_FUNCTION = 1,
	MODBUS_ILLEGAL_ADDRESS = 2,
	MODBUS_ILLEGAL_VALUE = 3,
	MODBUS_DEVICE_FAILURE = 4,
	MODBUS_ACKNOWLEDGE = 5,
	MODBUS_BUSY = 6,
	MODBUS_NEGATIVE_ACKNOWLEDGE = 7, /* not in V1.1b3, sent by old devices */
	MODBUS_MEMORY_PARITY = 8,
	MODBUS_GATEWAY_NO_PATH = 10,
	MODBUS_GATEWAY_NO_ANSWER = 11,
};

struct modbus_request {
	enum modbus_function function;
	uint16_t address;
	uint16_t count;         /* 1-4, 15, 16, 23 (read part) */
	uint16_t value;         /* 5: 0 or not; 6: the register */
	uint16_t and_mask;      /* 22 */
	uint16_t or_mask;       /* 22 */
	uint16_t write_address; /* 23 */
	uint16_t write_count;   /* 23 */
	struct bytes data;      /* 15, 16, 23: what to write */
};

struct modbus_response {
	uint8_t exception; /* -EREMOTEIO: the code as it was sent, 1..255 */
	const char *why;   /* -EPROTO: a static text */
	struct bytes data; /* 1-4, 23: registers or packed bits, exactly as many as asked for */
};

/* Appends the request. 0, -EINVAL (limits: counts, address + count <= 65536, data that does not fit count), -ENOSPC. */
NODISCARD int modbus_request_encode(const struct modbus_request *request, struct writer *w);

/* The other end: 0 and *out (data borrowed from pdu), or the exception code a server answers with. */
NODISCARD int modbus_request_decode(struct bytes pdu, struct modbus_request *out);

/* Bytes of the request's PDU, and of its normal response's. */
NODISCARD size_t modbus_request_bytes(const struct modbus_request *request);
NODISCARD size_t modbus_response_bytes(const struct modbus_request *request);

/* Checks function echo, byte count, echoed fields. 0, -EREMOTEIO or -EPROTO; *out says more. */
NODISCARD int modbus_response_decode(const struct modbus_request *request, struct bytes pdu,
				     struct modbus_response *out);

/* The function that reads a table, and the most it reads at once. */
enum modbus_function modbus_read_function(enum address_space space);
uint16_t modbus_read_count_max(enum address_space space);

/* "illegal data address"; "unknown exception" for a code that no edition knows. */
const char *modbus_exception_text(uint8_t code);

#endif
