/* core/ring_check.c - the ring's counters, and the proof by inspection that a quiet ring is whole. */
#include <errno.h>

#include "core/ring_atomic.h"
#include "core/ring_layout.h"

/* The commits first: who sees a message in a segment sees what was overwritten for it (D in core/ring.c). Then what is
 * about to be overwritten, before what was: counted twice for a moment, never missed. */
uint64_t ring_resident_count(const struct ring *r)
{
	uint64_t committed = 0, gone = 0;

	for (uint32_t i = 0; i < r->limits.lane_count; i++)
		committed += atomic_load_explicit(&r->lane_counts[i].committed, memory_order_acquire);
	for (uint32_t i = 0; i < r->limits.lane_count; i++) {
		gone += atomic_load_explicit(&r->lane_counts[i].overwriting, memory_order_acquire);
		gone += atomic_load_explicit(&r->lane_counts[i].overwritten, memory_order_relaxed);
	}
	gone += atomic_load_explicit(&r->map->taken, memory_order_relaxed);
	gone += atomic_load_explicit(&r->map->discarded, memory_order_relaxed);
	gone += atomic_load_explicit(&r->map->expired, memory_order_relaxed);
	return committed > gone ? committed - gone : 0;
}

/* As ring_resident_count. */
uint64_t ring_resident_bytes(const struct ring *r)
{
	uint64_t committed = 0, gone = 0;

	for (uint32_t i = 0; i < r->limits.lane_count; i++)
		committed += atomic_load_explicit(&r->lane_counts[i].committed_bytes, memory_order_acquire);
	for (uint32_t i = 0; i < r->limits.lane_count; i++) {
		gone += atomic_load_explicit(&r->lane_counts[i].overwriting_bytes, memory_order_acquire);
		gone += atomic_load_explicit(&r->lane_counts[i].overwritten_bytes, memory_order_relaxed);
	}
	gone += atomic_load_explicit(&r->map->gone_bytes, memory_order_relaxed);
	return committed > gone ? committed - gone : 0;
}

uint64_t ring_backlog(const struct ring *r)
{
	return min_u64(ring_resident_count(r), RING_COUNT_LOAD(&r->keep_messages));
}

uint64_t ring_backlog_bytes(const struct ring *r)
{
	uint64_t keep_bytes = RING_COUNT_LOAD(&r->keep_bytes),
		 keep_messages = RING_COUNT_LOAD(&r->keep_messages);
	uint64_t bytes = ring_resident_bytes(r), count = ring_resident_count(r);

	/* Of what lies beyond the newest messages the sizes are not at hand here: of the mean. */
	if (count > keep_messages)
		bytes = (uint64_t)((unsigned __int128)bytes * keep_messages / count);
	return keep_bytes ? min_u64(bytes, keep_bytes) : bytes;
}

uint64_t ring_replay_left(const struct ring *r)
{
	uint64_t resident_count = ring_resident_count(r), live_count = 0, gone_count;

	if (!RING_COUNT_LOAD(&r->publisher.is_split))
		return 0;
	for (uint32_t i = 0; i < r->limits.lane_count; i++)
		live_count += RING_COUNT_LOAD(&r->lane_counts[i].committed);
	gone_count = RING_COUNT_LOAD(&r->publisher.live_made) + RING_COUNT_LOAD(&r->publisher.live_taken);
	live_count = live_count > gone_count ? live_count - gone_count : 0;
	return resident_count > live_count ? resident_count - live_count : 0;
}

void ring_losses_keep(struct ring *r, const struct ring_losses *losses)
{
	struct ring_map *m = r->map;

	atomic_store_explicit(&m->losses_located, losses->located_count, memory_order_relaxed);
	atomic_store_explicit(&m->losses_dropped, losses->dropped_count, memory_order_relaxed);
	for (uint32_t i = 0; i < RING_LOSS_KINDS; i++)
		atomic_store_explicit(&m->losses_untold[i], losses->untold[i], memory_order_relaxed);
}

int ring_keep(struct ring *r, uint64_t messages, uint64_t bytes, uint64_t age_ns)
{
	const struct ring_limits *l = &r->limits;

	if (messages < 1 || messages > l->message_count)
		return -EINVAL;
	if (bytes == 0 ? l->byte_count != 0
		       : bytes < l->record_bytes_max || (l->byte_count && bytes > l->byte_count))
		return -EINVAL;
	atomic_store_explicit(&r->keep_messages, messages, memory_order_relaxed);
	atomic_store_explicit(&r->keep_bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&r->keep_age_ns, age_ns, memory_order_relaxed);
	return 0;
}

struct ring_keeping ring_keeping(const struct ring *r)
{
	return (struct ring_keeping){.messages = RING_COUNT_LOAD(&r->keep_messages),
				     .bytes = RING_COUNT_LOAD(&r->keep_bytes),
				     .age_ns = RING_COUNT_LOAD(&r->keep_age_ns)};
}

const struct ring_limits *ring_limits_of(const struct ring *r)
{
	return &r->limits;
}

uint64_t ring_committed_bytes(const struct ring *r)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < r->limits.lane_count; i++)
		bytes += RING_COUNT_LOAD(&r->lane_counts[i].committed_bytes);
	return bytes;
}

uint64_t ring_lane_committed(const struct ring *r, uint32_t lane_idx)
{
	ASSERT(lane_idx < r->limits.lane_count);
	return atomic_load_explicit(&r->lane_counts[lane_idx].committed, memory_order_acquire); /* D */
}

uint32_t ring_lane_count(const struct ring *r)
{
	return r->limits.lane_count;
}

uint64_t ring_next_sequence(const struct ring *r, uint32_t lane_idx)
{
	ASSERT(lane_idx < r->limits.lane_count);
	return r->samplers[lane_idx].sequence + 1;
}

uint64_t ring_lane_expired(const struct ring *r, uint32_t lane_idx, enum ring_stream_kind kind)
{
	ASSERT(lane_idx < r->limits.lane_count);
	return r->publisher.streams[kind].queues[lane_idx].expired_count;
}

struct ring_counts ring_counts(const struct ring *r)
{
	struct ring_counts c = {0};

	for (uint32_t i = 0; i < r->limits.lane_count; i++) {
		const struct ring_lane_counts *lane = &r->lane_counts[i];
		uint64_t dropped = atomic_load_explicit(&lane->dropped, memory_order_relaxed);

		c.dropped += dropped;
		c.made += dropped + atomic_load_explicit(&lane->committed, memory_order_relaxed);
		c.overwritten += atomic_load_explicit(&lane->overwritten, memory_order_relaxed);
	}
	c.taken = atomic_load_explicit(&r->map->taken, memory_order_relaxed);
	c.overwritten += atomic_load_explicit(&r->map->discarded, memory_order_relaxed);
	c.expired = atomic_load_explicit(&r->map->expired, memory_order_relaxed);
	c.released = atomic_load_explicit(&r->map->released, memory_order_relaxed);
	return c;
}

struct ring_counts ring_counts_outside(const struct ring *r)
{
	struct ring_counts c = ring_counts(r);
	uint64_t resident_count = ring_resident_count(r);
	uint64_t keep_messages = RING_COUNT_LOAD(&r->keep_messages);

	if (resident_count > keep_messages)
		c.overwritten += resident_count - keep_messages;
	return c;
}

/* What a walk over all segments finds. */
struct census {
	uint64_t resident_count;
	uint64_t resident_bytes;
	uint64_t holds_count;
	uint32_t held_count;
	uint32_t waiting_count;
	uint32_t ready_count;
	uint32_t unclosed_count;
};

/* The records of one segment, up to its fill: they follow each other exactly, one lane, sequences by one. */
static const char *records_check(const struct ring *r, uint32_t idx, uint32_t fill, uint32_t taken,
				 uint64_t *count, uint64_t *untaken_count, uint64_t *untaken_bytes)
{
	uint32_t at = 0, lane_idx = 0;
	uint64_t sequence = 0;

	*count = *untaken_count = *untaken_bytes = 0;
	if ((uint64_t)fill * RING_UNIT_BYTES > r->shape.segment_bytes)
		return "a segment is filled beyond its end";
	while (at < fill) {
		const struct ring_record *rec = ring_record_at(r, idx, at);

		if (rec->headroom_bytes > r->limits.record_bytes_max ||
		    rec->payload_bytes > r->limits.record_bytes_max - rec->headroom_bytes)
			return "a record is larger than the largest";
		if (rec->segment_idx != idx)
			return "a record is in another's segment";
		if (rec->lane_idx >= r->limits.lane_count)
			return "a record of no lane";
		if (at > 0 && (rec->lane_idx != lane_idx || rec->sequence != sequence + 1))
			return "a segment's records do not follow each other";
		if (at == taken)
			*untaken_count = *untaken_bytes = 0;
		lane_idx = rec->lane_idx;
		sequence = rec->sequence;
		at += ring_record_units(rec->headroom_bytes, rec->payload_bytes);
		++*count;
		++*untaken_count;
		*untaken_bytes += rec->payload_bytes;
	}
	if (at != fill)
		return "a record crosses its segment's fill";
	if (taken == fill)
		*untaken_count = *untaken_bytes = 0;
	return NULL;
}

static const char *touched_check(const struct ring_touched *t, uint64_t word, uint32_t fill, struct census *c)
{
	if (t->position != ring_position(word))
		return "the publisher holds another position of a segment";
	if (t->taken > t->seen || t->seen > fill)
		return "taken, seen, filled: out of order";
	if (t->closed && ring_state(word) != RING_SEG_CLAIMED)
		return "a segment known closed is not CLAIMED";
	if (t->closed && t->seen != fill)
		return "a closed segment was filled further";
	if (t->closed && t->taken == t->seen && t->holds == 0)
		return "a segment that is through was not freed";
	c->holds_count += t->holds;
	c->held_count += t->closed;
	c->unclosed_count += !t->closed;
	c->ready_count += t->taken < t->seen;
	c->waiting_count += t->closed && t->taken == t->seen;
	return NULL;
}

static const char *segment_check(const struct ring *r, uint32_t idx, struct census *c)
{
	const struct ring_segment *seg = &r->segments[idx];
	const struct ring_touched *t = &r->publisher.touched[idx];
	uint64_t word = atomic_load_explicit(&seg->word, memory_order_acquire);
	uint64_t head = atomic_load_explicit(&r->map->head, memory_order_acquire);
	uint32_t fill = ring_fill_of(r, ring_position(word), atomic_load(&seg->committed));
	enum ring_state state = ring_state(word);
	bool held = state == RING_SEG_HELD || state == RING_SEG_CLAIMED;
	uint64_t count, untaken_count, untaken_bytes;
	const char *why;

	if (state > RING_SEG_FREE)
		return "a word without a state";
	if ((ring_position(word) & (r->shape.segment_count - 1)) != idx)
		return "a position in the wrong segment";
	if (ring_position(word) >= head)
		return "a position that was not given out";
	if (held != (t->mine != 0))
		return "a word and the publisher disagree on who has the segment";
	if (state == RING_SEG_FREE)
		return NULL;
	why = records_check(r, idx, fill, held ? t->taken : 0, &count, &untaken_count, &untaken_bytes);
	if (why)
		return why;
	if ((state == RING_SEG_READY || state == RING_SEG_CLAIMED) &&
	    count != atomic_load(&seg->record_count))
		return "a closed segment's record count is wrong";
	c->resident_count += untaken_count;
	c->resident_bytes += untaken_bytes;
	return held ? touched_check(t, word, fill, c) : NULL;
}

static const char *census_check(const struct ring *r, const struct census *c)
{
	const struct ring_publisher *p = &r->publisher;
	struct ring_counts n = ring_counts(r);

	const struct ring_stream *live = &p->streams[RING_LIVE], *old = &p->streams[RING_REPLAY];

	if (live->next > atomic_load(&r->map->head))
		return "the publisher is past head";
	if (old->next > p->split || p->split > live->next)
		return "the backlog does not end before what is live";
	if (c->held_count != p->held_count || c->waiting_count != p->waiting_count)
		return "held segments are miscounted";
	if (c->ready_count != live->ready_count + old->ready_count || c->unclosed_count != p->unclosed_count)
		return "touched segments are miscounted";
	if (c->holds_count != n.taken - n.released)
		return "taken - released is not what is held";
	if (n.made != n.taken + n.overwritten + n.expired + n.dropped + c->resident_count)
		return "made is not taken + overwritten + expired + dropped + resident";
	if (ring_resident_count(r) != c->resident_count)
		return "the backlog is not what is resident";
	if (ring_resident_bytes(r) != c->resident_bytes)
		return "the bytes of the backlog are not those that are resident";
	return NULL;
}

int ring_check(const struct ring *r, const char **why)
{
	struct census c = {0};

	*why = NULL;
	if (r->map->magic != RING_MAGIC || r->map->layout_version != RING_LAYOUT_VERSION)
		*why = "not a ring of this version";
	else if (r->map->segment_count != r->shape.segment_count ||
		 r->map->segment_bytes != r->shape.segment_bytes)
		*why = "another shape";
	for (uint32_t i = 0; i < r->shape.segment_count && !*why; i++)
		*why = segment_check(r, i, &c);
	if (!*why)
		*why = census_check(r, &c);
	return *why ? -EINVAL : 0;
}
