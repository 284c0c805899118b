#include "core/json_text.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>

#include "core/utf8.h"

static size_t utf8_put(uint32_t code, uint8_t out[4])
{
	if (code < 0x80) {
		out[0] = (uint8_t)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (uint8_t)(0xc0 | code >> 6);
		out[1] = (uint8_t)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (uint8_t)(0xe0 | code >> 12);
		out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | code >> 18);
	out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (code & 0x3f));
	return 4;
}

/* The number in \uXXXX at the backslash; UINT32_MAX where it is none. */
static uint32_t hex_escape(const uint8_t *at, const uint8_t *end)
{
	uint32_t code = 0;

	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return UINT32_MAX;
	for (size_t i = 2; i < 6; i++) {
		uint8_t letter = at[i] | 0x20;

		if (json_digit(at[i]))
			code = code << 4 | (at[i] - '0');
		else if (letter >= 'a' && letter <= 'f')
			code = code << 4 | (letter - 'a' + 10u);
		else
			return UINT32_MAX;
	}
	return code;
}

/* The escape at the backslash: its size and the character it stands for; 0 where it is none. */
static size_t escape(const uint8_t *at, const uint8_t *end, uint32_t *code)
{
	uint32_t low;

	if (end - at < 2)
		return 0;
	switch (at[1]) {
	case '"':
	case '\\':
	case '/': *code = at[1]; return 2;
	case 'b': *code = '\b'; return 2;
	case 'f': *code = '\f'; return 2;
	case 'n': *code = '\n'; return 2;
	case 'r': *code = '\r'; return 2;
	case 't': *code = '\t'; return 2;
	case 'u': break;
	default: return 0;
	}
	*code = hex_escape(at, end);
	if (*code == UINT32_MAX || (*code >= 0xdc00 && *code <= 0xdfff))
		return 0;
	if (*code < 0xd800 || *code > 0xdbff)
		return 6;
	low = hex_escape(at + 6, end);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*code = 0x10000 + ((*code - 0xd800) << 10 | (low - 0xdc00));
	return 12;
}

/* The next byte that is not a plain character of a string: quote, backslash, control, 0x80 or above. Eight at a time: in
 * each byte of `stops` the top bit says so, exactly up to the first, because only a stop borrows from the next byte. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
	const uint64_t ones = 0x0101010101010101ull;

	for (; end - at >= 8; at += 8) {
		uint64_t word, stops;

		memcpy(&word, at, sizeof(word));
		word = le64toh(word);
		stops = (word - ones * 0x20) | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones) |
			word;
		stops &= ones * 0x80;
		if (stops)
			return at + __builtin_ctzll(stops) / 8;
	}
	while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

/* From behind the opening quote to the closing one; NULL: no string. */
const uint8_t *json_string_end(const uint8_t *at, const uint8_t *end)
{
	for (;;) {
		uint32_t code;
		size_t size;

		at = plain_end(at, end);
		if (at == end || *at < 0x20)
			return NULL;
		if (*at == '"')
			return at;
		size = *at == '\\' ? escape(at, end, &code) : utf8_character_bytes(at, (size_t)(end - at));
		if (size == 0)
			return NULL;
		at += size;
	}
}

/* One digit or more; NULL: none. */
static const uint8_t *digits_end(const uint8_t *at, const uint8_t *end)
{
	if (at == end || !json_digit(*at))
		return NULL;
	while (at < end && json_digit(*at))
		at++;
	return at;
}

/* NULL: no number begins here. */
static const uint8_t *number_end(const uint8_t *at, const uint8_t *end)
{
	if (at < end && *at == '-')
		at++;
	at = at < end && *at == '0' ? at + 1 : digits_end(at, end);
	if (at && at < end && *at == '.')
		at = digits_end(at + 1, end);
	if (at && at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		at = digits_end(at, end);
	}
	return at;
}

bool json_number_valid(struct bytes text)
{
	return text.size > 0 && number_end(text.ptr, text.ptr + text.size) == text.ptr + text.size;
}

static const uint8_t *word_end(const uint8_t *at, const uint8_t *end, const char *word, size_t size)
{
	return (size_t)(end - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

/* A value without brackets, at < end: what it is, and where it ends; NULL: none. */
const uint8_t *json_scalar_end(const uint8_t *at, const uint8_t *end, struct json_value *value)
{
	const uint8_t *from = at, *after;

	switch (*at) {
	case '"':
		value->kind = JSON_KIND_STRING;
		from = at + 1;
		at = json_string_end(from, end);
		after = at ? at + 1 : NULL;
		break;
	case 'n':
		value->kind = JSON_KIND_NULL;
		after = at = word_end(at, end, "null", 4);
		break;
	case 'f':
		value->kind = JSON_KIND_FALSE;
		after = at = word_end(at, end, "false", 5);
		break;
	case 't':
		value->kind = JSON_KIND_TRUE;
		after = at = word_end(at, end, "true", 4);
		break;
	default:
		value->kind = JSON_KIND_NUMBER;
		after = at = number_end(at, end);
		break;
	}
	if (after)
		value->text = bytes_of(from, (size_t)(at - from));
	return after;
}

enum name_form { NAME_PLAIN, NAME_TOKEN };

/* Character by character, because both sides may be escaped: \u007e in a key is ~0 in a token. */
static bool name_equal(struct bytes key_raw, struct bytes name, enum name_form form)
{
	const uint8_t *at = key_raw.ptr, *other = name.ptr, *end, *other_end;

	if (key_raw.size == 0 || name.size == 0)
		return key_raw.size == name.size;
	end = at + key_raw.size;
	other_end = other + name.size;
	while (at < end) {
		uint8_t utf8[4];
		size_t size = 1;

		if (*at == '\\') {
			uint32_t code;
			size_t escape_size = escape(at, end, &code);

			if (escape_size == 0)
				return false;
			at += escape_size;
			size = utf8_put(code, utf8);
		} else {
			utf8[0] = *at++;
		}
		for (size_t i = 0; i < size; i++) {
			uint8_t c;

			if (other == other_end)
				return false;
			c = *other++;
			if (c == '~' && form == NAME_TOKEN && other < other_end)
				c = *other++ == '0' ? '~' : '/';
			if (c != utf8[i])
				return false;
		}
	}
	return other == other_end;
}

bool json_key_equal(struct bytes key_raw, struct bytes name)
{
	return name_equal(key_raw, name, NAME_PLAIN);
}

bool json_token_equal(struct bytes key_raw, struct bytes token)
{
	return name_equal(key_raw, token, NAME_TOKEN);
}

bool json_pointer_valid(struct bytes pointer)
{
	const uint8_t *at = pointer.ptr, *end;

	if (pointer.size == 0)
		return true;
	if (*at != '/')
		return false;
	end = at + pointer.size;
	while (at < end) {
		size_t size = utf8_character_bytes(at, (size_t)(end - at));

		if (size == 0)
			return false;
		if (*at == '~' && (end - at < 2 || (at[1] != '0' && at[1] != '1')))
			return false;
		at += size;
	}
	return true;
}

int json_unescape(struct json_value value, uint8_t *out, size_t room_bytes)
{
	const uint8_t *at = value.text.ptr, *end;
	struct writer w = writer_of(out, min_size(room_bytes, INT_MAX));

	if (value.kind != JSON_KIND_STRING)
		return -EINVAL;
	end = value.text.size ? at + value.text.size : at;
	while (at < end) {
		const uint8_t *plain = at;
		uint8_t utf8[4];
		uint32_t code;
		size_t size;

		while (at < end && *at != '\\')
			at++;
		if (at > plain)
			write_bytes(&w, plain, (size_t)(at - plain));
		if (at == end)
			break;
		size = escape(at, end, &code);
		if (size == 0)
			return -EINVAL;
		at += size;
		write_bytes(&w, utf8, utf8_put(code, utf8));
	}
	return w.failed ? -ENOSPC : (int)(w.at - out);
}
