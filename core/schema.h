/* core/schema.h - the one table of keys: what may stand in a configuration file.
 *
 * Purpose:  parser, defaults, ranges, suggestions and documentation all come from schema_keys. A key that
 *           the design has and this version has not is in the table too (SCHEMA_LATER), so that it is
 *           refused by its name.
 * Threads:  constant data.
 * Units:    min and max are nanoseconds, bytes, characters or plain numbers, by the key's type.
 */
#ifndef CORE_SCHEMA_H
#define CORE_SCHEMA_H

#include "core/base.h"
#include "core/bytes.h"

/* A map of keys. Several sections may write into the same object: `will` is part of its target. */
enum schema_section {
	SCHEMA_ROOT,
	SCHEMA_SAMPLER,
	SCHEMA_PUBLISHER,
	SCHEMA_PACKAGE,
	SCHEMA_TARGET,
	SCHEMA_TARGET_RECONNECT,
	SCHEMA_BUFFER,
	SCHEMA_REPLAY,
	SCHEMA_THIN,
	SCHEMA_WILL,
	SCHEMA_LINE,
	SCHEMA_MODBUS_TCP,
	SCHEMA_MODBUS_RTU,
	SCHEMA_SYNTHETIC,
	SCHEMA_LINE_RECONNECT,
	SCHEMA_DEVICE,
	SCHEMA_TAG,
	SCHEMA_TAG_DEADBAND,
	SCHEMA_DEFINITION,
	SCHEMA_DEFINITION_DEADBAND,
	SCHEMA_FORWARD,
	SCHEMA_TRACE,
	SCHEMA_TARGET_TRACE,
	SCHEMA_LINE_TRACE,
};
#define SCHEMA_SECTION_COUNT 24

enum schema_type {
	SCHEMA_TEXT,       /* uint32_t, an offset into the texts; min .. max bytes */
	SCHEMA_NAME,       /* the same, [A-Za-z0-9_.-]{1,64} */
	SCHEMA_PLAIN_NAME, /* the same without dots */
	SCHEMA_BOOL,
	SCHEMA_INTEGER,   /* 1, 2 or 4 bytes wide; min .. max */
	SCHEMA_LONG,      /* uint64_t */
	SCHEMA_SIZE,      /* uint32_t or uint64_t, bytes */
	SCHEMA_DURATION,  /* uint64_t, nanoseconds */
	SCHEMA_SECONDS,   /* uint32_t, whole seconds; min and max in nanoseconds */
	SCHEMA_NUMBER,    /* double */
	SCHEMA_WORD,      /* one of words; 1 or 4 bytes wide */
	SCHEMA_SECRET,    /* uint32_t, the text of a reference */
	SCHEMA_REFERENCE, /* uint32_t, the index of a name in section `refers` */
	SCHEMA_ADDRESS,   /* struct address */
	SCHEMA_HOST_PORT, /* the host and port of a line */
	SCHEMA_FORMAT,    /* the data bits, parity and stop bits of a line */
	SCHEMA_URLS,      /* one URL or a list */
	SCHEMA_NETWORKS,  /* one network or a list */
	SCHEMA_TAGS,      /* one name or pattern, or a list */
	SCHEMA_PAIRS,     /* struct cfg_pairs: a map of texts, in the order of the file */
	SCHEMA_GROUP,     /* a map, section `refers`, of the same object */
	SCHEMA_LIST,      /* a list of maps, section `refers` */
	SCHEMA_LATER,     /* not supported by this version */
};

enum schema_need { SCHEMA_OPTIONAL, SCHEMA_REQUIRED };

/* One word of an enumeration; later: known, and not supported by this version. */
struct schema_word {
	const char *text; /* NULL ends the list */
	uint32_t value;
	bool later;
};

struct schema_key {
	enum schema_section section;
	const char *key;
	enum schema_type type;
	enum schema_need need;
	enum schema_section refers;
	uint8_t width;   /* of the field, bytes */
	uint16_t offset; /* of the field in its object */
	int64_t min, max;
	const struct schema_word *words;
	const char *default_text; /* as it would stand in the file; NULL: none */
	const char *doc;
};

extern const struct schema_key schema_keys[];
extern const uint32_t schema_key_count;

/* What a section is called in a message: "target", "device". */
const char *schema_section_noun(enum schema_section section);

/* How a section's keys are reached: "targets[].will". */
const char *schema_section_path(enum schema_section section);

/* The key of that name, or NULL. */
NODISCARD const struct schema_key *schema_find(enum schema_section section, struct bytes key);

#endif
