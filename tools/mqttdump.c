/* tools/mqttdump.c - MQTT packets in hexadecimal become JSON, one a line.
 *
 * Purpose:  to look into a capture with the decoder that the daemon itself uses: every field by the name that
 *           the specification gives it, or the statement that the packet breaks.
 * Errors:   exit status 0: all packets were valid; 1: at least one was not; 2: usage.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "proto/mqtt_decode.h"
#include "proto/mqtt_utf8.h"

#define PACKET_BYTES_MAX (16u << 20)

static const char help[] =
	"usage: mqttdump [--version 5|3.1.1] [--from client|server] < packets\n"
	"\n"
	"Reads MQTT packets as hexadecimal digits from standard input, one whole packet a line; blanks "
	"within a\n"
	"line are ignored, empty lines and lines that start with '#' are skipped. Prints a JSON object for "
	"each:\n"
	"  {\"ok\":true,\"type\":\"PUBLISH\",...}   every field by its name in the specification\n"
	"  {\"ok\":false,\"reason\":129,\"statement\":\"MQTT-1.5.4-1\",\"error\":\"...\"}\n"
	"reason is the MQTT 5 reason code, null for 3.1.1; statement is the normative statement that is "
	"broken, or\n"
	"the section where none is numbered. Binary data that is not UTF-8 is shown as \"NAME (hex)\".\n"
	"\n"
	"  -V, --version V   protocol version of the packets, 5 (default) or 3.1.1\n"
	"  -f, --from SIDE   who sent them, client (default) or server\n"
	"  -h, --help        this text\n"
	"\n"
	"Exit status: 0 all packets are valid, 1 some are not, 2 wrong usage. A packet may have 16 MiB "
	"here.\n";

/* ------------------------------------------------------------------------------------------------ JSON */

/* Steals the value; out of memory ends the program, as there is nothing to go on with. */
static void put(json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value)) {
		fprintf(stderr, "mqttdump: out of memory\n");
		exit(1);
	}
}

static void append(json_t *array, json_t *value)
{
	if (!value || json_array_append_new(array, value)) {
		fprintf(stderr, "mqttdump: out of memory\n");
		exit(1);
	}
}

static void put_number(json_t *object, const char *name, uint32_t value)
{
	put(object, name, json_integer(value));
}

static void put_flag(json_t *object, const char *name, bool value)
{
	put(object, name, json_boolean(value));
}

static json_t *text_of(struct bytes text)
{
	return json_stringn(text.size ? (const char *)text.ptr : "", text.size);
}

/* Text where it is text, else hexadecimal digits under a name that says so. */
static void put_binary(json_t *object, const char *name, struct bytes data)
{
	static const char digits[] = "0123456789abcdef";
	char hex_name[64];
	char *hex;

	if (mqtt_utf8_well_formed(data)) {
		put(object, name, text_of(data));
		return;
	}
	snprintf(hex_name, sizeof(hex_name), "%s (hex)", name);
	hex = malloc(2 * data.size);
	for (size_t i = 0; hex && i < data.size; i++) {
		hex[2 * i] = digits[data.ptr[i] >> 4];
		hex[2 * i + 1] = digits[data.ptr[i] & 15];
	}
	put(object, hex_name, hex ? json_stringn(hex, 2 * data.size) : NULL);
	free(hex);
}

static void put_reason(json_t *object, enum mqtt_version v, enum mqtt_type type, uint8_t code)
{
	put_number(object, v == MQTT_5 ? "Reason Code" : "Return Code", code);
	put(object, v == MQTT_5 ? "Reason Code Name" : "Return Code Name",
	    json_string(mqtt_reason_text(v, type, code)));
}

static void put_reasons(json_t *object, enum mqtt_version v, enum mqtt_type type, struct bytes codes)
{
	json_t *numbers = json_array(), *names = json_array();

	for (size_t i = 0; i < codes.size; i++) {
		append(numbers, json_integer(codes.ptr[i]));
		append(names, json_string(mqtt_reason_text(v, type, codes.ptr[i])));
	}
	put(object, v == MQTT_5 ? "Reason Codes" : "Return Codes", numbers);
	put(object, v == MQTT_5 ? "Reason Code Names" : "Return Code Names", names);
}

/* ------------------------------------------------------------------------------------------ properties */

static void put_user_properties(json_t *object, const struct mqtt_props *p)
{
	struct reader it = reader_of(p->raw);
	struct bytes key, value;
	json_t *pairs = json_array();

	while (mqtt_next_user_property(&it, &key, &value)) {
		json_t *pair = json_array();

		append(pair, text_of(key));
		append(pair, text_of(value));
		append(pairs, pair);
	}
	put(object, "User Property", pairs);
}

/* In a PUBLISH there may be several, so there it is always an array. */
static void put_subscription_identifiers(json_t *object, const struct mqtt_props *p, enum mqtt_type type)
{
	struct reader it = reader_of(p->raw);
	json_t *numbers = json_array();
	uint32_t id;

	while (mqtt_next_subscription_identifier(&it, &id)) {
		if (type == MQTT_SUBSCRIBE) {
			put_number(object, "Subscription Identifier", id);
			json_decref(numbers);
			return;
		}
		append(numbers, json_integer(id));
	}
	put(object, "Subscription Identifier", numbers);
}

static void put_property(json_t *object, const struct mqtt_props *p, const struct mqtt_prop_info *info)
{
	const uint8_t *field = (const uint8_t *)p + info->offset;
	struct bytes text;
	uint16_t number_16;
	uint32_t number_32;

	switch (info->kind) {
	case MQTT_KIND_BYTE: put_number(object, info->name, *field); break;
	case MQTT_KIND_U16:
		memcpy(&number_16, field, sizeof(number_16));
		put_number(object, info->name, number_16);
		break;
	case MQTT_KIND_U32:
		memcpy(&number_32, field, sizeof(number_32));
		put_number(object, info->name, number_32);
		break;
	case MQTT_KIND_STRING:
		memcpy(&text, field, sizeof(text));
		put(object, info->name, text_of(text));
		break;
	case MQTT_KIND_BINARY:
		memcpy(&text, field, sizeof(text));
		put_binary(object, info->name, text);
		break;
	case MQTT_KIND_VARINT:
	case MQTT_KIND_STRING_PAIR: break; /* they repeat: see above */
	}
}

static void put_props(json_t *object, const char *name, enum mqtt_version v, const struct mqtt_props *p,
		      enum mqtt_type type)
{
	json_t *props = json_object();

	if (v == MQTT_3_1_1) {
		json_decref(props);
		return;
	}
	for (uint32_t id = 0; id < 64; id++) {
		const struct mqtt_prop_info *info = mqtt_prop_info(id);

		if (!info || !(p->present >> id & 1))
			continue;
		if (id == MQTT_PROP_USER_PROPERTY)
			put_user_properties(props, p);
		else if (id == MQTT_PROP_SUBSCRIPTION_IDENTIFIER)
			put_subscription_identifiers(props, p, type);
		else
			put_property(props, p, info);
	}
	put(object, name, props);
}

/* --------------------------------------------------------------------------------------------- packets */

static void put_connect(json_t *object, enum mqtt_version v, const struct mqtt_connect *c)
{
	put(object, "Protocol Name", json_string("MQTT"));
	put_number(object, "Protocol Version", v);
	put_flag(object, v == MQTT_5 ? "Clean Start" : "Clean Session", c->clean_start);
	put_flag(object, "Will Flag", c->has_will);
	put_number(object, "Will QoS", c->will.qos);
	put_flag(object, "Will Retain", c->will.retain);
	put_flag(object, "User Name Flag", c->has_user_name);
	put_flag(object, "Password Flag", c->has_password);
	put_number(object, "Keep Alive", c->keep_alive_s);
	put_props(object, "Properties", v, &c->props, MQTT_CONNECT);
	put(object, "Client Identifier", text_of(c->client_id));
	if (c->has_will) {
		json_t *will = json_object();

		put_number(will, "Will QoS", c->will.qos);
		put_flag(will, "Will Retain", c->will.retain);
		put_props(will, "Will Properties", v, &c->will.props, MQTT_CONNECT);
		put(will, "Will Topic", text_of(c->will.topic));
		put_binary(will, v == MQTT_5 ? "Will Payload" : "Will Message", c->will.payload);
		put(object, "Will", will);
	}
	if (c->has_user_name)
		put(object, "User Name", text_of(c->user_name));
	if (c->has_password)
		put_binary(object, "Password", c->password);
}

static void put_publish(json_t *object, enum mqtt_version v, const struct mqtt_publish *p)
{
	put_flag(object, "DUP", p->dup);
	put_number(object, "QoS", p->qos);
	put_flag(object, "RETAIN", p->retain);
	put(object, "Topic Name", text_of(p->topic));
	if (p->qos)
		put_number(object, "Packet Identifier", p->packet_id);
	put_props(object, "Properties", v, &p->props, MQTT_PUBLISH);
	put_binary(object, "Payload", p->payload);
}

static void put_subscribe(json_t *object, enum mqtt_version v, enum mqtt_type type,
			  const struct mqtt_subscribe *s)
{
	struct reader it = reader_of(s->filters);
	json_t *filters = json_array();
	struct mqtt_subscription one;
	struct bytes filter;

	put_number(object, "Packet Identifier", s->packet_id);
	put_props(object, "Properties", v, &s->props, type);
	while (type == MQTT_UNSUBSCRIBE && mqtt_next_filter(&it, &filter))
		append(filters, text_of(filter));
	while (type == MQTT_SUBSCRIBE && mqtt_next_subscription(&it, v, &one)) {
		json_t *entry = json_object();

		put(entry, "Topic Filter", text_of(one.filter));
		put_number(entry, v == MQTT_5 ? "Maximum QoS" : "Requested QoS", one.qos);
		if (v == MQTT_5) {
			put_flag(entry, "No Local", one.no_local);
			put_flag(entry, "Retain As Published", one.retain_as_published);
			put_number(entry, "Retain Handling", one.retain_handling);
		}
		append(filters, entry);
	}
	put(object, "Topic Filters", filters);
}

static void put_suback(json_t *object, enum mqtt_version v, enum mqtt_type type, const struct mqtt_suback *s)
{
	put_number(object, "Packet Identifier", s->packet_id);
	put_props(object, "Properties", v, &s->props, type);
	if (v == MQTT_5 || type == MQTT_SUBACK)
		put_reasons(object, v, type, s->codes);
}

static void put_packet(json_t *object, enum mqtt_version v, const struct mqtt_packet *p)
{
	switch (p->type) {
	case MQTT_CONNECT: put_connect(object, v, &p->connect); break;
	case MQTT_CONNACK:
		put_flag(object, "Session Present", p->connack.session_present);
		put_reason(object, v, p->type, p->connack.code);
		put_props(object, "Properties", v, &p->connack.props, p->type);
		break;
	case MQTT_PUBLISH: put_publish(object, v, &p->publish); break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		put_number(object, "Packet Identifier", p->ack.packet_id);
		if (v == MQTT_5)
			put_reason(object, v, p->type, p->ack.code);
		put_props(object, "Properties", v, &p->ack.props, p->type);
		break;
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE: put_subscribe(object, v, p->type, &p->subscribe); break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK: put_suback(object, v, p->type, &p->suback); break;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: break;
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		if (v == MQTT_5)
			put_reason(object, v, p->type, p->goodbye.code);
		put_props(object, "Properties", v, &p->goodbye.props, p->type);
		break;
	}
}

/* ----------------------------------------------------------------------------------------------- lines */

static void print_and_free(json_t *object)
{
	if (json_dumpf(object, stdout, JSON_COMPACT) || putchar('\n') == EOF) {
		fprintf(stderr, "mqttdump: cannot write\n");
		exit(1);
	}
	json_decref(object);
}

/* reason 0: there is none. */
static void print_refusal(enum mqtt_version v, unsigned reason, const char *statement, const char *text)
{
	json_t *object = json_object();

	put_flag(object, "ok", false);
	put(object, "reason", v == MQTT_5 && reason ? json_integer(reason) : json_null());
	put(object, "statement", statement ? json_string(statement) : json_null());
	put(object, "error", json_string(text));
	print_and_free(object);
}

static bool dump_packet(struct bytes in, enum mqtt_version v, enum mqtt_side from)
{
	struct mqtt_packet packet;
	struct mqtt_error err = {0};
	int size_bytes = mqtt_decode(in, v, from, 0, &packet, &err);
	const char *length_section = v == MQTT_5 ? "2.1.4" : "2.2.3";
	json_t *object;

	if (size_bytes < 0) {
		print_refusal(v, err.reason, err.statement, err.text);
		return false;
	}
	if (size_bytes == 0) {
		print_refusal(v, MQTT_MALFORMED_PACKET, length_section, "the packet is incomplete");
		return false;
	}
	if ((size_t)size_bytes < in.size) {
		print_refusal(v, MQTT_MALFORMED_PACKET, length_section,
			      "more bytes follow the packet on its line");
		return false;
	}
	object = json_object();
	put_flag(object, "ok", true);
	put(object, "type", json_string(mqtt_type_name(packet.type)));
	put_packet(object, v, &packet);
	print_and_free(object);
	return true;
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum line { LINE_EMPTY, LINE_PACKET, LINE_BAD_HEX, LINE_ODD, LINE_TOO_LONG, LINE_END };

/* Reads to the end of a line, whatever is on it; the bytes go to buffer. */
static enum line read_line(uint8_t *buffer, size_t *size_bytes)
{
	enum line line = LINE_EMPTY;
	size_t digit_count = 0;
	bool comment = false;
	int c;

	while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
		int value = hex_value(c);

		if (comment || c == ' ' || c == '\t' || c == '\r' || line >= LINE_BAD_HEX)
			continue;
		if (c == '#' && digit_count == 0) {
			comment = true;
		} else if (value < 0) {
			line = LINE_BAD_HEX;
		} else if (digit_count == 2 * (size_t)PACKET_BYTES_MAX) {
			line = LINE_TOO_LONG;
		} else {
			buffer[digit_count / 2] = (uint8_t)(buffer[digit_count / 2] << 4 | value);
			digit_count++;
			line = LINE_PACKET;
		}
	}
	*size_bytes = digit_count / 2;
	if (c == EOF && line == LINE_EMPTY)
		return LINE_END;
	return line == LINE_PACKET && digit_count % 2 ? LINE_ODD : line;
}

static int dump_all(enum mqtt_version v, enum mqtt_side from)
{
	static uint8_t buffer[PACKET_BYTES_MAX];
	size_t size_bytes;
	bool all_ok = true;

	for (;;) {
		switch (read_line(buffer, &size_bytes)) {
		case LINE_EMPTY: break;
		case LINE_PACKET: all_ok &= dump_packet(bytes_of(buffer, size_bytes), v, from); break;
		case LINE_BAD_HEX:
			print_refusal(v, 0, NULL,
				      "not hexadecimal: a line may hold 0-9, a-f, A-F and blanks");
			all_ok = false;
			break;
		case LINE_ODD:
			print_refusal(v, 0, NULL, "an odd number of hexadecimal digits");
			all_ok = false;
			break;
		case LINE_TOO_LONG:
			print_refusal(v, 0, NULL, "the packet is longer than the 16 MiB that fit here");
			all_ok = false;
			break;
		case LINE_END:
			if (fflush(stdout) || ferror(stdout) || ferror(stdin)) {
				fprintf(stderr, "mqttdump: cannot read or write\n");
				return 1;
			}
			return all_ok ? 0 : 1;
		}
	}
}

static int usage(const char *what, const char *value)
{
	fprintf(stderr, "mqttdump: %s%s\nTry mqttdump --help.\n", what, value);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"version", required_argument, NULL, 'V'},
		{"from", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	enum mqtt_version version = MQTT_5;
	enum mqtt_side from = MQTT_CLIENT;
	int option;

	while ((option = getopt_long(argc, argv, "V:f:h", options, NULL)) != -1) {
		switch (option) {
		case 'V':
			if (!strcmp(optarg, "5") || !strcmp(optarg, "5.0"))
				version = MQTT_5;
			else if (!strcmp(optarg, "3.1.1"))
				version = MQTT_3_1_1;
			else
				return usage("--version is 5 or 3.1.1, not ", optarg);
			break;
		case 'f':
			if (!strcmp(optarg, "client"))
				from = MQTT_CLIENT;
			else if (!strcmp(optarg, "server"))
				from = MQTT_SERVER;
			else
				return usage("--from is client or server, not ", optarg);
			break;
		case 'h': return fputs(help, stdout) == EOF;
		default: fputs("Try mqttdump --help.\n", stderr); return 2;
		}
	}
	if (optind < argc)
		return usage("it reads standard input; no arguments, not ", argv[optind]);
	return dump_all(version, from);
}
