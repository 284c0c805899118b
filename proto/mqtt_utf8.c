#include "proto/mqtt_utf8.h"

#include "core/utf8.h"

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
		size_t size = utf8_character_bytes(text.ptr + at, text.size - at);

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
		size_t size = utf8_character_bytes(text.ptr + at, text.size - at);

		if (size == 0)
			return false;
		at += size;
	}
	return true;
}
