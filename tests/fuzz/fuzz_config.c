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

static void check_pairs(const struct cfg *c, struct cfg_pairs pairs)
{
	ASSERT(pairs.count <= CFG_PAIRS_PER_OBJECT);
	ASSERT(pairs.first + pairs.count <= c->pair_count);
	for (uint32_t i = pairs.first; i < pairs.first + pairs.count; i++) {
		ASSERT(c->pairs[i].name < c->text_bytes);
		ASSERT(c->pairs[i].value < c->text_bytes);
	}
}

static void check_definition(const struct cfg *c, const struct cfg_definition *d)
{
	uint32_t forward = d->subscribe.forward.target_idx;

	ASSERT(d->target_idx < c->target_count);
	ASSERT(d->ref_first + d->ref_count <= c->ref_count);
	ASSERT(forward == CFG_NONE || forward < c->target_count);
	ASSERT(forward != d->target_idx);
	ASSERT(forward == CFG_NONE || d->mode == CFG_MODE_SUBSCRIBE);
	ASSERT(d->ref_count > 0 || forward != CFG_NONE);
	check_pairs(c, d->props.user);
	for (uint32_t i = d->ref_first; i < d->ref_first + d->ref_count; i++)
		ASSERT(d->mode != CFG_MODE_SUBSCRIBE ||
		       c->devices[c->tags[c->refs[i]].device_idx].line_idx == CFG_NONE);
}

static void check_indices(const struct cfg *c)
{
	for (uint32_t i = 0; i < c->target_count; i++) {
		ASSERT(c->targets[i].publisher_idx < c->publisher_count);
		ASSERT(c->targets[i].package_idx < c->package_count);
		check_pairs(c, c->targets[i].connect_user);
		check_pairs(c, c->targets[i].will.props.user);
		ASSERT(c->targets[i].url_count > 0);
		ASSERT(c->targets[i].url_first + c->targets[i].url_count <= c->url_count);
	}
	for (uint32_t i = 0; i < c->line_count; i++)
		ASSERT(c->lines[i].sampler_idx < c->sampler_count);
	for (uint32_t i = 0; i < c->device_count; i++) {
		ASSERT(c->devices[i].line_idx == CFG_NONE || c->devices[i].line_idx < c->line_count);
		ASSERT(c->devices[i].tag_first + c->devices[i].tag_count <= c->tag_count);
	}
	for (uint32_t i = 0; i < c->ref_count; i++)
		ASSERT(c->refs[i] < c->tag_count);
	for (uint32_t i = 0; i < c->definition_count; i++)
		check_definition(c, &c->definitions[i]);
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
