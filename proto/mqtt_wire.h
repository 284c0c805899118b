/* proto/mqtt_wire.h - what the codec's own files share: variable byte integers, length-prefixed fields,
 * refusals.
 *
 * Purpose:  private to proto/mqtt_*.c; others include mqtt_decode.h, mqtt_encode.h, mqtt_publish.h.
 * Threads:  pure.
 * Errors:   readers say MQTT_WIRE_OK or what is wrong; mqtt_refuse() makes -EPROTO of it.
 * Source:   OASIS MQTT Version 5.0 1.5, MQTT Version 3.1.1 1.5 and 2.2.3.
 */
#ifndef PROTO_MQTT_WIRE_H
#define PROTO_MQTT_WIRE_H

#include <errno.h>

#include "core/bytes.h"
#include "proto/mqtt_props.h"

enum mqtt_wire {
	MQTT_WIRE_OK,
	MQTT_WIRE_SHORT,       /* the field goes past its end */
	MQTT_WIRE_LONG,        /* a variable byte integer with a fifth byte */
	MQTT_WIRE_NOT_MINIMAL, /* more bytes than its value needs */
	MQTT_WIRE_UNKNOWN,     /* a property identifier that is none */
};

static inline uint32_t mqtt_varint_bytes(uint32_t value)
{
	return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

/* value <= MQTT_REMAINING_LENGTH_MAX. */
static inline void mqtt_write_varint(struct writer *w, uint32_t value)
{
	uint8_t b[4];
	size_t size = 0;

	do {
		b[size++] = (uint8_t)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
		value >>= 7;
	} while (value);
	write_bytes(w, b, size);
}

static inline enum mqtt_wire mqtt_read_varint(struct reader *r, uint32_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < 4; i++) {
		uint8_t byte;

		if (reader_left(r) == 0)
			return MQTT_WIRE_SHORT;
		byte = *r->at++;
		*value |= (uint32_t)(byte & 0x7F) << 7 * i;
		if (!(byte & 0x80))
			return byte == 0 && i > 0 ? MQTT_WIRE_NOT_MINIMAL : MQTT_WIRE_OK;
	}
	return MQTT_WIRE_LONG;
}

/* A two-byte length and so many bytes; SHORT where they are not all there. */
static inline enum mqtt_wire mqtt_read_field(struct reader *r, struct bytes *out)
{
	*out = read_bytes(r, read_u16(r));
	return r->failed ? MQTT_WIRE_SHORT : MQTT_WIRE_OK;
}

static inline void mqtt_write_field(struct writer *w, struct bytes field)
{
	if (field.size > MQTT_STRING_BYTES_MAX) {
		w->failed = true;
		return;
	}
	write_u16(w, (uint16_t)field.size);
	write_bytes(w, field.ptr, field.size);
}

/* Makes the set empty. Not inlined on purpose: of the 248 bytes gcc 12 makes `rep stos`, and decoding a
 * PUBACK takes 20 ns instead of 13. */
void mqtt_props_clear(void *props, size_t size_bytes);

/* -EPROTO with the reason, the statement (or section) that is broken, and a sentence. */
NODISCARD int mqtt_refuse(struct mqtt_error *err, enum mqtt_reason reason, const char *statement,
			  const char *text);

/* A UTF-8 Encoded String has to be one: 0, or -EPROTO. */
NODISCARD int mqtt_check_string(enum mqtt_version v, struct bytes text, struct mqtt_error *err);

/* The property length and the properties of a packet, or of a will. 3.1.1 has none. */
NODISCARD int mqtt_decode_props(struct reader *r, enum mqtt_version v, unsigned place, enum mqtt_side from,
				struct mqtt_props *out, struct mqtt_error *err);

/* The parts of mqtt_decode.c: each reads the body of its packets to its end. */
struct mqtt_connect;
struct mqtt_subscribe;
struct mqtt_suback;
NODISCARD int mqtt_decode_connect(struct reader *r, enum mqtt_version v, struct mqtt_connect *out,
				  struct mqtt_error *err);
NODISCARD int mqtt_decode_subscribe(struct reader *r, enum mqtt_version v, enum mqtt_type type,
				    struct mqtt_subscribe *out, struct mqtt_error *err);
NODISCARD int mqtt_decode_suback(struct reader *r, enum mqtt_version v, enum mqtt_type type,
				 struct mqtt_suback *out, struct mqtt_error *err);

/* The packet ends in the middle of a field. */
NODISCARD int mqtt_refuse_short(enum mqtt_version v, struct mqtt_error *err);
/* Zero is no packet identifier. */
NODISCARD int mqtt_refuse_packet_id(enum mqtt_version v, enum mqtt_type type, enum mqtt_side from,
				    struct mqtt_error *err);
/* A topic name that is none. */
NODISCARD int mqtt_check_topic_name(enum mqtt_version v, struct bytes topic, struct mqtt_error *err);

#endif
