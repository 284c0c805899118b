/* tests/unit/rpc_served.h - the methods over a node that is built and not started, asked through the socket by the client that
 * ringctl uses.
 *
 * Purpose:  a node of a configuration, a control thread that serves it, a client; answers and refusals.
 * Owner:    each test has its own world. Threads: the test's and the control thread. Errors: a failed expectation ends the test.
 */
#ifndef TESTS_UNIT_RPC_SERVED_H
#define TESTS_UNIT_RPC_SERVED_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/rpc_json.h"
#include "tools/ctl_client.h"
#include "tools/rpc.h"

#define TIMEOUT_MS 10000u

struct world {
	char folder[64], path[80];
	struct cfg *cfg;
	struct node node;
	struct rpc_context rpc;
	pthread_t thread;
	_Atomic bool ready, stop;
	_Atomic int stop_count;
	struct ctl_client client;
};

static inline void on_stop(void *context)
{
	struct world *w = context;

	atomic_fetch_add(&w->stop_count, 1);
}

/* The control thread, as the daemon has it. */
static inline void *serve(void *arg)
{
	struct world *w = arg;
	struct control *control = NULL;
	struct loop *loop = NULL;

	EXPECT_EQ(loop_open(&loop, &(struct loop_limits){.operation_count = CONTROL_OPERATIONS}), 0);
	EXPECT_EQ(control_open(&control, loop, w->path, 0600, rpc_methods(), rpc_method_count(), &w->rpc), 0);
	atomic_store(&w->ready, true);
	while (!atomic_load(&w->stop)) {
		struct mono now = clock_mono();

		control_tick(control, now);
		EXPECT_LE(0,
			  loop_run(loop, mono_min(control_deadline(control), mono_add(now, 10 * NS_PER_MS))));
	}
	control_close(control);
	loop_close(loop);
	return NULL;
}

/* Without its control thread: what that thread does, a test may still do itself. */
static inline void world_make(struct world *w, const char *text)
{
	struct cfg_errors errors;
	const char *why = "";

	*w = (struct world){.rpc = {.node = &w->node, .stop = on_stop, .stop_context = w}};
	snprintf(w->folder, sizeof(w->folder), "/tmp/test_rpc.XXXXXX");
	EXPECT(mkdtemp(w->folder) != NULL);
	snprintf(w->path, sizeof(w->path), "%s/s", w->folder);
	if (config_parse("test.yaml", bytes_of_text(text), &w->cfg, &errors) < 0)
		ck_abort_msg("%s", errors.lines[0]);
	EXPECT_EQ(node_open(&w->node, w->cfg, "/", NULL, 1, &why), 0);
	config_errors_free(&errors);
}

static inline void world_serve(struct world *w)
{
	EXPECT_EQ(pthread_create(&w->thread, NULL, serve, w), 0);
	while (!atomic_load(&w->ready))
		sched_yield();
	EXPECT_EQ(ctl_open(&w->client, w->path, TIMEOUT_MS), 0);
}

static inline void world_open(struct world *w, const char *text)
{
	world_make(w, text);
	world_serve(w);
}

static inline void world_close(struct world *w)
{
	ctl_close(&w->client);
	atomic_store(&w->stop, true);
	pthread_join(w->thread, NULL);
	node_close(&w->node);
	config_free(w->cfg);
	EXPECT_EQ(rmdir(w->folder), 0);
}

/* The result, which must be one. */
static inline json_t *ask(struct world *w, const char *method, const char *params)
{
	struct jsonrpc_error why = {0};
	json_t *result = NULL;

	if (ctl_call(&w->client, method, json_loads(params, 0, NULL), &result, &why) < 0)
		ck_abort_msg("%s: %s", method, why.text);
	return result;
}

static inline void expect_refused(struct world *w, const char *method, const char *params, const char *text)
{
	struct jsonrpc_error why = {0};
	json_t *result = NULL;

	EXPECT_EQ(ctl_call(&w->client, method, json_loads(params, 0, NULL), &result, &why), -EPROTO);
	EXPECT_EQ(why.code, JSONRPC_INVALID_PARAMS);
	EXPECT_TEXT(why.text, text);
}

static inline void write_tag(struct world *w, uint32_t tag_idx, double value)
{
	tag_write(&w->node.tags, tag_idx, value_of_float64(value), (struct wall){.ns = 1000000000});
}

/* As the session of the target has it. */
static inline void set_subscription(struct world *w, uint32_t target_idx, uint32_t sub_idx,
				    enum mqtt_subscription_state state, uint8_t code)
{
	counter_set(&node_target(&w->node, target_idx)->session.subscriptions[sub_idx].view,
		    (uint64_t)state << 8 | code);
}

static inline void set_state(struct world *w, uint32_t target_idx, enum target_state state)
{
	atomic_store(&node_target(&w->node, target_idx)->state, state);
}

#endif
