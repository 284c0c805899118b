/* The rules between the keys of a definition that subscribes, and between all of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_build.h"
#include "core/hash.h"
#include "core/ring.h"

/* Topic and properties stand in the record twice: behind the payload, and in the header before it. */
#define FORWARD_BYTES_MAX (RING_RECORD_BYTES_MAX / 2 - 64u)

static void check_no_publication(struct config_build *b, uint32_t node)
{
	static const struct {
		const char *key, *advice;
	} of_publish[] = {
		{"cycle", "messages come when somebody sends them; leave it out"},
		{"heartbeat", "messages come when somebody sends them; leave it out"},
		{"deadband", "give it to the tags, or to a definition that publishes them"},
		{"payload", "JSON and text are told apart as they come; `value` says where the value is"},
		{"sequence", "the sender of a message numbers it; leave it out"},
		{"retain", "`retain_handling` says which retained messages come"},
		{"expiry", "the sender of a message sets it; leave it out"},
		{"content_type", "the sender of a message sets it; leave it out"},
		{"payload_format", "the sender of a message sets it; leave it out"},
		{"response_topic", "the sender of a message sets it; leave it out"},
		{"correlation_data", "the sender of a message sets it; leave it out"},
		{"user_properties", "the sender of a message sets them; leave it out"},
	};

	for (uint32_t i = 0; i < ARRAY_COUNT(of_publish); i++)
		if (config_given(b, node, of_publish[i].key) != TREE_NONE)
			config_complain(b, config_given(b, node, of_publish[i].key),
					"`%s` is for publishing, not for `mode: subscribe`: %s",
					of_publish[i].key, of_publish[i].advice);
}

/* RFC 6901: empty, or /name/name, where ~0 is ~ and ~1 is /. */
static void check_pointer(struct config_build *b, const struct cfg_definition *d, uint32_t node)
{
	uint32_t value = config_given(b, node, "value");
	const char *text = cfg_text(b->cfg, d->subscribe.pointer);

	if (value == TREE_NONE)
		return;
	if (*text && *text != '/') {
		config_complain(
			b, value,
			"`value` is a JSON pointer, which begins with /; write such as /data/0/value");
		return;
	}
	for (const char *tilde = strchr(text, '~'); tilde; tilde = strchr(tilde + 1, '~'))
		if (tilde[1] != '0' && tilde[1] != '1') {
			config_complain(
				b, value,
				"`value` is a JSON pointer, in which ~0 is written for ~ and ~1 for /");
			return;
		}
	if (tree_find(&b->tree, node, "tags") == TREE_NONE)
		config_complain(b, value,
				"`value` needs `tags`, which take the value; leave it out, or add them");
}

/* What MQTT 5 has, and what follows from it. */
static void check_options(struct config_build *b, struct cfg_definition *d, uint32_t node)
{
	static const char *const of_5[] = {"no_local", "retain_as_published", "retain_handling"};

	if (d->target_idx == CFG_NONE)
		return;
	if (b->cfg->targets[d->target_idx].protocol != 5) {
		for (uint32_t i = 0; i < ARRAY_COUNT(of_5); i++)
			config_need_mqtt5(b, node, of_5[i]);
		return;
	}
	/* Otherwise the other server would never retain what this one does. */
	if (tree_find(&b->tree, node, "forward") != TREE_NONE &&
	    tree_find(&b->tree, node, "retain_as_published") == TREE_NONE)
		d->subscribe.retain_as_published = true;
}

static bool is_shared(struct bytes filter)
{
	return topic_filter_unshared(filter).size < filter.size;
}

/* Every filter that the definition will have is made once. 0, or -1 where one cannot be; last is the last of them. */
static int check_filters(struct config_build *b, const struct cfg_definition *d, uint32_t node,
			 char last[static TOPIC_BYTES_MAX])
{
	const struct cfg *c = b->cfg;
	uint32_t topic = config_given(b, node, "topic");
	const char *template = cfg_text(c, d->topic), *why;
	bool is_per_tag = topic_is_per_tag(template);
	uint32_t filter_count = is_per_tag && d->ref_count ? d->ref_count : 1;
	int size = -1;

	if (topic == TREE_NONE)
		return -1;
	if (is_per_tag && tree_find(&b->tree, node, "tags") == TREE_NONE) {
		config_complain(b, topic,
				"`topic`: {device} and {tag} need `tags`; add them, or write + for a level");
		return -1;
	}
	for (uint32_t i = 0; i < filter_count; i++) {
		struct topic_names names = config_names_of(
			c, d, d->ref_count ? c->refs[d->ref_first + i] : CFG_NONE);

		if (d->ref_count == 0) { /* why it has no tags has been said */
			names.device = "device";
			names.tag = "tag";
		}
		size = topic_filter_expand(template, &names, last, &why);
		if (size < 0) {
			config_complain(b, topic, "`topic`: %s", why);
			return -1;
		}
	}
	if (d->subscribe.no_local && config_is_sound(b, node, "no_local") &&
	    is_shared(bytes_of(last, (size_t)size))) {
		config_complain(b, config_given(b, node, "no_local"),
				"a shared subscription has no `no_local` [MQTT-3.8.3-4]; leave it out");
		return -1;
	}
	return size;
}

/* filter: what is subscribed to; empty where it is not known. */
static void check_forward(struct config_build *b, const struct cfg_definition *d, uint32_t node,
			  struct bytes filter)
{
	const struct cfg *c = b->cfg;
	const struct cfg_forward *f = &d->subscribe.forward;
	uint32_t forward = config_given(b, node, "forward"), topic, max_bytes;
	struct topic_names names = config_names_of(c, d, CFG_NONE);
	const char *why;

	if (forward == TREE_NONE)
		return;
	topic = config_given(b, forward, "topic");
	max_bytes = config_given(b, forward, "max_bytes");
	if (f->target_idx != CFG_NONE && f->target_idx == d->target_idx)
		config_complain(
			b, config_given(b, forward, "target"),
			"`forward` to the target that the messages come from would go round for ever; "
			"name another target");
	if (topic_is_per_tag(cfg_text(c, d->topic)) && config_is_sound(b, node, "topic"))
		config_complain(b, forward,
				"`forward` passes on whole messages, not those of one tag; make a definition "
				"without {device} and {tag} in its `topic` for it");
	if (f->target_idx != CFG_NONE)
		names.target = cfg_text(c, c->targets[f->target_idx].name);
	if (topic != TREE_NONE && filter.size > 0 &&
	    topic_forward_check(cfg_text(c, f->topic), &names, topic_wildcard_count(filter), &why) < 0)
		config_complain(b, topic, "`topic` of `forward`: %s", why);
	if (max_bytes != TREE_NONE && f->max_bytes > FORWARD_BYTES_MAX)
		config_complain(b, max_bytes,
				"`max_bytes`: with its header, a message of at most %u bytes has room",
				FORWARD_BYTES_MAX);
}

void config_check_subscription(struct config_build *b, struct cfg_definition *d, uint32_t node)
{
	char filter[TOPIC_BYTES_MAX];
	int size;

	check_no_publication(b, node);
	if (tree_find(&b->tree, node, "tags") == TREE_NONE &&
	    tree_find(&b->tree, node, "forward") == TREE_NONE)
		config_complain(
			b, node,
			"a subscription needs `tags` that take its values, or `forward`, or both; add "
			"what it is for");
	check_pointer(b, d, node);
	check_options(b, d, node);
	size = check_filters(b, d, node, filter);
	check_forward(b, d, node, bytes_of(filter, size > 0 ? (size_t)size : 0));
}

/* --- one filter, several definitions ------------------------------------------------------------------------------- */

struct filter_use {
	uint64_t hash; /* of target and filter */
	uint32_t definition_idx;
	uint32_t tag_idx; /* or CFG_NONE */
};

static int by_hash(const void *left, const void *right)
{
	const struct filter_use *a = left, *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->definition_idx != b->definition_idx)
		return a->definition_idx < b->definition_idx ? -1 : 1;
	return 0;
}

/* The filter again; empty where it cannot be made, which has been said. */
static struct bytes filter_of(const struct cfg *c, const struct filter_use *use,
			      char buffer[static TOPIC_BYTES_MAX])
{
	const struct cfg_definition *d = &c->definitions[use->definition_idx];
	struct topic_names names = config_names_of(c, d, use->tag_idx);
	const char *why;
	int size = topic_filter_expand(cfg_text(c, d->topic), &names, buffer, &why);

	return bytes_of(buffer, size > 0 ? (size_t)size : 0);
}

static uint64_t hash_of(uint32_t target_idx, struct bytes filter)
{
	return hash_bytes(HASH_START ^ target_idx, filter);
}

/* The key in which the two differ, or NULL. */
static const char *difference(const struct cfg_subscribe *x, const struct cfg_subscribe *y)
{
	return x->no_local != y->no_local                         ? "no_local"
	       : x->retain_as_published != y->retain_as_published ? "retain_as_published"
	       : x->retain_handling != y->retain_handling         ? "retain_handling"
								  : NULL;
}

static void check_pair(struct config_build *b, const struct filter_use *x, const struct filter_use *y)
{
	const struct cfg *c = b->cfg;
	const struct cfg_definition *p = &c->definitions[x->definition_idx],
				    *q = &c->definitions[y->definition_idx];
	const char *key = difference(&p->subscribe, &q->subscribe);
	char first[TOPIC_BYTES_MAX], second[TOPIC_BYTES_MAX];
	struct bytes filter = filter_of(c, x, first);
	struct config_echo e;

	if (!key || p->target_idx != q->target_idx || filter.size == 0 ||
	    !bytes_equal(filter, filter_of(c, y, second)))
		return;
	config_complain_at(b, q->place.line, q->place.column,
			   "`%s` is another than in definition %s, which has the same topic filter; a server "
			   "keeps one subscription for both, so give both the same",
			   key, config_echo(&e, bytes_of_text(cfg_text(c, p->name))));
}

static uint32_t use_count(const struct cfg_definition *d, bool is_per_tag)
{
	return d->mode != CFG_MODE_SUBSCRIBE ? 0 : is_per_tag ? d->ref_count : 1;
}

/* A server keeps one subscription of a filter a client: the last that came would win. */
void config_check_filters(struct config_build *b)
{
	const struct cfg *c = b->cfg;
	char buffer[TOPIC_BYTES_MAX];
	struct filter_use *uses;
	uint64_t count = 0;

	for (uint32_t i = 0; i < c->definition_count; i++)
		count += use_count(&c->definitions[i],
				   topic_is_per_tag(cfg_text(c, c->definitions[i].topic)));
	uses = calloc(count + 1, sizeof(*uses));
	if (!uses) {
		b->rc = -ENOMEM;
		return;
	}
	count = 0;
	for (uint32_t i = 0; i < c->definition_count; i++) {
		const struct cfg_definition *d = &c->definitions[i];
		bool is_per_tag = topic_is_per_tag(cfg_text(c, d->topic));

		for (uint32_t k = 0; k < use_count(d, is_per_tag); k++) {
			struct filter_use *use = &uses[count++];

			use->definition_idx = i;
			use->tag_idx = is_per_tag ? c->refs[d->ref_first + k] : CFG_NONE;
			use->hash = hash_of(d->target_idx, filter_of(c, use, buffer));
		}
	}
	qsort(uses, count, sizeof(*uses), by_hash);
	for (uint64_t i = 1, first = 0; i < count; i++) {
		if (uses[i].hash != uses[first].hash)
			first = i;
		else
			check_pair(b, &uses[first], &uses[i]);
	}
	free(uses);
}

/* --- tags that nothing gives a value to ------------------------------------------------------------------------------ */

/* Nobody can name a second tag of the same name. */
static bool can_be_named(const struct config_build *b, uint32_t device_idx, uint32_t tag_idx)
{
	const struct cfg *c = b->cfg;

	return name_index_find(&b->names[SCHEMA_DEVICE], c->text, 0,
			       bytes_of_text(cfg_text(c, c->devices[device_idx].name))) == device_idx &&
	       name_index_find(&b->names[SCHEMA_TAG], c->text, device_idx,
			       bytes_of_text(cfg_text(c, c->tags[tag_idx].name))) == tag_idx;
}

void config_check_sources(struct config_build *b)
{
	const struct cfg *c = b->cfg;

	for (uint32_t i = 0; i < c->device_count; i++) {
		const struct cfg_device *d = &c->devices[i];
		uint32_t first = CFG_NONE, count = 0;
		char others[64] = "";
		struct config_echo tag;

		for (uint32_t t = d->tag_first;
		     t < d->tag_first + d->tag_count && !(b->device_flags[i] & CONFIG_DEVICE_HAS_LINE); t++)
			if (b->sources[t] == CFG_NONE && can_be_named(b, i, t) && count++ == 0)
				first = t;
		if (count == 0)
			continue;
		if (count > 1)
			snprintf(others, sizeof(others), " (nor would %u more of its device)", count - 1);
		config_complain_at(b, c->tags[first].place.line, c->tags[first].place.column,
				   "tag %s%s: it would never have a value; name it in a definition with "
				   "`mode: subscribe`, or give its device a `line`",
				   config_echo(&tag, bytes_of_text(cfg_text(c, c->tags[first].name))),
				   others);
	}
}
