#include "proto/mqtt_props.h"

#include "proto/mqtt_topic.h"
#include "proto/mqtt_utf8.h"
#include "proto/mqtt_wire.h"

#define IN(type) MQTT_PLACE(MQTT_##type)
#define WILL     MQTT_PLACE(MQTT_PLACE_WILL)
#define ACKS     (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK))
#define ANYWHERE \
	(ACKS | WILL | IN(CONNECT) | IN(CONNACK) | IN(PUBLISH) | IN(SUBSCRIBE) | IN(UNSUBSCRIBE) | \
	 IN(DISCONNECT) | IN(AUTH))

#define ROW(ID, NAME, KIND, FIELD, MIN, MAX, PLACES) \
	[MQTT_PROP_##ID] = { \
		.name = (NAME), \
		.kind = MQTT_KIND_##KIND, \
		.places = (PLACES), \
		.offset = offsetof(struct mqtt_props, FIELD), \
		.id = MQTT_PROP_##ID, \
		.value_min = (MIN), \
		.value_max = (MAX), \
	}
#define REPEATED(ID, NAME, KIND, MIN, MAX, PLACES) \
	[MQTT_PROP_##ID] = { \
		.name = (NAME), \
		.kind = MQTT_KIND_##KIND, \
		.places = (PLACES), \
		.id = MQTT_PROP_##ID, \
		.repeats = 1, \
		.value_min = (MIN), \
		.value_max = (MAX), \
	}

/* MQTT 5.0 table 2-4, indexed by identifier, and the domains from chapter 3. */
static const struct mqtt_prop_info table[] = {
	ROW(PAYLOAD_FORMAT_INDICATOR, "Payload Format Indicator", BYTE, payload_format_indicator, 0, 1,
	    IN(PUBLISH) | WILL),
	ROW(MESSAGE_EXPIRY_INTERVAL, "Message Expiry Interval", U32, message_expiry_interval_s, 0, UINT32_MAX,
	    IN(PUBLISH) | WILL),
	ROW(CONTENT_TYPE, "Content Type", STRING, content_type, 0, 0, IN(PUBLISH) | WILL),
	ROW(RESPONSE_TOPIC, "Response Topic", STRING, response_topic, 0, 0, IN(PUBLISH) | WILL),
	ROW(CORRELATION_DATA, "Correlation Data", BINARY, correlation_data, 0, 0, IN(PUBLISH) | WILL),
	REPEATED(SUBSCRIPTION_IDENTIFIER, "Subscription Identifier", VARINT, 1, MQTT_REMAINING_LENGTH_MAX,
		 IN(PUBLISH) | IN(SUBSCRIBE)),
	ROW(SESSION_EXPIRY_INTERVAL, "Session Expiry Interval", U32, session_expiry_interval_s, 0, UINT32_MAX,
	    IN(CONNECT) | IN(CONNACK) | IN(DISCONNECT)),
	ROW(ASSIGNED_CLIENT_IDENTIFIER, "Assigned Client Identifier", STRING, assigned_client_identifier, 0,
	    0, IN(CONNACK)),
	ROW(SERVER_KEEP_ALIVE, "Server Keep Alive", U16, server_keep_alive_s, 0, UINT16_MAX, IN(CONNACK)),
	ROW(AUTHENTICATION_METHOD, "Authentication Method", STRING, authentication_method, 0, 0,
	    IN(CONNECT) | IN(CONNACK) | IN(AUTH)),
	ROW(AUTHENTICATION_DATA, "Authentication Data", BINARY, authentication_data, 0, 0,
	    IN(CONNECT) | IN(CONNACK) | IN(AUTH)),
	ROW(REQUEST_PROBLEM_INFORMATION, "Request Problem Information", BYTE, request_problem_information, 0,
	    1, IN(CONNECT)),
	ROW(WILL_DELAY_INTERVAL, "Will Delay Interval", U32, will_delay_interval_s, 0, UINT32_MAX, WILL),
	ROW(REQUEST_RESPONSE_INFORMATION, "Request Response Information", BYTE, request_response_information,
	    0, 1, IN(CONNECT)),
	ROW(RESPONSE_INFORMATION, "Response Information", STRING, response_information, 0, 0, IN(CONNACK)),
	ROW(SERVER_REFERENCE, "Server Reference", STRING, server_reference, 0, 0,
	    IN(CONNACK) | IN(DISCONNECT)),
	ROW(REASON_STRING, "Reason String", STRING, reason_string, 0, 0,
	    ACKS | IN(CONNACK) | IN(DISCONNECT) | IN(AUTH)),
	ROW(RECEIVE_MAXIMUM, "Receive Maximum", U16, receive_maximum, 1, UINT16_MAX,
	    IN(CONNECT) | IN(CONNACK)),
	ROW(TOPIC_ALIAS_MAXIMUM, "Topic Alias Maximum", U16, topic_alias_maximum, 0, UINT16_MAX,
	    IN(CONNECT) | IN(CONNACK)),
	ROW(TOPIC_ALIAS, "Topic Alias", U16, topic_alias, 1, UINT16_MAX, IN(PUBLISH)),
	ROW(MAXIMUM_QOS, "Maximum QoS", BYTE, maximum_qos, 0, 1, IN(CONNACK)),
	ROW(RETAIN_AVAILABLE, "Retain Available", BYTE, retain_available, 0, 1, IN(CONNACK)),
	REPEATED(USER_PROPERTY, "User Property", STRING_PAIR, 0, 0, ANYWHERE),
	ROW(MAXIMUM_PACKET_SIZE, "Maximum Packet Size", U32, maximum_packet_size_bytes, 1, UINT32_MAX,
	    IN(CONNECT) | IN(CONNACK)),
	ROW(WILDCARD_SUBSCRIPTION_AVAILABLE, "Wildcard Subscription Available", BYTE,
	    wildcard_subscription_available, 0, 1, IN(CONNACK)),
	ROW(SUBSCRIPTION_IDENTIFIER_AVAILABLE, "Subscription Identifier Available", BYTE,
	    subscription_identifier_available, 0, 1, IN(CONNACK)),
	ROW(SHARED_SUBSCRIPTION_AVAILABLE, "Shared Subscription Available", BYTE,
	    shared_subscription_available, 0, 1, IN(CONNACK)),
};

static_assert(ARRAY_COUNT(table) <= 64, "a presence bit for each identifier");
static_assert(offsetof(struct mqtt_props, present) == 0, "offset 0 means: has no field");

/* Where the specification speaks of the properties of a packet; index: the place. */
static const char *const sections[16] = {
	"3.1.3.2", "3.1.2.11", "3.2.2.3",  "3.3.2.3",  "3.4.2.2", "3.5.2.2", "3.6.2.2",  "3.7.2.2",
	"3.8.2.1", "3.9.2.1",  "3.10.2.1", "3.11.2.1", "3.12",    "3.13",    "3.14.2.2", "3.15.2.2",
};

/* One property as it stands on the wire, nothing of its value checked. */
struct property {
	const struct mqtt_prop_info *info;
	struct bytes whole; /* identifier and value */
	struct bytes text;  /* string, binary, key of a pair */
	struct bytes value; /* value of a pair */
	uint32_t number;
};

const struct mqtt_prop_info *mqtt_prop_info(uint32_t id)
{
	return id < ARRAY_COUNT(table) && table[id].name ? &table[id] : NULL;
}

static enum mqtt_wire read_value(struct reader *r, struct property *p)
{
	switch (p->info->kind) {
	case MQTT_KIND_BYTE: p->number = read_u8(r); break;
	case MQTT_KIND_U16: p->number = read_u16(r); break;
	case MQTT_KIND_U32: p->number = read_u32(r); break;
	case MQTT_KIND_VARINT: return mqtt_read_varint(r, &p->number);
	case MQTT_KIND_STRING:
	case MQTT_KIND_BINARY: return mqtt_read_field(r, &p->text);
	case MQTT_KIND_STRING_PAIR:
		if (mqtt_read_field(r, &p->text) != MQTT_WIRE_OK)
			return MQTT_WIRE_SHORT;
		return mqtt_read_field(r, &p->value);
	}
	return r->failed ? MQTT_WIRE_SHORT : MQTT_WIRE_OK;
}

/* The next property of a run that is not at its end. */
static enum mqtt_wire next_property(struct reader *r, struct property *p)
{
	const uint8_t *start = r->at;
	enum mqtt_wire fault;
	uint32_t id;

	*p = (struct property){0};
	fault = mqtt_read_varint(r, &id);
	if (fault != MQTT_WIRE_OK)
		return fault;
	p->info = mqtt_prop_info(id);
	if (!p->info)
		return MQTT_WIRE_UNKNOWN;
	fault = read_value(r, p);
	p->whole = bytes_of(start, (size_t)(r->at - start));
	return fault;
}

static int refuse_wire(struct mqtt_error *err, enum mqtt_wire fault)
{
	switch (fault) {
	case MQTT_WIRE_OK: break;
	case MQTT_WIRE_SHORT:
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "2.2.2.1",
				   "a property goes past the Property Length");
	case MQTT_WIRE_LONG:
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "1.5.5",
				   "a Variable Byte Integer has more than four bytes");
	case MQTT_WIRE_NOT_MINIMAL:
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-1.5.5-1",
				   "a Variable Byte Integer has more bytes than its value needs");
	case MQTT_WIRE_UNKNOWN:
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "2.2.2.2", "a property identifier is unknown");
	}
	UNREACHABLE();
}

/* May this property stand here, sent by that side, once more? */
static int check_place(const struct property *p, unsigned place, enum mqtt_side from, uint64_t present,
		       struct mqtt_error *err)
{
	bool is_subscription_id = p->info->id == MQTT_PROP_SUBSCRIPTION_IDENTIFIER;
	bool repeated = present >> p->info->id & 1;

	if (!(p->info->places & MQTT_PLACE(place)))
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "2.2.2.2",
				   "a property is not allowed in this packet");
	if (is_subscription_id && place == MQTT_PUBLISH && from == MQTT_CLIENT)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "MQTT-3.3.4-6",
				   "a Client must not send a Subscription Identifier in PUBLISH");
	if (p->info->id == MQTT_PROP_SESSION_EXPIRY_INTERVAL && place == MQTT_DISCONNECT &&
	    from == MQTT_SERVER)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, "MQTT-3.14.2-2",
				   "a Server must not send a Session Expiry Interval in DISCONNECT");
	if (repeated && (!p->info->repeats || (is_subscription_id && place == MQTT_SUBSCRIBE)))
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, sections[place],
				   "a property is there more than once");
	return 0;
}

static int check_number(const struct property *p, unsigned place, struct mqtt_error *err)
{
	if (p->number >= p->info->value_min && p->number <= p->info->value_max)
		return 0;
	if (p->info->id == MQTT_PROP_TOPIC_ALIAS)
		return mqtt_refuse(err, MQTT_TOPIC_ALIAS_INVALID, "MQTT-3.3.2-8",
				   "a Topic Alias must not be 0");
	if (p->info->id == MQTT_PROP_SUBSCRIPTION_IDENTIFIER)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, sections[place],
				   "a Subscription Identifier must be 1 to 268435455");
	if (p->info->value_min)
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, sections[place], "a property must not be 0");
	return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, sections[place], "a property must be 0 or 1");
}

static int check_response_topic(struct bytes topic, struct mqtt_error *err)
{
	enum mqtt_topic_fault fault = mqtt_topic_name_check(topic);

	if (fault == MQTT_TOPIC_WILDCARD)
		return mqtt_refuse(err, MQTT_TOPIC_NAME_INVALID, "MQTT-3.3.2-14",
				   "a Response Topic must not contain wildcard characters");
	if (fault != MQTT_TOPIC_OK)
		return mqtt_refuse(err, MQTT_TOPIC_NAME_INVALID, "MQTT-4.7.3-1",
				   "a Response Topic must be at least one character long");
	return 0;
}

static int check_value(const struct property *p, unsigned place, struct mqtt_error *err)
{
	int result;

	switch (p->info->kind) {
	case MQTT_KIND_BYTE:
	case MQTT_KIND_U16:
	case MQTT_KIND_U32:
	case MQTT_KIND_VARINT: return check_number(p, place, err);
	case MQTT_KIND_BINARY: return 0;
	case MQTT_KIND_STRING:
		result = mqtt_check_string(MQTT_5, p->text, err);
		if (result == 0 && p->info->id == MQTT_PROP_RESPONSE_TOPIC)
			result = check_response_topic(p->text, err);
		return result;
	case MQTT_KIND_STRING_PAIR:
		/* MQTT-1.5.7-1 says no more than that both are strings: the statement is the string's. */
		result = mqtt_check_string(MQTT_5, p->text, err);
		return result ? result : mqtt_check_string(MQTT_5, p->value, err);
	}
	UNREACHABLE();
}

static void store(struct mqtt_props *out, const struct property *p)
{
	uint8_t *field = (uint8_t *)out + p->info->offset;
	uint8_t number_8 = (uint8_t)p->number;
	uint16_t number_16 = (uint16_t)p->number;

	out->present |= 1ull << p->info->id;
	switch (p->info->kind) {
	case MQTT_KIND_BYTE: memcpy(field, &number_8, sizeof(number_8)); break;
	case MQTT_KIND_U16: memcpy(field, &number_16, sizeof(number_16)); break;
	case MQTT_KIND_U32: memcpy(field, &p->number, sizeof(p->number)); break;
	case MQTT_KIND_STRING:
	case MQTT_KIND_BINARY: memcpy(field, &p->text, sizeof(p->text)); break;
	case MQTT_KIND_VARINT:
	case MQTT_KIND_STRING_PAIR: break; /* they stay in raw */
	}
}

int mqtt_props_decode(struct bytes raw, unsigned place, enum mqtt_side from, struct mqtt_props *out,
		      struct mqtt_error *err)
{
	struct reader r = reader_of(raw);
	int result;

	ASSERT(place < ARRAY_COUNT(sections));
	mqtt_props_clear(out, sizeof(*out));
	out->raw = raw;
	while (reader_left(&r)) {
		struct property p;
		enum mqtt_wire fault = next_property(&r, &p);

		if (fault != MQTT_WIRE_OK)
			return refuse_wire(err, fault);
		result = check_place(&p, place, from, out->present, err);
		if (result == 0)
			result = check_value(&p, place, err);
		if (result)
			return result;
		store(out, &p);
	}
	if (mqtt_props_has(out, MQTT_PROP_AUTHENTICATION_DATA) &&
	    !mqtt_props_has(out, MQTT_PROP_AUTHENTICATION_METHOD))
		return mqtt_refuse(err, MQTT_PROTOCOL_ERROR, sections[place],
				   "Authentication Data needs an Authentication Method");
	return 0;
}

__attribute__((noinline)) void mqtt_props_clear(void *props, size_t size_bytes)
{
	memset(props, 0, size_bytes);
}

int mqtt_decode_props(struct reader *r, enum mqtt_version v, unsigned place, enum mqtt_side from,
		      struct mqtt_props *out, struct mqtt_error *err)
{
	enum mqtt_wire fault;
	uint32_t length;

	if (v == MQTT_3_1_1) {
		mqtt_props_clear(out, sizeof(*out));
		return 0;
	}
	fault = mqtt_read_varint(r, &length);
	if (fault == MQTT_WIRE_SHORT)
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "MQTT-2.2.2-1",
				   "the Property Length is missing");
	if (fault != MQTT_WIRE_OK)
		return refuse_wire(err, fault);
	if (length > reader_left(r))
		return mqtt_refuse(err, MQTT_MALFORMED_PACKET, "2.2.2.1",
				   "the Property Length goes past the packet");
	return mqtt_props_decode(read_bytes(r, length), place, from, out, err);
}

/* -------------------------------------------------------------------------------------------- encode */

/* SIZE_MAX: too long. */
static size_t value_size_bytes(const struct mqtt_prop_info *info, const struct mqtt_props *p)
{
	struct bytes text;

	switch (info->kind) {
	case MQTT_KIND_BYTE: return 1;
	case MQTT_KIND_U16: return 2;
	case MQTT_KIND_U32: return 4;
	case MQTT_KIND_STRING:
	case MQTT_KIND_BINARY:
		memcpy(&text, (const uint8_t *)p + info->offset, sizeof(text));
		return text.size > MQTT_STRING_BYTES_MAX ? SIZE_MAX : 2 + text.size;
	case MQTT_KIND_VARINT:
	case MQTT_KIND_STRING_PAIR: break;
	}
	return 0;
}

size_t mqtt_props_size_bytes(const struct mqtt_props *p)
{
	struct reader r = reader_of(p->raw);
	size_t size = 0;

	for (size_t id = 0; id < ARRAY_COUNT(table); id++) {
		size_t value_bytes;

		if (!table[id].offset || !(p->present >> id & 1))
			continue;
		value_bytes = value_size_bytes(&table[id], p);
		if (value_bytes == SIZE_MAX)
			return SIZE_MAX;
		size += 1 + value_bytes;
	}
	while (reader_left(&r)) {
		struct property repeated;

		if (next_property(&r, &repeated) != MQTT_WIRE_OK)
			return SIZE_MAX;
		if (repeated.info->repeats)
			size += repeated.whole.size;
	}
	return size;
}

static void write_value(struct writer *w, const struct mqtt_prop_info *info, const struct mqtt_props *p)
{
	const uint8_t *field = (const uint8_t *)p + info->offset;
	struct bytes text;
	uint16_t number_16;
	uint32_t number_32;

	switch (info->kind) {
	case MQTT_KIND_BYTE: write_u8(w, *field); break;
	case MQTT_KIND_U16:
		memcpy(&number_16, field, sizeof(number_16));
		write_u16(w, number_16);
		break;
	case MQTT_KIND_U32:
		memcpy(&number_32, field, sizeof(number_32));
		write_u32(w, number_32);
		break;
	case MQTT_KIND_STRING:
	case MQTT_KIND_BINARY:
		memcpy(&text, field, sizeof(text));
		mqtt_write_field(w, text);
		break;
	case MQTT_KIND_VARINT:
	case MQTT_KIND_STRING_PAIR: break;
	}
}

int mqtt_props_write(struct writer *w, const struct mqtt_props *p)
{
	struct reader r = reader_of(p->raw);

	for (size_t id = 0; id < ARRAY_COUNT(table); id++) {
		if (!table[id].offset || !(p->present >> id & 1))
			continue;
		write_u8(w, (uint8_t)id);
		write_value(w, &table[id], p);
	}
	while (reader_left(&r)) {
		struct property repeated;

		if (next_property(&r, &repeated) != MQTT_WIRE_OK)
			break; /* mqtt_props_size_bytes() has said so to who asked */
		if (repeated.info->repeats)
			write_bytes(w, repeated.whole.ptr, repeated.whole.size);
	}
	return w->failed ? -ENOSPC : 0;
}

void mqtt_write_user_property(struct writer *w, struct bytes key, struct bytes value)
{
	write_u8(w, MQTT_PROP_USER_PROPERTY);
	mqtt_write_field(w, key);
	mqtt_write_field(w, value);
}

void mqtt_write_subscription_identifier(struct writer *w, uint32_t id)
{
	ASSERT(id >= 1);
	ASSERT(id <= MQTT_REMAINING_LENGTH_MAX);
	write_u8(w, MQTT_PROP_SUBSCRIPTION_IDENTIFIER);
	mqtt_write_varint(w, id);
}

/* Moves on to the next property with that identifier; the run may hold any others between. */
static bool next_of(struct reader *it, enum mqtt_prop id, struct property *p)
{
	while (reader_left(it)) {
		if (next_property(it, p) != MQTT_WIRE_OK)
			return false;
		if (p->info->id == id)
			return true;
	}
	return false;
}

bool mqtt_next_user_property(struct reader *it, struct bytes *key, struct bytes *value)
{
	struct property p;

	if (!next_of(it, MQTT_PROP_USER_PROPERTY, &p))
		return false;
	*key = p.text;
	*value = p.value;
	return true;
}

bool mqtt_next_subscription_identifier(struct reader *it, uint32_t *id)
{
	struct property p;

	if (!next_of(it, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, &p))
		return false;
	*id = p.number;
	return true;
}
