/* perf/queue_ring.c - our ring as one of the queues that bench_ring compares.
 *
 * As the node uses it: 40 bytes of headroom before each payload, one lane a producer, the time read once a batch. The
 * consumer judges the payload where it lies and releases it after its batch. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/ring_file.h"
#include "perf/queue.h"

#define HEADROOM_BYTES 40u

struct ring_queue {
	struct queue queue;
	struct ring_file file; /* ring in a file */
	struct ring *ring;
	char path[256];
	uint32_t held_first, held_count; /* the consumer's, oldest first */
	struct ring_record *held[2 * QUEUE_HELD];
};

static struct ring_queue *ring_queue_of(struct queue *q)
{
	return container_of(q, struct ring_queue, queue);
}

/* Not inlined, as the consumer: so that a profiler can tell the two sides apart. */
__attribute__((noinline)) static void ring_produce(struct queue *q, struct message_maker *maker,
						   uint32_t count, struct mono now)
{
	struct ring *r = ring_queue_of(q)->ring;

	for (uint32_t i = 0; i < count; i++) {
		uint8_t *payload = ring_reserve(r, maker->producer_idx, HEADROOM_BYTES, MESSAGE_BYTES, now);

		if (!payload) {
			message_skip(maker);
			continue;
		}
		message_write(maker, payload);
		ring_commit(r, maker->producer_idx, 0, MESSAGE_BYTES, now);
	}
}

__attribute__((noinline)) static uint32_t ring_consume(struct queue *q, struct message_judge *judge,
						       struct mono now)
{
	struct ring *r = ring_queue_of(q)->ring;
	struct ring_record *batch[QUEUE_BATCH];
	uint32_t count = ring_take(r, batch, QUEUE_BATCH, now);

	for (uint32_t i = 0; i < count; i++)
		message_judge(judge, ring_payload(batch[i]));
	for (uint32_t i = 0; i < count; i++)
		ring_release(r, batch[i]);
	return count;
}

static void held_release_oldest(struct ring_queue *rq)
{
	ring_release(rq->ring, rq->held[rq->held_first++ % ARRAY_COUNT(rq->held)]);
	rq->held_count--;
}

/* A message is judged when it is taken, as without holding: the same work. That a held one stays as it is, is for the unit
 * tests. */
static uint32_t ring_consume_held(struct queue *q, struct message_judge *judge, struct mono now)
{
	struct ring_queue *rq = ring_queue_of(q);
	struct ring_record *batch[QUEUE_BATCH];
	uint32_t count = ring_take(rq->ring, batch, QUEUE_BATCH, now);

	for (uint32_t i = 0; i < count; i++) {
		if (rq->held_count == QUEUE_HELD)
			held_release_oldest(rq);
		rq->held[(rq->held_first + rq->held_count++) % ARRAY_COUNT(rq->held)] = batch[i];
		message_judge(judge, ring_payload(batch[i]));
	}
	return count;
}

static uint64_t ring_lost_count(struct queue *q)
{
	struct ring_counts c = ring_counts(ring_queue_of(q)->ring);

	return c.overwritten + c.dropped + c.expired;
}

static void ring_queue_close(struct queue *q)
{
	struct ring_queue *rq = ring_queue_of(q);

	while (rq->held_count > 0)
		held_release_oldest(rq);
	if (q->kind == QUEUE_RING_FILE) {
		ring_file_close(&rq->file);
		unlink(rq->path);
	} else {
		ring_close(rq->ring);
	}
	free(rq);
}

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench_ring: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void file_open(struct ring_queue *rq, const struct ring_limits *limits, const char *folder)
{
	static const struct ring_file_topic topic = {.topic = {(const uint8_t *)"t", 1}};
	struct ring_file_config config = {
		.path = rq->path, .limits = *limits, .topics = &topic, .topic_count = 1, .epoch = 1};
	int rc;

	config.limits.lane_count++; /* for what an older file had */
	snprintf(rq->path, sizeof(rq->path), "%s/bench.ring", folder);
	rc = ring_file_open(&rq->file, &config, NULL, 0, clock_mono(), clock_wall());
	if (rc == 0 && rq->file.handle < 0)
		rc = -EIO; /* it would be a ring in memory */
	if (rc < 0)
		die(rq->path, rc);
	rq->ring = rq->file.ring;
}

struct queue *queue_ring_open(enum queue_kind kind, uint32_t producer_count, const char *folder)
{
	static const struct queue_ops at_once = {ring_produce, ring_consume, ring_lost_count,
						 ring_queue_close};
	static const struct queue_ops held = {ring_produce, ring_consume_held, ring_lost_count,
					      ring_queue_close};
	const struct ring_limits limits = {.message_count = QUEUE_MESSAGES,
					   .record_bytes_max = HEADROOM_BYTES + MESSAGE_BYTES,
					   .lane_count = producer_count,
					   .inflight_max = 2 * QUEUE_BATCH};
	struct ring_queue *rq = queue_memory(sizeof(*rq));
	int rc = 0;

	rq->queue.ops = kind == QUEUE_RING_HELD ? &held : &at_once;
	rq->queue.memory_bytes = ring_size_bytes(&limits);
	if (kind == QUEUE_RING_FILE)
		file_open(rq, &limits, folder);
	else
		rc = ring_open(&rq->ring, &limits);
	if (rc < 0)
		die("ring_open", rc);
	return &rq->queue;
}
