/* The rules between the keys of a definition that publishes. */
#include <string.h>

#include "core/config_build.h"
#include "core/payload.h"
#include "core/ring.h"

static void check_mode(struct config_build *b, const struct cfg_definition *d, uint32_t node)
{
	static const char *const of_change[] = {"heartbeat", "deadband"};

	switch (d->mode) {
	case CFG_MODE_PERIODIC:
		if (tree_find(&b->tree, node, "cycle") == TREE_NONE)
			config_complain(b, node, "`mode: periodic` needs `cycle`; add such as `cycle: 1s`");
		for (uint32_t i = 0; i < ARRAY_COUNT(of_change); i++)
			if (config_given(b, node, of_change[i]) != TREE_NONE)
				config_complain(b, config_given(b, node, of_change[i]),
						"`%s` needs `mode: on-change`; leave it out", of_change[i]);
		return;
	case CFG_MODE_ON_CHANGE:
		if (config_given(b, node, "cycle") != TREE_NONE)
			config_complain(b, config_given(b, node, "cycle"),
					"`cycle` needs `mode: periodic`; write that, or `heartbeat`");
		return;
	case CFG_MODE_SUBSCRIBE: break;
	}
	UNREACHABLE();
}

struct topic_names config_names_of(const struct cfg *c, const struct cfg_definition *d, uint32_t tag_idx)
{
	const struct cfg_tag *t = tag_idx != CFG_NONE ? &c->tags[tag_idx] : NULL;

	return (struct topic_names){
		.node = cfg_text(c, c->node),
		.target = d->target_idx != CFG_NONE ? cfg_text(c, c->targets[d->target_idx].name) : "target",
		.definition = cfg_text(c, d->name),
		.device = t ? cfg_text(c, c->devices[t->device_idx].name) : NULL,
		.tag = t ? cfg_text(c, t->name) : NULL,
	};
}

/* Every topic that the definition will have is made once, to see that it can be. */
static void check_topic(struct config_build *b, const struct cfg_definition *d, uint32_t topic)
{
	const struct cfg *c = b->cfg;
	const char *template = cfg_text(c, d->topic);
	bool is_per_tag = topic_is_per_tag(template);
	uint32_t topic_count = is_per_tag && d->ref_count ? d->ref_count : 1;
	char expanded[TOPIC_BYTES_MAX];
	const char *why;

	for (uint32_t i = 0; i < topic_count; i++) {
		struct topic_names names = config_names_of(
			c, d, d->ref_count ? c->refs[d->ref_first + i] : CFG_NONE);

		if (d->ref_count == 0) { /* why it has no tags has been said */
			names.device = "device";
			names.tag = "tag";
		}
		if (topic_expand(template, &names, expanded, &why) < 0) {
			config_complain(b, topic, "`topic`: %s", why);
			return;
		}
	}
}

/* What the properties take in a packet, at most: five bytes beside each text. */
static uint64_t props_bytes(const struct cfg *c, const struct cfg_props *p)
{
	uint64_t size_bytes = 32 + strlen(cfg_text(c, p->content_type)) +
			      strlen(cfg_text(c, p->response_topic)) +
			      strlen(cfg_text(c, p->correlation_data));

	for (uint32_t i = 0; i < p->user.count; i++) {
		const struct cfg_pair *pair = &c->pairs[p->user.first + i];

		size_bytes += 5 + strlen(cfg_text(c, pair->name)) + strlen(cfg_text(c, pair->value));
	}
	return size_bytes;
}

/* A message lies in one record of the ring. */
static void check_size(struct config_build *b, const struct cfg_definition *d, uint32_t topic)
{
	const struct cfg *c = b->cfg;
	uint64_t size_bytes = PAYLOAD_GROUP_BYTES + 2ull * TOPIC_BYTES_MAX + props_bytes(c, &d->props);

	for (uint32_t i = 0; i < d->ref_count; i++) {
		const struct cfg_tag *t = &c->tags[c->refs[d->ref_first + i]];

		size_bytes += payload_tag_bytes_max(strlen(cfg_text(c, t->name)) + 1 +
						    strlen(cfg_text(c, c->devices[t->device_idx].name)));
	}
	if (size_bytes > RING_RECORD_BYTES_MAX && !topic_is_per_tag(cfg_text(c, d->topic)))
		config_complain(b, topic,
				"`topic`: one message with %u tags could be larger than %u MiB; put {tag} or "
				"{device} into the topic, or make several definitions",
				d->ref_count, RING_RECORD_BYTES_MAX >> 20);
}

/* Keys that only a subscription has. */
static void check_no_subscription(struct config_build *b, uint32_t node)
{
	static const char *const of_subscribe[] = {"value", "no_local", "retain_as_published",
						   "retain_handling", "forward"};

	for (uint32_t i = 0; i < ARRAY_COUNT(of_subscribe); i++)
		if (config_given(b, node, of_subscribe[i]) != TREE_NONE)
			config_complain(b, config_given(b, node, of_subscribe[i]),
					"`%s` needs `mode: subscribe`; write that, or leave it out",
					of_subscribe[i]);
}

static void check_publication(struct config_build *b, struct cfg_definition *d, uint32_t node)
{
	uint32_t topic = config_given(b, node, "topic");
	struct topic_names names = config_names_of(b->cfg, d, CFG_NONE);

	check_mode(b, d, node);
	check_no_subscription(b, node);
	if (tree_find(&b->tree, node, "tags") == TREE_NONE)
		config_complain(b, node,
				"`tags` is missing in this definition; add `tags: ...`: device.tag, or "
				"patterns with *");
	config_check_props(b, &d->props, node,
			   d->target_idx != CFG_NONE ? b->cfg->targets[d->target_idx].protocol : 5, &names,
			   "of a definition");
	if (d->sequence && d->payload != CFG_PAYLOAD_JSON && config_is_sound(b, node, "payload"))
		config_complain(b, config_given(b, node, "sequence"),
				"`sequence` puts a key into the message; write `payload: json`, or leave it "
				"out");
	if (topic == TREE_NONE)
		return;
	if (d->payload == CFG_PAYLOAD_TEXT && d->ref_count > 1 &&
	    !topic_is_per_tag(cfg_text(b->cfg, d->topic)) && config_is_sound(b, node, "payload"))
		config_complain(b, topic,
				"`payload: text` has room for one value; put {tag} into the topic, or write "
				"`payload: json`");
	check_size(b, d, topic);
	check_topic(b, d, topic);
}

void config_check_definition(struct config_build *b, struct cfg_definition *d, uint32_t node)
{
	if (d->mode == CFG_MODE_SUBSCRIBE) {
		config_check_subscription(b, d, node);
		return;
	}
	d->deadband = config_deadband_kind(b, config_given(b, node, "deadband"));
	if (config_is_sound(b, node, "mode")) /* it may be a subscription, of which other things are true */
		check_publication(b, d, node);
}
