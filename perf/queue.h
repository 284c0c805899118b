/* perf/queue.h - the queues that bench_ring compares, behind one set of functions.
 *
 * Purpose:  each queue carries the same messages (perf/message.h), QUEUE_MESSAGES of them, from several producers to one
 *           consumer. A call moves a batch: the loop over messages is each queue's own, so none pays for a call by pointer.
 * Owner:    queue_close frees all. Threads: produce by the thread of that producer, consume by one thread, lost_count when
 *           all are quiet.
 * Memory:   taken at open; memory_bytes says how much a lap touches. Units: messages, bytes.
 * Errors:   what goes wrong at open ends the program: a benchmark without one of its sides says nothing.
 */
#ifndef PERF_QUEUE_H
#define PERF_QUEUE_H

#include "core/clock.h"
#include "perf/message.h"

#define QUEUE_MESSAGES 8192u /* a power of two: ck_ring can have no other size (and holds one less) */
#define QUEUE_BATCH    512u  /* messages a call moves at most */

enum queue_kind {
	QUEUE_RING, /* core/ring.h in memory */
	QUEUE_RING_HELD, /* the same; the consumer always keeps its last QUEUE_HELD messages, and releases them then */
	QUEUE_RING_FILE, /* the same in a file: with a check sum a message */
	QUEUE_MUTEX, /* array of messages, one lock a message on both sides; full: the oldest is overwritten */
	QUEUE_MUTEX_MANY, /* the same, and the consumer takes a batch under one lock */
	QUEUE_CK_POINTER, /* ck_ring, MPSC, of pointers to slots; slots go back by an SPSC ck_ring a producer */
	QUEUE_CK_VALUE,   /* ck_ring, MPSC, the messages themselves in it */
	QUEUE_CK_SPSC, /* one SPSC ck_ring a producer, the messages in it: no common order, no common room */
	QUEUE_ARRAY, /* no queue: write to an array, read from it. One thread only: what the work itself costs */
	QUEUE_FAULTY_LOST, /* from here on wrong on purpose, to see that a run with such a queue fails */
	QUEUE_FAULTY_TWICE,
	QUEUE_FAULTY_CHANGED,
	QUEUE_FAULTY_SWAPPED,
	QUEUE_KINDS
};

#define QUEUE_KINDS_COMPARED QUEUE_FAULTY_LOST

#define QUEUE_HELD          256u
#define QUEUE_PRODUCERS_MAX 4u

struct queue {
	const struct queue_ops *ops;
	uint64_t memory_bytes; /* of messages and what is beside them */
	enum queue_kind kind;
	uint32_t producer_count;
};

struct queue_ops {
	/* Tries to put `count` messages of one producer; what finds no room is lost and counted. */
	void (*produce)(struct queue *q, struct message_maker *maker, uint32_t count, struct mono now);
	/* Takes up to QUEUE_BATCH messages, judges and releases them; returns how many. */
	uint32_t (*consume)(struct queue *q, struct message_judge *judge, struct mono now);
	/* Overwritten or refused, by the queue's own count. */
	uint64_t (*lost_count)(struct queue *q);
	void (*close)(struct queue *q);
};

const char *queue_name(enum queue_kind kind);
struct queue *queue_open(enum queue_kind kind, uint32_t producer_count, const char *folder);

/* Of queue_ring.c, queue_slots.c, queue_ck.c, queue_faulty.c. */
struct queue *queue_ring_open(enum queue_kind kind, uint32_t producer_count, const char *folder);
struct queue *queue_slots_open(enum queue_kind kind, uint32_t producer_count);
struct queue *queue_ck_open(enum queue_kind kind, uint32_t producer_count);
struct queue *queue_faulty_open(enum queue_kind kind);

/* Zeroed, on a page; the program ends where there is none. */
void *queue_memory(size_t size_bytes);

#endif
