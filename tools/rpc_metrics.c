/* `metrics`: every row of core/metrics.c for every object, or the table itself. */
#include "tools/rpc_priv.h"

#include <stdio.h>
#include <string.h>

#include "hw/line.h"

/* One object of a kind: its name and its counters. */
struct subject {
	const char *name;
	const void *metrics;
};

static const char *object_text(enum metric_object object)
{
	switch (object) {
	case METRIC_TARGET: return "target";
	case METRIC_RING: return "ring";
	case METRIC_LINE: return "line";
	case METRIC_SAMPLER: return "sampler";
	case METRIC_PUBLISHER: return "publisher";
	}
	UNREACHABLE();
}

/* What the object's name is the name of. */
static const char *label_text(enum metric_object object)
{
	return object == METRIC_RING ? "target" : object_text(object);
}

#define ROW_NAME_BYTES 64

/* line_requests_total: the same name wherever it is shown; _total where it counts up. */
static void row_name(const struct metric_row *row, char out[ROW_NAME_BYTES])
{
	snprintf(out, ROW_NAME_BYTES, "%s_%s%s", object_text(row->object), row->name,
		 row->kind == METRIC_COUNTER ? "_total" : "");
}

static void ring_snapshot(const struct node *n, uint32_t target_idx, struct ring_metrics *out)
{
	const struct ring *r = n->rings[target_idx];
	struct ring_counts counts = ring_counts_outside(r);
	struct ring_keeping keep = ring_keeping(r);
	char text[SHARED_TEXT_BYTES];
	enum file_state file = rpc_ring_state(n, target_idx, text);
	enum file_state session = rpc_session_state(n, target_idx, text);

	*out = (struct ring_metrics){0};
	counter_set(&out->made, counts.made);
	counter_set(&out->taken, counts.taken);
	counter_set(&out->overwritten, counts.overwritten);
	counter_set(&out->expired, counts.expired);
	counter_set(&out->dropped, counts.dropped);
	counter_set(&out->buffered, ring_backlog(r));
	counter_set(&out->buffered_bytes, ring_backlog_bytes(r));
	counter_set(&out->limit_messages, keep.messages);
	counter_set(&out->limit_bytes, keep.bytes);
	counter_set(&out->limit_age_ns, keep.age_ns);
	counter_set(&out->in_file, file_state_survives(file));
	counter_set(&out->file_trouble, !file_state_is_good(file));
	counter_set(&out->session_trouble, !file_state_is_good(session));
}

/* --- values --------------------------------------------------------------------------------------------------------- */

struct collector {
	const char *prefix;
	struct rpc_page page;
	json_t *list;
	int rc;
};

static void collect(struct collector *c, enum metric_object object, struct subject subject)
{
	for (size_t i = 0; i < metric_row_count && c->rc == 0; i++) {
		const struct metric_row *row = &metric_rows[i];
		char name[ROW_NAME_BYTES];

		if (row->object != object)
			continue;
		row_name(row, name);
		if (strncmp(name, c->prefix, strlen(c->prefix)) != 0 || !rpc_page_takes(&c->page))
			continue;
		if (json_array_append_new(c->list, json_pack("{s:s, s:{s:s}, s:I}", "name", name, "labels",
							     label_text(object), subject.name, "value",
							     rpc_integer(metric_read(row, subject.metrics)))))
			c->rc = -ENOMEM;
	}
}

static void collect_node(struct collector *c, const struct node *n)
{
	const struct cfg *cfg = n->cfg;

	for (uint32_t i = 0; i < cfg->target_count; i++) {
		const char *name = cfg_text(cfg, cfg->targets[i].name);
		struct ring_metrics ring;

		ring_snapshot(n, i, &ring);
		collect(c, METRIC_TARGET, (struct subject){name, &node_target(n, i)->metrics});
		collect(c, METRIC_RING, (struct subject){name, &ring});
	}
	for (uint32_t i = 0; i < n->sampler_count; i++) {
		const struct sampler *s = &n->samplers[i];

		for (uint32_t k = 0; k < s->line_count; k++)
			collect(c, METRIC_LINE,
				(struct subject){cfg_text(cfg, cfg->lines[s->lines[k].cfg_idx].name),
						 &s->lines[k].metrics});
		collect(c, METRIC_SAMPLER,
			(struct subject){cfg_text(cfg, cfg->samplers[i].name), &s->metrics});
	}
	for (uint32_t i = 0; i < n->publisher_count; i++)
		collect(c, METRIC_PUBLISHER,
			(struct subject){cfg_text(cfg, cfg->publishers[i].name), &n->publishers[i].metrics});
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

static int describe(json_t **result)
{
	json_t *list = json_array();

	for (size_t i = 0; i < metric_row_count; i++) {
		const struct metric_row *row = &metric_rows[i];
		char name[ROW_NAME_BYTES];

		row_name(row, name);
		if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "label",
							  label_text(row->object), "kind",
							  row->kind == METRIC_COUNTER ? "counter" : "gauge",
							  "unit", row->unit, "help", row->help))) {
			json_decref(list);
			return -ENOMEM;
		}
	}
	return rpc_done(json_pack("{s:o}", "describe", list), result);
}

int rpc_metrics(void *context, struct control_client *client UNUSED, const json_t *params, json_t **result,
		struct jsonrpc_error *why)
{
	static const char *const names[] = {"prefix", "describe", "limit", "offset", NULL};
	const struct rpc_context *rpc = context;
	struct collector c = {.prefix = ""};
	bool wants_table = false;
	int rc = rpc_params_only(params, names, why);

	if (rc == 0)
		rc = rpc_param_text(params, "prefix", &c.prefix, why);
	if (rc == 0)
		rc = rpc_param_flag(params, "describe", &wants_table, why);
	if (rc == 0)
		rc = rpc_param_page(params, RPC_METRICS_MAX, RPC_METRICS_MAX, &c.page, why);
	if (rc < 0)
		return rc;
	if (wants_table)
		return describe(result);
	c.list = json_array();
	collect_node(&c, rpc->node);
	if (c.rc < 0) {
		json_decref(c.list);
		return c.rc;
	}
	return rpc_page_result(&c.page, "metrics", c.list, result);
}
