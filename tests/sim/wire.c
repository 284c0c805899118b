#include "tests/sim/wire.h"

#include <stdio.h>

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

/* --- properties ------------------------------------------------------------------------------------------------- */

/* Collects what the reader of a message is to see. */
struct telling {
	struct bytes content_type, response_topic, correlation;
	bool has_content_type, has_response_topic, has_correlation, has_format;
	uint8_t format;
	char user[WIRE_TOLD_BYTES];
	size_t user_bytes;
};

static void tell_user(struct parse *p, struct telling *t)
{
	struct bytes name = read_string(p), value = read_string(p);
	int n = snprintf(t->user + t->user_bytes, sizeof(t->user) - t->user_bytes, "u:%.*s=%.*s;",
			 (int)name.size, (const char *)name.ptr, (int)value.size, (const char *)value.ptr);

	if (n > 0)
		t->user_bytes = min_size(t->user_bytes + (size_t)n, sizeof(t->user) - 1);
}

static size_t tell_one(char *out, size_t at, bool has, const char *name, struct bytes text)
{
	int n = has ? snprintf(out + at, WIRE_TOLD_BYTES - at, "%s=%.*s;", name, (int)text.size,
			       (const char *)text.ptr)
		    : 0;

	return min_size(at + (size_t)(n > 0 ? n : 0), WIRE_TOLD_BYTES - 1);
}

static void tell_all(const struct telling *t, char out[static WIRE_TOLD_BYTES])
{
	static const char *const formats[] = {"0", "1"};
	size_t at = tell_one(out, 0, t->has_format, "fmt", bytes_of_text(formats[t->format & 1]));

	at = tell_one(out, at, t->has_content_type, "ct", t->content_type);
	at = tell_one(out, at, t->has_response_topic, "rt", t->response_topic);
	at = tell_one(out, at, t->has_correlation, "cd", t->correlation);
	snprintf(out + at, WIRE_TOLD_BYTES - at, "%s", t->user);
}

static void read_prop(struct parse *p, uint32_t id, struct wire_props *out, struct telling *t)
{
	switch (id) {
	case 1:
		t->format = read_u8(&p->r);
		t->has_format = true;
		if (t->format > 1)
			wrong(p, "payload format indicator above 1");
		break;
	case 23:
	case 25:
		if (read_u8(&p->r) > 1)
			wrong(p, "a boolean property above 1");
		break;
	case 2:
		out->expiry_s = read_u32(&p->r);
		out->has_expiry = true;
		break;
	case 24: out->will_delay_s = read_u32(&p->r); break;
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
	case 34: out->topic_alias_max = read_u16(&p->r); break;
	case 35:
		out->topic_alias = read_u16(&p->r);
		out->has_topic_alias = true;
		if (!out->topic_alias)
			wrong(p, "topic alias 0 [MQTT-3.3.2-8]");
		break;
	case 11:
		out->subscription_id = read_varint(p);
		if (!out->subscription_id)
			wrong(p, "subscription identifier 0");
		break;
	case 3:
		t->content_type = read_string(p);
		t->has_content_type = true;
		break;
	case 8:
		t->response_topic = read_string(p);
		t->has_response_topic = true;
		break;
	case 9:
		t->correlation = read_bytes(&p->r, read_u16(&p->r));
		t->has_correlation = true;
		break;
	case 21:
	case 31: (void)read_string(p); break;
	case 22: (void)read_bytes(&p->r, read_u16(&p->r)); break;
	case 38: tell_user(p, t); break;
	default: wrong(p, "an unknown property"); break;
	}
}

/* allowed ends with a zero. told: NULL, or what the reader of a message is to see. */
static void read_props(struct parse *p, const uint8_t *allowed, struct wire_props *out, char *told)
{
	struct telling t = {0};
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
		read_prop(p, id, out, &t);
	}
	if (told)
		tell_all(&t, told);
	rest.failed |= p->r.failed;
	p->r = rest;
}

void wire_write_told(struct writer *w, const char *told)
{
	while (*told) {
		const char *end = strchr(told, ';'), *is = strchr(told, '=');

		ASSERT(end && is && is < end);
		struct bytes name = bytes_of(told, (size_t)(is - told));
		struct bytes value = bytes_of(is + 1, (size_t)(end - is - 1));
		bool user = name.size > 2 && told[1] == ':';
		uint8_t id = user ? 38 : told[0] == 'f' ? 1 : told[0] == 'r' ? 8 : told[1] == 't' ? 3 : 9;

		write_u8(w, id);
		if (id == 1) {
			write_u8(w, value.ptr[0] == '1');
		} else {
			if (user) {
				write_u16(w, (uint16_t)(name.size - 2));
				write_bytes(w, name.ptr + 2, name.size - 2);
			}
			write_u16(w, (uint16_t)value.size);
			write_bytes(w, value.ptr, value.size);
		}
		told = end + 1;
	}
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static void check_topic_name(struct parse *p, struct bytes topic)
{
	for (size_t i = 0; i < topic.size; i++)
		if (topic.ptr[i] == '+' || topic.ptr[i] == '#')
			wrong(p, "a wildcard in a topic [MQTT-3.3.2-2]");
}

static void read_will(struct parse *p, struct wire_packet *out)
{
	static const uint8_t will_props[] = {24, 1, 2, 3, 8, 9, 38, 0};

	read_props(p, will_props, &out->props, out->told);
	out->topic = read_string(p);
	out->payload = read_bytes(&p->r, read_u16(&p->r));
	check_topic_name(p, out->topic);
	if (out->topic.size == 0)
		wrong(p, "a will without a topic [MQTT-4.7.3-1]");
}

static void read_connect(struct parse *p, struct wire_packet *out)
{
	static const uint8_t connect_props[] = {17, 33, 39, 34, 25, 23, 38, 21, 22, 0};
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
	out->qos = flags >> 3 & 3;
	out->retain = flags & 0x20;
	out->has_user = flags & 0x80;
	out->has_password = flags & 0x40;
	if (flags & 1)
		wrong(p, "reserved connect flag [MQTT-3.1.2-3]");
	if ((!out->has_will && flags & 0x38) || (flags & 0x18) == 0x18)
		wrong(p, "will flags [MQTT-3.1.2-11..15]");
	if (out->level == 4 && out->has_password && !out->has_user)
		wrong(p, "a password without a user [MQTT-3.1.2-22]");
	out->keep_alive_s = read_u16(&p->r);
	read_props(p, connect_props, &out->props, NULL);
	out->client_id = read_string(p);
	if (out->level == 4 && out->client_id.size == 0 && !out->clean)
		wrong(p, "no client id without clean session [MQTT-3.1.3-7]");
	if (out->has_will)
		read_will(p, out);
	if (out->has_user)
		out->user = read_string(p);
	if (out->has_password)
		(void)read_bytes(&p->r, read_u16(&p->r));
}

static void read_publish(struct parse *p, uint8_t flags, struct wire_packet *out)
{
	static const uint8_t props[] = {1, 2, 35, 8, 9, 38, 3, 0}; /* no 11 [MQTT-3.3.4-6] */

	out->dup = flags & 8;
	out->qos = flags >> 1 & 3;
	out->retain = flags & 1;
	if (out->qos == 3)
		wrong(p, "QoS 3 [MQTT-3.3.1-4]");
	if (out->dup && out->qos == 0)
		wrong(p, "DUP with QoS 0 [MQTT-3.3.1-2]");
	out->topic = read_string(p);
	check_topic_name(p, out->topic);
	if (out->qos > 0) {
		out->packet_id = read_u16(&p->r);
		if (out->packet_id == 0)
			wrong(p, "packet identifier 0 [MQTT-2.2.1-3]");
	}
	read_props(p, props, &out->props, out->told);
	if (out->topic.size == 0 && !out->props.has_topic_alias)
		wrong(p, "no topic and no alias [MQTT-3.3.2-8]");
	out->payload = read_bytes(&p->r, reader_left(&p->r));
}

static void check_filter(struct parse *p, struct bytes f)
{
	if (f.size == 0)
		wrong(p, "an empty topic filter [MQTT-4.7.3-1]");
	for (size_t i = 0; i < f.size; i++) {
		bool begins = i == 0 || f.ptr[i - 1] == '/', last = i + 1 == f.size;

		if (f.ptr[i] == '#' && (!begins || !last))
			wrong(p, "# inside a filter [MQTT-4.7.1-1]");
		if (f.ptr[i] == '+' && (!begins || (!last && f.ptr[i + 1] != '/')))
			wrong(p, "+ beside other characters [MQTT-4.7.1-2]");
	}
}

static bool is_shared(struct bytes f)
{
	return f.size > 7 && memcmp(f.ptr, "$share/", 7) == 0;
}

static void read_subscribe(struct parse *p, struct wire_packet *out)
{
	static const uint8_t subscribe_props[] = {11, 38, 0}, unsubscribe_props[] = {38, 0};
	bool subscribe = out->type == WIRE_SUBSCRIBE;

	out->packet_id = read_u16(&p->r);
	if (out->packet_id == 0)
		wrong(p, "packet identifier 0 [MQTT-2.2.1-3]");
	read_props(p, subscribe ? subscribe_props : unsubscribe_props, &out->props, NULL);
	while (!p->why && !p->r.failed && reader_left(&p->r)) {
		struct wire_filter f = {.filter = read_string(p)};

		check_filter(p, f.filter);
		if (subscribe) {
			f.options = read_u8(&p->r);
			if ((f.options & 3) == 3)
				wrong(p, "QoS 3 in a subscription [MQTT-3.8.3-4]");
			if (f.options & (p->level == 5 ? 0xc0 : 0xfc))
				wrong(p, "reserved bits in subscription options [MQTT-3.8.3-5]");
			if ((f.options >> 4 & 3) == 3)
				wrong(p, "retain handling 3 [MQTT-3.8.3-5]");
			if ((f.options & 4) && is_shared(f.filter))
				wrong(p, "no local on a shared subscription [MQTT-3.8.3-4]");
		}
		if (out->filter_count == WIRE_FILTERS_MAX)
			wrong(p, "more filters in a packet than this broker cares to hold");
		else
			out->filters[out->filter_count++] = f;
	}
	if (out->filter_count == 0)
		wrong(p, "no topic filter [MQTT-3.8.3-2, MQTT-3.10.3-2]");
}

static void read_ack(struct parse *p, struct wire_packet *out)
{
	static const uint8_t props[] = {31, 38, 0};

	out->packet_id = read_u16(&p->r);
	if (p->level == 5 && reader_left(&p->r))
		out->code = read_u8(&p->r);
	if (p->level == 5 && reader_left(&p->r))
		read_props(p, props, &out->props, NULL);
}

static void read_disconnect(struct parse *p, struct wire_packet *out)
{
	static const uint8_t props[] = {17, 31, 38, 0};

	if (p->level == 5 && reader_left(&p->r))
		out->code = read_u8(&p->r);
	if (p->level == 5 && reader_left(&p->r))
		read_props(p, props, &out->props, NULL);
}

static bool needs_2(uint8_t type)
{
	return type == WIRE_PUBREL || type == WIRE_SUBSCRIBE || type == WIRE_UNSUBSCRIBE;
}

int wire_read(struct bytes input, uint8_t level, struct wire_packet *out, const char **why)
{
	struct parse p = {.level = level};
	uint32_t size = 0, length_bytes = 0;
	uint8_t flags;

	memset(out, 0, offsetof(struct wire_packet, told) + 1);
	out->filter_count = 0;
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
	if (out->type != WIRE_PUBLISH && flags != (needs_2(out->type) ? 2 : 0))
		wrong(&p, "fixed header flags [MQTT-2.1.3-1]");
	switch (out->type) {
	case WIRE_CONNECT: read_connect(&p, out); break;
	case WIRE_PUBLISH: read_publish(&p, flags, out); break;
	case WIRE_PUBACK:
	case WIRE_PUBREC:
	case WIRE_PUBREL:
	case WIRE_PUBCOMP: read_ack(&p, out); break;
	case WIRE_SUBSCRIBE:
	case WIRE_UNSUBSCRIBE: read_subscribe(&p, out); break;
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

bool wire_matches(struct bytes filter, struct bytes topic)
{
	size_t f = 0, t = 0;

	if (topic.size && topic.ptr[0] == '$' && filter.size &&
	    (filter.ptr[0] == '#' || filter.ptr[0] == '+'))
		return false; /* [MQTT-4.7.2-1] */
	while (f < filter.size) {
		if (filter.ptr[f] == '#')
			return true;
		if (filter.ptr[f] == '+') {
			while (t < topic.size && topic.ptr[t] != '/')
				t++;
			f++;
		} else if (t < topic.size && filter.ptr[f] == topic.ptr[t]) {
			f++;
			t++;
		} else { /* a/# covers a */
			return t == topic.size && filter.size - f == 2 && filter.ptr[f] == '/' &&
			       filter.ptr[f + 1] == '#';
		}
	}
	return t == topic.size;
}
