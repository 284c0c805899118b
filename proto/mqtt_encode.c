#include "proto/mqtt_encode.h"

#include "proto/mqtt_decode.h"
#include "proto/mqtt_wire.h"

/* What a packet needs after its fixed header, summed up before anything is written. */
struct need {
	size_t bytes;
	size_t props_bytes;
	size_t will_props_bytes;
	bool impossible; /* a field that no length can describe */
};

static void need_field(struct need *n, struct bytes field)
{
	if (field.size > MQTT_STRING_BYTES_MAX)
		n->impossible = true;
	else
		n->bytes += 2 + field.size;
}

/* Returns the bytes of the properties without their length. */
static size_t need_props(struct need *n, enum mqtt_version v, const struct mqtt_props *p)
{
	size_t size;

	if (v == MQTT_3_1_1)
		return 0;
	size = mqtt_props_size_bytes(p);
	if (size > MQTT_REMAINING_LENGTH_MAX) {
		n->impossible = true;
		return 0;
	}
	n->bytes += mqtt_varint_bytes((uint32_t)size) + size;
	return size;
}

static void write_props(struct writer *w, enum mqtt_version v, const struct mqtt_props *p, size_t size_bytes)
{
	if (v == MQTT_3_1_1)
		return;
	mqtt_write_varint(w, (uint32_t)size_bytes);
	if (mqtt_props_write(w, p))
		w->failed = true;
}

/* The fixed header, once it is certain that all of the packet fits. */
static int begin(struct writer *w, enum mqtt_type type, uint8_t flags, const struct need *n)
{
	if (n->impossible)
		return -EINVAL;
	if (n->bytes > MQTT_REMAINING_LENGTH_MAX)
		return -EMSGSIZE;
	if (w->failed || writer_left(w) < 1 + mqtt_varint_bytes((uint32_t)n->bytes) + n->bytes)
		return -ENOSPC;
	write_u8(w, (uint8_t)(type << 4 | flags));
	mqtt_write_varint(w, (uint32_t)n->bytes);
	return 0;
}

/* One set of rules: what the decoder refuses is not sent. */
static int finish(struct writer *w, uint8_t *start, enum mqtt_version v, enum mqtt_side from)
{
	struct bytes whole = bytes_of(start, (size_t)(w->at - start));
	struct mqtt_packet packet;
	struct mqtt_error err;
	int size_bytes;

	ASSERT(!w->failed); /* begin() measured it */
	size_bytes = mqtt_decode(whole, v, from, 0, &packet, &err);
	if (size_bytes < 0) {
		w->at = start;
		return -EINVAL;
	}
	ASSERT((size_t)size_bytes == whole.size);
	return size_bytes;
}

int mqtt_encode_connect(struct writer *w, enum mqtt_version v, const struct mqtt_connect *p)
{
	struct need n = {.bytes = 10};
	uint8_t *start = w->at;
	unsigned flags = (p->clean_start ? 0x02u : 0) | (p->has_password ? 0x40u : 0) |
			 (p->has_user_name ? 0x80u : 0);
	int result;

	n.props_bytes = need_props(&n, v, &p->props);
	need_field(&n, p->client_id);
	if (p->has_will) {
		if (p->will.qos > 2)
			return -EINVAL;
		flags |= 0x04u | (unsigned)p->will.qos << 3 | (p->will.retain ? 0x20u : 0);
		n.will_props_bytes = need_props(&n, v, &p->will.props);
		need_field(&n, p->will.topic);
		need_field(&n, p->will.payload);
	}
	if (p->has_user_name)
		need_field(&n, p->user_name);
	if (p->has_password)
		need_field(&n, p->password);
	result = begin(w, MQTT_CONNECT, 0, &n);
	if (result)
		return result;
	mqtt_write_field(w, bytes_of_text("MQTT"));
	write_u8(w, (uint8_t)v);
	write_u8(w, (uint8_t)flags);
	write_u16(w, p->keep_alive_s);
	write_props(w, v, &p->props, n.props_bytes);
	mqtt_write_field(w, p->client_id);
	if (p->has_will) {
		write_props(w, v, &p->will.props, n.will_props_bytes);
		mqtt_write_field(w, p->will.topic);
		mqtt_write_field(w, p->will.payload);
	}
	if (p->has_user_name)
		mqtt_write_field(w, p->user_name);
	if (p->has_password)
		mqtt_write_field(w, p->password);
	return finish(w, start, v, MQTT_CLIENT);
}

int mqtt_encode_connack(struct writer *w, enum mqtt_version v, const struct mqtt_connack *p)
{
	struct need n = {.bytes = 2};
	uint8_t *start = w->at;
	int result;

	n.props_bytes = need_props(&n, v, &p->props);
	result = begin(w, MQTT_CONNACK, 0, &n);
	if (result)
		return result;
	write_u8(w, p->session_present);
	write_u8(w, p->code);
	write_props(w, v, &p->props, n.props_bytes);
	return finish(w, start, v, MQTT_SERVER);
}

int mqtt_encode_publish(struct writer *w, enum mqtt_version v, enum mqtt_side from,
			const struct mqtt_publish *p)
{
	struct need n = {0};
	uint8_t *start = w->at;
	int result;

	if (p->qos > 2)
		return -EINVAL;
	need_field(&n, p->topic);
	n.bytes += p->qos ? 2 : 0;
	n.props_bytes = need_props(&n, v, &p->props);
	if (p->payload.size > MQTT_REMAINING_LENGTH_MAX)
		return -EMSGSIZE;
	n.bytes += p->payload.size;
	result = begin(w, MQTT_PUBLISH, (uint8_t)(p->dup << 3 | p->qos << 1 | p->retain), &n);
	if (result)
		return result;
	mqtt_write_field(w, p->topic);
	if (p->qos)
		write_u16(w, p->packet_id);
	write_props(w, v, &p->props, n.props_bytes);
	write_bytes(w, p->payload.ptr, p->payload.size);
	return finish(w, start, v, from);
}

int mqtt_encode_success(struct writer *w, enum mqtt_type type, uint16_t packet_id)
{
	ASSERT(type >= MQTT_PUBACK);
	ASSERT(type <= MQTT_PUBCOMP);
	if (packet_id == 0)
		return -EINVAL;
	if (w->failed || writer_left(w) < MQTT_SUCCESS_BYTES)
		return -ENOSPC;
	write_u8(w, (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)));
	write_u8(w, MQTT_SUCCESS_BYTES - 2);
	write_u16(w, packet_id);
	return MQTT_SUCCESS_BYTES;
}

int mqtt_encode_ack(struct writer *w, enum mqtt_version v, enum mqtt_type type, const struct mqtt_ack *p)
{
	struct need n = {.bytes = 2};
	uint8_t *start = w->at;
	bool has_props, has_code;
	int result;

	ASSERT(type >= MQTT_PUBACK);
	ASSERT(type <= MQTT_PUBCOMP);
	has_props = v == MQTT_5 && (p->props.present || p->props.raw.size);
	has_code = v == MQTT_5 && (p->code != MQTT_SUCCESS || has_props);
	if (!has_code)
		return mqtt_encode_success(w, type, p->packet_id);
	n.bytes += 1;
	if (has_props)
		n.props_bytes = need_props(&n, v, &p->props);
	if (p->packet_id == 0)
		return -EINVAL;
	result = begin(w, type, type == MQTT_PUBREL ? 2 : 0, &n);
	if (result)
		return result;
	write_u16(w, p->packet_id);
	write_u8(w, p->code);
	if (has_props)
		write_props(w, v, &p->props, n.props_bytes);
	return finish(w, start, v, MQTT_CLIENT); /* either side has the same codes */
}

static int encode_list(struct writer *w, enum mqtt_version v, enum mqtt_type type,
		       const struct mqtt_subscribe *p)
{
	struct need n = {.bytes = 2};
	uint8_t *start = w->at;
	int result;

	n.props_bytes = need_props(&n, v, &p->props);
	if (p->filters.size > MQTT_REMAINING_LENGTH_MAX)
		return -EMSGSIZE;
	n.bytes += p->filters.size;
	result = begin(w, type, 2, &n);
	if (result)
		return result;
	write_u16(w, p->packet_id);
	write_props(w, v, &p->props, n.props_bytes);
	write_bytes(w, p->filters.ptr, p->filters.size);
	return finish(w, start, v, MQTT_CLIENT);
}

int mqtt_encode_subscribe(struct writer *w, enum mqtt_version v, const struct mqtt_subscribe *p)
{
	return encode_list(w, v, MQTT_SUBSCRIBE, p);
}

int mqtt_encode_unsubscribe(struct writer *w, enum mqtt_version v, const struct mqtt_subscribe *p)
{
	return encode_list(w, v, MQTT_UNSUBSCRIBE, p);
}

static int encode_codes(struct writer *w, enum mqtt_version v, enum mqtt_type type,
			const struct mqtt_suback *p)
{
	struct bytes codes = v == MQTT_3_1_1 && type == MQTT_UNSUBACK ? (struct bytes){0} : p->codes;
	struct need n = {.bytes = 2};
	uint8_t *start = w->at;
	int result;

	n.props_bytes = need_props(&n, v, &p->props);
	if (codes.size > MQTT_REMAINING_LENGTH_MAX)
		return -EMSGSIZE;
	n.bytes += codes.size;
	result = begin(w, type, 0, &n);
	if (result)
		return result;
	write_u16(w, p->packet_id);
	write_props(w, v, &p->props, n.props_bytes);
	write_bytes(w, codes.ptr, codes.size);
	return finish(w, start, v, MQTT_SERVER);
}

int mqtt_encode_suback(struct writer *w, enum mqtt_version v, const struct mqtt_suback *p)
{
	return encode_codes(w, v, MQTT_SUBACK, p);
}

int mqtt_encode_unsuback(struct writer *w, enum mqtt_version v, const struct mqtt_suback *p)
{
	return encode_codes(w, v, MQTT_UNSUBACK, p);
}

static int encode_ping(struct writer *w, enum mqtt_type type)
{
	struct need n = {0};
	int result = begin(w, type, 0, &n);

	return result ? result : 2;
}

int mqtt_encode_pingreq(struct writer *w)
{
	return encode_ping(w, MQTT_PINGREQ);
}

int mqtt_encode_pingresp(struct writer *w)
{
	return encode_ping(w, MQTT_PINGRESP);
}

/* Properties that are not there may be left out: in DISCONNECT with any code, in AUTH only together with the
 * code; finish() refuses an AUTH with a code and no Authentication Method. */
static int encode_goodbye(struct writer *w, enum mqtt_version v, enum mqtt_side from, enum mqtt_type type,
			  const struct mqtt_goodbye *p)
{
	struct need n = {0};
	uint8_t *start = w->at;
	bool has_props, has_code;
	int result;

	has_props = v == MQTT_5 && (p->props.present || p->props.raw.size);
	has_code = v == MQTT_5 && (p->code != MQTT_SUCCESS || has_props);
	n.bytes += has_code;
	if (has_props)
		n.props_bytes = need_props(&n, v, &p->props);
	result = begin(w, type, 0, &n);
	if (result)
		return result;
	if (has_code)
		write_u8(w, p->code);
	if (has_props)
		write_props(w, v, &p->props, n.props_bytes);
	return finish(w, start, v, from);
}

int mqtt_encode_disconnect(struct writer *w, enum mqtt_version v, enum mqtt_side from,
			   const struct mqtt_goodbye *p)
{
	return encode_goodbye(w, v, from, MQTT_DISCONNECT, p);
}

int mqtt_encode_auth(struct writer *w, enum mqtt_side from, const struct mqtt_goodbye *p)
{
	return encode_goodbye(w, MQTT_5, from, MQTT_AUTH, p);
}

int mqtt_encode(struct writer *w, enum mqtt_version v, enum mqtt_side from, const struct mqtt_packet *p)
{
	switch (p->type) {
	case MQTT_CONNECT: return mqtt_encode_connect(w, v, &p->connect);
	case MQTT_CONNACK: return mqtt_encode_connack(w, v, &p->connack);
	case MQTT_PUBLISH: return mqtt_encode_publish(w, v, from, &p->publish);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: return mqtt_encode_ack(w, v, p->type, &p->ack);
	case MQTT_SUBSCRIBE: return mqtt_encode_subscribe(w, v, &p->subscribe);
	case MQTT_UNSUBSCRIBE: return mqtt_encode_unsubscribe(w, v, &p->subscribe);
	case MQTT_SUBACK: return mqtt_encode_suback(w, v, &p->suback);
	case MQTT_UNSUBACK: return mqtt_encode_unsuback(w, v, &p->suback);
	case MQTT_PINGREQ: return mqtt_encode_pingreq(w);
	case MQTT_PINGRESP: return mqtt_encode_pingresp(w);
	case MQTT_DISCONNECT: return mqtt_encode_disconnect(w, v, from, &p->goodbye);
	case MQTT_AUTH: return v == MQTT_5 ? mqtt_encode_auth(w, from, &p->goodbye) : -EINVAL;
	}
	UNREACHABLE();
}

void mqtt_write_subscription(struct writer *w, enum mqtt_version v, const struct mqtt_subscription *s)
{
	unsigned options = s->qos;

	if (v == MQTT_5)
		options |= (s->no_local ? 4u : 0) | (s->retain_as_published ? 8u : 0) |
			   (unsigned)s->retain_handling << 4;
	mqtt_write_field(w, s->filter);
	write_u8(w, (uint8_t)options);
}

void mqtt_write_filter(struct writer *w, struct bytes filter)
{
	mqtt_write_field(w, filter);
}
