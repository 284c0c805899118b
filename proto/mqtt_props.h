/* proto/mqtt_props.h - the properties of MQTT 5: what there is, where it may stand, how it is read and
 * written.
 *
 * Purpose:  one static table gives the identifier, name, type and places of each property. A decoded set is
 *           typed fields with a presence bit each; what may repeat (User Property, Subscription Identifier)
 *           stays as the checked run of bytes and is read by an iterator, so that there is no limit to the
 *           count.
 * Owner:    the caller's struct; strings are borrowed from the packet (decode) or from the caller (encode).
 * Threads:  pure.
 * Units:    *_s seconds, *_bytes bytes; numbers as on the wire.
 * Errors:   -EPROTO with struct mqtt_error; -ENOSPC where the writer is too small.
 * Source:   OASIS MQTT Version 5.0, 2.2.2 and the property lists of each packet in chapter 3.
 */
#ifndef PROTO_MQTT_PROPS_H
#define PROTO_MQTT_PROPS_H

#include "core/bytes.h"
#include "proto/mqtt_type.h"

enum mqtt_prop {
	MQTT_PROP_PAYLOAD_FORMAT_INDICATOR = 0x01,
	MQTT_PROP_MESSAGE_EXPIRY_INTERVAL = 0x02,
	MQTT_PROP_CONTENT_TYPE = 0x03,
	MQTT_PROP_RESPONSE_TOPIC = 0x08,
	MQTT_PROP_CORRELATION_DATA = 0x09,
	MQTT_PROP_SUBSCRIPTION_IDENTIFIER = 0x0B,
	MQTT_PROP_SESSION_EXPIRY_INTERVAL = 0x11,
	MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER = 0x12,
	MQTT_PROP_SERVER_KEEP_ALIVE = 0x13,
	MQTT_PROP_AUTHENTICATION_METHOD = 0x15,
	MQTT_PROP_AUTHENTICATION_DATA = 0x16,
	MQTT_PROP_REQUEST_PROBLEM_INFORMATION = 0x17,
	MQTT_PROP_WILL_DELAY_INTERVAL = 0x18,
	MQTT_PROP_REQUEST_RESPONSE_INFORMATION = 0x19,
	MQTT_PROP_RESPONSE_INFORMATION = 0x1A,
	MQTT_PROP_SERVER_REFERENCE = 0x1C,
	MQTT_PROP_REASON_STRING = 0x1F,
	MQTT_PROP_RECEIVE_MAXIMUM = 0x21,
	MQTT_PROP_TOPIC_ALIAS_MAXIMUM = 0x22,
	MQTT_PROP_TOPIC_ALIAS = 0x23,
	MQTT_PROP_MAXIMUM_QOS = 0x24,
	MQTT_PROP_RETAIN_AVAILABLE = 0x25,
	MQTT_PROP_USER_PROPERTY = 0x26,
	MQTT_PROP_MAXIMUM_PACKET_SIZE = 0x27,
	MQTT_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28,
	MQTT_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29,
	MQTT_PROP_SHARED_SUBSCRIPTION_AVAILABLE = 0x2A,
};

enum mqtt_prop_kind {
	MQTT_KIND_BYTE,
	MQTT_KIND_U16,
	MQTT_KIND_U32,
	MQTT_KIND_VARINT,
	MQTT_KIND_STRING,
	MQTT_KIND_BINARY,
	MQTT_KIND_STRING_PAIR,
};

/* Where properties stand: a packet type (its number), or in the will of a CONNECT. */
enum mqtt_place { MQTT_PLACE_WILL = 0 }; /* others: enum mqtt_type */
#define MQTT_PLACE(type) (1u << (type))

struct mqtt_prop_info {
	const char *name; /* as in the specification: "Session Expiry Interval" */
	enum mqtt_prop_kind kind;
	uint32_t places; /* MQTT_PLACE() bits */
	uint16_t offset; /* of its field in struct mqtt_props; 0: has none, see the iterators */
	uint8_t id;
	uint8_t repeats;    /* 1: may stand more than once (a Subscription Identifier only in PUBLISH) */
	uint32_t value_min; /* domain of numbers */
	uint32_t value_max;
};

/* What is known of an identifier, or NULL. */
NODISCARD const struct mqtt_prop_info *mqtt_prop_info(uint32_t id);

/* All zero is the empty set. A field means something only when its bit is in present. */
struct mqtt_props {
	uint64_t present; /* bit n: the property with identifier n is there */
	/* decode: the whole checked run. encode: only the repeatable ones are taken from it; build it with
	 * mqtt_write_user_property() and mqtt_write_subscription_identifier() */
	struct bytes raw;
	struct bytes content_type;
	struct bytes response_topic;
	struct bytes correlation_data;
	struct bytes assigned_client_identifier;
	struct bytes authentication_method;
	struct bytes authentication_data;
	struct bytes response_information;
	struct bytes server_reference;
	struct bytes reason_string;
	uint32_t message_expiry_interval_s;
	uint32_t session_expiry_interval_s;
	uint32_t will_delay_interval_s;
	uint32_t maximum_packet_size_bytes;
	uint16_t server_keep_alive_s;
	uint16_t receive_maximum;
	uint16_t topic_alias_maximum;
	uint16_t topic_alias;
	uint8_t payload_format_indicator;
	uint8_t request_problem_information;
	uint8_t request_response_information;
	uint8_t maximum_qos;
	uint8_t retain_available;
	uint8_t wildcard_subscription_available;
	uint8_t subscription_identifier_available;
	uint8_t shared_subscription_available;
};

static inline bool mqtt_props_has(const struct mqtt_props *p, enum mqtt_prop id)
{
	return p->present >> id & 1;
}

static inline void mqtt_props_set(struct mqtt_props *p, enum mqtt_prop id)
{
	p->present |= 1ull << id;
}

/* Why a packet was refused. All texts are static. */
struct mqtt_error {
	enum mqtt_reason reason; /* 5.0 reason code, also when the connection speaks 3.1.1 */
	const char *statement;   /* "MQTT-3.3.1-4" of that version; or the section: "2.1.4" */
	const char *text;        /* one sentence for a human */
};

/* Reads one checked run of properties (its length already taken off) that stands in `place` of a packet sent
 * by `from`. 0, or -EPROTO with *err. */
NODISCARD int mqtt_props_decode(struct bytes raw, unsigned place, enum mqtt_side from, struct mqtt_props *out,
				struct mqtt_error *err);

/* Bytes of the properties without the length before them; SIZE_MAX when raw is not well-formed or a string is
 * over 65,535 bytes. */
NODISCARD size_t mqtt_props_size_bytes(const struct mqtt_props *p);

/* The properties without the length before them (what a prepared PUBLISH header takes). 0, or -ENOSPC. */
NODISCARD int mqtt_props_write(struct writer *w, const struct mqtt_props *p);

/* One repeatable property, appended to a run for mqtt_props.raw. Fails in the writer. */
void mqtt_write_user_property(struct writer *w, struct bytes key, struct bytes value);
void mqtt_write_subscription_identifier(struct writer *w, uint32_t id);

/* for (struct reader it = reader_of(props.raw); mqtt_next_user_property(&it, &key, &value);) */
NODISCARD bool mqtt_next_user_property(struct reader *it, struct bytes *key, struct bytes *value);
NODISCARD bool mqtt_next_subscription_identifier(struct reader *it, uint32_t *id);

#endif
