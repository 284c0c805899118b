/* perf/queue_ck.c - Concurrency Kit's ck_ring as a peer of our ring, in the three ways that suit this work.
 *
 * pointer  one MPSC ring of pointers to slots. A slot belongs to one producer for ever: empty ones come back to it by an SPSC
 *          ring of its own, so a producer writes the message where the consumer reads it. A producer has its share of the
 *          slots and cannot use another's.
 * value    one MPSC ring with the messages themselves in it: a copy more on both sides, no ring of free slots.
 * spsc     a ring a producer, by value: the cheapest that ck_ring can do, as no CAS is left. The consumer looks at one
 *          after another, so there is no order among producers, and each has its share of the room.
 *
 * None can overwrite: where there is no room the newest message is lost, ours loses the oldest. */
#include <stdlib.h>

#include <ck_ring.h>

#include "perf/queue.h"

CK_RING_PROTOTYPE(message, message)

#define RING_SLOTS (2 * QUEUE_MESSAGES) /* a ring of n has room for n - 1 */

struct ck_lane {
	CACHELINE_ALIGNED struct ck_ring ring; /* spsc: the messages; pointer: empty slots */
	CACHELINE_ALIGNED uint64_t lost_count; /* its producer's */
	struct message *messages;
	ck_ring_buffer_t *free_slots;
};

struct ck_queue {
	struct queue queue;
	CACHELINE_ALIGNED struct ck_ring ring;
	struct ck_lane lanes[QUEUE_PRODUCERS_MAX];
	ck_ring_buffer_t *pointers;
	struct message *slots; /* pointer: slots of all; value: the ring's; spsc: of all rings */
	uint32_t share_bits;   /* a producer has 2^share_bits slots */
};

static struct ck_queue *ck_queue_of(struct queue *q)
{
	return container_of(q, struct ck_queue, queue);
}

static void pointer_produce(struct queue *q, struct message_maker *maker, uint32_t count,
			    struct mono now UNUSED)
{
	struct ck_queue *c = ck_queue_of(q);
	struct ck_lane *lane = &c->lanes[maker->producer_idx];

	for (uint32_t i = 0; i < count; i++) {
		void *slot;

		if (!ck_ring_dequeue_spsc(&lane->ring, lane->free_slots, &slot)) {
			message_skip(maker);
			lane->lost_count++;
			continue;
		}
		message_write(maker, slot);
		if (!ck_ring_enqueue_mpsc(&c->ring, c->pointers, slot))
			abort(); /* it has room for every slot there is */
	}
}

static uint32_t pointer_consume(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	struct ck_queue *c = ck_queue_of(q);
	uint32_t count = 0;
	void *slot;

	while (count < QUEUE_BATCH && ck_ring_dequeue_mpsc(&c->ring, c->pointers, &slot)) {
		size_t slot_idx = (size_t)((struct message *)slot - c->slots);
		struct ck_lane *lane = &c->lanes[slot_idx >> c->share_bits];

		message_judge(judge, slot);
		if (!ck_ring_enqueue_spsc(&lane->ring, lane->free_slots, slot))
			abort();
		count++;
	}
	return count;
}

static void value_produce(struct queue *q, struct message_maker *maker, uint32_t count,
			  struct mono now UNUSED)
{
	struct ck_queue *c = ck_queue_of(q);

	for (uint32_t i = 0; i < count; i++) {
		struct message msg;

		message_write(maker, &msg);
		c->lanes[maker->producer_idx].lost_count += !ck_ring_enqueue_mpsc_message(&c->ring, c->slots,
											  &msg);
	}
}

static uint32_t value_consume(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	struct ck_queue *c = ck_queue_of(q);
	struct message msg;
	uint32_t count = 0;

	for (; count < QUEUE_BATCH && ck_ring_dequeue_mpsc_message(&c->ring, c->slots, &msg); count++)
		message_judge(judge, &msg);
	return count;
}

static void spsc_produce(struct queue *q, struct message_maker *maker, uint32_t count, struct mono now UNUSED)
{
	struct ck_lane *lane = &ck_queue_of(q)->lanes[maker->producer_idx];

	for (uint32_t i = 0; i < count; i++) {
		struct message msg;

		message_write(maker, &msg);
		lane->lost_count += !ck_ring_enqueue_spsc_message(&lane->ring, lane->messages, &msg);
	}
}

static uint32_t spsc_consume(struct queue *q, struct message_judge *judge, struct mono now UNUSED)
{
	struct ck_queue *c = ck_queue_of(q);
	uint32_t share_count = QUEUE_BATCH / q->producer_count, count = 0;

	for (uint32_t i = 0; i < q->producer_count; i++) {
		struct ck_lane *lane = &c->lanes[i];
		struct message msg;

		for (uint32_t k = 0; k < share_count; k++, count++) {
			if (!ck_ring_dequeue_spsc_message(&lane->ring, lane->messages, &msg))
				break;
			message_judge(judge, &msg);
		}
	}
	return count;
}

static uint64_t ck_lost_count(struct queue *q)
{
	const struct ck_queue *c = ck_queue_of(q);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < q->producer_count; i++)
		sum += c->lanes[i].lost_count;
	return sum;
}

static void ck_close(struct queue *q)
{
	struct ck_queue *c = ck_queue_of(q);

	for (uint32_t i = 0; i < QUEUE_PRODUCERS_MAX; i++)
		free(c->lanes[i].free_slots);
	free(c->pointers);
	free(c->slots);
	free(c);
}

static void pointer_open(struct ck_queue *c, uint32_t producer_count)
{
	uint32_t share = 1u << c->share_bits;

	c->pointers = queue_memory(RING_SLOTS * sizeof(*c->pointers));
	ck_ring_init(&c->ring, RING_SLOTS);
	c->queue.memory_bytes += (RING_SLOTS + 2 * QUEUE_MESSAGES) * sizeof(*c->pointers);
	for (uint32_t i = 0; i < producer_count; i++) {
		struct ck_lane *lane = &c->lanes[i];

		ck_ring_init(&lane->ring, 2 * share);
		lane->free_slots = queue_memory(2 * share * sizeof(*lane->free_slots));
		for (uint32_t k = 0; k < share; k++)
			if (!ck_ring_enqueue_spsc(&lane->ring, lane->free_slots, &c->slots[i * share + k]))
				abort();
	}
}

struct queue *queue_ck_open(enum queue_kind kind, uint32_t producer_count)
{
	static const struct queue_ops pointer = {pointer_produce, pointer_consume, ck_lost_count, ck_close};
	static const struct queue_ops value = {value_produce, value_consume, ck_lost_count, ck_close};
	static const struct queue_ops spsc = {spsc_produce, spsc_consume, ck_lost_count, ck_close};
	struct ck_queue *c = queue_memory(sizeof(*c));
	uint32_t share = QUEUE_MESSAGES / producer_count;

	c->share_bits = (uint32_t)__builtin_ctz(share);
	c->slots = queue_memory(QUEUE_MESSAGES * sizeof(struct message));
	c->queue.memory_bytes = sizeof(*c) + QUEUE_MESSAGES * sizeof(struct message);
	c->queue.ops = kind == QUEUE_CK_POINTER ? &pointer : kind == QUEUE_CK_VALUE ? &value : &spsc;
	ck_ring_init(&c->ring, QUEUE_MESSAGES);
	if (kind == QUEUE_CK_POINTER)
		pointer_open(c, producer_count);
	for (uint32_t i = 0; kind == QUEUE_CK_SPSC && i < producer_count; i++) {
		ck_ring_init(&c->lanes[i].ring, share);
		c->lanes[i].messages = c->slots + i * share;
	}
	return &c->queue;
}
