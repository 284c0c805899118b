/* The packets whose payload is a list: SUBSCRIBE, UNSUBSCRIBE and their answers. */
#include "proto/mqtt_decode.h"

#include "proto/mqtt_topic.h"
#include "proto/mqtt_wire.h"

bool mqtt_next_filter(struct reader *it, struct bytes *filter)
{
	return reader_left(it) && mqtt_read_field(it, filter) == MQTT_WIRE_OK;
}

bool mqtt_next_subscription(struct reader *it, enum mqtt_version v, struct mqtt_subscription *out)
{
	uint8_t options;

	*out = (struct mqtt_subscription){0};
	if (!mqtt_next_filter(it, &out->filter))
		return false;
	options = read_u8(it);
	if (it->failed)
		return false;
	out->qos = options & 3;
	if (v == MQTT_5) {
		out->no_local = options >> 2 & 1;
		out->retain_as_published = options >> 3 & 1;
		out->retain_handling = options >> 4 & 3;
	}
	return true;
}

static int check_filter(enum mqtt_version v, struct bytes filter, struct mqtt_error *err)
{
	enum mqtt_topic_fault fault = mqtt_topic_filter_check(v, filter);
	const char *statement = NULL;

	switch (fault) {
	case MQTT_TOPIC_OK: return 0;
	case MQTT_TOPIC_NOT_UTF8:
	case MQTT_TOPIC_NULL: return mqtt_check_string(v, filter, err);
	case MQTT_TOPIC_EMPTY: statement = "MQTT-4.7.3-1"; break;
	case MQTT_TOPIC_TOO_LONG: statement = "MQTT-4.7.3-3"; break;
	case MQTT_TOPIC_WILDCARD:
	case MQTT_TOPIC_HASH_PLACE: statement = v == MQTT_5 ? "MQTT-4.7.1-1" : "MQTT-4.7.1-2"; break;
	case MQTT_TOPIC_PLUS_PLACE: statement = v == MQTT_5 ? "MQTT-4.7.1-2" : "MQTT-4.7.1-3"; break;
	case MQTT_TOPIC_SHARE_NAME:
		/* Empty, or one of the characters that it must not contain. */
		statement = filter.ptr[sizeof("$share/") - 1] == '/' ? "MQTT-4.8.2-1" : "MQTT-4.8.2-2";
		break;
	case MQTT_TOPIC_SHARE_FILTER: statement = "MQTT-4.8.2-2"; break;
	}
	ASSERT(statement);
	return mqtt_refuse(err, MQTT_TOPIC_FILTER_INVALID, statement, mqtt_topic_fault_text(fault));
}

static int check_options(enum mqtt_version v, uint8_t options, struct bytes filter, struct mqtt_error *err)
{
	struct bytes share_name, rest;

	if (v == MQTT_3_1_1) {
		if (options <= 2)
			return 0;
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.8.3-4",
				   "the requested QoS must be 0, 1 or 2 and its reserved bits 0");
	}
	if (options & 0xC0)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-3.8.3-5",
				   "the reserved bits of the Subscription Options must be 0");
	if ((options & 3) == 3)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "3.8.3.1", "the Maximum QoS must be 0, 1 or 2");
	if ((options >> 4 & 3) == 3)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "3.8.3.1",
				   "the Retain Handling must be 0, 1 or 2");
	if (options & 4 && mqtt_topic_share(filter, &share_name, &rest))
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "MQTT-3.8.3-4",
				   "No Local must not be set on a Shared Subscription");
	return 0;
}

/* One filter, with its options in a SUBSCRIBE. */
static int check_entry(struct reader *it, enum mqtt_version v, enum mqtt_type type, struct mqtt_error *err)
{
	struct bytes filter;
	uint8_t options;
	int result;

	if (!mqtt_next_filter(it, &filter))
		return mqtt_refuse_short(v, err);
	result = check_filter(v, filter, err);
	if (result || type == MQTT_UNSUBSCRIBE)
		return result;
	options = read_u8(it);
	if (it->failed)
		return mqtt_refuse_short(v, err);
	return check_options(v, options, filter, err);
}

static int refuse_no_filter(enum mqtt_version v, enum mqtt_type type, struct mqtt_error *err)
{
	const char *statement = "MQTT-3.10.3-2";

	if (type == MQTT_SUBSCRIBE)
		statement = v == MQTT_5 ? "MQTT-3.8.3-2" : "MQTT-3.8.3-3";
	return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, statement,
			   "the payload must contain at least one Topic Filter");
}

int mqtt_decode_subscribe(struct reader *r, enum mqtt_version v, enum mqtt_type type,
			  struct mqtt_subscribe *out, struct mqtt_error *err)
{
	struct reader it;
	int result;

	out->packet_id = read_u16(r);
	out->filter_count = 0;
	if (r->failed)
		return mqtt_refuse_short(v, err);
	if (out->packet_id == 0)
		return mqtt_refuse_packet_id(v, type, MQTT_CLIENT, err);
	result = mqtt_decode_props(r, v, type, MQTT_CLIENT, &out->props, err);
	if (result)
		return result;
	out->filters = read_bytes(r, reader_left(r));
	if (out->filters.size == 0)
		return refuse_no_filter(v, type, err);
	it = reader_of(out->filters);
	while (reader_left(&it)) {
		result = check_entry(&it, v, type, err);
		if (result)
			return result;
		out->filter_count++;
	}
	return 0;
}

int mqtt_decode_suback(struct reader *r, enum mqtt_version v, enum mqtt_type type, struct mqtt_suback *out,
		       struct mqtt_error *err)
{
	const char *section = type == MQTT_SUBACK ? "3.9.3" : "3.11.3";
	const char *statement = type == MQTT_SUBACK ? "MQTT-3.9.3-2" : "MQTT-3.11.3-2";
	int result;

	out->packet_id = read_u16(r);
	if (r->failed)
		return mqtt_refuse_short(v, err);
	if (out->packet_id == 0)
		return mqtt_refuse_packet_id(v, type, MQTT_SERVER, err);
	result = mqtt_decode_props(r, v, type, MQTT_SERVER, &out->props, err);
	if (result)
		return result;
	if (v == MQTT_3_1_1 && type == MQTT_UNSUBACK) {
		out->codes = (struct bytes){0}; /* it has no payload; the caller sees what is left */
		return 0;
	}
	out->codes = read_bytes(r, reader_left(r));
	if (out->codes.size == 0)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, section,
				   "there must be a code for each Topic Filter");
	for (size_t i = 0; i < out->codes.size; i++)
		if (!mqtt_reason_allowed(v, type, MQTT_SERVER, out->codes.ptr[i]))
			return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, statement,
					   "this packet type has no such code");
	return 0;
}
