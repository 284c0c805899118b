/* tests/sim/wire.h - MQTT packets of a client as a strict server reads them; the simulator's own, from the specification.
 *
 * Purpose:  bytes to fields, with every rule that can be checked without a session. Pure.
 * Errors:   a broken rule is a text, for sim_fail.
 */
#ifndef TESTS_SIM_WIRE_H
#define TESTS_SIM_WIRE_H

#include "core/bytes.h"

enum wire_type {
	WIRE_CONNECT = 1,
	WIRE_CONNACK = 2,
	WIRE_PUBLISH = 3,
	WIRE_PUBACK = 4,
	WIRE_PUBREC = 5,
	WIRE_PUBREL = 6,
	WIRE_PUBCOMP = 7,
	WIRE_PINGREQ = 12,
	WIRE_PINGRESP = 13,
	WIRE_DISCONNECT = 14,
};

struct wire_props {
	uint16_t topic_alias, receive_max;
	bool has_topic_alias, has_receive_max;
	uint32_t session_expiry_s, max_packet_bytes;
};

struct wire_packet {
	uint8_t type;
	bool dup, retain;
	uint8_t qos;
	uint16_t packet_id;
	uint8_t code;
	/* CONNECT */
	uint8_t level;
	bool clean, has_will, has_user, has_password;
	uint16_t keep_alive_s;
	struct bytes client_id;
	/* PUBLISH */
	struct bytes topic, payload;
	struct wire_props props;
	size_t size_bytes; /* on the wire */
};

/* The first packet. level: 0 before CONNECT, then 4 or 5. Its size; 0: needs more bytes; -1: *why. */
int wire_read(struct bytes input, uint8_t level, struct wire_packet *out, const char **why);

/* One answer: PUBACK .. PUBCOMP; the code is left out where the version has none. Returns its size. */
size_t wire_write_ack(uint8_t out[static 8], uint8_t level, enum wire_type type, uint16_t packet_id,
		      uint8_t code);

#endif
