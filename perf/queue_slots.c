/* perf/queue_slots.c - the simplest right queue: an array of messages and one mutex; and the array without any.
 *
 * As our ring it overwrites the oldest when it is full. The consumer copies a message out under the lock, because a producer
 * may overwrite it after; it is judged outside. There is no condition variable: bench_ring's consumer does not wait in a
 * queue. The mutex and the two counts have a line of their own, all of which every message needs. */
#include <pthread.h>
#include <stdlib.h>

#include "perf/queue.h"

#define MASK (QUEUE_MESSAGES - 1u)

struct slots {
	struct queue queue;
	CACHELINE_ALIGNED pthread_mutex_t lock;
	uint64_t written, read; /* positions that only rise; written - read <= QUEUE_MESSAGES */
	uint64_t overwritten;
	CACHELINE_ALIGNED struct message messages[QUEUE_MESSAGES];
};

static struct slots *slots_of(struct queue *q)
{
	return container_of(q, struct slots, queue);
}

static void slots_produce(struct queue *q, struct message_maker *maker, uint32_t count,
			  struct mono now UNUSED)
{
	struct slots *s = slots_of(q);

	for (uint32_t i = 0; i < count; i++) {
		pthread_mutex_lock(&s->lock);
		if (s->written - s->read == QUEUE_MESSAGES) {
			s->read++;
			s->overwritten++;
		}
		message_write(maker, &s->messages[s->written++ & MASK]);
		pthread_mutex_unlock(&s->lock);
	}
}

static uint32_t slots_consume_one_by_one(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	struct slots *s = slots_of(q);

	for (uint32_t i = 0; i < QUEUE_BATCH; i++) {
		struct message msg;

		pthread_mutex_lock(&s->lock);
		if (s->read == s->written) {
			pthread_mutex_unlock(&s->lock);
			return i;
		}
		msg = s->messages[s->read++ & MASK];
		pthread_mutex_unlock(&s->lock);
		message_judge(judge, &msg);
	}
	return QUEUE_BATCH;
}

static uint32_t slots_consume_many(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	static _Thread_local struct message copies[QUEUE_BATCH];
	struct slots *s = slots_of(q);
	uint32_t count;

	pthread_mutex_lock(&s->lock);
	count = (uint32_t)min_u64(s->written - s->read, QUEUE_BATCH);
	for (uint32_t i = 0; i < count; i++)
		copies[i] = s->messages[s->read++ & MASK];
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < count; i++)
		message_judge(judge, &copies[i]);
	return count;
}

static void array_produce(struct queue *q, struct message_maker *maker, uint32_t count,
			  struct mono now UNUSED)
{
	struct slots *s = slots_of(q);

	for (uint32_t i = 0; i < count; i++)
		message_write(maker, &s->messages[s->written++ & MASK]);
}

static uint32_t array_consume(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	struct slots *s = slots_of(q);
	uint32_t count = (uint32_t)min_u64(s->written - s->read, QUEUE_BATCH);

	for (uint32_t i = 0; i < count; i++)
		message_judge(judge, &s->messages[s->read++ & MASK]);
	return count;
}

static uint64_t slots_lost_count(struct queue *q)
{
	return slots_of(q)->overwritten;
}

static void slots_close(struct queue *q)
{
	pthread_mutex_destroy(&slots_of(q)->lock);
	free(slots_of(q));
}

struct queue *queue_slots_open(enum queue_kind kind, uint32_t producer_count)
{
	static const struct queue_ops mutex = {slots_produce, slots_consume_one_by_one, slots_lost_count,
					       slots_close};
	static const struct queue_ops mutex_many = {slots_produce, slots_consume_many, slots_lost_count,
						    slots_close};
	static const struct queue_ops array = {array_produce, array_consume, slots_lost_count, slots_close};
	struct slots *s = queue_memory(sizeof(*s));

	s->queue.memory_bytes = sizeof(*s);
	s->queue.ops = kind == QUEUE_MUTEX ? &mutex : kind == QUEUE_MUTEX_MANY ? &mutex_many : &array;
	pthread_mutex_init(&s->lock, NULL);
	return &s->queue;
}
