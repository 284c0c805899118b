/* One scalar into one field: everything the table says about a single key. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/config_build.h"
#include "core/clock.h"
#include "core/units.h"
#include "core/url.h"

#define NAME_BYTES_MAX 64u

/* Candidates looked at for a suggestion; a section may have a million names. */
#define CANDIDATES_MAX 4096u

PRINTF(2, 3) static bool refuse(char why[static CONFIG_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, CONFIG_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static void *field_of(const struct schema_key *k, void *object)
{
	ASSERT(k->width > 0);
	return (char *)object + k->offset;
}

/* Little-endian machines only, as everywhere here: the low bytes are the value. */
static void store(const struct schema_key *k, void *object, uint64_t value)
{
	if (k->width > 0)
		memcpy(field_of(k, object), &value, k->width);
}

static bool is_name_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-' || c == '.';
}

static bool set_text(struct config_build *b, const struct schema_key *k, struct bytes text, void *object,
		     char *why)
{
	if (text.size && memchr(text.ptr, 0, text.size))
		return refuse(why, "`%s` may not have a zero byte", k->key);
	if (text.size < (uint64_t)k->min)
		return refuse(why, "`%s` may not be empty", k->key);
	if (text.size > (uint64_t)k->max)
		return refuse(why, "`%s` has %zu bytes, at most %lld are allowed", k->key, text.size,
			      (long long)k->max);
	store(k, object, config_text_add(b, text));
	return true;
}

/* A malformed name is complained about and kept all the same, so that what refers to it is not blamed too. */
static bool set_name(struct config_build *b, const struct schema_key *k, struct bytes text, void *object,
		     char *why)
{
	struct config_echo e;
	bool has_dot = text.size && memchr(text.ptr, '.', text.size);
	bool valid = text.size >= 1 && text.size <= NAME_BYTES_MAX;

	for (size_t i = 0; i < text.size && valid; i++)
		valid = is_name_char(text.ptr[i]);
	if (text.size <= 4 * NAME_BYTES_MAX && !(text.size && memchr(text.ptr, 0, text.size)))
		store(k, object, config_text_add(b, text));
	if (!valid)
		return refuse(why, "%s is no name; write 1 to 64 of A-Z a-z 0-9 _ . -",
			      config_echo(&e, text));
	if (k->type == SCHEMA_PLAIN_NAME && has_dot)
		return refuse(why, "the name of a device has no dot, as in device.tag; write _ or - in %s",
			      config_echo(&e, text));
	return true;
}

static bool set_integer(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	struct config_echo e;
	const char *problem;
	int64_t value;

	if (units_parse_integer(text, &value, &problem) < 0)
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	if (value < k->min || value > k->max)
		return refuse(why, "`%s` is %s: it must be %lld .. %lld", k->key, config_echo(&e, text),
			      (long long)k->min, (long long)k->max);
	store(k, object, (uint64_t)value);
	return true;
}

static bool set_size(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	char low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];
	struct config_echo e;
	const char *problem;
	uint64_t size;

	if (units_parse_size(text, &size, &problem) < 0)
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	if (size < (uint64_t)k->min || size > (uint64_t)k->max)
		return refuse(why, "`%s` is %s: it must be %s .. %s", k->key, config_echo(&e, text),
			      units_print_size(low, (uint64_t)k->min),
			      units_print_size(high, (uint64_t)k->max));
	store(k, object, size);
	return true;
}

static bool set_duration(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	char low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];
	struct config_echo e;
	const char *problem;
	uint64_t ns;

	if (units_parse_duration(text, &ns, &problem) < 0)
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	if (ns < (uint64_t)k->min || ns > (uint64_t)k->max)
		return refuse(why, "`%s` is %s: it must be %s .. %s", k->key, config_echo(&e, text),
			      units_print_duration(low, (uint64_t)k->min),
			      units_print_duration(high, (uint64_t)k->max));
	if (k->type == SCHEMA_SECONDS) {
		if (ns % NS_PER_S != 0)
			return refuse(why, "`%s` is %s: write whole seconds", k->key, config_echo(&e, text));
		ns /= NS_PER_S;
	}
	store(k, object, ns);
	return true;
}

static bool set_number(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	struct config_echo e;
	const char *problem;
	double value;

	if (units_parse_number(text, &value, &problem) < 0)
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	if (k->max == 100 && (value < 0 || value > 100))
		return refuse(why, "`%s` is %s: it must be 0 .. 100", k->key, config_echo(&e, text));
	if (k->min == 0 && value < 0)
		return refuse(why, "`%s` is %s: it may not be negative", k->key, config_echo(&e, text));
	memcpy(field_of(k, object), &value, sizeof(value));
	return true;
}

static bool set_bool(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	struct config_echo e;
	bool is_true = bytes_equal(text, bytes_of_text("true"));

	if (!is_true && !bytes_equal(text, bytes_of_text("false")))
		return refuse(why, "`%s` is %s: write true or false", k->key, config_echo(&e, text));
	store(k, object, is_true);
	return true;
}

static bool set_word(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	char list[128] = "", hint[CONFIG_HINT_BYTES], otherwise[160];
	struct config_echo e;
	struct suggest s;

	suggest_begin(&s, text);
	for (const struct schema_word *w = k->words; w->text; w++) {
		if (!w->later) {
			strncat(list, *list ? ", " : "", sizeof(list) - strlen(list) - 1);
			strncat(list, w->text, sizeof(list) - strlen(list) - 1);
		}
		suggest_offer(&s, bytes_of_text(w->text));
		if (!bytes_equal(text, bytes_of_text(w->text)))
			continue;
		if (w->later && !strcmp(k->key, "access"))
			return refuse(why,
				      "`access: rw`: writing is not supported by this version; write ro");
		if (w->later)
			return refuse(why, "`%s: %s` is not supported by this version", k->key, w->text);
		store(k, object, w->value);
		return true;
	}
	snprintf(otherwise, sizeof(otherwise), "write one of %s", list);
	return refuse(why, "`%s` is %s%s", k->key, config_echo(&e, text), config_hint(hint, &s, otherwise));
}

/* Whatever is wrong, the value itself is never repeated: it may be the password. */
static bool set_secret(struct config_build *b, const struct schema_key *k, struct bytes text, void *object,
		       char *why)
{
	static const char *const prefixes[] = {"file:", "env:", "cred:"};

	for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
		size_t size = strlen(prefixes[i]);
		struct bytes name = bytes_of(text.ptr + size, text.size > size ? text.size - size : 0);

		if (text.size <= size || memcmp(text.ptr, prefixes[i], size) != 0)
			continue;
		if (i > 0 && (memchr(name.ptr, '/', name.size) || memchr(name.ptr, '=', name.size)))
			return refuse(why, "`%s`: %s is followed by a name, not by a path", k->key,
				      prefixes[i]);
		return set_text(b, k, text, object, why);
	}
	return refuse(why,
		      "`%s` must be a reference, file:PATH, env:NAME or cred:NAME, never the secret itself",
		      k->key);
}

static bool set_reference(struct config_build *b, const struct schema_key *k, struct bytes text, void *object,
			  char *why)
{
	const struct name_index *ix = &b->names[k->refers];
	uint32_t found = name_index_find(ix, b->cfg->text, 0, text);
	const char *noun = schema_section_noun(k->refers);
	char hint[CONFIG_HINT_BYTES], otherwise[96];
	struct config_echo e;
	struct suggest s;

	store(k, object, found == NAME_NONE ? CFG_NONE : found);
	if (found != NAME_NONE || b->incomplete[k->refers])
		return true;
	suggest_begin(&s, text);
	for (uint32_t i = 0;
	     i < ix->slot_count && i < 2 * CANDIDATES_MAX && b->message_count < CFG_ERRORS_MAX; i++)
		if (ix->slots[i].name)
			suggest_offer(&s, bytes_of_text(b->cfg->text + ix->slots[i].name));
	snprintf(otherwise, sizeof(otherwise), "name one of the section `%ss`", noun);
	return refuse(why, "there is no %s %s%s", noun, config_echo(&e, text),
		      config_hint(hint, &s, otherwise));
}

static bool set_address(const struct schema_key *k, struct bytes text, void *object, char *why)
{
	struct config_echo e;
	const char *problem = "write such as holding:100";
	char copy[64];

	if (text.size >= sizeof(copy) || (text.size && memchr(text.ptr, 0, text.size)))
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	memcpy(copy, text.ptr, text.size);
	copy[text.size] = 0;
	if (address_parse(copy, field_of(k, object), &problem) < 0)
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	return true;
}

static bool set_host_port(struct config_build *b, const struct schema_key *k, struct bytes text,
			  struct cfg_line *line, char *why)
{
	struct url url = {0};
	struct config_echo e;
	const char *problem;

	if (url_parse_host_port(text, 502, &url, &problem) < 0)
		return refuse(why, "`%s` is %s: %s", k->key, config_echo(&e, text), problem);
	line->host = config_text_add(b, bytes_of_text(url.host));
	line->port = url.port;
	return true;
}

static bool set_format(const struct schema_key *k, struct bytes text, struct cfg_line *line, char *why)
{
	struct config_echo e;

	/* Seven data bits are Modbus ASCII's: no RTU frame would ever arrive whole. */
	if (text.size != 3 || text.ptr[0] != '8' || !memchr("NEO", text.ptr[1], 3) ||
	    !memchr("12", text.ptr[2], 2))
		return refuse(why,
			      "`%s` is %s: write 8 data bits, parity N E O and stop bits 1 2, such as 8E1",
			      k->key, config_echo(&e, text));
	line->data_bits = (uint8_t)(text.ptr[0] - '0');
	line->parity = (char)text.ptr[1];
	line->stop_bits = (uint8_t)(text.ptr[2] - '0');
	return true;
}

bool config_field_set(struct config_build *b, const struct schema_key *k, struct bytes text, void *object,
		      char why[static CONFIG_WHY_BYTES])
{
	switch (k->type) {
	case SCHEMA_TEXT: return set_text(b, k, text, object, why);
	case SCHEMA_NAME:
	case SCHEMA_PLAIN_NAME: return set_name(b, k, text, object, why);
	case SCHEMA_BOOL: return set_bool(k, text, object, why);
	case SCHEMA_INTEGER:
	case SCHEMA_LONG: return set_integer(k, text, object, why);
	case SCHEMA_SIZE: return set_size(k, text, object, why);
	case SCHEMA_DURATION:
	case SCHEMA_SECONDS: return set_duration(k, text, object, why);
	case SCHEMA_NUMBER: return set_number(k, text, object, why);
	case SCHEMA_WORD: return set_word(k, text, object, why);
	case SCHEMA_SECRET: return set_secret(b, k, text, object, why);
	case SCHEMA_REFERENCE: return set_reference(b, k, text, object, why);
	case SCHEMA_ADDRESS: return set_address(k, text, object, why);
	case SCHEMA_HOST_PORT: return set_host_port(b, k, text, object, why);
	case SCHEMA_FORMAT: return set_format(k, text, object, why);
	case SCHEMA_URLS:
	case SCHEMA_NETWORKS:
	case SCHEMA_TAGS:
	case SCHEMA_PAIRS:
	case SCHEMA_GROUP:
	case SCHEMA_LIST:
	case SCHEMA_LATER: break;
	}
	UNREACHABLE(); /* not one scalar: core/config_read.c never asks */
}

static const struct schema_key *group_of(enum schema_section section)
{
	for (uint32_t i = 0; i < schema_key_count; i++)
		if (schema_keys[i].type == SCHEMA_GROUP && schema_keys[i].refers == section)
			return &schema_keys[i];
	return NULL;
}

/* Is the key read into objects of this section: its own, or one of its groups, or of theirs? */
static bool is_part_of(const struct schema_key *k, enum schema_section section)
{
	while (k && k->section != section)
		k = group_of(k->section);
	return k;
}

void config_defaults(struct config_build *b, enum schema_section section, void *object)
{
	char why[CONFIG_WHY_BYTES];

	for (uint32_t i = 0; i < schema_key_count; i++) {
		const struct schema_key *k = &schema_keys[i];

		if (k->default_text && is_part_of(k, section)) {
			bool valid = config_field_set(b, k, bytes_of_text(k->default_text), object, why);

			ASSERT(valid); /* a default of our own table */
		}
	}
}
