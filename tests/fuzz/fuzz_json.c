/* Any bytes as a JSON Pointer, a line end and a document: jansson, which builds a tree, is the judge of what is JSON and of
 * what stands where. The two differ by intent in what agrees() lists, and nowhere else. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/assert.h"
#include "core/json_find.h"
#include "core/value_text.h"

#define POINTER_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a sound document: brackets outside strings. */
static size_t depth_of(struct bytes document)
{
	size_t depth = 0, deepest = 0;
	bool in_string = false;

	for (size_t i = 0; i < document.size; i++) {
		uint8_t c = document.ptr[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '[' || c == '{'))
			depth++;
		else if (!in_string && (c == ']' || c == '}'))
			depth--;
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest;
}

/* We keep numbers as text, so that none is too large; a name may contain U+0000; we go 64 levels deep, jansson 2048. */
static void agrees(struct bytes document, bool ours, bool theirs, const json_error_t *error)
{
	enum json_error_code code = json_error_code(error);

	if (ours && !theirs)
		ASSERT(code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
	if (theirs && !ours)
		ASSERT(depth_of(document) > JSON_DEPTH_MAX);
}

static void number_agrees(const struct json_value *value, const json_t *tree)
{
	struct value number;

	ASSERT(value->kind == JSON_KIND_NUMBER);
	ASSERT(value_parse(CFG_TAG_FLOAT64, value->text, &number) == 0);
	ASSERT(number.f == json_number_value(tree));
	if (json_is_integer(tree) && value_parse(CFG_TAG_INT32, value->text, &number) == 0)
		ASSERT(number.i == json_integer_value(tree));
}

static void string_agrees(const struct json_value *value, const json_t *tree)
{
	size_t size = json_string_length(tree);
	uint8_t *room = malloc(size + 1);

	ASSERT(value->kind == JSON_KIND_STRING);
	ASSERT(size <= value->text.size);
	ASSERT(json_unescape(*value, room, size) == (int)size);
	ASSERT(memcmp(room, json_string_value(tree), size) == 0);
	ASSERT(json_key_equal(value->text, bytes_of(room, size)));
	if (size > 0)
		ASSERT(json_unescape(*value, room, size - 1) == -ENOSPC);
	free(room);
}

/* The text of a container is a document of its own; its members come one by one, and by name. */
static void container_agrees(const struct json_value *value, json_t *tree)
{
	json_t *again = json_loadb((const char *)value->text.ptr, value->text.size,
				   JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	struct json_members it = json_members_of(*value);
	struct json_value member, by_name;
	struct bytes key_raw;
	size_t member_count = 0;

	ASSERT(again);
	ASSERT(json_equal(again, tree));
	json_decref(again);
	ASSERT(value->kind == (json_is_object(tree) ? JSON_KIND_OBJECT : JSON_KIND_ARRAY));
	for (; json_next_member(&it, &key_raw, &member); member_count++) {
		if (key_raw.size && memchr(key_raw.ptr, '\\', key_raw.size))
			continue;
		ASSERT(json_find_members(value->text, bytes_of(NULL, 0), &key_raw, 1, &by_name) == 1);
		ASSERT(by_name.kind == member.kind);
		ASSERT(by_name.text.ptr == member.text.ptr);
		ASSERT(by_name.text.size == member.text.size);
	}
	ASSERT(member_count == json_object_size(tree)); /* 0 for an array */
}

static void value_agrees(const struct json_value *value, json_t *tree)
{
	switch (json_typeof(tree)) {
	case JSON_OBJECT:
	case JSON_ARRAY: container_agrees(value, tree); return;
	case JSON_STRING: string_agrees(value, tree); return;
	case JSON_INTEGER:
	case JSON_REAL: number_agrees(value, tree); return;
	case JSON_TRUE: ASSERT(value->kind == JSON_KIND_TRUE); return;
	case JSON_FALSE: ASSERT(value->kind == JSON_KIND_FALSE); return;
	case JSON_NULL: ASSERT(value->kind == JSON_KIND_NULL); return;
	}
}

static void write_token(struct writer *w, const char *key, size_t size)
{
	write_u8(w, '/');
	for (size_t i = 0; i < size; i++) {
		if (key[i] == '~' || key[i] == '/') {
			write_u8(w, '~');
			write_u8(w, key[i] == '~' ? '0' : '1');
			continue;
		}
		write_u8(w, (uint8_t)key[i]);
	}
}

/* One way from the root down to a leaf, which choice selects; the value at each step has to be found by its pointer. */
static void path_agrees(struct bytes document, json_t *tree, uint64_t choice)
{
	uint8_t pointer[POINTER_BYTES_MAX];
	struct writer w = writer_of(pointer, sizeof(pointer));

	for (;;) {
		struct json_value value;
		size_t count = json_is_object(tree) ? json_object_size(tree) : json_array_size(tree);
		size_t chosen = count ? choice % count : 0;
		struct bytes so_far = bytes_of(pointer, (size_t)(w.at - pointer));

		ASSERT(json_pointer_valid(so_far));
		ASSERT(json_find(document, so_far, &value) == 1);
		value_agrees(&value, tree);
		if (count == 0)
			return;
		choice = choice / count * 0x9e3779b97f4a7c15ull + 1;
		if (json_is_object(tree)) {
			void *iter = json_object_iter(tree);

			for (; chosen > 0; chosen--)
				iter = json_object_iter_next(tree, iter);
			write_token(&w, json_object_iter_key(iter), json_object_iter_key_len(iter));
			tree = json_object_iter_value(iter);
		} else {
			char digits[24];

			write_token(&w, digits, (size_t)snprintf(digits, sizeof(digits), "%zu", chosen));
			tree = json_array_get(tree, chosen);
		}
		if (w.failed)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line_end = size ? memchr(data, '\n', size) : NULL;
	struct bytes pointer = bytes_of(data, line_end ? (size_t)(line_end - data) : 0);
	struct bytes document = line_end ? bytes_of(line_end + 1, size - pointer.size - 1)
					 : bytes_of(data, size);
	struct json_value value;
	json_error_t error;
	json_t *tree;
	uint64_t choice = 0;
	int rc = json_find(document, pointer, &value);

	ASSERT(rc == 0 || rc == 1 || rc == -EINVAL);
	if (rc == 1) {
		ASSERT(value.text.ptr >= document.ptr);
		ASSERT(value.text.ptr + value.text.size <= document.ptr + document.size);
	}
	ASSERT(rc == -EINVAL || json_find(document, bytes_of(NULL, 0), &value) == 1);
	if (document.size && memchr(document.ptr, 0, document.size)) {
		ASSERT(rc == -EINVAL); /* jansson takes it for the end, and does not look behind it */
		return 0;
	}
	tree = json_loadb(document.size ? (const char *)document.ptr : "", document.size,
			  JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	agrees(document, rc >= 0, tree != NULL, &error);
	json_decref(tree);
	if (!tree || rc < 0)
		return 0;
	/* Of members with the same name jansson takes the last, we the first: only without them can values be compared. */
	tree = json_loadb((const char *)document.ptr, document.size,
			  JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (!tree)
		return 0;
	for (size_t i = 0; i < pointer.size; i++)
		choice = choice * 31 + pointer.ptr[i];
	path_agrees(document, tree, choice);
	path_agrees(document, tree, ~choice);
	json_decref(tree);
	return 0;
}
