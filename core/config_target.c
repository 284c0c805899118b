/* The rules between the keys of a target, and between targets. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/config_build.h"
#include "core/grow.h"
#include "core/units.h"

/* MQTT 5 with clean_start: false and no session_expiry: long enough for a restart of either side. */
#define SESSION_EXPIRY_DEFAULT_NS (3600 * NS_PER_S)

static void check_whole_seconds(struct config_build *b, uint32_t map, const char *key, uint64_t ns)
{
	uint32_t node = config_given(b, map, key);

	if (node != TREE_NONE && ns % NS_PER_S != 0)
		config_complain(b, node, "`%s`: MQTT knows whole seconds only; write such as 60s", key);
}

/* MQTT 3.1.1 has no Receive Maximum: mosquitto, by default, drops the connection of a client that has more than 20 QoS 2
 * messages under way, again and again. */
#define INFLIGHT_DEFAULT_3_1_1 20

static void check_version(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	static const char *const of_5[] = {"session_expiry", "topic_alias_max", "topic_alias_in",
					   "follow_redirects", "user_properties"};

	if (!config_is_sound(b, node, "protocol"))
		return;
	if (t->protocol == 5) {
		if (!t->clean_start && tree_find(&b->tree, node, "session_expiry") == TREE_NONE)
			t->session_expiry_ns = SESSION_EXPIRY_DEFAULT_NS;
		return;
	}
	for (uint32_t i = 0; i < ARRAY_COUNT(of_5); i++)
		config_need_mqtt5(b, node, of_5[i]);
	config_need_mqtt5(b, config_given(b, node, "will"), "delay");
	config_need_mqtt5(b, config_given(b, node, "will"), "expiry");
	t->topic_alias_max = t->topic_alias_in = 0;
	t->follow_redirects = false;
	if (tree_find(&b->tree, node, "max_inflight") == TREE_NONE)
		t->max_inflight = INFLIGHT_DEFAULT_3_1_1;
	if (config_given(b, node, "password") != TREE_NONE && tree_find(&b->tree, node, "user") == TREE_NONE)
		config_complain(b, config_given(b, node, "password"),
				"`password` without `user` needs `protocol: 5`; add `user`");
}

/* Back to the first URL: there must be another, and the first must be the one to prefer. */
static void check_failback(struct config_build *b, const struct cfg_target *t, uint32_t node)
{
	uint32_t failback = config_given(b, node, "failback"), urls = config_given(b, node, "urls");
	bool is_one = urls == TREE_NONE || b->tree.nodes[urls].kind != TREE_LIST ||
		      b->tree.nodes[urls].count < 2;

	if (failback == TREE_NONE || t->failback_ns == 0 || !config_is_sound(b, node, "urls"))
		return;
	if (is_one)
		config_complain(b, failback,
				"`failback` needs more than one URL to go back from; add to `urls`, or leave "
				"it out");
	else if (t->failover != CFG_FAILOVER_ORDERED && config_is_sound(b, node, "failover"))
		config_complain(
			b, failback,
			"`failback` needs `failover: ordered`, where the first URL is the best; write "
			"that, or leave `failback` out");
}

/* The names are good until the next text is added. */
static struct topic_names will_names(const struct cfg *c, const struct cfg_target *t)
{
	return (struct topic_names){.node = cfg_text(c, c->node), .target = cfg_text(c, t->name)};
}

/* The will's topics are filled in here: nothing in them changes later. */
static void check_will(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	uint32_t will = config_given(b, node, "will"), topic = config_given(b, will, "topic");
	const struct cfg *c = b->cfg;
	struct topic_names names = will_names(c, t);
	char expanded[TOPIC_BYTES_MAX];
	const char *why;
	int size;

	if (will == TREE_NONE)
		return;
	t->will.has_on_connect = config_given(b, will, "on_connect") != TREE_NONE;
	t->will.has_on_disconnect = config_given(b, will, "on_disconnect") != TREE_NONE;
	config_check_props(b, &t->will.props, will, config_is_sound(b, node, "protocol") ? t->protocol : 5,
			   &names, "of a will");
	if (topic == TREE_NONE)
		return;
	names = will_names(c, t);
	size = topic_expand(cfg_text(c, t->will.topic), &names, expanded, &why);
	if (size < 0)
		config_complain(b, topic, "`topic` of a will: %s", why);
	else
		t->will.topic = config_text_add(b, bytes_of(expanded, (size_t)size));
}

static void complain_package(struct config_build *b, const struct cfg_target *t, uint32_t node)
{
	struct bytes name = bytes_of_text(cfg_text(b->cfg, t->package));
	char hint[CONFIG_HINT_BYTES];
	struct config_echo e;
	struct suggest s;

	suggest_begin(&s, name);
	for (uint32_t i = 0; i < b->cfg->package_count; i++)
		suggest_offer(&s, bytes_of_text(cfg_text(b->cfg, b->cfg->packages[i].name)));
	suggest_offer(&s, bytes_of_text("core"));
	config_complain(b, node, "there is no package %s%s", config_echo(&e, name),
			config_hint(hint, &s, "add it to the section `packages`"));
}

/* Where packages are declared, a target's is one of them, or core; where none are, each that is named is there. */
void config_resolve_package(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	uint32_t given = tree_find(&b->tree, node, "package");
	uint32_t declared = tree_find(&b->tree, b->tree.root, "packages");
	struct name_index *names = &b->names[SCHEMA_PACKAGE];
	struct cfg *c = b->cfg;
	struct bytes name = bytes_of_text(cfg_text(c, t->package));

	if (given != TREE_NONE && b->tree.nodes[given].bad)
		return;
	t->package_idx = name_index_find(names, c->text, 0, name);
	if (t->package_idx != NAME_NONE || b->incomplete[SCHEMA_PACKAGE])
		return;
	if (declared != TREE_NONE && !config_is_null(b, declared) &&
	    !bytes_equal(name, bytes_of_text("core"))) {
		complain_package(b, t, given);
		return;
	}
	if (c->package_count == CFG_PACKAGES_MAX) {
		config_complain(b, given == TREE_NONE ? node : given,
				"more than %u packages in all; let targets share one", CFG_PACKAGES_MAX);
		return;
	}
	if (grow(&c->packages, &b->package_capacity, c->package_count, 1, sizeof(*c->packages)) < 0 ||
	    name_index_add(names, c->text, 0, t->package, c->package_count) < 0) {
		b->rc = -ENOMEM;
		return;
	}
	t->package_idx = c->package_count;
	c->packages[c->package_count++] = (struct cfg_package){
		.name = t->package, .enabled = true, .place = t->place};
}

static void check_loss_topic(struct config_build *b, struct cfg_target *t, uint32_t buffer)
{
	uint32_t topic = config_given(b, buffer, "loss_topic");
	struct topic_names names = will_names(b->cfg, t);
	char expanded[TOPIC_BYTES_MAX];
	const char *why;
	int size;

	if (topic == TREE_NONE) {
		if (config_given(b, buffer, "loss_qos") != TREE_NONE)
			config_complain(b, config_given(b, buffer, "loss_qos"),
					"`loss_qos` needs `loss_topic`; add it, or leave both out");
		return;
	}
	size = topic_expand(cfg_text(b->cfg, t->buffer_loss_topic), &names, expanded, &why);
	if (size < 0)
		config_complain(b, topic, "`loss_topic`: %s", why);
	else
		t->buffer_loss_topic = config_text_add(b, bytes_of(expanded, (size_t)size));
}

/* "200/s", or "20%". */
static void check_replay_rate(struct config_build *b, struct cfg_target *t, uint32_t replay)
{
	struct bytes text = bytes_of_text(cfg_text(b->cfg, t->replay.rate_text));
	bool is_share = text.size > 0 && text.ptr[text.size - 1] == '%';
	const char *why;
	int rc = is_share ? units_parse_percent(text, &t->replay.share_percent, &why)
			  : units_parse_rate(text, &t->replay.interval_ns, &why);

	if (rc < 0)
		config_complain(b, config_given(b, replay, "rate"), "`rate`: %s", why);
}

static void check_replay(struct config_build *b, struct cfg_target *t, uint32_t node, uint32_t buffer)
{
	static const char *const of_live_first[] = {"rate", "mark", "topic_prefix", "thin"};
	uint32_t replay = config_given(b, buffer, "replay"), mark = config_given(b, replay, "mark"),
		 prefix = config_given(b, replay, "topic_prefix");
	struct topic_names names = will_names(b->cfg, t);
	char expanded[TOPIC_BYTES_MAX];
	const char *why;
	int size;

	if (t->replay.order != CFG_REPLAY_LIVE_FIRST) {
		for (uint32_t i = 0; i < ARRAY_COUNT(of_live_first); i++)
			if (config_given(b, replay, of_live_first[i]) != TREE_NONE &&
			    config_is_sound(b, replay, "order"))
				config_complain(b, config_given(b, replay, of_live_first[i]),
						"`%s` needs `order: live-first`; add it, or leave both out",
						of_live_first[i]);
		return;
	}
	check_replay_rate(b, t, replay);
	if (mark == TREE_NONE)
		t->replay.mark = t->protocol == 5;
	else if (t->replay.mark && t->protocol != 5 && config_is_sound(b, node, "protocol"))
		config_complain(
			b, mark,
			"`mark` needs `protocol: 5`, which has user properties; `topic_prefix` tells the "
			"backlog's messages apart in both versions");
	if (prefix == TREE_NONE)
		return;
	size = topic_expand(cfg_text(b->cfg, t->replay.topic_prefix), &names, expanded, &why);
	if (size < 0)
		config_complain(b, prefix, "`topic_prefix`: %s", why);
	else
		t->replay.topic_prefix = config_text_add(b, bytes_of(expanded, (size_t)size));
}

static void check_limits(struct config_build *b, struct cfg_target *t, uint32_t buffer)
{
	uint32_t most = config_given(b, buffer, "messages_max");

	if (most == TREE_NONE)
		t->buffer_messages_max = t->buffer_messages;
	else if (t->buffer_messages_max < t->buffer_messages && config_is_sound(b, buffer, "messages"))
		config_complain(b, most, "`messages_max` is less than `messages` (%u); write at least that",
				t->buffer_messages);
}

static void check_buffer(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	uint32_t buffer = config_given(b, node, "buffer");

	check_limits(b, t, buffer);
	if (buffer == TREE_NONE)
		return;
	check_replay(b, t, node, buffer);
	if (!t->buffer_path && config_given(b, buffer, "sync") != TREE_NONE)
		config_complain(b, config_given(b, buffer, "sync"),
				"`sync` is for a ring in a file; add `path`, or leave it out");
	if (t->buffer_sync != CFG_SYNC_INTERVAL && config_given(b, buffer, "sync_interval") != TREE_NONE)
		config_complain(b, config_given(b, buffer, "sync_interval"),
				"`sync_interval` needs `sync: interval`");
	check_loss_topic(b, t, buffer);
}

void config_check_target(struct config_build *b, struct cfg_target *t, uint32_t node)
{
	t->server_client_id = config_given(b, node, "client_id") != TREE_NONE && t->client_id == 0;
	if (t->server_client_id && t->protocol != 5 && !t->clean_start &&
	    config_is_sound(b, node, "protocol") &&
	    config_is_sound(b, node, "clean_start")) /* [MQTT-3.1.3-7] of 3.1.1 */
		config_complain(
			b, config_given(b, node, "client_id"),
			"`client_id: \"\"` with `protocol: 3.1.1` needs `clean_start: true`; give it a name");
	t->has_user = tree_find(&b->tree, node, "user") != TREE_NONE;
	config_check_backoff(b, config_given(b, node, "reconnect"), t->reconnect_base_ns,
			     t->reconnect_cap_ns);
	check_whole_seconds(b, node, "keep_alive", t->keep_alive_ns);
	check_whole_seconds(b, node, "session_expiry", t->session_expiry_ns);
	check_version(b, t, node);
	check_failback(b, t, node);
	check_will(b, t, node);
	check_buffer(b, t, node);
	config_check_trace(b, &t->trace, node);
}

/* The next name in a path, without what means nothing in it; empty at the end. */
static struct bytes path_part(const char **at)
{
	struct bytes part;

	do {
		*at += strspn(*at, "/");
		part = bytes_of(*at, strcspn(*at, "/"));
		*at += part.size;
	} while (bytes_equal(part, bytes_of_text(".")));
	return part;
}

static bool is_same_path(const char *x, const char *y)
{
	struct bytes px, py;

	if ((*x == '/') != (*y == '/'))
		return false;
	do {
		px = path_part(&x);
		py = path_part(&y);
		if (!bytes_equal(px, py))
			return false;
	} while (px.size);
	return true;
}

/* Beside a ring, and beside a session, lie files of ours that end so. */
static bool is_our_name(const char *path)
{
	static const char *const endings[] = {".session", ".new", ".bad", ".bad.1", ".bad.2"};
	size_t size = strlen(path);

	for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
		size_t ending = strlen(endings[i]);

		if (size >= ending && strcmp(path + size - ending, endings[i]) == 0)
			return true;
	}
	return false;
}

/* Two rings in one file would be none. */
void config_check_paths(struct config_build *b)
{
	const struct cfg *c = b->cfg;

	for (uint32_t i = 0; i < c->target_count; i++) {
		const struct cfg_target *y = &c->targets[i];

		if (!y->buffer_path)
			continue;
		if (is_our_name(cfg_text(c, y->buffer_path)))
			config_complain_at(
				b, y->place.line, y->place.column,
				"`buffer.path` ends in .session, .new or .bad (.bad.1, .bad.2), as files "
				"that the daemon makes itself; write another name, such as plant.ring");
		for (uint32_t j = 0; j < i; j++) {
			const struct cfg_target *x = &c->targets[j];
			struct config_echo e;

			if (!x->buffer_path ||
			    !is_same_path(cfg_text(c, x->buffer_path), cfg_text(c, y->buffer_path)))
				continue;
			config_complain_at(b, y->place.line, y->place.column,
					   "`buffer.path` is that of target %s; give each its own file",
					   config_echo(&e, bytes_of_text(cfg_text(c, x->name))));
			break;
		}
	}
}

static bool shares_url(const struct cfg *c, const struct cfg_target *x, const struct cfg_target *y)
{
	for (uint32_t i = 0; i < x->url_count; i++)
		for (uint32_t j = 0; j < y->url_count; j++) {
			const struct cfg_url *u = &c->urls[x->url_first + i], *v = &c->urls[y->url_first + j];

			if (u->port == v->port && !strcmp(cfg_text(c, u->host), cfg_text(c, v->host)))
				return true;
		}
	return false;
}

/* Without subscriptions nothing large comes: an acknowledgement has 4 bytes, and QoS 2 has two of them. */
#define PACKET_DEFAULT_BYTES     65536u
#define PACKET_DEFAULT_MIN_BYTES 4096u

void config_default_packets(struct config_build *b)
{
	struct cfg *c = b->cfg;

	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *d = &c->definitions[i];

		if (d->mode == CFG_MODE_SUBSCRIBE && d->target_idx < c->target_count &&
		    c->targets[d->target_idx].max_packet_bytes == 0)
			c->targets[d->target_idx].max_packet_bytes = PACKET_DEFAULT_BYTES;
	}
	for (uint32_t i = 0; i < c->target_count; i++) {
		struct cfg_target *t = &c->targets[i];

		if (t->max_packet_bytes == 0)
			t->max_packet_bytes = (uint32_t)min_u64(
				max_u64(8ull * t->max_inflight, PACKET_DEFAULT_MIN_BYTES),
				PACKET_DEFAULT_BYTES);
	}
}

/* Two clients of one name throw each other out of the server, for ever. */
void config_check_clients(struct config_build *b)
{
	const struct cfg *c = b->cfg;

	for (uint32_t i = 0; i < c->target_count; i++)
		for (uint32_t j = 0; j < i && c->targets[i].client_id; j++) {
			const struct cfg_target *x = &c->targets[j], *y = &c->targets[i];
			struct config_echo e;

			if (!x->client_id ||
			    strcmp(cfg_text(c, x->client_id), cfg_text(c, y->client_id)) != 0 ||
			    !shares_url(c, x, y))
				continue;
			config_complain_at(
				b, y->place.line, y->place.column,
				"`client_id` is that of target %s on the same server; give each its own",
				config_echo(&e, bytes_of_text(cfg_text(c, x->name))));
			break;
		}
}
