/* tools/node_memory.h - what a node takes of the machine's memory, said before, and present and locked before it is used.
 *
 * Purpose:  node_budget for --check: every byte that stays, program and libraries included. node_memory_settle makes the daemon's
 *           memory what the budget said, so that no thread meets a page fault later and the resident size does not move.
 * Owner:    the control thread. Threads: node_stack_populate by each thread for itself.
 * Memory:   node_budget opens the node to count it and closes it again, without its rings.
 * Units:    bytes, whole pages where the kernel gives pages; nanoseconds.
 * Errors:   negative errno; what the kernel refuses is said in the log once, and the daemon goes on.
 */
#ifndef TOOLS_NODE_MEMORY_H
#define TOOLS_NODE_MEMORY_H

#include "core/config.h"
#include "core/memory.h"

struct node;

/* A data thread's: the deepest that was seen is under 40 KiB. */
#define NODE_STACK_BYTES (256u << 10)

struct node_budget {
	struct memory_counts counts;
	uint64_t threads, control, configuration, program, allocator;
};
NODISCARD int node_budget(const struct cfg *c, struct node_budget *out);
uint64_t node_budget_total(const struct node_budget *b);

/* The calling thread's stack, all of it. */
void node_stack_populate(void);

/* Before the threads start: everything that node_open has made, and the program, is present. */
void node_populate(struct node *n);
/* When they run: everything that is present stays, where that is allowed. */
void node_lock(void);

#endif
