#include "core/loss.h"

#include <string.h>

#define QUIET_BIT    (1u << 8)
#define LANE_SHIFT   16
#define REASON_BITS  0xffu
#define NO_NUMBER    UINT64_MAX /* nothing follows it, so that a first number is noticed */
#define NEIGHBOUR_NS NS_PER_S   /* messages without numbers: so close they are one gap */

const char *loss_reason_text(enum loss_reason reason)
{
	switch (reason) {
	case LOSS_OVERWRITTEN: return "overwritten";
	case LOSS_EXPIRED: return "expired";
	case LOSS_REFUSED: return "refused";
	case LOSS_OVERSIZED: return "oversized";
	case LOSS_NO_ROOM: return "no room";
	case LOSS_THINNED: return "thinned";
	}
	UNREACHABLE();
}

static struct counter *counter_of(struct target_metrics *m, enum loss_reason reason)
{
	switch (reason) {
	case LOSS_OVERWRITTEN: return &m->lost_overwritten;
	case LOSS_EXPIRED: return &m->lost_expired;
	case LOSS_REFUSED: return &m->lost_refused;
	case LOSS_OVERSIZED: return &m->lost_oversized;
	case LOSS_NO_ROOM: return &m->lost_no_room;
	case LOSS_THINNED: return &m->lost_thinned;
	}
	UNREACHABLE();
}

void loss_init(struct loss_ledger *l, struct loss_lane *lanes, uint32_t lane_count,
	       struct target_metrics *metrics, struct mono now)
{
	ASSERT(lane_count <= RING_LANES_MAX);
	l->lanes = lanes;
	l->lane_count = lane_count;
	l->metrics = metrics;
	l->looked = now;
	for (uint32_t i = 0; i < lane_count; i++)
		l->lanes[i].streams[RING_LIVE].last_ns = now.ns;
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

/* Release on every field keeps them behind the odd sequence (L1); pairs with the acquires in cell_read (L2). */
static void cell_write(struct loss_cell *cell, const struct loss_gap *g)
{
	uint32_t sequence = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
	uint32_t kinds = (uint32_t)g->reason | (g->is_quiet ? QUIET_BIT : 0) | g->lane_idx << LANE_SHIFT;

	ASSERT(!(sequence & 1)); /* two writers */
	atomic_store_explicit(&cell->sequence, sequence + 1, memory_order_relaxed);
	atomic_store_explicit(&cell->kinds, kinds, memory_order_release); /* L1 */
	atomic_store_explicit(&cell->number, g->number, memory_order_release);
	atomic_store_explicit(&cell->first, g->first, memory_order_release);
	atomic_store_explicit(&cell->last, g->last, memory_order_release);
	atomic_store_explicit(&cell->count, g->count, memory_order_release);
	atomic_store_explicit(&cell->from_ns, g->from.ns, memory_order_release);
	atomic_store_explicit(&cell->to_ns, g->to.ns, memory_order_release);
	atomic_store_explicit(&cell->sequence, sequence + 2, memory_order_release);
}

static void cell_read(const struct loss_cell *cell, struct loss_gap *out)
{
	uint32_t before, kinds;

	do {
		before = atomic_load_explicit(&cell->sequence, memory_order_acquire);
		kinds = atomic_load_explicit(&cell->kinds, memory_order_acquire); /* L2 */
		out->number = atomic_load_explicit(&cell->number, memory_order_acquire);
		out->first = atomic_load_explicit(&cell->first, memory_order_acquire);
		out->last = atomic_load_explicit(&cell->last, memory_order_acquire);
		out->count = atomic_load_explicit(&cell->count, memory_order_acquire);
		out->from.ns = atomic_load_explicit(&cell->from_ns, memory_order_acquire);
		out->to.ns = atomic_load_explicit(&cell->to_ns, memory_order_acquire);
	} while ((before & 1) || atomic_load_explicit(&cell->sequence, memory_order_relaxed) != before);
	out->reason = (enum loss_reason)(kinds & REASON_BITS);
	out->is_quiet = kinds & QUIET_BIT;
	out->lane_idx = kinds >> LANE_SHIFT;
}

bool loss_read(const struct loss_ledger *l, uint64_t number, struct loss_gap *out)
{
	if (number == 0)
		return false;
	cell_read(&l->cells[number % LOSS_GAPS_MAX], out);
	return out->number == number;
}

static void widen(struct mono *from, struct mono *to, const struct loss_gap *g)
{
	*from = mono_min(*from, g->from);
	to->ns = max_u64(to->ns, g->to.ns);
}

/* The number of the lane's newest gap. */
static uint64_t *newest_of(struct loss_ledger *l, uint32_t lane_idx)
{
	if (lane_idx == LOSS_NO_LANE)
		return &l->newest_unnumbered;
	ASSERT(lane_idx < l->lane_count);
	return &l->lanes[lane_idx].newest;
}

/* g goes into the lane's newest gap where the two are one. */
static bool merge(struct loss_ledger *l, const struct loss_gap *g)
{
	uint64_t newest = *newest_of(l, g->lane_idx);
	struct loss_gap old;
	bool is_next;

	if (newest <= l->told || !loss_read(l, newest, &old))
		return false;
	if (g->reason == LOSS_THINNED)
		is_next = true;
	else if (g->lane_idx == LOSS_NO_LANE)
		is_next = mono_since(g->from, old.to) <= NEIGHBOUR_NS;
	else
		is_next = g->first == old.last + 1 || g->last + 1 == old.first;
	if (!is_next || g->reason != old.reason || g->is_quiet != old.is_quiet)
		return false;
	old.first = old.first < g->first ? old.first : g->first;
	old.last = max_u64(old.last, g->last);
	old.count += g->count;
	widen(&old.from, &old.to, g);
	cell_write(&l->cells[newest % LOSS_GAPS_MAX], &old);
	return true;
}

/* The oldest gap leaves the table. */
static void evict(struct loss_ledger *l, uint64_t number)
{
	struct loss_gap g;
	struct loss_sum *sum;

	if (number <= l->told || !loss_read(l, number, &g))
		return;
	l->told = number;
	if (g.is_quiet)
		return;
	sum = &l->untold[g.reason];
	if (sum->gap_count == 0)
		*sum = (struct loss_sum){.from = g.from, .to = g.to};
	sum->gap_count++;
	sum->count += g.count;
	widen(&sum->from, &sum->to, &g);
}

static void note(struct loss_ledger *l, struct loss_gap *g)
{
	uint64_t newest = atomic_load_explicit(&l->newest, memory_order_relaxed);

	ASSERT(g->count > 0);
	counter_add(counter_of(l->metrics, g->reason), g->count);
	if (g->lane_idx != LOSS_NO_LANE && g->reason <= LOSS_EXPIRED)
		l->located_count += g->count;
	if (!g->is_quiet)
		l->untold_count[g->reason] += g->count;
	if (merge(l, g))
		return;
	g->number = newest + 1;
	if (newest >= LOSS_GAPS_MAX)
		evict(l, g->number - LOSS_GAPS_MAX);
	cell_write(&l->cells[g->number % LOSS_GAPS_MAX], g);
	*newest_of(l, g->lane_idx) = g->number;
	atomic_store_explicit(&l->newest, g->number, memory_order_release);
}

/* --- finding gaps --------------------------------------------------------------------------------------------------- */

/* Of the numbers from first on, count are missing. */
static void note_run(struct loss_ledger *l, uint32_t lane_idx, const struct loss_place *at,
		     enum loss_reason reason, uint64_t first, uint64_t count, struct mono to)
{
	struct loss_gap g = {
		.lane_idx = lane_idx,
		.reason = reason,
		.first = first,
		.last = first + count - 1,
		.count = count,
		/* What a file has brought is older than the ledger. */
		.from = mono_min((struct mono){.ns = at->last_ns}, to),
		.to = to,
	};

	if (count)
		note(l, &g);
}

/* Messages of the lane's stream that expired and have no gap yet. */
static uint64_t unplaced_count(const struct ring *r, uint32_t lane_idx, enum ring_stream_kind kind,
			       const struct loss_place *at)
{
	return ring_lane_expired(r, lane_idx, kind) - at->expired_count;
}

/* All up to this number is missing; so many of it, the oldest, were overwritten. */
static void missing_run(struct loss_ledger *l, uint32_t lane_idx, struct loss_place *at, uint64_t last,
			uint64_t *overwritten_left, struct mono to)
{
	uint64_t first = at->last_sequence + 1, count = last - at->last_sequence;
	uint64_t overwritten_count = min_u64(count, *overwritten_left);

	note_run(l, lane_idx, at, LOSS_OVERWRITTEN, first, overwritten_count, to);
	note_run(l, lane_idx, at, LOSS_EXPIRED, first + overwritten_count, count - overwritten_count, to);
	*overwritten_left -= overwritten_count;
	at->expired_count += count - overwritten_count;
	at->last_sequence = last;
	at->last_ns = to.ns;
}

/* What of the lane's stream is missing up to this number, which is too. */
static void missing(struct loss_ledger *l, const struct ring *r, uint32_t lane_idx,
		    enum ring_stream_kind kind, uint64_t last, struct mono to)
{
	struct loss_place *at = &l->lanes[lane_idx].streams[kind];
	uint64_t count = last - at->last_sequence;
	uint64_t overwritten_left = count - min_u64(count, unplaced_count(r, lane_idx, kind, at));

	missing_run(l, lane_idx, at, last, &overwritten_left, to);
}

/* The backlog of a lane has come to this number: what is missing before it, but for what was taken live in between. */
static void backlog_missing(struct loss_ledger *l, const struct ring *r, uint32_t lane_idx, uint64_t last,
			    struct mono to)
{
	struct loss_lane *lane = &l->lanes[lane_idx];
	struct loss_place *at = &lane->streams[RING_REPLAY];
	uint64_t count = last - at->last_sequence, overwritten_left;
	uint32_t passed = 0;

	while (passed < lane->island_count && lane->islands[passed].last <= last) {
		count -= lane->islands[passed].last + 1 - lane->islands[passed].first;
		passed++;
	}
	overwritten_left = count - min_u64(count, unplaced_count(r, lane_idx, RING_REPLAY, at));
	for (uint32_t i = 0; i < passed; i++) {
		missing_run(l, lane_idx, at, lane->islands[i].first - 1, &overwritten_left, to);
		at->last_sequence = lane->islands[i].last;
	}
	lane->island_count -= (uint8_t)passed;
	memmove(lane->islands, lane->islands + passed, lane->island_count * sizeof(lane->islands[0]));
	missing_run(l, lane_idx, at, last, &overwritten_left, to);
}

/* The lane's first live record since the split. What is before it is the backlog's, but for what expired live. */
static void live_begins(struct loss_ledger *l, const struct ring *r, const struct ring_record *rec)
{
	struct loss_lane *lane = &l->lanes[rec->lane_idx];
	struct loss_place *at = &lane->streams[RING_LIVE];
	uint64_t expired_count = unplaced_count(r, rec->lane_idx, RING_LIVE, at);

	ASSERT(at->last_sequence == NO_NUMBER);
	ASSERT(expired_count < rec->sequence);
	lane->live_first = rec->sequence - expired_count;
	note_run(l, rec->lane_idx, at, LOSS_EXPIRED, lane->live_first, expired_count,
		 (struct mono){.ns = rec->time_ns});
	at->expired_count += expired_count;
}

void loss_skipped(struct loss_ledger *l, const struct ring *r, const struct ring_record *rec,
		  enum ring_stream_kind kind)
{
	struct loss_lane *lane = &l->lanes[rec->lane_idx];
	struct loss_place *at = &lane->streams[kind];
	struct mono to = {.ns = rec->time_ns};

	if (kind == RING_REPLAY) {
		ASSERT(rec->sequence > at->last_sequence);
		backlog_missing(l, r, rec->lane_idx, rec->sequence - 1, to);
	} else if (lane->is_split && lane->live_first == 0) {
		live_begins(l, r, rec);
	} else {
		ASSERT(rec->sequence > at->last_sequence);
		missing(l, r, rec->lane_idx, kind, rec->sequence - 1, to);
	}
	at->last_sequence = rec->sequence;
	at->last_ns = rec->time_ns;
}

bool loss_can_split(const struct loss_ledger *l)
{
	for (uint32_t i = 0; i < l->lane_count; i++)
		if (l->lanes[i].island_count == LOSS_ISLANDS_MAX)
			return false;
	return true;
}

/* What the lane has delivered live since the last split is done with; the rest is the backlog's. */
static void lane_split(struct loss_lane *lane)
{
	struct loss_place *live = &lane->streams[RING_LIVE], *old = &lane->streams[RING_REPLAY];
	uint64_t seen = live->expired_count;

	if (!lane->is_split) {
		old->last_sequence = live->last_sequence;
		old->last_ns = live->last_ns;
	} else if (lane->live_first) {
		lane->islands[lane->island_count++] = (struct loss_island){.first = lane->live_first,
									   .last = live->last_sequence};
	}
	old->expired_count += seen;
	live->expired_count = 0;
	lane->is_split = true;
	lane->live_first = 0;
	live->last_sequence = NO_NUMBER;
}

void loss_split(struct loss_ledger *l, const struct ring *r)
{
	ASSERT(loss_can_split(l));
	for (uint32_t i = 0; i < ring_lane_count(r); i++)
		lane_split(&l->lanes[i]);
	l->is_split = true;
}

/* Nothing is left of the backlog: what has not come of it never will. From here on a lane has one order again. */
static void join(struct loss_ledger *l, const struct ring *r, struct mono now)
{
	for (uint32_t i = 0; i < ring_lane_count(r); i++) {
		struct loss_lane *lane = &l->lanes[i];
		struct loss_place *live = &lane->streams[RING_LIVE], *old = &lane->streams[RING_REPLAY];

		if (lane->live_first) {
			backlog_missing(l, r, i, lane->live_first - 1, now);
		} else {
			if (lane->island_count)
				backlog_missing(l, r, i, lane->islands[lane->island_count - 1].last, now);
			live->last_sequence = old->last_sequence;
			live->last_ns = old->last_ns;
			/* What comes after that has yet to be found missing: with what expired of it. */
			live->expired_count -= unplaced_count(r, i, RING_REPLAY, old);
			old->expired_count = ring_lane_expired(r, i, RING_REPLAY);
		}
		lane->is_split = false;
		lane->live_first = 0;
	}
	l->is_split = false;
}

void loss_look(struct loss_ledger *l, struct ring *r, struct mono now)
{
	struct ring_counts counts = ring_counts(r);
	uint64_t committed[RING_LANES_MAX];
	uint32_t lane_count = ring_lane_count(r);

	if (counts.dropped != l->dropped_count)
		loss_unnumbered(l, LOSS_NO_ROOM, counts.dropped - l->dropped_count, l->looked, now);
	l->dropped_count = counts.dropped;
	l->looked = now;
	if (l->is_split && ring_replay_is_done(r))
		join(l, r, now);
	if (l->is_split || counts.overwritten + counts.expired == l->located_count)
		return;
	/* First what there is, then that nothing is left of it: what was not seen until now never will be. */
	for (uint32_t i = 0; i < lane_count; i++)
		committed[i] = ring_lane_committed(r, i);
	if (!ring_drained(r))
		return;
	for (uint32_t i = 0; i < lane_count; i++)
		if (committed[i] > l->lanes[i].streams[RING_LIVE].last_sequence)
			missing(l, r, i, RING_LIVE, committed[i], now);
}

void loss_record(struct loss_ledger *l, const struct ring_record *rec, enum loss_reason reason, bool is_quiet)
{
	struct loss_gap g = {
		.lane_idx = rec->lane_idx,
		.reason = reason,
		.is_quiet = is_quiet,
		.first = rec->sequence,
		.last = rec->sequence,
		.count = 1,
		.from = {.ns = rec->time_ns},
		.to = {.ns = rec->time_ns},
	};

	note(l, &g);
}

void loss_unnumbered(struct loss_ledger *l, enum loss_reason reason, uint64_t count, struct mono from,
		     struct mono to)
{
	struct loss_gap g = {
		.lane_idx = LOSS_NO_LANE, .reason = reason, .count = count, .from = from, .to = to};

	if (count)
		note(l, &g);
}

void loss_lane_begins(struct loss_ledger *l, uint32_t lane_idx, struct mono from)
{
	l->lanes[lane_idx].streams[RING_LIVE].last_ns = from.ns;
}

void loss_leaves(const struct loss_ledger *l, bool tells, struct ring_losses *out)
{
	*out = (struct ring_losses){.located_count = l->located_count, .dropped_count = l->dropped_count};
	if (tells)
		memcpy(out->untold, l->untold_count, sizeof(out->untold));
}

/* --- telling -------------------------------------------------------------------------------------------------------- */

bool loss_untold(struct loss_ledger *l, struct loss_gap *out, uint64_t *gap_count)
{
	*gap_count = 1;
	for (uint32_t i = 0; i < LOSS_REASON_COUNT; i++) {
		const struct loss_sum *sum = &l->untold[i];

		if (sum->gap_count == 0)
			continue;
		*out = (struct loss_gap){.lane_idx = LOSS_NO_LANE,
					 .reason = (enum loss_reason)i,
					 .count = sum->count,
					 .from = sum->from,
					 .to = sum->to};
		*gap_count = sum->gap_count;
		return true;
	}
	while (l->told < atomic_load_explicit(&l->newest, memory_order_relaxed)) {
		if (loss_read(l, l->told + 1, out) && !out->is_quiet)
			return true;
		l->told++;
	}
	return false;
}

void loss_told(struct loss_ledger *l, const struct loss_gap *gap)
{
	l->untold_count[gap->reason] -= gap->count;
	if (gap->number == 0)
		l->untold[gap->reason] = (struct loss_sum){0};
	else
		l->told = gap->number;
}
