#include "core/json_find.h"

#include <errno.h>
#include <limits.h>

#define NOWHERE UINT32_MAX /* a depth that no container has */

/* false: a token that is no index of any array. */
static bool token_index(struct bytes token, uint64_t *index)
{
	if (token.size == 0 || token.size > 18 || (token.ptr[0] == '0' && token.size > 1))
		return false;
	*index = 0;
	for (size_t i = 0; i < token.size; i++) {
		if (!json_digit(token.ptr[i]))
			return false;
		*index = *index * 10 + (token.ptr[i] - '0');
	}
	return true;
}

struct walk {
	const uint8_t *at, *end;
	uint64_t objects; /* bit n: the container at depth n + 1 is an object */
	uint32_t depth;   /* containers that are open */

	/* The pointer. One container at a time is searched: the innermost that it has led to. */
	struct bytes pointer; /* what follows token */
	struct bytes token;
	uint64_t elements_before; /* where an array is searched */
	uint32_t seek_depth;      /* of the container that is searched */
	bool enter;               /* the value that begins now is the next to be searched */

	/* What is wanted, from its first byte; the size of a container is set at its end. */
	struct json_value *slot; /* of the value that begins now; NULL: it is not wanted */
	struct json_value target;
	uint32_t target_depth; /* while it is open */
	const struct bytes *names;
	struct json_value *members;
	size_t name_count;
	uint32_t member_depth; /* while member is open */
	struct json_value *member;
	int member_count;
};

static_assert(JSON_DEPTH_MAX == 64, "walk.objects has one bit a container");

enum expect { FAULT, VALUE, ELEMENT, ELEMENT_OR_END, KEY, KEY_OR_END, AFTER_VALUE };

/* The pointer leads to the value that begins now. */
static void pointer_hits(struct walk *w)
{
	w->seek_depth = NOWHERE; /* the first with this name: there is no other */
	if (w->pointer.size == 0)
		w->slot = &w->target;
	else
		w->enter = true;
}

static void pointer_enters(struct walk *w, enum json_kind kind)
{
	const uint8_t *from = w->pointer.ptr + 1;
	size_t left = w->pointer.size - 1;
	const uint8_t *slash = left ? memchr(from, '/', left) : NULL;

	w->enter = false;
	w->token = bytes_of(from, slash ? (size_t)(slash - from) : left);
	w->pointer = bytes_of(from + w->token.size, left - w->token.size);
	if (kind == JSON_KIND_OBJECT || token_index(w->token, &w->elements_before))
		w->seek_depth = w->depth;
}

static bool top_is_object(const struct walk *w)
{
	return w->objects >> (w->depth - 1) & 1;
}

static enum expect container_begins(struct walk *w, enum json_kind kind)
{
	uint64_t bit;

	if (w->depth == JSON_DEPTH_MAX)
		return FAULT;
	bit = 1ull << w->depth++;
	w->objects = kind == JSON_KIND_OBJECT ? w->objects | bit : w->objects & ~bit;
	if (w->slot) {
		*w->slot = (struct json_value){.kind = kind, .text = {.ptr = w->at}};
		if (w->slot == &w->target) {
			w->target_depth = w->depth;
		} else {
			w->member_depth = w->depth;
			w->member = w->slot;
		}
		w->slot = NULL;
	}
	if (w->enter)
		pointer_enters(w, kind);
	w->at++;
	return kind == JSON_KIND_OBJECT ? KEY_OR_END : ELEMENT_OR_END;
}

static enum expect container_ends(struct walk *w)
{
	w->at++;
	if (w->depth == w->target_depth) {
		w->target.text.size = (size_t)(w->at - w->target.text.ptr);
		w->target_depth = NOWHERE;
	}
	if (w->depth == w->member_depth) {
		w->member->text.size = (size_t)(w->at - w->member->text.ptr);
		w->member_depth = NOWHERE;
	}
	if (w->depth == w->seek_depth)
		w->seek_depth = NOWHERE;
	w->depth--;
	return AFTER_VALUE;
}

static enum expect value_begins(struct walk *w)
{
	struct json_value value;

	if (*w->at == '{')
		return container_begins(w, JSON_KIND_OBJECT);
	if (*w->at == '[')
		return container_begins(w, JSON_KIND_ARRAY);
	w->at = json_scalar_end(w->at, w->end, &value);
	if (!w->at)
		return FAULT;
	if (w->slot)
		*w->slot = value;
	w->slot = NULL;
	w->enter = false; /* a pointer that would lead further ends here */
	return AFTER_VALUE;
}

static void element_begins(struct walk *w)
{
	if (w->depth == w->seek_depth && w->elements_before-- == 0)
		pointer_hits(w);
}

static void member_begins(struct walk *w, struct bytes key_raw)
{
	if (w->depth == w->seek_depth && json_token_equal(key_raw, w->token))
		pointer_hits(w);
	if (w->depth != w->target_depth)
		return;
	for (size_t i = 0; i < w->name_count; i++) {
		if (w->members[i].text.ptr || !json_key_equal(key_raw, w->names[i]))
			continue;
		w->slot = &w->members[i];
		w->member_count++;
		return;
	}
}

static enum expect key(struct walk *w)
{
	const uint8_t *from = w->at + 1, *quote;

	if (*w->at != '"')
		return FAULT;
	quote = json_string_end(from, w->end);
	if (!quote)
		return FAULT;
	w->at = json_blanks_end(quote + 1, w->end);
	if (w->at == w->end || *w->at++ != ':')
		return FAULT;
	member_begins(w, bytes_of(from, (size_t)(quote - from)));
	return VALUE;
}

static enum expect after_value(struct walk *w)
{
	bool in_object;

	if (w->depth == 0)
		return FAULT; /* something follows the document */
	in_object = top_is_object(w);
	if (*w->at == ',') {
		w->at++;
		return in_object ? KEY : ELEMENT;
	}
	return *w->at == (in_object ? '}' : ']') ? container_ends(w) : FAULT;
}

static enum expect step(struct walk *w, enum expect expect)
{
	switch (expect) {
	case VALUE: return value_begins(w);
	case ELEMENT_OR_END:
		if (*w->at == ']')
			return container_ends(w);
		element_begins(w);
		return value_begins(w);
	case ELEMENT: element_begins(w); return value_begins(w);
	case KEY_OR_END: return *w->at == '}' ? container_ends(w) : key(w);
	case KEY: return key(w);
	case AFTER_VALUE: return after_value(w);
	case FAULT: break;
	}
	UNREACHABLE();
}

/* false: the document is not JSON. Each step takes one byte or more, so it ends. */
static bool walk_all(struct walk *w, struct bytes document, struct bytes pointer)
{
	enum expect expect = VALUE;

	w->at = document.ptr;
	w->end = document.size ? document.ptr + document.size : document.ptr;
	w->seek_depth = w->target_depth = w->member_depth = NOWHERE;
	w->pointer = pointer;
	if (json_pointer_valid(pointer))
		pointer_hits(w);
	while (expect != FAULT) {
		w->at = json_blanks_end(w->at, w->end);
		if (w->at == w->end)
			return expect == AFTER_VALUE && w->depth == 0;
		expect = step(w, expect);
	}
	return false;
}

int json_find(struct bytes document, struct bytes pointer, struct json_value *out)
{
	struct walk w = {0};

	if (!walk_all(&w, document, pointer))
		return -EINVAL;
	if (!w.target.text.ptr)
		return 0;
	*out = w.target;
	return 1;
}

int json_find_members(struct bytes document, struct bytes pointer, const struct bytes *names,
		      size_t name_count, struct json_value *out)
{
	struct walk w = {.names = names, .name_count = name_count, .members = out};

	ASSERT(name_count <= INT_MAX);
	for (size_t i = 0; i < name_count; i++)
		out[i] = (struct json_value){0};
	if (walk_all(&w, document, pointer))
		return w.member_count;
	for (size_t i = 0; i < name_count; i++)
		out[i] = (struct json_value){0};
	return -EINVAL;
}

struct json_members json_members_of(struct json_value object)
{
	if (object.kind != JSON_KIND_OBJECT || object.text.size < 2)
		return (struct json_members){0};
	return (struct json_members){.at = object.text.ptr + 1,
				     .end = object.text.ptr + object.text.size - 1};
}

/* Behind the bracket that closes the one at `at`, which is there: the text is sound. NULL where it is not after all. */
static const uint8_t *container_end(const uint8_t *at, const uint8_t *end)
{
	size_t open_count = 0;

	while (at < end) {
		uint8_t c = *at++;

		if (c == '"') {
			at = json_string_end(at, end);
			if (!at)
				return NULL;
			at++;
		}
		open_count += c == '{' || c == '[';
		open_count -= c == '}' || c == ']';
		if (open_count == 0)
			return at;
	}
	return NULL;
}

bool json_next_member(struct json_members *it, struct bytes *key_raw, struct json_value *value)
{
	const uint8_t *at = json_blanks_end(it->at, it->end), *from;

	if (at < it->end && *at == ',')
		at = json_blanks_end(at + 1, it->end);
	if (at == it->end || *at != '"')
		return false;
	from = at + 1;
	at = json_string_end(from, it->end);
	if (!at)
		return false;
	*key_raw = bytes_of(from, (size_t)(at - from));
	at = json_blanks_end(at + 1, it->end);
	if (at == it->end || *at != ':')
		return false;
	at = from = json_blanks_end(at + 1, it->end);
	if (at == it->end)
		return false;
	if (*at == '{' || *at == '[') {
		at = container_end(from, it->end);
		if (at)
			*value = (struct json_value){.kind = *from == '{' ? JSON_KIND_OBJECT
									  : JSON_KIND_ARRAY,
						     .text = bytes_of(from, (size_t)(at - from))};
	} else {
		at = json_scalar_end(from, it->end, value);
	}
	if (!at)
		return false;
	it->at = at;
	return true;
}
