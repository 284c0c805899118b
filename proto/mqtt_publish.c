#include "proto/mqtt_publish.h"

#include "proto/mqtt_props.h"
#include "proto/mqtt_wire.h"

#define ALIAS_BYTES  3 /* the property's identifier and its value */
#define EXPIRY_BYTES 5 /* the same */

static uint8_t *put_back(uint8_t *at, struct bytes run)
{
	at -= run.size;
	if (run.size)
		memcpy(at, run.ptr, run.size);
	return at;
}

static uint8_t *put_back_u16(uint8_t *at, uint16_t value)
{
	*--at = (uint8_t)value;
	*--at = (uint8_t)(value >> 8);
	return at;
}

/* The first byte has the lowest address, so the size has to be known before. */
static uint8_t *put_back_varint(uint8_t *at, uint32_t value)
{
	uint32_t size = mqtt_varint_bytes(value);

	at -= size;
	for (uint32_t i = 0; i < size; i++, value >>= 7)
		at[i] = (uint8_t)((value & 0x7F) | (i + 1 < size ? 0x80 : 0));
	return at;
}

uint32_t mqtt_publish_headroom_bytes(enum mqtt_version v, size_t topic_bytes, uint8_t qos, size_t props_bytes)
{
	size_t bytes = 1 + 4 + 2 + topic_bytes + (qos ? 2 : 0);

	ASSERT(topic_bytes <= MQTT_STRING_BYTES_MAX);
	ASSERT(props_bytes <= MQTT_REMAINING_LENGTH_MAX / 2);
	if (v == MQTT_5)
		bytes += mqtt_varint_bytes((uint32_t)props_bytes + ALIAS_BYTES + EXPIRY_BYTES) + props_bytes +
			 ALIAS_BYTES + EXPIRY_BYTES;
	return (uint32_t)bytes;
}

uint8_t *mqtt_publish_header_backwards(uint8_t *payload, const struct mqtt_publish_header *h)
{
	uint8_t *at = payload;
	size_t remaining;

	ASSERT(h->qos <= 2);
	ASSERT((h->qos == 0) == (h->packet_id == 0));
	ASSERT(!h->dup || h->qos);
	ASSERT(h->topic.size <= MQTT_STRING_BYTES_MAX);
	ASSERT(h->topic.size || h->topic_alias);
	if (h->version == MQTT_5) {
		size_t props_bytes = h->props.size + (h->topic_alias ? ALIAS_BYTES : 0) +
				     (h->expiry_s ? EXPIRY_BYTES : 0);

		ASSERT(props_bytes <= MQTT_REMAINING_LENGTH_MAX);
		at = put_back(at, h->props);
		if (h->expiry_s) {
			at = put_back_u16(at, (uint16_t)h->expiry_s);
			at = put_back_u16(at, (uint16_t)(h->expiry_s >> 16));
			*--at = MQTT_PROP_MESSAGE_EXPIRY_INTERVAL;
		}
		if (h->topic_alias) {
			at = put_back_u16(at, h->topic_alias);
			*--at = MQTT_PROP_TOPIC_ALIAS;
		}
		at = put_back_varint(at, (uint32_t)props_bytes);
	} else {
		ASSERT(h->topic_alias == 0);
		ASSERT(h->expiry_s == 0);
		ASSERT(h->props.size == 0);
	}
	if (h->qos)
		at = put_back_u16(at, h->packet_id);
	at = put_back(at, h->topic);
	at = put_back_u16(at, (uint16_t)h->topic.size);
	remaining = (size_t)(payload - at) + h->payload_bytes;
	ASSERT(remaining <= MQTT_REMAINING_LENGTH_MAX);
	at = put_back_varint(at, (uint32_t)remaining);
	*--at = (uint8_t)(MQTT_PUBLISH << 4 | h->dup << 3 | h->qos << 1 | h->retain);
	return at;
}
