/* The running part: what a sampler does with each value. Building is in core/definition_open.c. */
#include "core/definition.h"

#include <math.h>
#include <string.h>

#include "core/carried.h"
#include "core/payload.h"

static void touch(struct definition_lane *lane, uint32_t target_idx)
{
	if (lane->touched_flag[target_idx])
		return;
	lane->touched_flag[target_idx] = true;
	lane->touched[lane->touched_count++] = target_idx;
}

void definition_touched_clear(struct definition_lane *lane)
{
	while (lane->touched_count > 0)
		lane->touched_flag[lane->touched[--lane->touched_count]] = false;
}

static struct payload_item item_of(const struct definitions *d, uint32_t tag_idx)
{
	return (struct payload_item){.name = d->tags->names[tag_idx], .sample = tag_read(d->tags, tag_idx)};
}

static void encode(struct definition_lane *lane, const struct channel *ch, struct writer *w, struct wall time)
{
	const struct definitions *d = lane->all;

	/* A group as plain text has one member: the configuration admits no more. */
	if (!ch->group || ch->payload == CFG_PAYLOAD_TEXT) {
		struct payload_item item = item_of(d, d->members[ch->member_first]);

		payload_write_tag(w, ch->payload, &item, &lane->cache);
		return;
	}
	payload_group_begin(w, time, &lane->cache);
	for (uint32_t i = 0; i < ch->member_count; i++) {
		struct payload_item item = item_of(d, d->members[ch->member_first + i]);

		payload_group_add(w, i, &item, &lane->cache);
	}
	payload_group_end(w);
}

/* Was any value of the channel ever looked for? Before that there is nothing to tell. */
static bool has_news(const struct definitions *d, const struct channel *ch)
{
	for (uint32_t i = 0; i < ch->member_count; i++)
		if (tag_read(d->tags, d->members[ch->member_first + i]).quality != TAG_NEVER)
			return true;
	return false;
}

/* False: the ring had no room; it has counted that. */
static bool send_channel(struct definition_lane *lane, uint32_t channel_idx, struct wall time,
			 struct mono now)
{
	struct definitions *d = lane->all;
	const struct channel *ch = &d->channels[channel_idx];
	struct definition_port *port = &d->ports[ch->target_idx];
	uint32_t ring_lane = port->lane_of_source[lane->source_idx];
	uint8_t *payload;

	ASSERT(port->ring);
	ASSERT(ring_lane != DEFINITION_NO_LANE);
	payload = ring_reserve(port->ring, ring_lane, ch->headroom_bytes, ch->payload_bytes_max, now);
	if (!payload)
		return false;
	struct writer w = writer_of(payload, ch->payload_bytes_max);

	encode(lane, ch, &w, time);
	if (ch->sequence)
		payload_add_sequence(&w, ring_next_sequence(port->ring, ring_lane), ring_lane);
	ring_commit(port->ring, ring_lane, channel_idx, (uint32_t)(w.at - payload), now);
	touch(lane, ch->target_idx);
	counter_add(&lane->metrics->messages, 1);
	return true;
}

uint8_t *definition_forward_begin(struct definition_lane *lane, uint32_t target_idx, uint64_t headroom_bytes,
				  uint64_t payload_bytes_max, struct mono now)
{
	struct definition_port *port = &lane->all->ports[target_idx];

	ASSERT(port->lane_of_source[lane->source_idx] != DEFINITION_NO_LANE);
	if (headroom_bytes + payload_bytes_max > port->record_bytes_max)
		return NULL;
	return ring_reserve(port->ring, port->lane_of_source[lane->source_idx], (uint32_t)headroom_bytes,
			    (uint32_t)payload_bytes_max, now);
}

void definition_forward_end(struct definition_lane *lane, uint32_t target_idx, uint32_t payload_bytes,
			    struct mono now)
{
	struct definition_port *port = &lane->all->ports[target_idx];

	ring_commit(port->ring, port->lane_of_source[lane->source_idx], CHANNEL_CARRIED, payload_bytes, now);
	touch(lane, target_idx);
	counter_add(&lane->metrics->messages, 1);
}

/* --- heartbeat of single tags: a queue by the time of the last message, so the next one due is at its head --- */

static void queue_remove(struct definitions *d, struct beat *b, struct feed *f)
{
	uint32_t self = (uint32_t)(f - d->feeds) + 1;

	if (!f->older && !f->newer && b->oldest != self)
		return; /* not in it yet */
	if (f->older)
		d->feeds[f->older - 1].newer = f->newer;
	else
		b->oldest = f->newer;
	if (f->newer)
		d->feeds[f->newer - 1].older = f->older;
	else
		b->newest = f->older;
	f->older = f->newer = 0;
}

static void queue_renew(struct definition_lane *lane, struct feed *f, struct mono now)
{
	struct definitions *d = lane->all;
	uint32_t self = (uint32_t)(f - d->feeds) + 1;

	f->sent_at = now;
	if (!f->beat_idx)
		return;
	struct beat *b = &d->beats[f->beat_idx - 1];

	queue_remove(d, b, f);
	f->older = b->newest;
	if (b->newest)
		d->feeds[b->newest - 1].newer = self;
	else
		b->oldest = self;
	b->newest = self;
	timer_set(&lane->timers, &b->timer, mono_add(d->feeds[b->oldest - 1].sent_at, b->period_ns));
}

/* --- on change --- */

static bool value_same(struct value a, struct value b)
{
	if (a.kind != b.kind)
		return false;
	return a.kind == VALUE_BOOL ? a.b == b.b : a.u == b.u; /* bits: NaN equals itself */
}

static bool beyond_deadband(const struct feed *f, struct value v)
{
	double was = value_as_double(f->sent_value);
	double is = value_as_double(v);
	double limit = f->deadband == CFG_DEADBAND_PERCENT ? fabs(was) * f->deadband_size / 100
							   : f->deadband_size;

	if (!isfinite(was) || !isfinite(is))
		return !value_same(f->sent_value, v);
	return fabs(is - was) > limit;
}

static bool must_tell(const struct feed *f, const struct tag_sample *s)
{
	if (!f->sent || tag_quality_text(f->sent_quality) != tag_quality_text(s->quality))
		return true;
	if (s->quality != TAG_GOOD)
		return false;
	if (f->deadband == CFG_DEADBAND_NONE)
		return !value_same(f->sent_value, s->value);
	return beyond_deadband(f, s->value);
}

static void mark_dirty(struct definition_lane *lane, uint32_t channel_idx)
{
	if (lane->dirty_flag[channel_idx])
		return;
	lane->dirty_flag[channel_idx] = true;
	lane->dirty[lane->dirty_count++] = channel_idx;
}

static void tell_feeds(struct definition_lane *lane, uint32_t tag_idx, const struct tag_sample *s,
		       struct mono now)
{
	struct definitions *d = lane->all;

	for (uint32_t i = d->feed_first[tag_idx]; i < d->feed_first[tag_idx + 1]; i++) {
		struct feed *f = &d->feeds[i];

		if (!must_tell(f, s))
			continue;
		if (d->channels[f->channel_idx].group)
			mark_dirty(lane, f->channel_idx);
		else if (!send_channel(lane, f->channel_idx, s->time, now))
			continue; /* tried again with the next sample */
		else
			queue_renew(lane, f, now);
		f->sent = true;
		f->sent_quality = s->quality;
		if (s->quality == TAG_GOOD)
			f->sent_value = s->value;
	}
}

void definition_update(struct definition_lane *lane, uint32_t tag_idx, struct value raw, struct wall time,
		       struct mono now)
{
	struct definitions *d = lane->all;
	struct tag_sample s = {.value = tag_scaled(d->tags, tag_idx, raw),
			       .quality = TAG_GOOD,
			       .valued = true,
			       .time = time};

	tag_write(d->tags, tag_idx, s.value, time);
	counter_add(&lane->metrics->values, 1);
	tell_feeds(lane, tag_idx, &s, now);
}

void definition_update_bad(struct definition_lane *lane, uint32_t tag_idx, enum tag_quality why,
			   struct wall time, struct mono now)
{
	struct tag_sample s = {.quality = why, .time = time};

	tag_write_bad(lane->all->tags, tag_idx, why, time);
	tell_feeds(lane, tag_idx, &s, now);
}

void definition_flush(struct definition_lane *lane, struct wall time, struct mono now)
{
	struct definitions *d = lane->all;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < lane->dirty_count; i++) {
		uint32_t channel_idx = lane->dirty[i];
		uint32_t beat_idx = d->channels[channel_idx].beat_idx;

		if (!send_channel(lane, channel_idx, time, now)) {
			lane->dirty[kept++] = channel_idx; /* tried again at the next flush */
			continue;
		}
		lane->dirty_flag[channel_idx] = false;
		if (beat_idx && d->beats[beat_idx - 1].source_idx == lane->source_idx) {
			struct beat *b = &d->beats[beat_idx - 1];

			timer_set(&lane->timers, &b->timer, mono_add(now, b->period_ns));
		}
	}
	lane->dirty_count = kept;
}

/* --- cycles and heartbeats --- */

static void tick_cycle(struct definition_lane *lane, struct beat *b, struct wall time, struct mono now)
{
	struct definitions *d = lane->all;

	for (uint32_t i = 0; i < b->channel_count; i++) {
		uint32_t channel_idx = d->beat_channels[b->channel_first + i];

		if (has_news(d, &d->channels[channel_idx]))
			(void)send_channel(lane, channel_idx, time, now); /* a full ring has counted it */
	}
	b->due = mono_add(b->due, b->period_ns);
	if (mono_reached(now, b->due)) {
		uint64_t missed_count = mono_since(now, b->due) / b->period_ns + 1;

		counter_add(&lane->metrics->missed_cycles, missed_count);
		b->due = mono_add(b->due, missed_count * b->period_ns); /* the grid stays */
	}
	timer_set(&lane->timers, &b->timer, b->due);
}

static void tick_tag_heartbeat(struct definition_lane *lane, struct beat *b, struct wall time,
			       struct mono now)
{
	struct definitions *d = lane->all;

	/* Each round moves the oldest to the newest end with sent_at = now, so this ends after one turn of the queue. */
	while (b->oldest && mono_reached(now, mono_add(d->feeds[b->oldest - 1].sent_at, b->period_ns))) {
		struct feed *f = &d->feeds[b->oldest - 1];

		(void)send_channel(lane, f->channel_idx, time, now);
		queue_renew(lane, f, now);
	}
}

void definition_tick(struct definition_lane *lane, struct wall time, struct mono now)
{
	struct definitions *d = lane->all;
	struct timer *timer;

	while ((timer = timers_expire(&lane->timers, now))) {
		struct beat *b = &d->beats[timer->owner_idx];

		switch (b->kind) {
		case BEAT_CYCLE: tick_cycle(lane, b, time, now); break;
		case BEAT_TAG_HEARTBEAT: tick_tag_heartbeat(lane, b, time, now); break;
		case BEAT_GROUP_HEARTBEAT:
			if (has_news(d, &d->channels[d->beat_channels[b->channel_first]]))
				(void)send_channel(lane, d->beat_channels[b->channel_first], time, now);
			timer_set(&lane->timers, &b->timer, mono_add(now, b->period_ns));
			break;
		}
	}
}

void definition_start(struct definition_lane *lane, struct mono now)
{
	struct definitions *d = lane->all;

	for (uint32_t i = 0; i < d->beat_count; i++) {
		struct beat *b = &d->beats[i];

		if (b->source_idx != lane->source_idx || b->kind == BEAT_TAG_HEARTBEAT)
			continue; /* a tag's begins with its first message */
		b->due = mono_add(now, b->period_ns);
		timer_set(&lane->timers, &b->timer, b->due);
	}
}
