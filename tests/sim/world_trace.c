/* The flight recorders: what they hold must be an account without a gap, and no password. */
#include "hw/line.h"
#include "io/target.h"
#include "tests/sim/world.h"

#define ROOM (64u << 10)

/* Where both directions of the present connection have to go on; nothing known before the first record of each. */
struct trace_tally {
	uint32_t next[2];
	bool known[2];
};

static void check_record(const char *name, struct trace_tally *a, const struct trace_record *head,
			 struct bytes kept, bool is_serial)
{
	bool is_received = head->kind == TRACE_RECEIVED;

	if (head->kind != TRACE_SENT && !is_received) {
		*a = (struct trace_tally){0};
		return;
	}
	if (memmem(kept.ptr, kept.size, "secret", 6))
		sim_fail("%s: the password is in its recorder", name);
	if (is_serial)
		return;
	if (a->known[is_received] && a->next[is_received] != head->sequence)
		sim_fail("%s: recorded from byte %u %s, not %u", name, head->sequence,
			 is_received ? "received" : "sent", a->next[is_received]);
	a->known[is_received] = true;
	a->next[is_received] = head->sequence + head->length_bytes;
}

static void check_source(const char *name, const struct trace_source *s, bool is_serial)
{
	static uint8_t buffer[ROOM];
	struct trace_tally a = {0};
	struct bytes endpoints, kept, page;
	struct trace_record head;
	uint64_t from = 0, lost_bytes, count = 0;

	if (!s->ring)
		return;

	while ((page = bytes_of(buffer, trace_read(s->ring, &from, buffer, ROOM, &lost_bytes))).size > 0) {
		for (; trace_next(&page, &head, &endpoints, &kept) && !sim.failed; count++)
			check_record(name, &a, &head, kept, is_serial);
		if (page.size > 0 && !sim.failed)
			sim_fail("%s: what its recorder holds is no record", name);
		if (sim.failed)
			return;
	}
	struct trace_counts n = trace_counts(s->ring);

	if (count != n.records - n.overwritten)
		sim_fail("%s: %lu records, %lu of them overwritten, %lu read", name, n.records, n.overwritten,
			 count);
}

void world_check_traces(const struct world *w)
{
	for (uint32_t i = 0; i < w->target_count && !sim.failed; i++)
		check_source(cfg_text(w->cfg, w->cfg->targets[i].name),
			     &node_target(&w->node, i)->trace.source, false);
	for (uint32_t i = 0; i < w->node.sampler_count; i++)
		for (uint32_t k = 0; k < w->node.samplers[i].line_count && !sim.failed; k++) {
			const struct line *l = &w->node.samplers[i].lines[k];

			check_source(cfg_text(w->cfg, w->cfg->lines[l->cfg_idx].name), &l->trace,
				     l->kind == CFG_LINE_MODBUS_RTU);
		}
}
