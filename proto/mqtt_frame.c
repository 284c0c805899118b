#include "proto/mqtt_frame.h"

#include "proto/mqtt_wire.h"

#define FLAG_USER_NAME 0x80u
#define FLAG_WILL      0x04u
#define LEVEL_5        5u

int64_t mqtt_frame_bytes(struct bytes input)
{
	struct reader r = reader_of(input);
	uint32_t remaining;

	if (read_u8(&r) >> 4 == 0 && input.size)
		return -EPROTO;
	if (input.size == 0)
		return 0;
	switch (mqtt_read_varint(&r, &remaining)) {
	case MQTT_WIRE_OK: return (int64_t)(input.size - reader_left(&r)) + remaining;
	case MQTT_WIRE_SHORT: return 0;
	case MQTT_WIRE_LONG:
	case MQTT_WIRE_NOT_MINIMAL:
	case MQTT_WIRE_UNKNOWN: return -EPROTO;
	}
	UNREACHABLE();
}

/* Past a length of two bytes and what it says. */
static void pass_field(struct reader *r)
{
	(void)read_bytes(r, read_u16(r));
}

static void pass_props(struct reader *r)
{
	uint32_t size_bytes;

	if (r->failed)
		return;
	if (mqtt_read_varint(r, &size_bytes) != MQTT_WIRE_OK)
		r->failed = true;
	else
		(void)read_bytes(r, size_bytes);
}

/* Bytes before the password's text; without one they are all that there are. Cut short, or not to be followed: as far as that
 * went. SIZE_MAX: no CONNECT. */
static size_t password_at(struct bytes packet)
{
	struct reader r = reader_of(packet);
	uint32_t remaining;

	if (read_u8(&r) >> 4 != MQTT_CONNECT)
		return SIZE_MAX;
	if (mqtt_read_varint(&r, &remaining) != MQTT_WIRE_OK)
		return 1;
	pass_field(&r); /* the protocol's name */
	uint8_t level = read_u8(&r), flags = read_u8(&r);

	(void)read_u16(&r); /* keep-alive */
	if (level == LEVEL_5)
		pass_props(&r);
	pass_field(&r); /* the client's identifier */
	if (flags & FLAG_WILL) {
		if (level == LEVEL_5)
			pass_props(&r);
		pass_field(&r);
		pass_field(&r);
	}
	if (flags & FLAG_USER_NAME)
		pass_field(&r);
	(void)read_u16(&r);
	return packet.size - reader_left(&r);
}

void mqtt_frame_mask(uint8_t *packet, size_t size_bytes)
{
	size_t at = size_bytes ? password_at(bytes_of(packet, size_bytes)) : SIZE_MAX;

	if (at < size_bytes)
		memset(packet + at, '*', size_bytes - at); /* the password is a CONNECT's last field */
}
