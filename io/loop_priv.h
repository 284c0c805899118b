/* io/loop_priv.h - what the files of the io_uring loop share. Nobody else includes it.
 *
 * Purpose:  struct loop; the queue of what has completed; the resolver's side of loop_lookup.
 * Owner:    the thread that opened the loop; the resolver's threads see only loop_wake.
 * Threads:  resolver_* take the resolver's lock inside; all are called by a loop's owner.
 * Memory:   one allocation a loop; the resolver's jobs are static.
 * Errors:   negative errno.
 */
#ifndef IO_LOOP_PRIV_H
#define IO_LOOP_PRIV_H

#include <liburing.h>

#include "io/loop.h"

enum completion_flag {
	COMPLETION_READY = 1,  /* in the queue, waits for its done() */
	COMPLETION_CANCEL = 2, /* asked to end */
	COMPLETION_LOOKUP = 4, /* is with the resolver, not in the kernel */
	COMPLETION_HANDLE = 8, /* its result is a handle that somebody must close */
};

struct loop {
	struct io_uring ring;
	uint32_t operation_count_max;
	uint32_t active_count; /* started, done() not called yet */
	uint32_t kernel_count; /* SQEs whose CQE is to come, the wake-up's among them, cancels not */
	uint32_t lookup_count; /* with the resolver */
	int wake_fd;
	bool owned; /* a thread has waited: the ring is that thread's */
	bool quiet;
	bool wake_armed;
	bool woken;
	bool running;        /* inside loop_run: neither loop_run nor loop_close may nest */
	uint64_t wake_value; /* where the kernel puts what it read from wake_fd */
	struct completion *ready_head;
	struct completion **ready_tail;
	uint32_t ready_count;
};

/* Begins an operation. False: over the limit, and it is on its way to done() with -ENOBUFS. */
NODISCARD bool loop_begin(struct loop *l, struct completion *c, uint8_t flags);
/* Ends one: queues it for done(). */
void loop_finish(struct loop *l, struct completion *c, int res);

/* Makes sure that the first resolver thread runs. */
NODISCARD int resolver_start(void);
/* 0: the result comes with resolver_collect after a loop_wake; -EAGAIN: too many wait. Copies host and port. */
NODISCARD int resolver_ask(struct loop *l, struct net_lookup *lookup);
/* Finishes the lookups of this loop that have an answer. */
void resolver_collect(struct loop *l);
/* Forgets one lookup, or all of this loop: nobody touches the memory of either afterwards. */
void resolver_forget(struct loop *l, struct net_lookup *lookup);
void resolver_forget_all(struct loop *l);

#endif
