/* Building the definitions: everything that is sized, expanded and allocated once. */
#include "core/definition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/carried.h"
#include "core/loss.h"
#include "core/memory.h"
#include "core/payload.h"
#include "core/topic.h"

static bool publishes(const struct cfg_definition *def)
{
	return def->mode != CFG_MODE_SUBSCRIBE;
}

static bool is_per_tag(const struct cfg *c, const struct cfg_definition *def)
{
	return topic_is_per_tag(cfg_text(c, def->topic));
}

/* config_check has seen that every tag has one. */
static uint32_t source_of(const struct definitions *d, uint32_t tag_idx)
{
	ASSERT(d->source_of_tag[tag_idx] != DEFINITION_NO_SOURCE);
	return d->source_of_tag[tag_idx];
}

static uint64_t text_prop_bytes(const struct cfg *c, uint32_t text)
{
	return text ? 3 + strlen(cfg_text(c, text)) : 0; /* identifier and length before it */
}

uint32_t definition_props_bytes_max(const struct cfg *c, const struct cfg_props *p)
{
	uint64_t bytes = text_prop_bytes(c, p->content_type) + text_prop_bytes(c, p->response_topic) +
			 text_prop_bytes(c, p->correlation_data) +
			 (p->payload_format == CFG_FORMAT_NONE ? 0 : 2);

	for (uint32_t i = 0; i < p->user.count; i++)
		bytes += 5 + strlen(cfg_text(c, c->pairs[p->user.first + i].name)) +
			 strlen(cfg_text(c, c->pairs[p->user.first + i].value));
	return (uint32_t)bytes;
}

struct sizes {
	uint64_t channels, topic_bytes, feeds, beats, beat_channels;
};

static int expand(const struct cfg *c, const struct cfg_definition *def, uint32_t tag_idx, char *out)
{
	const struct cfg_tag *tag = tag_idx == CFG_NONE ? NULL : &c->tags[tag_idx];
	const struct topic_names names = {
		.node = cfg_text(c, c->node),
		.target = cfg_text(c, c->targets[def->target_idx].name),
		.definition = cfg_text(c, def->name),
		.device = tag ? cfg_text(c, c->devices[tag->device_idx].name) : NULL,
		.tag = tag ? cfg_text(c, tag->name) : NULL,
	};
	const char *why = NULL;

	return topic_expand(cfg_text(c, def->topic), &names, out, &why);
}

static uint32_t source_count(const struct cfg *c)
{
	return c->sampler_count + c->publisher_count;
}

static struct sizes measure(const struct cfg *c)
{
	struct sizes s = {0};
	char topic[TOPIC_BYTES_MAX];

	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];
		uint32_t channel_count = is_per_tag(c, def) ? def->ref_count : 1;

		if (!publishes(def))
			continue;
		for (uint32_t k = 0; k < channel_count; k++) {
			int n = expand(c, def, is_per_tag(c, def) ? c->refs[def->ref_first + k] : CFG_NONE,
				       topic);

			s.topic_bytes += n > 0 ? (uint64_t)n : 0;
		}
		s.channels += channel_count;
		s.feeds += def->mode == CFG_MODE_ON_CHANGE ? def->ref_count : 0;
		s.beats += min_u64(source_count(c), channel_count);
		s.beat_channels += channel_count;
	}
	return s;
}

static int arrays_open(struct definitions *d, const struct sizes *s)
{
	const struct cfg *c = d->cfg;

	d->channels = memory_alloc(s->channels, sizeof(d->channels[0]));
	d->members = memory_alloc(c->ref_count, sizeof(d->members[0]));
	d->ports = memory_alloc(c->target_count, sizeof(d->ports[0]));
	d->feeds = memory_alloc(s->feeds, sizeof(d->feeds[0]));
	d->feed_first = memory_alloc((uint64_t)c->tag_count + 1, sizeof(d->feed_first[0]));
	d->beats = memory_alloc(s->beats, sizeof(d->beats[0]));
	d->beat_channels = memory_alloc(s->beat_channels, sizeof(d->beat_channels[0]));
	d->lanes = memory_alloc(d->source_count, sizeof(d->lanes[0]));
	d->source_of_tag = memory_alloc(c->tag_count, sizeof(d->source_of_tag[0]));
	d->counts = memory_alloc(c->definition_count, sizeof(d->counts[0]));
	d->refs_by_full_name = memory_alloc(c->ref_count, sizeof(d->refs_by_full_name[0]));
	d->refs_by_name = memory_alloc(c->ref_count, sizeof(d->refs_by_name[0]));
	d->topics = memory_alloc(s->topic_bytes, 1);
	if (!d->channels || !d->members || !d->ports || !d->feeds || !d->feed_first || !d->beats ||
	    !d->beat_channels || !d->lanes || !d->topics || !d->source_of_tag || !d->counts ||
	    !d->refs_by_full_name || !d->refs_by_name)
		return -ENOMEM;
	for (uint32_t t = 0; t < c->target_count; t++) {
		d->ports[t].lane_of_source = memory_alloc((uint64_t)d->source_count + 1, 1);
		if (!d->ports[t].lane_of_source)
			return -ENOMEM;
		memset(d->ports[t].lane_of_source, DEFINITION_NO_LANE, (size_t)d->source_count + 1);
	}
	return 0;
}

static uint32_t beats_of(const struct definitions *d, uint32_t source_idx)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->beat_count; i++)
		count += d->beats[i].source_idx == source_idx;
	return count;
}

static int lanes_open(struct definitions *d)
{
	const struct cfg *c = d->cfg;

	for (uint32_t i = 0; i < d->source_count; i++) {
		struct definition_lane *lane = &d->lanes[i];
		int rc = timers_open(&lane->timers, beats_of(d, i));

		if (rc < 0)
			return rc;
		lane->all = d;
		lane->source_idx = i;
		lane->touched = memory_alloc(c->target_count, sizeof(lane->touched[0]));
		lane->touched_flag = memory_alloc(c->target_count, sizeof(lane->touched_flag[0]));
		lane->dirty = memory_alloc(d->channel_count, sizeof(lane->dirty[0]));
		lane->dirty_flag = memory_alloc(d->channel_count, sizeof(lane->dirty_flag[0]));
		if (!lane->touched || !lane->touched_flag || !lane->dirty || !lane->dirty_flag)
			return -ENOMEM;
	}
	return 0;
}

/* What is written before each payload of a target, whatever the message. */
static void headers_build(struct definitions *d)
{
	for (uint32_t i = 0; i < d->cfg->target_count; i++) {
		const struct cfg_replay *r = &d->cfg->targets[i].replay;

		d->ports[i].header_bytes = CHANNEL_HEADER_BYTES;
		if (r->order == CFG_REPLAY_LIVE_FIRST)
			d->ports[i].header_bytes += (r->mark ? CHANNEL_MARK_BYTES : 0) +
						    (uint32_t)strlen(cfg_text(d->cfg, r->topic_prefix));
	}
}

static void port_add_record(struct definition_port *port, uint32_t headroom_bytes, uint32_t payload_bytes)
{
	if (headroom_bytes > port->headroom_bytes_max)
		port->headroom_bytes_max = headroom_bytes;
	if (headroom_bytes + payload_bytes > port->record_bytes_max)
		port->record_bytes_max = headroom_bytes + payload_bytes;
}

/* One channel of a definition; tag_idx CFG_NONE: the whole group. */
static void channel_add(struct definitions *d, uint32_t definition_idx, uint32_t member_first,
			uint32_t tag_idx, char **topic_at)
{
	const struct cfg *c = d->cfg;
	const struct cfg_definition *def = &c->definitions[definition_idx];
	struct definition_port *port = &d->ports[def->target_idx];
	struct channel *ch = &d->channels[d->channel_count++];
	char topic[TOPIC_BYTES_MAX];
	int n = expand(c, def, tag_idx, topic);

	ASSERT(n > 0); /* config_check has expanded it before */
	memcpy(*topic_at, topic, (size_t)n);
	*ch = (struct channel){
		.topic = bytes_of(*topic_at, (size_t)n),
		.definition_idx = definition_idx,
		.target_idx = def->target_idx,
		.local_idx = port->channel_count++,
		.member_first = member_first,
		.member_count = tag_idx == CFG_NONE ? def->ref_count : 1,
		.headroom_bytes = (uint32_t)n + port->header_bytes +
				  definition_props_bytes_max(c, &def->props),
		.expiry_s = def->expiry_s,
		.payload = def->payload,
		.qos = def->qos,
		.retain = def->retain,
		.group = tag_idx == CFG_NONE,
		.sequence = def->sequence,
	};
	*topic_at += n;
	ch->payload_bytes_max = (ch->group ? PAYLOAD_GROUP_BYTES : 0) +
				(ch->sequence ? PAYLOAD_SEQUENCE_BYTES : 0);
	for (uint32_t i = 0; i < ch->member_count; i++)
		ch->payload_bytes_max += payload_tag_bytes_max(
			d->tags->names[d->members[member_first + i]].size);
	port_add_record(port, ch->headroom_bytes, ch->payload_bytes_max);
}

static void channels_build(struct definitions *d)
{
	const struct cfg *c = d->cfg;
	char *topic_at = d->topics;

	if (c->ref_count)
		memcpy(d->members, c->refs, (size_t)c->ref_count * sizeof(c->refs[0]));
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];

		if (!publishes(def))
			continue;
		if (!is_per_tag(c, def)) {
			channel_add(d, i, def->ref_first, CFG_NONE, &topic_at);
			continue;
		}
		for (uint32_t k = 0; k < def->ref_count; k++)
			channel_add(d, i, def->ref_first + k, c->refs[def->ref_first + k], &topic_at);
	}
}

/* Where a tag's values come from: its line's sampler, or the publisher of the target that it is subscribed at. */
static void sources_build(struct definitions *d)
{
	const struct cfg *c = d->cfg;

	for (uint32_t i = 0; i < c->tag_count; i++) {
		uint32_t line_idx = c->devices[c->tags[i].device_idx].line_idx;

		d->source_of_tag[i] = line_idx == CFG_NONE ? DEFINITION_NO_SOURCE
							   : c->lines[line_idx].sampler_idx;
	}
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];

		for (uint32_t k = 0; !publishes(def) && k < def->ref_count; k++)
			d->source_of_tag[c->refs[def->ref_first + k]] = definition_source_of_publisher(
				c, c->targets[def->target_idx].publisher_idx);
	}
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

static struct bytes name_of(const struct definitions *d, uint32_t tag_idx, bool is_full)
{
	return is_full ? d->tags->names[tag_idx]
		       : bytes_of_text(cfg_text(d->cfg, d->cfg->tags[tag_idx].name));
}

static int compare_names(struct bytes a, struct bytes b)
{
	int rc = memcmp(a.ptr, b.ptr, min_size(a.size, b.size));

	return rc ? rc : (a.size > b.size) - (a.size < b.size);
}

static int by_full_name(const void *a, const void *b, void *d)
{
	return compare_names(name_of(d, *(const uint32_t *)a, true), name_of(d, *(const uint32_t *)b, true));
}

static int by_name(const void *a, const void *b, void *d)
{
	return compare_names(name_of(d, *(const uint32_t *)a, false),
			     name_of(d, *(const uint32_t *)b, false));
}

static void names_build(struct definitions *d)
{
	const struct cfg *c = d->cfg;

	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];
		size_t bytes = def->ref_count * sizeof(c->refs[0]);

		if (publishes(def) || def->ref_count == 0)
			continue;
		memcpy(d->refs_by_full_name + def->ref_first, c->refs + def->ref_first, bytes);
		memcpy(d->refs_by_name + def->ref_first, c->refs + def->ref_first, bytes);
		qsort_r(d->refs_by_full_name + def->ref_first, def->ref_count, sizeof(c->refs[0]),
			by_full_name, d);
		qsort_r(d->refs_by_name + def->ref_first, def->ref_count, sizeof(c->refs[0]), by_name, d);
	}
}

static uint32_t find_name(const struct definitions *d, const uint32_t *refs, uint32_t count,
			  struct bytes name, bool is_full)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int rc = compare_names(name_of(d, refs[middle], is_full), name);

		if (rc == 0)
			return refs[middle];
		if (rc < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return CFG_NONE;
}

uint32_t definition_tag_named(const struct definitions *d, uint32_t definition_idx, struct bytes name)
{
	const struct cfg_definition *def = &d->cfg->definitions[definition_idx];
	uint32_t tag_idx;

	ASSERT(!publishes(def));
	tag_idx = find_name(d, d->refs_by_full_name + def->ref_first, def->ref_count, name, true);
	return tag_idx != CFG_NONE
		       ? tag_idx
		       : find_name(d, d->refs_by_name + def->ref_first, def->ref_count, name, false);
}

static void port_add_source(struct definition_port *port, uint32_t source_idx)
{
	uint8_t *lane = &port->lane_of_source[source_idx];

	if (*lane == DEFINITION_NO_LANE)
		*lane = (uint8_t)port->lane_count++;
}

/* The topic and the properties once more before the payload, where the header is written. */
static void port_add_forward(struct definitions *d, const struct cfg_definition *def)
{
	const struct cfg_forward *f = &def->subscribe.forward;
	struct definition_port *port = &d->ports[f->target_idx];

	port_add_source(
		port, definition_source_of_publisher(d->cfg, d->cfg->targets[def->target_idx].publisher_idx));
	port_add_record(port, port->header_bytes + f->max_bytes,
			f->max_bytes + (uint32_t)sizeof(struct carried_end));
}

/* What the target's publisher says of messages that were lost. */
static void port_add_losses(struct definitions *d, uint32_t target_idx)
{
	const struct cfg *c = d->cfg;
	const struct cfg_target *t = &c->targets[target_idx];
	struct definition_port *port = &d->ports[target_idx];
	uint32_t topic_bytes = (uint32_t)strlen(cfg_text(c, t->buffer_loss_topic));

	if (!t->buffer_loss_topic)
		return;
	port_add_source(port, definition_source_of_publisher(c, t->publisher_idx));
	port_add_record(port, port->header_bytes + topic_bytes,
			(uint32_t)carried_bytes(topic_bytes, 0, LOSS_MESSAGE_BYTES_MAX));
}

/* A ring lane for every source that may write to the target. */
static void ports_build(struct definitions *d)
{
	const struct cfg *c = d->cfg;

	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];
		struct definition_port *port = &d->ports[def->target_idx];

		if (!publishes(def) && def->subscribe.forward.target_idx != CFG_NONE)
			port_add_forward(d, def);
		for (uint32_t k = 0; publishes(def) && k < def->ref_count; k++)
			port_add_source(port, source_of(d, c->refs[def->ref_first + k]));
	}
	for (uint32_t t = 0; t < c->target_count; t++)
		port_add_losses(d, t);
	for (uint32_t t = 0; t < c->target_count; t++) { /* a target without definitions still has a ring */
		d->ports[t].lane_count += d->ports[t].lane_count == 0;
		d->ports[t].record_bytes_max += d->ports[t].record_bytes_max == 0;
	}
}

static struct beat *beat_add(struct definitions *d, uint32_t source_idx, enum beat_kind kind,
			     uint64_t period_ns, uint32_t channel_first)
{
	struct beat *b = &d->beats[d->beat_count];

	*b = (struct beat){
		.timer = {.owner_idx = d->beat_count},
		.source_idx = source_idx,
		.kind = kind,
		.period_ns = period_ns,
		.channel_first = channel_first,
	};
	d->beat_count++;
	return b;
}

/* Beats of one definition whose channels start at channel_idx; beat_channel_count is how many are used so far. */
static void beats_build(struct definitions *d, const struct cfg_definition *def, uint32_t channel_idx,
			uint32_t *beat_channel_count)
{
	const struct cfg *c = d->cfg;
	bool cycle = def->mode == CFG_MODE_PERIODIC;

	if (!cycle && def->heartbeat_ns == 0)
		return;
	uint64_t period_ns = cycle ? def->cycle_ns : def->heartbeat_ns;

	if (d->channels[channel_idx].group) {
		struct beat *b = beat_add(d, source_of(d, c->refs[def->ref_first]),
					  cycle ? BEAT_CYCLE : BEAT_GROUP_HEARTBEAT, period_ns,
					  *beat_channel_count);

		b->channel_count = 1;
		d->beat_channels[(*beat_channel_count)++] = channel_idx;
		if (!cycle)
			d->channels[channel_idx].beat_idx = d->beat_count;
		return;
	}
	for (uint32_t s = 0; s < d->source_count; s++) {
		struct beat *b = NULL;

		for (uint32_t k = 0; k < def->ref_count; k++) {
			if (source_of(d, c->refs[def->ref_first + k]) != s)
				continue;
			if (!b)
				b = beat_add(d, s, cycle ? BEAT_CYCLE : BEAT_TAG_HEARTBEAT, period_ns,
					     *beat_channel_count);
			b->channel_count++;
			d->beat_channels[(*beat_channel_count)++] = channel_idx + k;
		}
	}
}

static uint32_t tag_heartbeat_of(const struct definitions *d, uint32_t first_beat_idx, uint32_t source_idx)
{
	for (uint32_t i = first_beat_idx; i < d->beat_count; i++)
		if (d->beats[i].source_idx == source_idx && d->beats[i].kind == BEAT_TAG_HEARTBEAT)
			return i + 1;
	return 0;
}

static void feed_add(struct definitions *d, const struct cfg_definition *def, uint32_t k,
		     uint32_t channel_idx, uint32_t first_beat_idx, uint32_t *fill)
{
	const struct cfg *c = d->cfg;
	uint32_t tag_idx = c->refs[def->ref_first + k];
	bool own = def->deadband != CFG_DEADBAND_NONE;

	d->feeds[d->feed_first[tag_idx] + fill[tag_idx]++] = (struct feed){
		.tag_idx = tag_idx,
		.channel_idx = channel_idx,
		.beat_idx = tag_heartbeat_of(d, first_beat_idx, source_of(d, tag_idx)),
		.deadband = own ? def->deadband : c->tags[tag_idx].deadband,
		.deadband_size = own ? def->deadband_size : c->tags[tag_idx].deadband_size,
	};
}

/* Feeds lie by tag, so that an update walks one short run. */
static int feeds_build(struct definitions *d)
{
	const struct cfg *c = d->cfg;
	uint32_t *fill = calloc((size_t)c->tag_count + 1, sizeof(fill[0])); /* not kept */
	uint32_t channel_idx = 0, beat_channel_count = 0;

	if (!fill)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];

		for (uint32_t k = 0; def->mode == CFG_MODE_ON_CHANGE && k < def->ref_count;
		     k++, d->feed_count++)
			d->feed_first[c->refs[def->ref_first + k] + 1]++;
	}
	for (uint32_t t = 0; t < c->tag_count; t++)
		d->feed_first[t + 1] += d->feed_first[t];
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];
		if (!publishes(def))
			continue;
		bool group = d->channels[channel_idx].group;
		uint32_t first_beat_idx = d->beat_count;

		beats_build(d, def, channel_idx, &beat_channel_count);
		for (uint32_t k = 0; def->mode == CFG_MODE_ON_CHANGE && k < def->ref_count; k++)
			feed_add(d, def, k, group ? channel_idx : channel_idx + k, first_beat_idx, fill);
		channel_idx += group ? 1 : def->ref_count;
	}
	free(fill);
	ASSERT(channel_idx == d->channel_count);
	return 0;
}

int definitions_open(struct definitions **out, const struct cfg *c, struct tag_table *tags)
{
	struct definitions *d = memory_alloc(1, sizeof(*d));
	struct sizes sizes = measure(c);
	int rc;

	if (!d)
		return -ENOMEM;
	d->cfg = c;
	d->tags = tags;
	d->source_count = source_count(c);
	rc = arrays_open(d, &sizes);
	if (rc < 0)
		goto fail;
	sources_build(d);
	names_build(d);
	headers_build(d);
	channels_build(d);
	ports_build(d);
	rc = feeds_build(d);
	if (rc < 0)
		goto fail;
	rc = lanes_open(d);
	if (rc < 0)
		goto fail;
	*out = d;
	return 0;
fail:
	definitions_close(d);
	return rc;
}

void definitions_close(struct definitions *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; d->lanes && i < d->source_count; i++) {
		timers_close(&d->lanes[i].timers);
		memory_free(d->lanes[i].touched);
		memory_free(d->lanes[i].touched_flag);
		memory_free(d->lanes[i].dirty);
		memory_free(d->lanes[i].dirty_flag);
	}
	for (uint32_t t = 0; d->ports && t < d->cfg->target_count; t++)
		memory_free(d->ports[t].lane_of_source);
	memory_free(d->channels);
	memory_free(d->members);
	memory_free(d->ports);
	memory_free(d->feeds);
	memory_free(d->feed_first);
	memory_free(d->beats);
	memory_free(d->beat_channels);
	memory_free(d->lanes);
	memory_free(d->source_of_tag);
	memory_free(d->counts);
	memory_free(d->refs_by_full_name);
	memory_free(d->refs_by_name);
	memory_free(d->topics);
	memory_free(d);
}

void definitions_attach_ring(struct definitions *d, uint32_t target_idx, struct ring *ring)
{
	ASSERT(target_idx < d->cfg->target_count);
	ASSERT(!d->ports[target_idx].ring);
	d->ports[target_idx].ring = ring;
}

void definitions_attach_metrics(struct definitions *d, uint32_t source_idx, struct sampler_metrics *metrics)
{
	ASSERT(source_idx < d->source_count);
	d->lanes[source_idx].metrics = metrics;
}
