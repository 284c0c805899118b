#include "io/inbound.h"

#include <errno.h>
#include <string.h>

#include "core/carried.h"
#include "core/hash.h"
#include "core/intake.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/topic.h"
#include "io/publisher.h"
#include "proto/mqtt_topic.h"

#define HOLD_MAX_NS    (30 * NS_PER_S)
#define COPY_WINDOW_NS (1 * NS_PER_S)
#define COPY_SOON_NS   (20 * NS_PER_MS) /* copies of one message leave a server one right after the other */
#define EVIDENCE_MAX   16u
#define ALONE_SURE     3u /* a pair that a slow path has torn apart looks like two that came alone */
#define DRAIN_A_STEP   256u

/* --- set-up --------------------------------------------------------------------------------------------------------- */

static bool forwards(const struct cfg *c, uint32_t target_idx)
{
	for (uint32_t i = 0; i < c->definition_count; i++)
		if (c->definitions[i].mode == CFG_MODE_SUBSCRIBE &&
		    c->definitions[i].target_idx == target_idx &&
		    c->definitions[i].subscribe.forward.target_idx != CFG_NONE)
			return true;
	return false;
}

/* Only a session that the server keeps can bring something before it is subscribed. */
static uint32_t held_max(const struct cfg_target *t)
{
	return t->clean_start || t->message_buffer_window_ns == 0 ? 0 : t->max_buffered_messages;
}

static void filters_make(struct inbound *in)
{
	for (uint32_t i = 0; i < in->subscriptions.count; i++) {
		const struct subscription *sub = &in->subscriptions.list[i];

		in->filters[i] = (struct mqtt_session_filter){
			.options = {.filter = sub->filter,
				    .qos = sub->qos,
				    .no_local = sub->no_local,
				    .retain_as_published = sub->retain_as_published,
				    .retain_handling = (uint8_t)sub->retain_handling},
			.id = sub->id,
			.wildcard = sub->wildcard,
			.shared = sub->shared,
		};
	}
}

int inbound_open(struct inbound *in, struct publisher *p, uint32_t target_idx, struct target_metrics *metrics)
{
	const struct cfg *c = p->config.cfg;
	const struct cfg_target *t = &c->targets[target_idx];
	int rc;

	*in = (struct inbound){
		.publisher = p,
		.cfg = c,
		.target_idx = target_idx,
		.lane = &p->config.definitions->lanes[definition_source_of_publisher(c, t->publisher_idx)],
		.metrics = metrics,
	};
	rc = subscriptions_open(&in->subscriptions, c, target_idx);
	if (rc < 0 || in->subscriptions.count == 0)
		return rc;
	rc = inbound_buffer_open(&in->buffer, held_max(t), t->max_packet_bytes);
	if (rc < 0)
		return rc;
	in->filters = memory_alloc(in->subscriptions.count, sizeof(in->filters[0]));
	in->matched = memory_alloc(in->subscriptions.count, sizeof(in->matched[0]));
	if (forwards(c, target_idx)) {
		in->topic = memory_alloc(TOPIC_FORWARDED_BYTES_MAX, 1);
		in->other_topic = memory_alloc(TOPIC_FORWARDED_BYTES_MAX, 1);
		if (!in->topic || !in->other_topic)
			return -ENOMEM;
	}
	if (!in->filters || !in->matched)
		return -ENOMEM;
	filters_make(in);
	return 0;
}

void inbound_close(struct inbound *in)
{
	subscriptions_close(&in->subscriptions);
	inbound_buffer_close(&in->buffer);
	memory_free(in->filters);
	memory_free(in->matched);
	memory_free(in->topic);
	memory_free(in->other_topic);
}

/* --- which subscriptions ---------------------------------------------------------------------------------------------- */

static bool is_refused(const struct mqtt_session *s, uint32_t sub_idx)
{
	return counter_get(&s->subscriptions[sub_idx].view) >> 8 == MQTT_SUBSCRIPTION_REFUSED;
}

static bool is_matched(const struct inbound *in, uint32_t sub_idx)
{
	for (uint32_t i = 0; i < in->matched_count; i++)
		if (in->matched[i] == sub_idx)
			return true;
	return false;
}

/* A server of MQTT 5 says which subscriptions the message is for. False: it does not say. One that a former configuration
 * left, or that we never made, is nobody's: what overlaps with it gets a copy of its own. */
static bool match_by_id(struct inbound *in, const struct mqtt_publish *p)
{
	struct reader it = reader_of(p->props.raw);
	bool has_id = false;
	uint32_t id;

	in->matched_count = 0;
	while (mqtt_next_subscription_identifier(&it, &id)) {
		uint32_t sub_idx = subscription_by_id(&in->subscriptions, id);

		has_id = true;
		if (sub_idx != CFG_NONE && !is_matched(in, sub_idx) &&
		    mqtt_topic_match(in->subscriptions.list[sub_idx].match, p->topic))
			in->matched[in->matched_count++] = sub_idx;
	}
	return has_id;
}

static void match_by_topic(struct inbound *in, const struct mqtt_session *s, const struct mqtt_publish *p)
{
	const struct subscriptions *subs = &in->subscriptions;
	uint32_t exact_count, first = subscription_exact(subs, p->topic, &exact_count);

	in->matched_count = 0;
	for (uint32_t i = 0; i < exact_count; i++)
		if (!is_refused(s, subs->exact[first + i]))
			in->matched[in->matched_count++] = subs->exact[first + i];
	for (uint32_t i = 0; i < subs->wild_count; i++)
		if (!is_refused(s, subs->wild[i]) &&
		    mqtt_topic_match(subs->list[subs->wild[i]].match, p->topic))
			in->matched[in->matched_count++] = subs->wild[i];
}

/* --- each message once ------------------------------------------------------------------------------------------------- */

static uint64_t key_of(const struct mqtt_publish *p)
{
	uint64_t hash = hash_number(hash_bytes(HASH_START, p->topic), p->topic.size);

	hash = hash_number(hash_bytes(hash, p->payload), p->payload.size);
	return hash | 1;
}

/* A message that came alone says that the server sends one for all filters. */
static void look_back(struct inbound *in, struct mono now)
{
	struct inbound_copy *last =
		&in->copies[(in->copy_next + INBOUND_COPIES_MAX - 1) % INBOUND_COPIES_MAX];

	if (!last->alone || mono_since(now, last->at) <= COPY_SOON_NS)
		return;
	last->alone = false;
	if (in->alone_count < EVIDENCE_MAX)
		in->alone_count++;
}

/* How long after the first a copy may come: long where the server has sent copies, not at all where it has sent none. */
static uint64_t copy_window_ns(const struct inbound *in)
{
	if (in->copied_count > in->alone_count)
		return COPY_WINDOW_NS;
	return in->alone_count < in->copied_count + ALONE_SURE ? COPY_SOON_NS : 0;
}

/* Without identifiers a server may send one copy a matching filter, or one for all. After the first, as many as there are
 * other filters are copies; but a message that is published twice must not be taken for one, so what the server does is
 * learnt. Messages that match one filter only are never held for copies. */
static bool is_copy(struct inbound *in, const struct mqtt_publish *p, struct mono now)
{
	uint64_t key, window_ns;

	if (in->matched_count < 2)
		return false;
	key = key_of(p);
	look_back(in, now);
	window_ns = copy_window_ns(in);
	for (uint32_t i = 0; window_ns && i < INBOUND_COPIES_MAX; i++) {
		struct inbound_copy *c = &in->copies[i];

		if (c->key != key || c->left == 0 || mono_since(now, c->at) > window_ns)
			continue;
		c->left--;
		if (c->alone && in->copied_count < EVIDENCE_MAX)
			in->copied_count++;
		c->alone = false;
		return true;
	}
	in->copies[in->copy_next++ % INBOUND_COPIES_MAX] = (struct inbound_copy){
		.key = key, .at = now, .left = in->matched_count - 1, .alone = true};
	return false;
}

/* With identifiers each copy is for other subscriptions; the message counts with the copy for the first. */
static bool is_first_copy(const struct inbound *in, const struct mqtt_session *s,
			  const struct mqtt_publish *p)
{
	const struct subscriptions *subs = &in->subscriptions;
	uint32_t exact_count, first = subscription_exact(subs, p->topic, &exact_count), lowest = UINT32_MAX;
	bool has_own = false;

	for (uint32_t i = 0; i < exact_count; i++)
		if (!subs->list[subs->exact[first + i]].shared && !is_refused(s, subs->exact[first + i]))
			lowest = (uint32_t)min_u64(lowest, subs->exact[first + i]);
	for (uint32_t i = 0; i < subs->wild_count; i++) {
		uint32_t sub_idx = subs->wild[i];

		if (sub_idx < lowest && !subs->list[sub_idx].shared && !is_refused(s, sub_idx) &&
		    mqtt_topic_match(subs->list[sub_idx].match, p->topic))
			lowest = sub_idx;
	}
	for (uint32_t i = 0; i < in->matched_count; i++)
		has_own |= !subs->list[in->matched[i]].shared;
	return !has_own || lowest == UINT32_MAX || is_matched(in, lowest);
}

/* --- passing on ---------------------------------------------------------------------------------------------------------- */

static int forward_topic(const struct inbound *in, const struct subscription *sub,
			 const struct cfg_definition *def, struct bytes topic, char *out)
{
	const struct cfg *c = in->cfg;
	const struct cfg_forward *f = &def->subscribe.forward;
	const struct topic_names names = {
		.node = cfg_text(c, c->node),
		.target = cfg_text(c, c->targets[f->target_idx].name),
		.definition = cfg_text(c, def->name),
	};

	return topic_forward_expand(cfg_text(c, f->topic), &names, topic, sub->match, out,
				    TOPIC_FORWARDED_BYTES_MAX);
}

/* Does the server, for certain, send another copy for that subscription? Rather twice than never: not of what is retained, nor
 * where it may hold back our own messages. */
static bool gets_a_copy(const struct subscription *sub, const struct mqtt_session *s, uint32_t sub_idx,
			const struct mqtt_publish *p)
{
	return counter_get(&s->subscriptions[sub_idx].view) >> 8 == MQTT_SUBSCRIPTION_DONE && !sub->shared &&
	       !sub->no_local && !p->retain;
}

/* Would another definition, before this one, pass the message on to the same place? That one does, now or with its own copy. */
static bool is_forwarded_before(const struct inbound *in, const struct mqtt_session *s, uint32_t sub_idx,
				uint32_t route_idx, const struct mqtt_publish *p, struct bytes forwarded)
{
	const struct cfg_definition *def =
		&in->cfg->definitions[in->subscriptions.routes[route_idx].definition_idx];

	for (uint32_t i = 0; i < route_idx; i++) {
		const struct cfg_definition *other =
			&in->cfg->definitions[in->subscriptions.routes[i].definition_idx];
		uint32_t other_sub = 0;
		int size;

		if (other->subscribe.forward.target_idx != def->subscribe.forward.target_idx)
			continue;
		while (i >= in->subscriptions.list[other_sub].route_first +
				    in->subscriptions.list[other_sub].route_count)
			other_sub++;
		const struct subscription *sub = &in->subscriptions.list[other_sub];

		if (other_sub != sub_idx && !is_matched(in, other_sub) && !gets_a_copy(sub, s, other_sub, p))
			continue;
		if (!mqtt_topic_match(sub->match, p->topic))
			continue;
		size = forward_topic(in, sub, other, p->topic, in->other_topic);
		if (size > 0 && bytes_equal(bytes_of(in->other_topic, (size_t)size), forwarded))
			return true;
	}
	return false;
}

/* What belongs to the message goes on, what belongs to the connection does not. */
static size_t props_write(struct writer *w, const struct mqtt_props *props)
{
	static const uint64_t kept = 1ull << MQTT_PROP_PAYLOAD_FORMAT_INDICATOR |
				     1ull << MQTT_PROP_CONTENT_TYPE | 1ull << MQTT_PROP_RESPONSE_TOPIC |
				     1ull << MQTT_PROP_CORRELATION_DATA;
	struct mqtt_props p = *props;
	struct reader it = reader_of(props->raw);
	struct bytes name, value;
	uint8_t *begin = w->at;
	int rc;

	p.present &= kept;
	p.raw = bytes_of(NULL, 0);
	rc = mqtt_props_write(w, &p);
	ASSERT(rc == 0); /* room for all that came */
	while (mqtt_next_user_property(&it, &name, &value))
		mqtt_write_user_property(w, name, value);
	return (size_t)(w->at - begin);
}

static void forward(struct inbound *in, const struct mqtt_session *s, uint32_t sub_idx, uint32_t route_idx,
		    const struct mqtt_publish *p, struct mono now)
{
	const struct subscription *sub = &in->subscriptions.list[sub_idx];
	uint32_t definition_idx = in->subscriptions.routes[route_idx].definition_idx;
	const struct cfg_definition *def = &in->cfg->definitions[definition_idx];
	const struct cfg_forward *f = &def->subscribe.forward;
	struct definition_counts *counts = &in->publisher->config.definitions->counts[definition_idx];
	uint64_t header_bytes = in->publisher->config.definitions->ports[f->target_idx].header_bytes;
	size_t props_max = in->cfg->targets[f->target_idx].protocol == 5 ? p->props.raw.size : 0;
	int size = forward_topic(in, sub, def, p->topic, in->topic);
	uint8_t *payload = NULL;

	if (size > 0 && is_forwarded_before(in, s, sub_idx, route_idx, p, bytes_of(in->topic, (size_t)size)))
		return;
	if (size > 0 && (size_t)size + props_max + p->payload.size <= f->max_bytes)
		payload = definition_forward_begin(
			in->lane, f->target_idx, header_bytes + (uint64_t)size + props_max,
			carried_bytes((size_t)size, props_max, p->payload.size), now);
	if (!payload) {
		counter_add(&counts->unforwarded, 1);
		LOG_WARN("inbound",
			 "definition=%s topic=%.*s dropped=1 reason=\"larger than forward.max_bytes (%u), or "
			 "no room\"",
			 cfg_text(in->cfg, def->name), (int)min_size(p->topic.size, 120),
			 (const char *)p->topic.ptr, f->max_bytes);
		return;
	}
	struct writer w = writer_of(payload, carried_bytes((size_t)size, props_max, p->payload.size));
	size_t props_bytes = 0;
	uint32_t expiry_s = mqtt_props_has(&p->props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL)
				    ? p->props.message_expiry_interval_s
				    : 0;

	write_bytes(&w, p->payload.ptr, p->payload.size);
	if (props_max)
		props_bytes = props_write(&w, &p->props);
	/* No more than was asked for: another filter's copy, or a server that breaks its word, may bring more. */
	carried_write_end(&w, bytes_of(in->topic, (size_t)size), props_bytes, expiry_s,
			  p->qos < def->qos ? p->qos : def->qos, p->retain);
	ASSERT(!w.failed);
	definition_forward_end(in->lane, f->target_idx, (uint32_t)(w.at - payload), now);
	counter_add(&counts->forwarded, 1);
}

/* --- delivering ------------------------------------------------------------------------------------------------------------ */

static void give_values(struct inbound *in, uint32_t route_idx, const struct mqtt_publish *p, struct mono now,
			struct wall time)
{
	const struct subscription_route *r = &in->subscriptions.routes[route_idx];
	struct definition_counts *counts = &in->publisher->config.definitions->counts[r->definition_idx];
	const char *why = "";
	int count = intake(in->lane, r->definition_idx, r->tag_idx, p->payload, now, time, &why);

	if (count > 0) {
		counter_add(&counts->values, (uint64_t)count);
		return;
	}
	counter_add(&counts->rejected, 1);
	LOG_WARN("inbound", "definition=%s topic=%.*s rejected=1 reason=\"%s\"",
		 cfg_text(in->cfg, in->cfg->definitions[r->definition_idx].name),
		 (int)min_size(p->topic.size, 120), (const char *)p->topic.ptr, why);
}

static void deliver(struct inbound *in, const struct mqtt_session *s, const struct mqtt_publish *p,
		    struct mono now, struct wall time)
{
	bool by_id = match_by_id(in, p);

	if (!by_id)
		match_by_topic(in, s, p);
	if (in->matched_count == 0) {
		counter_add(&in->metrics->received_messages, 1);
		counter_add(&in->metrics->unmatched, 1);
		return;
	}
	if (by_id ? !is_first_copy(in, s, p) : is_copy(in, p, now)) {
		counter_add(&in->metrics->duplicates, 1);
		if (!by_id)
			return;
	} else {
		counter_add(&in->metrics->received_messages, 1);
	}
	for (uint32_t i = 0; i < in->matched_count; i++) {
		const struct subscription *sub = &in->subscriptions.list[in->matched[i]];

		for (uint32_t r = sub->route_first; r < sub->route_first + sub->route_count; r++) {
			const struct cfg_definition *def =
				&in->cfg->definitions[in->subscriptions.routes[r].definition_idx];

			counter_add(&in->publisher->config.definitions
					     ->counts[in->subscriptions.routes[r].definition_idx]
					     .received,
				    1);
			if (def->ref_count)
				give_values(in, r, p, now, time);
			if (def->subscribe.forward.target_idx != CFG_NONE)
				forward(in, s, in->matched[i], r, p, now);
		}
	}
}

/* --- holding --------------------------------------------------------------------------------------------------------------- */

void inbound_online(struct inbound *in, const struct mqtt_session *s, bool session_present, struct mono now)
{
	const struct cfg_target *t = &in->cfg->targets[in->target_idx];

	memset(in->copies, 0, sizeof(in->copies)); /* it may be another server */
	in->copied_count = in->alone_count = 0;
	in->state = INBOUND_READY;
	if (!session_present || in->buffer.count_max == 0 || mqtt_session_subscribed(s))
		return;
	in->state = INBOUND_HOLDING; /* READY -> HOLDING */
	in->hold_until = mono_add(now, t->message_buffer_window_ns);
	in->hold_until_max = mono_add(now, HOLD_MAX_NS);
}

void inbound_progress(struct inbound *in, struct mono now)
{
	if (in->state == INBOUND_HOLDING)
		in->hold_until = mono_min(
			in->hold_until_max,
			mono_add(now, in->cfg->targets[in->target_idx].message_buffer_window_ns));
}

/* For an answer, and for that of the message which is just being looked at. */
static bool has_room(const struct mqtt_session *s)
{
	return s->state != MQTT_SESSION_ONLINE ||
	       s->outbox_room - s->outbox_bytes >= 2 * MQTT_SESSION_ANSWER_BYTES;
}

/* Delivers the oldest ones, as many as there is room for answers. */
static void drain(struct inbound *in, struct mqtt_session *s, struct mono now, struct wall time)
{
	struct mqtt_publish held;

	for (uint32_t i = 0; i < DRAIN_A_STEP && has_room(s) && inbound_buffer_take(&in->buffer, &held);
	     i++) {
		deliver(in, s, &held, now, time);
		mqtt_session_accept(s, held.qos, held.packet_id);
	}
}

void inbound_message(struct inbound *in, struct mqtt_session *s, const struct mqtt_publish *p,
		     struct mono now, struct wall time)
{
	if (in->subscriptions.count == 0) { /* of a session that had some once */
		counter_add(&in->metrics->received_messages, 1);
		counter_add(&in->metrics->unmatched, 1);
		mqtt_session_accept(s, p->qos, p->packet_id);
		return;
	}
	if (in->state != INBOUND_READY) {
		if (inbound_buffer_put(&in->buffer, p))
			return;
		in->state = INBOUND_DRAINING; /* HOLDING -> DRAINING, full */
		drain(in, s, now, time);
		/* A large one may find no room even now; then it goes before what is left. */
		if (in->buffer.count && inbound_buffer_put(&in->buffer, p))
			return;
		in->state = in->buffer.count ? INBOUND_DRAINING : INBOUND_READY;
	}
	deliver(in, s, p, now, time);
	mqtt_session_accept(s, p->qos, p->packet_id);
}

void inbound_step(struct inbound *in, struct mqtt_session *s, struct mono now, struct wall time)
{
	if (in->state == INBOUND_HOLDING && (mqtt_session_subscribed(s) || mono_reached(now, in->hold_until)))
		in->state = INBOUND_DRAINING; /* HOLDING -> DRAINING */
	if (in->state != INBOUND_DRAINING)
		return;
	drain(in, s, now, time);
	if (in->buffer.count == 0)
		in->state = INBOUND_READY; /* DRAINING -> READY */
}

void inbound_lost(struct inbound *in, const struct mqtt_session *s, struct mono now, struct wall time)
{
	struct mqtt_publish held;

	while (inbound_buffer_take(&in->buffer, &held))
		if (held.qos == 0)
			deliver(in, s, &held, now, time);
	in->state = INBOUND_READY;
}

struct mono inbound_deadline(const struct inbound *in, const struct mqtt_session *s, struct mono now)
{
	switch (in->state) {
	case INBOUND_READY: return MONO_NEVER;
	case INBOUND_HOLDING: return mqtt_session_subscribed(s) ? now : in->hold_until;
	case INBOUND_DRAINING: return now;
	}
	UNREACHABLE();
}
