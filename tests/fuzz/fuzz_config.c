/* Any bytes as a configuration file: refused with words, or a cfg in which every index is good. */
#include <stdlib.h>

#include "core/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(const struct cfg *c)
{
	ASSERT(c->text_bytes > 0);
	ASSERT(c->text[0] == 0);
	ASSERT(c->text[c->text_bytes - 1] == 0);
	ASSERT(c->node < c->text_bytes);
	for (uint32_t i = 0; i < c->tag_count; i++)
		ASSERT(c->tags[i].name > 0 && c->tags[i].name < c->text_bytes);
	for (uint32_t i = 0; i < c->device_count; i++)
		ASSERT(c->devices[i].name > 0 && c->devices[i].name < c->text_bytes);
}

static void check_indices(const struct cfg *c)
{
	for (uint32_t i = 0; i < c->target_count; i++) {
		ASSERT(c->targets[i].publisher_idx < c->publisher_count);
		ASSERT(c->targets[i].url_count > 0);
		ASSERT(c->targets[i].url_first + c->targets[i].url_count <= c->url_count);
	}
	for (uint32_t i = 0; i < c->line_count; i++)
		ASSERT(c->lines[i].sampler_idx < c->sampler_count);
	for (uint32_t i = 0; i < c->device_count; i++) {
		ASSERT(c->devices[i].line_idx < c->line_count);
		ASSERT(c->devices[i].tag_first + c->devices[i].tag_count <= c->tag_count);
	}
	for (uint32_t i = 0; i < c->definition_count; i++) {
		ASSERT(c->definitions[i].target_idx < c->target_count);
		ASSERT(c->definitions[i].ref_first + c->definitions[i].ref_count <= c->ref_count);
		ASSERT(c->definitions[i].ref_count > 0);
	}
	for (uint32_t i = 0; i < c->ref_count; i++)
		ASSERT(c->refs[i] < c->tag_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cfg_errors errors;
	struct cfg *c;
	int rc = config_parse("fuzz.yaml", bytes_of(data, size), &c, &errors);

	ASSERT((rc == 0) == (c != NULL));
	ASSERT((rc == 0) == (errors.total == 0));
	ASSERT(errors.count <= errors.total);
	ASSERT(errors.count <= CFG_ERRORS_MAX);
	for (uint32_t i = 0; i < errors.count; i++)
		ASSERT(!strncmp(errors.lines[i], "fuzz.yaml:", 10));
	if (c) {
		check_texts(c);
		check_indices(c);
	}
	config_errors_free(&errors);
	config_free(c);
	return 0;
}
