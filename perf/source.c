#include "perf/source.h"

#include <string.h>
#include <sys/prctl.h>

#include "core/thread_memory.h"

#define TURN_MESSAGES   64u
#define RING_MESSAGES   4096u
#define GROUP_TAG_BYTES 60u /* a tag takes at least that in a group's JSON */

static bool is_full(const struct ring *r)
{
	return ring_backlog(r) > RING_MESSAGES / 2;
}

/* One turn of one target. */
static void make(struct source *s, uint32_t target_idx, uint32_t *next_channel, const uint8_t *payload)
{
	const struct definitions *d = s->rig->node.definitions;
	const struct definition_port *port = &d->ports[target_idx];
	uint32_t lane_idx = port->lane_of_source[0];
	struct mono now = clock_mono();

	for (uint32_t i = 0; i < TURN_MESSAGES; i++) {
		uint32_t channel_idx = s->channel_first[target_idx] + *next_channel;
		uint8_t *out = ring_reserve(port->ring, lane_idx, d->channels[channel_idx].headroom_bytes,
					    s->payload_bytes, now);

		*next_channel = *next_channel + 1 < s->channel_count ? *next_channel + 1 : 0;
		if (!out)
			continue; /* all segments are held; the sink's count is what counts */
		memcpy(out, payload, s->payload_bytes);
		ring_commit(port->ring, lane_idx, channel_idx, s->payload_bytes, now);
	}
	publisher_notify(s->rig->node.publisher_of_target[target_idx],
			 s->rig->node.slot_of_target[target_idx]);
}

static void *source_main(void *arg)
{
	struct source *s = arg;
	const struct node *n = &s->rig->node;
	uint64_t allocated_before;
	uint32_t next_channel = 0;
	uint8_t payload[4096];

	prctl(PR_SET_NAME, "source");
	prctl(PR_SET_TIMERSLACK, 1ul);
	thread_pin(s->cpu);
	memset(payload, 'x', sizeof(payload));
	ASSERT(s->payload_bytes <= sizeof(payload));
	allocated_before = thread_allocated_bytes();
	while (!atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
		uint32_t made = 0;

		for (uint32_t i = 0; i < n->cfg->target_count; i++) {
			if (is_full(n->rings[i]))
				continue;
			make(s, i, &next_channel, payload);
			made += TURN_MESSAGES;
		}
		if (made == 0)
			rig_pause_s(20e-6);
		atomic_fetch_add_explicit(&s->made, made, memory_order_relaxed);
		atomic_store_explicit(&s->allocated_bytes, thread_allocated_bytes() - allocated_before,
				      memory_order_relaxed);
	}
	return NULL;
}

void source_start(struct source *s, struct rig *rig, uint32_t payload_bytes, uint32_t channel_count,
		  int32_t cpu)
{
	int rc;

	const struct definitions *d = rig->node.definitions;
	*s = (struct source){
		.rig = rig, .payload_bytes = payload_bytes, .channel_count = channel_count, .cpu = cpu};
	for (uint32_t i = 0; i < rig->cfg->target_count; i++) {
		ASSERT(d->ports[i].record_bytes_max >= payload_bytes + 128);
		while (d->channels[s->channel_first[i]].target_idx != i)
			s->channel_first[i]++;
	}
	rc = pthread_create(&s->thread, NULL, source_main, s);
	if (rc != 0)
		rig_fail("thread", rc);
}

void source_stop(struct source *s)
{
	atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
	pthread_join(s->thread, NULL);
}

size_t source_config(const struct source_plan *plan, char *out, size_t size_bytes)
{
	size_t at = rig_text(out, size_bytes, 0, "node: bench\nsamplers: [{name: source}]\npublishers:\n");

	for (uint32_t i = 0; i < plan->publisher_count; i++)
		at = rig_text(out, size_bytes, at, "  - {name: publisher-%u, cpu: %u}\n", i,
			      plan->first_cpu >= i ? plan->first_cpu - i : 0);
	at = rig_text(out, size_bytes, at, "targets:\n");
	for (uint32_t i = 0; i < plan->target_count; i++) {
		at = rig_text(out, size_bytes, at,
			      "  - {name: sink-%u, publisher: publisher-%u, urls: [\"mqtt://127.0.0.1:%u\"],"
			      " protocol: \"%s\", max_inflight: 4096, buffer: {messages: %u}",
			      i, i % plan->publisher_count, plan->port, plan->v5 ? "5" : "3.1.1",
			      RING_MESSAGES);
		at = plan->v5 ? rig_text(out, size_bytes, at, ", topic_alias_max: %u}\n",
					 plan->alias ? plan->tag_count : 0)
			      : rig_text(out, size_bytes, at, "}\n");
	}
	at = rig_text(out, size_bytes, at, "lines: [{name: m1, synthetic: {tags: %u}}]\ndefinitions:\n",
		      plan->tag_count + plan->payload_bytes / GROUP_TAG_BYTES + 3);
	/* The group never sends: no sampler runs. Its size makes room in the records. */
	for (uint32_t i = 0; i < plan->target_count; i++) {
		at = rig_text(
			out, size_bytes, at,
			"  - {name: each-%u, target: sink-%u, mode: on-change, qos: %u, payload: text,\n"
			"     topic: \"bench/hall-1/line-7/energy/{tag}\", tags: [",
			i, i, plan->qos);
		for (uint32_t tag = 0; tag < plan->tag_count; tag++)
			at = rig_text(out, size_bytes, at, "%sm1.t%u", tag ? "," : "", tag);
		at = rig_text(
			out, size_bytes, at,
			"]}\n  - {name: room-%u, target: sink-%u, mode: periodic, cycle: 1h, topic: room,"
			" tags: [",
			i, i);
		for (uint32_t tag = 0; tag < plan->payload_bytes / GROUP_TAG_BYTES + 3; tag++)
			at = rig_text(out, size_bytes, at, "%sm1.t%u", tag ? "," : "", tag);
		at = rig_text(out, size_bytes, at, "]}\n");
	}
	return at;
}
