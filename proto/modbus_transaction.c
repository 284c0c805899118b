#include "proto/modbus_transaction.h"

struct bytes modbus_transaction_encode(const struct modbus_transaction *t, enum modbus_framing framing,
				       uint8_t unit, uint8_t buffer[MODBUS_TCP_FRAME_BYTES_MAX])
{
	uint8_t pdu_bytes[MODBUS_PDU_BYTES_MAX];
	struct writer pdu = writer_of(pdu_bytes, sizeof(pdu_bytes));
	struct writer w = writer_of(buffer, MODBUS_TCP_FRAME_BYTES_MAX);
	int rc = modbus_request_encode(&t->request, &pdu);
	struct bytes body = bytes_of(pdu_bytes, (size_t)(pdu.at - pdu_bytes));

	ASSERT(rc == 0); /* the plan keeps the limits */
	switch (framing) {
	case MODBUS_FRAMING_TCP: {
		struct modbus_tcp_frame f = {.transaction_id = t->transaction_id, .unit = unit, .pdu = body};

		rc = modbus_tcp_encode(&f, &w);
		break;
	}
	case MODBUS_FRAMING_RTU: {
		struct modbus_rtu_frame f = {.unit = unit, .pdu = body};

		rc = modbus_rtu_encode(&f, &w);
		break;
	}
	}
	ASSERT(rc == 0);
	return bytes_of(buffer, (size_t)(w.at - buffer));
}

bool modbus_transaction_fits(const struct modbus_transaction *t, uint8_t unit,
			     const struct modbus_rtu_frame *frame)
{
	uint8_t function = (uint8_t)t->request.function;

	if (frame->unit != unit)
		return false;
	if (frame->pdu.ptr[0] == (function | MODBUS_EXCEPTION_FLAG))
		return true;
	return frame->pdu.ptr[0] == function && frame->pdu.size == modbus_response_bytes(&t->request);
}
