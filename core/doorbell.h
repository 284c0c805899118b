/* core/doorbell.h - wakes a thread only when it sleeps.
 *
 * Purpose:  a producer that has handed something over rings; only where the other side has announced its sleep does
 *           that cost a system call (6.5 us for the one who wakes; the exchange costs one cache line).
 * Owner:    the sleeping thread. Threads: doorbell_ring by any, the rest by the owner.
 * Proof:    all accesses are read-modify-writes of one word, so they have one order. If the ring comes before
 *           doorbell_sleep, that finds RUNG and refuses; if after, it finds ASLEEP and says so to the ringer.
 *           acq_rel makes what was written before the ring visible after it is seen.
 */
#ifndef CORE_DOORBELL_H
#define CORE_DOORBELL_H

#include "core/base.h"

enum doorbell_state { DOORBELL_QUIET, DOORBELL_RUNG, DOORBELL_ASLEEP };

struct doorbell {
	CACHELINE_ALIGNED _Atomic uint32_t state;
};

/* True: the owner sleeps and must be woken (loop_wake), once. */
NODISCARD static inline bool doorbell_ring(struct doorbell *d)
{
	return atomic_exchange_explicit(&d->state, DOORBELL_RUNG, memory_order_acq_rel) == DOORBELL_ASLEEP;
}

/* Owner, before it waits. False: somebody rang since the last doorbell_answer, so do not wait. */
NODISCARD static inline bool doorbell_sleep(struct doorbell *d)
{
	uint32_t quiet = DOORBELL_QUIET;

	return atomic_compare_exchange_strong_explicit(&d->state, &quiet, DOORBELL_ASLEEP,
						       memory_order_acq_rel, memory_order_acquire);
}

/* Owner, before it looks for work: what was rung until now is going to be seen. Was it rung? */
static inline bool doorbell_answer(struct doorbell *d)
{
	return atomic_exchange_explicit(&d->state, DOORBELL_QUIET, memory_order_acq_rel) == DOORBELL_RUNG;
}

#endif
