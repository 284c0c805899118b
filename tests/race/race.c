/* tests/race/race.c - the ring under more threads than cores, for ThreadSanitizer and for itself.
 *
 * Usage:    race [--seconds N] [--seed S]; exit 0, or 1 with what was violated. `make race` builds it with TSan.
 *
 * Three samplers, a publisher that holds messages at random and lets them go in any order, and an observer of the
 * counters run on rings of changing shape, from four segments of one record upwards. A payload is a function of lane
 * and sequence: it is verified when taken and again when released. After each ring the samplers stop, the publisher
 * drains, and order, conservation and every invariant of the quiet ring are checked. The publisher keeps the ledger of
 * losses as a target does: no message that it has called lost may come, and in the end it has located every loss. Now and
 * then it splits the ring into a live stream and a backlog, gives up a held message or lets one expire.
 *
 * The history is complete: each number that a lane gave out is taken once, given up or expired once after that, or it never
 * comes; those that never came, and were given up, are as many as were counted overwritten or expired; and no gap of the
 * ledger tells of a number that was taken and kept.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loss.h"
#include "core/prng.h"
#include "core/ring_layout.h"

#define LANES        3u
#define HOLDS_MAX    96u
#define HEADROOM     16u
#define PAYLOAD_MIN  16u
#define PAYLOAD_MAX  80u
#define HISTORY      (1u << 20) /* of a lane, in one ring */
#define ROUND_NS     (250 * NS_PER_MS)
#define STRIDE_BYTES (sizeof(struct ring_record) + HEADROOM + PAYLOAD_MAX)

static _Atomic bool stopping;

struct sampler {
	pthread_t thread;
	struct ring *ring;
	uint32_t lane_idx;
	uint64_t seed;
	uint64_t committed_count;
	uint64_t dropped_count;
};

/* What has become of a lane's number. */
enum fate { FATE_NEVER_CAME, FATE_TAKEN, FATE_GIVEN_UP, FATE_EXPIRED, FATE_COUNT };

struct held {
	struct ring_record *rec;
	uint64_t sequence;
};

struct publisher {
	struct ring *ring;
	struct prng prng;
	struct held held[HOLDS_MAX];
	uint32_t held_count;
	uint64_t last_sequence[LANES][RING_STREAM_COUNT];
	uint8_t *fates[LANES]; /* by number */
	bool split_is_due;
	bool splits; /* in this ring */
	struct loss_ledger *losses;
};

struct observer {
	struct ring *ring;
	const struct loss_ledger *losses;
};

static void fail(const char *what)
{
	(void)fprintf(stderr, "race: %s\n", what);
	exit(1);
}

static uint32_t payload_bytes_of(uint32_t lane_idx, uint64_t sequence)
{
	return PAYLOAD_MIN +
	       (uint32_t)((sequence * 2654435761u + lane_idx) >> 7) % (PAYLOAD_MAX - PAYLOAD_MIN + 1);
}

static void payload_fill(uint8_t *payload, uint32_t size_bytes, uint32_t lane_idx, uint64_t sequence)
{
	memcpy(payload, &sequence, sizeof(sequence));
	for (uint32_t i = sizeof(sequence); i < size_bytes; i++)
		payload[i] = (uint8_t)(sequence * 31 + i * 7 + lane_idx);
}

static void payload_verify(struct ring_record *rec, uint64_t sequence, const char *what)
{
	uint8_t expected[PAYLOAD_MAX];
	uint32_t size_bytes = payload_bytes_of(rec->lane_idx, sequence);

	payload_fill(expected, size_bytes, rec->lane_idx, sequence);
	if (rec->sequence != sequence || rec->payload_bytes != size_bytes || rec->headroom_bytes != HEADROOM)
		fail(what);
	if (memcmp(ring_payload(rec), expected, size_bytes) != 0)
		fail(what);
}

static void *sampler_run(void *arg)
{
	struct sampler *s = arg;
	struct prng prng = {.state = s->seed};

	while (!atomic_load_explicit(&stopping, memory_order_relaxed) && s->committed_count + 64 < HISTORY) {
		uint32_t burst = 1 + prng_below(&prng, 64);

		for (; burst > 0; burst--) {
			uint64_t sequence = s->committed_count + 1;
			uint32_t size_bytes = payload_bytes_of(s->lane_idx, sequence);
			struct mono now = clock_mono();
			uint8_t *payload = ring_reserve(s->ring, s->lane_idx, HEADROOM, size_bytes, now);

			if (!payload) {
				s->dropped_count++;
				continue;
			}
			payload_fill(payload, size_bytes, s->lane_idx, sequence);
			if (prng_below(&prng, 16) == 0)
				(void)sched_yield(); /* the publisher may touch, others may lap, a message half done */
			ring_commit(s->ring, s->lane_idx, 0, size_bytes, now);
			s->committed_count++;
		}
		/* Idle lanes: now and then one says nothing for a while, with its segment open. */
		if (prng_below(&prng, 8) == 0)
			for (uint32_t n = prng_below(&prng, 200); n > 0; n--)
				(void)sched_yield();
	}
	return NULL;
}

/* A gap is never seen half written. */
static void gaps_verify(const struct loss_ledger *losses)
{
	uint64_t newest = loss_newest(losses);
	struct loss_gap g;

	/* From those that leave the table next: they are written again. */
	for (uint64_t i = min_u64(newest, LOSS_GAPS_MAX); i-- > 0;)
		if (loss_read(losses, newest - i, &g) && g.lane_idx != LOSS_NO_LANE &&
		    (g.count != g.last - g.first + 1 || g.from.ns > g.to.ns))
			fail("a gap is torn");
}

/* Anyone may ask at any time: no counter goes back (but of taken and released, which give-ups lower), no backlog exceeds its limit. */
static void *observer_run(void *arg)
{
	const struct observer *o = arg;
	struct ring *r = o->ring;
	struct ring_counts before = {0};

	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		struct ring_counts c = ring_counts(r);

		if (ring_backlog(r) > r->limits.message_count)
			fail("the backlog is more than message_count");
		if (c.made < before.made || c.overwritten < before.overwritten ||
		    c.expired < before.expired || c.dropped < before.dropped)
			fail("a counter went back");
		before = c;
		gaps_verify(o->losses);
		(void)sched_yield();
	}
	return NULL;
}

static void fate_is(struct publisher *p, const struct ring_record *rec, enum fate from, enum fate to)
{
	uint8_t *fate = &p->fates[rec->lane_idx][rec->sequence];

	if (*fate != from)
		fail("a number comes twice, or ends twice");
	*fate = (uint8_t)to;
}

/* Most are through; some are called lost after all, as a target does when it is out of room for them, or they too old. */
static void let_go(struct publisher *p, struct ring_record *rec)
{
	switch (prng_below(&p->prng, 16)) {
	case 0:
		fate_is(p, rec, FATE_TAKEN, FATE_GIVEN_UP);
		loss_record(p->losses, rec, LOSS_OVERWRITTEN, false);
		ring_give_up(p->ring, rec);
		break;
	case 1:
		fate_is(p, rec, FATE_TAKEN, FATE_EXPIRED);
		loss_record(p->losses, rec, LOSS_EXPIRED, false);
		ring_expire(p->ring, rec);
		break;
	default: ring_release(p->ring, rec);
	}
}

static void release_some(struct publisher *p, uint32_t count)
{
	for (; count > 0; count--) {
		uint32_t i = prng_below(&p->prng, p->held_count);

		payload_verify(p->held[i].rec, p->held[i].sequence, "a held message changed");
		let_go(p, p->held[i].rec);
		p->held[i] = p->held[--p->held_count];
	}
}

static void split_some(struct publisher *p)
{
	p->split_is_due |= p->splits && prng_below(&p->prng, 64) == 0;
	if (!p->split_is_due || !loss_can_split(p->losses))
		return;
	if (ring_split(p->ring)) {
		loss_split(p->losses, p->ring);
		p->split_is_due = false;
	}
}

static uint32_t take_from(struct publisher *p, enum ring_stream_kind kind, uint32_t room)
{
	struct ring_record *rec[HOLDS_MAX];
	struct mono now = clock_mono();
	uint32_t count = kind == RING_LIVE ? ring_take(p->ring, rec, room, now)
					   : ring_take_replay(p->ring, rec, room, now);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t lane_idx = rec[i]->lane_idx;
		uint64_t lost_to;

		if (lane_idx >= LANES || rec[i]->sequence >= HISTORY)
			fail("a message of no lane");
		if (rec[i]->sequence <= p->last_sequence[lane_idx][kind])
			fail("a lane's order is broken");
		lost_to = p->losses->lanes[lane_idx].streams[kind].last_sequence;
		if (lost_to != UINT64_MAX &&
		    rec[i]->sequence <= lost_to) /* else: nothing came of this stream yet */
			fail("a message was called lost and comes all the same");
		if (!loss_follows(p->losses, rec[i], kind))
			loss_skipped(p->losses, p->ring, rec[i], kind);
		fate_is(p, rec[i], FATE_NEVER_CAME, FATE_TAKEN);
		p->last_sequence[lane_idx][kind] = rec[i]->sequence;
		payload_verify(rec[i], rec[i]->sequence, "a message is not what was committed");
		p->held[p->held_count++] = (struct held){.rec = rec[i], .sequence = rec[i]->sequence};
	}
	if (kind == RING_LIVE && count < room)
		loss_look(p->losses, p->ring, now);
	return count;
}

static uint32_t take_some(struct publisher *p)
{
	uint32_t room = prng_below(&p->prng, HOLDS_MAX - p->held_count + 1);
	uint32_t live_room = prng_below(&p->prng, 2) ? room : room / 2;
	uint32_t count;

	split_some(p);
	count = take_from(p, RING_LIVE, live_room);
	return count + take_from(p, RING_REPLAY, room - live_room);
}

static void publish_until(struct publisher *p, uint64_t end_ns)
{
	while (clock_mono().ns < end_ns) {
		uint32_t count = ring_idle(p->ring) ? 0 : take_some(p);

		if (count == 0)
			(void)sched_yield();
		/* Sometimes it lets go of little for long, and the ring fills with what is held. */
		if (p->held_count > 0 && prng_below(&p->prng, 4) != 0)
			release_some(p, prng_below(&p->prng, p->held_count) + 1);
		if (prng_below(&p->prng, 64) == 0)
			for (uint32_t n = prng_below(&p->prng, 100); n > 0; n--)
				(void)sched_yield();
	}
}

/* The samplers are quiet: everything must come out, and the books must balance. */
static void history_verify(const struct publisher *p, const struct sampler *samplers)
{
	uint64_t fates[FATE_COUNT] = {0}, newest = loss_newest(p->losses);
	struct ring_counts c = ring_counts(p->ring);
	struct loss_gap g;

	for (uint32_t i = 0; i < LANES; i++)
		for (uint64_t n = 1; n < HISTORY; n++) {
			if (n > samplers[i].committed_count && p->fates[i][n] != FATE_NEVER_CAME)
				fail("a number came that was not committed");
			fates[p->fates[i][n]] += n <= samplers[i].committed_count;
		}
	if (fates[FATE_TAKEN] != c.taken || c.released != c.taken)
		fail("not every number that was taken and kept is counted as taken");
	if (fates[FATE_NEVER_CAME] + fates[FATE_GIVEN_UP] + fates[FATE_EXPIRED] != c.overwritten + c.expired)
		fail("what never came is not what was counted as lost");
	if (fates[FATE_GIVEN_UP] > c.overwritten || fates[FATE_EXPIRED] > c.expired)
		fail("what was given up, or let expire, is not counted");
	for (uint64_t i = min_u64(newest, LOSS_GAPS_MAX); i-- > 0;) {
		if (!loss_read(p->losses, newest - i, &g) || g.lane_idx == LOSS_NO_LANE)
			continue;
		for (uint64_t n = g.first; n <= g.last; n++)
			if (n >= HISTORY || p->fates[g.lane_idx][n] == FATE_TAKEN)
				fail("a gap tells of a number that was taken and kept");
	}
}

static void finish(struct publisher *p, const struct sampler *samplers)
{
	struct ring_counts c;
	uint64_t made = 0, dropped = 0;
	const char *why;

	do {
		if (p->held_count > 0)
			release_some(p, p->held_count);
	} while (take_some(p) > 0 || p->held_count > 0 || !ring_idle(p->ring) ||
		 !ring_replay_is_done(p->ring));
	if (ring_check(p->ring, &why) < 0)
		fail(why);
	for (uint32_t i = 0; i < LANES; i++) {
		made += samplers[i].committed_count + samplers[i].dropped_count;
		dropped += samplers[i].dropped_count;
	}
	c = ring_counts(p->ring);
	if (c.made != made || c.dropped != dropped)
		fail("the counters are not what was done");
	if (c.made != c.taken + c.overwritten + c.expired + c.dropped)
		fail("messages were lost or made up");
	loss_look(p->losses, p->ring, clock_mono());
	const struct target_metrics *m = p->losses->metrics;

	if (counter_get(&m->lost_overwritten) + counter_get(&m->lost_expired) != c.overwritten + c.expired ||
	    counter_get(&m->lost_no_room) != c.dropped)
		fail("the ledger has not found what was lost");
	if (counter_get(&m->lost_expired) != c.expired)
		fail("the ledger tells of a loss by a wrong reason");
	history_verify(p, samplers);
}

/* Every other ring is as the product would have it; the rest have few and small segments, to meet often. */
static struct ring *ring_of_round(struct prng *prng, uint32_t round)
{
	struct ring_limits limits = {
		.message_count = round % 3 == 0 ? 1 + prng_below(prng, 50) : RING_MESSAGES_MAX,
		.record_bytes_max = HEADROOM + PAYLOAD_MAX,
		.lane_count = LANES,
		.inflight_max = HOLDS_MAX,
		.max_age_ns = round % 5 == 0 ? NS_PER_MS : 0,
	};
	uint32_t segment_count = 4u << prng_below(prng, 3);
	struct ring_shape shape = {
		.segment_count = segment_count,
		.segment_bytes = (uint32_t)STRIDE_BYTES * (1 + prng_below(prng, 4)),
		.stride_bytes = STRIDE_BYTES,
		.lap_limit = 1 + prng_below(prng, segment_count),
		.held_limit = 1 + prng_below(prng, segment_count + 1),
		.waiting_limit = 1 + prng_below(prng, segment_count + 1),
		.window_count = LANES + 1 + prng_below(prng, segment_count),
	};
	struct ring *r = NULL;
	int rc = round % 2 ? ring_open_shaped(&r, &limits, &shape) : ring_open(&r, &limits);

	if (rc < 0)
		fail("no ring");
	return r;
}

static uint64_t race_round(struct prng *prng, uint32_t round, struct ring_counts *sum)
{
	struct ring *r = ring_of_round(prng, round);
	struct sampler samplers[LANES] = {0};
	struct publisher p = {.ring = r, .prng = {.state = prng_next(prng)}};
	struct loss_ledger *losses = calloc(1, sizeof(*losses));
	struct loss_lane lanes[LANES] = {0};
	const struct observer seen = {.ring = r, .losses = losses};
	struct target_metrics metrics = {0};
	struct ring_counts c;
	pthread_t observer;

	if (!losses)
		fail("no memory");
	loss_init(losses, lanes, LANES, &metrics, clock_mono());
	p.losses = losses;
	p.splits = round % 4 >= 2 && r->shape.waiting_limit > LANES + 1; /* a split keeps these back */
	for (uint32_t i = 0; i < LANES; i++)
		if (!(p.fates[i] = calloc(HISTORY, 1)))
			fail("no memory");
	atomic_store(&stopping, false);
	for (uint32_t i = 0; i < LANES; i++) {
		samplers[i] = (struct sampler){.ring = r, .lane_idx = i, .seed = prng_next(prng)};
		if (pthread_create(&samplers[i].thread, NULL, sampler_run, &samplers[i]) != 0)
			fail("no thread");
	}
	if (pthread_create(&observer, NULL, observer_run, (void *)(uintptr_t)&seen) != 0)
		fail("no thread");
	publish_until(&p, clock_mono().ns + ROUND_NS);
	atomic_store(&stopping, true);
	for (uint32_t i = 0; i < LANES; i++)
		(void)pthread_join(samplers[i].thread, NULL);
	(void)pthread_join(observer, NULL);
	finish(&p, samplers);
	c = ring_counts(r);
	sum->made += c.made;
	sum->taken += c.taken;
	sum->overwritten += c.overwritten;
	sum->dropped += c.dropped;
	sum->expired += c.expired;
	for (uint32_t i = 0; i < LANES; i++)
		free(p.fates[i]);
	ring_close(r);
	free(losses);
	return c.made;
}

int main(int argc, char **argv)
{
	uint64_t seconds = 10, seed = 1;
	struct prng prng;
	struct ring_counts sum = {0};
	uint64_t end_ns;
	uint32_t round = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seconds") == 0)
			seconds = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
	}
	prng = (struct prng){.state = seed};
	end_ns = clock_mono().ns + seconds * NS_PER_S;
	do {
		if (race_round(&prng, round++, &sum) == 0)
			fail("no messages at all");
	} while (clock_mono().ns < end_ns);
	(void)printf("race: %llu messages, %llu taken, %llu overwritten, %llu expired, %llu dropped in %u "
		     "rings: conserved, "
		     "in order, unchanged while held\n",
		     (unsigned long long)sum.made, (unsigned long long)sum.taken,
		     (unsigned long long)sum.overwritten, (unsigned long long)sum.expired,
		     (unsigned long long)sum.dropped, round);
	return 0;
}
