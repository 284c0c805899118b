/* tests/mqtt_equal.h - do two MQTT packets say the same?
 *
 * Purpose:  for round trips in unit tests and in the fuzzer: fields are compared by what they say, because
 *           the order of different properties, and the length of a short form, may change on the way.
 * Threads:  pure.
 */
#ifndef TESTS_MQTT_EQUAL_H
#define TESTS_MQTT_EQUAL_H

#include "proto/mqtt_packet.h"

/* Repeatable properties: the same ones in the same order. */
static inline bool mqtt_repeated_equal(const struct mqtt_props *a, const struct mqtt_props *b)
{
	struct reader ua = reader_of(a->raw), ub = reader_of(b->raw), sa = ua, sb = ub;
	struct bytes ka, va, kb, vb;
	uint32_t ia, ib;
	bool more_a, more_b;

	do {
		more_a = mqtt_next_user_property(&ua, &ka, &va);
		more_b = mqtt_next_user_property(&ub, &kb, &vb);
		if (more_a != more_b || (more_a && !(bytes_equal(ka, kb) && bytes_equal(va, vb))))
			return false;
	} while (more_a);
	do {
		more_a = mqtt_next_subscription_identifier(&sa, &ia);
		more_b = mqtt_next_subscription_identifier(&sb, &ib);
		if (more_a != more_b || (more_a && ia != ib))
			return false;
	} while (more_a);
	return true;
}

static inline bool mqtt_props_equal(const struct mqtt_props *a, const struct mqtt_props *b)
{
	if (a->present != b->present)
		return false;
	for (uint32_t id = 0; id < 64; id++) {
		const struct mqtt_prop_info *info = mqtt_prop_info(id);
		const uint8_t *fa, *fb;
		struct bytes ta, tb;
		size_t number_bytes = 0;

		if (!info || !info->offset || !(a->present >> id & 1))
			continue;
		fa = (const uint8_t *)a + info->offset;
		fb = (const uint8_t *)b + info->offset;
		switch (info->kind) {
		case MQTT_KIND_BYTE: number_bytes = 1; break;
		case MQTT_KIND_U16: number_bytes = 2; break;
		case MQTT_KIND_U32: number_bytes = 4; break;
		case MQTT_KIND_STRING:
		case MQTT_KIND_BINARY:
			memcpy(&ta, fa, sizeof(ta));
			memcpy(&tb, fb, sizeof(tb));
			if (!bytes_equal(ta, tb))
				return false;
			break;
		case MQTT_KIND_VARINT:
		case MQTT_KIND_STRING_PAIR: break;
		}
		if (memcmp(fa, fb, number_bytes))
			return false;
	}
	return mqtt_repeated_equal(a, b);
}

static inline bool mqtt_connect_equal(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
	return a->clean_start == b->clean_start && a->has_will == b->has_will &&
	       a->has_user_name == b->has_user_name && a->has_password == b->has_password &&
	       a->keep_alive_s == b->keep_alive_s && bytes_equal(a->client_id, b->client_id) &&
	       bytes_equal(a->user_name, b->user_name) && bytes_equal(a->password, b->password) &&
	       mqtt_props_equal(&a->props, &b->props) && a->will.qos == b->will.qos &&
	       a->will.retain == b->will.retain && bytes_equal(a->will.topic, b->will.topic) &&
	       bytes_equal(a->will.payload, b->will.payload) &&
	       mqtt_props_equal(&a->will.props, &b->will.props);
}

static inline bool mqtt_packet_equal(const struct mqtt_packet *a, const struct mqtt_packet *b)
{
	if (a->type != b->type || a->flags != b->flags)
		return false;
	switch (a->type) {
	case MQTT_CONNECT: return mqtt_connect_equal(&a->connect, &b->connect);
	case MQTT_CONNACK:
		return a->connack.session_present == b->connack.session_present &&
		       a->connack.code == b->connack.code &&
		       mqtt_props_equal(&a->connack.props, &b->connack.props);
	case MQTT_PUBLISH:
		return a->publish.packet_id == b->publish.packet_id &&
		       bytes_equal(a->publish.topic, b->publish.topic) &&
		       bytes_equal(a->publish.payload, b->publish.payload) &&
		       mqtt_props_equal(&a->publish.props, &b->publish.props);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return a->ack.packet_id == b->ack.packet_id && a->ack.code == b->ack.code &&
		       mqtt_props_equal(&a->ack.props, &b->ack.props);
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
		return a->subscribe.packet_id == b->subscribe.packet_id &&
		       a->subscribe.filter_count == b->subscribe.filter_count &&
		       bytes_equal(a->subscribe.filters, b->subscribe.filters) &&
		       mqtt_props_equal(&a->subscribe.props, &b->subscribe.props);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return a->suback.packet_id == b->suback.packet_id &&
		       bytes_equal(a->suback.codes, b->suback.codes) &&
		       mqtt_props_equal(&a->suback.props, &b->suback.props);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: return true;
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		return a->goodbye.code == b->goodbye.code &&
		       mqtt_props_equal(&a->goodbye.props, &b->goodbye.props);
	}
	return false;
}

#endif
