/* proto/mqtt_decode.h - bytes from a peer become a packet, or a reason to close.
 *
 * Purpose:  decodes every packet of MQTT 5.0 and 3.1.1 from either side and refuses whatever the
 *           specifications call malformed or a protocol error, as far as one packet alone can tell. What
 *           needs the connection's state (a second CONNACK, an alias above the maximum, an unknown packet
 *           identifier) is the session's.
 * Owner:    the packet borrows from the input; keep the input until the packet has been used.
 * Threads:  pure: no clock, no allocation, no state.
 * Errors:   -EPROTO with *err (static texts); 0 when more bytes are needed.
 * Source:   OASIS MQTT Version 5.0, MQTT Version 3.1.1.
 */
#ifndef PROTO_MQTT_DECODE_H
#define PROTO_MQTT_DECODE_H

#include "proto/mqtt_packet.h"

/* The bytes of the first packet in `in` (> 0) with *out filled in; 0: incomplete, all that is there may still
 * become a packet; -EPROTO: it never will, *err says why. max_packet_bytes is the Maximum Packet Size that we
 * announced (0: the protocol's own). A bad first byte, a length that is too long or a packet that is too
 * large are refused as soon as their bytes are there. The Payload Format Indicator is checked, the payload
 * against it is not: a receiver MAY do so (mqtt_utf8_check). */
NODISCARD int mqtt_decode(struct bytes in, enum mqtt_version v, enum mqtt_side from,
			  uint32_t max_packet_bytes, struct mqtt_packet *out, struct mqtt_error *err);

/* True: `in` begins with an acknowledgement of MQTT_SUCCESS_BYTES, as nearly all are: what mqtt_decode would say, without
 * the rest of a packet. False: anything else, ask mqtt_decode. */
NODISCARD static inline bool mqtt_decode_success(struct bytes in, enum mqtt_type *type, uint16_t *packet_id)
{
	if (in.size < MQTT_SUCCESS_BYTES || in.ptr[1] != MQTT_SUCCESS_BYTES - 2)
		return false;
	*type = (enum mqtt_type)(in.ptr[0] >> 4);
	*packet_id = (uint16_t)(in.ptr[2] << 8 | in.ptr[3]);
	if (*packet_id == 0)
		return false;
	if (*type == MQTT_PUBREL)
		return (in.ptr[0] & 0xf) == 2;
	return (in.ptr[0] & 0xf) == 0 && *type >= MQTT_PUBACK && *type <= MQTT_PUBCOMP;
}

/* For a server: the version that the CONNECT at the start of `in` speaks. 1 and *out; 0: incomplete;
 * -EPROTO. */
NODISCARD int mqtt_connect_version(struct bytes in, enum mqtt_version *out, struct mqtt_error *err);

#endif
