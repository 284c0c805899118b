/* proto/mqtt_encode.h - packets become bytes.
 *
 * Purpose:  an encoder for each packet of both versions, with every property, and the PUBLISH header that is
 *           written backwards from the payload for the data path (mqtt_publish.h).
 * Owner:    the caller's writer; on an error nothing of the packet is left in it.
 * Threads:  pure.
 * Errors:   the bytes written (> 0), or -ENOSPC: the writer is too small; -EMSGSIZE: the packet would be
 *           longer than the protocol allows; -EINVAL: a string is over 65,535 bytes, or mqtt_decode() would
 *           refuse the packet: we never send what we would not accept. The peer's Maximum Packet Size is the
 *           caller's to compare with the result. What 3.1.1 does not have (properties, reason codes of
 *           acknowledgements) is left out there.
 * Source:   OASIS MQTT Version 5.0, MQTT Version 3.1.1.
 */
#ifndef PROTO_MQTT_ENCODE_H
#define PROTO_MQTT_ENCODE_H

#include "proto/mqtt_packet.h"

NODISCARD int mqtt_encode_connect(struct writer *w, enum mqtt_version v, const struct mqtt_connect *p);
NODISCARD int mqtt_encode_connack(struct writer *w, enum mqtt_version v, const struct mqtt_connack *p);
NODISCARD int mqtt_encode_publish(struct writer *w, enum mqtt_version v, enum mqtt_side from,
				  const struct mqtt_publish *p);

/* type: MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL or MQTT_PUBCOMP. Success without properties takes four
 * bytes. */
NODISCARD int mqtt_encode_ack(struct writer *w, enum mqtt_version v, enum mqtt_type type,
			      const struct mqtt_ack *p);
/* The same for success without properties. */
NODISCARD int mqtt_encode_success(struct writer *w, enum mqtt_type type, uint16_t packet_id);
NODISCARD int mqtt_encode_subscribe(struct writer *w, enum mqtt_version v, const struct mqtt_subscribe *p);
NODISCARD int mqtt_encode_suback(struct writer *w, enum mqtt_version v, const struct mqtt_suback *p);
NODISCARD int mqtt_encode_unsubscribe(struct writer *w, enum mqtt_version v, const struct mqtt_subscribe *p);
NODISCARD int mqtt_encode_unsuback(struct writer *w, enum mqtt_version v, const struct mqtt_suback *p);
NODISCARD int mqtt_encode_pingreq(struct writer *w);
NODISCARD int mqtt_encode_pingresp(struct writer *w);
NODISCARD int mqtt_encode_disconnect(struct writer *w, enum mqtt_version v, enum mqtt_side from,
				     const struct mqtt_goodbye *p);
NODISCARD int mqtt_encode_auth(struct writer *w, enum mqtt_side from,
			       const struct mqtt_goodbye *p); /* 5.0 only */

/* Any packet, by its type. */
NODISCARD int mqtt_encode(struct writer *w, enum mqtt_version v, enum mqtt_side from,
			  const struct mqtt_packet *p);

/* One entry of a SUBSCRIBE or UNSUBSCRIBE payload, appended to a run for mqtt_subscribe.filters. Fails in the
 * writer. */
void mqtt_write_subscription(struct writer *w, enum mqtt_version v, const struct mqtt_subscription *s);
void mqtt_write_filter(struct writer *w, struct bytes filter);

#endif
