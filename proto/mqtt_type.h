/* proto/mqtt_type.h - the names of MQTT: versions, sides, packet types, reason codes.
 *
 * Purpose:  the enumerations that every other mqtt_ file speaks in, and their texts in the words of the
 *           specification of the version in use.
 * Threads:  everything here is pure; the texts are static.
 * Errors:   none; unknown codes have a text too.
 * Source:   OASIS MQTT Version 5.0 (2.1.2, 2.4) and MQTT Version 3.1.1 (2.2.1, table 3.1, 3.9.3).
 */
#ifndef PROTO_MQTT_TYPE_H
#define PROTO_MQTT_TYPE_H

#include "core/base.h"

/* The value is the Protocol Version (3.1.1: Protocol Level) byte of CONNECT. */
enum mqtt_version { MQTT_3_1_1 = 4, MQTT_5 = 5 };

enum mqtt_side { MQTT_CLIENT, MQTT_SERVER };

enum mqtt_type {
	MQTT_CONNECT = 1,
	MQTT_CONNACK = 2,
	MQTT_PUBLISH = 3,
	MQTT_PUBACK = 4,
	MQTT_PUBREC = 5,
	MQTT_PUBREL = 6,
	MQTT_PUBCOMP = 7,
	MQTT_SUBSCRIBE = 8,
	MQTT_SUBACK = 9,
	MQTT_UNSUBSCRIBE = 10,
	MQTT_UNSUBACK = 11,
	MQTT_PINGREQ = 12,
	MQTT_PINGRESP = 13,
	MQTT_DISCONNECT = 14,
	MQTT_AUTH = 15, /* 5.0 only */
};

enum mqtt_reason {
	MQTT_SUCCESS = 0x00, /* also Normal disconnection, Granted QoS 0 */
	MQTT_GRANTED_QOS_1 = 0x01,
	MQTT_GRANTED_QOS_2 = 0x02,
	MQTT_DISCONNECT_WITH_WILL = 0x04,
	MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
	MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
	MQTT_CONTINUE_AUTHENTICATION = 0x18,
	MQTT_REAUTHENTICATE = 0x19,
	MQTT_UNSPECIFIED_ERROR = 0x80,
	MQTT_MALFORMED_PACKET = 0x81,
	MQTT_PROTOCOL_ERROR = 0x82,
	MQTT_IMPLEMENTATION_SPECIFIC_ERROR = 0x83,
	MQTT_UNSUPPORTED_PROTOCOL_VERSION = 0x84,
	MQTT_CLIENT_IDENTIFIER_NOT_VALID = 0x85,
	MQTT_BAD_USER_NAME_OR_PASSWORD = 0x86,
	MQTT_NOT_AUTHORIZED = 0x87,
	MQTT_SERVER_UNAVAILABLE = 0x88,
	MQTT_SERVER_BUSY = 0x89,
	MQTT_BANNED = 0x8A,
	MQTT_SERVER_SHUTTING_DOWN = 0x8B,
	MQTT_BAD_AUTHENTICATION_METHOD = 0x8C,
	MQTT_KEEP_ALIVE_TIMEOUT = 0x8D,
	MQTT_SESSION_TAKEN_OVER = 0x8E,
	MQTT_TOPIC_FILTER_INVALID = 0x8F,
	MQTT_TOPIC_NAME_INVALID = 0x90,
	MQTT_PACKET_IDENTIFIER_IN_USE = 0x91,
	MQTT_PACKET_IDENTIFIER_NOT_FOUND = 0x92,
	MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
	MQTT_TOPIC_ALIAS_INVALID = 0x94,
	MQTT_PACKET_TOO_LARGE = 0x95,
	MQTT_MESSAGE_RATE_TOO_HIGH = 0x96,
	MQTT_QUOTA_EXCEEDED = 0x97,
	MQTT_ADMINISTRATIVE_ACTION = 0x98,
	MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
	MQTT_RETAIN_NOT_SUPPORTED = 0x9A,
	MQTT_QOS_NOT_SUPPORTED = 0x9B,
	MQTT_USE_ANOTHER_SERVER = 0x9C,
	MQTT_SERVER_MOVED = 0x9D,
	MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E,
	MQTT_CONNECTION_RATE_EXCEEDED = 0x9F,
	MQTT_MAXIMUM_CONNECT_TIME = 0xA0,
	MQTT_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1,
	MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2,
};

/* CONNACK return codes of 3.1.1; 6-255 are reserved. SUBACK has 0, 1, 2 and 0x80. */
enum mqtt_return_code {
	MQTT_RETURN_ACCEPTED = 0,
	MQTT_RETURN_UNACCEPTABLE_PROTOCOL_VERSION = 1,
	MQTT_RETURN_IDENTIFIER_REJECTED = 2,
	MQTT_RETURN_SERVER_UNAVAILABLE = 3,
	MQTT_RETURN_BAD_USER_NAME_OR_PASSWORD = 4,
	MQTT_RETURN_NOT_AUTHORIZED = 5,
};

/* Remaining Length is at most four bytes: 268,435,455, and five bytes of fixed header before it. */
#define MQTT_REMAINING_LENGTH_MAX 268435455u
#define MQTT_PACKET_BYTES_MAX     (MQTT_REMAINING_LENGTH_MAX + 5u)
#define MQTT_STRING_BYTES_MAX     65535u

/* "PUBLISH"; "reserved" for a number that is no type. */
NODISCARD const char *mqtt_type_name(unsigned type);

/* "5.0", "3.1.1". */
NODISCARD const char *mqtt_version_name(enum mqtt_version v);

/* What the code of that packet means in that version: "Granted QoS 1"; for 3.1.1 CONNACK the return code's
 * name, "Connection Refused, not authorized". "reserved" where the version gives that packet no such code. */
NODISCARD const char *mqtt_reason_text(enum mqtt_version v, enum mqtt_type type, uint8_t code);

/* May a packet of that type from that side carry the code? */
NODISCARD bool mqtt_reason_allowed(enum mqtt_version v, enum mqtt_type type, enum mqtt_side from,
				   uint8_t code);

#endif
