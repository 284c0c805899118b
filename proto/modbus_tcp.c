#include "proto/modbus_tcp.h"

#include <errno.h>

/* The length field counts the unit and the PDU. */
#define LENGTH_MIN 2u
#define LENGTH_MAX (1u + MODBUS_PDU_BYTES_MAX)

int modbus_tcp_encode(const struct modbus_tcp_frame *frame, struct writer *w)
{
	if (frame->pdu.size < 1 || frame->pdu.size > MODBUS_PDU_BYTES_MAX)
		return -EINVAL;
	write_u16(w, frame->transaction_id);
	write_u16(w, 0);
	write_u16(w, (uint16_t)(frame->pdu.size + 1));
	write_u8(w, frame->unit);
	write_bytes(w, frame->pdu.ptr, frame->pdu.size);
	return w->failed ? -ENOSPC : 0;
}

void modbus_tcp_reset(struct modbus_tcp_parser *p)
{
	p->filled_bytes = 0;
	p->broken = false;
}

/* Moves bytes from the input until want_bytes are there; false: the input ended before. */
static bool fill(struct modbus_tcp_parser *p, struct bytes *input, size_t want_bytes)
{
	size_t take = min_size(input->size, want_bytes - p->filled_bytes);

	ASSERT(want_bytes <= sizeof(p->buffer));
	ASSERT(p->filled_bytes <= want_bytes);
	if (take)
		memcpy(p->buffer + p->filled_bytes, input->ptr, take);
	p->filled_bytes = (uint16_t)(p->filled_bytes + take);
	*input = bytes_of(take ? input->ptr + take : input->ptr, input->size - take);
	return p->filled_bytes == want_bytes;
}

int modbus_tcp_feed(struct modbus_tcp_parser *p, struct bytes *input, struct modbus_tcp_frame *out)
{
	uint16_t protocol_id, length;
	struct reader r;

	if (p->broken)
		return -EPROTO;
	if (p->filled_bytes < MODBUS_TCP_HEADER_BYTES && !fill(p, input, MODBUS_TCP_HEADER_BYTES))
		return 0;
	r = reader_of(bytes_of(p->buffer, p->filled_bytes));
	out->transaction_id = read_u16(&r);
	protocol_id = read_u16(&r);
	length = read_u16(&r);
	out->unit = read_u8(&r);
	if (protocol_id != 0 || length < LENGTH_MIN || length > LENGTH_MAX) {
		p->broken = true;
		return -EPROTO;
	}
	if (!fill(p, input, MODBUS_TCP_HEADER_BYTES - 1 + length))
		return 0;
	out->pdu = bytes_of(p->buffer + MODBUS_TCP_HEADER_BYTES, length - 1u);
	p->filled_bytes = 0;
	return 1;
}
