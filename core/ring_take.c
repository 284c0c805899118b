/* core/ring_take.c - the publisher's side of the ring: touching segments, taking records in order.
 * core/ring_release.c lets them go.
 *
 * The letters at the atomics, and what each side costs, are in core/ring.c.
 */
#include "core/ring_atomic.h"

#include "core/probe.h"
#include "core/ring_layout.h"

/* What one call discards at most, so that a step stays bounded after a long outage. */
#define DISCARDS_A_CALL 65536u

bool ring_replay_is_done(const struct ring *r)
{
	return !RING_COUNT_LOAD(&r->publisher.is_split);
}

/* The segment is the publisher's from now on. */
static void segment_touched(struct ring *r, enum ring_stream_kind kind, uint32_t idx, uint64_t position,
			    enum ring_state was)
{
	struct ring_publisher *p = &r->publisher;

	ASSERT(!p->touched[idx].mine);
	p->touched[idx] = (struct ring_touched){
		.position = position,
		.lane_idx = RING_NO_LANE,
		.next_idx = RING_NO_SEGMENT,
		.mine = 1,
		.closed = was == RING_SEG_READY,
		.stream = (uint8_t)kind,
	};
	p->held_count += was == RING_SEG_READY;
	p->unclosed[p->unclosed_count++] = idx;
}

/* Segments with something to take that a stream has to see to know its oldest message, whatever the other has: two of one
 * lane are among them. */
static uint32_t least_window(const struct ring *r)
{
	return r->limits.lane_count + 1;
}

/* Of the segments that the publisher may have, what is live leaves the backlog these. */
static uint32_t kept_back(const struct ring *r)
{
	uint32_t least = least_window(r);

	return ring_replay_is_done(r)
		       ? 0
		       : least - (uint32_t)min_u64(least, r->publisher.streams[RING_REPLAY].ready_count);
}

/* The backlog is walked whatever is held, within its window: only what is found can be discarded, and old messages must not
 * stay where new ones have to be kept. */
static bool can_walk(const struct ring *r, enum ring_stream_kind kind, uint64_t end)
{
	const struct ring_publisher *p = &r->publisher;

	if (p->streams[kind].next >= end)
		return false;
	return kind == RING_REPLAY || p->held_count + kept_back(r) < r->shape.held_limit;
}

/* By position: a lane may have two that a lap has left behind, on a machine where others still see the first open when it has
 * closed it and looks for the next. There are few. */
static void unclosed_sort(struct ring_publisher *p)
{
	for (uint32_t i = 0; i < p->unclosed_count; i++) {
		uint32_t idx = p->unclosed[i], at = i;

		for (; at > 0 && p->touched[p->unclosed[at - 1]].position > p->touched[idx].position; at--)
			p->unclosed[at] = p->unclosed[at - 1];
		p->unclosed[at] = idx;
	}
}

/* The walk was lapped, and goes on at `to`. What is left from before that are segments that were open when the others came
 * round, of lanes that were idle, one a lane or little more: the walk would meet them where the last lap has put them,
 * behind what is younger. So they are touched first. Looks at each segment once, after an outage. */
static void touch_lapped(struct ring *r, enum ring_stream_kind kind, uint64_t to)
{
	struct ring_publisher *p = &r->publisher;

	for (uint32_t idx = 0; idx < r->shape.segment_count;) {
		struct ring_segment *seg = &r->segments[idx];
		uint64_t word = RING_LOAD(&seg->word, acquire); /* A */
		uint64_t pos = ring_position(word);
		enum ring_state state = ring_state(word);

		if (pos >= to || (state != RING_SEG_OPEN && state != RING_SEG_READY)) {
			idx++;
			continue;
		}
		if (RING_CAS(&seg->word, word,
			     ring_word(pos, state == RING_SEG_OPEN ? RING_SEG_HELD : RING_SEG_CLAIMED),
			     acq_rel)) /* A */
			segment_touched(r, kind, idx, pos, state);
	}
	unclosed_sort(p);
	p->streams[kind].next = to;
}

/* Touches, from next towards end, as many segments as the publisher needs to see the oldest message of each lane,
 * and closes the holes on the way. A touched segment cannot be overwritten: so it touches no more than that, or an
 * outage would cost the newest instead of the oldest. */
static void walk(struct ring *r, enum ring_stream_kind kind, uint64_t head, uint64_t end)
{
	struct ring_stream *s = &r->publisher.streams[kind];
	uint32_t window_count = ring_replay_is_done(r) ? r->shape.window_count : least_window(r);
	uint32_t seen_count = s->ready_count;

	RING_FORGETS(seen_count);
	if (head - s->next > r->shape.segment_count && can_walk(r, kind, end)) {
		/* What was between is overwritten. What was found goes first: the next round walks. */
		touch_lapped(r, kind, min_u64(head - r->shape.segment_count, end));
		return;
	}
	while (can_walk(r, kind, end) && seen_count < window_count) {
		uint32_t idx = ring_segment_idx_of(r, s->next);
		struct ring_segment *seg = &r->segments[idx];
		uint64_t word, pos;

		word = RING_LOAD(&seg->word, acquire); /* A */
		pos = ring_position(word);
		if (word >= ring_word(s->next, RING_SEG_FREE)) { /* overwritten, or closed */
			s->next++;
			continue;
		}
		switch (ring_state(word)) {
		case RING_SEG_HELD:
		case RING_SEG_CLAIMED: /* ours already, a hole */ s->next++; break;
		case RING_SEG_FREE: /* a hole: closed, or a late sampler opens it behind us; then it is passed */
			(void)RING_CAS(&seg->word, word, ring_word(s->next, RING_SEG_FREE), acq_rel); /* A */
			break;
		case RING_SEG_OPEN: /* also of an older position: a slow lane */
		case RING_SEG_READY:
			if (!RING_CAS(&seg->word, word,
				      ring_word(pos, ring_state(word) == RING_SEG_OPEN ? RING_SEG_HELD
										       : RING_SEG_CLAIMED),
				      acq_rel)) /* A */
				break;
			segment_touched(r, kind, idx, pos, ring_state(word));
			seen_count++;
			s->next++;
			break;
		}
	}
}

static struct ring_stream *stream_of(struct ring *r, const struct ring_touched *t)
{
	return &r->publisher.streams[t->stream];
}

static void queue_front_is(struct ring *r, uint32_t lane_idx, uint32_t idx)
{
	const struct ring_touched *t = &r->publisher.touched[idx];
	struct ring_stream *s = stream_of(r, t);

	s->queues[lane_idx].first_idx = idx;
	s->queues[lane_idx].front_ns = ring_record_at(r, idx, t->taken)->time_ns;
	s->ready_lanes |= 1ull << lane_idx;
}

/* The first record of a touched segment was seen: it joins its lane's queue. */
static void queue_add(struct ring *r, uint32_t idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_touched *t = &p->touched[idx];
	struct ring_queue *q;

	t->lane_idx = ring_record_at(r, idx, 0)->lane_idx;
	ASSERT(t->lane_idx < r->limits.lane_count);
	q = &stream_of(r, t)->queues[t->lane_idx];
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
		struct ring_queue *q = &stream_of(r, t)->queues[t->lane_idx];

		ASSERT(q->first_idx == idx);
		q->first_idx = t->next_idx;
		if (t->next_idx != RING_NO_SEGMENT)
			queue_front_is(r, t->lane_idx, t->next_idx);
	}
	if (t->holds == 0)
		ring_segment_free(r, idx);
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
		stream_of(r, t)->ready_count += t->taken == t->seen;
		if (t->seen == 0)
			queue_add(r, idx);
		else if (t->taken == t->seen)
			queue_front_is(r, t->lane_idx, idx);
		t->seen = seen;
	}
	if (t->closed && t->taken == t->seen)
		segment_done(r, idx);
}

/* Of all touched segments that may have more to come, a lane's in their order. Only after all of them may anything be
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
	uint32_t waiting_limit;
	uint64_t bytes;         /* of the payloads in out */
	uint64_t excess_count;  /* unsent messages beyond those to be kept */
	uint64_t excess_bytes;  /* unsent bytes beyond */
	uint64_t expired_to_ns; /* commit times before this are too old */
	uint64_t head;          /* as loaded once: what comes later waits for the next call */
	uint64_t end;           /* how far this call walks */
	enum ring_stream_kind kind;
};

/* Of the lanes that have something to take, of which there is one: that with the oldest record, and the commit time at
 * which another lane has its turn. */
static uint32_t oldest_lane(const struct ring_stream *s, uint64_t *until_ns)
{
	uint32_t lane_idx = 0;
	uint64_t oldest_ns = UINT64_MAX;

	ASSERT(s->ready_lanes);
	*until_ns = UINT64_MAX;
	for (uint64_t left = s->ready_lanes; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		if (s->queues[i].front_ns < oldest_ns) { /* so the first one sets both */
			*until_ns = oldest_ns;
			oldest_ns = s->queues[i].front_ns;
			lane_idx = i;
		} else {
			*until_ns = min_u64(*until_ns, s->queues[i].front_ns);
		}
	}
	return lane_idx;
}

/* It will never be sent: in a file it must not come back either, behind younger ones that were. */
static void record_skip(struct ring *r, struct ring_record *rec, _Atomic uint64_t *counter)
{
	RING_COUNT_ADD(counter, 1);
	RING_COUNT_ADD(&r->map->gone_bytes, rec->payload_bytes);
	ring_done(r, rec);
}

/* A backlog needs segments to find its oldest message, too. */
static uint32_t waiting_limit(const struct ring *r)
{
	return r->shape.waiting_limit - (ring_replay_is_done(r) ? 0 : least_window(r));
}

static bool waiting_is_full(const struct ring *r)
{
	return r->publisher.waiting_count >= waiting_limit(r);
}

bool ring_is_crowded(const struct ring *r)
{
	return 2 * r->publisher.waiting_count >= waiting_limit(r);
}

/* One record leaves the front of its lane. False: no room for it, or too many wait for a release. */
static bool record_pass(struct ring *r, struct ring_touched *t, struct ring_record *rec, struct taking *k)
{
	struct ring_map *m = r->map;

	if (k->excess_count > 0 || k->excess_bytes > 0) {
		if (k->discards_left == 0)
			return false;
		k->discards_left--;
		k->excess_count -= k->excess_count > 0;
		k->excess_bytes -= min_u64(k->excess_bytes, rec->payload_bytes);
		record_skip(r, rec, &m->discarded);
		return true;
	}
	if (rec->time_ns < k->expired_to_ns) {
		if (k->discards_left == 0)
			return false;
		k->discards_left--;
		record_skip(r, rec, &m->expired);
		r->publisher.streams[k->kind].queues[rec->lane_idx].expired_count++;
		return true;
	}
	if (k->count == k->room || r->publisher.waiting_count >= k->waiting_limit)
		return false;
	k->out[k->count++] = rec;
	k->bytes += rec->payload_bytes;
	t->holds++;
	return true;
}

/* Discards a lane's whole first segment without reading its records, each of which would cost a cache line from
 * another core: all of it is excess, and all of it is older than what any other lane has. What it leaves goes record by
 * record. Not counted in discards_left: it costs as much as one record, and there are fewer segments than that. */
static void discard_whole(struct ring *r, uint32_t idx, uint64_t until_ns, struct taking *k)
{
	struct ring_touched *t = &r->publisher.touched[idx];
	uint64_t record_count, byte_count;

	if ((k->excess_count == 0 && k->excess_bytes == 0) || t->taken != 0)
		return;
	/* The lane's next segment begins where this one has ended: what has a next one is closed. */
	if (t->next_idx == RING_NO_SEGMENT || ring_record_at(r, t->next_idx, 0)->time_ns > until_ns)
		return;
	record_count = RING_COUNT_LOAD(&r->segments[idx].record_count);
	byte_count = RING_COUNT_LOAD(&r->segments[idx].byte_count);
	/* Records without a payload at its end are not in excess where its bytes are just what is. */
	if (record_count > k->excess_count && byte_count >= k->excess_bytes)
		return;
	k->excess_count -= min_u64(k->excess_count, record_count);
	k->excess_bytes -= min_u64(k->excess_bytes, byte_count);
	RING_COUNT_ADD(&r->map->discarded, record_count);
	RING_COUNT_ADD(&r->map->gone_bytes, byte_count);
	t->taken = t->seen;
}

/* Takes from one lane's first segment until another lane is older. False: stop altogether. */
static bool take_run(struct ring *r, uint32_t lane_idx, uint64_t until_ns, struct taking *k)
{
	struct ring_stream *s = &r->publisher.streams[k->kind];
	struct ring_queue *q = &s->queues[lane_idx];
	uint32_t idx = q->first_idx;
	struct ring_touched *t = &r->publisher.touched[idx];

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
	s->ready_count--;
	s->ready_lanes &= ~(1ull << lane_idx);
	if (t->closed)
		segment_done(r, idx);
	return true;
}

/* Takes what the last round saw, oldest first. It ends early when so few segments are left to choose from that an
 * untouched one may have an older message: lane_count + 1 segments with something left have two of one lane, the
 * first of which is older than whatever was opened after the second. False: stop altogether. */
static bool take_seen(struct ring *r, struct taking *k)
{
	const struct ring_stream *s = &r->publisher.streams[k->kind];
	uint64_t until_ns;

	while (s->ready_lanes) {
		uint32_t lane_idx;

		if (s->ready_count <= r->limits.lane_count && can_walk(r, k->kind, k->end))
			return true;
		lane_idx = oldest_lane(s, &until_ns);
		if (!take_run(r, lane_idx, until_ns, k))
			return false;
	}
	return true;
}

static uint64_t over(uint64_t resident, uint64_t kept)
{
	return resident - min_u64(resident, kept);
}

/* What is beyond the limits goes from the backlog as long as there is one: it is the oldest. What is in out is still counted
 * as resident. */
static void excess_find(const struct ring *r, struct taking *k)
{
	uint64_t keep_bytes = RING_COUNT_LOAD(&r->keep_bytes);

	if (k->kind == RING_LIVE && !ring_replay_is_done(r))
		return; /* none */
	k->excess_count = over(over(ring_resident_count(r), k->count), RING_COUNT_LOAD(&r->keep_messages));
	k->excess_bytes = keep_bytes > 0 ? over(over(ring_resident_bytes(r), k->bytes), keep_bytes) : 0;
}

/* How far a stream goes; while a split is due, what is live goes no further. */
static uint64_t end_of(const struct ring *r, enum ring_stream_kind kind, uint64_t head)
{
	if (kind == RING_REPLAY)
		return r->publisher.split;
	return r->publisher.split_is_due ? 0 : head;
}

/* Rounds, until there is no room, or nothing is left up to the end. Each walks on, or takes: with more to walk to, the
 * walk stops only at window_count segments that have something, and these are more than lane_count. */
static uint32_t take(struct ring *r, enum ring_stream_kind kind, uint64_t head, struct ring_record **out,
		     uint32_t room, struct mono now)
{
	struct taking k = {.out = out,
			   .room = room,
			   .discards_left = DISCARDS_A_CALL,
			   .waiting_limit = waiting_limit(r),
			   .head = head,
			   .end = end_of(r, kind, head),
			   .kind = kind};
	uint64_t keep_age_ns = RING_COUNT_LOAD(&r->keep_age_ns);

	if (keep_age_ns > 0)
		k.expired_to_ns = now.ns - min_u64(now.ns, keep_age_ns);
	do {
		excess_find(r, &k);
		walk(r, kind, k.head, k.end);
		refresh(r);
	} while (take_seen(r, &k) && can_walk(r, kind, k.end));
	RING_COUNT_ADD(&r->map->taken, k.count);
	RING_COUNT_ADD(&r->map->gone_bytes, k.bytes);
	PROBE4(ring__take, r, kind, room, k.count);
	return k.count;
}

/* When all that there is of the backlog is taken, and all of it was walked by. What is left of it are segments that idle lanes
 * still have open, and that have nothing more to take, as the last round said: then the lane has nothing in the live stream
 * either, because it closes the segment before it opens another. These are live from now on. */
static void split_finish(struct ring *r)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_stream *old = &p->streams[RING_REPLAY], *live = &p->streams[RING_LIVE];

	if (old->ready_count > 0)
		return;
	ASSERT(old->next == p->split);
	for (uint32_t i = 0; i < r->limits.lane_count; i++) {
		uint32_t idx = old->queues[i].first_idx;

		if (idx == RING_NO_SEGMENT)
			continue;
		ASSERT(live->queues[i].first_idx == RING_NO_SEGMENT);
		ASSERT(p->touched[idx].next_idx == RING_NO_SEGMENT);
		live->queues[i].first_idx = live->queues[i].last_idx = idx;
		old->queues[i].first_idx = old->queues[i].last_idx = RING_NO_SEGMENT;
	}
	for (uint32_t i = 0; i < p->unclosed_count; i++)
		p->touched[p->unclosed[i]].stream = RING_LIVE;
	atomic_store_explicit(&p->is_split, false, memory_order_relaxed);
}

uint32_t ring_take(struct ring *r, struct ring_record **out, uint32_t room, struct mono now)
{
	uint64_t head = RING_LOAD(&r->map->head, acquire); /* C */
	uint32_t count;

	if (!ring_replay_is_done(r)) { /* the oldest may be too old, or too many */
		(void)take(r, RING_REPLAY, head, NULL, 0, now);
		split_finish(r);
	}
	count = take(r, RING_LIVE, head, out, room, now);
	RING_COUNT_ADD(&r->publisher.live_taken, count);
	return count;
}

uint32_t ring_take_replay(struct ring *r, struct ring_record **out, uint32_t room, struct mono now)
{
	uint64_t head = RING_LOAD(&r->map->head, acquire); /* C */
	uint32_t count = take(r, RING_REPLAY, head, out, room, now);

	split_finish(r);
	return count;
}

/* Segments of the live stream that have something to take. */
static bool has_leftovers(const struct ring *r)
{
	return r->publisher.streams[RING_LIVE].ready_count > 0;
}

/* What the lane has in the live stream becomes the backlog, but for a last segment that is open and has nothing now. */
static void lane_split(struct ring *r, uint32_t lane_idx)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_queue *live = &p->streams[RING_LIVE].queues[lane_idx];
	struct ring_queue *old = &p->streams[RING_REPLAY].queues[lane_idx];
	uint32_t first_idx = live->first_idx;

	old->expired_count += live->expired_count;
	live->expired_count = 0;
	if (!(p->streams[RING_LIVE].ready_lanes & 1ull << lane_idx)) {
		/* Open, without anything to take: what followed it would have shown that it is closed. */
		ASSERT(first_idx == RING_NO_SEGMENT || p->touched[first_idx].next_idx == RING_NO_SEGMENT);
		return;
	}
	ASSERT(old->first_idx == RING_NO_SEGMENT);
	old->last_idx = live->last_idx;
	live->first_idx = live->last_idx = RING_NO_SEGMENT;
	p->streams[RING_LIVE].ready_lanes &= ~(1ull << lane_idx);
	for (uint32_t idx = first_idx; idx != RING_NO_SEGMENT; idx = p->touched[idx].next_idx) {
		p->touched[idx].stream = RING_REPLAY;
		p->streams[RING_LIVE].ready_count--;
		p->streams[RING_REPLAY].ready_count++;
	}
	queue_front_is(r, lane_idx, first_idx);
}

/* The live stream goes on at head: what lies before is the backlog. A sampler that has a segment there closes it before its
 * next message (or the one after that, if it has just looked). */
bool ring_split(struct ring *r)
{
	struct ring_publisher *p = &r->publisher;
	struct ring_stream *live = &p->streams[RING_LIVE], *old = &p->streams[RING_REPLAY];
	uint64_t head = RING_LOAD(&r->map->head, acquire); /* C */
	uint64_t live_made = 0;

	atomic_store_explicit(&r->map->close_before, head, memory_order_relaxed);
	refresh(r); /* after head was loaded: what is open now is its lane's last segment before head */
	/* In the backlog they would come behind what it has not walked to yet, though some of that is younger. */
	p->split_is_due = !ring_replay_is_done(r) && has_leftovers(r);
	if (p->split_is_due)
		return false;
	if (ring_replay_is_done(r))
		old->next = live->next;
	p->split = live->next = head;
	for (uint32_t i = 0; i < r->limits.lane_count; i++) {
		lane_split(r, i);
		live_made += RING_COUNT_LOAD(&r->lane_counts[i].committed);
	}
	atomic_store_explicit(&p->live_made, live_made, memory_order_relaxed);
	atomic_store_explicit(&p->live_taken, 0, memory_order_relaxed);
	atomic_store_explicit(&p->is_split, true, memory_order_relaxed);
	return true;
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
	const struct ring_stream *s = &r->publisher.streams[RING_LIVE];

	return ring_replay_is_done(r) && s->ready_count == 0 &&
	       RING_LOAD(&r->map->head, acquire) == s->next && fills_are_seen(r); /* C */
}

bool ring_replay_idle(const struct ring *r)
{
	return ring_replay_is_done(r) || waiting_is_full(r);
}

bool ring_idle(struct ring *r)
{
	const struct ring_publisher *p = &r->publisher;
	const struct ring_stream *s = &p->streams[RING_LIVE];

	if (waiting_is_full(r))
		return true; /* until a release */
	if (s->ready_count > 0)
		return false;
	return !can_walk(r, RING_LIVE, RING_LOAD(&r->map->head, acquire)) && fills_are_seen(r); /* C */
}
