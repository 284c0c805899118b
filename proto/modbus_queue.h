/* proto/modbus_queue.h - the polls of one line, the earliest first.
 *
 * Purpose:  a binary heap of block indices, and the arithmetic of a poll's slots (due + k * period) with the count of those
 *           that went by. What modbus_master.c decides with; nobody else needs it.
 * Owner:    the line's master.
 * Threads:  one.
 * Memory:   the caller's arrays; nothing is allocated. Push, remove and update cost log n.
 * Units:    nanoseconds.
 * Errors:   none; indices out of range are programmer errors.
 */
#ifndef PROTO_MODBUS_QUEUE_H
#define PROTO_MODBUS_QUEUE_H

#include "core/assert.h"
#include "core/base.h"
#include "core/clock.h"

#define MODBUS_NOT_QUEUED UINT32_MAX

struct modbus_poll {
	struct mono due;   /* its present slot on the grid */
	struct mono order; /* its place in the queue: due, or later */
	uint64_t period_ns;
	uint64_t missed;    /* slots that went by without a request */
	uint64_t requested; /* slots that had one */
	uint32_t heap_idx;  /* MODBUS_NOT_QUEUED: its request is on the way */
	uint8_t to_report;  /* enum modbus_failure: what is still to be told as FAILED; 0: nothing */
	bool illegal;       /* refused by the device; asked for again seldom */
	bool skipped;       /* its latest slot went by without a request: due is the next one */
};

struct modbus_queue {
	struct modbus_poll *polls;
	uint32_t *heap;
	uint32_t count;
};

void modbus_queue_push(struct modbus_queue *q, uint32_t poll_idx);
void modbus_queue_remove(struct modbus_queue *q, uint32_t poll_idx);

/* polls[poll_idx].order was changed: find its new place. */
void modbus_queue_update(struct modbus_queue *q, uint32_t poll_idx);

/* The one that is first; count > 0. */
static inline uint32_t modbus_queue_first(const struct modbus_queue *q)
{
	ASSERT(q->count > 0);
	return q->heap[0];
}

/* Slots before the present one count as missed: due becomes the latest slot that is not after now. Returns how many went by
 * (0 for an illegal poll: it has no claim to its slots). */
uint64_t modbus_poll_catch_up(struct modbus_poll *p, struct mono now);

/* This slot is done, or given up: on to the next. */
void modbus_poll_next(struct modbus_poll *p);

/* On to the first slot that is not before t, without counting. */
void modbus_poll_defer(struct modbus_poll *p, struct mono t);

/* Has a slot come to this poll whose values are wanted again when its line or unit is back? */
static inline bool modbus_poll_can_take_back(const struct modbus_poll *p)
{
	return !p->illegal && (p->skipped || p->requested > 0);
}

/* Back to the slot before due, to request it (once more): its values are lost. Only if it can be taken back. */
void modbus_poll_take_back(struct modbus_poll *p);

#endif
