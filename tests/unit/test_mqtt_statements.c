/* What the codec owes to single statements of the two specifications, from the sender's side: the bytes of a packet of ours,
 * and what is not sent at all. proto/MQTT_STATEMENTS.md says which test is for which statement. */
#include "tests/test.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_inflight.h"
#include "proto/mqtt_publish.h"
#include "proto/mqtt_topic.h"
#include "proto/mqtt_wire.h"

#define BUFFER_BYTES 512

static const enum mqtt_version versions[] = {MQTT_3_1_1, MQTT_5};

static int encoded(enum mqtt_version v, enum mqtt_side from, const struct mqtt_packet *p, uint8_t *out)
{
	struct writer w = writer_of(out, BUFFER_BYTES);
	int size_bytes = mqtt_encode(&w, v, from, p);

	EXPECT(size_bytes > 0 || w.at == out); /* what is refused leaves nothing behind */
	return size_bytes;
}

static int sent(enum mqtt_version v, const struct mqtt_packet *p)
{
	uint8_t buffer[BUFFER_BYTES];

	return encoded(v, MQTT_CLIENT, p, buffer);
}

static struct mqtt_packet publish_of(struct bytes topic)
{
	return (struct mqtt_packet){.type = MQTT_PUBLISH, .publish = {.topic = topic}};
}

static struct mqtt_packet connect_of(struct bytes client_id)
{
	return (struct mqtt_packet){.type = MQTT_CONNECT,
				    .connect = {.clean_start = true, .client_id = client_id}};
}

/* --- strings and integers ------------------------------------------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t size;
} no_strings[] = {{"a\xFF", 2}, {"\xED\xA0\x80", 3}, {"a\0b", 3}, {"\xC0\x80", 2}};

TEST(a_text_that_is_no_utf8_leaves_in_no_field)
{
	for (size_t i = 0; i < ARRAY_COUNT(no_strings); i++) {
		struct bytes bad = bytes_of(no_strings[i].bytes, no_strings[i].size);

		for (size_t k = 0; k < ARRAY_COUNT(versions); k++) {
			struct mqtt_packet p = connect_of(bad);

			EXPECT_EQ(sent(versions[k], &p), -EINVAL);
			p = connect_of(bytes_of_text("c"));
			EXPECT(sent(versions[k], &p) > 0);
			p.connect.has_user_name = true;
			p.connect.user_name = bad;
			EXPECT_EQ(sent(versions[k], &p), -EINVAL);
			p = connect_of(bytes_of_text("c"));
			p.connect.has_will = true;
			p.connect.will.topic = bad;
			EXPECT_EQ(sent(versions[k], &p), -EINVAL);
			p = publish_of(bad);
			EXPECT_EQ(sent(versions[k], &p), -EINVAL);
		}
	}
}

TEST(a_property_that_is_no_utf8_is_not_sent)
{
	for (size_t i = 0; i < ARRAY_COUNT(no_strings); i++) {
		struct bytes bad = bytes_of(no_strings[i].bytes, no_strings[i].size);
		struct mqtt_packet p = publish_of(bytes_of_text("t"));

		mqtt_props_set(&p.publish.props, MQTT_PROP_CONTENT_TYPE);
		p.publish.props.content_type = bad;
		EXPECT_EQ(sent(MQTT_5, &p), -EINVAL);
		p = publish_of(bytes_of_text("t"));
		mqtt_props_set(&p.publish.props, MQTT_PROP_RESPONSE_TOPIC);
		p.publish.props.response_topic = bad;
		EXPECT_EQ(sent(MQTT_5, &p), -EINVAL);
	}
}

TEST(a_user_property_is_sent_only_where_both_of_its_strings_are_utf8)
{
	for (unsigned which = 0; which < 3; which++) {
		struct mqtt_packet p = publish_of(bytes_of_text("t"));
		uint8_t run[64];
		struct writer w = writer_of(run, sizeof(run));

		mqtt_write_user_property(&w, bytes_of_text(which == 1 ? "k\xFF" : "k"),
					 bytes_of_text(which == 2 ? "v\xFF" : "v"));
		p.publish.props.raw = bytes_of(run, (size_t)(w.at - run));
		EXPECT_EQ(sent(MQTT_5, &p) > 0, which == 0);
	}
}

/* EF BB BF is a character like any other, at the front of a text too. */
TEST(a_byte_order_mark_is_neither_skipped_nor_stripped)
{
	const struct bytes marked = bytes_of_text("\xEF\xBB\xBFt");

	for (size_t k = 0; k < ARRAY_COUNT(versions); k++) {
		struct mqtt_packet p = publish_of(marked), back;
		uint8_t buffer[BUFFER_BYTES];
		struct mqtt_error err;
		int size = encoded(versions[k], MQTT_SERVER, &p, buffer);

		EXPECT_MEM(buffer + 2, "\0\4\xEF\xBB\xBFt", 6);
		EXPECT_EQ(
			mqtt_decode(bytes_of(buffer, (size_t)size), versions[k], MQTT_SERVER, 0, &back, &err),
			size);
		EXPECT(bytes_equal(back.publish.topic, marked));
	}
	EXPECT(mqtt_topic_match(marked, marked));
	EXPECT(!mqtt_topic_match(bytes_of_text("t"), marked));
	EXPECT(!mqtt_topic_match(marked, bytes_of_text("t")));
}

TEST(a_variable_byte_integer_takes_as_few_bytes_as_it_can)
{
	static const struct {
		uint32_t value, bytes;
	} edges[] = {{0, 1},     {127, 1},     {128, 2},     {16383, 2},
		     {16384, 3}, {2097151, 3}, {2097152, 4}, {MQTT_REMAINING_LENGTH_MAX, 4}};

	for (size_t i = 0; i < ARRAY_COUNT(edges); i++) {
		uint8_t buffer[8];
		struct writer w = writer_of(buffer, sizeof(buffer));
		struct reader r;
		uint32_t back;

		mqtt_write_varint(&w, edges[i].value);
		EXPECT_EQ(w.at - buffer, edges[i].bytes);
		EXPECT_EQ(mqtt_varint_bytes(edges[i].value), edges[i].bytes);
		r = reader_of(bytes_of(buffer, edges[i].bytes));
		EXPECT_EQ(mqtt_read_varint(&r, &back), MQTT_WIRE_OK);
		EXPECT_EQ(back, edges[i].value);
	}
}

/* --- headers --------------------------------------------------------------------------------------------------- */

TEST(the_reserved_flags_of_what_we_send_are_those_of_the_table)
{
	static uint8_t filter[] = {0, 1, 't', 0};
	const struct mqtt_packet packets[] = {
		connect_of(bytes_of_text("c")),
		{.type = MQTT_PUBACK, .ack = {.packet_id = 1}},
		{.type = MQTT_PUBREC, .ack = {.packet_id = 1}},
		{.type = MQTT_PUBREL, .ack = {.packet_id = 1}},
		{.type = MQTT_PUBCOMP, .ack = {.packet_id = 1}},
		{.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1, .filters = bytes_of(filter, 4)}},
		{.type = MQTT_UNSUBSCRIBE, .subscribe = {.packet_id = 1, .filters = bytes_of(filter, 3)}},
		{.type = MQTT_PINGREQ},
		{.type = MQTT_DISCONNECT},
		{.type = MQTT_AUTH,
		 .goodbye = {.code = 0x18,
			     .props = {.present = 1ull << MQTT_PROP_AUTHENTICATION_METHOD,
				       .authentication_method = bytes_of_text("m")}}},
	};
	static const uint8_t first[] = {0x10, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0, 0xF0};

	for (size_t k = 0; k < ARRAY_COUNT(versions); k++)
		for (size_t i = 0; i < ARRAY_COUNT(packets); i++) {
			uint8_t buffer[BUFFER_BYTES];
			int size = encoded(versions[k], MQTT_CLIENT, &packets[i], buffer);

			if (versions[k] == MQTT_3_1_1 && packets[i].type == MQTT_AUTH) {
				EXPECT_EQ(size, -EINVAL); /* 3.1.1 has none */
				continue;
			}
			EXPECT(size > 0);
			EXPECT_EQ(buffer[0], first[i]);
		}
}

/* Every code of every acknowledgement of ours, against the lists of chapter 3. */
TEST(no_packet_is_sent_with_a_reason_code_that_it_does_not_have)
{
	static const struct {
		enum mqtt_type type;
		const char *codes;
		size_t count;
	} rows[] = {
		{MQTT_PUBACK, "\x00\x10\x80\x83\x87\x90\x91\x97\x99", 9},
		{MQTT_PUBREC, "\x00\x10\x80\x83\x87\x90\x91\x97\x99", 9},
		{MQTT_PUBREL, "\x00\x92", 2},
		{MQTT_PUBCOMP, "\x00\x92", 2},
		{MQTT_DISCONNECT, "\x00\x04\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99", 14},
		{MQTT_AUTH, "\x18\x19", 2}, /* 0x00 is the server's */
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		for (unsigned code = 0; code < 256; code++) {
			struct mqtt_packet p = {.type = rows[i].type};
			bool listed = memchr(rows[i].codes, (int)code, rows[i].count) != NULL;

			if (rows[i].type == MQTT_DISCONNECT || rows[i].type == MQTT_AUTH) {
				p.goodbye.code = (uint8_t)code;
				if (rows[i].type == MQTT_AUTH) {
					mqtt_props_set(&p.goodbye.props, MQTT_PROP_AUTHENTICATION_METHOD);
					p.goodbye.props.authentication_method = bytes_of_text("m");
				}
			} else {
				p.ack = (struct mqtt_ack){.packet_id = 1, .code = (uint8_t)code};
			}
			ck_assert_msg((sent(MQTT_5, &p) > 0) == listed, "%s with 0x%02x",
				      mqtt_type_name(rows[i].type), code);
		}
}

TEST(without_properties_there_is_a_property_length_of_zero)
{
	static uint8_t filter[] = {0, 1, 't', 0};
	const struct mqtt_packet packets[] = {
		connect_of(bytes_of_text("c")),
		publish_of(bytes_of_text("t")),
		{.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1, .filters = bytes_of(filter, 4)}},
		{.type = MQTT_UNSUBSCRIBE, .subscribe = {.packet_id = 1, .filters = bytes_of(filter, 3)}},
	};
	static const struct {
		const char *bytes;
		int size;
	} wire[] = {{"\x10\x0E\0\4MQTT\5\2\0\0\0\0\1c", 16},
		    {"\x30\x04\0\1t\0", 6},
		    {"\x82\x07\0\1\0\0\1t\0", 9},
		    {"\xA2\x06\0\1\0\0\1t", 8}};

	for (size_t i = 0; i < ARRAY_COUNT(packets); i++) {
		uint8_t buffer[BUFFER_BYTES];

		EXPECT_EQ(encoded(MQTT_5, MQTT_CLIENT, &packets[i], buffer), wire[i].size);
		EXPECT_MEM(buffer, wire[i].bytes, (size_t)wire[i].size);
	}
}

/* --- CONNECT --------------------------------------------------------------------------------------------------- */

/* Every combination of will, user name and password: the fields in their order, each with its flag and none without. */
TEST(a_connect_has_the_fields_of_its_flags_in_their_order)
{
	for (size_t k = 0; k < ARRAY_COUNT(versions); k++)
		for (unsigned flags = 0; flags < 8; flags++) {
			enum mqtt_version v = versions[k];
			struct mqtt_packet p = connect_of(bytes_of_text("id"));
			uint8_t buffer[BUFFER_BYTES], expected[BUFFER_BYTES];
			struct writer w = writer_of(expected, sizeof(expected));
			int size;

			p.connect.has_will = flags & 1;
			p.connect.has_user_name = flags & 2;
			p.connect.has_password = flags & 4;
			p.connect.will.topic = bytes_of_text("wt");
			p.connect.will.payload = bytes_of_text("wp");
			p.connect.will.qos = 2; /* with the retain flag: bits of the will alone */
			p.connect.will.retain = true;
			p.connect.user_name = bytes_of_text("us");
			p.connect.password = bytes_of_text("pw");
			p.connect.keep_alive_s = 0x1234;
			size = encoded(v, MQTT_CLIENT, &p, buffer);
			if (v == MQTT_3_1_1 && flags & 4 && !(flags & 2)) {
				EXPECT_EQ(size, -EINVAL);
				continue;
			}
			write_bytes(&w, "\0\4MQTT", 6);
			write_u8(&w, v == MQTT_5 ? 5 : 4);
			write_u8(&w, (uint8_t)(0x02 | (flags & 1 ? 0x34 : 0) | (flags & 2 ? 0x80 : 0) |
					       (flags & 4 ? 0x40 : 0)));
			write_u16(&w, 0x1234);
			write_bytes(&w, "\0", v == MQTT_5);
			write_bytes(&w, "\0\2id", 4);
			if (flags & 1) {
				write_bytes(&w, "\0", v == MQTT_5);
				write_bytes(&w, "\0\2wt\0\2wp", 8);
			}
			write_bytes(&w, "\0\2us", flags & 2 ? 4 : 0);
			write_bytes(&w, "\0\2pw", flags & 4 ? 4 : 0);
			EXPECT_EQ(size, 2 + (w.at - expected));
			EXPECT_EQ(buffer[1], w.at - expected);
			EXPECT_MEM(buffer + 2, expected, (size_t)(w.at - expected));
		}
}

TEST(a_will_has_a_qos_of_0_1_or_2)
{
	for (size_t k = 0; k < ARRAY_COUNT(versions); k++)
		for (unsigned qos = 0; qos < 4; qos++) {
			struct mqtt_packet p = connect_of(bytes_of_text("c"));

			p.connect.has_will = true;
			p.connect.will.topic = bytes_of_text("w");
			p.connect.will.qos = (uint8_t)qos;
			EXPECT_EQ(sent(versions[k], &p) > 0, qos < 3);
		}
}

TEST(an_empty_client_identifier_needs_a_clean_session_in_3_1_1)
{
	struct mqtt_packet p = connect_of(bytes_of(NULL, 0));

	EXPECT(sent(MQTT_3_1_1, &p) > 0);
	p.connect.clean_start = false;
	EXPECT_EQ(sent(MQTT_3_1_1, &p), -EINVAL);
	EXPECT(sent(MQTT_5, &p) > 0); /* 5.0: the server gives it a name */
}

/* --- PUBLISH --------------------------------------------------------------------------------------------------- */

TEST(a_publish_of_qos_0_has_no_packet_identifier)
{
	for (size_t k = 0; k < ARRAY_COUNT(versions); k++) {
		bool v5 = versions[k] == MQTT_5;
		struct mqtt_packet p = publish_of(bytes_of_text("t"));
		struct mqtt_publish_header h = {
			.version = versions[k], .topic = p.publish.topic, .payload_bytes = 1};
		uint8_t buffer[BUFFER_BYTES], record[64], *start;
		const char *wire = v5 ? "\x30\x05\0\1t\0x" : "\x30\x04\0\1tx";

		p.publish.packet_id = 7; /* left over: not sent */
		p.publish.payload = bytes_of_text("x");
		EXPECT_EQ(encoded(versions[k], MQTT_CLIENT, &p, buffer), v5 ? 7 : 6);
		EXPECT_MEM(buffer, wire, v5 ? 7u : 6u);
		record[32] = 'x';
		start = mqtt_publish_header_backwards(record + 32, &h);
		EXPECT_EQ(record + 33 - start, v5 ? 7 : 6);
		EXPECT_MEM(start, wire, v5 ? 7u : 6u);
	}
}

TEST(a_publish_of_qos_0_is_never_marked_as_a_duplicate)
{
	for (size_t k = 0; k < ARRAY_COUNT(versions); k++)
		for (unsigned qos = 0; qos < 4; qos++) {
			struct mqtt_packet p = publish_of(bytes_of_text("t"));

			p.publish.qos = (uint8_t)qos;
			p.publish.packet_id = 1;
			p.publish.dup = true;
			EXPECT_EQ(sent(versions[k], &p) > 0, qos == 1 || qos == 2);
		}
}

TEST(a_subscription_identifier_in_a_publish_is_the_servers_alone)
{
	struct mqtt_packet p = publish_of(bytes_of_text("t"));
	uint8_t run[8], buffer[BUFFER_BYTES];
	struct writer w = writer_of(run, sizeof(run));

	mqtt_write_subscription_identifier(&w, 1);
	p.publish.props.raw = bytes_of(run, (size_t)(w.at - run));
	EXPECT_EQ(sent(MQTT_5, &p), -EINVAL);
	EXPECT(encoded(MQTT_5, MQTT_SERVER, &p, buffer) > 0);
}

TEST(a_topic_alias_of_0_is_not_sent)
{
	for (unsigned alias = 0; alias < 2; alias++) {
		struct mqtt_packet p = publish_of(bytes_of_text("t"));

		mqtt_props_set(&p.publish.props, MQTT_PROP_TOPIC_ALIAS);
		p.publish.props.topic_alias = (uint16_t)alias;
		EXPECT_EQ(sent(MQTT_5, &p) > 0, alias == 1);
	}
}

TEST(a_response_topic_is_a_name_and_no_filter)
{
	static const char *const topics[] = {"a/b", "a/+", "#", ""};

	for (size_t i = 0; i < ARRAY_COUNT(topics); i++) {
		struct mqtt_packet p = publish_of(bytes_of_text("t"));

		mqtt_props_set(&p.publish.props, MQTT_PROP_RESPONSE_TOPIC);
		p.publish.props.response_topic = bytes_of_text(topics[i]);
		EXPECT_EQ(sent(MQTT_5, &p) > 0, i == 0);
	}
}

/* --- SUBSCRIBE and UNSUBSCRIBE --------------------------------------------------------------------------------- */

static int sent_filter(enum mqtt_version v, enum mqtt_type type, struct bytes filter, unsigned options)
{
	struct mqtt_packet p = {.type = type, .subscribe = {.packet_id = 1}};
	uint8_t list[64];
	struct writer w = writer_of(list, sizeof(list));

	mqtt_write_filter(&w, filter);
	if (type == MQTT_SUBSCRIBE)
		write_u8(&w, (uint8_t)options);
	p.subscribe.filters = bytes_of(list, (size_t)(w.at - list));
	return sent(v, &p);
}

TEST(a_filter_that_is_none_is_neither_subscribed_nor_unsubscribed)
{
	static const struct {
		const char *text;
		size_t size;
		bool in_3_1_1, in_5;
	} filters[] = {
		{"a/b", 3, true, true},        {"+/b/#", 5, true, true},      {"", 0, false, false},
		{"a\xFF", 2, false, false},    {"a\0b", 3, false, false},     {"a#", 2, false, false},
		{"#/a", 3, false, false},      {"a+/b", 4, false, false},     {"$share/g/t", 10, true, true},
		{"$share//t", 9, true, false}, /* 3.1.1 knows no shared subscriptions: a topic like others */
		{"$share/g", 8, true, false},  {"$share/g/", 9, true, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(filters); i++)
		for (size_t k = 0; k < ARRAY_COUNT(versions); k++) {
			struct bytes filter = bytes_of(filters[i].text, filters[i].size);
			bool good = versions[k] == MQTT_5 ? filters[i].in_5 : filters[i].in_3_1_1;

			EXPECT_EQ(sent_filter(versions[k], MQTT_SUBSCRIBE, filter, 1) > 0, good);
			EXPECT_EQ(sent_filter(versions[k], MQTT_UNSUBSCRIBE, filter, 0) > 0, good);
		}
}

TEST(a_request_for_no_filter_is_not_sent)
{
	for (size_t k = 0; k < ARRAY_COUNT(versions); k++) {
		struct mqtt_packet p = {.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1}};

		EXPECT_EQ(sent(versions[k], &p), -EINVAL);
		p.type = MQTT_UNSUBSCRIBE;
		EXPECT_EQ(sent(versions[k], &p), -EINVAL);
	}
}

TEST(a_request_without_a_packet_identifier_is_not_sent)
{
	static uint8_t filter[] = {0, 1, 't', 0};

	for (size_t k = 0; k < ARRAY_COUNT(versions); k++) {
		struct mqtt_packet p = {.type = MQTT_SUBSCRIBE,
					.subscribe = {.filters = bytes_of(filter, 4)}};

		EXPECT_EQ(sent(versions[k], &p), -EINVAL);
		p = (struct mqtt_packet){.type = MQTT_UNSUBSCRIBE,
					 .subscribe = {.filters = bytes_of(filter, 3)}};
		EXPECT_EQ(sent(versions[k], &p), -EINVAL);
	}
}

/* All 256 values of the options byte: bits 6 and 7 reserved, QoS and Retain Handling up to 2, No Local not with a share. */
TEST(subscription_options_that_do_not_exist_are_not_sent)
{
	for (unsigned options = 0; options < 256; options++) {
		bool good = !(options & 0xC0) && (options & 3) != 3 && (options >> 4 & 3) != 3;

		EXPECT_EQ(sent_filter(MQTT_5, MQTT_SUBSCRIBE, bytes_of_text("t"), options) > 0, good);
		EXPECT_EQ(sent_filter(MQTT_5, MQTT_SUBSCRIBE, bytes_of_text("$share/g/t"), options) > 0,
			  good && !(options & 4));
		EXPECT_EQ(sent_filter(MQTT_3_1_1, MQTT_SUBSCRIBE, bytes_of_text("t"), options) > 0,
			  options < 3);
	}
}

TEST(subscription_options_stand_in_their_bits)
{
	const struct mqtt_subscription s = {.filter = bytes_of_text("t"),
					    .qos = 2,
					    .no_local = true,
					    .retain_as_published = true,
					    .retain_handling = 1};
	uint8_t list[8];
	struct writer w = writer_of(list, sizeof(list));

	mqtt_write_subscription(&w, MQTT_5, &s);
	mqtt_write_subscription(&w, MQTT_3_1_1, &s); /* there it has its QoS only */
	EXPECT_MEM(list, "\0\1t\x1E\0\1t\2", 8);
}

/* --- packet identifiers ---------------------------------------------------------------------------------------- */

/* All 65535 of them, and then those that are freed in a strange order. */
TEST(a_packet_identifier_is_never_0_and_never_in_use_twice)
{
	static bool in_use[UINT16_MAX + 1];
	struct mqtt_inflight_entry *entries = calloc(UINT16_MAX + 1, sizeof(*entries));
	struct mqtt_inflight t;

	EXPECT(entries != NULL);
	mqtt_inflight_init(&t, entries, UINT16_MAX);
	for (uint32_t n = 1; n <= UINT16_MAX; n++) {
		uint16_t id = mqtt_inflight_add(&t, entries, n & 1 ? 1 : 2);

		EXPECT(id != 0);
		EXPECT(!in_use[id]);
		in_use[id] = true;
	}
	EXPECT_EQ(mqtt_inflight_add(&t, entries, 1), 0);
	for (uint32_t n = 0; n < 200000; n++) {
		uint16_t out = (uint16_t)(n * 40503u), id;

		if (out == 0 || !in_use[out])
			continue;
		in_use[out] = false;
		mqtt_inflight_free(&t, out);
		id = mqtt_inflight_add(&t, entries, 1);
		EXPECT(id != 0);
		EXPECT(!in_use[id]);
		in_use[id] = true;
	}
	EXPECT_EQ(t.count, UINT16_MAX);
	free(entries);
}
