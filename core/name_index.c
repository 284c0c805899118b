#include "core/name_index.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"

/* FNV-1a, then the finisher of splitmix64: a name's last letters must reach the low bits. */
static uint32_t hash_name(uint32_t scope, struct bytes name)
{
	uint64_t h = hash_bytes(HASH_START ^ scope, name);

	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h ^ (h >> 31));
}

static struct name_entry *find_slot(const struct name_index *ix, const char *text, uint32_t scope,
				    struct bytes name, uint32_t hash)
{
	uint32_t i = hash;

	for (;; i++) { /* ends: half of the slots are empty */
		struct name_entry *e = &ix->slots[i & (ix->slot_count - 1)];

		if (e->name == 0)
			return e;
		if (e->hash == hash && e->scope == scope && bytes_equal(bytes_of_text(text + e->name), name))
			return e;
	}
}

static int double_slots(struct name_index *ix)
{
	uint32_t slot_count = ix->slot_count ? ix->slot_count * 2 : 16;
	struct name_entry *slots = calloc(slot_count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < ix->slot_count; i++) {
		uint32_t at = ix->slots[i].hash;

		if (ix->slots[i].name == 0)
			continue;
		while (slots[at & (slot_count - 1)].name != 0)
			at++;
		slots[at & (slot_count - 1)] = ix->slots[i];
	}
	free(ix->slots);
	ix->slots = slots;
	ix->slot_count = slot_count;
	return 0;
}

int name_index_add(struct name_index *ix, const char *text, uint32_t scope, uint32_t name, uint32_t value)
{
	struct bytes bytes = bytes_of_text(text + name);
	uint32_t hash = hash_name(scope, bytes);
	struct name_entry *e;

	ASSERT(name != 0);
	if (ix->used_count * 2 >= ix->slot_count) {
		int rc = double_slots(ix);

		if (rc < 0)
			return rc;
	}
	e = find_slot(ix, text, scope, bytes, hash);
	if (e->name != 0)
		return -EEXIST;
	*e = (struct name_entry){.name = name, .scope = scope, .value = value, .hash = hash};
	ix->used_count++;
	return 0;
}

uint32_t name_index_find(const struct name_index *ix, const char *text, uint32_t scope, struct bytes name)
{
	const struct name_entry *e;

	if (ix->slot_count == 0)
		return NAME_NONE;
	e = find_slot(ix, text, scope, name, hash_name(scope, name));
	return e->name != 0 ? e->value : NAME_NONE;
}

void name_index_free(struct name_index *ix)
{
	free(ix->slots);
	*ix = (struct name_index){0};
}
