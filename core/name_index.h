/* core/name_index.h - which number a name has: the names of one section while a configuration is read.
 *
 * Purpose:  an open-addressing table from (scope, name) to a number. The scope keeps apart what may
 *           repeat: the tags of two devices, the definitions of two targets.
 * Owner:    the caller's struct; zero is empty, name_index_free ends it. Names are offsets into the
 *           caller's text.
 * Threads:  none shared.
 * Errors:   -ENOMEM; -EEXIST for a name that is there.
 */
#ifndef CORE_NAME_INDEX_H
#define CORE_NAME_INDEX_H

#include "core/bytes.h"

#define NAME_NONE UINT32_MAX

struct name_entry {
	uint32_t name; /* offset into the text; 0: an empty slot, as no name is empty */
	uint32_t scope;
	uint32_t value;
	uint32_t hash;
};

struct name_index {
	struct name_entry *slots;
	uint32_t slot_count; /* a power of two, at most half full */
	uint32_t used_count;
};

NODISCARD int name_index_add(struct name_index *ix, const char *text, uint32_t scope, uint32_t name,
			     uint32_t value);

/* The number, or NAME_NONE. */
NODISCARD uint32_t name_index_find(const struct name_index *ix, const char *text, uint32_t scope,
				   struct bytes name);
void name_index_free(struct name_index *ix);

#endif
