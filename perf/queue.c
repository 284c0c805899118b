#include "perf/queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/assert.h"

#define PAGE_BYTES 4096u

const char *queue_name(enum queue_kind kind)
{
	static const char *const names[QUEUE_KINDS] = {
		[QUEUE_RING] = "ring",
		[QUEUE_RING_HELD] = "ring-held",
		[QUEUE_RING_FILE] = "ring-file",
		[QUEUE_MUTEX] = "mutex",
		[QUEUE_MUTEX_MANY] = "mutex-batch",
		[QUEUE_CK_POINTER] = "ck-pointer",
		[QUEUE_CK_VALUE] = "ck-value",
		[QUEUE_CK_SPSC] = "ck-spsc",
		[QUEUE_ARRAY] = "array",
		[QUEUE_FAULTY_LOST] = "faulty-lost",
		[QUEUE_FAULTY_TWICE] = "faulty-twice",
		[QUEUE_FAULTY_CHANGED] = "faulty-changed",
		[QUEUE_FAULTY_SWAPPED] = "faulty-swapped",
	};

	return names[kind];
}

void *queue_memory(size_t size_bytes)
{
	size_t whole_bytes = (size_t)align_up(size_bytes, PAGE_BYTES);
	void *memory = aligned_alloc(PAGE_BYTES, whole_bytes);

	if (!memory) {
		fprintf(stderr, "bench_ring: no memory\n");
		exit(1);
	}
	return memset(memory, 0, whole_bytes);
}

static struct queue *open_of_kind(enum queue_kind kind, uint32_t producer_count, const char *folder)
{
	switch (kind) {
	case QUEUE_RING:
	case QUEUE_RING_HELD:
	case QUEUE_RING_FILE: return queue_ring_open(kind, producer_count, folder);
	case QUEUE_MUTEX:
	case QUEUE_MUTEX_MANY:
	case QUEUE_ARRAY: return queue_slots_open(kind, producer_count);
	case QUEUE_CK_POINTER:
	case QUEUE_CK_VALUE:
	case QUEUE_CK_SPSC: return queue_ck_open(kind, producer_count);
	case QUEUE_FAULTY_LOST:
	case QUEUE_FAULTY_TWICE:
	case QUEUE_FAULTY_CHANGED:
	case QUEUE_FAULTY_SWAPPED: return queue_faulty_open(kind);
	case QUEUE_KINDS: break;
	}
	abort();
}

struct queue *queue_open(enum queue_kind kind, uint32_t producer_count, const char *folder)
{
	struct queue *q;

	ASSERT(producer_count > 0);
	ASSERT(producer_count <= QUEUE_PRODUCERS_MAX);
	q = open_of_kind(kind, producer_count, folder);
	q->kind = kind;
	q->producer_count = producer_count;
	return q;
}
