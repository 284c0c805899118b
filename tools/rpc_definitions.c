/* What is published and subscribed to, and what became of it: `definitions.list`. */
#include "tools/rpc_priv.h"

static const char *mode_of(enum cfg_mode mode)
{
	switch (mode) {
	case CFG_MODE_ON_CHANGE: return "on-change";
	case CFG_MODE_PERIODIC: return "periodic";
	case CFG_MODE_SUBSCRIBE: return "subscribe";
	}
	UNREACHABLE();
}

static json_t *forward_of(const struct cfg *c, const struct cfg_definition *def)
{
	if (def->mode != CFG_MODE_SUBSCRIBE || def->subscribe.forward.target_idx == CFG_NONE)
		return json_null();
	return json_string(cfg_text(c, c->targets[def->subscribe.forward.target_idx].name));
}

static json_t *definition_of(const struct node *n, uint32_t definition_idx, void *state UNUSED)
{
	const struct cfg *c = n->cfg;
	const struct cfg_definition *def = &c->definitions[definition_idx];
	const struct definition_counts *counts = &n->definitions->counts[definition_idx];

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name",
			 cfg_text(c, def->name), "target", cfg_text(c, c->targets[def->target_idx].name),
			 "mode", mode_of(def->mode), "topic", cfg_text(c, def->topic), "qos",
			 (json_int_t)def->qos, "retain", (int)def->retain, "tags", (json_int_t)def->ref_count,
			 "received", rpc_integer(counter_get(&counts->received)), "values",
			 rpc_integer(counter_get(&counts->values)), "rejected",
			 rpc_integer(counter_get(&counts->rejected)), "forwarded",
			 rpc_integer(counter_get(&counts->forwarded)), "unforwarded",
			 rpc_integer(counter_get(&counts->unforwarded)), "refused",
			 rpc_integer(counter_get(&counts->refused)), "forward", forward_of(c, def));
}

static struct bytes name_of(const struct node *n, uint32_t definition_idx)
{
	return bytes_of_text(cfg_text(n->cfg, n->cfg->definitions[definition_idx].name));
}

int rpc_definitions_list(void *context, struct control_client *client UNUSED, const json_t *params,
			 json_t **result, struct jsonrpc_error *why)
{
	static const struct rpc_items items = {"definitions", name_of, definition_of, NULL};
	const struct rpc_context *rpc = context;

	return rpc_list(rpc->node, &items, rpc->node->cfg->definition_count, params, result, why);
}
