#include "core/thin.h"

#include <errno.h>
#include <math.h>

#include "core/memory.h"

int thin_open(struct thin *t, uint32_t channel_count, uint64_t bucket_ns)
{
	ASSERT(bucket_ns > 0);
	*t = (struct thin){.slot_count = channel_count, .bucket_ns = bucket_ns};
	t->slots = memory_alloc(channel_count, sizeof(t->slots[0]));
	return t->slots ? 0 : -ENOMEM;
}

void thin_close(struct thin *t)
{
	memory_free(t->slots);
	*t = (struct thin){0};
}

/* --- lists ---------------------------------------------------------------------------------------------------------- */

static void list_add(struct thin *t, struct thin_list *list, uint32_t idx)
{
	struct thin_slot *s = &t->slots[idx];

	s->older = list->newest;
	s->newer = 0;
	if (list->newest)
		t->slots[list->newest - 1].newer = idx + 1;
	else
		list->oldest = idx + 1;
	list->newest = idx + 1;
}

static void list_remove(struct thin *t, struct thin_list *list, uint32_t idx)
{
	struct thin_slot *s = &t->slots[idx];

	if (s->older)
		t->slots[s->older - 1].newer = s->newer;
	else
		list->oldest = s->newer;
	if (s->newer)
		t->slots[s->newer - 1].older = s->older;
	else
		list->newest = s->older;
}

/* --- buckets -------------------------------------------------------------------------------------------------------- */

static void in_order_of_time(struct thin_slot *s)
{
	struct ring_record *first = s->first;

	if (!s->second || s->second->time_ns > first->time_ns ||
	    (s->second->time_ns == first->time_ns && s->second->sequence > first->sequence))
		return;
	s->first = s->second;
	s->second = first;
}

static void end(struct thin *t, uint32_t idx)
{
	struct thin_slot *s = &t->slots[idx];

	ASSERT(s->keep != CFG_THIN_NONE);
	ASSERT(!s->has_ended);
	list_remove(t, &t->open[s->lane_idx], idx);
	if (s->second == s->first)
		s->second = NULL;
	in_order_of_time(s);
	s->has_ended = true;
	t->open_count--;
	list_add(t, &t->ended, idx);
}

void thin_reached(struct thin *t, uint32_t lane_idx, uint64_t time_ns)
{
	const struct thin_list *list = &t->open[lane_idx];
	uint64_t bucket = time_ns / t->bucket_ns;

	ASSERT(lane_idx < RING_LANES_MAX);
	while (list->oldest && t->slots[list->oldest - 1].bucket < bucket)
		end(t, list->oldest - 1);
}

void thin_end(struct thin *t, uint32_t channel)
{
	ASSERT(channel < t->slot_count);
	end(t, channel);
}

void thin_end_all(struct thin *t)
{
	for (uint32_t i = 0; i < RING_LANES_MAX; i++)
		while (t->open[i].oldest)
			end(t, t->open[i].oldest - 1);
	ASSERT(t->open_count == 0);
}

/* --- records -------------------------------------------------------------------------------------------------------- */

bool thin_takes(const struct thin *t, const struct thin_item *item)
{
	const struct thin_slot *s = &t->slots[item->channel];

	ASSERT(item->channel < t->slot_count);
	if (s->keep == CFG_THIN_NONE)
		return true;
	return s->keep == item->keep && s->bucket == item->time_ns / t->bucket_ns &&
	       (s->keep != CFG_THIN_AVERAGE || isfinite(s->low + item->value));
}

static void open(struct thin *t, const struct thin_item *item)
{
	t->slots[item->channel] = (struct thin_slot){
		.bucket = item->time_ns / t->bucket_ns,
		.count = 1,
		.low = item->value,
		.high = item->value,
		.first = item->rec,
		.second = item->keep == CFG_THIN_MIN_MAX ? item->rec : NULL,
		.lane_idx = item->lane_idx,
		.keep = (uint8_t)item->keep,
	};
	t->held_count++;
	t->open_count++;
	list_add(t, &t->open[item->lane_idx], item->channel);
}

/* At most one of the three is kept no more: of equal values the older one stays. */
static struct ring_record *min_max_add(struct thin *t, struct thin_slot *s, const struct thin_item *item)
{
	struct ring_record *gone = item->rec;

	if (item->value < s->low) {
		gone = s->first == s->second ? NULL : s->first;
		s->low = item->value;
		s->first = item->rec;
	} else if (item->value > s->high) {
		gone = s->first == s->second ? NULL : s->second;
		s->high = item->value;
		s->second = item->rec;
	}
	t->held_count += gone == NULL;
	return gone;
}

struct ring_record *thin_add(struct thin *t, const struct thin_item *item)
{
	struct thin_slot *s = &t->slots[item->channel];
	struct ring_record *gone = s->first;

	ASSERT(thin_takes(t, item));
	ASSERT(item->lane_idx < RING_LANES_MAX);
	ASSERT(t->ended.oldest == 0);
	switch ((enum cfg_thin)s->keep) {
	case CFG_THIN_NONE: open(t, item); return NULL;
	case CFG_THIN_MIN_MAX: gone = min_max_add(t, s, item); break;
	case CFG_THIN_AVERAGE:
	case CFG_THIN_LAST:
		s->low += item->value; /* looked at for the average alone */
		s->first = item->rec;
		break;
	}
	s->count++;
	return gone;
}

bool thin_front(const struct thin *t, struct thin_out *out)
{
	const struct thin_slot *s;

	if (t->ended.oldest == 0)
		return false;
	s = &t->slots[t->ended.oldest - 1];
	*out = (struct thin_out){.rec = s->first,
				 .is_average = s->keep == CFG_THIN_AVERAGE && s->count > 1,
				 .average = s->low / (double)s->count};
	return true;
}

void thin_pop(struct thin *t)
{
	uint32_t idx = t->ended.oldest - 1;
	struct thin_slot *s = &t->slots[idx];

	ASSERT(t->ended.oldest > 0);
	ASSERT(t->held_count > 0);
	t->held_count--;
	s->first = s->second;
	s->second = NULL;
	if (s->first)
		return;
	list_remove(t, &t->ended, idx);
	*s = (struct thin_slot){0};
}
