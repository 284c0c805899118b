/* core/ring.c - the algorithm of the ring: segments that change hands by one word that only rises. Here the samplers' side;
 * the publisher's is in core/ring_take.c.
 *
 * A position is a turn: head gives positions out, position p lives in segment p mod K, and the segment's word says
 * which position it is at and in which state. Samplers fill whole segments and publish each message by one store of
 * committed; the publisher makes a segment its own by one CAS (a "touch") and then takes records with plain reads.
 * A sampler never opens what the publisher has touched: it leaves a hole and goes on to the next segment.
 *
 * Atomics, and cache lines that change cores:
 *   sampler, a message    one load of head (unchanged but once a segment), one release store of committed, two stores
 *                         to counters of its own
 *   sampler, a segment    two CAS to open it (word, head), one to close it
 *   publisher, a message  none: plain reads of the record; ring_release none but its counter
 *   publisher, a segment  one CAS to touch it, one store to free it
 *   publisher, a call     one load of head, two loads a segment that is still open, three a lane
 *
 * Letters name the orders: a release and the acquires that rely on it share one.
 *   A  word: who sees a state sees what was done before it (records, record_count, reads that have ended)
 *   B  committed: who sees a fill sees the records before it
 *   C  head: who sees a position given out sees that the segment's word has reached it, or was not to be had
 *   D  counters of a lane: who counts a message sees what was overwritten for it
 */
#include "core/ring_atomic.h"

#include "core/probe.h"
#include "core/ring_layout.h"

/* Opens the next segment for this lane. -1: all are held or open. Each turn of the loop moves head, or finds that
 * somebody else has moved a word or head: no sampler waits for another. */
static int segment_open(struct ring *r, struct ring_sampler *s, struct ring_lane_counts *counts)
{
	for (uint32_t skipped_count = 0; skipped_count < 2 * r->shape.segment_count;) {
		struct ring_segment *seg;
		uint64_t pos, word, lost_count, lost_bytes;

		RING_FORGETS(skipped_count);
		pos = RING_LOAD(&r->map->head, acquire); /* C */
		seg = &r->segments[ring_segment_idx_of(r, pos)];
		word = RING_LOAD(&seg->word, acquire); /* A */
		if (ring_position(word) > pos)         /* our head is old */
			continue;
		if (ring_position(word) == pos) { /* taken, and head not moved yet: help */
			(void)RING_CAS(&r->map->head, pos, pos + 1, release); /* C */
			continue;
		}
		/* Not to be had: leave a hole. */
		if (ring_state(word) != RING_SEG_READY && ring_state(word) != RING_SEG_FREE) {
			skipped_count += RING_CAS(&r->map->head, pos, pos + 1, release); /* C */
			continue;
		}
		/* Announced before it is done: the publisher must never believe that more is left than is. */
		lost_count = ring_state(word) == RING_SEG_READY ? RING_COUNT_LOAD(&seg->record_count) : 0;
		lost_bytes = ring_state(word) == RING_SEG_READY ? RING_COUNT_LOAD(&seg->byte_count) : 0;
		atomic_store_explicit(&counts->overwriting, lost_count, memory_order_relaxed);
		atomic_store_explicit(&counts->overwriting_bytes, lost_bytes, memory_order_relaxed);
		if (!RING_CAS(&seg->word, word, ring_word(pos, RING_SEG_OPEN), acq_rel)) { /* A */
			atomic_store_explicit(&counts->overwriting, 0, memory_order_relaxed);
			atomic_store_explicit(&counts->overwriting_bytes, 0, memory_order_relaxed);
			continue;
		}
		/* READY means never touched, so all of it is lost. */
		atomic_store_explicit(&counts->overwritten,
				      RING_COUNT_LOAD(&counts->overwritten) + lost_count,
				      memory_order_release); /* D, as the zero after it */
		atomic_store_explicit(&counts->overwriting, 0, memory_order_release);
		atomic_store_explicit(&counts->overwritten_bytes,
				      RING_COUNT_LOAD(&counts->overwritten_bytes) + lost_bytes,
				      memory_order_release); /* D, as the zero after it */
		atomic_store_explicit(&counts->overwriting_bytes, 0, memory_order_release);
		/* committed still speaks of an earlier lap, which reads as nothing: it needs no reset, and could not
		 * have one, before the CAS (the segment is another's) or after it (the publisher may be in it). */
		(void)RING_CAS(&r->map->head, pos, pos + 1, release); /* C */
		s->segment_idx = ring_segment_idx_of(r, pos);
		s->position = pos;
		s->fill = s->record_count = 0;
		s->byte_count = 0;
		return 0;
	}
	return -1;
}

/* Gives the segment up: to the ring, or to the publisher if that has touched it (it stays the publisher's then). */
static void segment_close(struct ring *r, struct ring_sampler *s)
{
	struct ring_segment *seg = &r->segments[s->segment_idx];

	atomic_store_explicit(&seg->record_count, s->record_count, memory_order_relaxed);
	atomic_store_explicit(&seg->byte_count, s->byte_count, memory_order_relaxed);
	if (!RING_CAS(&seg->word, ring_word(s->position, RING_SEG_OPEN),
		      ring_word(s->position, RING_SEG_READY), release)) /* A */
		RING_STORE(&seg->word, ring_word(s->position, RING_SEG_CLAIMED),
			   release); /* A; only HELD can be there */
	s->segment_idx = RING_NO_SEGMENT;
}

/* Full for a record of so many units, or so old that fresh messages would be in the ring's oldest part. */
static bool segment_is_over(struct ring *r, const struct ring_sampler *s, uint32_t units)
{
	if ((uint64_t)(s->fill + units) * RING_UNIT_BYTES > r->shape.segment_bytes)
		return true;
	if (s->position < RING_HINT(&r->map->close_before))
		return true;
	return RING_LOAD(&r->map->head, relaxed) - s->position > r->shape.lap_limit;
}

uint8_t *ring_reserve(struct ring *r, uint32_t lane_idx, uint32_t headroom_bytes, uint32_t payload_bytes_max,
		      struct mono now UNUSED)
{
	struct ring_sampler *s = &r->samplers[lane_idx];
	uint32_t units = ring_record_units(headroom_bytes, payload_bytes_max);

	PROBE3(ring__reserve, r, lane_idx, payload_bytes_max);
	ASSERT(lane_idx < r->limits.lane_count);
	ASSERT(headroom_bytes <= r->limits.record_bytes_max);
	ASSERT(payload_bytes_max <= r->limits.record_bytes_max - headroom_bytes);
	s->reserved = 0;
	if (s->segment_idx != RING_NO_SEGMENT && segment_is_over(r, s, units))
		segment_close(r, s);
	if (s->segment_idx == RING_NO_SEGMENT && segment_open(r, s, &r->lane_counts[lane_idx]) < 0) {
		RING_COUNT_ADD(&r->lane_counts[lane_idx].dropped, 1);
		PROBE3(ring__drop, r, lane_idx, payload_bytes_max);
		return NULL;
	}
	s->reserved = 1;
	s->reserved_headroom_bytes = headroom_bytes;
	s->reserved_payload_bytes = payload_bytes_max;
	return (uint8_t *)(ring_record_at(r, s->segment_idx, s->fill) + 1) + headroom_bytes;
}

void ring_commit(struct ring *r, uint32_t lane_idx, uint32_t channel_idx, uint32_t payload_bytes,
		 struct mono now)
{
	struct ring_sampler *s = &r->samplers[lane_idx];
	struct ring_lane_counts *counts = &r->lane_counts[lane_idx];
	struct ring_segment *seg = &r->segments[s->segment_idx];

	ASSERT(s->reserved);
	ASSERT(payload_bytes <= s->reserved_payload_bytes);
	*ring_record_at(r, s->segment_idx, s->fill) = (struct ring_record){
		.payload_bytes = payload_bytes,
		.headroom_bytes = s->reserved_headroom_bytes,
		.channel_idx = channel_idx,
		.time_ns = now.ns,
		.sequence = ++s->sequence,
		.lane_idx = lane_idx,
		.segment_idx = s->segment_idx,
	};
	PROBE5(ring__commit, r, lane_idx, s->sequence, payload_bytes, channel_idx);
	if (r->in_file) {
		struct ring_record *rec = ring_record_at(r, s->segment_idx, s->fill);

		rec->crc32c = ring_record_crc_of(rec, ring_payload(rec));
	}
	s->fill += ring_record_units(s->reserved_headroom_bytes, payload_bytes);
	s->record_count++;
	s->byte_count += payload_bytes;
	s->committed_bytes += payload_bytes;
	s->reserved = 0;
	RING_STORE(&seg->committed, ring_committed_word(r, s->position, s->fill), release); /* B */
	/* After the message itself: the publisher never believes in one it cannot find. */
	atomic_store_explicit(&counts->committed, s->sequence, memory_order_release);              /* D */
	atomic_store_explicit(&counts->committed_bytes, s->committed_bytes, memory_order_release); /* D */
}
