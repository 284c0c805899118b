#include "proto/mqtt_decode.h"

#include "proto/mqtt_topic.h"
#include "proto/mqtt_utf8.h"
#include "proto/mqtt_wire.h"

int mqtt_refuse(struct mqtt_error *err, enum mqtt_reason reason, const char *statement, const char *text)
{
	*err = (struct mqtt_error){.reason = reason, .statement = statement, .text = text};
	return -EPROTO;
}

int mqtt_refuse_short(enum mqtt_version v, struct mqtt_error *err)
{
	return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "2.1.4" : "2.2.3",
			   "the packet ends in the middle of a field");
}

static int refuse_trailing(enum mqtt_version v, struct mqtt_error *err)
{
	return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "2.1.4" : "2.2.3",
			   "the packet is longer than its fields");
}

int mqtt_refuse_packet_id(enum mqtt_version v, enum mqtt_type type, enum mqtt_side from,
			  struct mqtt_error *err)
{
	const char *statement = v == MQTT_5 ? "MQTT-2.2.1-5" : "MQTT-2.3.1-6"; /* that of its PUBLISH */

	if (type == MQTT_SUBACK || type == MQTT_UNSUBACK)
		statement = v == MQTT_5 ? "MQTT-2.2.1-6" : "MQTT-2.3.1-7";
	else if (type == MQTT_PUBLISH || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE) {
		statement = from == MQTT_CLIENT ? "MQTT-2.2.1-3" : "MQTT-2.2.1-4";
		statement = v == MQTT_5 ? statement : "MQTT-2.3.1-1";
	}
	return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, statement, "a Packet Identifier must not be 0");
}

int mqtt_check_string(enum mqtt_version v, struct bytes text, struct mqtt_error *err)
{
	switch (mqtt_utf8_check(text)) {
	case MQTT_UTF8_OK: return 0;
	case MQTT_UTF8_ILL_FORMED:
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "MQTT-1.5.4-1" : "MQTT-1.5.3-1",
				   "a UTF-8 Encoded String is not well-formed UTF-8");
	case MQTT_UTF8_NULL:
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "MQTT-1.5.4-2" : "MQTT-1.5.3-2",
				   "a UTF-8 Encoded String must not contain U+0000");
	}
	UNREACHABLE();
}

/* An empty topic name is the caller's to judge: a Topic Alias may stand for it. */
int mqtt_check_topic_name(enum mqtt_version v, struct bytes topic, struct mqtt_error *err)
{
	switch (mqtt_topic_name_check(topic)) {
	case MQTT_TOPIC_OK:
	case MQTT_TOPIC_EMPTY: return 0;
	case MQTT_TOPIC_NOT_UTF8:
	case MQTT_TOPIC_NULL: return mqtt_check_string(v, topic, err);
	case MQTT_TOPIC_WILDCARD:
		return mqtt_refuse(err, MQTT_TOPIC_NAME_INVALID, "MQTT-3.3.2-2",
				   "a Topic Name must not contain wildcard characters");
	case MQTT_TOPIC_TOO_LONG: /* two bytes of length cannot say it */
	case MQTT_TOPIC_HASH_PLACE:
	case MQTT_TOPIC_PLUS_PLACE:
	case MQTT_TOPIC_SHARE_NAME:
	case MQTT_TOPIC_SHARE_FILTER: break; /* a filter's */
	}
	UNREACHABLE();
}

/* --------------------------------------------------------------------------------------- fixed header */

struct fixed_header {
	enum mqtt_type type;
	uint8_t flags;
	uint32_t header_bytes;
	uint32_t body_bytes;
};

#define FROM_CLIENT (1u << MQTT_CLIENT)
#define FROM_SERVER (1u << MQTT_SERVER)

/* MQTT 5.0 tables 2-1 and 2-2: who sends it, which flags it must have, which rule says so. PUBLISH has its
 * own. */
static const struct {
	uint8_t from_3_1_1, from_5;
	uint8_t flags;
	const char *statement; /* NULL: 5.0 MQTT-2.1.3-1, 3.1.1 MQTT-2.2.2-2 */
} kinds[16] = {
	[MQTT_CONNECT] = {FROM_CLIENT, FROM_CLIENT, 0, NULL},
	[MQTT_CONNACK] = {FROM_SERVER, FROM_SERVER, 0, NULL},
	[MQTT_PUBLISH] = {FROM_CLIENT | FROM_SERVER, FROM_CLIENT | FROM_SERVER, 0, NULL},
	[MQTT_PUBACK] = {FROM_CLIENT | FROM_SERVER, FROM_CLIENT | FROM_SERVER, 0, NULL},
	[MQTT_PUBREC] = {FROM_CLIENT | FROM_SERVER, FROM_CLIENT | FROM_SERVER, 0, NULL},
	[MQTT_PUBREL] = {FROM_CLIENT | FROM_SERVER, FROM_CLIENT | FROM_SERVER, 2, "MQTT-3.6.1-1"},
	[MQTT_PUBCOMP] = {FROM_CLIENT | FROM_SERVER, FROM_CLIENT | FROM_SERVER, 0, NULL},
	[MQTT_SUBSCRIBE] = {FROM_CLIENT, FROM_CLIENT, 2, "MQTT-3.8.1-1"},
	[MQTT_SUBACK] = {FROM_SERVER, FROM_SERVER, 0, NULL},
	[MQTT_UNSUBSCRIBE] = {FROM_CLIENT, FROM_CLIENT, 2, "MQTT-3.10.1-1"},
	[MQTT_UNSUBACK] = {FROM_SERVER, FROM_SERVER, 0, NULL},
	[MQTT_PINGREQ] = {FROM_CLIENT, FROM_CLIENT, 0, NULL},
	[MQTT_PINGRESP] = {FROM_SERVER, FROM_SERVER, 0, NULL},
	[MQTT_DISCONNECT] = {FROM_CLIENT, FROM_CLIENT | FROM_SERVER, 0, "MQTT-3.14.1-1"},
	[MQTT_AUTH] = {0, FROM_CLIENT | FROM_SERVER, 0, "MQTT-3.15.1-1"},
};

static int check_publish_flags(uint8_t flags, struct mqtt_error *err)
{
	unsigned qos = flags >> 1 & 3;

	if (qos == 3)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.3.1-4",
				   "a PUBLISH must not have both QoS bits set");
	if (qos == 0 && flags & 8)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.3.1-2",
				   "the DUP flag must be 0 in a PUBLISH of QoS 0");
	return 0;
}

static int check_first_byte(uint8_t first, enum mqtt_version v, enum mqtt_side from, struct mqtt_error *err)
{
	unsigned type = first >> 4;
	uint8_t senders = v == MQTT_5 ? kinds[type].from_5 : kinds[type].from_3_1_1;
	const char *section = v == MQTT_5 ? "2.1.2" : "2.2.1";

	if (senders == 0)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, section, "the packet type is reserved");
	if (!(senders >> from & 1))
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, section,
				   from == MQTT_CLIENT ? "a Client must not send this packet type"
						       : "a Server must not send this packet type");
	if (type == MQTT_PUBLISH)
		return check_publish_flags(first & 0x0F, err);
	if ((first & 0x0F) == kinds[type].flags)
		return 0;
	if (kinds[type].statement)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, kinds[type].statement,
				   "the reserved flags of the fixed header have a wrong value");
	return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "MQTT-2.1.3-1" : "MQTT-2.2.2-2",
			   "the reserved flags of the fixed header have a wrong value");
}

/* Packets of one length are refused before a hostile length makes anybody wait for it. */
static int check_body_bytes(enum mqtt_type type, enum mqtt_version v, uint32_t body_bytes,
			    struct mqtt_error *err)
{
	uint32_t most_bytes = UINT32_MAX;

	switch (type) {
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: most_bytes = 0; break;
	case MQTT_DISCONNECT: most_bytes = v == MQTT_5 ? UINT32_MAX : 0; break;
	case MQTT_CONNACK:
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
	case MQTT_UNSUBACK: most_bytes = v == MQTT_5 ? UINT32_MAX : 2; break;
	case MQTT_CONNECT:
	case MQTT_PUBLISH:
	case MQTT_SUBSCRIBE:
	case MQTT_SUBACK:
	case MQTT_UNSUBSCRIBE:
	case MQTT_AUTH: break;
	}
	return body_bytes > most_bytes ? refuse_trailing(v, err) : 0;
}

/* 1: *out is the header; 0: incomplete. */
static int decode_fixed_header(struct bytes in, enum mqtt_version v, enum mqtt_side from,
			       uint32_t max_packet_bytes, struct fixed_header *out, struct mqtt_error *err)
{
	struct reader r = reader_of(in);
	enum mqtt_wire fault;
	uint8_t first;
	int result;

	if (in.size == 0)
		return 0;
	first = read_u8(&r);
	result = check_first_byte(first, v, from, err);
	if (result)
		return result;
	out->type = (enum mqtt_type)(first >> 4);
	out->flags = first & 0x0F;
	fault = mqtt_read_varint(&r, &out->body_bytes);
	if (fault == MQTT_WIRE_SHORT)
		return 0;
	if (fault == MQTT_WIRE_LONG)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "1.5.5" : "2.2.3",
				   "the Remaining Length has more than four bytes");
	/* 3.1.1 does not ask for the shortest form. */
	if (fault == MQTT_WIRE_NOT_MINIMAL && v == MQTT_5)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-1.5.5-1",
				   "the Remaining Length has more bytes than its value needs");
	out->header_bytes = (uint32_t)(r.at - in.ptr);
	if (max_packet_bytes && out->header_bytes + out->body_bytes > max_packet_bytes)
		return mqtt_refuse(err, MQTT_PACKET_TOO_LARGE, v == MQTT_5 ? "3.1.2.11.4" : "2.2.3",
				   "the packet is larger than the Maximum Packet Size");
	result = check_body_bytes(out->type, v, out->body_bytes, err);
	return result ? result : 1;
}

/* ---------------------------------------------------------------------------------------- the packets */

static const char *reason_statement(enum mqtt_type type)
{
	switch (type) {
	case MQTT_CONNACK: return "MQTT-3.2.2-8";
	case MQTT_PUBACK: return "MQTT-3.4.2-1";
	case MQTT_PUBREC: return "MQTT-3.5.2-1";
	case MQTT_PUBREL: return "MQTT-3.6.2-1";
	case MQTT_PUBCOMP: return "MQTT-3.7.2-1";
	case MQTT_DISCONNECT: return "MQTT-3.14.2-1";
	case MQTT_AUTH: return "MQTT-3.15.2-1";
	case MQTT_CONNECT:
	case MQTT_PUBLISH:
	case MQTT_SUBSCRIBE:
	case MQTT_SUBACK:
	case MQTT_UNSUBSCRIBE:
	case MQTT_UNSUBACK:
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: break;
	}
	return "2.4";
}

static int check_reason(enum mqtt_type type, enum mqtt_side from, uint8_t code, struct mqtt_error *err)
{
	if (mqtt_reason_allowed(MQTT_5, type, from, code))
		return 0;
	return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, reason_statement(type),
			   "this packet type has no such Reason Code from this side");
}

static int decode_connack(struct reader *r, enum mqtt_version v, struct mqtt_connack *out,
			  struct mqtt_error *err)
{
	uint8_t flags = read_u8(r);
	int result = 0;

	out->code = read_u8(r);
	if (r->failed)
		return mqtt_refuse_short(v, err);
	if (flags & 0xFE)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, v == MQTT_5 ? "MQTT-3.2.2-1" : "3.2.2.1",
				   "bits 7-1 of the Connect Acknowledge Flags must be 0");
	out->session_present = flags & 1;
	if (v == MQTT_5)
		result = check_reason(MQTT_CONNACK, MQTT_SERVER, out->code, err);
	else if (!mqtt_reason_allowed(v, MQTT_CONNACK, MQTT_SERVER, out->code))
		result = mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "3.2.2.3", "the return code is reserved");
	if (result)
		return result;
	if (out->code && out->session_present)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, v == MQTT_5 ? "MQTT-3.2.2-6" : "MQTT-3.2.2-4",
				   "Session Present must be 0 when the connection is refused");
	return mqtt_decode_props(r, v, MQTT_CONNACK, MQTT_SERVER, &out->props, err);
}

/* What stands for the topic: its name, or in 5.0 an alias. */
static int check_publish_topic(enum mqtt_version v, const struct mqtt_publish *p, struct mqtt_error *err)
{
	if (p->topic.size || mqtt_props_has(&p->props, MQTT_PROP_TOPIC_ALIAS))
		return 0;
	if (v == MQTT_5)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "3.3.2.1",
				   "a PUBLISH needs a Topic Name or a Topic Alias");
	return mqtt_refuse(err, MQTT_TOPIC_NAME_INVALID, "MQTT-4.7.3-1",
			   "a Topic Name must be at least one character long");
}

static int decode_publish(struct reader *r, enum mqtt_version v, enum mqtt_side from, uint8_t flags,
			  struct mqtt_publish *out, struct mqtt_error *err)
{
	int result;

	out->retain = flags & 1;
	out->qos = flags >> 1 & 3;
	out->dup = flags >> 3;
	if (mqtt_read_field(r, &out->topic) != MQTT_WIRE_OK)
		return mqtt_refuse_short(v, err);
	result = mqtt_check_topic_name(v, out->topic, err);
	if (result)
		return result;
	out->packet_id = out->qos ? read_u16(r) : 0;
	if (r->failed)
		return mqtt_refuse_short(v, err);
	if (out->qos && out->packet_id == 0)
		return mqtt_refuse_packet_id(v, MQTT_PUBLISH, from, err);
	result = mqtt_decode_props(r, v, MQTT_PUBLISH, from, &out->props, err);
	if (result)
		return result;
	out->payload = read_bytes(r, reader_left(r));
	return check_publish_topic(v, out, err);
}

/* PUBACK and its like: 2 bytes in 3.1.1; in 5.0 the reason code and the properties may be left out. */
static int decode_ack(struct reader *r, enum mqtt_version v, enum mqtt_type type, enum mqtt_side from,
		      struct mqtt_ack *out, struct mqtt_error *err)
{
	int result;

	out->packet_id = read_u16(r);
	out->code = MQTT_SUCCESS;
	mqtt_props_clear(&out->props, sizeof(out->props));
	if (r->failed)
		return mqtt_refuse_short(v, err);
	if (out->packet_id == 0)
		return mqtt_refuse_packet_id(v, type, from, err);
	if (v == MQTT_3_1_1 || reader_left(r) == 0)
		return 0;
	out->code = read_u8(r);
	result = check_reason(type, from, out->code, err);
	if (result || reader_left(r) == 0)
		return result;
	return mqtt_decode_props(r, v, type, from, &out->props, err);
}

static int decode_disconnect(struct reader *r, enum mqtt_version v, enum mqtt_side from,
			     struct mqtt_goodbye *out, struct mqtt_error *err)
{
	int result;

	*out = (struct mqtt_goodbye){0};
	if (v == MQTT_3_1_1 || reader_left(r) == 0)
		return 0;
	out->code = read_u8(r);
	result = check_reason(MQTT_DISCONNECT, from, out->code, err);
	if (result || reader_left(r) == 0)
		return result;
	return mqtt_decode_props(r, v, MQTT_DISCONNECT, from, &out->props, err);
}

static int decode_auth(struct reader *r, enum mqtt_side from, struct mqtt_goodbye *out,
		       struct mqtt_error *err)
{
	bool is_short = reader_left(r) == 0;
	int result;

	*out = (struct mqtt_goodbye){0};
	if (!is_short)
		out->code = read_u8(r);
	result = check_reason(MQTT_AUTH, from, out->code, err);
	if (result || is_short)
		return result;
	result = mqtt_decode_props(r, MQTT_5, MQTT_AUTH, from, &out->props, err);
	if (result)
		return result;
	if (!mqtt_props_has(&out->props, MQTT_PROP_AUTHENTICATION_METHOD))
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "3.15.2.2.2",
				   "an AUTH needs an Authentication Method");
	return 0;
}

static int decode_body(struct reader *r, enum mqtt_version v, enum mqtt_side from, struct mqtt_packet *out,
		       struct mqtt_error *err)
{
	switch (out->type) {
	case MQTT_CONNECT: return mqtt_decode_connect(r, v, &out->connect, err);
	case MQTT_CONNACK: return decode_connack(r, v, &out->connack, err);
	case MQTT_PUBLISH: return decode_publish(r, v, from, out->flags, &out->publish, err);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: return decode_ack(r, v, out->type, from, &out->ack, err);
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE: return mqtt_decode_subscribe(r, v, out->type, &out->subscribe, err);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK: return mqtt_decode_suback(r, v, out->type, &out->suback, err);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: return 0;
	case MQTT_DISCONNECT: return decode_disconnect(r, v, from, &out->goodbye, err);
	case MQTT_AUTH: return decode_auth(r, from, &out->goodbye, err);
	}
	UNREACHABLE();
}

int mqtt_decode(struct bytes in, enum mqtt_version v, enum mqtt_side from, uint32_t max_packet_bytes,
		struct mqtt_packet *out, struct mqtt_error *err)
{
	struct fixed_header header = {0};
	struct reader r;
	int result = decode_fixed_header(in, v, from, max_packet_bytes, &header, err);

	if (result <= 0)
		return result;
	if (in.size - header.header_bytes < header.body_bytes)
		return 0;
	out->type = header.type;
	out->flags = header.flags;
	out->size_bytes = header.header_bytes + header.body_bytes;
	r = reader_of(bytes_of(in.ptr + header.header_bytes, header.body_bytes));
	result = decode_body(&r, v, from, out, err);
	if (result)
		return result;
	if (reader_left(&r))
		return refuse_trailing(v, err);
	return (int)out->size_bytes;
}

int mqtt_connect_version(struct bytes in, enum mqtt_version *out, struct mqtt_error *err)
{
	struct fixed_header header = {0};
	struct reader r;
	struct bytes name;
	uint8_t level;
	int result = decode_fixed_header(in, MQTT_5, MQTT_CLIENT, 0, &header, err);

	if (result <= 0)
		return result;
	if (header.type != MQTT_CONNECT)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "MQTT-3.1.0-1",
				   "the first packet of a Client must be CONNECT");
	in = bytes_of(in.ptr + header.header_bytes, in.size - header.header_bytes);
	if (in.size < 7 && in.size < header.body_bytes)
		return 0;
	r = reader_of(bytes_of(in.ptr, min_size(in.size, header.body_bytes)));
	if (mqtt_read_field(&r, &name) != MQTT_WIRE_OK || !bytes_equal(name, bytes_of_text("MQTT")))
		return mqtt_refuse(err, MQTT_UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-1",
				   "the protocol name must be MQTT");
	level = read_u8(&r);
	if (r.failed)
		return mqtt_refuse_short(MQTT_5, err);
	if (level != MQTT_3_1_1 && level != MQTT_5)
		return mqtt_refuse(err, MQTT_UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-2",
				   "the protocol version is not supported");
	*out = (enum mqtt_version)level;
	return 1;
}
