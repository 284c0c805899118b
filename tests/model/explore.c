/* tests/model/explore.c - every interleaving of the real core/ring.c, within bounds given at compile time.
 *
 * The ring's shared loads, stores and CAS are macros (core/ring_atomic.h); here each of them first gives the thread
 * up. Samplers and the publisher are coroutines; a depth-first search resumes one of them for one access, then looks
 * at the state. A state is put back by copying the ring's memory, the coroutines' stacks and the ghosts, and known
 * again by a 63-bit fingerprint. Meeting a state of the current path is a cycle: steps without progress.
 *
 * K segments of R records, LANES samplers x MSG messages, at most H records held; EARLY 1: a lane may close its segment
 * at any message (covers every lap_limit). WINDOW, HELD_LIMIT: of struct ring_shape. SIZES 1: every second message is
 * twice as long. The publisher takes one record, or none (it only walks and looks), or lets one go, in any order; it may
 * split the ring SPLITS times, at any moment, and then takes from either stream.
 * A sampler that stops for ever needs no code: it is a path on which it is not scheduled, and every check is made in
 * every state. Sequentially consistent only: orders are ThreadSanitizer's business (tests/race).
 *
 * Checked: words only rise, and only in their own segment; a held segment is never opened; a record taken was committed in this life of its segment, is taken once, in its lane's order; held bytes
 * do not change; a freed segment has nothing left; ring_check in every quiet state; whenever the publisher can do no
 * more, nothing is stranded; no cycle, no deadlock. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "core/ring_layout.h"

static uint64_t step_load(_Atomic uint64_t *at);
static void step_store(_Atomic uint64_t *at, uint64_t value);
static bool step_cas(_Atomic uint64_t *at, uint64_t old, uint64_t value);
static void step_forgets(uint64_t kept);

#define NO_PROBES                    /* they are no part of what is searched */
#define RING_LOAD(p, order)          step_load(p)
#define RING_STORE(p, v, order)      step_store(p, v)
#define RING_CAS(p, old, new, order) step_cas(p, old, new)
#define RING_HINT(p)                 0
#define RING_FORGETS(x)              step_forgets(x)
#include "core/ring.c"
#include "core/ring_release.c"
#include "core/ring_take.c"

#ifndef K
#define K 2
#endif
#ifndef LANES
#define LANES 2
#endif
#ifndef R
#define R 1
#endif
#ifndef MSG
#define MSG 2
#endif
#ifndef H
#define H 1
#endif
#ifndef EARLY
#define EARLY 0
#endif
#ifndef SIZES
#define SIZES 0
#endif
#ifndef SPLITS
#define SPLITS 0
#endif
#ifndef WINDOW
#define WINDOW (K + LANES + 1)
#endif
#ifndef HELD_LIMIT
#define HELD_LIMIT (K + 1 + (SPLITS ? LANES + 1 : 0)) /* more than all: a split keeps some back */
#endif
#ifndef TABLE_BITS
#define TABLE_BITS 26
#endif

#define THREADS     (LANES + 1)
#define PUBLISHER   LANES
#define STACK_BYTES 32768u
#define SAVED_BYTES 4096u
#define DEPTH_MAX   2000
#define MESSAGES    (LANES * MSG)
#define STRIDE      (64 + 16 * SIZES)

/* What a message is, for the judge. */
enum status { UNBORN, RESIDENT, DELIVERED, LOST };

/* Where a thread stands. */
enum pause { AT_ACCESS, AT_BOUNDARY, AT_END };

struct thread {
	jmp_buf at;
	const uint8_t *stack_low; /* of what is live */
	uint64_t memory;          /* hash of what it has read and not forgotten */
	enum pause pause;
	bool early; /* sampler: closes before its next message */
};

struct held {
	struct ring_record *rec;
	uint32_t message;
};

/* Everything but the ring's memory and the stacks. */
static struct world {
	struct thread threads[THREADS];
	struct held held[H + 1];
	uint32_t held_count;
	uint32_t room;    /* the publisher's next operation: take so many, */
	uint32_t release; /* or let go of this one, */
	uint32_t stream;  /* the one to take from; RING_STREAM_COUNT: split */
	uint8_t split_count;
	uint8_t live_first[LANES], live_last[LANES]; /* taken live since the last split, + 1; 0: none */
	uint8_t status[MESSAGES];
	uint8_t home[MESSAGES]; /* segment */
	uint8_t made[LANES];    /* messages, dropped ones too */
	uint8_t drops[LANES];
	uint8_t committing[LANES];
} w;

static uint8_t stacks[THREADS][STACK_BYTES] CACHELINE_ALIGNED;
static ucontext_t entries[THREADS];
static jmp_buf scheduler;
static uint32_t running;
static struct ring *ring;

static struct {
	uint64_t states, transitions, quiet, ends, overwritten, dropped, late, holes, jumps, older, deepest;
} n;

enum act {
	ACT_STEP,
	ACT_EARLY = THREADS,
	ACT_TAKE = ACT_EARLY + LANES,
	ACT_LOOK,
	ACT_TAKE_OLD,
	ACT_SPLIT,
	ACT_RELEASE,
	ACT_END = ACT_RELEASE + H
};

/* Two runs of the block, around the padding before the map. */
#define BLOCK_LOW_BYTES  4096u
#define BLOCK_HIGH_BYTES (1024u + LANES * 128u + K * 128u + K * R * STRIDE)

struct frame {
	struct world w;
	uint8_t saved[THREADS][SAVED_BYTES];
	uint8_t low[BLOCK_LOW_BYTES], high[BLOCK_HIGH_BYTES];
	uint64_t slot;
	uint32_t act;
	bool publisher_can, any;
	uint32_t done; /* the act that led on from here */
};

static struct frame *path;
static uint32_t depth;
static uint64_t *table;
static uint32_t low_bytes, high_bytes;

static void summary(const char *verdict)
{
	printf("%-28s K=%d lanes=%dx%d R=%d H=%d early=%d sizes=%d window=%d splits=%d | states %llu "
	       "transitions %llu "
	       "depth %llu | "
	       "overwritten %llu dropped %llu late-opens %llu holes %llu jumps %llu older %llu "
	       "quiet %llu\n",
	       verdict, K, LANES, MSG, R, H, EARLY, SIZES, WINDOW, SPLITS, (unsigned long long)n.states,
	       (unsigned long long)n.transitions, (unsigned long long)n.deepest,
	       (unsigned long long)n.overwritten, (unsigned long long)n.dropped, (unsigned long long)n.late,
	       (unsigned long long)n.holes, (unsigned long long)n.jumps, (unsigned long long)n.older,
	       (unsigned long long)n.quiet);
}

static void violated(const char *what)
{
	printf("CAUGHT: %s\n", what);
	if (getenv("TRACE")) {
		for (uint32_t i = 0; i < depth; i++)
			printf(" %u", path[i].done);
		printf("\nhead %llu next %llu", (unsigned long long)ring->map->head,
		       (unsigned long long)ring->publisher.streams[RING_LIVE].next);
		for (uint32_t i = 0; i < K; i++)
			printf(" | state %u position %llu fill %u", ring_state(ring->segments[i].word),
			       (unsigned long long)ring_position(ring->segments[i].word),
			       ring_fill_of(ring, ring_position(ring->segments[i].word),
					    ring->segments[i].committed));
		printf("\n");
	}
	summary("  found within");
	exit(1);
}

static void assert_hook(void)
{
	violated("an assertion of the ring");
}

#include "tests/model/threads.h"

/* ---------------------------------------------------------------------------------------------- states */

static void save(struct frame *f)
{
	f->w = w;
	for (uint32_t i = 0; i < THREADS; i++) {
		size_t live_bytes = (size_t)(stacks[i] + STACK_BYTES - w.threads[i].stack_low);

		ASSERT(live_bytes <= SAVED_BYTES);
		memcpy(f->saved[i], w.threads[i].stack_low, live_bytes);
	}
	memcpy(f->low, ring, low_bytes);
	memcpy(f->high, ring->map, high_bytes);
}

static void restore(const struct frame *f)
{
	w = f->w;
	for (uint32_t i = 0; i < THREADS; i++) {
		size_t live_bytes = (size_t)(stacks[i] + STACK_BYTES - w.threads[i].stack_low);

		memcpy(stacks[i] + STACK_BYTES - live_bytes, f->saved[i], live_bytes);
	}
	memcpy(ring, f->low, low_bytes);
	memcpy(ring->map, f->high, high_bytes);
}

/* What is stale is left out, or states that behave alike would count as different. */
static uint64_t fingerprint(void)
{
	const struct ring_publisher *p = &ring->publisher;
	uint64_t h = mix(ring->map->head, p->streams[RING_LIVE].next);

	if (SPLITS)
		h = mix(mix(mix(h, p->split), p->streams[RING_REPLAY].next),
			w.split_count | (uint64_t)w.stream << 8 | (uint64_t)p->split_is_due << 16 |
				(uint64_t)p->is_split << 17);
	for (uint32_t i = 0; i < K; i++) {
		const struct ring_segment *seg = &ring->segments[i];
		uint32_t fill = ring_fill_of(ring, ring_position(seg->word), seg->committed);
		const struct ring_touched *t = &p->touched[i];

		h = mix(h, seg->word);
		if (ring_state(seg->word) == RING_SEG_FREE)
			continue;
		h = mix(h, fill);
		for (uint32_t at = 0; at < fill;) {
			const struct ring_record *rec = ring_record_at(ring, i, at);

			h = mix(h, rec->channel_idx);
			at += ring_record_units(rec->headroom_bytes, rec->payload_bytes);
		}
		if (t->mine)
			h = mix(mix(h, t->seen | (uint64_t)t->taken << 16 | (uint64_t)t->holds << 32 |
					       (uint64_t)t->closed << 48 | (uint64_t)t->stream << 50),
				(uint64_t)t->lane_idx << 32 | t->next_idx);
	}
	for (uint32_t i = 0; i < p->unclosed_count; i++)
		h = mix(h, p->unclosed[i] + 1);
	h = mix(h, p->streams[RING_LIVE].ready_lanes | p->streams[RING_REPLAY].ready_lanes << 32);
	for (uint32_t i = 0; i < w.held_count; i++)
		h = mix(h, w.held[i].message + 100);
	for (uint32_t i = 0; i < LANES; i++) {
		const struct ring_sampler *s = &ring->samplers[i];

		h = mix(h, w.made[i] | (uint64_t)w.drops[i] << 8 | (uint64_t)s->reserved << 16);
		h = mix(h, s->segment_idx == RING_NO_SEGMENT ? 0 : s->position << 8 | s->fill);
		h = mix(h, ring->lane_counts[i].overwriting);
		if (SPLITS)
			h = mix(h, w.live_first[i] | (uint64_t)w.live_last[i] << 8);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		h = mix(h, w.threads[i].memory << 4 | w.threads[i].early << 3 | w.threads[i].pause);
	h ^= h >> 31;
	h *= 0xbf58476d1ce4e5b9ull;
	return h ^ h >> 29;
}

/* 0: new; 1: on the current path; 2: known. */
static int visit(struct frame *f)
{
	uint64_t h = fingerprint();
	uint64_t mark = h << 1 | 1;
	uint64_t i = h >> (64 - TABLE_BITS);

	if (mark == 1)
		mark = 3;
	for (; table[i]; i = (i + 1) & ((1ull << TABLE_BITS) - 1))
		if ((table[i] | 1) == mark)
			return table[i] & 1 ? 1 : 2;
	table[i] = mark;
	f->slot = i;
	if (++n.states > (1ull << TABLE_BITS) / 10 * 9) {
		summary("NOT COMPLETE, table full");
		exit(2);
	}
	return 0;
}

/* Would a ring_take change anything? The search does not poll in vain, so that a cycle is a livelock. */
static bool take_has_work(enum ring_stream_kind kind, uint32_t room)
{
	const struct ring_publisher *p = &ring->publisher;

	if (kind == RING_REPLAY && ring_replay_is_done(ring))
		return false;
	if (!ring_replay_is_done(ring) && p->streams[RING_REPLAY].ready_count == 0 &&
	    p->streams[RING_REPLAY].next == p->split)
		return true; /* to find that the backlog is done */
	if (kind == RING_LIVE && can_walk(ring, RING_LIVE, end_of(ring, RING_LIVE, ring->map->head)) &&
	    p->streams[RING_LIVE].ready_count < (ring_replay_is_done(ring) ? WINDOW : LANES + 1))
		return true;
	if (!ring_replay_is_done(ring) && can_walk(ring, RING_REPLAY, p->split) &&
	    p->streams[RING_REPLAY].ready_count < LANES + 1)
		return true;
	for (uint32_t i = 0; i < p->unclosed_count; i++) {
		const struct ring_segment *seg = &ring->segments[p->unclosed[i]];
		const struct ring_touched *t = &p->touched[p->unclosed[i]];

		if (ring_state(seg->word) == RING_SEG_CLAIMED ||
		    ring_fill_of(ring, t->position, seg->committed) != t->seen)
			return true;
	}
	return room > 0 && p->streams[kind].ready_count > 0;
}

/* Does the act, or says that it cannot be done here. */
static bool perform(uint32_t act)
{
	const struct thread *publisher = &w.threads[PUBLISHER];

	if (act < ACT_EARLY) {
		const struct thread *t = &w.threads[act];

		if (t->pause == AT_END || (act == PUBLISHER && t->pause == AT_BOUNDARY))
			return false;
		advance(act);
		return true;
	}
	if (act < ACT_TAKE) {
		struct thread *t = &w.threads[act - ACT_EARLY];

		if (!EARLY || t->pause != AT_BOUNDARY ||
		    ring->samplers[act - ACT_EARLY].segment_idx == RING_NO_SEGMENT)
			return false;
		t->early = true;
		advance(act - ACT_EARLY);
		return true;
	}
	if (publisher->pause != AT_BOUNDARY)
		return false;
	if (act < ACT_SPLIT) {
		w.room = act != ACT_LOOK;
		w.release = H;
		w.stream = act == ACT_TAKE_OLD ? RING_REPLAY : RING_LIVE;
		if ((w.room && w.held_count == H) || !take_has_work((enum ring_stream_kind)w.stream, w.room))
			return false;
		n.jumps += ring->map->head - ring->publisher.streams[w.stream].next > K;
		advance(PUBLISHER);
		return true;
	}
	if (act == ACT_SPLIT) {
		w.release = H;
		w.stream = RING_STREAM_COUNT;
		if (w.split_count == SPLITS || (ring->publisher.split_is_due && has_leftovers(ring)))
			return false;
		advance(PUBLISHER);
		return true;
	}
	w.release = act - ACT_RELEASE;
	if (w.release >= w.held_count)
		return false;
	advance(PUBLISHER);
	return true;
}

static void check_quiet(void)
{
	struct ring_counts c;
	uint64_t made = 0, dropped = 0;
	const char *why;

	for (uint32_t i = 0; i < THREADS; i++)
		if (w.threads[i].pause == AT_ACCESS)
			return;
	n.quiet++;
	if (ring_check(ring, &why) < 0)
		violated(why);
	c = ring_counts(ring);
	for (uint32_t i = 0; i < LANES; i++) {
		made += w.made[i];
		dropped += w.drops[i];
	}
	if (c.made != made || c.dropped != dropped)
		violated("made or dropped is miscounted");
}

/* The publisher alone can do nothing more: it must have found everything. */
static void check_nothing_stranded(void)
{
	for (uint32_t m = 0; m < MESSAGES; m++)
		if (w.status[m] == RESIDENT)
			violated("a committed message is stranded");
	for (uint32_t i = 0; i < K; i++)
		if (ring_state(ring->segments[i].word) == RING_SEG_CLAIMED ||
		    ring_state(ring->segments[i].word) == RING_SEG_READY)
			violated("a closed segment is never freed");
}

static void leave(const struct frame *f)
{
	if (f->publisher_can && f->any) {
		table[f->slot] &= ~1ull;
		return;
	}
	restore(f);
	if (!f->publisher_can)
		check_nothing_stranded();
	if (!f->any) {
		n.ends++;
		for (uint32_t i = 0; i < LANES; i++)
			if (w.threads[i].pause != AT_END)
				violated("deadlock");
	}
	table[f->slot] &= ~1ull;
}

static void enter(void)
{
	struct frame *f = &path[depth];

	save(f);
	f->act = 0;
	f->publisher_can = f->any = false;
	if (++depth > n.deepest)
		n.deepest = depth;
	if (depth == DEPTH_MAX)
		violated("a path without end");
}

static void search(void)
{
	bool moved = false; /* is the world another than the last frame's? */

	(void)visit(&path[0]);
	enter();
	while (depth > 0) {
		struct frame *f = &path[depth - 1];
		bool led_on = false;

		while (f->act < ACT_END && !led_on) {
			int known;

			if (moved)
				restore(f);
			moved = false;
			f->done = f->act++;
			if (!perform(f->done))
				continue;
			moved = true;
			n.transitions++;
			f->any = true;
			f->publisher_can |= f->done == PUBLISHER || f->done >= ACT_TAKE;
			known = visit(&path[depth]);
			if (known == 1)
				violated("a cycle: steps without progress");
			if (known == 0) {
				check_quiet();
				led_on = true;
			}
		}
		if (led_on) {
			enter();
			moved = false;
		} else {
			leave(f);
			depth--;
			moved = true;
		}
	}
}

static void start(void)
{
	const struct ring_limits limits = {
		.message_count = RING_MESSAGES_MAX, .record_bytes_max = STRIDE - 48, .lane_count = LANES};
	const struct ring_shape shape = {
		.segment_count = K,
		.segment_bytes = R * STRIDE,
		.stride_bytes = STRIDE,
		.held_limit = HELD_LIMIT,
		.waiting_limit = K + LANES + 2,
		.window_count = WINDOW,
	};

	if (ring_open_shaped(&ring, &limits, &shape) < 0)
		exit(2);
	low_bytes = (uint32_t)((uint8_t *)(ring->publisher.unclosed + K) - (uint8_t *)ring);
	high_bytes = (uint32_t)(ring->records + K * R * STRIDE - (uint8_t *)ring->map);
	ASSERT(low_bytes <= BLOCK_LOW_BYTES);
	ASSERT(high_bytes <= BLOCK_HIGH_BYTES);
	for (uint32_t i = 0; i < THREADS; i++) {
		(void)getcontext(&entries[i]);
		entries[i].uc_stack.ss_sp = stacks[i];
		entries[i].uc_stack.ss_size = STACK_BYTES;
		makecontext(&entries[i], i == PUBLISHER ? publisher_main : sampler_main, 0);
		running = i;
		if (_setjmp(scheduler) == 0)
			(void)setcontext(&entries[i]);
	}
}

int main(void)
{
	assert_set_hook(assert_hook);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	table = calloc(1ull << TABLE_BITS, sizeof(*table));
	path = calloc(DEPTH_MAX + 1, sizeof(*path));
	if (!table || !path)
		return 2;
	start();
	search();
	summary("ok, complete");
	return 0;
}
