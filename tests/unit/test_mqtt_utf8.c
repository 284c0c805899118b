/* UTF-8 as MQTT wants it, against a decoder that is written the other way round. */
#include "tests/test.h"

#include "proto/mqtt_utf8.h"

static size_t encode(uint32_t c, uint8_t *out)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xC0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xE0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
		out[2] = (uint8_t)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (uint8_t)(0xF0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
	out[3] = (uint8_t)(0x80 | (c & 63));
	return 4;
}

/* Is this run the encoding of exactly one character? Takes the bits out and puts them in again. */
static bool is_one_character(const uint8_t *p, size_t size)
{
	static const uint8_t lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
	uint32_t c = p[0] & lead_bits[size];
	uint8_t again[4];

	for (size_t i = 1; i < size; i++)
		c = c << 6 | (p[i] & 63);
	if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return false;
	return encode(c, again) == size && !memcmp(again, p, size);
}

TEST(every_code_point_but_surrogates_and_null_is_a_character)
{
	uint8_t text[4];

	for (uint32_t c = 1; c <= 0x10FFFF; c++) {
		size_t size = encode(c, text);
		bool surrogate = c >= 0xD800 && c <= 0xDFFF;

		EXPECT_EQ(mqtt_utf8_check(bytes_of(text, size)),
			  surrogate ? MQTT_UTF8_ILL_FORMED : MQTT_UTF8_OK);
	}
}

TEST(every_run_of_three_bytes_is_judged_right)
{
	for (uint32_t n = 0x800000; n < 0x1000000; n++) {
		uint8_t p[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
		bool ok = is_one_character(p, 3) ||
			  (is_one_character(p, 2) && p[2] < 0x80); /* the third is a character by itself */

		if (mqtt_utf8_well_formed(bytes_of(p, 3)) != ok)
			ck_abort_msg("%06x", n);
	}
}

TEST(four_byte_runs_around_the_limits_are_judged_right)
{
	for (uint32_t lead = 0xF0; lead <= 0xFF; lead++)
		for (uint32_t second = 0; second < 256; second++)
			for (uint32_t rest = 0; rest < 4; rest++) {
				uint8_t p[4] = {(uint8_t)lead, (uint8_t)second, rest & 1 ? 0x80 : 0xBF,
						rest & 2 ? 0xC0 : 0x80};

				EXPECT_EQ(mqtt_utf8_well_formed(bytes_of(p, 4)), is_one_character(p, 4));
			}
}

TEST(a_fault_is_found_at_every_place_of_a_text)
{
	uint8_t text[40];

	for (size_t size = 1; size <= sizeof(text); size++)
		for (size_t at = 0; at < size; at++) {
			memset(text, 'x', sizeof(text));
			EXPECT_EQ(mqtt_utf8_check(bytes_of(text, size)), MQTT_UTF8_OK);
			text[at] = 0;
			EXPECT_EQ(mqtt_utf8_check(bytes_of(text, size)), MQTT_UTF8_NULL);
			EXPECT(mqtt_utf8_well_formed(bytes_of(text, size)));
			text[at] = 0x80;
			EXPECT_EQ(mqtt_utf8_check(bytes_of(text, size)), MQTT_UTF8_ILL_FORMED);
			EXPECT(!mqtt_utf8_well_formed(bytes_of(text, size)));
			text[at] = 0x7F;
			EXPECT_EQ(mqtt_utf8_check(bytes_of(text, size)), MQTT_UTF8_OK);
		}
}

TEST(an_empty_text_is_fine)
{
	EXPECT_EQ(mqtt_utf8_check((struct bytes){0}), MQTT_UTF8_OK);
	EXPECT(mqtt_utf8_well_formed((struct bytes){0}));
}
