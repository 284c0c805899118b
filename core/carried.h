/* core/carried.h - a message in a record that brings its own topic: forwarded, from an earlier process, or the target's own.
 *
 * Purpose:  a channel's messages share topic, QoS and properties; these have each their own, behind the payload, where the
 *           header that is written before the payload cannot touch them.
 * Owner:    whoever owns the record. Threads: as the record's.
 * Memory:   in the record: payload | properties | topic | struct carried_end.
 * Units:    bytes; expiry in seconds from the record's time_ns.
 * Errors:   none: records are written by this file only.
 */
#ifndef CORE_CARRIED_H
#define CORE_CARRIED_H

#include "core/bytes.h"
#include "core/ring.h"

/* In ring_record.channel_idx. */
#define CHANNEL_CARRIED UINT32_MAX

struct carried {
	struct bytes topic, props;
	uint32_t payload_bytes; /* the payload is ring_payload(rec) */
	uint32_t expiry_s;      /* 0: none */
	uint8_t qos;
	bool retain;
};

struct carried_end {
	uint32_t topic_bytes, props_bytes, expiry_s;
	uint8_t qos, retain, spare[2];
};

static_assert(sizeof(struct carried_end) == 16, "no padding");

/* What the record needs behind its headroom. */
static inline uint64_t carried_bytes(size_t topic_bytes, size_t props_bytes, size_t payload_bytes)
{
	return (uint64_t)topic_bytes + props_bytes + payload_bytes + sizeof(struct carried_end);
}

/* w stands behind the payload and the properties, which are written. */
static inline void carried_write_end(struct writer *w, struct bytes topic, size_t props_bytes,
				     uint32_t expiry_s, uint8_t qos, bool retain)
{
	const struct carried_end end = {.topic_bytes = (uint32_t)topic.size,
					.props_bytes = (uint32_t)props_bytes,
					.expiry_s = expiry_s,
					.qos = qos,
					.retain = retain};

	write_bytes(w, topic.ptr, topic.size);
	write_bytes(w, &end, sizeof(end));
}

static inline struct carried carried_read(struct ring_record *rec)
{
	const uint8_t *at = ring_payload(rec) + rec->payload_bytes;
	struct carried_end end;

	ASSERT(rec->payload_bytes >= sizeof(end));
	at -= sizeof(end);
	memcpy(&end, at, sizeof(end));
	ASSERT((uint64_t)end.topic_bytes + end.props_bytes <= rec->payload_bytes - sizeof(end));
	at -= end.topic_bytes;
	return (struct carried){
		.topic = bytes_of(at, end.topic_bytes),
		.props = bytes_of(at - end.props_bytes, end.props_bytes),
		.payload_bytes = rec->payload_bytes - (uint32_t)sizeof(end) - end.topic_bytes -
				 end.props_bytes,
		.expiry_s = end.expiry_s,
		.qos = end.qos,
		.retain = end.retain,
	};
}

#endif
