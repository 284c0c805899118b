/* Subscriptions: what the client asks for, what it gets, and what a session of its must have. */
#include <stdio.h>

#include "tests/sim/bridge.h"
#include "tests/sim/broker_priv.h"

static uint32_t sub_of(const struct broker *b, struct bytes filter)
{
	for (uint32_t i = 0; i < b->expect.sub_count; i++)
		if (bytes_equal(filter, bytes_of_text(b->expect.subs[i].filter)))
			return i;
	return EXPECT_NOBODY;
}

static bool has_wildcard(const struct expect_sub *s)
{
	return strpbrk(s->filter, "+#") != NULL;
}

static void check_available(const struct broker_link *k, const struct expect_sub *s,
			    const struct wire_packet *p)
{
	if (has_wildcard(s) && !k->wildcards)
		broker_violation(k, "a wildcard subscription, which we do not have [MQTT-3.2.2-20]");
	if (expect_is_shared(s) && !k->shared)
		broker_violation(k, "a shared subscription, which we do not have [MQTT-3.2.2-23]");
	if (p->props.subscription_id && !k->subscription_ids)
		broker_violation(k, "a subscription identifier, which we do not have [MQTT-3.2.2-21]");
	if (k->level == 5 && !p->props.subscription_id && k->subscription_ids)
		broker_violation(k, "a subscription without an identifier: overlaps cannot be told apart");
}

/* The client must be able to tell by the identifier which of its subscriptions a message is for. */
static void check_identifier(const struct broker_link *k, uint32_t sub_idx, uint32_t id)
{
	for (uint32_t i = 0; id && i < EXPECT_SUBS_MAX; i++)
		if (i != sub_idx && k->session->subs[i].has && k->session->subs[i].id == id)
			broker_violation(k, "a subscription identifier for two subscriptions");
}

/* The code for SUBACK. */
static uint8_t subscribe_one(struct broker_link *k, const struct wire_packet *p, const struct wire_filter *f)
{
	static const uint8_t refusals[] = {0x80, 0x83, 0x87, 0x8f, 0x97};
	struct broker *b = k->broker;
	uint32_t i = sub_of(b, f->filter);
	const struct expect_sub *s;
	struct broker_sub *sub;
	bool was;

	if (i == EXPECT_NOBODY || (b->expect.subs[i].gone && k->id >= b->dead_link_id)) {
		sim_fail("%s: subscribes to %.*s, which the configuration does not name", b->names[0],
			 (int)f->filter.size, (const char *)f->filter.ptr);
		return 0x80;
	}
	s = &b->expect.subs[i];
	sub = &k->session->subs[i];
	if (f->options != s->options)
		sim_fail("%s: %s subscribed with options %02x, the configuration says %02x", b->names[0],
			 s->filter, f->options, s->options);
	check_available(k, s, p);
	check_identifier(k, i, p->props.subscription_id);
	if (sim_chance(sim.faults.sub_refuse)) {
		sim_covered[COVER_SUB_REFUSED]++;
		*sub = (struct broker_sub){.excused = true, .id = sub->id};
		b->taken_order[i] = 0;
		bridge_refused(b, i);
		return k->level == 5 ? refusals[sim_below(ARRAY_COUNT(refusals))] : 0x80;
	}
	was = sub->has;
	*sub = (struct broker_sub){.has = true, .qos = f->options & 3, .id = p->props.subscription_id};
	if (sim_chance(sim.faults.sub_refuse) && sub->qos > 0) {
		sim_covered[COVER_SUB_LOWERED]++;
		sub->qos = (uint8_t)sim_below(sub->qos);
	}
	sim_covered[COVER_SUBSCRIBED]++;
	broker_news_subscribed(k, i, !was);
	return sub->qos;
}

static void answer_now(void *arg, uint64_t value)
{
	struct broker_link *k = arg;
	uint8_t packet[8] = {(uint8_t)(value >> 24 << 4), (uint8_t)(k->level == 5 ? 4 : 3),
			     (uint8_t)(value >> 8), (uint8_t)value};
	bool subscribed = packet[0] == WIRE_SUBACK << 4;
	size_t size = 4;

	if (k->closed)
		return;
	if (k->level == 5)
		packet[size++] = 0;
	if (k->level == 5 || subscribed)
		packet[size++] = (uint8_t)(value >> 16);
	packet[1] = (uint8_t)(size - 2);
	broker_say(k, packet, size);
}

static void answer_later(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code)
{
	if (k->mute)
		return;
	sim_after(sim_between(0, sim_chance(200) ? k->broker->ack_max_ns : NS_PER_MS), answer_now, k,
		  (uint64_t)type << 24 | (uint64_t)code << 16 | packet_id);
}

void broker_on_subscribe(struct broker_link *k, const struct wire_packet *p)
{
	if (p->size_bytes > k->max_packet_bytes)
		broker_violation(k, "a SUBSCRIBE larger than our maximum [MQTT-3.2.2-15]");
	if (p->filter_count != 1) {
		broker_violation(k, "this broker expects one filter a packet, as each has its identifier");
		return;
	}
	if (k->session->ids[p->packet_id].state != BROKER_ID_FREE)
		broker_violation(k, "the packet identifier is in use [MQTT-2.2.1-3]");
	uint8_t code = subscribe_one(k, p, &p->filters[0]);

	answer_later(k, WIRE_SUBACK, p->packet_id, code);
}

void broker_on_unsubscribe(struct broker_link *k, const struct wire_packet *p)
{
	uint32_t i = p->filter_count == 1 ? sub_of(k->broker, p->filters[0].filter) : EXPECT_NOBODY;

	if (p->size_bytes > k->max_packet_bytes)
		broker_violation(k, "an UNSUBSCRIBE larger than our maximum [MQTT-3.2.2-15]");
	if (i == EXPECT_NOBODY) {
		broker_violation(k, "unsubscribes from what was never subscribed to");
		return;
	}
	if (!k->broker->expect.subs[i].gone)
		broker_violation(k, "unsubscribes from what the configuration names");
	uint8_t code = k->session->subs[i].has ? 0 : 0x11;

	k->session->subs[i].has = false; /* what is queued goes out all the same [MQTT-3.10.4-3] */
	sim_covered[COVER_UNSUBSCRIBED]++;
	answer_later(k, WIRE_UNSUBACK, p->packet_id, code);
}

void broker_check_subscribed(const struct broker *b, const struct broker_session *s)
{
	const struct broker_link *k = b->current;

	for (uint32_t i = 0; i < b->expect.sub_count && !sim.failed; i++) {
		const struct expect_sub *x = &b->expect.subs[i];
		const struct broker_sub *sub = &s->subs[i];
		bool to_be_had = (!has_wildcard(x) || k->wildcards) && (!expect_is_shared(x) || k->shared) &&
				 k->max_packet_bytes > 200;

		if (!x->gone && !sub->has && !sub->excused && to_be_had)
			sim_fail("%s: online, and %s is not subscribed to [MQTT-3.1.2-4]", b->names[0],
				 x->filter);
		if (x->gone && sub->has && k->max_packet_bytes > 200)
			sim_fail("%s: %s is of an earlier configuration, and still subscribed to",
				 b->names[0], x->filter);
	}
}
