/* perf/queue_faulty.c - queues with one fault each: a benchmark that passes with one of these has no verdict. */
#include <stdlib.h>

#include "perf/queue.h"

#define FAULT_EVERY 1000u /* messages */

struct faulty {
	struct queue queue;
	uint64_t written, read;
	struct message messages[QUEUE_MESSAGES];
};

static struct faulty *faulty_of(struct queue *q)
{
	return container_of(q, struct faulty, queue);
}

static struct message *at(struct faulty *f, uint64_t position)
{
	return &f->messages[position % QUEUE_MESSAGES];
}

static void faulty_produce(struct queue *q, struct message_maker *maker, uint32_t count,
			   struct mono now UNUSED)
{
	struct faulty *f = faulty_of(q);

	for (uint32_t i = 0; i < count; i++)
		message_write(maker, at(f, f->written++));
}

static void judge_wrongly(struct faulty *f, struct message_judge *judge)
{
	struct message *msg = at(f, f->read);

	if (f->queue.kind == QUEUE_FAULTY_SWAPPED)
		message_judge(judge, at(f, f->read + 1));
	if (f->queue.kind == QUEUE_FAULTY_TWICE)
		message_judge(judge, msg);
	if (f->queue.kind == QUEUE_FAULTY_CHANGED)
		msg->words[MESSAGE_WORDS - 1] ^= 1ull << 63;
	if (f->queue.kind != QUEUE_FAULTY_LOST)
		message_judge(judge, msg);
	f->read += f->queue.kind == QUEUE_FAULTY_SWAPPED ? 2 : 1;
}

static uint32_t faulty_consume(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	struct faulty *f = faulty_of(q);
	uint64_t from = f->read;

	while (f->read < f->written && f->read - from < QUEUE_BATCH) {
		if (f->read % FAULT_EVERY == FAULT_EVERY / 2 && f->read + 1 < f->written) {
			judge_wrongly(f, judge);
		} else {
			message_judge(judge, at(f, f->read));
			f->read++;
		}
	}
	return (uint32_t)(f->read - from);
}

static uint64_t faulty_lost_count(struct queue *q UNUSED)
{
	return 0;
}

static void faulty_close(struct queue *q)
{
	free(faulty_of(q));
}

struct queue *queue_faulty_open(enum queue_kind kind UNUSED)
{
	static const struct queue_ops ops = {faulty_produce, faulty_consume, faulty_lost_count, faulty_close};
	struct faulty *f = queue_memory(sizeof(*f));

	f->queue.ops = &ops;
	return &f->queue;
}
