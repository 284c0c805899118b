/* core/json_text.h - the words of JSON: strings, numbers, names and the tokens of pointers.
 *
 * Purpose:  what the walk of core/json_find.h is made of, and what makes use of the values that it finds.
 * Memory:   values are borrowed runs of the document's bytes; no allocation.
 * Threads:  pure.
 * Strict:   the grammar of RFC 8259, well-formed UTF-8. A surrogate without its partner (\ud800) is a fault: it stands for
 *           no character. \u0000 is a character like others.
 * Names:    none is one of jansson's, with which the programs are linked.
 * Errors:   a NULL end means that there is no such thing here; all ends lie within [at, end].
 * Source:   RFC 8259; RFC 6901 (JSON Pointer); RFC 3629 (UTF-8).
 */
#ifndef CORE_JSON_TEXT_H
#define CORE_JSON_TEXT_H

#include "core/bytes.h"

enum json_kind {
	JSON_KIND_NULL,
	JSON_KIND_FALSE,
	JSON_KIND_TRUE,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_OBJECT,
	JSON_KIND_ARRAY
};

struct json_value {
	enum json_kind kind;
	/* A string: what is between its quotes, escapes as they are. Anything else: all of it, brackets included.
	 * ptr is never NULL in a value that was found. */
	struct bytes text;
};

/* A string's characters as UTF-8. Returns their size in bytes, 0 .. room_bytes; -ENOSPC; -EINVAL where the value is no
 * string. The result is never longer than value.text. */
NODISCARD int json_unescape(struct json_value value, uint8_t *out, size_t room_bytes);

/* Is the member's name, as it stands between its quotes, this plain text? */
NODISCARD bool json_key_equal(struct bytes key_raw, struct bytes name);

/* The same for one token of a pointer, where ~0 is '~' and ~1 is '/'. */
NODISCARD bool json_token_equal(struct bytes key_raw, struct bytes token);

/* Is this a pointer: empty, or tokens that each begin with '/', where '~' stands only in ~0 and ~1? For the check of a
 * configuration; json_find() finds nothing by any other. */
NODISCARD bool json_pointer_valid(struct bytes pointer);

/* Exactly a number of JSON's grammar, no blanks around it. */
NODISCARD bool json_number_valid(struct bytes text);

/* A value without brackets begins at `at`, which is below end: what it is, and the place behind it. */
NODISCARD const uint8_t *json_scalar_end(const uint8_t *at, const uint8_t *end, struct json_value *value);

/* From behind a string's opening quote to its closing one. */
NODISCARD const uint8_t *json_string_end(const uint8_t *at, const uint8_t *end);

static inline const uint8_t *json_blanks_end(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

static inline bool json_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

#endif
