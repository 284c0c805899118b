#include "core/subscription.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/memory.h"
#include "core/topic.h"

#define ID_MAX 268435455u

/* One filter of one definition, before those of the same text are brought together. */
struct wish {
	struct bytes filter;
	struct subscription_route route;
	uint32_t order; /* of the file; of the first wish with the same text, once that is known */
};

struct wishes {
	struct wish *list;
	uint32_t count;
};

static int expand(const struct cfg *c, const struct cfg_definition *def, uint32_t tag_idx, char *out)
{
	const struct cfg_tag *tag = tag_idx == CFG_NONE ? NULL : &c->tags[tag_idx];
	const struct topic_names names = {
		.node = cfg_text(c, c->node),
		.target = cfg_text(c, c->targets[def->target_idx].name),
		.definition = cfg_text(c, def->name),
		.device = tag ? cfg_text(c, c->devices[tag->device_idx].name) : NULL,
		.tag = tag ? cfg_text(c, tag->name) : NULL,
	};
	const char *why = NULL;
	int size = topic_filter_expand(cfg_text(c, def->topic), &names, out, &why);

	ASSERT(size > 0); /* config_check has expanded it before */
	return size;
}

/* Filters of one definition: one, or one a tag. */
static uint32_t filters_of(const struct cfg *c, const struct cfg_definition *def)
{
	return topic_is_per_tag(cfg_text(c, def->topic)) ? def->ref_count : 1;
}

/* text NULL: only measures. */
static uint64_t collect(const struct cfg *c, uint32_t target_idx, struct wishes *w, char *text)
{
	uint64_t text_bytes = 0;

	w->count = 0;
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];
		uint32_t filter_count = filters_of(c, def);
		bool per_tag = topic_is_per_tag(cfg_text(c, def->topic));

		if (def->mode != CFG_MODE_SUBSCRIBE || def->target_idx != target_idx)
			continue;
		for (uint32_t k = 0; k < filter_count; k++, w->count++) {
			bool single = per_tag || def->ref_count == 1;
			uint32_t tag_idx = single ? c->refs[def->ref_first + k] : CFG_NONE;
			char filter[TOPIC_BYTES_MAX];
			int size = expand(c, def, per_tag ? tag_idx : CFG_NONE, filter);

			if (text) {
				memcpy(text + text_bytes, filter, (size_t)size);
				w->list[w->count] = (struct wish){
					.filter = bytes_of(text + text_bytes, (size_t)size),
					.route = {.definition_idx = i, .tag_idx = tag_idx},
					.order = w->count,
				};
			}
			text_bytes += (uint64_t)size;
		}
	}
	return text_bytes;
}

static int compare_texts(struct bytes a, struct bytes b)
{
	int rc = memcmp(a.ptr, b.ptr, min_size(a.size, b.size));

	return rc ? rc : (a.size > b.size) - (a.size < b.size);
}

static int by_text(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;
	int rc = compare_texts(x->filter, y->filter);

	return rc ? rc : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;

	if (x->order != y->order)
		return x->order > y->order ? 1 : -1;
	return (x->route.definition_idx > y->route.definition_idx) -
	       (x->route.definition_idx < y->route.definition_idx);
}

/* Wishes of one text take the order of the first of them. */
static uint32_t unite(struct wishes *w)
{
	uint32_t distinct = 0;

	if (w->count)
		qsort(w->list, w->count, sizeof(w->list[0]), by_text);
	for (uint32_t i = 0, first = 0; i < w->count; i++) {
		if (i == 0 || !bytes_equal(w->list[i].filter, w->list[first].filter)) {
			first = i;
			distinct++;
		}
		w->list[i].order = w->list[first].order;
	}
	if (w->count)
		qsort(w->list, w->count, sizeof(w->list[0]), by_order);
	return distinct;
}

static uint32_t id_of(struct bytes filter)
{
	uint64_t hash = hash_bytes(HASH_START, filter);

	return (uint32_t)(hash % ID_MAX) + 1;
}

static void list_fill(struct subscriptions *s, const struct cfg *c, const struct wishes *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		const struct wish *wish = &w->list[i];
		const struct cfg_definition *def = &c->definitions[wish->route.definition_idx];
		struct subscription *sub = s->count ? &s->list[s->count - 1] : NULL;

		s->routes[s->route_count] = wish->route;
		if (!sub || !bytes_equal(sub->filter, wish->filter)) {
			sub = &s->list[s->count++];
			*sub = (struct subscription){
				.filter = wish->filter,
				.match = topic_filter_unshared(wish->filter),
				.no_local = def->subscribe.no_local,
				.retain_as_published = def->subscribe.retain_as_published,
				.retain_handling = def->subscribe.retain_handling,
				.id = id_of(wish->filter),
				.route_first = s->route_count,
			};
			sub->shared = sub->match.size != sub->filter.size;
			sub->wildcard = topic_wildcard_count(sub->match) > 0;
		}
		sub->route_count++;
		s->route_count++;
		if (def->qos > sub->qos)
			sub->qos = def->qos;
	}
}

static int by_rising_id(const void *a, const void *b, void *list)
{
	const struct subscription *l = list;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (l[x].id != l[y].id)
		return l[x].id > l[y].id ? 1 : -1;
	return (x > y) - (x < y);
}

static int by_match(const void *a, const void *b, void *list)
{
	const struct subscription *l = list;

	return compare_texts(l[*(const uint32_t *)a].match, l[*(const uint32_t *)b].match);
}

/* Two filters of one hash would be one subscription to us: the later takes the next free number. */
static int index_make(struct subscriptions *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		s->by_id[i] = i;
		if (s->list[i].wildcard)
			s->wild[s->wild_count++] = i;
		else
			s->exact[s->exact_count++] = i;
	}
	qsort_r(s->by_id, s->count, sizeof(s->by_id[0]), by_rising_id, s->list);
	qsort_r(s->exact, s->exact_count, sizeof(s->exact[0]), by_match, s->list);
	for (uint32_t i = 1; i < s->count; i++)
		if (s->list[s->by_id[i]].id <= s->list[s->by_id[i - 1]].id)
			s->list[s->by_id[i]].id = s->list[s->by_id[i - 1]].id + 1;
	return s->list[s->by_id[s->count - 1]].id > ID_MAX ? -EINVAL : 0;
}

int subscriptions_open(struct subscriptions *out, const struct cfg *c, uint32_t target_idx)
{
	struct wishes w = {0};
	uint32_t distinct;
	int rc = -ENOMEM;

	*out = (struct subscriptions){0};
	out->text_bytes = collect(c, target_idx, &w, NULL);
	if (w.count == 0)
		return 0;
	w.list = calloc(w.count, sizeof(w.list[0]));
	out->text = memory_alloc(out->text_bytes, 1);
	out->routes = memory_alloc(w.count, sizeof(out->routes[0]));
	if (!w.list || !out->text || !out->routes)
		goto out;
	(void)collect(c, target_idx, &w, out->text);
	distinct = unite(&w);
	out->list = memory_alloc(distinct, sizeof(out->list[0]));
	out->by_id = memory_alloc(distinct, sizeof(out->by_id[0]));
	out->exact = memory_alloc(distinct, sizeof(out->exact[0]));
	out->wild = memory_alloc(distinct, sizeof(out->wild[0]));
	if (!out->list || !out->by_id || !out->exact || !out->wild)
		goto out;
	list_fill(out, c, &w);
	ASSERT(out->count == distinct);
	rc = index_make(out);
out:
	free(w.list);
	if (rc < 0)
		subscriptions_close(out);
	return rc;
}

void subscriptions_close(struct subscriptions *s)
{
	memory_free(s->list);
	memory_free(s->routes);
	memory_free(s->by_id);
	memory_free(s->exact);
	memory_free(s->wild);
	memory_free(s->text);
	*s = (struct subscriptions){0};
}

uint32_t subscription_by_id(const struct subscriptions *s, uint32_t id)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->list[s->by_id[middle]].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->count && s->list[s->by_id[low]].id == id ? s->by_id[low] : CFG_NONE;
}

uint32_t subscription_exact(const struct subscriptions *s, struct bytes topic, uint32_t *count)
{
	uint32_t low = 0, high = s->exact_count, end;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (compare_texts(s->list[s->exact[middle]].match, topic) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < s->exact_count && bytes_equal(s->list[s->exact[end]].match, topic); end++)
		;
	*count = end - low;
	return low;
}
