/* core/ring.c - the algorithm of the ring: segments that change hands by one word that only rises.
 *
 * A position is a turn: head gives positions out, position p lives in segment p mod K, and the segment's word says
 * which position it is at and in which state. Samplers fill whole segments and publish each message by one store of
 * committed; the publisher makes a segment its own by one CAS (a "touch") and then takes records with plain reads.
 * A sampler never opens what the publisher has touched: it leaves a hole and goes on to the next segment.
 *
 * Atomics, and cache lines that change cores:
 *   sampler, a message    one load of head (unchanged but once a segment), one release store of committed, one store
 *                         of a counter of its own
 *   sampler, a segment    two CAS to open it (word, head), one to close it
 *   publisher, a message  none: plain reads of the record; ring_release none but its counter
 *   publisher, a segment  one CAS to touch it, one store to free it
 *   publisher, a call     one load of head, two loads a segment that is still open, three a lane
 *
 * Letters name the orders: a release and the acquires that rely on it share one.
 *   A  word: who sees a state sees what was done before it (records, record_count, reads that have ended)
 *   B  committed: who sees a fill sees the records before it
 *   C  head: who sees a position given out sees that the segment's word has reached it, or was not to be had
 */
#include "core/ring_atomic.h"

#include "core/ring_layout.h"

/* What one ring_take discards at most, so that a step stays bounded after a long outage. */
#define DISCARDS_A_CALL 65536u

/* ------------------------------------------------------------------------------------------------- samplers */

static uint32_t segment_idx_of(const struct ring *r, uint64_t position)
{
	return (uint32_t)position & (r->shape.segment_count - 1);
}

/* Opens the next segment for this lane. -1: all are held or open. Each turn of the loop moves head, or finds that
 * somebody else has moved a word or head: no sampler waits for another. */
static int segment_open(struct ring *r, struct ring_sampler *s, struct ring_lane_counts *counts)
{
	for (uint32_t skipped_count = 0; skipped_count < 2 * r->shape.segment_count;) {
		struct ring_segment *seg;
		uint64_t pos, word, lost_count;

		RING_FORGETS(skipped_count);
		pos = RING_LOAD(&r->map->head, acquire); /* C */
		seg = &r->segments[segment_idx_of(r, pos)];
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
		atomic_store_explicit(&counts->overwriting, lost_count, memory_order_relaxed);
		if (!RING_CAS(&seg->word, word, ring_word(pos, RING_SEG_OPEN), acq_rel)) { /* A */
			atomic_store_explicit(&counts->overwriting, 0, memory_order_relaxed);
			continue;
		}
		/* READY means never touched, so all of it is lost. */
		atomic_store_explicit(&counts->overwritten,
				      RING_COUNT_LOAD(&counts->overwritten) + lost_count,
				      memory_order_release); /* D, as the zero after it */
		atomic_store_explicit(&counts->overwriting, 0, memory_order_release);
		/* committed still speaks of an earlier lap, which reads as nothing: it needs no reset, and could not
		 * have one, before the CAS (the segment is another's) or after it (the publisher may be in it). */
		(void)RING_CAS(&r->map->head, pos, pos + 1, release); /* C */
		s->segment_idx = segment_idx_of(r, pos);
		s->position = pos;
		s->fill = s->record_count = 0;
		return 0;
	}
	return -1;
}

/* Gives the segment up: to the ring, or to the publisher if that has touched it (it stays the publisher's then). */
static void segment_close(struct ring *r, struct ring_sampler *s)
{
	struct ring_segment *seg = &r->segments[s->segment_idx];

	atomic_store_explicit(&seg->record_count, s->record_count, memory_order_relaxed);
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
	return RING_LOAD(&r->map->head, relaxed) - s->position > r->shape.lap_limit;
}

uint8_t *ring_reserve(struct ring *r, uint32_t lane_idx, uint32_t headroom_bytes, uint32_t payload_bytes_max,
		      struct mono now UNUSED)
{
	struct ring_sampler *s = &r->samplers[lane_idx];
	uint32_t units = ring_record_units(headroom_bytes, payload_bytes_max);

	ASSERT(lane_idx < r->limits.lane_count);
	ASSERT(headroom_bytes <= r->limits.record_bytes_max);
	ASSERT(payload_bytes_max <= r->limits.record_bytes_max - headroom_bytes);
	s->reserved = 0;
	if (s->segment_idx != RING_NO_SEGMENT && segment_is_over(r, s, units))
		segment_close(r, s);
	if (s->segment_idx == RING_NO_SEGMENT && segment_open(r, s, &r->lane_counts[lane_idx]) < 0) {
		RING_COUNT_ADD(&r->lane_counts[lane_idx].dropped, 1);
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
	if (r->in_file) {
		struct ring_record *rec = ring_record_at(r, s->segment_idx, s->fill);

		rec->crc32c = ring_record_crc_of(rec, ring_payload(rec));
	}
	s->fill += ring_record_units(s->reserved_headroom_bytes, payload_bytes);
	s->record_count++;
	s->reserved = 0;
	RING_STORE(&seg->committed, ring_committed_word(r, s->position, s->fill), release); /* B */
	/* After the message itself: the publisher never believes in one it cannot find. */
	atomic_store_explicit(&counts->committed, s->sequence, memory_order_release); /* D */
}

/* ------------------------------------------------------------------------------------------------ publisher */

/* The publisher is through with a closed segment. It frees it at the last position of this segment that the walk has
 * passed: at the segment's own, a sampler that still holds an old head could open a position the walk is past. */
static void segment_free(struct ring *r, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[idx];
	uint64_t last = p->next - 1;
	uint64_t passed = last - segment_idx_of(r, last - idx);

	ASSERT(passed >= t->position);
	ASSERT(p->held_count > 0);
	p->held_count--;
	t->mine = 0;
	RING_STORE(&r->segments[idx].word, ring_word(passed, RING_SEG_FREE),
		   release); /* A: our reads have ended */
}

/* The segment is the publisher's from now on. */
static void segment_touched(struct ring *r, uint32_t idx, uint64_t position, enum ring_state was)
{
	struct ring_publisher *p = &r->publisher;

	ASSERT(!p->touched[idx].mine);
	p->touched[idx] = (struct ring_touched){
		.position = position,
		.lane_idx = RING_NO_LANE,
		.next_idx = RING_NO_SEGMENT,
		.mine = 1,
		.closed = was == RING_SEG_READY,
	};
	p->held_count += was == RING_SEG_READY;
	p->unclosed[p->unclosed_count++] = idx;
}

/* Touches, from next towards head, as many segments as the publisher needs to see the oldest message of each lane,
 * and closes the holes on the way. A touched segment cannot be overwritten: so it touches no more than that, or an
 * outage would cost the newest instead of the oldest. */
static void walk(struct ring *r, uint64_t head)
{
	struct ring_publisher *p = &r->publisher;
	uint32_t seen_count = p->ready_count;

	RING_FORGETS(seen_count);
	if (head - p->next > r->shape.segment_count &&
	    head > p->next) /* lapped: what was between is overwritten */
		p->next = head - r->shape.segment_count;
	while (p->next < head && p->held_count < r->shape.held_limit && seen_count < r->shape.window_count) {
		uint32_t idx = segment_idx_of(r, p->next);
		struct ring_segment *seg = &r->segments[idx];
		uint64_t word, pos;

		word = RING_LOAD(&seg->word, acquire); /* A */
		pos = ring_position(word);
		if (pos > p->next) { /* overwritten; it has a later turn */
			p->next++;
			continue;
		}
		switch (ring_state(word)) {
		case RING_SEG_HELD:
		case RING_SEG_CLAIMED: /* ours already, a hole */ p->next++; break;
		case RING_SEG_FREE: /* a hole: close it, or a late sampler opens it behind us */
			if (pos == p->next ||
			    RING_CAS(&seg->word, word, ring_word(p->next, RING_SEG_FREE), acq_rel))
				p->next++;
			break;
		case RING_SEG_OPEN: /* also of an older position: a slow lane */
		case RING_SEG_READY:
			if (!RING_CAS(&seg->word, word,
				      ring_word(pos, ring_state(word) == RING_SEG_OPEN ? RING_SEG_HELD
										       : RING_SEG_CLAIMED),
				      acq_rel)) /* A */
				break;
			segment_touched(r, idx, pos, ring_state(word));
			seen_count++;
			p->next++;
			break;
		}
	}
}

static void queue_front_is(struct ring *r, uint32_t lane_idx, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	const struct ring_touched *t = &p->touched[idx];

	p->queues[lane_idx].first_idx = idx;
	p->queues[lane_idx].front_ns = ring_record_at(r, idx, t->taken)->time_ns;
	p->ready_lanes |= 1ull << lane_idx;
}

/* The first record of a touched segment was seen: it joins its lane's queue. */
static void queue_add(struct ring *r, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[idx];
	struct ring_queue *q;

	t->lane_idx = ring_record_at(r, idx, 0)->lane_idx;
	ASSERT(t->lane_idx < r->limits.lane_count);
	q = &p->queues[t->lane_idx];
	if (q->first_idx == RING_NO_SEGMENT) {
		queue_front_is(r, t->lane_idx, idx);
	} else {
		ASSERT(p->touched[q->last_idx].position < t->position);
		p->touched[q->last_idx].next_idx = idx;
	}
	q->last_idx = idx;
}

/* Nothing more will ever come from this closed segment: it leaves its lane's queue, and is freed or waits. */
static void segment_done(struct ring *r, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[idx];

	if (t->lane_idx != RING_NO_LANE) {
		struct ring_queue *q = &p->queues[t->lane_idx];

		ASSERT(q->first_idx == idx);
		q->first_idx = t->next_idx;
		if (t->next_idx == RING_NO_SEGMENT)
			q->last_idx = RING_NO_SEGMENT;
		else
			queue_front_is(r, t->lane_idx, t->next_idx);
	}
	if (t->holds == 0)
		segment_free(r, idx);
	else
		p->waiting_count++;
}

/* One segment of the round. The word first, then the fill: closed, and loaded after that, the fill is final. */
static void segment_refresh(struct ring *r, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[idx];
	struct ring_segment *seg = &r->segments[idx];
	uint64_t word = RING_LOAD(&seg->word, acquire);                                    /* A */
	uint32_t seen = ring_fill_of(r, t->position, RING_LOAD(&seg->committed, acquire)); /* B */

	if (!t->closed && ring_state(word) == RING_SEG_CLAIMED) {
		t->closed = 1;
		p->held_count++;
	}
	if (seen > t->seen) {
		p->ready_count += t->taken == t->seen;
		if (t->seen == 0) {
			t->seen = seen;
			queue_add(r, idx);
		} else if (t->taken == t->seen) {
			t->seen = seen;
			queue_front_is(r, t->lane_idx, idx);
		}
		t->seen = seen;
	}
	if (t->closed && t->taken == t->seen)
		segment_done(r, idx);
}

/* Of all touched segments that may have more to come, in the order touched. Only after all of them may anything be
 * taken: with some refreshed and some not, a later segment's message would go before an earlier one's. */
static void refresh(struct ring *r)
{
	struct ring_publisher *p = &r->publisher;
	uint32_t kept_count = 0;

	for (uint32_t i = 0; i < p->unclosed_count; i++) {
		uint32_t idx = p->unclosed[i];

		segment_refresh(r, idx);
		if (!p->touched[idx].closed)
			p->unclosed[kept_count++] = idx;
	}
	p->unclosed_count = kept_count;
}

/* What the publisher is about in one ring_take. */
struct taking {
	struct ring_record **out;
	uint32_t room;
	uint32_t count;
	uint32_t discards_left;
	uint64_t excess_count;  /* unsent messages beyond message_count */
	uint64_t expired_to_ns; /* commit times before this are too old */
	uint64_t head;          /* how far this call walks */
};

static bool can_walk(const struct ring *r, uint64_t head)
{
	return r->publisher.next < head && r->publisher.held_count < r->shape.held_limit;
}

/* The lane with the oldest record to take, and the commit time at which another lane has its turn. */
static uint32_t oldest_lane(const struct ring_publisher *p, uint64_t *until_ns)
{
	uint32_t lane_idx = RING_NO_LANE;
	uint64_t oldest_ns = UINT64_MAX;

	*until_ns = UINT64_MAX;
	for (uint64_t left = p->ready_lanes; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		if (lane_idx == RING_NO_LANE || p->queues[i].front_ns < oldest_ns) {
			*until_ns = oldest_ns;
			oldest_ns = p->queues[i].front_ns;
			lane_idx = i;
		} else {
			*until_ns = min_u64(*until_ns, p->queues[i].front_ns);
		}
	}
	return lane_idx;
}

/* It will never be sent: in a file it must not come back either, behind younger ones that were. */
static void record_skip(struct ring *r, struct ring_record *rec, _Atomic uint64_t *counter)
{
	RING_COUNT_ADD(counter, 1);
	ring_done(r, rec);
}

/* One record leaves the front of its lane. False: no room for it, or too many wait for a release. */
static bool record_pass(struct ring *r, struct ring_touched *t, struct ring_record *rec, struct taking *k)
{
	struct ring_map *m = r->map;

	if (k->excess_count > 0) {
		if (k->discards_left == 0)
			return false;
		k->discards_left--;
		k->excess_count--;
		record_skip(r, rec, &m->discarded);
		return true;
	}
	if (rec->time_ns < k->expired_to_ns) {
		if (k->discards_left == 0)
			return false;
		k->discards_left--;
		record_skip(r, rec, &m->expired);
		r->publisher.queues[rec->lane_idx].expired_count++;
		return true;
	}
	if (k->count == k->room || r->publisher.waiting_count >= r->shape.waiting_limit)
		return false;
	k->out[k->count++] = rec;
	t->holds++;
	return true;
}

/* Discards a lane's whole first segment without reading its records, each of which would cost a cache line from
 * another core: all of it is excess, and all of it is older than what any other lane has. */
static void discard_whole(struct ring *r, uint32_t idx, uint64_t until_ns, struct taking *k)
{
	struct ring_touched *t = &r->publisher.touched[idx];
	uint64_t record_count;

	if (k->excess_count == 0 || k->discards_left == 0 || !t->closed || t->taken != 0)
		return;
	if (until_ns != UINT64_MAX) { /* the lane's next segment begins where this one has ended */
		if (t->next_idx == RING_NO_SEGMENT || ring_record_at(r, t->next_idx, 0)->time_ns > until_ns)
			return;
	}
	record_count = RING_COUNT_LOAD(&r->segments[idx].record_count);
	if (record_count > k->excess_count)
		return;
	k->discards_left--;
	k->excess_count -= record_count;
	RING_COUNT_ADD(&r->map->discarded, record_count);
	t->taken = t->seen;
}

/* Takes from one lane's first segment until another lane is older. False: stop altogether. */
static bool take_run(struct ring *r, uint32_t lane_idx, uint64_t until_ns, struct taking *k)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_queue *q = &p->queues[lane_idx];
	uint32_t idx = q->first_idx;
	struct ring_touched *t = &p->touched[idx];

	discard_whole(r, idx, until_ns, k);
	while (t->taken < t->seen) {
		struct ring_record *rec = ring_record_at(r, idx, t->taken);
		uint32_t units = ring_record_units(rec->headroom_bytes, rec->payload_bytes);

		q->front_ns = rec->time_ns;
		if (rec->time_ns > until_ns)
			return true;
		/* Past the end it is the next segment, or nothing: a prefetch does not fault. */
		__builtin_prefetch((const uint8_t *)rec + 4ull * units * RING_UNIT_BYTES, 1);
		if (!record_pass(r, t, rec, k))
			return false;
		t->taken += units;
	}
	ASSERT(t->taken == t->seen);
	p->ready_count--;
	p->ready_lanes &= ~(1ull << lane_idx);
	if (t->closed)
		segment_done(r, idx);
	return true;
}

/* Takes what the last round saw, oldest first. It ends early when so few segments are left to choose from that an
 * untouched one may have an older message: lane_count + 1 segments with something left have two of one lane, the
 * first of which is older than whatever was opened after the second. False: stop altogether. */
static bool take_seen(struct ring *r, struct taking *k)
{
	uint64_t until_ns;

	while (r->publisher.ready_lanes) {
		uint32_t lane_idx;

		if (r->publisher.ready_count <= r->limits.lane_count && can_walk(r, k->head))
			return true;
		lane_idx = oldest_lane(&r->publisher, &until_ns);
		if (!take_run(r, lane_idx, until_ns, k))
			return false;
	}
	return true;
}

static uint64_t excess_of(const struct ring *r, uint32_t taken_now_count)
{
	uint64_t kept_count = (uint64_t)r->limits.message_count + taken_now_count;
	uint64_t resident_count = ring_resident_count(r);

	return resident_count > kept_count ? resident_count - kept_count : 0;
}

/* Rounds, until there is no room, or nothing is left up to head. Each walks on, or takes: with more to walk to, the
 * walk stops only at window_count segments that have something, and these are more than lane_count. */
uint32_t ring_take(struct ring *r, struct ring_record **out, uint32_t room, struct mono now)
{
	struct taking k = {.out = out, .room = room, .discards_left = DISCARDS_A_CALL};

	if (r->limits.max_age_ns > 0 && now.ns > r->limits.max_age_ns)
		k.expired_to_ns = now.ns - r->limits.max_age_ns;
	k.head = RING_LOAD(&r->map->head, acquire); /* C; once: what comes later waits for the next call */
	do {
		k.excess_count = excess_of(r, k.count);
		walk(r, k.head);
		refresh(r);
	} while (take_seen(r, &k) && can_walk(r, k.head));
	RING_COUNT_ADD(&r->map->taken, k.count);
	return k.count;
}

void ring_release(struct ring *r, struct ring_record *rec)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[rec->segment_idx];

	ASSERT(rec->segment_idx < r->shape.segment_count);
	ASSERT(t->mine);
	ASSERT(t->holds > 0);
	if (r->in_file)
		rec->flags |= RING_RECORD_DONE; /* before the segment may be freed */
	RING_COUNT_ADD(&r->map->released, 1);
	t->holds--;
	/* Not closed, or closed since the last round: the next round finds it. */
	if (t->holds == 0 && t->closed && t->taken == t->seen) {
		ASSERT(p->waiting_count > 0);
		p->waiting_count--;
		segment_free(r, rec->segment_idx);
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

/* May more be found in what the publisher has touched than it has seen? */
static bool fills_are_seen(const struct ring *r)
{
	const struct ring_publisher *p = &r->publisher;

	for (uint32_t i = 0; i < p->unclosed_count; i++) {
		uint32_t idx = p->unclosed[i];
		uint64_t committed = RING_LOAD(&r->segments[idx].committed, acquire); /* B */

		if (ring_fill_of(r, p->touched[idx].position, committed) != p->touched[idx].seen)
			return false;
	}
	return true;
}

/* A committed message lies in a segment whose position head has passed: the publisher has walked by all of these, and
 * taken what there was in those that it found. The others have a later turn: what they had is overwritten. */
bool ring_drained(const struct ring *r)
{
	const struct ring_publisher *p = &r->publisher;

	return p->ready_count == 0 && RING_LOAD(&r->map->head, acquire) == p->next &&
	       fills_are_seen(r); /* C */
}

bool ring_idle(struct ring *r)
{
	const struct ring_publisher *p = &r->publisher;

	if (p->waiting_count >= r->shape.waiting_limit)
		return true; /* until a release */
	if (p->ready_count > 0)
		return false;
	if (p->held_count < r->shape.held_limit && RING_LOAD(&r->map->head, acquire) != p->next) /* C */
		return false;
	return fills_are_seen(r);
}
