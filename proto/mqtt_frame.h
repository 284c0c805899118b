/* proto/mqtt_frame.h - MQTT packets from outside: where one ends, and what of it nobody may see.
 *
 * Purpose:  for a record of what goes over a connection. It does not judge: that is the decoder's.
 * Owner:    the caller's bytes. Threads: any. Memory: none. Errors: -EPROTO: this is no packet.
 */
#ifndef PROTO_MQTT_FRAME_H
#define PROTO_MQTT_FRAME_H

#include "core/bytes.h"

/* Bytes of the packet at the front, there or not; 0: its length is not there yet; -EPROTO. */
NODISCARD int64_t mqtt_frame_bytes(struct bytes input);

/* The packet begins with these bytes: where it is a CONNECT, its password becomes as many '*', as far as it is there. What cannot
 * be followed is covered whole. */
void mqtt_frame_mask(uint8_t *packet, size_t size_bytes);

#endif
