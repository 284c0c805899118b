/* The end of building: the arrays have grown by doubling; what stays is as large as it need be, in one piece. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_build.h"
#include "core/memory.h"

struct array {
	size_t at, count_at; /* in struct cfg: the pointer, and a uint32_t */
	size_t item_bytes;
};

#define ARRAY_OF(name, count) \
	{ \
		offsetof(struct cfg, name), offsetof(struct cfg, count), sizeof(((struct cfg *)0)->name[0]) \
	}

static const struct array arrays[] = {
	ARRAY_OF(samplers, sampler_count), ARRAY_OF(publishers, publisher_count),
	ARRAY_OF(targets, target_count),   ARRAY_OF(urls, url_count),
	ARRAY_OF(lines, line_count),       ARRAY_OF(devices, device_count),
	ARRAY_OF(tags, tag_count),         ARRAY_OF(definitions, definition_count),
	ARRAY_OF(packages, package_count), ARRAY_OF(pairs, pair_count),
	ARRAY_OF(refs, ref_count),         ARRAY_OF(text, text_bytes),
};

/* Copied, since the pointers are of many types. */
static void *array_get(const struct cfg *c, const struct array *a)
{
	void *items;

	memcpy(&items, (const char *)c + a->at, sizeof(items));
	return items;
}

static void array_set(struct cfg *c, const struct array *a, void *items)
{
	memcpy((char *)c + a->at, &items, sizeof(items));
}

static uint64_t array_bytes(const struct cfg *c, const struct array *a)
{
	uint32_t count;

	memcpy(&count, (const char *)c + a->count_at, sizeof(count));
	return (uint64_t)count * a->item_bytes;
}

static uint64_t room_of(const struct cfg *c, const struct array *a)
{
	return align_up(array_bytes(c, a), alignof(max_align_t));
}

int config_pack(struct cfg *c)
{
	uint64_t bytes = 1; /* one that holds nothing is a block, too */
	uint8_t *at;

	for (uint32_t i = 0; i < ARRAY_COUNT(arrays); i++)
		bytes += room_of(c, &arrays[i]);
	c->block = memory_map(bytes);
	if (!c->block)
		return -ENOMEM;
	c->block_bytes = bytes;
	at = c->block;
	for (uint32_t i = 0; i < ARRAY_COUNT(arrays); i++) {
		void *items = array_get(c, &arrays[i]);

		if (items && array_bytes(c, &arrays[i]))
			memcpy(at, items, array_bytes(c, &arrays[i]));
		free(items);
		array_set(c, &arrays[i], at);
		at += room_of(c, &arrays[i]);
	}
	return 0;
}

uint64_t config_memory_bytes(const struct cfg *c)
{
	return align_up(c->block_bytes, MEMORY_PAGE_BYTES);
}

void config_free(struct cfg *c)
{
	if (!c)
		return;
	if (c->block)
		memory_unmap(c->block, c->block_bytes);
	for (uint32_t i = 0; !c->block && i < ARRAY_COUNT(arrays); i++)
		free(array_get(c, &arrays[i]));
	free(c);
}
