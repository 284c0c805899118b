/* core/json_find.h - one value of a JSON text, found by its pointer while the whole text is checked.
 *
 * Purpose:  payloads that arrive: `value`, `quality` and `ts` of an object, or any value that a JSON Pointer names. No
 *           tree is built: one walk over the bytes checks all of them, also behind what was asked for, so that a
 *           payload that was cut off or is no JSON never yields a value.
 * Memory:   no allocation, no recursion. What is found are runs of the document's own bytes, which must outlive them.
 * Threads:  pure.
 * Strict:   as core/json_text.h; nothing but blanks around the value, no byte order mark. Of members with the same name
 *           the first counts, also where the pointer leads no further in it.
 * Errors:   -EINVAL: not JSON, or more than JSON_DEPTH_MAX arrays and objects within each other.
 * Source:   RFC 8259; RFC 6901 (JSON Pointer).
 */
#ifndef CORE_JSON_FIND_H
#define CORE_JSON_FIND_H

#include "core/bytes.h"
#include "core/json_text.h"

#define JSON_DEPTH_MAX 64

/* 1: *out is the value; 0: the document is sound and has no such value; *out is written with 1 only. The empty pointer
 * means the whole document. An array's index has no leading zeros; "-", behind the last element, has no value. */
NODISCARD int json_find(struct bytes document, struct bytes pointer, struct json_value *out);

/* Several members of the object at the pointer, in the same single walk: out[i] is the one named names[i], plain text
 * without escapes, no two the same. Returns how many were found; out[i].text.ptr is NULL for the others, and for all
 * after an error. Where the pointer leads to something else than an object, or nowhere, none is found. */
NODISCARD int json_find_members(struct bytes document, struct bytes pointer, const struct bytes *names,
				size_t name_count, struct json_value *out);

/* The members of an object that was found, one after another; of any other value none. Those with the same name come
 * each. */
struct json_members {
	const uint8_t *at, *end;
};

struct json_members json_members_of(struct json_value object);
NODISCARD bool json_next_member(struct json_members *it, struct bytes *key_raw, struct json_value *value);

#endif
