/* The packets of tests/vectors, written from the tables and examples of the two specifications. */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "tests/mqtt_equal.h"

#define LINE_BYTES_MAX   40000
#define PACKET_BYTES_MAX (LINE_BYTES_MAX / 2)

struct vector {
	uint8_t packet[PACKET_BYTES_MAX];
	size_t packet_bytes;
	enum mqtt_side from;
	bool valid;
	char type[16];   /* valid: what it is */
	unsigned reason; /* refused: why */
	char statement[32];
	int line_number;
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t size = 0;
	unsigned byte;

	for (; sscanf(hex + 2 * size, "%2x", &byte) == 1 && hex[2 * size] != ' '; size++)
		out[size] = (uint8_t)byte;
	return size;
}

/* hex | side | expectation [| why] */
static void parse(char *line, struct vector *v)
{
	char *side = strstr(line, " | "), *expected = side ? strstr(side + 3, " | ") : NULL;

	ck_assert_msg(expected != NULL, "line %d: not a vector", v->line_number);
	v->packet_bytes = unhex(line, v->packet);
	ck_assert_msg((size_t)(side - line) == 2 * v->packet_bytes, "line %d: bad digits", v->line_number);
	v->from = strncmp(side + 3, "server", 6) ? MQTT_CLIENT : MQTT_SERVER;
	v->valid = sscanf(expected + 3, "ok %15s", v->type) == 1;
	if (!v->valid)
		EXPECT_EQ(sscanf(expected + 3, "%u %31s", &v->reason, v->statement), 2);
}

/* Calls the check for each vector of the file; returns how many there were. */
static int each_vector(const char *path, enum mqtt_version version,
		       void (*check)(const struct vector *v, enum mqtt_version version))
{
	static char line[LINE_BYTES_MAX];
	static struct vector v;
	FILE *f = fopen(path, "r");
	int count = 0;

	ck_assert_msg(f != NULL, "%s: run the tests from the top of the tree", path);
	v.line_number = 0;
	while (fgets(line, sizeof(line), f)) {
		v.line_number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		parse(line, &v);
		check(&v, version);
		count++;
	}
	fclose(f);
	return count;
}

static int decode(const struct vector *v, enum mqtt_version version, size_t size, struct mqtt_packet *out,
		  struct mqtt_error *err)
{
	/* A copy of just that size, so that a sanitizer sees a read past the end. */
	uint8_t *copy = malloc(size ? size : 1);
	int result;

	EXPECT(copy != NULL);
	memcpy(copy, v->packet, size);
	result = mqtt_decode(bytes_of(copy, size), version, v->from, 0, out, err);
	free(copy);
	return result;
}

static void check_verdict(const struct vector *v, enum mqtt_version version)
{
	struct mqtt_packet packet;
	struct mqtt_error err = {0};
	int result = decode(v, version, v->packet_bytes, &packet, &err);

	if (v->valid) {
		ck_assert_msg(result == (int)v->packet_bytes, "line %d: %d, %s %s", v->line_number, result,
			      err.statement, err.text);
		EXPECT_TEXT(mqtt_type_name(packet.type), v->type);
		return;
	}
	ck_assert_msg(result == -EPROTO, "line %d: %d", v->line_number, result);
	ck_assert_msg(err.reason == v->reason, "line %d: reason %d, %s", v->line_number, err.reason,
		      err.text);
	EXPECT_TEXT(err.statement, v->statement);
	EXPECT(err.text[0] != '\0');
}

static void check_prefixes(const struct vector *v, enum mqtt_version version)
{
	struct mqtt_packet packet;
	struct mqtt_error err;
	size_t step = v->packet_bytes > 1000 ? 97 : 1;

	for (size_t size = 0; size < v->packet_bytes; size += step) {
		int result = decode(v, version, size, &packet, &err);

		if (v->valid)
			ck_assert_msg(result == 0, "line %d: %zu bytes give %d", v->line_number, size,
				      result);
		else
			ck_assert_msg(result <= 0, "line %d: %zu bytes accepted", v->line_number, size);
	}
}

static void check_re_encoded(const struct vector *v, enum mqtt_version version)
{
	static uint8_t buffer[PACKET_BYTES_MAX];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct mqtt_packet packet, again;
	struct mqtt_error err;
	int size_bytes;

	if (!v->valid)
		return;
	EXPECT_EQ(mqtt_decode(bytes_of(v->packet, v->packet_bytes), version, v->from, 0, &packet, &err),
		  v->packet_bytes);
	size_bytes = mqtt_encode(&w, version, v->from, &packet);
	ck_assert_msg(size_bytes > 0, "line %d: cannot be encoded: %d", v->line_number, size_bytes);
	EXPECT_LE(size_bytes, v->packet_bytes); /* ours is the shortest form */
	EXPECT_EQ(mqtt_decode(bytes_of(buffer, (size_t)size_bytes), version, v->from, 0, &again, &err),
		  size_bytes);
	ck_assert_msg(mqtt_packet_equal(&packet, &again), "line %d: says something else", v->line_number);
}

/* A writer that is one byte too small takes nothing. */
static void check_no_room(const struct vector *v, enum mqtt_version version)
{
	static uint8_t buffer[PACKET_BYTES_MAX];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct mqtt_packet packet;
	struct mqtt_error err;
	int size_bytes;

	if (!v->valid)
		return;
	EXPECT(mqtt_decode(bytes_of(v->packet, v->packet_bytes), version, v->from, 0, &packet, &err) > 0);
	size_bytes = mqtt_encode(&w, version, v->from, &packet);
	EXPECT(size_bytes > 0);
	w = writer_of(buffer, (size_t)size_bytes - 1);
	EXPECT_EQ(mqtt_encode(&w, version, v->from, &packet), -ENOSPC);
	EXPECT(w.at == buffer);
	EXPECT(!w.failed);
}

/* The next packet's bytes may already be there. */
static void check_followed(const struct vector *v, enum mqtt_version version)
{
	static uint8_t buffer[PACKET_BYTES_MAX + 4];
	struct mqtt_packet packet;
	struct mqtt_error err;

	memcpy(buffer, v->packet, v->packet_bytes);
	memset(buffer + v->packet_bytes, 0xFF, 4);
	if (v->valid)
		EXPECT_EQ(mqtt_decode(bytes_of(buffer, v->packet_bytes + 4), version, v->from, 0, &packet,
				      &err),
			  v->packet_bytes);
}

static void check_size_limit(const struct vector *v, enum mqtt_version version)
{
	struct mqtt_packet packet;
	struct mqtt_error err;
	struct bytes whole = bytes_of(v->packet, v->packet_bytes);
	uint32_t size = (uint32_t)v->packet_bytes;

	if (!v->valid || size < 5)
		return;
	EXPECT_EQ(mqtt_decode(whole, version, v->from, size, &packet, &err), size);
	/* Known as soon as the length is: nobody waits for the rest. */
	whole.size = 4;
	EXPECT_EQ(mqtt_decode(whole, version, v->from, size - 1, &packet, &err), -EPROTO);
	EXPECT_EQ(err.reason, MQTT_PACKET_TOO_LARGE);
}

static void each_of_both(void (*check)(const struct vector *v, enum mqtt_version version))
{
	EXPECT(each_vector("tests/vectors/mqtt5.txt", MQTT_5, check) > 1000);
	EXPECT(each_vector("tests/vectors/mqtt311.txt", MQTT_3_1_1, check) > 300);
}

TEST(vectors_are_accepted_or_refused_for_the_reason_that_the_specification_gives)
{
	each_of_both(check_verdict);
}

TEST(every_prefix_of_a_valid_packet_is_incomplete_and_none_of_a_bad_one_is_accepted)
{
	each_of_both(check_prefixes);
}

TEST(valid_vectors_say_the_same_when_encoded_again)
{
	each_of_both(check_re_encoded);
}

TEST(a_writer_that_is_one_byte_too_small_is_left_untouched)
{
	each_of_both(check_no_room);
}

TEST(bytes_of_the_next_packet_do_not_matter)
{
	each_of_both(check_followed);
}

TEST(a_packet_above_the_maximum_size_is_refused_before_it_has_arrived)
{
	each_of_both(check_size_limit);
}

TEST(the_version_of_a_connect_is_known_from_its_first_bytes)
{
	const uint8_t v5[] = {0x10, 0x0E, 0, 4, 'M', 'Q', 'T', 'T', 5},
		      v3[] = {0x10, 0x0D, 0, 4, 'M', 'Q', 'T', 'T', 4};
	const uint8_t other[] = {0x10, 0x0D, 0, 4, 'M', 'Q', 'T', 'T', 9}, publish[] = {0x30, 0x00};
	const uint8_t cut[] = {0x10, 0x02, 0, 4};
	enum mqtt_version version = MQTT_3_1_1;
	struct mqtt_error err;

	for (size_t size = 0; size < sizeof(v5); size++)
		EXPECT_EQ(mqtt_connect_version(bytes_of(v5, size), &version, &err), 0);
	EXPECT_EQ(mqtt_connect_version(bytes_of(v5, sizeof(v5)), &version, &err), 1);
	EXPECT_EQ(version, MQTT_5);
	EXPECT_EQ(mqtt_connect_version(bytes_of(v3, sizeof(v3)), &version, &err), 1);
	EXPECT_EQ(version, MQTT_3_1_1);
	EXPECT_EQ(mqtt_connect_version(bytes_of(other, sizeof(other)), &version, &err), -EPROTO);
	EXPECT_EQ(err.reason, MQTT_UNSUPPORTED_PROTOCOL_VERSION);
	EXPECT_EQ(mqtt_connect_version(bytes_of(publish, sizeof(publish)), &version, &err), -EPROTO);
	EXPECT_TEXT(err.statement, "MQTT-3.1.0-1");
	EXPECT_EQ(mqtt_connect_version(bytes_of(cut, sizeof(cut)), &version, &err), -EPROTO);
}
