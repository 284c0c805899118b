/* tests/unit/loop_op.h - one operation of a test, and waiting for it.
 *
 * Purpose:  what the tests of the loop share. Nothing sleeps: a test waits for what it expects, and a generous deadline
 *           is only there to end a failing one.
 * Threads:  the test's.
 */
#ifndef TESTS_UNIT_LOOP_OP_H
#define TESTS_UNIT_LOOP_OP_H

#include "io/loop.h"
#include "tests/test.h"

struct op {
	union {
		struct completion completion;
		struct net_send send; /* begins with its completion */
		struct net_lookup lookup;
	};
	int res;
	int done_count;
	struct loop *loop; /* set: restarts itself this many times */
	int restart_count;
	int handle;
	char byte;
};

UNUSED static void on_op(struct completion *c, int res)
{
	struct op *op = container_of(c, struct op, completion); /* the same place in all of the union */

	op->res = res;
	op->done_count++;
	if (op->restart_count > 0) {
		op->restart_count--;
		loop_read(op->loop, op->handle, &op->byte, 1, &op->completion);
	}
}

UNUSED static struct op op_new(void)
{
	return (struct op){.completion = {.done = on_op}};
}

UNUSED static struct loop *loop_new(uint32_t operation_count)
{
	struct loop *l = NULL;
	int rc = loop_open(&l, &(struct loop_limits){.operation_count = operation_count});

	EXPECT_EQ(rc, 0);
	return l;
}

UNUSED static struct mono generous(void)
{
	return mono_add(clock_mono(), 20 * NS_PER_S);
}

/* Runs the loop until the operation has completed; its result. */
UNUSED static int wait_for(struct loop *l, const struct op *op, int done_count)
{
	struct mono deadline = generous();

	while (op->done_count < done_count && !mono_reached(clock_mono(), deadline))
		EXPECT_LE(0, loop_run(l, deadline));
	EXPECT_EQ(op->done_count, done_count);
	return op->res;
}

UNUSED static int run_now(struct loop *l)
{
	return loop_run(l, (struct mono){0});
}

#endif
