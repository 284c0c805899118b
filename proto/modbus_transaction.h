/* proto/modbus_transaction.h - one request that is on the way.
 *
 * Purpose:  what was asked, of whom, since when and until when; its frame on either transport.
 * Owner:    the line's master.
 * Threads:  pure.
 * Memory:   the caller's.
 * Errors:   none: the plan keeps the limits of the protocol, so a request that cannot be encoded is a programmer's error.
 */
#ifndef PROTO_MODBUS_TRANSACTION_H
#define PROTO_MODBUS_TRANSACTION_H

#include "core/clock.h"
#include "proto/modbus_rtu.h"
#include "proto/modbus_tcp.h"

enum modbus_framing { MODBUS_FRAMING_TCP, MODBUS_FRAMING_RTU };

struct modbus_transaction {
	bool used;
	bool probe;
	uint16_t transaction_id; /* TCP */
	uint32_t block_idx;
	struct mono sent;
	struct mono deadline;
	struct modbus_request request;
};

/* The request's frame, in the buffer. */
struct bytes modbus_transaction_encode(const struct modbus_transaction *t, enum modbus_framing framing,
				       uint8_t unit, uint8_t buffer[MODBUS_TCP_FRAME_BYTES_MAX]);

/* Is this frame its answer, as far as a serial line can tell: unit, function, length? */
bool modbus_transaction_fits(const struct modbus_transaction *t, uint8_t unit,
			     const struct modbus_rtu_frame *frame);

#endif
