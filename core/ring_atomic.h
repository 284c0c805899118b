/* core/ring_atomic.h - the ring's shared accesses, by name, so that a search can stand between any two of them.
 *
 * Purpose:  core/ring.c touches shared words only through these. tests/model/explore.c defines its own before it
 *           includes core/ring.c; the product gets plain C11 atomics.
 * Threads:  the order is given at each use. RING_COUNT_* are single-writer counters that nobody decides by.
 *
 * RING_HINT(p): a value that is right whatever it is, sooner or later; the search takes it for 0.
 *
 * RING_FORGETS(x): from here on the function remembers of its past nothing but x. It is nothing in the product; the
 * search needs it to recognise a state in which it has been before.
 */
#ifndef CORE_RING_ATOMIC_H
#define CORE_RING_ATOMIC_H

#include "core/base.h"

#ifndef RING_LOAD
#define RING_LOAD(p, order)     atomic_load_explicit(p, memory_order_##order)
#define RING_STORE(p, v, order) atomic_store_explicit(p, v, memory_order_##order)
#define RING_CAS(p, old, new, order) \
	atomic_compare_exchange_strong_explicit(p, &(uint64_t){old}, new, memory_order_##order, \
						memory_order_relaxed)
#define RING_HINT(p)    atomic_load_explicit(p, memory_order_relaxed)
#define RING_FORGETS(x) ((void)0)
#endif

#define RING_COUNT_LOAD(p)   atomic_load_explicit(p, memory_order_relaxed)
#define RING_COUNT_ADD(p, n) atomic_store_explicit(p, RING_COUNT_LOAD(p) + (n), memory_order_relaxed)

#endif
