/* Messages that others publish here, on their way to the client. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/bridge.h"
#include "tests/sim/broker_priv.h"

#define SUBSCRIBE_ROOM 16 /* bytes of a SUBSCRIBE beside its filter, at most */

static const char *const topics[] = {"in/v0",    "in/v1",      "in/v2",    "in/sh/a",  "in/sh/b",
				     "in/f/a/x", "in/f/b/y/z", "in/f/a/b", "in/g/a/q", "in/f/c/x"};
static const char *const tellings[] = {
	"",
	"",
	"",
	"ct=text/plain;",
	"fmt=1;ct=application/json;u:a=1;",
	"rt=reply/to;cd=abcdef;",
	"fmt=0;u:k=v;u:k=w;u:a=;",
	"fmt=1;ct=x;rt=r/t;cd=0123456789;u:long=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;u:b=2;",
};

/* --- the queue of the session --------------------------------------------------------------------------------------- */

static uint32_t sub_mask_of(const struct broker *b, const struct broker_session *s, struct bytes topic)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < b->expect.sub_count; i++)
		if (s->subs[i].has && wire_matches(expect_filter(&b->expect.subs[i]), topic))
			mask |= 1u << i;
	return mask;
}

static uint8_t qos_for(const struct broker_session *s, uint32_t mask, uint8_t qos)
{
	uint8_t most = 0;

	for (uint32_t i = 0; i < EXPECT_SUBS_MAX; i++)
		if ((mask & 1u << i) && s->subs[i].qos > most)
			most = s->subs[i].qos;
	return most < qos ? most : qos; /* [MQTT-3.3.4-2, MQTT-3.8.4-8] */
}

static void enqueue(struct broker *b, struct broker_session *s, uint32_t news_idx, uint32_t mask,
		    bool retained)
{
	uint8_t qos = qos_for(s, mask, b->news[news_idx].qos);
	bool away = !broker_online(b) || b->current->session != s;
	bool as_published = false;

	if (s->copy_count == BROKER_COPIES_MAX || (qos == 0 && away))
		return;
	for (uint32_t i = 0; i < b->expect.sub_count; i++)
		as_published |= (mask & 1u << i) && (b->expect.subs[i].options & 8);
	b->news[news_idx].copy_mask |= mask;
	s->copies[s->copy_count++] = (struct broker_copy){
		.news_idx = news_idx,
		.sub_mask = mask,
		.qos = qos,
		.for_new = retained,
		.retain = retained ||
			  (as_published && b->news[news_idx].retain), /* [MQTT-3.3.1-8, -12, -13] */
	};
	if (retained)
		b->news[news_idx].repeat_mask |= mask;
	if (away)
		sim_covered[COVER_QUEUED_AWAY]++;
}

static void copy_remove(struct broker_session *s, uint32_t i)
{
	memmove(&s->copies[i], &s->copies[i + 1], (s->copy_count - i - 1) * sizeof(s->copies[0]));
	s->copy_count--;
}

/* --- sending -------------------------------------------------------------------------------------------------------- */

static void write_plain_topic(struct writer *w, const char *topic)
{
	write_u16(w, (uint16_t)strlen(topic));
	write_text(w, topic);
}

/* Topic, or alias, or both. */
static void write_topic(struct broker_link *k, struct writer *w, const char *topic, uint16_t *alias)
{
	uint32_t most = k->client_alias_max;

	*alias = 0;
	if (most && sim_chance(600)) {
		*alias = (uint16_t)(1 + sim_below(most));
		for (uint32_t i = 1; i <= most; i++)
			if (strcmp(k->said_aliases[i], topic) == 0 && sim_chance(800))
				*alias = (uint16_t)i;
		if (strcmp(k->said_aliases[*alias], topic) == 0) {
			write_u16(w, 0);
			sim_covered[COVER_ALIAS_IN]++;
			return;
		}
		snprintf(k->said_aliases[*alias], sizeof(k->said_aliases[0]), "%s", topic);
	}
	write_plain_topic(w, topic);
}

static void write_varint(struct writer *w, uint32_t value)
{
	do {
		write_u8(w, (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0)));
		value >>= 7;
	} while (value);
}

/* What is left of the expiry; 0: it is over. */
static uint32_t expiry_left(const struct broker_news *n)
{
	uint64_t age_s = (sim.now_ns - n->made_ns) / NS_PER_S;

	return n->expiry_s > age_s ? (uint32_t)(n->expiry_s - age_s) : 0;
}

static void write_props(struct broker_link *k, struct writer *w, const struct broker_copy *c, uint16_t alias)
{
	const struct broker_news *n = &k->broker->news[c->news_idx];
	uint8_t props[600];
	struct writer pw = writer_of(props, sizeof(props));

	if (n->expiry_s) {
		uint32_t left = expiry_left(n);

		write_u8(&pw, 2);
		write_u32(&pw, left ? left : 1);
	}
	if (alias) {
		write_u8(&pw, 35);
		write_u16(&pw, alias);
	}
	for (uint32_t i = 0; i < EXPECT_SUBS_MAX; i++) {
		if (!(c->sub_mask & 1u << i) || !k->session->subs[i].id)
			continue;
		write_u8(&pw, 11); /* [MQTT-3.3.4-3, -4] */
		write_varint(&pw, k->session->subs[i].id);
	}
	wire_write_told(&pw, n->told);
	ASSERT(!pw.failed);
	write_varint(w, (uint32_t)(pw.at - props));
	write_bytes(w, props, (size_t)(pw.at - props));
}

/* Without identifiers the client cannot tell for which subscription a copy is: it may be for all that match. */
static uint32_t meant_for(const struct broker_link *k, const struct broker_copy *c)
{
	const struct broker *b = k->broker;
	uint32_t mask = c->sub_mask;

	for (uint32_t i = 0; i < b->expect.sub_count; i++)
		if ((c->sub_mask & 1u << i) && k->session->subs[i].id)
			return mask;
	for (uint32_t i = 0; i < b->expect.sub_count; i++)
		if (wire_matches(expect_filter(&b->expect.subs[i]),
				 bytes_of_text(b->news[c->news_idx].topic)))
			mask |= 1u << i;
	return mask;
}

/* Without identifiers, and with a copy for each subscription, a client tells copies by their coming side by side, from a
 * server that always does it like that. */
static bool is_tellable(struct broker_link *k, const struct broker_copy *c, const struct broker_news *n,
			uint32_t meant)
{
	bool side_by_side = n->sent_mask == 0 || (n->link_id == k->id && n->sent_ns == sim.now_ns);
	uint32_t copies = (uint32_t)__builtin_popcount(n->copy_mask);

	for (uint32_t i = 0; i < k->broker->expect.sub_count; i++)
		if ((meant & 1u << i) && k->broker->expect.subs[i].gone) /* it does not know of that copy */
			return false;
	if (c->for_new || c->sent_count > 0) /* the others are not there, or not sent again */
		k->is_inconsistent = true;
	else if (copies < (uint32_t)__builtin_popcount(meant))
		k->is_inconsistent |= !k->broker->one_copy;
	k->is_inconsistent |= !side_by_side || sim.short_io > 0 || sim.faults.stall > 0;
	return !k->is_inconsistent;
}

static void note_sent(struct broker_link *k, struct broker_copy *c)
{
	struct broker *b = k->broker;
	struct broker_news *n = &b->news[c->news_idx];
	uint32_t meant = meant_for(k, c);

	c->order = ++b->order_next;
	if (n->sent_mask == 0)
		n->first_order = c->order;
	if (c->sent_count == 0) {
		c->first_link_id = k->id;
		c->first_order = c->order;
	}
	if (c->sent_count > 0 && c->qos == 1)
		n->repeat_mask |= meant;
	if (c->sent_count == 0 && (n->sent_mask & c->sub_mask))
		n->repeat_mask |= meant;
	if (meant != c->sub_mask && !is_tellable(k, c, n, meant))
		n->repeat_mask |= meant;
	n->sent_mask |= c->sub_mask;
	n->link_id = k->id;
	n->sent_ns = sim.now_ns;
	c->sent_count++;
	c->link_id = k->id;
	if (b->sight_count == b->sight_room) {
		b->sight_room = b->sight_room ? 2 * b->sight_room : 256;
		b->sights = realloc(b->sights, b->sight_room * sizeof(b->sights[0]));
		ASSERT(b->sights);
	}
	b->sights[b->sight_count++] = (struct broker_sight){c->news_idx, meant, c->order};
	sim_covered[COVER_INBOUND]++;
}

static bool copy_send(struct broker_link *k, struct broker_copy *c)
{
	const struct broker_news *n = &k->broker->news[c->news_idx];
	uint8_t packet[2048], head[8];
	struct writer w = writer_of(packet, sizeof(packet)), hw = writer_of(head, sizeof(head));
	bool dup = c->sent_count > 0 && c->qos > 0;
	uint16_t alias = 0;
	size_t worst = n->payload_bytes + strlen(n->topic) + strlen(n->told) + 80;

	if (worst > k->client_max_packet_bytes) /* [MQTT-3.1.2-24]: as if it had been sent (3.1.2.11.4) */
		return false;
	if (k->level == 5)
		write_topic(k, &w, n->topic, &alias);
	else
		write_plain_topic(&w, n->topic);
	if (c->qos)
		write_u16(&w, c->packet_id);
	if (k->level == 5)
		write_props(k, &w, c, alias);
	write_bytes(&w, n->payload, n->payload_bytes);
	ASSERT(!w.failed);
	write_u8(&hw, (uint8_t)(WIRE_PUBLISH << 4 | (dup ? 8 : 0) | c->qos << 1 | c->retain));
	write_varint(&hw, (uint32_t)(w.at - packet));
	note_sent(k, c);
	sim_trace("broker %u says message %.0f %s id %u qos %u dup %d", k->id, n->number, n->topic,
		  c->packet_id, c->qos, dup);
	broker_say(k, head, (size_t)(hw.at - head));
	broker_say(k, packet, (size_t)(w.at - packet));
	return true;
}

static void release(struct broker_link *k, struct broker_copy *c)
{
	uint8_t packet[8];

	c->released_count++;
	broker_say(k, packet, wire_write_ack(packet, k->level, WIRE_PUBREL, c->packet_id, 0));
}

static void release_later(void *arg, uint64_t packet_id)
{
	struct broker_link *k = arg;
	struct broker_session *s = k->session;

	if (k->closed || k->leaving || k->state != BROKER_LINK_ONLINE)
		return;
	for (uint32_t i = 0; i < s->copy_count; i++)
		if (s->copies[i].packet_id == packet_id && s->copies[i].state == BROKER_COPY_RECEIVED &&
		    s->copies[i].link_id == k->id && s->copies[i].released_count == 0)
			release(k, &s->copies[i]);
}

static bool id_is_free(const struct broker_session *s, uint16_t id)
{
	for (uint32_t i = 0; i < s->copy_count; i++)
		if (s->copies[i].state != BROKER_COPY_QUEUED && s->copies[i].packet_id == id)
			return false;
	return id != 0;
}

/* What is under way counts against the client's Receive Maximum; 3.1.1 has none. */
static uint32_t room_for(const struct broker_link *k)
{
	uint32_t under_way = 0, most = k->level == 5       ? k->client_receive_max
				       : k->broker->floods ? BROKER_COPIES_MAX
							   : 150;

	for (uint32_t i = 0; i < k->session->copy_count; i++)
		under_way += k->session->copies[i].state != BROKER_COPY_QUEUED;
	sim_covered[COVER_MANY_HALF_WAY] += k->level == 4 && under_way > 64;
	return most > under_way ? most - under_way : 0;
}

static void pump(struct broker_link *k)
{
	struct broker_session *s = k->session;
	uint32_t room, i = 0;

	if (k->closed || k->leaving || k->state != BROKER_LINK_ONLINE || k->misbehaved)
		return;
	room = room_for(k);
	while (i < s->copy_count) {
		struct broker_copy *c = &s->copies[i];
		const struct broker_news *n = &k->broker->news[c->news_idx];

		if (c->state != BROKER_COPY_QUEUED) {
			i++;
			continue;
		}
		if (n->expiry_s && expiry_left(n) == 0) { /* [MQTT-3.3.2-5] */
			copy_remove(s, i);
			continue;
		}
		if (c->qos > 0 && room == 0)
			break;
		if (c->qos > 0) {
			room--;
			do
				s->copy_id++;
			while (!id_is_free(s, s->copy_id));
			c->packet_id = s->copy_id;
			c->state = BROKER_COPY_SENT;
		}
		if (!copy_send(k, c) || c->qos == 0)
			copy_remove(s, i);
		else
			i++;
	}
}

/* A session goes on: what is under way comes again, in its order, then what has waited [MQTT-4.4.0-1, 4.6.0-1]. */
void broker_news_begin(struct broker_link *k)
{
	struct broker_session *s = k->session;

	for (uint32_t i = 0; i < s->copy_count; i++) {
		k->under_way_before += s->copies[i].state != BROKER_COPY_QUEUED;
		if (s->copies[i].state == BROKER_COPY_RECEIVED) {
			s->copies[i].link_id = k->id;
			release(k, &s->copies[i]);
		} else if (s->copies[i].state == BROKER_COPY_SENT) {
			(void)copy_send(k, &s->copies[i]);
		}
	}
	pump(k);
}

void broker_news_subscribed(struct broker_link *k, uint32_t sub_idx, bool is_new)
{
	struct broker *b = k->broker;
	uint8_t handling = b->expect.subs[sub_idx].options >> 4 & 3;

	if (handling == 2 || (handling == 1 && !is_new) || expect_is_shared(&b->expect.subs[sub_idx]))
		return; /* [MQTT-3.3.1-9 .. -11]; none for a share (4.8.2) */
	for (uint32_t t = 0; t < ARRAY_COUNT(topics); t++) {
		const struct broker_news *n = b->retained[t] ? &b->news[b->retained[t] - 1] : NULL;

		if (!n || !wire_matches(expect_filter(&b->expect.subs[sub_idx]), bytes_of_text(topics[t])))
			continue;
		enqueue(b, k->session, b->retained[t] - 1, 1u << sub_idx, true);
		sim_covered[COVER_RETAINED]++;
	}
	pump(k);
}

/* --- the client's answers ----------------------------------------------------------------------------------------------- */

/* Of the copies that wait for that kind of answer, the one sent first is answered first [MQTT-4.6.0-2, -3]. */
static struct broker_copy *awaited(struct broker_session *s, const struct wire_packet *p)
{
	uint8_t qos = p->type == WIRE_PUBACK ? 1 : 2;
	uint8_t state = p->type == WIRE_PUBCOMP ? BROKER_COPY_RECEIVED : BROKER_COPY_SENT;

	for (uint32_t i = 0; i < s->copy_count; i++)
		if (s->copies[i].qos == qos && s->copies[i].state == state &&
		    s->copies[i].packet_id == p->packet_id)
			return &s->copies[i];
	return NULL;
}

static void check_ack_order(const struct broker_link *k, const struct broker_copy *c)
{
	for (const struct broker_copy *before = k->session->copies; before < c; before++)
		if (before->qos == c->qos && before->state == BROKER_COPY_SENT && before->link_id == k->id)
			broker_violation(
				k,
				"acknowledges messages in another order than they came [MQTT-4.6.0-2, -3]");
}

static void taken_over(struct broker_link *k, const struct broker_copy *c)
{
	struct broker *b = k->broker;
	bool apart = meant_for(k, c) != c->sub_mask;
	uint32_t mask = 0;

	if (c->first_link_id <
	    b->dead_link_id) /* it had it in an earlier life, and has lost it with its ring */
		return;
	/* Of QoS 2 it may be the first that it took; of copies that cannot be told apart, another. */
	for (uint32_t i = 0; i < b->expect.sub_count; i++) {
		const struct expect_sub *x = &b->expect.subs[i];

		/* What we have from another connection, and do not offer on this one, it takes for refused. */
		if (!(c->sub_mask & 1u << i) || !k->session->subs[i].has ||
		    (strpbrk(x->filter, "+#") && !k->wildcards) || (expect_is_shared(x) && !k->shared) ||
		    k->max_packet_bytes < strlen(x->filter) + SUBSCRIBE_ROOM)
			continue;
		mask |= 1u << i;
		b->taken_order[i] = max_u64(b->taken_order[i], apart ? b->news[c->news_idx].first_order
							       : c->qos == 2 ? c->first_order
									     : c->order);
	}
	bridge_taken(b, c->news_idx, mask);
}

bool broker_news_ack(struct broker_link *k, const struct wire_packet *p)
{
	struct broker_session *s = k->session;
	struct broker_copy *c;

	if (p->type < WIRE_PUBACK || p->type > WIRE_PUBCOMP || k->state != BROKER_LINK_ONLINE)
		return false;
	c = awaited(s, p);
	if (!c || c->link_id != k->id)
		return false;
	if (p->type != WIRE_PUBCOMP)
		check_ack_order(k, c);
	if (p->type != WIRE_PUBCOMP && p->code >= 0x80)
		broker_violation(k, "refuses a message that is good");
	if (p->type == WIRE_PUBCOMP && c->released_count == 0)
		broker_violation(k, "PUBCOMP before PUBREL [MQTT-4.3.3-11]");
	/* It is 0x92 where the client had finished on an earlier connection; a first PUBREL it must know. */
	if (p->type == WIRE_PUBCOMP && p->code != 0 && c->released_count == 1)
		broker_violation(k, "does not know a QoS 2 message that it has acknowledged [MQTT-4.3.3-10]");
	if (p->type != WIRE_PUBCOMP)
		taken_over(k, c);
	if (p->type == WIRE_PUBREC) {
		c->state = BROKER_COPY_RECEIVED;
		if (k->broker->holds_pubrel &&
		    sim.faults.goodbye + sim.faults.reset + sim.faults.session_lost)
			sim_after(sim_between(0, 2 * NS_PER_S), release_later, k, c->packet_id);
		else
			release(k, c);
	} else {
		copy_remove(s, (uint32_t)(c - s->copies));
	}
	pump(k);
	return true;
}

/* --- others --------------------------------------------------------------------------------------------------------- */

static struct broker_news *news_add(struct broker *b)
{
	struct broker_news *n;
	uint32_t topic = sim_below(ARRAY_COUNT(topics));
	uint32_t filler = sim_below(sim_chance(100) ? 600 : 60);
	char text[40];
	int size;

	if (b->news_count == b->news_room) {
		b->news_room = b->news_room ? 2 * b->news_room : 64;
		b->news = realloc(b->news, b->news_room * sizeof(b->news[0]));
		ASSERT(b->news);
	}
	n = &b->news[b->news_count];
	*n = (struct broker_news){.number = bridge_number(b, b->news_count),
				  .told = b->expect.level == 5 ? tellings[sim_below(ARRAY_COUNT(tellings))]
							       : "",
				  .made_ns = sim.now_ns,
				  .qos = (uint8_t)sim_below(3),
				  .retain = sim_chance(100)};
	if (b->expect.level == 5 && sim_chance(200))
		n->expiry_s = (uint32_t)sim_between(1, 100);
	snprintf(n->topic, sizeof(n->topic), "%s", topics[topic]);
	if (n->topic[3] == 'f' || n->topic[3] == 'g')
		size = snprintf(text, sizeof(text), "@%.0f;", n->number);
	else if (sim_chance(500))
		size = snprintf(text, sizeof(text), "%.0f", n->number);
	else
		size = snprintf(text, sizeof(text), "{\"value\":%.0f}", n->number);
	if (text[0] != '@')
		filler = 0;
	n->payload = malloc((size_t)size + filler);
	ASSERT(n->payload);
	memcpy(n->payload, text, (size_t)size);
	for (uint32_t i = 0; i < filler; i++)
		n->payload[(uint32_t)size + i] = (uint8_t)sim_below(256);
	n->payload_bytes = (uint32_t)size + filler;
	if (n->retain)
		b->retained[topic] = b->news_count + 1;
	b->news_count++;
	return n;
}

/* One message to everyone who has subscribed. */
static void publish(struct broker *b)
{
	struct broker_news *n = news_add(b);
	uint32_t news_idx = b->news_count - 1;

	for (uint32_t i = 0; i < (b->expect.cluster ? 1 : b->service_count); i++) {
		struct broker_session *s = &b->sessions[i];
		uint32_t mask = s->exists ? sub_mask_of(b, s, bytes_of_text(n->topic)) : 0, apart = 0;

		for (uint32_t k = 0; k < b->expect.sub_count; k++) {
			if (!(mask & 1u << k))
				continue;
			if (expect_is_shared(&b->expect.subs[k])) { /* another of the group may have it */
				mask &= ~(1u << k);
				if (sim_chance(700))
					enqueue(b, s, news_idx, 1u << k, false);
			} else if (!b->one_copy) {
				enqueue(b, s, news_idx, 1u << k, false);
				sim_covered[COVER_OVERLAP] += apart++ > 0;
			}
		}
		sim_covered[COVER_OVERLAP] += b->one_copy && (mask & (mask - 1));
		if (b->one_copy && mask)
			enqueue(b, s, news_idx, mask, false);
	}
}

static void others_due(void *arg, uint64_t value UNUSED)
{
	struct broker *b = arg;
	uint32_t count = b->floods && sim_chance(50) ? (uint32_t)sim_between(1, 800) : 1;

	if (!b->is_quiet && b->news_count < 20000)
		while (count-- > 0)
			publish(b);
	if (broker_online(b))
		pump(b->current);
	broker_news_later(b);
}

void broker_news_later(struct broker *b)
{
	sim_after(sim_between(0, b->others_period_ms) * NS_PER_MS + NS_PER_MS, others_due, b, 0);
}
