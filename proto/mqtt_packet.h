/* proto/mqtt_packet.h - the fifteen packets as structs.
 *
 * Purpose:  what mqtt_decode() fills in and the encoders read. One struct serves both versions: what 3.1.1
 *           does not have is empty there (no properties, reason codes 0).
 * Owner:    the caller's struct. Every struct bytes is borrowed: from the input (decode) or the caller
 *           (encode).
 * Memory:   no allocation, no copy; lists stay as checked bytes and are read by iterators.
 * Units:    *_s seconds.
 * Source:   OASIS MQTT Version 5.0 chapter 3, MQTT Version 3.1.1 chapter 3.
 */
#ifndef PROTO_MQTT_PACKET_H
#define PROTO_MQTT_PACKET_H

#include "core/bytes.h"
#include "proto/mqtt_props.h"
#include "proto/mqtt_type.h"

struct mqtt_will {
	uint8_t qos;
	bool retain;
	struct bytes topic;
	struct bytes payload;
	struct mqtt_props props;
};

struct mqtt_connect {
	bool clean_start; /* 3.1.1: Clean Session */
	bool has_will;
	bool has_user_name;
	bool has_password;
	uint16_t keep_alive_s;
	struct bytes client_id; /* may be empty */
	struct bytes user_name;
	struct bytes password;
	struct mqtt_props props;
	struct mqtt_will will;
};

struct mqtt_connack {
	bool session_present;
	uint8_t code; /* 5.0: enum mqtt_reason; 3.1.1: enum mqtt_return_code */
	struct mqtt_props props;
};

struct mqtt_publish {
	uint8_t qos;
	bool dup;
	bool retain;
	uint16_t packet_id; /* 0 at QoS 0 */
	struct bytes topic; /* may be empty with a Topic Alias */
	struct bytes payload;
	struct mqtt_props props;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
#define MQTT_SUCCESS_BYTES 4 /* a whole acknowledgement without reason code and properties: success */

struct mqtt_ack {
	uint16_t packet_id;
	uint8_t code;
	struct mqtt_props props;
};

/* One entry of a SUBSCRIBE; 3.1.1 has only the QoS. */
struct mqtt_subscription {
	struct bytes filter;
	uint8_t qos;
	bool no_local;
	bool retain_as_published;
	uint8_t retain_handling; /* 0 send retained messages, 1 only for a new subscription, 2 do not */
};

/* SUBSCRIBE and UNSUBSCRIBE. Build `filters` with mqtt_write_subscription() or mqtt_write_filter(). */
struct mqtt_subscribe {
	uint16_t packet_id;
	uint32_t filter_count; /* decode only */
	struct bytes filters;  /* the payload; mqtt_next_subscription(), mqtt_next_filter() */
	struct mqtt_props props;
};

/* SUBACK and UNSUBACK (3.1.1 UNSUBACK: no codes). */
struct mqtt_suback {
	uint16_t packet_id;
	struct bytes codes; /* one byte a filter, in the order of the request */
	struct mqtt_props props;
};

/* DISCONNECT and AUTH. */
struct mqtt_goodbye {
	uint8_t code;
	struct mqtt_props props;
};

struct mqtt_packet {
	enum mqtt_type type;
	uint8_t flags;       /* low four bits of the first byte */
	uint32_t size_bytes; /* the whole packet */
	union {
		struct mqtt_connect connect;
		struct mqtt_connack connack;
		struct mqtt_publish publish;
		struct mqtt_ack ack;             /* PUBACK PUBREC PUBREL PUBCOMP */
		struct mqtt_subscribe subscribe; /* SUBSCRIBE UNSUBSCRIBE */
		struct mqtt_suback suback;       /* SUBACK UNSUBACK */
		struct mqtt_goodbye goodbye;     /* DISCONNECT AUTH */
	};
};

/* for (struct reader it = reader_of(sub.filters); mqtt_next_subscription(&it, v, &s);) */
NODISCARD bool mqtt_next_subscription(struct reader *it, enum mqtt_version v, struct mqtt_subscription *out);
NODISCARD bool mqtt_next_filter(struct reader *it, struct bytes *filter);

#endif
