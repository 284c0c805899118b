#include "proto/modbus_queue.h"

/* Equal times: by index, so that a run can be repeated. */
static bool before(const struct modbus_queue *q, uint32_t a_idx, uint32_t b_idx)
{
	uint64_t a_ns = q->polls[a_idx].order.ns, b_ns = q->polls[b_idx].order.ns;

	return a_ns != b_ns ? a_ns < b_ns : a_idx < b_idx;
}

static void put(struct modbus_queue *q, uint32_t at, uint32_t poll_idx)
{
	q->heap[at] = poll_idx;
	q->polls[poll_idx].heap_idx = at;
}

static void sift_up(struct modbus_queue *q, uint32_t at)
{
	uint32_t moved = q->heap[at];

	while (at > 0 && before(q, moved, q->heap[(at - 1) / 2])) {
		put(q, at, q->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(q, at, moved);
}

static void sift_down(struct modbus_queue *q, uint32_t at)
{
	uint32_t moved = q->heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= q->count)
			break;
		if (child + 1 < q->count && before(q, q->heap[child + 1], q->heap[child]))
			child++;
		if (!before(q, q->heap[child], moved))
			break;
		put(q, at, q->heap[child]);
		at = child;
	}
	put(q, at, moved);
}

void modbus_queue_push(struct modbus_queue *q, uint32_t poll_idx)
{
	ASSERT(q->polls[poll_idx].heap_idx == MODBUS_NOT_QUEUED);
	put(q, q->count++, poll_idx);
	sift_up(q, q->count - 1);
}

void modbus_queue_update(struct modbus_queue *q, uint32_t poll_idx)
{
	uint32_t at = q->polls[poll_idx].heap_idx;

	ASSERT(at < q->count);
	ASSERT(q->heap[at] == poll_idx);
	sift_up(q, at);
	sift_down(q, q->polls[poll_idx].heap_idx);
}

void modbus_queue_remove(struct modbus_queue *q, uint32_t poll_idx)
{
	uint32_t at = q->polls[poll_idx].heap_idx;
	uint32_t last_idx;

	ASSERT(at < q->count);
	ASSERT(q->heap[at] == poll_idx);
	last_idx = q->heap[--q->count];
	q->polls[poll_idx].heap_idx = MODBUS_NOT_QUEUED;
	if (last_idx == poll_idx)
		return;
	put(q, at, last_idx);
	modbus_queue_update(q, last_idx);
}

uint64_t modbus_poll_catch_up(struct modbus_poll *p, struct mono now)
{
	uint64_t passed = mono_since(now, p->due) / p->period_ns;

	p->due = mono_add(p->due, passed * p->period_ns);
	if (p->illegal)
		return 0;
	p->missed += passed;
	return passed;
}

void modbus_poll_next(struct modbus_poll *p)
{
	p->due = mono_add(p->due, p->period_ns);
	p->order = p->due;
}

void modbus_poll_defer(struct modbus_poll *p, struct mono t)
{
	uint64_t wait_ns = mono_since(t, p->due);
	uint64_t slots = wait_ns / p->period_ns + (wait_ns % p->period_ns != 0);

	if (slots > (UINT64_MAX - p->due.ns) / p->period_ns)
		p->due = MONO_NEVER;
	else
		p->due.ns += slots * p->period_ns;
	p->order = p->due;
}

void modbus_poll_take_back(struct modbus_poll *p)
{
	ASSERT(modbus_poll_can_take_back(p));
	ASSERT(p->due.ns >= p->period_ns);
	p->due.ns -= p->period_ns;
	p->order = p->due;
	if (p->skipped) {
		ASSERT(p->missed > 0);
		p->missed--;
	} else {
		p->requested--;
	}
	p->skipped = false;
}
