/* Setting a target up from its configuration. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/carried.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/memory.h"
#include "io/target_priv.h"

#define PATH_BYTES 4096

#define CLIENT_ID_BYTES_MAX 23 /* every server must take that many [MQTT-3.1.3-5] */

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

/* The same at each start, and no longer than every server must accept. FNV-1a over node and target. */
static void client_id_make(struct target *t)
{
	uint64_t hash = HASH_START;
	const char *parts[] = {target_text(t, t->publisher->config.cfg->node), "/", target_name(t)};

	if (t->config->server_client_id)
		return;
	if (t->config->client_id) {
		snprintf(t->client_id, sizeof(t->client_id), "%s", target_text(t, t->config->client_id));
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		hash = hash_text(hash, parts[i]);
	snprintf(t->client_id, CLIENT_ID_BYTES_MAX + 1, "rm%016llx", (unsigned long long)hash);
}

static void props_make(const struct cfg *c, const struct cfg_props *p, struct mqtt_props *out)
{
	*out = (struct mqtt_props){0};
	if (p->payload_format != CFG_FORMAT_NONE) {
		mqtt_props_set(out, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR);
		out->payload_format_indicator = p->payload_format == CFG_FORMAT_UTF8;
	}
	if (p->content_type) {
		mqtt_props_set(out, MQTT_PROP_CONTENT_TYPE);
		out->content_type = bytes_of_text(cfg_text(c, p->content_type));
	}
	if (p->response_topic) {
		mqtt_props_set(out, MQTT_PROP_RESPONSE_TOPIC);
		out->response_topic = bytes_of_text(cfg_text(c, p->response_topic));
	}
	if (p->correlation_data) {
		mqtt_props_set(out, MQTT_PROP_CORRELATION_DATA);
		out->correlation_data = bytes_of_text(cfg_text(c, p->correlation_data));
	}
}

static void pair_write(const struct cfg *c, const struct cfg_pair *pair, struct writer *w)
{
	mqtt_write_user_property(w, bytes_of_text(cfg_text(c, pair->name)),
				 bytes_of_text(cfg_text(c, pair->value)));
}

/* User properties alone, in a block of their own that lives as long as the target. -ENOMEM. */
static int pairs_make(const struct cfg *c, const struct cfg_pairs *pairs, uint8_t **block, struct bytes *out)
{
	const struct cfg_props p = {.user = *pairs};
	uint32_t room = definition_props_bytes_max(c, &p);
	struct writer w;

	*block = NULL;
	*out = bytes_of(NULL, 0);
	if (pairs->count == 0)
		return 0;
	*block = memory_alloc(room, 1);
	if (!*block)
		return -ENOMEM;
	w = writer_of(*block, room);
	for (uint32_t i = 0; i < pairs->count; i++)
		pair_write(c, &c->pairs[pairs->first + i], &w);
	*out = bytes_of(*block, (size_t)(w.at - *block));
	return 0;
}

/* The properties of a message, without Topic Alias and expiry, into w; where they are. */
static struct bytes props_write(const struct cfg *c, const struct cfg_props *p, struct writer *w)
{
	struct mqtt_props props;
	uint8_t *begin = w->at;

	props_make(c, p, &props);
	for (uint32_t i = 0; i < p->user.count; i++)
		pair_write(c, &c->pairs[p->user.first + i], w);
	int rc = mqtt_props_write(w, &props);

	ASSERT(rc == 0); /* sized by definition_props_bytes_max() */
	return bytes_of(begin, (size_t)(w->at - begin));
}

static void session_config_make(struct target *t, struct mqtt_session_config *out)
{
	const struct cfg_target *c = t->config;
	struct mqtt_connect *connect = &out->connect;
	uint64_t expiry_s = c->session_expiry_ns / NS_PER_S;

	*out = (struct mqtt_session_config){
		.version = c->protocol == 5 ? MQTT_5 : MQTT_3_1_1,
		.max_packet_bytes = c->max_packet_bytes,
		.inflight_max = c->max_inflight,
		.receive_max = (uint16_t)c->receive_max,
		.topic_alias_max = (uint16_t)c->topic_alias_max,
		.refuse_lowered = c->server_limits == CFG_LIMITS_REFUSE,
		.filters = t->inbound.filters,
		.filter_count = t->inbound.subscriptions.count,
		.channel_count = t->publisher->config.definitions->ports[t->cfg_idx].channel_count,
	};
	connect->clean_start = c->clean_start;
	connect->keep_alive_s = (uint16_t)(c->keep_alive_ns / NS_PER_S);
	connect->client_id = bytes_of_text(t->client_id);
	connect->has_user_name = c->has_user;
	connect->user_name = bytes_of_text(target_text(t, c->user));
	connect->has_password = c->password != 0;
	if (c->protocol == 5 && expiry_s) {
		mqtt_props_set(&connect->props, MQTT_PROP_SESSION_EXPIRY_INTERVAL);
		connect->props.session_expiry_interval_s = (uint32_t)min_u64(expiry_s, UINT32_MAX);
	}
	if (t->inbound.subscriptions.count) {
		out->topic_alias_in = c->protocol == 5 ? (uint16_t)c->topic_alias_in : 0;
		out->topic_alias_in_bytes = (uint32_t)min_u64(MQTT_STRING_BYTES_MAX, c->max_packet_bytes);
	}
}

static int will_make(struct target *t, struct mqtt_connect *connect)
{
	const struct cfg *c = t->publisher->config.cfg;
	const struct cfg_will *w = &t->config->will;
	bool is_v5 = t->config->protocol == 5;
	int rc = pairs_make(c, &t->config->connect_user, &t->connect_props, &connect->props.raw);

	if (rc < 0 || !w->topic)
		return rc;
	connect->has_will = true;
	connect->will.topic = bytes_of_text(target_text(t, w->topic));
	connect->will.payload = bytes_of_text(target_text(t, w->payload));
	connect->will.qos = w->qos;
	connect->will.retain = w->retain;
	if (!is_v5)
		return 0;
	props_make(c, &w->props, &connect->will.props);
	if (w->delay_s) {
		mqtt_props_set(&connect->will.props, MQTT_PROP_WILL_DELAY_INTERVAL);
		connect->will.props.will_delay_interval_s = w->delay_s;
	}
	if (w->expiry_s) {
		mqtt_props_set(&connect->will.props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
		connect->will.props.message_expiry_interval_s = w->expiry_s;
	}
	return pairs_make(c, &w->props.user, &t->will_props, &connect->will.props.raw);
}

/* Each definition's properties are written once; its channels share them. */
static int channel_props_make(struct target *t)
{
	const struct definitions *d = t->publisher->config.definitions;
	const struct cfg *c = t->publisher->config.cfg;
	uint64_t room = 0;
	struct writer w;

	for (uint32_t i = 0; i < c->definition_count; i++)
		if (c->definitions[i].target_idx == t->cfg_idx &&
		    c->definitions[i].mode != CFG_MODE_SUBSCRIBE)
			room += definition_props_bytes_max(c, &c->definitions[i].props);
	if (room == 0)
		return 0;
	t->props = memory_alloc(d->ports[t->cfg_idx].channel_count, sizeof(t->props[0]));
	t->props_text = memory_alloc(room, 1);
	if (!t->props || !t->props_text)
		return -ENOMEM;
	w = writer_of(t->props_text, room);
	for (uint32_t i = 0, last = UINT32_MAX; i < d->channel_count; i++) {
		const struct channel *ch = &d->channels[i];

		if (ch->target_idx != t->cfg_idx)
			continue;
		t->props[ch->local_idx] = ch->definition_idx == last
						  ? t->props[ch->local_idx - 1]
						  : props_write(c, &c->definitions[ch->definition_idx].props,
								&w);
		last = ch->definition_idx;
	}
	return 0;
}

/* --- records of the target's own ------------------------------------------------------------------------------------------ */

static struct ring_record *own_record(const struct mqtt_stored *m, uint8_t qos)
{
	uint64_t headroom = CHANNEL_HEADER_BYTES + m->topic.size + m->props.size;
	uint64_t bytes = carried_bytes(m->topic.size, m->props.size, m->payload.size);
	struct ring_record *rec = memory_alloc(sizeof(*rec) + headroom + bytes, 1);
	struct writer w;

	if (!rec)
		return NULL;
	*rec = (struct ring_record){
		.payload_bytes = (uint32_t)bytes,
		.headroom_bytes = (uint32_t)headroom,
		.channel_idx = CHANNEL_CARRIED,
		.flags = IS_OWN,
		.time_ns = m->time_ns,
	};
	w = writer_of(ring_payload(rec), bytes);
	write_bytes(&w, m->payload.ptr, m->payload.size);
	write_bytes(&w, m->props.ptr, m->props.size);
	carried_write_end(&w, m->topic, m->props.size, m->expiry_s, qos, m->retain);
	ASSERT(!w.failed);
	return rec;
}

/* What the last process had sent, or was about to: it is in flight again. */
static int restore(struct target *t)
{
	struct mqtt_stored m;
	uint16_t packet_id = 0;
	uint8_t qos;

	t->restored = memory_alloc(t->session.inflight.count + 1ull, sizeof(t->restored[0]));
	t->origins = memory_alloc(t->session.inflight.count + 1ull, sizeof(t->origins[0]));
	if (!t->restored || !t->origins)
		return -ENOMEM;
	while (mqtt_session_restored(&t->session, &packet_id, &m, &qos)) {
		struct ring_record *rec = own_record(&m, qos);

		if (!rec)
			return -ENOMEM;
		t->origins[t->restored_count] = m.origin;
		t->restored[t->restored_count++] = rec;
		rec->flags |= HOLD_ACK;
		mqtt_session_attach(&t->session, packet_id, rec);
	}
	if (t->session.inflight.count)
		LOG_INFO("target", "name=%s restored=%u inflight=%u inbound=%u", target_name(t),
			 t->restored_count, t->session.inflight.count, t->session.store.inbound_count);
	return 0;
}

/* To the will's topic, as the will would be. */
static struct ring_record *will_record(const struct target *t, uint32_t payload, struct bytes props)
{
	const struct cfg_will *w = &t->config->will;
	const struct mqtt_stored m = {
		.topic = bytes_of_text(target_text(t, w->topic)),
		.props = props,
		.payload = bytes_of_text(target_text(t, payload)),
		.retain = w->retain,
	};

	return own_record(&m, w->qos);
}

static int own_records_make(struct target *t)
{
	const struct cfg *c = t->publisher->config.cfg;
	const struct cfg_will *w = &t->config->will;
	uint8_t *text = NULL;
	struct bytes props = {0};

	if (!w->topic || (!w->has_on_connect && !w->has_on_disconnect))
		return 0;
	if (t->config->protocol == 5) {
		uint32_t room = definition_props_bytes_max(c, &w->props) + 1;
		struct writer pw;

		text = malloc(room);
		if (!text)
			return -ENOMEM;
		pw = writer_of(text, room);
		props = props_write(c, &w->props, &pw);
	}
	if (w->has_on_connect)
		t->hello = will_record(t, w->on_connect, props);
	if (w->has_on_disconnect)
		t->farewell = will_record(t, w->on_disconnect, props);
	free(text);
	return (w->has_on_connect && !t->hello) || (w->has_on_disconnect && !t->farewell) ? -ENOMEM : 0;
}

static bool wants_acks(const struct target *t)
{
	const struct cfg *c = t->publisher->config.cfg;

	if (t->config->buffer_loss_topic && t->config->buffer_loss_qos > 0)
		return true;
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *def = &c->definitions[i];
		uint32_t target_idx = def->mode == CFG_MODE_SUBSCRIBE ? def->subscribe.forward.target_idx
								      : def->target_idx;

		if (target_idx == t->cfg_idx && def->qos > 0)
			return true;
	}
	return false;
}

/* The largest message that may wait for an acknowledgement: topic, properties and payload. */
static uint32_t message_bytes_max(const struct cfg *c, uint32_t cfg_idx, const struct definitions *d)
{
	const struct cfg_will *w = &c->targets[cfg_idx].will;
	uint64_t own = strlen(cfg_text(c, w->topic)) + definition_props_bytes_max(c, &w->props) +
		       max_u64(strlen(cfg_text(c, w->on_connect)), strlen(cfg_text(c, w->on_disconnect)));

	/* A ring file may bring larger ones than the definitions make now. */
	return (uint32_t)max_u64(own, target_ring_limits(c, cfg_idx, d).record_bytes_max);
}

static bool keeps_session(const struct cfg_target *t)
{
	return !t->clean_start;
}

static struct mqtt_store_shape store_shape(const struct cfg *c, uint32_t cfg_idx, const struct definitions *d,
					   const char *state_dir)
{
	const struct cfg_target *t = &c->targets[cfg_idx];

	return (struct mqtt_store_shape){
		.inflight_room = t->max_inflight,
		.slot_bytes = state_dir && keeps_session(t)
				      ? mqtt_store_slot_bytes(message_bytes_max(c, cfg_idx, d))
				      : 0,
	};
}

static int session_memory_open(struct target *t, const struct mqtt_session_config *config)
{
	struct mqtt_session_memory *m = &t->session_memory;
	const struct mqtt_store_shape *shape = &t->session_file.store.shape;

	m->outbox_bytes = max_u64(4096, mqtt_session_outbox_bytes(config));
	t->outboxes[0] = memory_alloc(m->outbox_bytes, 1);
	t->outboxes[1] = memory_alloc(m->outbox_bytes, 1);
	m->outbox = t->outboxes[0];
	m->entries = memory_alloc((uint64_t)shape->inflight_room + 1, sizeof(m->entries[0]));
	m->alias_of = memory_alloc((uint64_t)config->channel_count + 1, sizeof(m->alias_of[0]));
	m->subscriptions = memory_alloc((uint64_t)shape->filter_count + 1, sizeof(m->subscriptions[0]));
	if (config->topic_alias_in) {
		m->aliases_in = memory_alloc(config->topic_alias_in, config->topic_alias_in_bytes);
		m->alias_in_sizes = memory_alloc(config->topic_alias_in, sizeof(m->alias_in_sizes[0]));
		if (!m->aliases_in || !m->alias_in_sizes)
			return -ENOMEM;
	}
	return t->outboxes[0] && t->outboxes[1] && m->entries && m->alias_of && m->subscriptions ? 0
												 : -ENOMEM;
}

static int session_open(struct target *t)
{
	const struct publisher_config *p = &t->publisher->config;
	struct mqtt_session_config config;
	struct session_file_config file = {
		.state_dir = p->state_dir,
		.target = target_name(t),
		.client_id = t->client_id,
		.version = t->config->protocol == 5 ? MQTT_5 : MQTT_3_1_1,
		.shape = store_shape(p->cfg, t->cfg_idx, p->definitions, p->state_dir),
		.filters = t->inbound.filters,
		.only_count = p->only_count,
	};
	int rc;

	if (!keeps_session(t->config)) {
		if (!p->only_count)
			session_file_forget(&file);
		file.state_dir = NULL;
	}
	file.shape.filter_count = t->inbound.subscriptions.count;
	if (file.shape.slot_bytes)
		file.shape.slot_bytes = (uint32_t)max_u64(file.shape.slot_bytes,
							  mqtt_store_slot_bytes(t->ring_record_bytes));
	rc = session_file_open(&t->session_file, &file);
	if (rc < 0)
		return rc;
	memory_count(MEMORY_TARGETS, align_up(t->session_file.memory_bytes, MEMORY_PAGE_BYTES));
	session_config_make(t, &config);
	for (uint32_t i = 0; i < t->session_file.store.shape.filter_count; i++)
		config.filter_bytes_max = (uint32_t)max_u64(
			config.filter_bytes_max, mqtt_store_filter(&t->session_file.store, i).size);
	rc = will_make(t, &config.connect);
	if (rc == 0)
		rc = session_memory_open(t, &config);
	if (rc < 0)
		return rc;
	mqtt_session_init(&t->session, &config, &t->session_file.store, &t->session_memory);
	return restore(t);
}

static int batch_memory_open(struct target *t)
{
	const struct publisher_config *p = &t->publisher->config;

	/* A file may have more in flight than the configuration wants now. */
	t->waiting_max = target_waiting_max(t->config) + t->session.inflight.room;
	t->batch = memory_alloc(t->batch_max, sizeof(t->batch[0]));
	t->waiting = memory_alloc(t->waiting_max, sizeof(t->waiting[0]));
	t->packet_bytes = memory_alloc(t->batch_max, sizeof(t->packet_bytes[0]));
	t->iov = memory_alloc((uint64_t)t->batch_max + 2, sizeof(t->iov[0]));
	t->receive = memory_alloc(t->config->max_packet_bytes, 1);
	t->losses = memory_alloc(1, sizeof(*t->losses));
	t->loss_lanes = memory_alloc(target_ring_limits(p->cfg, t->cfg_idx, p->definitions).lane_count,
				     sizeof(*t->loss_lanes));
	return t->losses && t->loss_lanes && t->batch && t->waiting && t->packet_bytes && t->iov && t->receive
		       ? 0
		       : -ENOMEM;
}

/* --- the ring ----------------------------------------------------------------------------------------------------------------- */

/* A ring in a file takes over what an earlier configuration left: in a lane of its own, each message with its topic. */
struct ring_limits target_ring_limits(const struct cfg *c, uint32_t cfg_idx, const struct definitions *d)
{
	const struct cfg_target *tc = &c->targets[cfg_idx];
	const struct definition_port *port = &d->ports[cfg_idx];
	uint64_t record_bytes = port->record_bytes_max;

	if (tc->buffer_path)
		record_bytes += port->headroom_bytes_max + sizeof(struct carried_end);
	record_bytes = min_u64(RING_RECORD_BYTES_MAX, record_bytes);
	return (struct ring_limits){
		.message_count = tc->buffer_messages_max,
		.byte_count = tc->buffer_bytes ? max_u64(tc->buffer_bytes, record_bytes) : 0,
		.record_bytes_max = (uint32_t)record_bytes,
		.headroom_bytes_max = port->headroom_bytes_max,
		.lane_count = port->lane_count + (tc->buffer_path ? 1 : 0),
		.inflight_max = tc->max_inflight + target_batch_max(tc),
		.max_age_ns = tc->buffer_max_age_ns,
	};
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* By the channels' numbers among all: what a record says. */
static struct ring_file_topic *topics_make(const struct target *t)
{
	const struct definitions *d = t->publisher->config.definitions;
	struct ring_file_topic *topics = calloc((size_t)d->channel_count + 1, sizeof(topics[0]));

	for (uint32_t i = 0; topics && i < d->channel_count; i++) {
		const struct channel *ch = &d->channels[i];
		bool own = ch->target_idx == t->cfg_idx;

		topics[i] = (struct ring_file_topic){
			.topic = own ? ch->topic
				     : bytes_of("-", 1), /* another target's: never in this ring */
			.props = own && t->props ? t->props[ch->local_idx] : bytes_of(NULL, 0),
			.expiry_s = ch->expiry_s,
			.qos = ch->qos,
			.retain = ch->retain,
		};
	}
	return topics;
}

static void ring_path(const struct target *t, char out[PATH_BYTES])
{
	const char *state_dir = t->publisher->config.state_dir;
	const char *name = target_text(t, t->config->buffer_path);

	if (name[0] == '/')
		snprintf(out, PATH_BYTES, "%s", name);
	else /* without a folder there is none, and the status says so, too */
		snprintf(out, PATH_BYTES, "%s/%s", state_dir ? state_dir : "/dev/null", name);
}

/* Before the session is opened: it has to have room for what the file brings. */
static void ring_look(struct target *t)
{
	const struct publisher_config *p = &t->publisher->config;
	const struct ring_limits limits = target_ring_limits(p->cfg, t->cfg_idx, p->definitions);
	char path[PATH_BYTES];

	if (!t->config->buffer_path)
		return;
	t->ring_record_bytes = limits.record_bytes_max;
	if (p->only_count)
		return;
	ring_path(t, path);
	t->ring_record_bytes = ring_file_record_bytes(
		path, &limits, p->definitions->ports[t->cfg_idx].header_bytes - CHANNEL_HEADER_BYTES);
}

static int ring_in_file(struct target *t)
{
	const struct publisher_config *p = &t->publisher->config;
	const char *name = target_text(t, t->config->buffer_path);
	struct ring_file_topic *topics;
	char path[PATH_BYTES];
	int rc;

	if (name[0] != '/' && !p->state_dir && !p->only_count)
		LOG_WARN("ring",
			 "target=%s file=%s kept=0 reason=\"there is no state directory: see --state-dir\"",
			 target_name(t), name);
	ring_path(t, path);
	topics = topics_make(t);
	if (!topics)
		return -ENOMEM;
	if (t->restored_count)
		qsort(t->origins, t->restored_count, sizeof(t->origins[0]), by_number);
	struct ring_file_config config = {
		.path = path,
		.limits = target_ring_limits(p->cfg, t->cfg_idx, p->definitions),
		.topics = topics,
		.topic_count = p->definitions->channel_count,
		.mark_bytes = p->definitions->ports[t->cfg_idx].header_bytes - CHANNEL_HEADER_BYTES,
		.epoch = prng_next(&t->publisher->prng),
	};

	config.limits.record_bytes_max = t->ring_record_bytes;
	if (config.limits.byte_count)
		config.limits.byte_count = max_u64(config.limits.byte_count, t->ring_record_bytes);
	memory_count(MEMORY_RINGS, align_up(ring_file_bytes(&config), MEMORY_PAGE_BYTES) +
					   ring_size_bytes(&config.limits) - ring_map_bytes(&config.limits));
	if (p->only_count) {
		free(topics);
		return 0;
	}
	rc = ring_file_open(&t->ring_file, &config, t->origins, t->restored_count, target_now(t),
			    turn_wall(&t->publisher->turn));
	free(topics);
	if (rc < 0)
		return rc;
	definitions_attach_ring(p->definitions, t->cfg_idx, t->ring_file.ring);
	t->ring = t->ring_file.ring;
	if (t->ring_file.restored_count)
		t->has_acked = true; /* whatever the definitions are now */
	return 0;
}

int target_open(struct target *t, struct publisher *p, uint32_t cfg_idx, uint32_t slot)
{
	const struct cfg *c = p->config.cfg;
	int rc;

	*t = (struct target){
		.publisher = p,
		.config = &c->targets[cfg_idx],
		.name = cfg_text(c, c->targets[cfg_idx].name),
		.cfg_idx = cfg_idx,
		.slot = slot,
		.timer = {.owner_idx = slot},
		.ring = p->config.definitions->ports[cfg_idx].ring, /* NULL: it is in a file */
		.link_deadline = MONO_NEVER,
		.flush_deadline = MONO_NEVER,
		.part_deadline = MONO_NEVER,
		.first_deadline = MONO_NEVER,
		.losses_since = MONO_NEVER,
		.losses_deadline = MONO_NEVER,
		.session_file.handle = -1,
		.ring_file.handle = -1,
	};
	t->backoff = (struct backoff){.base_ns = t->config->reconnect_base_ns,
				      .cap_ns = t->config->reconnect_cap_ns,
				      .stable_ns = t->config->reconnect_stable_ns};
	t->batch_max = target_batch_max(t->config);
	t->has_acked = wants_acks(t);
	t->enabled = t->config->enabled && c->packages[t->config->package_idx].enabled;
	atomic_store_explicit(&t->wanted, t->enabled, memory_order_relaxed);
	client_id_make(t);
	target_place_from_list(t);
	ring_look(t);
	rc = inbound_open(&t->inbound, p, cfg_idx, &t->metrics);
	if (rc == 0)
		rc = session_open(t);
	if (rc == 0)
		rc = batch_memory_open(t);
	if (rc == 0)
		rc = channel_props_make(t);
	if (rc == 0)
		rc = own_records_make(t);
	if (rc == 0 && t->config->buffer_path)
		rc = ring_in_file(t);
	if (rc == 0)
		rc = target_replay_open(t);
	if (rc == 0)
		rc = target_trace_open(t);
	if (rc < 0) {
		target_close(t);
		return rc;
	}
	if (p->config.only_count)
		return 0;
	ASSERT(t->ring);
	rc = ring_keep(t->ring, t->config->buffer_messages, ring_keeping(t->ring).bytes,
		       t->config->buffer_max_age_ns);
	ASSERT(rc == 0); /* the memory was made for as much, or more */
	target_losses_open(t);
	target_check_headroom(t);
	stream_init(&t->stream, p->loop, &target_stream_user, t->receive, t->config->max_packet_bytes);
	target_enter(t, t->enabled ? TARGET_CONNECTING : TARGET_DISABLED, "");
	if (t->enabled)
		t->link_deadline = target_now(t);
	timer_set(&p->timers, &t->timer, t->link_deadline);
	return 0;
}

void target_close(struct target *t)
{
	memory_free(t->batch);
	memory_free(t->waiting);
	memory_free(t->packet_bytes);
	memory_free(t->iov);
	memory_free(t->outboxes[0]);
	memory_free(t->outboxes[1]);
	memory_free(t->session_memory.entries);
	memory_free(t->session_memory.alias_of);
	memory_free(t->session_memory.subscriptions);
	memory_free(t->session_memory.aliases_in);
	memory_free(t->session_memory.alias_in_sizes);
	memory_free(t->receive);
	memory_free(t->losses);
	memory_free(t->loss_lanes);
	memory_free(t->replay.text);
	target_thin_close(t);
	trace_close(t->trace.source.ring);
	memory_free(t->props);
	memory_free(t->props_text);
	memory_free(t->will_props);
	memory_free(t->connect_props);
	for (uint32_t i = 0; i < t->restored_count; i++)
		memory_free(t->restored[i]);
	memory_free(t->restored);
	memory_free(t->hello);
	memory_free(t->farewell);
	inbound_close(&t->inbound);
	session_file_close(&t->session_file);
	ring_file_close(&t->ring_file);
	memory_free(t->origins);
}
