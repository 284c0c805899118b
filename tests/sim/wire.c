#include "tests/sim/wire.h"

struct parse {
	struct reader r;
	uint8_t level;
	const char *why;
};

static void wrong(struct parse *p, const char *why)
{
	if (!p->why)
		p->why = why;
}

static uint32_t read_varint(struct parse *p)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < 4; i++) {
		uint8_t b = read_u8(&p->r);

		value |= (uint32_t)(b & 0x7f) << (7 * i);
		if (b & 0x80)
			continue;
		if (i > 0 && b == 0)
			wrong(p, "a variable byte integer is not minimal [MQTT-1.5.5-1]");
		return value;
	}
	wrong(p, "a variable byte integer of more than four bytes");
	return 0;
}

/* Well-formed UTF-8 without U+0000 [MQTT-1.5.4-1, -2]. */
static bool utf8_good(struct bytes b)
{
	for (size_t i = 0; i < b.size;) {
		uint8_t c = b.ptr[i];
		size_t more = c < 0x80 ? 0 : c < 0xc2 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 9;
		uint32_t code = more ? c & (0x3fu >> more) : c;

		if (more == 9 || i + more >= b.size)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((b.ptr[i + k] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (b.ptr[i + k] & 0x3f);
		}
		if (code == 0 || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff ||
		    (more == 2 && code < 0x800) || (more == 3 && code < 0x10000))
			return false;
		i += more + 1;
	}
	return true;
}

static struct bytes read_string(struct parse *p)
{
	struct bytes b = read_bytes(&p->r, read_u16(&p->r));

	if (!utf8_good(b))
		wrong(p, "a string is not UTF-8 [MQTT-1.5.4-1]");
	return b;
}

static bool is_in(uint32_t id, const uint8_t *list)
{
	while (*list && *list != id)
		list++;
	return *list != 0;
}

/* allowed ends with a zero. */
static void read_props(struct parse *p, const uint8_t *allowed, struct wire_props *out)
{
	uint32_t size;
	struct reader rest;
	uint64_t seen = 0;

	if (p->level != 5)
		return;
	size = read_varint(p);
	struct bytes body = read_bytes(&p->r, size);

	rest = p->r;
	p->r = reader_of(body);
	p->r.failed = rest.failed;
	while (!p->why && !p->r.failed && reader_left(&p->r)) {
		uint32_t id = read_varint(p);

		if (!is_in(id, allowed))
			wrong(p, "a property that this packet does not have");
		if (id != 38 && id < 64 && (seen & 1ull << id))
			wrong(p, "a property twice");
		seen |= 1ull << (id & 63);
		switch (id) {
		case 1:
		case 23:
		case 25:
			if (read_u8(&p->r) > 1)
				wrong(p, "a boolean property above 1");
			break;
		case 2:
		case 24: (void)read_u32(&p->r); break;
		case 17: out->session_expiry_s = read_u32(&p->r); break;
		case 39:
			out->max_packet_bytes = read_u32(&p->r);
			if (!out->max_packet_bytes)
				wrong(p, "maximum packet size 0");
			break;
		case 33:
			out->receive_max = read_u16(&p->r);
			out->has_receive_max = true;
			if (!out->receive_max)
				wrong(p, "receive maximum 0");
			break;
		case 34: (void)read_u16(&p->r); break;
		case 35:
			out->topic_alias = read_u16(&p->r);
			out->has_topic_alias = true;
			if (!out->topic_alias)
				wrong(p, "topic alias 0 [MQTT-3.3.2-8]");
			break;
		case 3:
		case 8:
		case 21:
		case 31: (void)read_string(p); break;
		case 9:
		case 22: (void)read_bytes(&p->r, read_u16(&p->r)); break;
		case 38:
			(void)read_string(p);
			(void)read_string(p);
			break;
		default: wrong(p, "an unknown property"); break;
		}
	}
	rest.failed |= p->r.failed;
	p->r = rest;
}

static void read_connect(struct parse *p, struct wire_packet *out)
{
	static const uint8_t connect_props[] = {17, 33, 39, 34, 25, 23, 38, 21, 22, 0};
	static const uint8_t will_props[] = {24, 1, 2, 3, 8, 9, 38, 0};
	struct wire_props ignored = {0};
	struct bytes name = read_string(p);
	uint8_t flags;

	if (!bytes_equal(name, bytes_of_text("MQTT")))
		wrong(p, "protocol name [MQTT-3.1.2-1]");
	out->level = read_u8(&p->r);
	if (out->level != 4 && out->level != 5)
		wrong(p, "protocol level");
	p->level = out->level;
	flags = read_u8(&p->r);
	out->clean = flags & 2;
	out->has_will = flags & 4;
	out->has_user = flags & 0x80;
	out->has_password = flags & 0x40;
	if (flags & 1)
		wrong(p, "reserved connect flag [MQTT-3.1.2-3]");
	if ((!out->has_will && flags & 0x38) || (flags & 0x18) == 0x18)
		wrong(p, "will flags [MQTT-3.1.2-11..15]");
	if (out->level == 4 && out->has_password && !out->has_user)
		wrong(p, "a password without a user [MQTT-3.1.2-22]");
	out->keep_alive_s = read_u16(&p->r);
	read_props(p, connect_props, &out->props);
	out->client_id = read_string(p);
	if (out->level == 4 && out->client_id.size == 0 && !out->clean)
		wrong(p, "no client id without clean session [MQTT-3.1.3-7]");
	if (out->has_will) {
		read_props(p, will_props, &ignored);
		(void)read_string(p);
		(void)read_bytes(&p->r, read_u16(&p->r));
	}
	if (out->has_user)
		(void)read_string(p);
	if (out->has_password)
		(void)read_bytes(&p->r, read_u16(&p->r));
}

static void read_publish(struct parse *p, uint8_t flags, struct wire_packet *out)
{
	static const uint8_t props[] = {1, 2, 35, 8, 9, 38, 3, 0};

	out->dup = flags & 8;
	out->qos = flags >> 1 & 3;
	out->retain = flags & 1;
	if (out->qos == 3)
		wrong(p, "QoS 3 [MQTT-3.3.1-4]");
	if (out->dup && out->qos == 0)
		wrong(p, "DUP with QoS 0 [MQTT-3.3.1-2]");
	out->topic = read_string(p);
	for (size_t i = 0; i < out->topic.size; i++)
		if (out->topic.ptr[i] == '+' || out->topic.ptr[i] == '#')
			wrong(p, "a wildcard in a topic [MQTT-3.3.2-2]");
	if (out->qos > 0) {
		out->packet_id = read_u16(&p->r);
		if (out->packet_id == 0)
			wrong(p, "packet identifier 0 [MQTT-2.2.1-3]");
	}
	read_props(p, props, &out->props);
	if (out->topic.size == 0 && !out->props.has_topic_alias)
		wrong(p, "no topic and no alias [MQTT-3.3.2-8]");
	out->payload = read_bytes(&p->r, reader_left(&p->r));
}

static void read_ack(struct parse *p, struct wire_packet *out)
{
	static const uint8_t props[] = {31, 38, 0};

	out->packet_id = read_u16(&p->r);
	if (p->level == 5 && reader_left(&p->r))
		out->code = read_u8(&p->r);
	if (p->level == 5 && reader_left(&p->r))
		read_props(p, props, &out->props);
}

static void read_disconnect(struct parse *p, struct wire_packet *out)
{
	static const uint8_t props[] = {17, 31, 38, 0};

	if (p->level == 5 && reader_left(&p->r))
		out->code = read_u8(&p->r);
	if (p->level == 5 && reader_left(&p->r))
		read_props(p, props, &out->props);
}

int wire_read(struct bytes input, uint8_t level, struct wire_packet *out, const char **why)
{
	struct parse p = {.level = level};
	uint32_t size = 0, length_bytes = 0;
	uint8_t flags;

	*out = (struct wire_packet){0};
	for (;; length_bytes++) {
		if (1 + length_bytes >= input.size)
			return 0;
		if (length_bytes == 4) {
			*why = "remaining length of more than four bytes";
			return -1;
		}
		size |= (uint32_t)(input.ptr[1 + length_bytes] & 0x7f) << (7 * length_bytes);
		if (!(input.ptr[1 + length_bytes] & 0x80))
			break;
	}
	if (length_bytes > 0 && input.ptr[1 + length_bytes] == 0) {
		*why = "remaining length is not minimal";
		return -1;
	}
	length_bytes++;
	if (input.size < 1 + length_bytes + (size_t)size)
		return 0;
	out->size_bytes = 1 + length_bytes + (size_t)size;
	out->type = input.ptr[0] >> 4;
	flags = input.ptr[0] & 15;
	p.r = reader_of(bytes_of(input.ptr + 1 + length_bytes, size));
	if (out->type != WIRE_PUBLISH && flags != (out->type == WIRE_PUBREL ? 2 : 0))
		wrong(&p, "fixed header flags [MQTT-2.1.3-1]");
	switch (out->type) {
	case WIRE_CONNECT: read_connect(&p, out); break;
	case WIRE_PUBLISH: read_publish(&p, flags, out); break;
	case WIRE_PUBACK:
	case WIRE_PUBREC:
	case WIRE_PUBREL:
	case WIRE_PUBCOMP: read_ack(&p, out); break;
	case WIRE_PINGREQ: break;
	case WIRE_DISCONNECT: read_disconnect(&p, out); break;
	default: wrong(&p, "a packet that this client has no reason to send"); break;
	}
	if (p.r.failed || reader_left(&p.r))
		wrong(&p, "a packet whose fields and length do not agree");
	*why = p.why;
	return p.why ? -1 : (int)out->size_bytes;
}

size_t wire_write_ack(uint8_t out[static 8], uint8_t level, enum wire_type type, uint16_t packet_id,
		      uint8_t code)
{
	bool with_code = level == 5 && code != 0;

	out[0] = (uint8_t)(type << 4 | (type == WIRE_PUBREL ? 2 : 0));
	out[1] = with_code ? 3 : 2;
	out[2] = (uint8_t)(packet_id >> 8);
	out[3] = (uint8_t)packet_id;
	out[4] = code;
	return with_code ? 5 : 4;
}
