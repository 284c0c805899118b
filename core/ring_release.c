/* core/ring_release.c - the publisher's side of the ring: letting records go, and the segments that had them.
 *
 * The letters at the atomics, and what each side costs, are in core/ring.c.
 */
#include "core/ring_atomic.h"

#include "core/probe.h"
#include "core/ring_layout.h"

/* The publisher is through with a closed segment. It frees it at the last position of this segment that the walk has
 * passed: at the segment's own, a sampler that still holds an old head could open a position the walk is past. */
void ring_segment_free(struct ring *r, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[idx];
	uint64_t last = p->streams[RING_LIVE].next - 1;
	uint64_t passed = last - ring_segment_idx_of(r, last - idx);

	ASSERT(passed >= t->position);
	ASSERT(p->held_count > 0);
	p->held_count--;
	t->mine = 0;
	RING_STORE(&r->segments[idx].word, ring_word(passed, RING_SEG_FREE),
		   release); /* A: our reads have ended */
}

void ring_release(struct ring *r, struct ring_record *rec)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[rec->segment_idx];

	ASSERT(rec->segment_idx < r->shape.segment_count);
	ASSERT(t->mine);
	ASSERT(t->holds > 0);
	PROBE4(ring__release, r, rec->lane_idx, rec->sequence, rec);
	if (r->in_file)
		rec->flags |= RING_RECORD_DONE; /* before the segment may be freed */
	RING_COUNT_ADD(&r->map->released, 1);
	t->holds--;
	/* Not closed, or closed since the last round: the next round finds it. */
	if (t->holds == 0 && t->closed && t->taken == t->seen) {
		ASSERT(p->waiting_count > 0);
		p->waiting_count--;
		ring_segment_free(r, rec->segment_idx);
	}
}

void ring_give_up(struct ring *r, struct ring_record *rec)
{
	RING_COUNT_ADD(&r->map->discarded, 1); /* first: an observer may count it twice, never not at all */
	RING_COUNT_ADD(&r->map->taken, UINT64_MAX);
	RING_COUNT_ADD(&r->map->released, UINT64_MAX);
	ring_release(r, rec);
}

void ring_done(struct ring *r, struct ring_record *rec)
{
	if (r->in_file)
		rec->flags |= RING_RECORD_DONE;
}

void ring_expire(struct ring *r, struct ring_record *rec)
{
	RING_COUNT_ADD(&r->map->expired, 1); /* first, as in ring_give_up */
	RING_COUNT_ADD(&r->map->taken, UINT64_MAX);
	RING_COUNT_ADD(&r->map->released, UINT64_MAX);
	ring_release(r, rec);
}
