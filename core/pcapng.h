/* core/pcapng.h - the blocks of a pcapng file: what Wireshark opens.
 *
 * Purpose:  one section, an interface for each source, packets with times in nanoseconds, direction and a comment.
 * Owner:    the caller's buffer through struct writer. Threads: none shared. Memory: none of its own.
 * Units:    nanoseconds since 1970.
 * Errors:   0; -EMSGSIZE: the block does not fit, and nothing of it counts (w->failed).
 * Source:   draft-ietf-opsawg-pcapng: section header, interface description, enhanced packet. Numbers are big-endian, which
 *           the section's magic number says.
 */
#ifndef CORE_PCAPNG_H
#define CORE_PCAPNG_H

#include "core/bytes.h"
#include "core/clock.h"

/* www.tcpdump.org/linktypes.html */
enum pcapng_link {
	PCAPNG_LINK_RAW = 101,       /* begins with an IPv4 or IPv6 header */
	PCAPNG_LINK_UPPER_PDU = 252, /* Wireshark's own: names the dissector */
};

enum pcapng_direction { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

struct pcapng_packet {
	uint32_t interface_idx; /* in the order of the interfaces */
	struct wall time;
	enum pcapng_direction direction;
	struct bytes kept;
	uint32_t length_bytes; /* as it was; not less than kept */
	struct bytes comment;  /* none where empty; cut at PCAPNG_TEXT_BYTES_MAX */
};

#define PCAPNG_TEXT_BYTES_MAX 1024u
/* Of a block around what it carries. */
#define PCAPNG_OVERHEAD_BYTES (64u + 2 * (PCAPNG_TEXT_BYTES_MAX + 8))

NODISCARD int pcapng_section(struct writer *w, const char *program);
NODISCARD int pcapng_interface(struct writer *w, enum pcapng_link link, const char *name,
			       const char *description);
NODISCARD int pcapng_packet(struct writer *w, const struct pcapng_packet *p);

#endif
