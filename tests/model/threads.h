/* tests/model/threads.h - the samplers and the publisher of the search, and the judge of what they do.
 *
 * Purpose:  coroutines that stop before each shared access of core/ring.c, and say what they are about; every store
 *           and CAS is judged against the ghosts in struct world. Part of tests/model/explore.c, its only includer.
 * Threads:  one real one; `running` says which coroutine it is.
 */
#ifndef TESTS_MODEL_THREADS_H
#define TESTS_MODEL_THREADS_H

static uint64_t mix(uint64_t h, uint64_t v)
{
	unsigned __int128 m = (unsigned __int128)(v ^ h ^ 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;

	return (uint64_t)m ^ (uint64_t)(m >> 64) ^ (h << 23 | h >> 41);
}

static __attribute__((noinline)) void pause_at(enum pause why)
{
	struct thread *t = &w.threads[running];

	t->pause = why;
	t->stack_low = (const uint8_t *)__builtin_frame_address(0) - 256;
	if (_setjmp(t->at) == 0)
		_longjmp(scheduler, 1);
}

static void remember(uint64_t value)
{
	w.threads[running].memory = mix(w.threads[running].memory, value);
}

static void step_forgets(uint64_t kept)
{
	if (running != PUBLISHER) /* the publisher has callers that remember */
		w.threads[running].memory = mix(1, kept);
}

static struct ring_segment *segment_of_word(_Atomic uint64_t *at)
{
	for (uint32_t i = 0; i < K; i++)
		if (at == &ring->segments[i].word)
			return &ring->segments[i];
	return NULL;
}

/* The judge of a word that is about to change. */
static void judge_word(const struct ring_segment *seg, uint64_t old, uint64_t new)
{
	uint32_t idx = (uint32_t)(seg - ring->segments);

	if (new <= old)
		violated("a word did not increase");
	if (ring_position(new) % K != idx)
		violated("a position in the wrong segment");
	if (ring_state(new) == RING_SEG_OPEN) {
		if (ring->publisher.touched[idx].mine)
			violated("a sampler opened a segment the publisher holds");
		n.late += ring->map->head != ring_position(new);
		for (uint32_t m = 0; m < MESSAGES; m++)
			if (w.status[m] == RESIDENT && w.home[m] == idx) {
				w.status[m] = LOST;
				n.overwritten++;
			}
	}
	if (running == PUBLISHER && ring_state(new) == RING_SEG_FREE) {
		n.holes += ring_state(old) == RING_SEG_FREE;
		for (uint32_t m = 0; m < MESSAGES; m++)
			if (w.status[m] == RESIDENT && w.home[m] == idx)
				violated("a segment was freed with messages that were not delivered");
		for (uint32_t i = 0; i < w.held_count; i++)
			if (w.held[i].rec->segment_idx == idx)
				violated("a segment was freed with messages that are held");
	}
	if (running == PUBLISHER && ring_state(new) != RING_SEG_FREE)
		n.older += ring_position(new) < ring->publisher.streams[RING_LIVE].next;
}

/* A sampler's store of committed is the birth of its message. */
static void judge_commit(const struct ring_segment *seg, uint64_t value)
{
	uint32_t idx = (uint32_t)(seg - ring->segments);
	uint64_t word = seg->word;
	uint32_t m = running * MSG + w.made[running];

	if (running == PUBLISHER || ring_fill_of(ring, ring_position(word), value) == 0)
		violated("committed says what cannot be");
	if (ring_position(word) != ring->samplers[running].position || ring_state(word) > RING_SEG_HELD)
		violated("a sampler commits in a segment it lost");
	if (w.status[m] != UNBORN)
		violated("a message was committed twice");
	w.status[m] = RESIDENT;
	w.home[m] = (uint8_t)idx;
}

static uint64_t step_load(_Atomic uint64_t *at)
{
	uint64_t value;

	pause_at(AT_ACCESS);
	value = *at;
	remember(value);
	return value;
}

static void step_store(_Atomic uint64_t *at, uint64_t value)
{
	struct ring_segment *seg;

	pause_at(AT_ACCESS);
	seg = segment_of_word(at);
	if (seg)
		judge_word(seg, *at, value);
	for (uint32_t i = 0; i < K; i++)
		if (at == &ring->segments[i].committed)
			judge_commit(&ring->segments[i], value);
	*at = value;
	remember(2);
}

static bool step_cas(_Atomic uint64_t *at, uint64_t old, uint64_t value)
{
	struct ring_segment *seg;

	pause_at(AT_ACCESS);
	remember(*at == old);
	if (*at != old)
		return false;
	seg = segment_of_word(at);
	if (seg)
		judge_word(seg, old, value);
	*at = value;
	return true;
}

static void sampler_main(void)
{
	uint32_t me = running;

	while (w.made[me] < MSG) {
		uint32_t bytes = SIZES && w.made[me] % 2 ? 32 : 16;
		uint8_t *payload;

		pause_at(AT_BOUNDARY);
		payload = ring_reserve(ring, me, 0, bytes, (struct mono){0});
		if (!payload) {
			n.dropped++;
			w.drops[me]++;
			w.status[me * MSG + w.made[me]++] = LOST;
			continue;
		}
		w.threads[me].memory = 3;
		memset(payload, (int)(me * MSG + w.made[me] + 1), bytes);
		ring_commit(ring, me, me * MSG + w.made[me], bytes, (struct mono){0});
		w.made[me]++;
	}
	pause_at(AT_END);
}

static void held_verify(const struct held *h)
{
	if (h->rec->channel_idx != h->message || ring_payload(h->rec)[0] != h->message + 1)
		violated("held bytes changed");
}

/* Within a lane: what is taken of the backlog is the oldest there is, and older than all that was taken live since the
 * split; what is taken live leaves out nothing that is younger than the last one. */
static void judge_order(uint32_t lane, uint32_t m)
{
	uint32_t from = lane * MSG;

	if (w.stream == RING_REPLAY && w.live_first[lane] && m + 1 >= w.live_first[lane])
		violated("order of a lane: the backlog has what comes after the first live one");
	if (w.stream == RING_LIVE) {
		if (m + 1 <= w.live_last[lane])
			violated("order of a lane: a live message after a younger one");
		if (w.split_count)
			from = w.live_last[lane] ? w.live_last[lane] : m;
		if (w.live_first[lane] == 0)
			w.live_first[lane] = (uint8_t)(m + 1);
		w.live_last[lane] = (uint8_t)(m + 1);
	}
	for (uint32_t older = from; older < m; older++)
		if (w.status[older] == RESIDENT)
			violated("order of a lane: an older message is still in the ring");
}

static void publisher_take(void)
{
	struct ring_record *rec;
	uint32_t at, m;

	if (w.stream == RING_STREAM_COUNT) {
		if (!ring_split(ring))
			return;
		w.split_count++;
		memset(w.live_first, 0, sizeof(w.live_first));
		memset(w.live_last, 0, sizeof(w.live_last));
		return;
	}
	if (w.stream == RING_REPLAY ? ring_take_replay(ring, &rec, w.room, (struct mono){0}) == 0
				    : ring_take(ring, &rec, w.room, (struct mono){0}) == 0)
		return;
	m = rec->channel_idx;
	if (m >= MESSAGES || w.status[m] != RESIDENT || w.home[m] != rec->segment_idx)
		violated("a record was taken that is not committed in this life of its segment");
	if (rec->lane_idx != m / MSG || ring_payload(rec)[0] != m + 1)
		violated("a record's bytes are wrong");
	judge_order(m / MSG, m);
	w.status[m] = DELIVERED;
	for (at = w.held_count++; at > 0 && w.held[at - 1].message > m; at--)
		w.held[at] = w.held[at - 1];
	w.held[at] = (struct held){.rec = rec, .message = m};
}

static void publisher_main(void)
{
	for (;;) {
		w.threads[PUBLISHER].memory = 0;
		pause_at(AT_BOUNDARY);
		if (w.release < H) {
			struct held h = w.held[w.release];

			held_verify(&h);
			for (uint32_t i = w.release; i + 1 < w.held_count; i++)
				w.held[i] = w.held[i + 1];
			w.held_count--;
			ring_release(ring, h.rec);
		} else {
			w.threads[PUBLISHER].memory = 4 + w.room + 2 * w.stream;
			publisher_take();
		}
	}
}

static void resume(uint32_t thread)
{
	struct thread *t = &w.threads[thread];

	running = thread;
	ring->shape.lap_limit = t->early ? 0 : UINT32_MAX;
	if (_setjmp(scheduler) == 0)
		_longjmp(t->at, 1);
}

/* From a boundary to behind its first access: what comes before that touches nothing shared. */
static void advance(uint32_t thread)
{
	enum pause was = w.threads[thread].pause;

	resume(thread);
	if (was == AT_BOUNDARY && w.threads[thread].pause == AT_ACCESS)
		resume(thread);
	if (w.threads[thread].pause != AT_ACCESS) {
		w.threads[thread].early = false;
		w.threads[thread].memory = 0;
	}
}

#endif
