/* Setting a target up from its configuration. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/target_priv.h"
#include "proto/mqtt_publish.h"

#define CLIENT_ID_BYTES_MAX 23 /* every server must take that many [MQTT-3.1.3-5] */

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

/* The same at each start, and no longer than every server must accept. FNV-1a over node and target. */
static void client_id_make(struct target *t)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	const char *parts[] = {target_text(t, t->publisher->config.cfg->node), "/", target_name(t)};

	if (t->config->client_id) {
		snprintf(t->client_id, sizeof(t->client_id), "%s", target_text(t, t->config->client_id));
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		for (const char *c = parts[i]; *c; c++)
			hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
	snprintf(t->client_id, CLIENT_ID_BYTES_MAX + 1, "rm%016llx", (unsigned long long)hash);
}

static void session_config_make(struct target *t, struct mqtt_session_config *out)
{
	const struct cfg_target *c = t->config;
	struct mqtt_connect *connect = &out->connect;
	uint64_t expiry_s = c->session_expiry_ns / NS_PER_S;

	*out = (struct mqtt_session_config){
		.version = c->protocol == 5 ? MQTT_5 : MQTT_3_1_1,
		.max_packet_bytes = c->max_packet_bytes,
		.topic_alias_max = (uint16_t)c->topic_alias_max,
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
	if (!c->will.topic)
		return;
	connect->has_will = true;
	connect->will.topic = bytes_of_text(target_text(t, c->will.topic));
	connect->will.payload = bytes_of_text(target_text(t, c->will.payload));
	connect->will.qos = c->will.qos;
	connect->will.retain = c->will.retain;
	if (c->protocol == 5 && c->will.delay_s) {
		mqtt_props_set(&connect->will.props, MQTT_PROP_WILL_DELAY_INTERVAL);
		connect->will.props.will_delay_interval_s = c->will.delay_s;
	}
	if (c->protocol == 5 && c->will.expiry_s) {
		mqtt_props_set(&connect->will.props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
		connect->will.props.message_expiry_interval_s = c->will.expiry_s;
	}
}

static bool wants_acks(const struct target *t)
{
	const struct cfg *c = t->publisher->config.cfg;

	for (uint32_t i = 0; i < c->definition_count; i++)
		if (c->definitions[i].target_idx == t->cfg_idx && c->definitions[i].qos > 0)
			return true;
	return false;
}

uint64_t target_memory_bytes(const struct cfg *c, uint32_t cfg_idx, const struct definitions *d)
{
	const struct cfg_target *tc = &c->targets[cfg_idx];

	return sizeof(struct target) + tc->max_packet_bytes + 2ull * 4096 +
	       target_batch_max(tc) * (sizeof(void *) + sizeof(uint32_t) + sizeof(struct iovec)) +
	       target_waiting_max(tc) * sizeof(void *) +
	       (tc->max_inflight + 1ull) * sizeof(struct mqtt_inflight_entry) +
	       d->ports[cfg_idx].channel_count * sizeof(uint16_t);
}

int target_open(struct target *t, struct publisher *p, uint32_t cfg_idx, uint32_t slot)
{
	const struct cfg *c = p->config.cfg;
	struct mqtt_session_config config;

	*t = (struct target){
		.publisher = p,
		.config = &c->targets[cfg_idx],
		.cfg_idx = cfg_idx,
		.slot = slot,
		.timer = {.owner_idx = slot},
		.ring = p->config.definitions->ports[cfg_idx].ring,
		.link_deadline = MONO_NEVER,
		.flush_deadline = MONO_NEVER,
		.leave_deadline = MONO_NEVER,
		.session_url_idx = UINT32_MAX,
	};
	ASSERT(t->ring);
	t->backoff = (struct backoff){.base_ns = t->config->reconnect_base_ns,
				      .cap_ns = t->config->reconnect_cap_ns,
				      .stable_ns = t->config->reconnect_stable_ns};
	t->batch_max = target_batch_max(t->config);
	client_id_make(t);
	t->has_acked = wants_acks(t);
	session_config_make(t, &config);
	t->outbox_bytes = max_u64(4096, mqtt_session_outbox_bytes(&config));
	t->batch = calloc(t->batch_max, sizeof(t->batch[0]));
	t->waiting = calloc(target_waiting_max(t->config), sizeof(t->waiting[0]));
	t->packet_bytes = calloc(t->batch_max, sizeof(t->packet_bytes[0]));
	t->iov = calloc((size_t)t->batch_max + 2, sizeof(t->iov[0]));
	t->outboxes[0] = malloc(t->outbox_bytes);
	t->outboxes[1] = malloc(t->outbox_bytes);
	t->inflight = calloc((size_t)t->config->max_inflight + 1, sizeof(t->inflight[0]));
	t->aliases = calloc((size_t)config.channel_count + 1, sizeof(t->aliases[0]));
	t->receive = malloc(t->config->max_packet_bytes);
	if (!t->batch || !t->waiting || !t->packet_bytes || !t->iov || !t->outboxes[0] || !t->outboxes[1] ||
	    !t->inflight || !t->aliases || !t->receive) {
		target_close(t);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < p->config.definitions->channel_count;
	     i++) { /* the headroom was sized without us */
		const struct channel *ch = &p->config.definitions->channels[i];

		ASSERT(ch->target_idx != cfg_idx ||
		       mqtt_publish_headroom_bytes(config.version, ch->topic.size, ch->qos, 0) <=
			       ch->headroom_bytes);
	}
	mqtt_session_init(&t->session, &config, t->inflight, t->config->max_inflight, t->aliases,
			  t->outboxes[0], t->outbox_bytes);
	stream_init(&t->stream, p->loop, &target_stream_user, t->receive, t->config->max_packet_bytes);
	if (!t->config->enabled) {
		t->left = true;
		target_enter(t, TARGET_DISABLED, "");
		return 0;
	}
	target_enter(t, TARGET_CONNECTING, "");
	t->link_deadline = target_now(t);
	timer_set(&p->timers, &t->timer, t->link_deadline);
	return 0;
}

void target_close(struct target *t)
{
	free(t->batch);
	free(t->waiting);
	free(t->packet_bytes);
	free(t->iov);
	free(t->outboxes[0]);
	free(t->outboxes[1]);
	free(t->inflight);
	free(t->aliases);
	free(t->receive);
}
