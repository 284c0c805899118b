/* What targets subscribe to: `subscriptions.list`, and the part of it that `status` shows. */
#include "tools/rpc_priv.h"

#include "io/target.h"

#define ENTRY_BYTES  160u /* of the keys and numbers of one subscription */
#define ESCAPE_BYTES 6u   /* that a byte of a text becomes at most */

/* --- one subscription ----------------------------------------------------------------------------------------------- */

enum shown { SHOWN_PENDING, SHOWN_SUBSCRIBED, SHOWN_REFUSED };

static const char *shown_text(enum shown shown)
{
	switch (shown) {
	case SHOWN_PENDING: return "pending";
	case SHOWN_SUBSCRIBED: return "subscribed";
	case SHOWN_REFUSED: return "refused";
	}
	UNREACHABLE();
}

/* Nothing comes without a connection, whatever the server's session has: it is looked at anew at the next one. A refusal is
 * shown until then. */
static enum shown shown_of(const struct target *t, uint32_t sub_idx, uint8_t *code)
{
	uint64_t view = counter_get(&t->session.subscriptions[sub_idx].view);

	*code = (uint8_t)view;
	switch ((enum mqtt_subscription_state)(view >> 8)) {
	case MQTT_SUBSCRIPTION_NEEDED:
	case MQTT_SUBSCRIPTION_ASKED: return SHOWN_PENDING;
	case MQTT_SUBSCRIPTION_DONE:
		return target_state(t) == TARGET_CONNECTED ? SHOWN_SUBSCRIBED : SHOWN_PENDING;
	case MQTT_SUBSCRIPTION_REFUSED: return SHOWN_REFUSED;
	case MQTT_SUBSCRIPTION_STALE: /* those of an earlier configuration */
	case MQTT_SUBSCRIPTION_LEAVING:
	case MQTT_SUBSCRIPTION_GONE: break;
	}
	UNREACHABLE();
}

/* A filter that the server's packets have no room for is not asked for, so no SUBACK has this code. */
static const char *reason_of(const struct target *t, uint8_t code)
{
	if (code == MQTT_PACKET_TOO_LARGE)
		return mqtt_reason_text(MQTT_5, MQTT_DISCONNECT, code);
	return mqtt_reason_text(t->session.config.version, MQTT_SUBACK, code);
}

/* The names of the definitions it is for; routes of one definition stand together. */
static json_t *names_of(const struct cfg *c, const struct subscriptions *subs, const struct subscription *sub,
			uint32_t *total)
{
	json_t *list = json_array();
	uint32_t last_idx = CFG_NONE;

	*total = 0;
	for (uint32_t i = 0; i < sub->route_count; i++) {
		uint32_t definition_idx = subs->routes[sub->route_first + i].definition_idx;

		if (definition_idx == last_idx)
			continue;
		last_idx = definition_idx;
		if ((*total)++ >= RPC_SUBSCRIPTION_NAMES_MAX)
			continue;
		if (json_array_append_new(list,
					  json_string(cfg_text(c, c->definitions[definition_idx].name)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *subscription_of(const struct node *n, const struct target *t, uint32_t sub_idx)
{
	const struct subscriptions *subs = &t->inbound.subscriptions;
	const struct subscription *sub = &subs->list[sub_idx];
	uint32_t definitions_total;
	json_t *names = names_of(n->cfg, subs, sub, &definitions_total);
	uint8_t code;
	enum shown shown = shown_of(t, sub_idx, &code);
	bool is_answered = shown != SHOWN_PENDING;

	return json_pack("{s:o, s:s, s:o, s:o, s:s, s:o, s:I}", "filter",
			 json_stringn((const char *)sub->filter.ptr, sub->filter.size), "state",
			 shown_text(shown), "qos",
			 shown == SHOWN_SUBSCRIBED ? json_integer(code) : json_null(), "code",
			 is_answered ? json_integer(code) : json_null(), "reason",
			 is_answered ? reason_of(t, code) : "", "definitions", names, "definitions_total",
			 (json_int_t)definitions_total);
}

/* --- of a target ---------------------------------------------------------------------------------------------------- */

/* Not less than its text. */
static size_t entry_bytes(const struct cfg *c, const struct subscriptions *subs,
			  const struct subscription *sub)
{
	size_t bytes = ENTRY_BYTES + ESCAPE_BYTES * sub->filter.size;
	uint32_t count = (uint32_t)min_u64(sub->route_count, RPC_SUBSCRIPTION_NAMES_MAX);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t definition_idx = subs->routes[sub->route_first + i].definition_idx;

		bytes += strlen(cfg_text(c, c->definitions[definition_idx].name)) + 3;
	}
	return bytes;
}

void rpc_subscriptions_get(const struct node *n, uint32_t target_idx, size_t *room_bytes,
			   struct rpc_subscriptions *out)
{
	const struct target *t = node_target(n, target_idx);
	const struct subscriptions *subs = &t->inbound.subscriptions;
	bool has_room = true;

	*out = (struct rpc_subscriptions){.total = subs->count, .list = json_array()};
	for (uint32_t i = 0; i < subs->count; i++) {
		uint8_t code;
		enum shown shown = shown_of(t, i, &code);
		size_t bytes;

		out->subscribed += shown == SHOWN_SUBSCRIBED;
		out->refused += shown == SHOWN_REFUSED;
		if (!has_room || i >= RPC_STATUS_SUBSCRIPTIONS_MAX)
			continue;
		bytes = entry_bytes(n->cfg, subs, &subs->list[i]);
		has_room = bytes <= *room_bytes;
		if (!has_room)
			continue;
		*room_bytes -= bytes;
		if (json_array_append_new(out->list, subscription_of(n, t, i))) {
			json_decref(out->list);
			out->list = NULL;
		}
	}
}

/* --- the list of all ------------------------------------------------------------------------------------------------- */

static int append_page(const struct node *n, uint32_t target_idx, struct rpc_page *page, json_t *list)
{
	const struct target *t = node_target(n, target_idx);
	uint32_t first, count = rpc_page_range(page, t->inbound.subscriptions.count, &first);

	for (uint32_t i = 0; i < count; i++) {
		json_t *one = subscription_of(n, t, first + i);

		if (json_object_set_new(one, "target",
					json_string(cfg_text(n->cfg, n->cfg->targets[target_idx].name)))) {
			json_decref(one);
			return -ENOMEM;
		}
		if (json_array_append_new(list, one))
			return -ENOMEM;
	}
	return 0;
}

int rpc_subscriptions_list(void *context, struct control_client *client UNUSED, const json_t *params,
			   json_t **result, struct jsonrpc_error *why)
{
	static const char *const names[] = {"target", "limit", "offset", NULL};
	const struct rpc_context *rpc = context;
	const struct node *n = rpc->node;
	uint32_t first = 0, end = n->cfg->target_count;
	const char *target = NULL;
	struct rpc_page page;
	json_t *list;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_text(params, "target", &target, why);
	if (rc == 0)
		rc = rpc_param_page(params, RPC_PAGE_DEFAULT, RPC_PAGE_MAX, &page, why);
	if (rc == 0 && target) {
		rc = rpc_target_find(n->cfg, target, &first, why);
		end = first + 1;
	}
	if (rc < 0)
		return rc;
	list = json_array();
	for (uint32_t i = first; rc == 0 && i < end; i++)
		rc = append_page(n, i, &page, list);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	return rpc_page_result(&page, "subscriptions", list, result);
}
