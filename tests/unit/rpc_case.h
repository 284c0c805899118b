/* tests/unit/rpc_case.h - the methods over a node that is built and not started, called as the control thread calls them.
 *
 * Purpose:  a node of a configuration, and answers or refusals of its methods, without a socket.
 * Owner:    each test has its own world. Errors: a failed expectation ends the test.
 */
#ifndef TESTS_UNIT_RPC_CASE_H
#define TESTS_UNIT_RPC_CASE_H

#include <errno.h>
#include <string.h>

#include "tests/unit/rpc_json.h"
#include "tools/rpc.h"

struct world {
	struct cfg *cfg;
	struct node node;
	struct rpc_context rpc;
	struct jsonrpc_error why;
};

static inline void world_open(struct world *w, const char *yaml)
{
	struct cfg_errors errors;
	const char *why = "";

	*w = (struct world){.rpc = {.node = &w->node}};
	if (config_parse("test.yaml", bytes_of_text(yaml), &w->cfg, &errors) < 0)
		ck_abort_msg("%s", errors.lines[0]);
	EXPECT_EQ(node_open(&w->node, w->cfg, "/", NULL, 1, &why), 0);
	config_errors_free(&errors);
}

static inline void world_close(struct world *w)
{
	node_close(&w->node);
	config_free(w->cfg);
}

static inline const struct control_method *method_of(const char *name)
{
	for (size_t i = 0; i < rpc_method_count(); i++)
		if (!strcmp(rpc_methods()[i].name, name))
			return &rpc_methods()[i];
	ck_abort_msg("no method %s", name);
}

static inline int call(struct world *w, const char *method, const char *params, json_t **result)
{
	json_t *p = json_loads(params, 0, NULL);
	int rc;

	EXPECT(p != NULL);
	*result = NULL;
	w->why = (struct jsonrpc_error){0};
	rc = method_of(method)->call(&w->rpc, NULL, p, result, &w->why);
	json_decref(p);
	return rc;
}

static inline json_t *ask(struct world *w, const char *method, const char *params)
{
	json_t *result;

	if (call(w, method, params, &result) < 0)
		ck_abort_msg("%s: %s", method, w->why.text);
	return result;
}

static inline void expect_refused(struct world *w, const char *method, const char *params, const char *text)
{
	json_t *result;

	EXPECT_EQ(call(w, method, params, &result), -EINVAL);
	EXPECT(result == NULL);
	EXPECT_EQ(w->why.code, JSONRPC_INVALID_PARAMS);
	EXPECT_TEXT(w->why.text, text);
}

#endif
