/* CONNECT: the packet with the most rules. */
#include "proto/mqtt_decode.h"

#include "proto/mqtt_wire.h"

#define FLAG_RESERVED    0x01
#define FLAG_CLEAN_START 0x02
#define FLAG_WILL        0x04
#define FLAG_WILL_RETAIN 0x20
#define FLAG_PASSWORD    0x40
#define FLAG_USER_NAME   0x80

static int decode_protocol(struct reader *r, enum mqtt_version v, struct mqtt_error *err)
{
	struct bytes name;
	uint8_t level;

	if (mqtt_read_field(r, &name) != MQTT_WIRE_OK)
		return mqtt_refuse_short(v, err);
	if (!bytes_equal(name, bytes_of_text("MQTT")))
		return mqtt_refuse(err, MQTT_UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-1",
				   "the protocol name must be MQTT");
	level = read_u8(r);
	if (r->failed)
		return mqtt_refuse_short(v, err);
	if (level != v)
		return mqtt_refuse(err, MQTT_UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-2",
				   "the protocol version is not the expected one");
	return 0;
}

static int check_flags(uint8_t flags, enum mqtt_version v, struct mqtt_error *err)
{
	unsigned will_qos = flags >> 3 & 3;

	if (flags & FLAG_RESERVED)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.1.2-3",
				   "the reserved bit of the Connect Flags must be 0");
	if (!(flags & FLAG_WILL) && will_qos)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET,
				   v == MQTT_5 ? "MQTT-3.1.2-11" : "MQTT-3.1.2-13",
				   "without a Will the Will QoS must be 0");
	if (!(flags & FLAG_WILL) && flags & FLAG_WILL_RETAIN)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET,
				   v == MQTT_5 ? "MQTT-3.1.2-13" : "MQTT-3.1.2-15",
				   "without a Will the Will Retain must be 0");
	if (will_qos == 3)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET,
				   v == MQTT_5 ? "MQTT-3.1.2-12" : "MQTT-3.1.2-14",
				   "the Will QoS must be 0, 1 or 2");
	if (v == MQTT_3_1_1 && flags & FLAG_PASSWORD && !(flags & FLAG_USER_NAME))
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.1.2-22",
				   "without a User Name there must be no Password");
	return 0;
}

static int decode_will(struct reader *r, enum mqtt_version v, uint8_t flags, struct mqtt_will *out,
		       struct mqtt_error *err)
{
	int result;

	out->qos = flags >> 3 & 3;
	out->retain = flags & FLAG_WILL_RETAIN;
	result = mqtt_decode_props(r, v, MQTT_PLACE_WILL, MQTT_CLIENT, &out->props, err);
	if (result)
		return result;
	if (mqtt_read_field(r, &out->topic) != MQTT_WIRE_OK)
		return mqtt_refuse_short(v, err);
	result = mqtt_check_topic_name(v, out->topic, err);
	if (result)
		return result;
	if (out->topic.size == 0)
		return mqtt_refuse(err, MQTT_TOPIC_NAME_INVALID, "MQTT-4.7.3-1",
				   "a Will Topic must be at least one character long");
	if (mqtt_read_field(r, &out->payload) != MQTT_WIRE_OK)
		return mqtt_refuse_short(v, err);
	return 0;
}

static int decode_client_id(struct reader *r, enum mqtt_version v, struct mqtt_connect *out,
			    struct mqtt_error *err)
{
	int result;

	if (mqtt_read_field(r, &out->client_id) != MQTT_WIRE_OK)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.1.3-3",
				   "the Client Identifier is missing");
	result = mqtt_check_string(v, out->client_id, err);
	if (result)
		return result;
	if (v == MQTT_3_1_1 && out->client_id.size == 0 && !out->clean_start)
		return mqtt_refuse(err, MQTT_CLIENT_IDENTIFIER_NOT_VALID, "MQTT-3.1.3-7",
				   "an empty Client Identifier needs Clean Session 1");
	return 0;
}

int mqtt_decode_connect(struct reader *r, enum mqtt_version v, struct mqtt_connect *out,
			struct mqtt_error *err)
{
	uint8_t flags;
	int result = decode_protocol(r, v, err);

	if (result)
		return result;
	*out = (struct mqtt_connect){0};
	flags = read_u8(r);
	out->keep_alive_s = read_u16(r);
	if (r->failed)
		return mqtt_refuse_short(v, err);
	result = check_flags(flags, v, err);
	if (result)
		return result;
	out->clean_start = flags & FLAG_CLEAN_START;
	out->has_will = flags & FLAG_WILL;
	out->has_user_name = flags & FLAG_USER_NAME;
	out->has_password = flags & FLAG_PASSWORD;
	result = mqtt_decode_props(r, v, MQTT_CONNECT, MQTT_CLIENT, &out->props, err);
	if (result == 0)
		result = decode_client_id(r, v, out, err);
	if (result == 0 && out->has_will)
		result = decode_will(r, v, flags, &out->will, err);
	if (result)
		return result;
	if (out->has_user_name) {
		if (mqtt_read_field(r, &out->user_name) != MQTT_WIRE_OK)
			return mqtt_refuse_short(v, err);
		result = mqtt_check_string(v, out->user_name, err);
	}
	if (result == 0 && out->has_password && mqtt_read_field(r, &out->password) != MQTT_WIRE_OK)
		return mqtt_refuse_short(v, err);
	return result;
}
