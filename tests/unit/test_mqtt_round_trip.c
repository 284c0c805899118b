/* Random packets of every type: encoded, decoded, compared; cut short; and bent. */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>

#include "core/prng.h"
#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "tests/mqtt_equal.h"

#define ROUNDS       1000
#define ARENA_BYTES  8192
#define PACKET_BYTES 16384

/* What one random packet borrows its strings from. */
struct maker {
	struct prng prng;
	struct writer arena;
	uint8_t memory[ARENA_BYTES];
};

static uint32_t below(struct maker *m, uint32_t bound)
{
	return prng_below(&m->prng, bound);
}

static bool maybe(struct maker *m)
{
	return below(m, 2);
}

static struct bytes random_text(struct maker *m, uint32_t least_bytes, const char *alphabet)
{
	uint8_t *start = m->arena.at;
	uint32_t size = least_bytes + below(m, 12);

	for (uint32_t i = 0; i < size; i++)
		write_u8(&m->arena, (uint8_t)alphabet[below(m, (uint32_t)strlen(alphabet))]);
	ASSERT(!m->arena.failed);
	return bytes_of(start, size);
}

static struct bytes text(struct maker *m)
{
	return random_text(m, 0, "abc/$+# \x7F");
}

static struct bytes topic(struct maker *m)
{
	return random_text(m, 1, "ab/$ ");
}

static struct bytes binary(struct maker *m)
{
	uint8_t *start = m->arena.at;
	uint32_t size = below(m, 20);

	for (uint32_t i = 0; i < size; i++)
		write_u8(&m->arena, (uint8_t)below(m, 256));
	return bytes_of(start, size);
}

static void random_value(struct maker *m, const struct mqtt_prop_info *info, struct mqtt_props *out)
{
	uint8_t *field = (uint8_t *)out + info->offset;
	uint32_t span = info->value_max - info->value_min;
	uint32_t number = info->value_min +
			  (span == UINT32_MAX ? (uint32_t)prng_next(&m->prng) : below(m, span + 1));
	uint16_t number_16 = (uint16_t)number;
	uint8_t number_8 = (uint8_t)number;
	struct bytes run;

	switch (info->kind) {
	case MQTT_KIND_BYTE: memcpy(field, &number_8, 1); break;
	case MQTT_KIND_U16: memcpy(field, &number_16, 2); break;
	case MQTT_KIND_U32: memcpy(field, &number, 4); break;
	case MQTT_KIND_STRING:
		run = info->id == MQTT_PROP_RESPONSE_TOPIC ? topic(m) : text(m);
		memcpy(field, &run, sizeof(run));
		break;
	case MQTT_KIND_BINARY:
		run = binary(m);
		memcpy(field, &run, sizeof(run));
		break;
	case MQTT_KIND_VARINT:
	case MQTT_KIND_STRING_PAIR: break;
	}
}

static void random_repeated(struct maker *m, unsigned place, enum mqtt_side from, struct mqtt_props *out)
{
	struct bytes key[3], value[3];
	uint32_t id_count = 0, user_count = below(m, 4);
	uint8_t *start;

	for (uint32_t i = 0; i < user_count; i++) {
		key[i] = text(m);
		value[i] = text(m);
	}
	if (place == MQTT_SUBSCRIBE)
		id_count = below(m, 2);
	else if (place == MQTT_PUBLISH && from == MQTT_SERVER)
		id_count = below(m, 4);
	start = m->arena.at;
	for (uint32_t i = 0; i < id_count; i++)
		mqtt_write_subscription_identifier(
			&m->arena, 1 + (uint32_t)(prng_next(&m->prng) & 0xFFFFFFF) % 268435455);
	for (uint32_t i = 0; i < user_count; i++)
		mqtt_write_user_property(&m->arena, key[i], value[i]);
	ASSERT(!m->arena.failed);
	out->raw = bytes_of(start, (size_t)(m->arena.at - start));
	if (id_count)
		mqtt_props_set(out, MQTT_PROP_SUBSCRIPTION_IDENTIFIER);
	if (user_count)
		mqtt_props_set(out, MQTT_PROP_USER_PROPERTY);
}

static struct mqtt_props random_props(struct maker *m, enum mqtt_version v, unsigned place,
				      enum mqtt_side from)
{
	struct mqtt_props out = {0};

	if (v == MQTT_3_1_1 || below(m, 4) == 0)
		return out;
	for (uint32_t id = 0; id < 64; id++) {
		const struct mqtt_prop_info *info = mqtt_prop_info(id);
		bool server_only = id == MQTT_PROP_SESSION_EXPIRY_INTERVAL && place == MQTT_DISCONNECT &&
				   from == MQTT_SERVER;

		if (!info || info->repeats || !(info->places & MQTT_PLACE(place)) || server_only || maybe(m))
			continue;
		if (id == MQTT_PROP_AUTHENTICATION_DATA &&
		    !mqtt_props_has(&out, MQTT_PROP_AUTHENTICATION_METHOD))
			continue;
		random_value(m, info, &out);
		mqtt_props_set(&out, (enum mqtt_prop)id);
	}
	random_repeated(m, place, from, &out);
	return out;
}

static uint8_t random_code(struct maker *m, enum mqtt_version v, enum mqtt_type type, enum mqtt_side from)
{
	for (;;) {
		uint8_t code = (uint8_t)below(m, 256);

		if (mqtt_reason_allowed(v, type, from, code))
			return code;
	}
}

static void random_connect(struct maker *m, enum mqtt_version v, struct mqtt_connect *c)
{
	*c = (struct mqtt_connect){
		.clean_start = maybe(m),
		.has_will = maybe(m),
		.has_user_name = maybe(m),
		.keep_alive_s = (uint16_t)below(m, 65536),
		.client_id = random_text(m, 1, "abcXYZ09"),
		.props = random_props(m, v, MQTT_CONNECT, MQTT_CLIENT),
	};
	c->has_password = maybe(m) && (v == MQTT_5 || c->has_user_name);
	if (c->has_will)
		c->will = (struct mqtt_will){
			.qos = (uint8_t)below(m, 3),
			.retain = maybe(m),
			.topic = topic(m),
			.payload = binary(m),
			.props = random_props(m, v, MQTT_PLACE_WILL, MQTT_CLIENT),
		};
	if (c->has_user_name)
		c->user_name = text(m);
	if (c->has_password)
		c->password = binary(m);
}

static void random_publish(struct maker *m, enum mqtt_version v, enum mqtt_side from, struct mqtt_packet *p)
{
	struct mqtt_publish *pub = &p->publish;

	*pub = (struct mqtt_publish){
		.qos = (uint8_t)below(m, 3),
		.retain = maybe(m),
		.topic = topic(m),
		.payload = binary(m),
		.props = random_props(m, v, MQTT_PUBLISH, from),
	};
	if (pub->qos) {
		pub->dup = maybe(m);
		pub->packet_id = (uint16_t)(1 + below(m, 65535));
	}
	if (mqtt_props_has(&pub->props, MQTT_PROP_TOPIC_ALIAS) && maybe(m))
		pub->topic = (struct bytes){0};
	p->flags = (uint8_t)(pub->dup << 3 | pub->qos << 1 | pub->retain);
}

static void random_list(struct maker *m, enum mqtt_version v, enum mqtt_type type, struct mqtt_subscribe *s)
{
	static const char *const filters[] = {"a/b", "#", "+/x", "a/+/#", "$share/g/+/t", "$SYS/#", "/"};
	struct bytes names[4];
	uint8_t *start;

	*s = (struct mqtt_subscribe){
		.packet_id = (uint16_t)(1 + below(m, 65535)),
		.filter_count = 1 + below(m, 4),
		.props = random_props(m, v, type, MQTT_CLIENT),
	};
	start = m->arena.at;
	for (uint32_t i = 0; i < s->filter_count; i++) {
		names[i] = bytes_of_text(filters[below(m, ARRAY_COUNT(filters))]);
		if (type == MQTT_UNSUBSCRIBE)
			mqtt_write_filter(&m->arena, names[i]);
		else
			mqtt_write_subscription(&m->arena, v,
						&(struct mqtt_subscription){
							.filter = names[i],
							.qos = (uint8_t)below(m, 3),
							.no_local = maybe(m) && names[i].ptr[0] != '$',
							.retain_as_published = maybe(m),
							.retain_handling = (uint8_t)below(m, 3),
						});
	}
	ASSERT(!m->arena.failed);
	s->filters = bytes_of(start, (size_t)(m->arena.at - start));
}

static void random_codes(struct maker *m, enum mqtt_version v, enum mqtt_type type, struct mqtt_suback *s)
{
	uint8_t *start;
	uint32_t count = 1 + below(m, 5);

	*s = (struct mqtt_suback){.packet_id = (uint16_t)(1 + below(m, 65535))};
	s->props = random_props(m, v, type, MQTT_SERVER);
	start = m->arena.at;
	if (v == MQTT_3_1_1 && type == MQTT_UNSUBACK)
		return;
	for (uint32_t i = 0; i < count; i++)
		write_u8(&m->arena, random_code(m, v, type, MQTT_SERVER));
	s->codes = bytes_of(start, count);
}

static void random_goodbye(struct maker *m, enum mqtt_version v, enum mqtt_side from, struct mqtt_packet *p)
{
	struct mqtt_goodbye *g = &p->goodbye;

	*g = (struct mqtt_goodbye){.props = random_props(m, v, p->type, from)};
	if (v == MQTT_5)
		g->code = random_code(m, v, p->type, from);
	if (p->type == MQTT_AUTH && !mqtt_props_has(&g->props, MQTT_PROP_AUTHENTICATION_METHOD)) {
		g->props.authentication_method = bytes_of_text("method");
		mqtt_props_set(&g->props, MQTT_PROP_AUTHENTICATION_METHOD);
	}
}

static void random_packet(struct maker *m, enum mqtt_version v, enum mqtt_type type, enum mqtt_side from,
			  struct mqtt_packet *p)
{
	m->arena = writer_of(m->memory, sizeof(m->memory));
	*p = (struct mqtt_packet){.type = type};
	switch (type) {
	case MQTT_CONNECT: random_connect(m, v, &p->connect); break;
	case MQTT_CONNACK:
		p->connack.code = random_code(m, v, type, from);
		p->connack.session_present = p->connack.code == 0 && maybe(m);
		p->connack.props = random_props(m, v, type, from);
		break;
	case MQTT_PUBLISH: random_publish(m, v, from, p); break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		p->flags = type == MQTT_PUBREL ? 2 : 0;
		p->ack.packet_id = (uint16_t)(1 + below(m, 65535));
		p->ack.code = v == MQTT_5 ? random_code(m, v, type, from) : 0;
		p->ack.props = random_props(m, v, type, from);
		break;
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
		p->flags = 2;
		random_list(m, v, type, &p->subscribe);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK: random_codes(m, v, type, &p->suback); break;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: break;
	case MQTT_DISCONNECT:
	case MQTT_AUTH: random_goodbye(m, v, from, p); break;
	}
}

static bool is_sent(enum mqtt_version v, enum mqtt_type type, enum mqtt_side from)
{
	switch (type) {
	case MQTT_CONNECT:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ: return from == MQTT_CLIENT;
	case MQTT_CONNACK:
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
	case MQTT_PINGRESP: return from == MQTT_SERVER;
	case MQTT_AUTH: return v == MQTT_5;
	case MQTT_DISCONNECT: return v == MQTT_5 || from == MQTT_CLIENT;
	case MQTT_PUBLISH:
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: return true;
	}
	return false;
}

/* Calls the check with random packets of every kind that there is, and their encoding. */
static void each_kind(int rounds, void (*check)(struct maker *m, enum mqtt_version v, enum mqtt_side from,
						const struct mqtt_packet *p, uint8_t *bytes, size_t size))
{
	static struct maker m;
	static uint8_t buffer[PACKET_BYTES];
	static const enum mqtt_version versions[] = {MQTT_3_1_1, MQTT_5};
	int kinds = 0;

	m.prng.state = 20260102;
	for (size_t v = 0; v < 2; v++)
		for (int type = MQTT_CONNECT; type <= MQTT_AUTH; type++)
			for (int from = MQTT_CLIENT; from <= MQTT_SERVER; from++) {
				if (!is_sent(versions[v], (enum mqtt_type)type, (enum mqtt_side)from))
					continue;
				kinds++;
				for (int i = 0; i < rounds; i++) {
					struct writer w = writer_of(buffer, sizeof(buffer));
					struct mqtt_packet p;
					int size;

					random_packet(&m, versions[v], (enum mqtt_type)type,
						      (enum mqtt_side)from, &p);
					size = mqtt_encode(&w, versions[v], (enum mqtt_side)from, &p);
					ck_assert_msg(size > 0, "%s: %d", mqtt_type_name((unsigned)type),
						      size);
					EXPECT(w.at == buffer + size);
					check(&m, versions[v], (enum mqtt_side)from, &p, buffer,
					      (size_t)size);
				}
			}
	EXPECT_EQ(kinds, 19 + 22);
}

static void check_same(struct maker *m UNUSED, enum mqtt_version v, enum mqtt_side from,
		       const struct mqtt_packet *p, uint8_t *bytes, size_t size)
{
	struct mqtt_packet again;
	struct mqtt_error err;

	EXPECT_EQ(mqtt_decode(bytes_of(bytes, size), v, from, 0, &again, &err), size);
	ck_assert_msg(mqtt_packet_equal(p, &again), "%s", mqtt_type_name(p->type));
}

static void check_cut(struct maker *m UNUSED, enum mqtt_version v, enum mqtt_side from,
		      const struct mqtt_packet *p, uint8_t *bytes, size_t size)
{
	struct mqtt_packet again;
	struct mqtt_error err;

	for (size_t cut = 0; cut < size; cut++)
		ck_assert_msg(mqtt_decode(bytes_of(bytes, cut), v, from, 0, &again, &err) == 0,
			      "%s cut at %zu", mqtt_type_name(p->type), cut);
}

/* Whatever a bent packet turns into: refused with a reason, or accepted and then it can be said again. */
static void check_bent(struct maker *m, enum mqtt_version v, enum mqtt_side from,
		       const struct mqtt_packet *p UNUSED, uint8_t *bytes, size_t size)
{
	static uint8_t buffer[PACKET_BYTES];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct mqtt_packet bent, again;
	struct mqtt_error err = {0};
	int result;

	bytes[below(m, (uint32_t)size)] ^= (uint8_t)(1 + below(m, 255));
	result = mqtt_decode(bytes_of(bytes, size), v, from, 0, &bent, &err);
	EXPECT_LE(result, size);
	if (result < 0) {
		EXPECT_EQ(result, -EPROTO);
		EXPECT(err.reason >= 0x80);
		EXPECT(err.statement != NULL);
		EXPECT(err.text != NULL);
	}
	if (result <= 0)
		return;
	result = mqtt_encode(&w, v, from, &bent);
	EXPECT(result > 0);
	EXPECT_EQ(mqtt_decode(bytes_of(buffer, (size_t)result), v, from, 0, &again, &err), result);
	EXPECT(mqtt_packet_equal(&bent, &again));
}

TEST(random_packets_of_every_kind_survive_encoding_and_decoding)
{
	each_kind(ROUNDS, check_same);
}

TEST(random_packets_cut_at_any_byte_are_incomplete)
{
	each_kind(200, check_cut);
}

TEST(random_packets_with_a_bent_byte_are_refused_or_can_be_said_again)
{
	each_kind(ROUNDS, check_bent);
}

TEST(what_the_decoder_refuses_is_not_encoded)
{
	uint8_t buffer[200];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct mqtt_publish publish = {.topic = bytes_of_text("a/#")};
	struct mqtt_subscribe subscribe = {.packet_id = 1};
	struct mqtt_goodbye bye = {.code = MQTT_SESSION_TAKEN_OVER};
	struct mqtt_connect connect = {.has_password = true};
	struct mqtt_ack ack = {.packet_id = 0};

	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &publish), -EINVAL);
	publish.topic = bytes_of_text("a");
	publish.qos = 3;
	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &publish), -EINVAL);
	publish.qos = 1;
	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &publish), -EINVAL); /* no packet identifier */
	EXPECT_EQ(mqtt_encode_subscribe(&w, MQTT_5, &subscribe), -EINVAL);
	EXPECT_EQ(mqtt_encode_disconnect(&w, MQTT_5, MQTT_CLIENT, &bye), -EINVAL);
	EXPECT_EQ(mqtt_encode_auth(&w, MQTT_CLIENT, &bye), -EINVAL);
	EXPECT_EQ(mqtt_encode_connect(&w, MQTT_3_1_1, &connect), -EINVAL);
	EXPECT_EQ(mqtt_encode_ack(&w, MQTT_5, MQTT_PUBACK, &ack), -EINVAL);
	EXPECT(w.at == buffer);
	EXPECT(!w.failed);
}

TEST(a_string_or_a_packet_that_no_length_can_describe_is_not_encoded)
{
	uint8_t buffer[64];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct mqtt_publish publish = {.topic = bytes_of(buffer, 65536)};
	struct mqtt_goodbye bye = {.props = {.reason_string = bytes_of(buffer, 65536)}};

	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &publish), -EINVAL);
	mqtt_props_set(&bye.props, MQTT_PROP_REASON_STRING);
	EXPECT_EQ(mqtt_encode_disconnect(&w, MQTT_5, MQTT_CLIENT, &bye), -EINVAL);
	publish.topic = bytes_of_text("t");
	publish.payload = bytes_of(buffer, MQTT_REMAINING_LENGTH_MAX - 3);
	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &publish), -EMSGSIZE);
	publish.payload.size--;
	EXPECT_EQ(mqtt_encode_publish(&w, MQTT_5, MQTT_CLIENT, &publish), -ENOSPC);
	EXPECT(w.at == buffer);
}

TEST(acknowledgements_of_success_take_four_bytes)
{
	uint8_t buffer[8];
	struct writer w = writer_of(buffer, sizeof(buffer));

	EXPECT_EQ(mqtt_encode_ack(&w, MQTT_5, MQTT_PUBREL, &(struct mqtt_ack){.packet_id = 0x1234}), 4);
	EXPECT_MEM(buffer, "\x62\x02\x12\x34", 4);
	EXPECT_EQ(mqtt_encode_ack(&w, MQTT_3_1_1, MQTT_PUBACK, &(struct mqtt_ack){.packet_id = 1}), 4);
	EXPECT_MEM(buffer + 4, "\x40\x02\x00\x01", 4);
}
