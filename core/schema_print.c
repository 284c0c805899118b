#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/config.h"
#include "core/schema.h"
#include "core/units.h"

static const char *type_text(const struct schema_key *k, char *buffer, size_t buffer_bytes)
{
	switch (k->type) {
	case SCHEMA_TEXT: return "text";
	case SCHEMA_NAME:
	case SCHEMA_PLAIN_NAME: return "name";
	case SCHEMA_BOOL: return "true | false";
	case SCHEMA_INTEGER:
	case SCHEMA_LONG:
	case SCHEMA_NUMBER: return "number";
	case SCHEMA_SIZE: return "size";
	case SCHEMA_DURATION:
	case SCHEMA_SECONDS: return "duration";
	case SCHEMA_SECRET: return "secret";
	case SCHEMA_ADDRESS: return "address";
	case SCHEMA_HOST_PORT: return "host:port";
	case SCHEMA_FORMAT: return "format";
	case SCHEMA_URLS: return "URLs";
	case SCHEMA_NETWORKS: return "networks";
	case SCHEMA_TAGS: return "tags";
	case SCHEMA_PAIRS: return "map of texts";
	case SCHEMA_GROUP: return "map";
	case SCHEMA_LIST: return "list";
	case SCHEMA_LATER: return "-";
	case SCHEMA_REFERENCE:
		snprintf(buffer, buffer_bytes, "a %s", schema_section_noun(k->refers));
		return buffer;
	case SCHEMA_WORD:
		buffer[0] = 0;
		for (const struct schema_word *w = k->words; w->text; w++) {
			size_t used = strlen(buffer);

			if (!w->later)
				snprintf(buffer + used, buffer_bytes - used, "%s%s", used ? " | " : "",
					 w->text);
		}
		return buffer;
	}
	UNREACHABLE();
}

static const char *range_text(const struct schema_key *k, char *buffer, size_t buffer_bytes)
{
	char low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];

	buffer[0] = 0;
	switch (k->type) {
	case SCHEMA_INTEGER:
	case SCHEMA_LONG:
		snprintf(buffer, buffer_bytes, "%lld .. %lld", (long long)k->min, (long long)k->max);
		break;
	case SCHEMA_SIZE:
		snprintf(buffer, buffer_bytes, "%s .. %s", units_print_size(low, (uint64_t)k->min),
			 units_print_size(high, (uint64_t)k->max));
		break;
	case SCHEMA_DURATION:
	case SCHEMA_SECONDS:
		snprintf(buffer, buffer_bytes, "%s .. %s", units_print_duration(low, (uint64_t)k->min),
			 units_print_duration(high, (uint64_t)k->max));
		break;
	case SCHEMA_TEXT:
		snprintf(buffer, buffer_bytes, "%lld .. %lld bytes", (long long)k->min, (long long)k->max);
		break;
	case SCHEMA_NUMBER:
		if (k->min == 0)
			snprintf(buffer, buffer_bytes, k->max == 100 ? "0 .. 100" : "0 or more");
		break;
	case SCHEMA_PAIRS: snprintf(buffer, buffer_bytes, "0 .. %u", CFG_PAIRS_PER_OBJECT); break;
	case SCHEMA_NAME:
	case SCHEMA_PLAIN_NAME:
	case SCHEMA_BOOL:
	case SCHEMA_WORD:
	case SCHEMA_SECRET:
	case SCHEMA_REFERENCE:
	case SCHEMA_ADDRESS:
	case SCHEMA_HOST_PORT:
	case SCHEMA_FORMAT:
	case SCHEMA_URLS:
	case SCHEMA_NETWORKS:
	case SCHEMA_TAGS:
	case SCHEMA_GROUP:
	case SCHEMA_LIST:
	case SCHEMA_LATER: break;
	}
	return buffer;
}

static int print_key(int fd, const struct schema_key *k)
{
	const char *section = schema_section_path(k->section);
	const char *fallback = k->need == SCHEMA_REQUIRED ? "required"
			       : k->default_text          ? k->default_text
							  : "";
	char path[80], type[80], range[80];

	snprintf(path, sizeof(path), "%s%s%s", section, *section ? "." : "", k->key);
	if (k->type == SCHEMA_LATER)
		return dprintf(fd, "%-36s not supported by this version\n", path);
	return dprintf(fd, "%-36s %-24s %-22s %-10s %s\n", path, type_text(k, type, sizeof(type)),
		       range_text(k, range, sizeof(range)), fallback, k->doc);
}

int config_print_schema(int fd)
{
	if (dprintf(fd, "%-36s %-24s %-22s %-10s %s\n", "KEY", "TYPE", "RANGE", "DEFAULT", "WHAT") < 0)
		return -EIO;
	for (uint32_t i = 0; i < schema_key_count; i++)
		if (print_key(fd, &schema_keys[i]) < 0)
			return -EIO;
	return 0;
}
