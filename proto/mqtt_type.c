#include "proto/mqtt_type.h"

/* Bits over packet types: where a reason code may stand. The side matters for DISCONNECT and AUTH only. */
#define IN(type)    (1u << MQTT_##type)
#define FROM_CLIENT (1u << 16)
#define FROM_SERVER (1u << 17)
#define EITHER      (FROM_CLIENT | FROM_SERVER)
#define IN_PUB_ACKS (IN(PUBACK) | IN(PUBREC))
#define IN_REL_ACKS (IN(PUBREL) | IN(PUBCOMP))
#define IN_SUB_ACKS (IN(SUBACK) | IN(UNSUBACK))

struct reason_info {
	uint8_t code;
	uint32_t places;
	const char *text;
};

/* MQTT 5.0 table 2-6 and the tables of each packet in chapter 3. One code may stand for several names: the
 * row whose places hold the packet is the one that is meant. */
static const struct reason_info reasons[] = {
	{0x00, IN(CONNACK) | IN_PUB_ACKS | IN_REL_ACKS | IN(UNSUBACK) | EITHER, "Success"},
	{0x00, IN(AUTH) | FROM_SERVER, "Success"},
	{0x00, IN(DISCONNECT) | EITHER, "Normal disconnection"},
	{0x00, IN(SUBACK) | EITHER, "Granted QoS 0"},
	{0x01, IN(SUBACK) | EITHER, "Granted QoS 1"},
	{0x02, IN(SUBACK) | EITHER, "Granted QoS 2"},
	{0x04, IN(DISCONNECT) | FROM_CLIENT, "Disconnect with Will Message"},
	{0x10, IN_PUB_ACKS | EITHER, "No matching subscribers"},
	{0x11, IN(UNSUBACK) | EITHER, "No subscription existed"},
	{0x18, IN(AUTH) | EITHER, "Continue authentication"},
	{0x19, IN(AUTH) | FROM_CLIENT, "Re-authenticate"},
	{0x80, IN(CONNACK) | IN_PUB_ACKS | IN_SUB_ACKS | IN(DISCONNECT) | EITHER, "Unspecified error"},
	{0x81, IN(CONNACK) | IN(DISCONNECT) | EITHER, "Malformed Packet"},
	{0x82, IN(CONNACK) | IN(DISCONNECT) | EITHER, "Protocol Error"},
	{0x83, IN(CONNACK) | IN_PUB_ACKS | IN_SUB_ACKS | IN(DISCONNECT) | EITHER,
	 "Implementation specific error"},
	{0x84, IN(CONNACK) | EITHER, "Unsupported Protocol Version"},
	{0x85, IN(CONNACK) | EITHER, "Client Identifier not valid"},
	{0x86, IN(CONNACK) | EITHER, "Bad User Name or Password"},
	{0x87, IN(CONNACK) | IN_PUB_ACKS | IN_SUB_ACKS | EITHER, "Not authorized"},
	{0x87, IN(DISCONNECT) | FROM_SERVER, "Not authorized"},
	{0x88, IN(CONNACK) | EITHER, "Server unavailable"},
	{0x89, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "Server busy"},
	{0x8A, IN(CONNACK) | EITHER, "Banned"},
	{0x8B, IN(DISCONNECT) | FROM_SERVER, "Server shutting down"},
	{0x8C, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "Bad authentication method"},
	{0x8D, IN(DISCONNECT) | FROM_SERVER, "Keep Alive timeout"},
	{0x8E, IN(DISCONNECT) | FROM_SERVER, "Session taken over"},
	{0x8F, IN_SUB_ACKS | IN(DISCONNECT) | FROM_SERVER, "Topic Filter invalid"},
	{0x90, IN(CONNACK) | IN_PUB_ACKS | IN(DISCONNECT) | EITHER, "Topic Name invalid"},
	{0x91, IN_PUB_ACKS | IN_SUB_ACKS | EITHER, "Packet Identifier in use"},
	{0x92, IN_REL_ACKS | EITHER, "Packet Identifier not found"},
	{0x93, IN(DISCONNECT) | EITHER, "Receive Maximum exceeded"},
	{0x94, IN(DISCONNECT) | EITHER, "Topic Alias invalid"},
	{0x95, IN(CONNACK) | IN(DISCONNECT) | EITHER, "Packet too large"},
	{0x96, IN(DISCONNECT) | EITHER, "Message rate too high"},
	{0x97, IN(CONNACK) | IN_PUB_ACKS | IN(SUBACK) | IN(DISCONNECT) | EITHER, "Quota exceeded"},
	{0x98, IN(DISCONNECT) | EITHER, "Administrative action"},
	{0x99, IN(CONNACK) | IN_PUB_ACKS | IN(DISCONNECT) | EITHER, "Payload format invalid"},
	{0x9A, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "Retain not supported"},
	{0x9B, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "QoS not supported"},
	{0x9C, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "Use another server"},
	{0x9D, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "Server moved"},
	{0x9E, IN(SUBACK) | IN(DISCONNECT) | FROM_SERVER, "Shared Subscriptions not supported"},
	{0x9F, IN(CONNACK) | IN(DISCONNECT) | FROM_SERVER, "Connection rate exceeded"},
	{0xA0, IN(DISCONNECT) | FROM_SERVER, "Maximum connect time"},
	{0xA1, IN(SUBACK) | IN(DISCONNECT) | FROM_SERVER, "Subscription Identifiers not supported"},
	{0xA2, IN(SUBACK) | IN(DISCONNECT) | FROM_SERVER, "Wildcard Subscriptions not supported"},
};

/* MQTT 3.1.1 table 3.1 and 3.9.3. */
static const struct reason_info reasons_3_1_1[] = {
	{0x00, IN(CONNACK), "Connection Accepted"},
	{0x01, IN(CONNACK), "Connection Refused, unacceptable protocol version"},
	{0x02, IN(CONNACK), "Connection Refused, identifier rejected"},
	{0x03, IN(CONNACK), "Connection Refused, Server unavailable"},
	{0x04, IN(CONNACK), "Connection Refused, bad user name or password"},
	{0x05, IN(CONNACK), "Connection Refused, not authorized"},
	{0x00, IN(SUBACK), "Success - Maximum QoS 0"},
	{0x01, IN(SUBACK), "Success - Maximum QoS 1"},
	{0x02, IN(SUBACK), "Success - Maximum QoS 2"},
	{0x80, IN(SUBACK), "Failure"},
};

static const char *const type_names[16] = {
	"reserved",  "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
	"SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
};

const char *mqtt_type_name(unsigned type)
{
	return type < ARRAY_COUNT(type_names) ? type_names[type] : "reserved";
}

const char *mqtt_version_name(enum mqtt_version v)
{
	return v == MQTT_5 ? "5.0" : "3.1.1";
}

static const struct reason_info *reason_find(const struct reason_info *rows, size_t row_count,
					     uint32_t places, uint8_t code)
{
	for (size_t i = 0; i < row_count; i++)
		if (rows[i].code == code && (rows[i].places & places) == places)
			return &rows[i];
	return NULL;
}

const char *mqtt_reason_text(enum mqtt_version v, enum mqtt_type type, uint8_t code)
{
	const struct reason_info *row;

	if (v == MQTT_3_1_1)
		row = reason_find(reasons_3_1_1, ARRAY_COUNT(reasons_3_1_1), 1u << type, code);
	else
		row = reason_find(reasons, ARRAY_COUNT(reasons), 1u << type, code);
	return row ? row->text : "reserved";
}

bool mqtt_reason_allowed(enum mqtt_version v, enum mqtt_type type, enum mqtt_side from, uint8_t code)
{
	uint32_t side = from == MQTT_CLIENT ? FROM_CLIENT : FROM_SERVER;

	if (v == MQTT_3_1_1)
		return reason_find(reasons_3_1_1, ARRAY_COUNT(reasons_3_1_1), 1u << type, code) != NULL;
	return reason_find(reasons, ARRAY_COUNT(reasons), 1u << type | side, code) != NULL;
}
