/* tools/capture.h - records of a flight recorder as packets that Wireshark understands.
 *
 * Purpose:  MQTT and Modbus TCP get headers of IP and TCP around them, made from what the record knows: addresses, ports and the
 *           place in the stream are true, the rest is made up. The server's port is written as 1883 or 502, so that Wireshark
 *           knows the protocol without being told, also where TLS was beneath; its own is in the comment of the SYN. A
 *           connection that opens is a handshake, one that ends a FIN or RST, with what is known of it as comment. Of a connection
 *           whose CONNECT is not there one is made up, and says so. Frames of
 *           serial lines are exported PDUs for Wireshark's dissector of Modbus RTU.
 *
 *           capture_stream_init, capture_interface; capture_record for each record in the order of time; capture_end.
 * Owner:    the caller's struct, one a target or line, and the caller's buffer behind the writer. Threads: none shared.
 * Memory:   none of its own.
 * Errors:   -EMSGSIZE: less than CAPTURE_BYTES_MAX was left in the writer. Records are believed to be what trace_next admits, no more.
 * Source:   pcapng (core/pcapng.h); RFC 791, 8200, 9293; Wireshark's exported_pdu_tlvs.h.
 */
#ifndef TOOLS_CAPTURE_H
#define TOOLS_CAPTURE_H

#include "core/pcapng.h"
#include "core/trace.h"
#include "proto/modbus_rtu.h"

enum capture_protocol { CAPTURE_MQTT, CAPTURE_MODBUS_TCP, CAPTURE_MODBUS_RTU };

/* Room for what one call writes. */
#define CAPTURE_BYTES_MAX (16u << 10)

struct capture_stream {
	enum capture_protocol protocol;
	uint8_t mqtt_level; /* 4 or 5: of the CONNECT that is made up where the recorder has it no more */
	uint32_t interface_idx;
	bool is_open; /* something of the present connection was written */
	/* Serial: an answer may come in pieces. */
	uint8_t answer[MODBUS_RTU_FRAME_BYTES_MAX];
	size_t answer_bytes;
	struct wall answer_time; /* of its last piece */
};

/* interface_idx: how many interfaces the file has before this one. */
void capture_stream_init(struct capture_stream *s, enum capture_protocol protocol, uint32_t interface_idx);
/* The interface itself, behind the section. */
NODISCARD int capture_interface(const struct capture_stream *s, const char *name, struct writer *w);

struct capture_record {
	struct trace_record head;
	struct bytes endpoints, kept;
	struct bytes comment; /* of a frame that was sent or received; may be empty */
	struct wall time;
};

/* The packets of a record; none, where it is a piece of an answer. */
NODISCARD int capture_record(struct capture_stream *s, const struct capture_record *r, struct writer *w);
/* What is left at the end. */
NODISCARD int capture_end(struct capture_stream *s, struct writer *w);

#endif
