/* Targets and packages on and off while the daemon runs: `targets.enable`, `packages.list` and the like. */
#include "tools/rpc_priv.h"

#include "core/log.h"

static const char *const name_only[] = {"name", NULL};

/* --- targets -------------------------------------------------------------------------------------------------------- */

/* `enabled` false after targets.enable: its package is not. */
static int switch_target(const struct rpc_context *rpc, const json_t *params, enum node_switch to,
			 json_t **result, struct jsonrpc_error *why)
{
	struct node *n = rpc->node;
	const struct cfg_target *t;
	const char *name;
	uint32_t target_idx = CFG_NONE;
	bool wanted, package_on;
	int rc = rpc_params_only(params, name_only, why);

	if (rc == 0)
		rc = rpc_param_name(params, "name", &name, why);
	if (rc == 0)
		rc = rpc_target_find(n->cfg, name, &target_idx, why);
	if (rc < 0)
		return rc;
	node_switch_target(n, target_idx, to);
	t = &n->cfg->targets[target_idx];
	wanted = target_wanted(node_target(n, target_idx));
	package_on = n->package_on[t->package_idx];
	LOG_INFO("control", "target=%s switch=%s enabled=%d package_enabled=%d", cfg_text(n->cfg, t->name),
		 to == NODE_ON ? "on" : "off", wanted, package_on);
	return rpc_done(json_pack("{s:s, s:b, s:s, s:b}", "name", cfg_text(n->cfg, t->name), "enabled",
				  (int)wanted, "package", cfg_text(n->cfg, t->package), "package_enabled",
				  (int)package_on),
			result);
}

int rpc_targets_enable(void *context, struct control_client *client UNUSED, const json_t *params,
		       json_t **result, struct jsonrpc_error *why)
{
	return switch_target(context, params, NODE_ON, result, why);
}

int rpc_targets_disable(void *context, struct control_client *client UNUSED, const json_t *params,
			json_t **result, struct jsonrpc_error *why)
{
	return switch_target(context, params, NODE_OFF, result, why);
}

/* --- packages ------------------------------------------------------------------------------------------------------- */

/* {"name","description","enabled","targets","targets_enabled","targets_connected"} */
static json_t *package_of(const struct node *n, uint32_t package_idx, void *state UNUSED)
{
	const struct cfg_package *p = &n->cfg->packages[package_idx];
	uint32_t count = 0, enabled_count = 0, connected_count = 0;

	for (uint32_t i = 0; i < n->cfg->target_count; i++) {
		const struct target *t = node_target(n, i);

		if (n->cfg->targets[i].package_idx != package_idx)
			continue;
		count++;
		enabled_count += target_wanted(t);
		connected_count += target_state(t) == TARGET_CONNECTED;
	}
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "name", cfg_text(n->cfg, p->name), "description",
			 cfg_text(n->cfg, p->description), "enabled", (int)n->package_on[package_idx],
			 "targets", (json_int_t)count, "targets_enabled", (json_int_t)enabled_count,
			 "targets_connected", (json_int_t)connected_count);
}

static struct bytes package_name(const struct node *n, uint32_t package_idx)
{
	return bytes_of_text(cfg_text(n->cfg, n->cfg->packages[package_idx].name));
}

int rpc_packages_list(void *context, struct control_client *client UNUSED, const json_t *params,
		      json_t **result, struct jsonrpc_error *why)
{
	static const struct rpc_items items = {"packages", package_name, package_of, NULL};
	const struct rpc_context *rpc = context;

	return rpc_list(rpc->node, &items, rpc->node->cfg->package_count, params, result, why);
}

static int package_find(const struct cfg *c, const char *name, uint32_t *package_idx,
			struct jsonrpc_error *why)
{
	struct suggest s;

	suggest_begin(&s, bytes_of_text(name));
	for (uint32_t i = 0; i < c->package_count; i++) {
		struct bytes candidate = bytes_of_text(cfg_text(c, c->packages[i].name));

		*package_idx = i;
		if (bytes_equal(candidate, s.wanted))
			return 0;
		suggest_offer(&s, candidate);
	}
	return rpc_no_such("package", &s, why);
}

static int switch_package(const struct rpc_context *rpc, const json_t *params, enum node_switch to,
			  json_t **result, struct jsonrpc_error *why)
{
	struct node *n = rpc->node;
	const char *name;
	uint32_t package_idx = CFG_NONE;
	int rc = rpc_params_only(params, name_only, why);

	if (rc == 0)
		rc = rpc_param_name(params, "name", &name, why);
	if (rc == 0)
		rc = package_find(n->cfg, name, &package_idx, why);
	if (rc < 0)
		return rc;
	node_switch_package(n, package_idx, to);
	LOG_INFO("control", "package=%s switch=%s", cfg_text(n->cfg, n->cfg->packages[package_idx].name),
		 to == NODE_ON ? "on" : "off");
	return rpc_done(package_of(n, package_idx, NULL), result);
}

int rpc_packages_enable(void *context, struct control_client *client UNUSED, const json_t *params,
			json_t **result, struct jsonrpc_error *why)
{
	return switch_package(context, params, NODE_ON, result, why);
}

int rpc_packages_disable(void *context, struct control_client *client UNUSED, const json_t *params,
			 json_t **result, struct jsonrpc_error *why)
{
	return switch_package(context, params, NODE_OFF, result, why);
}
