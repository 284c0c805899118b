/* proto/mqtt_publish.h - the data path: a PUBLISH header written backwards, right before a payload that
 * stays.
 *
 * Purpose:  a message's payload is encoded once into its record, behind some headroom. When it is sent, the
 *           header goes into that headroom, so that the packet is one run of bytes and the payload never
 *           moves.
 * Owner:    the caller's buffer; mqtt_publish_headroom_bytes() says how much must be free before the payload.
 * Threads:  pure.
 * Errors:   none: topic and properties come from the configuration and were checked when it was read
 *           (mqtt_topic_name_check, mqtt_props_decode); out of range is a programmer error (ASSERT).
 * Source:   OASIS MQTT Version 5.0 3.3, MQTT Version 3.1.1 3.3.
 */
#ifndef PROTO_MQTT_PUBLISH_H
#define PROTO_MQTT_PUBLISH_H

#include "core/bytes.h"
#include "proto/mqtt_type.h"

struct mqtt_publish_header {
	enum mqtt_version version;
	uint8_t qos;
	bool dup;
	bool retain;
	uint16_t packet_id;     /* not 0 at QoS 1 and 2; 0 at QoS 0 */
	uint16_t topic_alias;   /* 0: none; 5.0 only */
	uint32_t expiry_s;      /* Message Expiry Interval, what is left of it; 0: none; 5.0 only */
	uint32_t payload_bytes; /* what follows */
	struct bytes topic;     /* empty: the alias says it */
	struct bytes props;     /* from mqtt_props_write(), without Topic Alias and expiry; 5.0 only */
};

/* Most bytes that a header with these can take, a Topic Alias and an expiry included. */
NODISCARD uint32_t mqtt_publish_headroom_bytes(enum mqtt_version v, size_t topic_bytes, uint8_t qos,
					       size_t props_bytes);

/* Writes the header so that it ends at payload; returns its first byte, which is the packet's. */
NODISCARD uint8_t *mqtt_publish_header_backwards(uint8_t *payload, const struct mqtt_publish_header *h);

/* A packet that is sent again is the same bytes with this bit: true in the first byte. */
static inline void mqtt_publish_set_dup(uint8_t *packet)
{
	packet[0] |= 0x08;
}

#endif
