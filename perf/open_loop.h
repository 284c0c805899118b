/* perf/open_loop.h - messages that are made when they are due, whatever has become of those before, by one of several ways.
 *
 * Purpose:  the sending side of bench_latency: a thread on CPU 0 that makes each message at its time, and for the ways without a
 *           node the thread on CPU 1 to which it hands them over. See perf/bench_latency.c for what the ways are.
 * Owner:    the caller, who plans the messages and receives them. Threads: open_loop_run starts its own, and ends them.
 * Memory:   none but stacks. Units: nanoseconds. Errors: end the program.
 */
#ifndef PERF_OPEN_LOOP_H
#define PERF_OPEN_LOOP_H

#include "perf/messages.h"
#include "perf/rig.h"

#define OPEN_LOOP_TAGS 100u /* m1.t0 ..: each message is the next one's value */

enum way {
	WAY_NODE,
	WAY_NODE_BUSY,
	WAY_PLAIN,
	WAY_WAKE,
	WAY_WAKE_SEND,
	WAY_POLL_SEND,
	WAY_BROKER_NODE,
	WAY_BROKER_PLAIN,
	WAY_COUNT
};

struct open_loop {
	enum way way;
	struct messages *messages;
	struct node *node;             /* of the ways with a node; one target */
	int fd;                        /* the connection, where no node has it */
	int bell_fd;                   /* an eventfd of wake-up and wake-send */
	_Atomic uint64_t handed_count; /* of poll-send: all up to here */
	uint64_t allocated_bytes;      /* by the source, since it was ready */
};

/* Makes all messages that are planned, and waits until they have arrived or nothing has for 300 ms. */
void open_loop_run(struct open_loop *s);

#endif
