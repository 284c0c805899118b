/* tests/sim/wire.h - MQTT packets of a client as a strict server reads them; the simulator's own, from the specification.
 *
 * Purpose:  bytes to fields, with every rule that can be checked without a session. Pure.
 * Memory:   what is read points into the input.
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
	WIRE_SUBSCRIBE = 8,
	WIRE_SUBACK = 9,
	WIRE_UNSUBSCRIBE = 10,
	WIRE_UNSUBACK = 11,
	WIRE_PINGREQ = 12,
	WIRE_PINGRESP = 13,
	WIRE_DISCONNECT = 14,
	WIRE_AUTH = 15,
};

#define WIRE_FILTERS_MAX 16

struct wire_props {
	uint16_t topic_alias, receive_max, topic_alias_max;
	bool has_topic_alias, has_receive_max, has_expiry;
	uint32_t session_expiry_s, max_packet_bytes, expiry_s;
	uint32_t subscription_id;
	uint32_t will_delay_s;
};

/* What a message carries for its reader, in a form that can be compared: see wire_told. */
#define WIRE_TOLD_BYTES 1024

struct wire_filter {
	struct bytes filter;
	uint8_t options;
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
	struct bytes client_id, user;
	/* PUBLISH; of CONNECT, the will */
	struct bytes topic, payload;
	struct wire_props props;
	char told[WIRE_TOLD_BYTES]; /* PUBLISH, and the will */
	/* SUBSCRIBE, UNSUBSCRIBE */
	struct wire_filter filters[WIRE_FILTERS_MAX];
	uint32_t filter_count;
	size_t size_bytes; /* on the wire */
};

/* The first packet. level: 0 before CONNECT, then 4 or 5. Its size; 0: needs more bytes; -1: *why. */
int wire_read(struct bytes input, uint8_t level, struct wire_packet *out, const char **why);

/* One answer: PUBACK .. PUBCOMP; the code is left out where the version has none. Returns its size. */
size_t wire_write_ack(uint8_t out[static 8], uint8_t level, enum wire_type type, uint16_t packet_id,
		      uint8_t code);

/* A topic that the filter (without $share/NAME/) covers [MQTT-4.7]. */
bool wire_matches(struct bytes filter, struct bytes topic);
/* The same string, of a message that we make: properties that its reader is to see, in the order of the text
 * ("fmt=1;ct=text;rt=topic;cd=data;u:name=value;"). */
void wire_write_told(struct writer *w, const char *told);

#endif
