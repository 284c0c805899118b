/* What the client sends, packet by packet, against the rules. */
#include "tests/sim/broker.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/broker_priv.h"

#define KEEP_ALIVE_SLACK_NS (400 * NS_PER_MS) /* latency, and a thread that waited for its CPU */

static void violation(const struct broker_link *k, const char *what)
{
	sim_fail("%s (connection %u): %s", k->broker->names[0], k->id, what);
}

/* --- sessions ------------------------------------------------------------------------------------------------- */

void broker_session_lose(struct broker *b)
{
	memset(b->ids, 0, sizeof(b->ids));
	b->has_session = b->session_is_known = false;
	b->has_lowered = false;
	b->inbound_count = 0;
	b->epoch++;
}

static void session_over(struct broker_link *k)
{
	struct broker *b = k->broker;

	if (b->current != k)
		return;
	b->current = NULL;
	if ((k->level == 4 && k->clean) || (k->level == 5 && k->session_expiry_s == 0))
		broker_session_lose(b);
}

/* --- PUBLISH ---------------------------------------------------------------------------------------------------- */

static bool topic_resolve(struct broker_link *k, struct wire_packet *p)
{
	uint32_t alias = p->props.topic_alias;

	if (!p->props.has_topic_alias)
		return true;
	if (alias > k->alias_max || alias > BROKER_ALIASES_MAX) {
		violation(k, "topic alias above our maximum [MQTT-3.3.2-9]");
		return false;
	}
	if (p->topic.size) {
		ASSERT(p->topic.size < BROKER_TOPIC_BYTES);
		memcpy(k->aliases[alias], p->topic.ptr, p->topic.size);
		k->aliases[alias][p->topic.size] = '\0';
	} else if (!k->aliases[alias][0]) {
		violation(k, "topic alias without a topic on this connection [MQTT-3.3.2-7]");
		return false;
	} else {
		sim_covered[COVER_ALIAS_USED]++;
	}
	p->topic = bytes_of_text(k->aliases[alias]);
	return true;
}

static void check_limits(const struct broker_link *k, const struct wire_packet *p)
{
	if (p->qos > k->qos_max)
		violation(k, "QoS above our maximum [MQTT-3.2.2-11]");
	if (p->retain && !k->retain_available)
		violation(k, "retain, which we do not have [MQTT-3.2.2-14]");
	if (p->size_bytes > k->max_packet_bytes)
		violation(k, "a packet larger than our maximum [MQTT-3.2.2-15]");
}

static void see(struct broker_link *k, const struct wire_packet *p, enum ledger_fate fate)
{
	ledger_see(&k->broker->ledger, &(struct ledger_sight){.topic = p->topic,
							      .payload = p->payload,
							      .fate = fate,
							      .qos = p->qos,
							      .epoch = k->broker->epoch,
							      .link_id = k->id});
	sim_covered[COVER_DELIVERED] += fate == LEDGER_DELIVERED;
	sim_covered[COVER_GHOSTS] += fate == LEDGER_GHOST;
	sim_covered[COVER_ACK_REFUSED] += fate == LEDGER_REFUSED;
}

/* What comes again comes marked, in its old order, and before anything new [MQTT-4.4.0-1, 4.6.0-1]. */
static void check_resend(struct broker_link *k, const struct wire_packet *p, uint64_t key)
{
	const struct ledger_message *known = ledger_find(&k->broker->ledger, key);
	bool weak = p->topic.size && p->topic.ptr[0] == 'w';

	if (p->dup && !k->session_present)
		violation(k, "DUP in a session that has just begun [MQTT-3.3.1-1]");
	if (!p->dup && !weak && k->session_present && known && known->epoch == k->broker->epoch &&
	    known->qos > 0)
		violation(k, "sent again without DUP [MQTT-3.3.1-1]");
	if (!p->dup) {
		k->sent_new = true;
		return;
	}
	sim_covered[COVER_RESENT]++;
	if (k->sent_new)
		violation(k, "a message comes again after a new one [MQTT-4.6.0-1]");
	if (known && known->first_seq < k->resent_seq)
		violation(k, "messages come again in another order [MQTT-4.6.0-1]");
	if (known)
		k->resent_seq = known->first_seq;
}

/* True: we have it already and it is not delivered again (QoS 2). */
static bool check_id(struct broker_link *k, const struct wire_packet *p, uint64_t key)
{
	struct broker *b = k->broker;
	struct broker_id *e = &b->ids[p->packet_id];

	if (p->dup && p->qos == 2 && e->released_key == key && p->topic.ptr[0] != 'w')
		violation(k, "PUBLISH after its PUBREL [MQTT-4.3.3-6]");
	if (e->state == BROKER_ID_FREE)
		return false;
	if (e->key != key && b->has_lowered)
		return false; /* its message went out with QoS 0 meanwhile, or is too large now */
	if (e->key != key)
		violation(k, "the packet identifier is in use [MQTT-2.2.1-3]");
	else if (e->link_id == k->id)
		violation(k, "a message twice on one connection [MQTT-4.4.0-1]");
	return e->state == BROKER_ID_QOS2 && p->qos == 2;
}

static void on_publish(struct broker_link *k, struct wire_packet *p)
{
	struct broker *b = k->broker;
	struct broker_id *e = &b->ids[p->packet_id];
	uint64_t key;
	uint8_t refusal;
	bool again;

	if (!topic_resolve(k, p))
		return;
	check_limits(k, p);
	k->broker->has_been_used = true;
	if (p->qos == 0) {
		see(k, p, LEDGER_DELIVERED);
		return;
	}
	key = ledger_key(p->topic, p->payload);
	check_resend(k, p, key);
	again = check_id(k, p, key);
	if (++k->unacked_count > k->receive_max)
		violation(k, "more messages than our receive maximum [MQTT-3.3.4-7]");
	sim_covered[COVER_WINDOW_FULL] += k->unacked_count == k->receive_max;
	refusal = again ? 0 : broker_refusal(k);
	if (!again)
		see(k, p, refusal >= 0x80 ? LEDGER_REFUSED : LEDGER_DELIVERED);
	e->key = key;
	e->link_id = k->id;
	e->state = p->qos == 1 ? BROKER_ID_QOS1 : BROKER_ID_QOS2;
	broker_ack_later(k, p->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, p->packet_id, refusal);
}

static void on_pubrel(struct broker_link *k, const struct wire_packet *p)
{
	struct broker_id *e = &k->broker->ids[p->packet_id];

	if (!e->said_received)
		violation(k, "PUBREL for what never got a PUBREC [MQTT-4.3.3-4]");
	if (e->state == BROKER_ID_QOS2) {
		e->state = BROKER_ID_FREE;
		e->released_key = e->key;
	}
	broker_ack_later(k, WIRE_PUBCOMP, p->packet_id, 0);
}

void broker_acked(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code)
{
	struct broker_id *e = &k->broker->ids[packet_id];

	if (type == WIRE_PUBREC && code < 0x80) {
		e->said_received = true;
		return;
	}
	if (type != WIRE_PUBCOMP)
		e->state = BROKER_ID_FREE;
	if (e->link_id == k->id && k->unacked_count > 0)
		k->unacked_count--;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static void on_connect(struct broker_link *k, const struct wire_packet *p)
{
	struct broker *b = k->broker;
	struct broker_link *old = b->current;

	/* A CONNECT that a slow path delivers after that of a later connection would take the session, or discard it, and
	 * no client could tell: it is left out of this world. */
	if (k->id < b->newest_link_id) {
		broker_close(k);
		k->closed = true;
		return;
	}
	b->newest_link_id = k->id;
	/* Until it has had a session with us, it may ask for a new one whatever the configuration says. */
	if (p->level != b->expected_level || p->keep_alive_s != b->expected_keep_alive_s ||
	    (p->clean != b->clean_start && (b->has_been_used || !p->clean)))
		sim_fail("%s: CONNECT does not say what the configuration says: level %u clean %d keep-alive "
			 "%u",
			 b->names[0], p->level, p->clean, p->keep_alive_s);
	if (old && old != k) { /* a session has one client */
		old->closed = true;
		conn_reset(old->conn);
		session_over(old);
	}
	k->level = p->level;
	k->clean = p->clean;
	k->session_expiry_s = p->props.session_expiry_s;
	k->keep_alive_ns = p->keep_alive_s * NS_PER_S;
	b->current = k;
	broker_welcome(k, p);
}

static void on_packet(struct broker_link *k, struct wire_packet *p)
{
	sim_trace("broker %u packet %u id %u qos %u dup %d", k->id, p->type, p->packet_id, p->qos, p->dup);
	if (k->state == BROKER_LINK_NEW && p->type != WIRE_CONNECT)
		violation(k, "the first packet is not CONNECT [MQTT-3.1.0-1]");
	else if (k->state != BROKER_LINK_NEW && p->type == WIRE_CONNECT)
		violation(k, "a second CONNECT [MQTT-3.1.0-2]");
	else if (k->state == BROKER_LINK_GOODBYE)
		violation(k, "a packet after DISCONNECT [MQTT-3.14.4-2]");
	else if (k->state == BROKER_LINK_SILENT && p->type == WIRE_PUBLISH)
		violation(k, "PUBLISH before we have accepted");
	k->broker->session_is_known |= k->state == BROKER_LINK_ONLINE;
	switch (p->type) {
	case WIRE_CONNECT: on_connect(k, p); break;
	case WIRE_PUBLISH: on_publish(k, p); break;
	case WIRE_PUBREL: on_pubrel(k, p); break;
	case WIRE_PINGREQ: broker_pong(k); break;
	case WIRE_DISCONNECT:
		k->state = BROKER_LINK_GOODBYE;
		k->broker->said_goodbye = true;
		broker_close(k);
		break;
	default:
		if (!broker_inbound_ack(k, p))
			violation(k, "an acknowledgement of nothing");
		break;
	}
}

/* What nobody got: only whole messages count; the client must send the others again. */
static void on_ghost_packet(struct broker_link *k, struct wire_packet *p)
{
	if (p->type == WIRE_PUBLISH && topic_resolve(k, p))
		see(k, p, LEDGER_GHOST);
}

static void held_add(struct broker_link *k, const uint8_t *bytes, size_t size_bytes)
{
	if (k->held_size + size_bytes > k->held_room) {
		k->held_room = 2 * (k->held_size + size_bytes);
		k->held = realloc(k->held, k->held_room);
		ASSERT(k->held);
	}
	memcpy(k->held + k->held_size, bytes, size_bytes);
	k->held_size += size_bytes;
}

static void take_packets(struct broker_link *k, void (*take)(struct broker_link *k, struct wire_packet *p))
{
	struct wire_packet packet;
	const char *why = "";
	size_t at = 0;
	int n;

	while (!sim.failed &&
	       (n = wire_read(bytes_of(k->held + at, k->held_size - at), k->level, &packet, &why)) != 0) {
		if (n < 0) {
			violation(k, why);
			return;
		}
		/* A connection that we close while we read: the rest is for nobody. */
		(k->closed ? on_ghost_packet : take)(k, &packet);
		at += (size_t)n;
	}
	k->held_size -= at;
	memmove(k->held, k->held + at, k->held_size);
}

/* --- the connection ------------------------------------------------------------------------------------------------- */

static void keep_alive_due(void *arg, uint64_t value UNUSED)
{
	struct broker_link *k = arg;
	uint64_t limit_ns = k->keep_alive_ns + k->keep_alive_ns / 2 + KEEP_ALIVE_SLACK_NS;

	if (k->closed || k->keep_alive_ns == 0 || conn_was_slow(k->conn))
		return;
	if (sim.now_ns - k->last_ns >= limit_ns) {
		violation(k, "nothing for one and a half keep-alives [MQTT-3.1.2-20]");
		return;
	}
	sim_at(k->last_ns + limit_ns, keep_alive_due, k, 0);
}

static void *on_accept(void *user, struct conn *c)
{
	struct broker *b = user;
	struct broker_link *k = calloc(1, sizeof(*k));

	ASSERT(k);
	k->broker = b;
	k->conn = c;
	k->id = conn_id(c);
	k->next = b->links;
	b->links = k;
	b->said_goodbye = false;
	return k;
}

static void on_bytes(void *link, const uint8_t *bytes, size_t size_bytes)
{
	struct broker_link *k = link;
	bool was_online = k->state == BROKER_LINK_ONLINE;

	k->last_ns = sim.now_ns;
	held_add(k, bytes, size_bytes);
	take_packets(k, k->closed ? on_ghost_packet : on_packet);
	if (!was_online && k->state == BROKER_LINK_ONLINE && k->keep_alive_ns)
		keep_alive_due(k, 0);
}

static void on_end(void *link, bool in_order)
{
	struct broker_link *k = link;

	sim_trace("broker %u end in_order %d", k->id, in_order);
	sim_covered[COVER_RESET_MID_PACKET] += k->held_size > 0;
	k->closed = true;
	session_over(k);
	if (in_order)
		conn_finish(k->conn);
}

static void on_ghost(void *link, const uint8_t *bytes, size_t size_bytes)
{
	struct broker_link *k = link;

	held_add(k, bytes, size_bytes);
	take_packets(k, on_ghost_packet);
}

void broker_begin(struct broker *b, const char *const names[], uint32_t name_count)
{
	*b = (struct broker){.epoch = 1};
	ASSERT(name_count <= BROKER_URLS_MAX);
	b->service_count = name_count;
	for (uint32_t i = 0; i < name_count; i++) {
		b->names[i] = names[i];
		b->services[i] = (struct service){.name = names[i],
						  .port = 1883,
						  .user = b,
						  .on_accept = on_accept,
						  .on_bytes = on_bytes,
						  .on_end = on_end,
						  .on_ghost = on_ghost};
		net_add(&b->services[i]);
	}
}

void broker_end(struct broker *b)
{
	while (b->links) {
		struct broker_link *k = b->links;

		b->links = k->next;
		free(k->held);
		free(k);
	}
	ledger_free(&b->ledger);
}

void broker_set_down(struct broker *b, bool down)
{
	for (uint32_t i = 0; i < b->service_count; i++) {
		b->services[i].down = down;
		if (down)
			net_cut(&b->services[i]);
	}
}

bool broker_online(const struct broker *b)
{
	return b->current && b->current->state == BROKER_LINK_ONLINE && !b->current->closed;
}
