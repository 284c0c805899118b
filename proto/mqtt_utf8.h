/* proto/mqtt_utf8.h - is this text what MQTT calls a UTF-8 Encoded String?
 *
 * Purpose:  well-formed UTF-8 as Unicode defines it: shortest form, no surrogates, nothing above U+10FFFF;
 *           and no U+0000. U+FEFF is a character like others. Control characters and non-characters are
 *           allowed: the specification says SHOULD NOT (5.0 1.5.4), and a receiver that refuses them breaks
 *           peers.
 * Threads:  pure.
 * Source:   Unicode 15 table 3-7; OASIS MQTT Version 5.0 1.5.4; MQTT Version 3.1.1 1.5.3.
 */
#ifndef PROTO_MQTT_UTF8_H
#define PROTO_MQTT_UTF8_H

#include "core/bytes.h"

enum mqtt_utf8 {
	MQTT_UTF8_OK,
	MQTT_UTF8_ILL_FORMED, /* MQTT-1.5.4-1, in 3.1.1 MQTT-1.5.3-1 */
	MQTT_UTF8_NULL,       /* MQTT-1.5.4-2, in 3.1.1 MQTT-1.5.3-2; well-formed otherwise up to there */
};

/* The first thing that is wrong with the text, from its start. */
NODISCARD enum mqtt_utf8 mqtt_utf8_check(struct bytes text);

/* Well-formed, U+0000 allowed: what a payload with Payload Format Indicator 1 has to be. */
NODISCARD bool mqtt_utf8_well_formed(struct bytes text);

#endif
