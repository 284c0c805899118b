#include "core/intake.h"

#include <errno.h>

#include "core/json_find.h"
#include "core/value_text.h"

#define NAME_BYTES_MAX   129 /* device.tag */
#define STRING_BYTES_MAX 128 /* of a number, a quality or a time within quotes */

enum { MEMBER_VALUE, MEMBER_QUALITY, MEMBER_TS, MEMBER_TAG, MEMBER_VALUES, MEMBER_COUNT };

static const char *const member_names[MEMBER_COUNT] = {"value", "quality", "ts", "tag", "values"};

/* What a message says of one tag. */
struct reading {
	struct json_value value;
	struct json_value quality, ts; /* text.ptr NULL: not said */
};

static int refuse(const char **why, int rc, const char *text)
{
	*why = text;
	return rc;
}

static int members_find(struct bytes document, struct bytes pointer, struct json_value out[MEMBER_COUNT])
{
	struct bytes names[MEMBER_COUNT];

	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		names[i] = bytes_of_text(member_names[i]);
	return json_find_members(document, pointer, names, MEMBER_COUNT, out);
}

static bool is_scalar(struct json_value v)
{
	return v.kind != JSON_KIND_OBJECT && v.kind != JSON_KIND_ARRAY;
}

/* A value, or an object that has one in it. */
static int reading_of(struct json_value v, struct reading *out)
{
	struct json_value members[MEMBER_COUNT];

	*out = (struct reading){.value = v};
	if (is_scalar(v))
		return 0;
	if (members_find(v.text, bytes_of_text(""), members) < 1 || !members[MEMBER_VALUE].text.ptr ||
	    !is_scalar(members[MEMBER_VALUE]))
		return -ENOENT;
	*out = (struct reading){
		.value = members[MEMBER_VALUE], .quality = members[MEMBER_QUALITY], .ts = members[MEMBER_TS]};
	return 0;
}

static bool string_is(struct json_value v, const char *text)
{
	uint8_t plain[STRING_BYTES_MAX];
	int size = v.text.ptr && v.kind == JSON_KIND_STRING ? json_unescape(v, plain, sizeof(plain)) : -1;

	return size >= 0 && bytes_equal(bytes_of(plain, (size_t)size), bytes_of_text(text));
}

static struct wall time_of(struct json_value ts, struct wall otherwise)
{
	uint8_t plain[STRING_BYTES_MAX];
	int size = ts.text.ptr && ts.kind == JSON_KIND_STRING ? json_unescape(ts, plain, sizeof(plain)) : -1;
	struct wall time;

	return size > 0 && time_parse(bytes_of(plain, (size_t)size), &time) == 0 ? time : otherwise;
}

static int parse(enum cfg_tag_type type, struct json_value v, struct value *out, const char **why)
{
	uint8_t plain[STRING_BYTES_MAX];
	struct bytes text = v.text;
	int rc;

	if (v.kind == JSON_KIND_NULL)
		return refuse(why, -EINVAL, "the value is null");
	if (v.kind == JSON_KIND_STRING) { /* some write numbers in quotes */
		int size = json_unescape(v, plain, sizeof(plain));

		if (size < 0)
			return refuse(why, -EINVAL, "the value is a text");
		text = bytes_of(plain, (size_t)size);
	}
	rc = value_parse(type, text, out);
	if (rc == -ERANGE)
		return refuse(why, rc, "the value does not fit the tag's type");
	if (rc < 0)
		return refuse(why, rc, "the value is none of the tag's type");
	return 0;
}

/* A value with quality bad says that there is none. */
static int check(const struct definitions *d, uint32_t tag_idx, const struct reading *r, const char **why)
{
	struct value value;

	if (r->quality.text.ptr && !string_is(r->quality, "good"))
		return 0;
	return parse(d->cfg->tags[tag_idx].type, r->value, &value, why);
}

static void take(struct definition_lane *lane, uint32_t tag_idx, const struct reading *r, struct mono now,
		 struct wall time)
{
	struct value value;
	const char *why;

	if (r->quality.text.ptr && !string_is(r->quality, "good")) {
		definition_update_bad(lane, tag_idx, TAG_BAD_DEVICE, time_of(r->ts, time), now);
		return;
	}
	if (parse(lane->all->cfg->tags[tag_idx].type, r->value, &value, &why) == 0) /* check() has seen it */
		definition_update(lane, tag_idx, value, time_of(r->ts, time), now);
}

static int intake_one(struct definition_lane *lane, uint32_t tag_idx, struct json_value v, struct mono now,
		      struct wall time, const char **why)
{
	struct reading r;
	int rc = reading_of(v, &r);

	if (rc < 0)
		return refuse(why, rc, "there is no `value` in it");
	rc = check(lane->all, tag_idx, &r, why);
	if (rc < 0)
		return rc;
	take(lane, tag_idx, &r, now, time);
	return 1;
}

/* --- several tags ----------------------------------------------------------------------------------------------- */

/* The tag of the definition with that name, in full or without its device; CFG_NONE. */
static uint32_t tag_named(const struct definitions *d, const struct cfg_definition *def, struct bytes key)
{
	uint8_t plain[2 * NAME_BYTES_MAX];
	int size;

	if (key.size == 0 || !memchr(key.ptr, '\\', key.size))
		return definition_tag_named(d, (uint32_t)(def - d->cfg->definitions), key);
	size = json_unescape((struct json_value){.kind = JSON_KIND_STRING, .text = key}, plain,
			     sizeof(plain));
	return size < 0 ? CFG_NONE
			: definition_tag_named(d, (uint32_t)(def - d->cfg->definitions),
					       bytes_of(plain, (size_t)size));
}

/* First all are looked at, then all are taken: a message counts wholly or not at all. */
static int intake_members(struct definition_lane *lane, const struct cfg_definition *def,
			  struct json_value object, struct mono now, struct wall time, const char **why)
{
	struct json_members it = json_members_of(object);
	struct json_value v;
	struct bytes key;
	struct reading r;
	int count = 0;

	while (json_next_member(&it, &key, &v)) {
		uint32_t tag_idx = tag_named(lane->all, def, key);
		int rc;

		if (tag_idx == CFG_NONE)
			continue; /* for somebody else */
		if (reading_of(v, &r) < 0)
			return refuse(why, -ENOENT, "a tag in it has no `value`");
		rc = check(lane->all, tag_idx, &r, why);
		if (rc < 0)
			return rc;
		count++;
	}
	if (count == 0)
		return refuse(why, -ENOENT, "it names no tag of the definition");
	it = json_members_of(object);
	while (json_next_member(&it, &key, &v)) {
		uint32_t tag_idx = tag_named(lane->all, def, key);

		if (tag_idx != CFG_NONE && reading_of(v, &r) == 0)
			take(lane, tag_idx, &r, now, time);
	}
	return count;
}

static int intake_several(struct definition_lane *lane, const struct cfg_definition *def,
			  struct json_value object, struct mono now, struct wall time, const char **why)
{
	struct json_value members[MEMBER_COUNT];

	if (object.kind != JSON_KIND_OBJECT)
		return refuse(why, -ENOENT, "several tags, and it does not say for which it is");
	if (members_find(object.text, bytes_of_text(""), members) >= 1) {
		if (members[MEMBER_VALUES].text.ptr && members[MEMBER_VALUES].kind == JSON_KIND_OBJECT)
			return intake_members(lane, def, members[MEMBER_VALUES], now, time, why);
		if (members[MEMBER_TAG].text.ptr && members[MEMBER_TAG].kind == JSON_KIND_STRING) {
			uint32_t tag_idx = tag_named(lane->all, def, members[MEMBER_TAG].text);

			if (tag_idx == CFG_NONE)
				return refuse(why, -ENOENT, "its `tag` is none of the definition");
			return intake_one(lane, tag_idx, object, now, time, why);
		}
	}
	return intake_members(lane, def, object, now, time, why);
}

int intake(struct definition_lane *lane, uint32_t definition_idx, uint32_t tag_idx, struct bytes payload,
	   struct mono now, struct wall time, const char **why)
{
	const struct cfg_definition *def = &lane->all->cfg->definitions[definition_idx];
	struct bytes pointer = bytes_of_text(cfg_text(lane->all->cfg, def->subscribe.pointer));
	struct json_value v;
	int rc = json_find(payload, pointer, &v);

	if (rc == 0)
		return refuse(why, -ENOENT, "the JSON pointer of `value` leads nowhere in it");
	if (rc < 0) {
		struct value value;

		/* Not JSON: a number with blanks around it, or a truth value, is welcome all the same. */
		if (tag_idx == CFG_NONE || pointer.size ||
		    value_parse(lane->all->cfg->tags[tag_idx].type, payload, &value) < 0)
			return refuse(why, -EINVAL, "it is neither JSON nor a number");
		definition_update(lane, tag_idx, value, time, now);
		return 1;
	}
	if (tag_idx != CFG_NONE)
		return intake_one(lane, tag_idx, v, now, time, why);
	return intake_several(lane, def, v, now, time, why);
}
