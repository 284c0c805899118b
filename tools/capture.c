#include "tools/capture.h"

#include <errno.h>
#include <stdio.h>

#include "proto/mqtt_type.h"

/* --- IP and TCP -------------------------------------------------------------------------------------------------------- */

enum tcp_flag { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

#define TCP_BYTES         20u
#define IP4_BYTES         20u
#define IP6_BYTES         40u
#define IP_TCP            6u
#define HOPS              64u
#define WINDOW            0xffffu
#define IP_SIZE_MAX       0xffffu
#define HEADERS_BYTES_MAX (IP6_BYTES + TCP_BYTES)
#define PORT_MQTT         1883u
#define PORT_MODBUS       502u

/* What a packet of the made-up connection says. */
struct segment {
	enum pcapng_direction direction;
	uint32_t flags;
	uint32_t sequence, acknowledged; /* of its sender; the handshake takes 0, so data begins at 1 */
	struct bytes kept;
	uint32_t length_bytes;
	struct bytes comment;
};

/* One side of it. */
struct end {
	struct bytes address; /* 4 or 16 bytes */
	uint16_t port;
};

struct ends {
	struct end local, peer;
	uint16_t peer_port; /* the true one */
};

static uint16_t shown_port(enum capture_protocol protocol)
{
	return protocol == CAPTURE_MQTT ? PORT_MQTT : PORT_MODBUS;
}

/* Both addresses, then both ports, as core/trace.h has them; without any they are all zero. */
static struct ends ends_of(const struct capture_stream *s, struct bytes endpoints)
{
	static const uint8_t none[12];
	struct reader r = reader_of(endpoints.size ? endpoints : bytes_of(none, sizeof(none)));
	size_t address_bytes = (reader_left(&r) - 4) / 2;
	struct ends e;

	e.local.address = read_bytes(&r, address_bytes);
	e.peer.address = read_bytes(&r, address_bytes);
	e.local.port = read_u16(&r);
	e.peer_port = read_u16(&r);
	e.peer.port = shown_port(s->protocol);
	return e;
}

/* RFC 1071. */
static uint16_t checksum(struct bytes header)
{
	struct reader r = reader_of(header);
	uint32_t sum = 0;

	while (reader_left(&r) > 0)
		sum += read_u16(&r);
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

static void put_ip4(struct writer *w, const struct end *from, const struct end *to, uint32_t payload_bytes)
{
	uint8_t header[IP4_BYTES];
	struct writer h = writer_of(header, sizeof(header));

	write_u8(&h, 0x45); /* version 4, five words */
	write_u8(&h, 0);
	write_u16(&h, (uint16_t)(IP4_BYTES + payload_bytes));
	write_u16(&h, 0);
	write_u16(&h, 0x4000); /* in one piece */
	write_u8(&h, HOPS);
	write_u8(&h, IP_TCP);
	write_u16(&h, 0);
	write_bytes(&h, from->address.ptr, from->address.size);
	write_bytes(&h, to->address.ptr, to->address.size);
	ASSERT(writer_left(&h) == 0);
	uint16_t sum = checksum(bytes_of(header, sizeof(header)));

	header[10] = (uint8_t)(sum >> 8);
	header[11] = (uint8_t)sum;
	write_bytes(w, header, sizeof(header));
}

static void put_ip6(struct writer *w, const struct end *from, const struct end *to, uint32_t payload_bytes)
{
	write_u32(w, 0x60000000);
	write_u16(w, (uint16_t)payload_bytes);
	write_u8(w, IP_TCP);
	write_u8(w, HOPS);
	write_bytes(w, from->address.ptr, from->address.size);
	write_bytes(w, to->address.ptr, to->address.size);
}

static void put_tcp(struct writer *w, const struct end *from, const struct end *to, const struct segment *g)
{
	write_u16(w, from->port);
	write_u16(w, to->port);
	write_u32(w, g->sequence);
	write_u32(w, g->flags & ACK ? g->acknowledged : 0);
	write_u8(w, TCP_BYTES / 4 << 4);
	write_u8(w, (uint8_t)g->flags);
	write_u16(w, g->flags & RST ? 0 : WINDOW);
	write_u16(w, 0); /* no checksum: part of what it covers may not have been kept */
	write_u16(w, 0);
}

static int put_segment(const struct capture_stream *s, const struct ends *e, const struct segment *g,
		       struct wall time, struct writer *w)
{
	bool is_ours = g->direction == PCAPNG_OUTBOUND;
	const struct end *from = is_ours ? &e->local : &e->peer, *to = is_ours ? &e->peer : &e->local;
	bool is_ip4 = from->address.size == 4;
	uint32_t header_bytes = TCP_BYTES + (is_ip4 ? IP4_BYTES : IP6_BYTES);
	/* In the header only: no packet is longer. The file has the true length, which marks what was cut. */
	uint32_t length_bytes = (uint32_t)min_u64(g->length_bytes, IP_SIZE_MAX - header_bytes);
	uint8_t packet[HEADERS_BYTES_MAX + TRACE_SEGMENT_BYTES];
	struct writer p = writer_of(packet, sizeof(packet));

	if (is_ip4)
		put_ip4(&p, from, to, TCP_BYTES + length_bytes);
	else
		put_ip6(&p, from, to, TCP_BYTES + length_bytes);
	put_tcp(&p, from, to, g);
	write_bytes(&p, g->kept.ptr, g->kept.size);
	if (p.failed)
		return -EMSGSIZE;
	const struct pcapng_packet out = {
		.interface_idx = s->interface_idx,
		.time = time,
		.direction = g->direction,
		.kept = bytes_of(packet, (size_t)(p.at - packet)),
		.length_bytes = (uint32_t)min_u64((uint64_t)header_bytes + g->length_bytes, UINT32_MAX),
		.comment = g->comment,
	};

	return pcapng_packet(w, &out);
}

/* --- records of a connection ------------------------------------------------------------------------------------------- */

static int put_handshake(struct capture_stream *s, const struct ends *e, struct bytes text, struct wall time,
			 struct writer *w)
{
	char comment[PCAPNG_TEXT_BYTES_MAX];
	int size = snprintf(comment, sizeof(comment),
			    "%.*s%sport %u of the server is shown as %u; headers of IP and TCP are made up",
			    (int)min_size(text.size, 256), (const char *)text.ptr, text.size ? "; " : "",
			    e->peer_port, e->peer.port);
	const struct segment segments[] = {
		{.direction = PCAPNG_OUTBOUND,
		 .flags = SYN,
		 .comment = bytes_of(comment, min_size((size_t)size, sizeof(comment) - 1))},
		{.direction = PCAPNG_INBOUND, .flags = SYN | ACK, .acknowledged = 1},
		{.direction = PCAPNG_OUTBOUND, .flags = ACK, .sequence = 1, .acknowledged = 1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(segments); i++) {
		int rc = put_segment(s, e, &segments[i], time, w);

		if (rc < 0)
			return rc;
	}
	s->is_open = true;
	return 0;
}

/* The connection could not be opened: tried, and refused. */
static int put_failure(const struct capture_stream *s, const struct ends *e, struct bytes text,
		       struct wall time, struct writer *w)
{
	const struct segment syn = {.direction = PCAPNG_OUTBOUND, .flags = SYN};
	const struct segment rst = {
		.direction = PCAPNG_INBOUND, .flags = RST | ACK, .acknowledged = 1, .comment = text};
	int rc = put_segment(s, e, &syn, time, w);

	return rc < 0 ? rc : put_segment(s, e, &rst, time, w);
}

/* A connection whose beginning is not there any more, or was not recorded: Wireshark has to know the version. The packet takes
 * the place of bytes that went before. */
static int put_made_up_connect(const struct capture_stream *s, const struct ends *e,
			       const struct segment *first, struct wall time, struct writer *w)
{
	static const char comment[] = "made up: the CONNECT was not recorded, or is overwritten; it tells "
				      "Wireshark the version";
	uint8_t packet[32];
	struct writer p = writer_of(packet, sizeof(packet));
	bool is_ours = first->direction == PCAPNG_OUTBOUND;

	write_u8(&p, 0x10);
	write_u8(&p, s->mqtt_level == 5 ? 13 : 12);
	write_u16(&p, 4);
	write_text(&p, "MQTT");
	write_u8(&p, s->mqtt_level);
	write_u8(&p, 2); /* clean start */
	write_u16(&p, 0);
	if (s->mqtt_level == 5)
		write_u8(&p, 0); /* no properties */
	write_u16(&p, 0);        /* no identifier */
	ASSERT(!p.failed);
	uint32_t size_bytes = (uint32_t)(p.at - packet);
	const struct segment g = {
		.direction = PCAPNG_OUTBOUND,
		.flags = PSH | ACK,
		.sequence = (is_ours ? first->sequence : first->acknowledged) - size_bytes,
		.acknowledged = is_ours ? first->acknowledged : first->sequence,
		.kept = bytes_of(packet, size_bytes),
		.length_bytes = size_bytes,
		.comment = bytes_of_text(comment),
	};

	return put_segment(s, e, &g, time, w);
}

static int put_data(struct capture_stream *s, const struct ends *e, const struct capture_record *r,
		    struct writer *w)
{
	const struct segment g = {
		.direction = r->head.kind == TRACE_SENT ? PCAPNG_OUTBOUND : PCAPNG_INBOUND,
		.flags = PSH | ACK,
		.sequence = 1 + r->head.sequence,
		.acknowledged = 1 + r->head.acknowledged,
		.kept = r->kept,
		.length_bytes = (uint32_t)max_u64(r->head.length_bytes, r->kept.size),
		.comment = r->comment,
	};
	bool is_connect = r->head.kind == TRACE_SENT && r->kept.size && *r->kept.ptr >> 4 == MQTT_CONNECT;
	int rc = 0;

	if (s->protocol == CAPTURE_MQTT && !s->is_open && !is_connect)
		rc = put_made_up_connect(s, e, &g, r->time, w);
	s->is_open = true;
	return rc < 0 ? rc : put_segment(s, e, &g, r->time, w);
}

static int tcp_record(struct capture_stream *s, const struct capture_record *r, struct writer *w)
{
	const struct trace_record *head = &r->head;
	const struct ends e = ends_of(s, r->endpoints);
	struct segment g = {.direction = PCAPNG_INBOUND, .flags = FIN | ACK, .comment = r->kept};
	bool was_open = s->is_open;

	switch ((enum trace_kind)head->kind) {
	case TRACE_SENT:
	case TRACE_RECEIVED: return put_data(s, &e, r, w);
	case TRACE_OPENED: return put_handshake(s, &e, r->kept, r->time, w);
	case TRACE_ENDED_BY_US: g.direction = PCAPNG_OUTBOUND; break;
	case TRACE_ENDED_BY_PEER: break;
	case TRACE_BROKEN:
		if (!was_open && head->sequence == 0 && head->acknowledged == 0)
			return put_failure(s, &e, r->kept, r->time, w);
		g.flags = RST | ACK;
		break;
	}
	/* The record's numbers are ours; the peer's are the other way round. */
	g.sequence = 1 + (g.direction == PCAPNG_OUTBOUND ? head->sequence : head->acknowledged);
	g.acknowledged = 1 + (g.direction == PCAPNG_OUTBOUND ? head->acknowledged : head->sequence);
	s->is_open = false;
	return put_segment(s, &e, &g, r->time, w);
}

/* --- records of a serial line ------------------------------------------------------------------------------------------ */

enum pdu_tag { TAG_END = 0, TAG_DISSECTOR = 12, TAG_PORT_TYPE = 24, TAG_FROM_PORT = 25, TAG_TO_PORT = 26 };

#define PORT_TYPE_TCP 2u
#define PORT_MASTER   50000u /* any: what is not 0 */
#define PORT_DEVICE   0u     /* Wireshark's own setting for Modbus RTU: tells questions from answers */

static void put_tag(struct writer *w, enum pdu_tag tag, const char *text)
{
	static const uint8_t zeroes[4];
	size_t size_bytes = strlen(text), padded_bytes = align_up(size_bytes, 4);

	write_u16(w, (uint16_t)tag);
	write_u16(w, (uint16_t)padded_bytes);
	write_bytes(w, text, size_bytes);
	write_bytes(w, zeroes, padded_bytes - size_bytes);
}

static void put_tag_number(struct writer *w, enum pdu_tag tag, uint32_t value)
{
	write_u16(w, (uint16_t)tag);
	write_u16(w, sizeof(value));
	write_u32(w, value);
}

static int put_pdu(const struct capture_stream *s, struct pcapng_packet *out, const char *dissector,
		   struct bytes bytes, struct writer *w)
{
	bool is_ours = out->direction == PCAPNG_OUTBOUND;
	uint8_t packet[64 + TRACE_SEGMENT_BYTES];
	struct writer p = writer_of(packet, sizeof(packet));

	put_tag(&p, TAG_DISSECTOR, dissector);
	put_tag_number(&p, TAG_PORT_TYPE, PORT_TYPE_TCP);
	put_tag_number(&p, TAG_FROM_PORT, is_ours ? PORT_MASTER : PORT_DEVICE);
	put_tag_number(&p, TAG_TO_PORT, is_ours ? PORT_DEVICE : PORT_MASTER);
	put_tag(&p, TAG_END, "");
	write_bytes(&p, bytes.ptr, bytes.size);
	if (p.failed)
		return -EMSGSIZE;
	out->interface_idx = s->interface_idx;
	out->kept = bytes_of(packet, (size_t)(p.at - packet));
	out->length_bytes = (uint32_t)out->kept.size;
	return pcapng_packet(w, out);
}

static int put_frame(const struct capture_stream *s, enum pcapng_direction direction, struct bytes frame,
		     struct wall time, struct writer *w)
{
	struct pcapng_packet out = {.time = time, .direction = direction};

	return put_pdu(s, &out, "mbrtu", frame, w);
}

static bool is_whole(struct bytes frame)
{
	uint16_t crc;

	if (frame.size < MODBUS_RTU_OVERHEAD_BYTES + 1)
		return false;
	crc = modbus_crc16(bytes_of(frame.ptr, frame.size - 2));
	return frame.ptr[frame.size - 2] == (uint8_t)crc && frame.ptr[frame.size - 1] == crc >> 8;
}

/* The pieces of an answer, as one; also of what never became whole. */
static int answer_put(struct capture_stream *s, struct writer *w)
{
	size_t size_bytes = s->answer_bytes;

	s->answer_bytes = 0;
	if (size_bytes == 0)
		return 0;
	return put_frame(s, PCAPNG_INBOUND, bytes_of(s->answer, size_bytes), s->answer_time, w);
}

static int answer_add(struct capture_stream *s, struct bytes piece, struct wall time, struct writer *w)
{
	while (piece.size > 0) {
		size_t n = min_size(piece.size, sizeof(s->answer) - s->answer_bytes);

		memcpy(s->answer + s->answer_bytes, piece.ptr, n);
		s->answer_bytes += n;
		s->answer_time = time;
		piece = bytes_of(piece.ptr + n, piece.size - n);
		if (s->answer_bytes == sizeof(s->answer) || is_whole(bytes_of(s->answer, s->answer_bytes))) {
			int rc = answer_put(s, w);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int serial_record(struct capture_stream *s, const struct capture_record *r, struct writer *w)
{
	enum trace_kind kind = (enum trace_kind)r->head.kind;
	struct pcapng_packet event = {.time = r->time, .direction = PCAPNG_OUTBOUND, .comment = r->kept};
	int rc;

	if (kind == TRACE_RECEIVED)
		return answer_add(s, r->kept, r->time, w);
	rc = answer_put(s, w);
	if (rc < 0)
		return rc;
	if (kind == TRACE_SENT)
		return put_frame(s, PCAPNG_OUTBOUND, r->kept, r->time, w);
	return put_pdu(s, &event, "data-text-lines", r->kept, w); /* the port was opened, or is gone */
}

/* --- a stream ---------------------------------------------------------------------------------------------------------- */

void capture_stream_init(struct capture_stream *s, enum capture_protocol protocol, uint32_t interface_idx)
{
	*s = (struct capture_stream){.protocol = protocol, .mqtt_level = 5, .interface_idx = interface_idx};
}

int capture_interface(const struct capture_stream *s, const char *name, struct writer *w)
{
	switch (s->protocol) {
	case CAPTURE_MQTT:
		return pcapng_interface(w, PCAPNG_LINK_RAW, name, "MQTT of this target; headers made up");
	case CAPTURE_MODBUS_TCP:
		return pcapng_interface(w, PCAPNG_LINK_RAW, name, "Modbus TCP of this line; headers made up");
	case CAPTURE_MODBUS_RTU:
		return pcapng_interface(w, PCAPNG_LINK_UPPER_PDU, name, "Modbus RTU of this line");
	}
	UNREACHABLE();
}

int capture_record(struct capture_stream *s, const struct capture_record *r, struct writer *w)
{
	ASSERT(r->head.kind < TRACE_KIND_COUNT);
	return s->protocol == CAPTURE_MODBUS_RTU ? serial_record(s, r, w) : tcp_record(s, r, w);
}

int capture_end(struct capture_stream *s, struct writer *w)
{
	return answer_put(s, w);
}
