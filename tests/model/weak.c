/* tests/model/weak.c - the real core/ring.c on a machine that reorders, by chance: what memory orders are for.
 *
 * Usage:    weak [--runs N] [--seed S]; exit 0, or 1 with what was violated and the seed.
 *
 * Samplers and the publisher are coroutines; one of them is resumed, by chance, at each shared access. The machine is one
 * that has a single memory, but cores that do not ask it in order, as ARM has it:
 *   stores   wait in a buffer of their core and leave it in any order, but a release only after all that was stored before
 *            it, and two of one word in order; a core sees its own at once
 *   loads    may have been made earlier: at any time since the core's last acquire, but not before what it has seen of that
 *            word
 *   RMW      is made at once, on memory; a release after all that its core has stored, an acquire is one for later loads;
 *            one that fails is neither
 * A release keeps plain stores in order too, and an acquire plain loads: that, and that records are free of races, is for
 * ThreadSanitizer to see (tests/race). Here records are written and read at once.
 *
 * Checked: the publisher never believes that more is left than is (it would discard what has to be kept); order a lane, in
 * each stream, and of the backlog before what is live;
 * held bytes do not change; ring's own assertions; when all are quiet, ring_check, nothing stranded, every message counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "core/prng.h"
#include "core/ring_layout.h"

enum order { relaxed, acquire, release, acq_rel };

static uint64_t weak_load(const void *at, enum order order);
static void weak_store(void *at, uint64_t value, enum order order);
static bool weak_cas(void *at, uint64_t old, uint64_t value, enum order order);

#define RING_LOAD(p, order)          weak_load(p, order)
#define RING_STORE(p, v, order)      weak_store(p, v, order)
#define RING_CAS(p, old, new, order) weak_cas(p, old, new, order)
#define RING_HINT(p)                 weak_load(p, relaxed)
#define RING_FORGETS(x)              ((void)0)
#include "core/ring_atomic.h"
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store_explicit
#define atomic_load(p)                     weak_load(p, acquire)
#define atomic_load_explicit(p, order)     weak_load(p, order##_of_c)
#define atomic_store_explicit(p, v, order) weak_store(p, v, order##_of_c)
#define memory_order_relaxed_of_c          relaxed
#define memory_order_acquire_of_c          acquire
#define memory_order_release_of_c          release
#include "core/ring.c"
#include "core/ring_check.c"
#include "core/ring_release.c"

static uint64_t judged_count(const struct ring *r);
static uint64_t judged_bytes(const struct ring *r);
#define ring_resident_count(r) judged_count(r)
#define ring_resident_bytes(r) judged_bytes(r)
#include "core/ring_take.c"

#define LANES         3u
#define THREADS       (LANES + 1)
#define PUBLISHER     LANES
#define NOBODY        THREADS
#define STACK_BYTES   65536u
#define WORDS_MAX     1024u
#define HISTORY       16u
#define BUFFER_MAX    12u
#define LOOK_BACK     400u /* steps: no load is older, or a core that acquires nothing would never see anything */
#define PAYLOAD_BYTES 16u
#define HOLDS_MAX     24u
#define MESSAGES_MAX  200u /* of a lane, in one run */

/* One word of memory, and what it was before. */
struct word {
	const void *at;
	struct {
		uint64_t since, value;
		uint64_t released; /* who acquires it sees what was done before this time */
	} was[HISTORY];
	uint32_t count;
	uint32_t writer;        /* the last */
	uint64_t seen[THREADS]; /* no load of this core is older */
};

struct store {
	void *at;
	uint64_t value;
	enum order order;
	uint32_t bytes;
};

struct core {
	ucontext_t context;
	struct store buffer[BUFFER_MAX];
	uint32_t count;
	uint64_t acquired; /* time before which it loads nothing any more */
	bool ended;
};

static struct word words[WORDS_MAX];
static struct core cores[THREADS];
static uint8_t stacks[THREADS][STACK_BYTES] CACHELINE_ALIGNED;
static ucontext_t scheduler;
static uint32_t running = NOBODY;
static uint64_t now;
static struct prng prng;
static uint64_t seed;
static struct ring *ring;
static bool splits, split_is_due;
/* A load that acquires is mostly as old as it may be: then what it orders is needed. */
static bool is_late;
/* It orders no more than C says: what was released to the value it loads. Otherwise all that is loaded after it is younger. */
static bool is_lax;

/* What is true, at once and for everybody. */
static struct {
	uint64_t fills[1u << 10]; /* messages in a segment, at its position */
	uint64_t in, overwritten;
	struct {
		uint64_t since, count;
	} left[1u << 10]; /* in - overwritten, and what it was before */
	uint32_t left_count;
	uint64_t made[LANES];
	uint64_t taken, sequence[LANES][RING_STREAM_COUNT];
	uint64_t live_first[LANES]; /* taken live since the last split; 0: none */
} truth;

static struct {
	struct ring_record *rec[HOLDS_MAX];
	uint32_t count;
} held;

static void violated(const char *what)
{
	(void)fprintf(stderr, "weak: %s (seed %llu)\n", what, (unsigned long long)seed);
	exit(1);
}

static void assert_hook(void)
{
	violated("an assertion of the ring");
}

/* --- the machine ---------------------------------------------------------------------------------------------------- */

static uint64_t memory_get(const void *at, size_t bytes)
{
	return bytes == 1 ? *(const uint8_t *)at : *(const uint64_t *)at;
}

static size_t bytes_of(const void *at)
{
	return at == &ring->publisher.is_split ? 1 : sizeof(uint64_t);
}

static struct word *word_of(const void *at)
{
	uint32_t i = (uint32_t)((uintptr_t)at / 8 * 2654435761u >> 7) % WORDS_MAX;

	for (; words[i].at && words[i].at != at; i = (i + 1) % WORDS_MAX)
		;
	if (!words[i].at) {
		words[i] = (struct word){.at = at, .count = 1, .writer = NOBODY};
		words[i].was[0].value = memory_get(at, bytes_of(at));
	}
	return &words[i];
}

/* What is true changes when memory does. */
static void judge(const void *at, uint64_t value)
{
	for (uint32_t i = 0; i < ring->shape.segment_count; i++) {
		if (at == &ring->segments[i].committed) {
			truth.fills[i]++;
			truth.in++;
		}
		if (at == &ring->segments[i].word && ring_state(value) == RING_SEG_OPEN) {
			if (ring_state(ring->segments[i].word) == RING_SEG_READY)
				truth.overwritten += truth.fills[i];
			truth.fills[i] = 0;
		}
	}
	truth.left[truth.left_count % ARRAY_COUNT(truth.left)].since = now;
	truth.left[truth.left_count++ % ARRAY_COUNT(truth.left)].count = truth.in - truth.overwritten;
}

/* The most that was left at any time since then. */
static uint64_t most_since(uint64_t since)
{
	uint64_t most = 0;

	for (uint32_t i = truth.left_count; i > 0 && i + ARRAY_COUNT(truth.left) > truth.left_count; i--) {
		most = max_u64(most, truth.left[(i - 1) % ARRAY_COUNT(truth.left)].count);
		if (truth.left[(i - 1) % ARRAY_COUNT(truth.left)].since <= since)
			break;
	}
	return most;
}

static uint64_t released_to(struct word *w)
{
	return w->was[(w->count - 1) % HISTORY].released;
}

/* An RMW goes on with what was released to the word before, and so does a store of the core that has stored there last. */
static void memory_set(void *at, uint64_t value, enum order order, bool is_rmw)
{
	struct word *w = word_of(at);
	uint64_t released = is_rmw || w->writer == running ? released_to(w) : 0;

	judge(at, value);
	if (bytes_of(at) == 1)
		*(uint8_t *)at = (uint8_t)value;
	else
		*(uint64_t *)at = value;
	now++;
	w->was[w->count % HISTORY].since = now;
	w->was[w->count % HISTORY].value = value;
	w->was[w->count % HISTORY].released = order == release || order == acq_rel ? now : released;
	w->count++;
	w->writer = running;
	w->seen[running < THREADS ? running : PUBLISHER] = now;
}

static bool may_leave(const struct core *c, uint32_t idx)
{
	if (c->buffer[idx].order == release)
		return idx == 0;
	for (uint32_t i = 0; i < idx; i++)
		if (c->buffer[i].at == c->buffer[idx].at)
			return false;
	return true;
}

static void leave(uint32_t core_idx, uint32_t idx)
{
	struct core *c = &cores[core_idx];
	struct store s = c->buffer[idx];
	uint32_t was = running;

	memmove(&c->buffer[idx], &c->buffer[idx + 1], (--c->count - idx) * sizeof(s));
	running = core_idx;
	memory_set(s.at, s.value, s.order, false);
	running = was;
}

static void leave_all(uint32_t core_idx)
{
	while (cores[core_idx].count > 0)
		leave(core_idx, 0);
}

/* Gives the core up, now and then, and lets something leave a buffer. */
static void step(void)
{
	uint32_t core_idx = prng_below(&prng, THREADS);
	const struct core *c = &cores[core_idx];

	now++;
	if (c->count > 0 && prng_below(&prng, 2)) {
		uint32_t idx = prng_below(&prng, c->count);

		if (may_leave(c, idx))
			leave(core_idx, idx);
	}
	if (prng_below(&prng, 3) == 0)
		(void)swapcontext(&cores[running].context, &scheduler);
}

static uint64_t weak_load(const void *at, enum order order)
{
	struct core *c = &cores[running];
	struct word *w;
	uint64_t when, from;
	uint32_t i;

	if (running == NOBODY)
		return memory_get(at, bytes_of(at));
	step();
	for (i = c->count; i > 0; i--)
		if (c->buffer[i - 1].at == at)
			return c->buffer[i - 1].value;
	w = word_of(at);
	from = max_u64(max_u64(c->acquired, w->seen[running]), now > LOOK_BACK ? now - LOOK_BACK : 0);
	if (prng_below(&prng, is_late && order == acquire ? 3 : 2) == 0)
		when = now;
	else
		when = is_late && order == acquire ? from
						   : from + prng_below(&prng, (uint32_t)(now - from) + 1);
	for (i = w->count - 1; i > 0 && i + HISTORY > w->count && w->was[i % HISTORY].since > when; i--)
		;
	w->seen[running] = max_u64(w->was[i % HISTORY].since, w->seen[running]);
	if (order == acquire)
		c->acquired = max_u64(c->acquired, is_lax ? w->was[i % HISTORY].released
							  : max_u64(when, w->was[i % HISTORY].since));
	return w->was[i % HISTORY].value;
}

static void weak_store(void *at, uint64_t value, enum order order)
{
	struct core *c = &cores[running];

	if (running == NOBODY) {
		if (bytes_of(at) == 1)
			*(uint8_t *)at = (uint8_t)value;
		else
			*(uint64_t *)at = value;
		return;
	}
	step();
	if (c->count == BUFFER_MAX)
		leave(running, 0);
	c->buffer[c->count++] = (struct store){.at = at, .value = value, .order = order};
}

static bool weak_cas(void *at, uint64_t old, uint64_t value, enum order order)
{
	struct core *c = &cores[running];
	uint64_t released;

	if (running == NOBODY) {
		bool is_old = memory_get(at, sizeof(uint64_t)) == old;

		if (is_old)
			*(uint64_t *)at = value;
		return is_old;
	}
	step();
	for (uint32_t i = 0; i < c->count;)
		if (c->buffer[i].at == at) {
			leave(running, i);
			i = 0;
		} else {
			i++;
		}
	if (memory_get(at, sizeof(uint64_t)) != old)
		return false; /* and nothing is released by it */
	if (order == release || order == acq_rel)
		leave_all(running);
	released = released_to(word_of(at));
	memory_set(at, value, order, true);
	if (order == acquire || order == acq_rel)
		c->acquired = max_u64(c->acquired, is_lax ? released : now);
	return true;
}

/* --- what runs on it ------------------------------------------------------------------------------------------------ */

/* All that has left the ring to the publisher's side, as it knows itself. */
static uint64_t gone_count(const struct ring *r)
{
	return RING_COUNT_LOAD(&r->map->taken) + RING_COUNT_LOAD(&r->map->discarded) +
	       RING_COUNT_LOAD(&r->map->expired);
}

static uint64_t judged_count(const struct ring *r)
{
	uint64_t since = running == NOBODY ? now : cores[running].acquired;
	uint64_t count = (ring_resident_count)(r);

	if (count > 0 && count + gone_count(r) > most_since(since))
		violated("the publisher believes that more is left than is");
	return count;
}

static uint64_t judged_bytes(const struct ring *r)
{
	uint64_t since = running == NOBODY ? now : cores[running].acquired;
	uint64_t bytes = (ring_resident_bytes)(r);

	if (bytes > 0 && bytes + RING_COUNT_LOAD(&r->map->gone_bytes) > most_since(since) * PAYLOAD_BYTES)
		violated("the publisher believes that more bytes are left than are");
	return bytes;
}

static void payload_verify(struct ring_record *rec)
{
	uint64_t is[2];

	memcpy(is, ring_payload(rec), sizeof(is));
	if (is[0] != rec->sequence || is[1] != rec->lane_idx)
		violated("a held message changed");
}

static void sampler_run(uint32_t lane_idx)
{
	uint32_t count = 1 + prng_below(&prng, MESSAGES_MAX);

	for (uint32_t i = 0; i < count; i++) {
		uint8_t *payload = ring_reserve(ring, lane_idx, 0, PAYLOAD_BYTES, (struct mono){.ns = now});
		uint64_t is[2] = {ring->samplers[lane_idx].sequence + 1, lane_idx};

		truth.made[lane_idx]++;
		if (!payload)
			continue;
		memcpy(payload, is, sizeof(is));
		ring_commit(ring, lane_idx, 0, PAYLOAD_BYTES, (struct mono){.ns = now});
		for (uint32_t pause = prng_below(&prng, 20) ? 0 : prng_below(&prng, 400); pause > 0; pause--)
			step();
	}
}

static uint32_t take_from(enum ring_stream_kind kind)
{
	struct ring_record **rec = held.rec + held.count;
	uint32_t room = prng_below(&prng, HOLDS_MAX - held.count + 1);
	struct mono at = {.ns = now};
	uint32_t count = kind == RING_LIVE ? ring_take(ring, rec, room, at)
					   : ring_take_replay(ring, rec, room, at);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t *last = &truth.sequence[rec[i]->lane_idx][kind];

		if (rec[i]->sequence <= *last)
			violated("a lane's order is broken");
		*last = rec[i]->sequence;
		if (kind == RING_LIVE && truth.live_first[rec[i]->lane_idx] == 0)
			truth.live_first[rec[i]->lane_idx] = rec[i]->sequence;
		if (kind == RING_REPLAY && truth.live_first[rec[i]->lane_idx] != 0 &&
		    rec[i]->sequence > truth.live_first[rec[i]->lane_idx])
			violated("the backlog has what comes after the first live one");
		payload_verify(rec[i]);
	}
	truth.taken += count;
	held.count += count;
	return count;
}

static uint32_t take_some(void)
{
	uint32_t count;

	if (split_is_due || (splits && prng_below(&prng, 4) == 0)) {
		for (uint32_t pause = running == NOBODY ? 0 : prng_below(&prng, 200); pause > 0; pause--)
			step();
		split_is_due = !ring_split(ring);
		if (!split_is_due)
			memset(truth.live_first, 0, sizeof(truth.live_first));
	}
	count = take_from(RING_LIVE);
	return count + take_from(RING_REPLAY);
}

static void release_some(uint32_t count)
{
	for (; count > 0; count--) {
		uint32_t i = prng_below(&prng, held.count);

		payload_verify(held.rec[i]);
		ring_release(ring, held.rec[i]);
		held.rec[i] = held.rec[--held.count];
	}
}

static bool samplers_have_ended(void)
{
	for (uint32_t i = 0; i < LANES; i++)
		if (!cores[i].ended)
			return false;
	return true;
}

static void publisher_run(void)
{
	while (!samplers_have_ended()) {
		if (prng_below(&prng, 8) == 0 || !ring_idle(ring))
			(void)take_some();
		if (held.count > 0 && prng_below(&prng, 3))
			release_some(prng_below(&prng, held.count) + 1);
		for (uint32_t pause = prng_below(&prng, 16) ? 0 : prng_below(&prng, 2000); pause > 0; pause--)
			step();
	}
}

static void core_main(void)
{
	uint32_t idx = running;

	if (idx == PUBLISHER)
		publisher_run();
	else
		sampler_run(idx);
	cores[idx].ended = true;
	(void)swapcontext(&cores[idx].context, &scheduler);
}

static void ring_by_chance(void)
{
	const struct ring_limits limits = {
		.message_count = prng_below(&prng, 2) ? 1 + prng_below(&prng, 30) : 1000,
		.record_bytes_max = PAYLOAD_BYTES,
		.lane_count = LANES,
		.byte_count = prng_below(&prng, 2) ? PAYLOAD_BYTES * (1 + prng_below(&prng, 30)) : 0,
	};
	uint32_t segment_count = 4u << prng_below(&prng, 3);
	const struct ring_shape shape = {
		.segment_count = segment_count,
		.segment_bytes = 64 * (1 + prng_below(&prng, 4)),
		.stride_bytes = 64,
		.lap_limit = 1 + prng_below(&prng, segment_count),
		.held_limit = 1 + prng_below(&prng, segment_count + 1),
		.waiting_limit = 1 + prng_below(&prng, segment_count + 1),
		.window_count = LANES + 1 + prng_below(&prng, segment_count),
	};

	splits = shape.waiting_limit > LANES + 1 && prng_below(&prng, 2); /* a split keeps these back */
	split_is_due = false;
	is_lax = prng_below(&prng, 4) == 0;
	is_late = is_lax || prng_below(&prng, 4) == 0;
	if (ring_open_shaped(&ring, &limits, &shape) < 0)
		violated("no ring");
}

/* Those that run have all stopped: the rest has to come out, and the books to balance. */
static void finish(void)
{
	struct ring_counts c;
	uint64_t made = 0;
	const char *why;

	for (uint32_t i = 0; i < THREADS; i++)
		leave_all(i);
	running = NOBODY;
	do {
		release_some(held.count);
	} while (take_some() > 0 || held.count > 0 || !ring_idle(ring) || !ring_replay_is_done(ring));
	if (ring_check(ring, &why) < 0)
		violated(why);
	for (uint32_t i = 0; i < LANES; i++)
		made += truth.made[i];
	c = ring_counts(ring);
	if (c.made != made || c.taken != truth.taken)
		violated("the counters are not what was done");
	if (made != c.taken + c.overwritten + c.expired + c.dropped)
		violated("messages were lost or made up");
}

static void run_by_chance(void)
{
	bool all_ended = false;

	memset(words, 0, sizeof(words));
	memset(&truth, 0, sizeof(truth));
	memset(&held, 0, sizeof(held));
	now = 1;
	prng = (struct prng){.state = seed};
	running = NOBODY;
	ring_by_chance();
	for (uint32_t i = 0; i < THREADS; i++) {
		struct core *c = &cores[i];

		*c = (struct core){0};
		(void)getcontext(&c->context);
		c->context.uc_stack.ss_sp = stacks[i];
		c->context.uc_stack.ss_size = STACK_BYTES;
		makecontext(&c->context, core_main, 0);
	}
	while (!all_ended) {
		uint32_t idx = prng_below(&prng, THREADS);

		all_ended = samplers_have_ended() && cores[PUBLISHER].ended;
		if (cores[idx].ended)
			continue;
		running = idx;
		(void)swapcontext(&scheduler, &cores[idx].context);
	}
	finish();
	ring_close(ring);
}

int main(int argc, char **argv)
{
	uint64_t run_count = 2000, first = 1, overwritten = 0, taken = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--runs") == 0)
			run_count = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			first = strtoull(argv[i + 1], NULL, 10);
	}
	assert_set_hook(assert_hook);
	for (seed = first; seed < first + run_count; seed++) {
		run_by_chance();
		overwritten += truth.overwritten;
		taken += truth.taken;
	}
	(void)printf("weak: %llu runs, %llu taken, %llu overwritten: in order, conserved, never believed to "
		     "be more\n",
		     (unsigned long long)run_count, (unsigned long long)taken,
		     (unsigned long long)overwritten);
	return 0;
}
