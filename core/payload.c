#include "core/payload.h"

#include <math.h>

#include "core/number_text.h"

#define WRITE_LITERAL(w, text) write_bytes(w, text, sizeof(text) - 1)

/* Where so many bytes may be written; by contract the room is there. The caller moves w->at. */
static char *room_for(struct writer *w, size_t size_bytes)
{
	ASSERT(writer_left(w) >= size_bytes);
	return (char *)w->at;
}

static void write_value(struct writer *w, const struct tag_sample *s, struct bytes absent)
{
	char *text = room_for(w, NUMBER_TEXT_BYTES);
	size_t size = 0;

	if (!s->valued) {
		write_bytes(w, absent.ptr, absent.size);
		return;
	}
	switch (s->value.kind) {
	case VALUE_BOOL: write_text(w, s->value.b ? "true" : "false"); return;
	case VALUE_INT: size = number_text_i64(s->value.i, text); break;
	case VALUE_UINT: size = number_text_u64(s->value.u, text); break;
	case VALUE_FLOAT32:
	case VALUE_FLOAT64:
		if (!isfinite(s->value.f)) {
			write_bytes(w, absent.ptr, absent.size);
			return;
		}
		size = s->value.kind == VALUE_FLOAT32 ? number_text_f32(s->value.f, text)
						      : number_text_f64(s->value.f, text);
		break;
	}
	w->at += size;
}

static void write_time(struct writer *w, struct wall t, struct time_cache *cache)
{
	time_text_cached(cache, t, room_for(w, TIME_TEXT_SIZE));
	w->at += TIME_TEXT_SIZE;
}

/* "value":1.5,"quality":"good","ts":"..."} */
static void write_json_sample(struct writer *w, const struct tag_sample *s, struct time_cache *cache)
{
	WRITE_LITERAL(w, "\"value\":");
	write_value(w, s, bytes_of("null", 4));
	if (s->quality == TAG_GOOD) /* runs of a constant length are copied without a call */
		WRITE_LITERAL(w, ",\"quality\":\"good\",\"ts\":\"");
	else
		WRITE_LITERAL(w, ",\"quality\":\"bad\",\"ts\":\"");
	write_time(w, s->time, cache);
	WRITE_LITERAL(w, "\"}");
}

void payload_write_tag(struct writer *w, enum cfg_payload format, const struct payload_item *item,
		       struct time_cache *cache)
{
	switch (format) {
	case CFG_PAYLOAD_JSON:
		WRITE_LITERAL(w, "{\"tag\":\"");
		write_bytes(w, item->name.ptr, item->name.size);
		WRITE_LITERAL(w, "\",");
		write_json_sample(w, &item->sample, cache);
		break;
	case CFG_PAYLOAD_TEXT: write_value(w, &item->sample, bytes_of("", 0)); break;
	}
	ASSERT(!w->failed);
}

void payload_group_begin(struct writer *w, struct wall now, struct time_cache *cache)
{
	WRITE_LITERAL(w, "{\"ts\":\"");
	write_time(w, now, cache);
	WRITE_LITERAL(w, "\",\"values\":{");
}

void payload_group_add(struct writer *w, uint32_t item_idx, const struct payload_item *item,
		       struct time_cache *cache)
{
	if (item_idx)
		WRITE_LITERAL(w, ",");
	WRITE_LITERAL(w, "\"");
	write_bytes(w, item->name.ptr, item->name.size);
	WRITE_LITERAL(w, "\":{");
	write_json_sample(w, &item->sample, cache);
}

void payload_group_end(struct writer *w)
{
	WRITE_LITERAL(w, "}}");
	ASSERT(!w->failed);
}

void payload_add_sequence(struct writer *w, uint64_t sequence, uint32_t lane_idx)
{
	ASSERT(w->at[-1] == '}');
	w->at--;
	WRITE_LITERAL(w, ",\"seq\":");
	w->at += number_text_u64(sequence, room_for(w, NUMBER_TEXT_BYTES));
	WRITE_LITERAL(w, ",\"source\":");
	w->at += number_text_u64(lane_idx, room_for(w, NUMBER_TEXT_BYTES));
	WRITE_LITERAL(w, "}");
	ASSERT(!w->failed);
}
