#include "proto/mqtt_utf8.h"

/* Bytes of the character at p (1-4), or 0 where it is ill-formed. The second byte's range excludes what is
 * too long (E0, F0), surrogates (ED) and what is above U+10FFFF (F4): Unicode table 3-7. */
static size_t character_bytes(const uint8_t *p, size_t left_bytes)
{
	uint8_t low = 0x80, high = 0xBF;
	size_t size;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	size = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	if (size > left_bytes)
		return 0;
	if (p[0] == 0xE0)
		low = 0xA0;
	if (p[0] == 0xED)
		high = 0x9F;
	if (p[0] == 0xF0)
		low = 0x90;
	if (p[0] == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return size;
}

/* Eight bytes at a time while all are in U+0001..U+007F: topics nearly always are. */
static size_t plain_ascii_bytes(const uint8_t *p, size_t size)
{
	size_t at = 0;

	for (; size - at >= 8; at += 8) {
		uint64_t word;

		memcpy(&word, p + at, sizeof(word));
		/* A byte is 0x80 or above, or 0: then its top bit is set in one of the two terms. */
		if ((word | (word - 0x0101010101010101ull)) & 0x8080808080808080ull)
			break;
	}
	return at;
}

enum mqtt_utf8 mqtt_utf8_check(struct bytes text)
{
	for (size_t at = plain_ascii_bytes(text.ptr, text.size); at < text.size;) {
		size_t size = character_bytes(text.ptr + at, text.size - at);

		if (size == 0)
			return MQTT_UTF8_ILL_FORMED;
		if (text.ptr[at] == 0)
			return MQTT_UTF8_NULL;
		at += size;
	}
	return MQTT_UTF8_OK;
}

bool mqtt_utf8_well_formed(struct bytes text)
{
	for (size_t at = plain_ascii_bytes(text.ptr, text.size); at < text.size;) {
		size_t size = character_bytes(text.ptr + at, text.size - at);

		if (size == 0)
			return false;
		at += size;
	}
	return true;
}
