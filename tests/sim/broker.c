/* What the client sends, packet by packet, against the rules. */
#include "tests/sim/broker.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/bridge.h"
#include "tests/sim/broker_priv.h"

#define KEEP_ALIVE_SLACK_NS (400 * NS_PER_MS) /* latency, and a thread that waited for its CPU */

void broker_violation(const struct broker_link *k, const char *what)
{
	sim_fail("%s (connection %u): %s", k->broker->names[0], k->id, what);
}

/* --- sessions ------------------------------------------------------------------------------------------------- */

void broker_session_lose(struct broker *b, struct broker_session *s)
{
	memset(s->ids, 0, (s->id_max + 1) * sizeof(s->ids[0]));
	memset(s->subs, 0, sizeof(s->subs));
	s->id_max = 0;
	s->exists = s->is_known = s->has_lowered = s->spoilt = false;
	s->copy_count = 0;
	s->copy_id = 0;
	s->epoch = ++b->epoch_next;
}

static void session_over(struct broker_link *k)
{
	struct broker *b = k->broker;

	if (b->current != k)
		return;
	b->current = NULL;
	if ((k->level == 4 && k->clean) || (k->level == 5 && k->session_expiry_s == 0) || k->session->spoilt)
		broker_session_lose(b, k->session);
}

void broker_client_crashed(struct broker *b, enum broker_client_state state)
{
	memset(b->taken_order, 0, sizeof(b->taken_order)); /* its tags are gone */
	b->dead_link_id = b->links ? b->links->id + 1 : 0;
	b->has_crashed = true;
	if (state == BROKER_CLIENT_KEEPS)
		return;
	b->has_been_used = false;
	b->must_be_clean = state == BROKER_CLIENT_FORGOT;
}

bool broker_is_settled(const struct broker *b)
{
	return broker_online(b) && b->current->session->copy_count == 0 &&
	       conn_has_delivered(b->current->conn);
}

/* What is half way in a session that goes on is finished some day, by either side [MQTT-4.4.0-1]. */
void broker_check_settled(const struct broker *b)
{
	const struct broker_session *s = b->current->session;

	for (uint32_t id = 1; id <= s->id_max && !s->has_lowered && !sim.failed; id++)
		if (s->ids[id].state != BROKER_ID_FREE)
			sim_fail("%s: identifier %u is under way at QoS %u for ever [MQTT-4.4.0-1]",
				 b->names[0], id, s->ids[id].state);
	broker_check_subscribed(b, s);
}

/* --- PUBLISH ---------------------------------------------------------------------------------------------------- */

static bool topic_resolve(struct broker_link *k, struct wire_packet *p)
{
	uint32_t alias = p->props.topic_alias;

	if (!p->props.has_topic_alias)
		return true;
	if (alias > k->alias_max || alias > BROKER_ALIASES_MAX) {
		broker_violation(k, "topic alias above our maximum [MQTT-3.3.2-9]");
		return false;
	}
	if (p->topic.size) {
		ASSERT(p->topic.size < BROKER_TOPIC_BYTES);
		memcpy(k->aliases[alias], p->topic.ptr, p->topic.size);
		k->aliases[alias][p->topic.size] = '\0';
	} else if (!k->aliases[alias][0]) {
		broker_violation(k, "topic alias without a topic on this connection [MQTT-3.3.2-7]");
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
		broker_violation(k, "QoS above our maximum [MQTT-3.2.2-11]");
	if (p->retain && !k->retain_available)
		broker_violation(k, "retain, which we do not have [MQTT-3.2.2-14]");
	if (p->size_bytes > k->max_packet_bytes)
		broker_violation(k, "a packet larger than our maximum [MQTT-3.2.2-15]");
}

/* What a message of the backlog has beside what it was: off with it. */
static void mark_take(struct broker_link *k, struct wire_packet *p)
{
	static const char name[] = "u:replay=";
	struct bytes prefix = bytes_of_text(ACCOUNT_PREFIX);
	char *at = strstr(p->told, name), *end = at ? strchr(at, ';') : NULL;

	k->mark[0] = '\0';
	if (end && (at == p->told || at[-1] == ';')) {
		snprintf(k->mark, sizeof(k->mark), "%.*s", (int)(end - at - (long)strlen(name)),
			 at + strlen(name));
		memmove(at, end + 1, strlen(end + 1) + 1);
	}
	k->has_prefix = p->topic.size > prefix.size && memcmp(p->topic.ptr, prefix.ptr, prefix.size) == 0;
	if (k->has_prefix)
		p->topic = bytes_of(p->topic.ptr + prefix.size, p->topic.size - prefix.size);
}

static void see(struct broker_link *k, const struct wire_packet *p, enum ledger_fate fate, bool may_repeat)
{
	const struct broker *b = k->broker;
	bool unordered = b->flaps && b->ever_lowered;

	account_see(&k->broker->account,
		    &(struct account_sight){.topic = p->topic,
					    .payload = p->payload,
					    .fate = fate,
					    .qos = p->qos,
					    .has_prefix = k->has_prefix,
					    .mark = k->mark,
					    .in_order = !unordered,
					    .is_newest = b->current == k && b->newest_link_id == k->id});
	ledger_see(&k->broker->ledger, &(struct ledger_sight){.topic = p->topic,
							      .may_repeat = may_repeat,
							      .lowered = k->session->has_lowered,
							      .unordered = unordered || b->account.live_first,
							      .payload = p->payload,
							      .fate = fate,
							      .qos = p->qos,
							      .epoch = k->session->epoch,
							      .link_id = k->id});
	sim_covered[COVER_DELIVERED] += fate == LEDGER_DELIVERED;
	sim_covered[COVER_GHOSTS] += fate == LEDGER_GHOST;
	sim_covered[COVER_ACK_REFUSED] += fate == LEDGER_REFUSED;
}

/* What a process that has crashed had sent before may come later. */
static bool is_of_the_dead(const struct broker_link *k)
{
	return k->id < k->broker->dead_link_id;
}

static bool is_weak(const struct wire_packet *p)
{
	return p->topic.size && p->topic.ptr[0] == 'w';
}

/* What comes again comes marked, in its old order, and before anything new [MQTT-4.4.0-1, 4.6.0-1]. */
static void check_resend(struct broker_link *k, const struct wire_packet *p, uint64_t key, bool weak)
{
	const struct ledger_message *known = ledger_find(&k->broker->ledger, key);

	if (p->dup && !k->session_present)
		broker_violation(k, "DUP in a session that has just begun [MQTT-3.3.1-1]");
	if (!p->dup && !weak && k->session_present && !k->session->has_lowered && known &&
	    known->epoch == k->session->epoch && known->qos > 0)
		broker_violation(k, "sent again without DUP [MQTT-3.3.1-1]");
	if (!p->dup) {
		k->sent_new = true;
		return;
	}
	sim_covered[COVER_RESENT]++;
	if (k->sent_new)
		broker_violation(k, "a message comes again after a new one [MQTT-4.6.0-1]");
	if (!weak && known && !k->broker->ever_lowered && known->first_seq < k->resent_seq)
		broker_violation(k, "messages come again in another order [MQTT-4.6.0-1]");
	if (!weak && known)
		k->resent_seq = known->first_seq;
}

/* True: we have it already and it is not delivered again (QoS 2). */
static bool check_id(struct broker_link *k, const struct wire_packet *p, uint64_t key, bool weak)
{
	struct broker_id *e = &k->session->ids[p->packet_id];

	if (p->dup && p->qos == 2 && e->released_key == key && !weak)
		broker_violation(k, "PUBLISH after its PUBREL [MQTT-4.3.3-6]");
	if (e->state == BROKER_ID_FREE)
		return false;
	if (e->key != key && k->session->has_lowered)
		return false; /* its message went out with QoS 0 meanwhile, or is too large now */
	if (e->key != key)
		broker_violation(k, "the packet identifier is in use [MQTT-2.2.1-3]");
	else if (e->link_id == k->id)
		broker_violation(k, "a message twice on one connection [MQTT-4.4.0-1]");
	return e->state == BROKER_ID_QOS2 && p->qos == 2;
}

static bool is_text(struct bytes b, const char *text)
{
	return *text && bytes_equal(b, bytes_of_text(text));
}

/* The first words on each connection come before what is new, the last ones before DISCONNECT only. */
static void check_words(struct broker_link *k, const struct wire_packet *p)
{
	const struct expect *x = &k->broker->expect;
	bool offered = k->max_packet_bytes > 300 &&
		       (!x->refuses ||
			(x->will_qos <= k->qos_max && (!x->will_retain || k->retain_available)));
	bool will = x->has_will && is_text(p->topic, x->will_topic);
	bool first = will && is_text(p->payload, x->on_connect),
	     last = will && is_text(p->payload, x->on_disconnect);

	k->last_was_farewell = last;
	k->farewell_id = p->packet_id;
	if (last && !k->broker->told_to_leave)
		broker_violation(k, "says on_disconnect, and nobody has stopped it");
	if (p->dup) { /* the last connection's, if it was not acknowledged, is good for this one */
		k->on_connect_count += first;
		return;
	}
	if (x->on_connect[0] && offered && k->on_connect_count == 0 && !first &&
	    ((k->session_present && k->qos_max > 0) || k->publish_count >= x->max_inflight))
		broker_violation(k, "a new message before on_connect");
	if (first && k->said_on_connect && k->session_present && k->qos_max > 0 && !k->session->has_lowered)
		broker_violation(k, "on_connect twice on a connection");
	if (first && k->session_present && p->qos != (x->will_qos < k->qos_max ? x->will_qos : k->qos_max))
		broker_violation(k, "on_connect at another QoS than the will's");
	k->publish_count++;
	k->on_connect_count += first;
	k->said_on_connect |= first;
	sim_covered[COVER_ON_CONNECT] += first;
	sim_covered[COVER_ON_DISCONNECT] += last;
}

static void on_publish(struct broker_link *k, struct wire_packet *p)
{
	struct broker_id *e = &k->session->ids[p->packet_id];
	uint64_t key;
	uint8_t refusal;
	bool again, may_repeat = false, weak;

	if (!topic_resolve(k, p))
		return;
	mark_take(k, p);
	sim_trace("broker %u topic %.*s payload %.*s", k->id, (int)p->topic.size, (const char *)p->topic.ptr,
		  (int)min_size(p->payload.size, 60), (const char *)p->payload.ptr);
	check_limits(k, p);
	check_words(k, p);
	weak = is_weak(p);
	if (!weak && !bridge_check(k->broker, k->level, p, &may_repeat))
		broker_check_definition(k, p);
	key = ledger_key(p->topic, p->payload);
	weak |= may_repeat || ledger_excused(&k->broker->ledger, key);
	k->broker->has_been_used |= !is_of_the_dead(k) &&
				    (k->name_idx == k->broker->newest_name || k->broker->expect.cluster);
	if (p->qos == 0) {
		see(k, p, LEDGER_DELIVERED, may_repeat);
		return;
	}
	check_resend(k, p, key, weak);
	again = check_id(k, p, key, weak);
	if (++k->unacked_count > k->receive_max)
		broker_violation(k, "more messages than our receive maximum [MQTT-3.3.4-7]");
	sim_covered[COVER_WINDOW_FULL] += k->unacked_count == k->receive_max;
	refusal = again ? 0 : broker_refusal(k);
	if (!again)
		see(k, p, refusal >= 0x80 ? LEDGER_REFUSED : LEDGER_DELIVERED, may_repeat);
	e->key = key;
	e->link_id = k->id;
	e->state = p->qos == 1 ? BROKER_ID_QOS1 : BROKER_ID_QOS2;
	k->session->id_max = (uint32_t)max_u64(k->session->id_max, p->packet_id);
	broker_ack_later(k, p->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, p->packet_id, refusal);
}

static void on_pubrel(struct broker_link *k, const struct wire_packet *p)
{
	struct broker_id *e = &k->session->ids[p->packet_id];

	if (!e->said_received)
		broker_violation(k, "PUBREL for what never got a PUBREC [MQTT-4.3.3-4]");
	if (e->state == BROKER_ID_QOS2) {
		e->state = BROKER_ID_FREE;
		e->released_key = e->key;
	}
	broker_ack_later(k, WIRE_PUBCOMP, p->packet_id, 0);
}

void broker_acked(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code)
{
	struct broker_id *e = &k->session->ids[packet_id];

	if (type == WIRE_PUBREC && code < 0x80) {
		e->said_received = true;
		return;
	}
	if (type == WIRE_SUBACK || type == WIRE_UNSUBACK)
		return;
	if (type != WIRE_PUBCOMP)
		e->state = BROKER_ID_FREE;
	if (e->link_id == k->id && k->unacked_count > 0)
		k->unacked_count--;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static void check_will(const struct broker_link *k, const struct wire_packet *p)
{
	const struct expect *x = &k->broker->expect;

	if (p->has_will != x->has_will)
		broker_violation(k, "CONNECT has another will than the configuration");
	if (!p->has_will || !x->has_will)
		return;
	if (!is_text(p->topic, x->will_topic) || !is_text(p->payload, x->will_payload) ||
	    p->qos != x->will_qos || p->retain != x->will_retain)
		broker_violation(k, "the will's topic, payload, QoS or retain is not the configuration's");
	if (p->level == 5 &&
	    (strcmp(p->told, x->will_told) != 0 || p->props.will_delay_s != x->will_delay_s ||
	     p->props.expiry_s != x->will_expiry_s || p->props.has_expiry != (x->will_expiry_s != 0)))
		broker_violation(k, "the will's properties are not the configuration's");
}

static void check_connect(const struct broker_link *k, const struct wire_packet *p)
{
	const struct broker *b = k->broker;
	const struct expect *x = &b->expect;

	/* Until it has had a session with us, it may ask for a new one whatever the configuration says. */
	if (p->level != x->level || p->keep_alive_s != x->keep_alive_s ||
	    (p->clean != x->clean_start && (b->has_been_used || !p->clean)))
		sim_fail("%s: CONNECT does not say what the configuration says: level %u clean %d keep-alive "
			 "%u",
			 b->names[0], p->level, p->clean, p->keep_alive_s);
	if (p->level == 5 && x->receive_max &&
	    (p->props.has_receive_max ? p->props.receive_max : 65535u) != x->receive_max)
		broker_violation(k, "another receive maximum than the configuration's");
	if (p->has_user != (x->user[0] != 0) || (p->has_user && !is_text(p->user, x->user)))
		broker_violation(k, "another user name than the configuration's");
	check_will(k, p);
}

static void on_connect(struct broker_link *k, const struct wire_packet *p)
{
	struct broker *b = k->broker;
	struct broker_link *old = b->current;

	/* A CONNECT that a slow path delivers after that of a later connection would take the session, or discard it, and
	 * no client could tell; nor after that of a process that has crashed: it is left out of this world. */
	if (k->id < b->newest_link_id || is_of_the_dead(k)) {
		broker_close(k);
		k->closed = true;
		return;
	}
	b->newest_link_id = k->id;
	check_connect(k, p);
	if (old && old != k) { /* a session has one client */
		old->closed = true;
		conn_reset(old->conn);
		session_over(old);
	}
	k->level = p->level;
	k->clean = p->clean;
	k->session_expiry_s = p->props.session_expiry_s;
	k->keep_alive_ns = p->keep_alive_s * NS_PER_S;
	k->client_receive_max = p->props.has_receive_max ? p->props.receive_max : 65535;
	k->client_alias_max = (uint32_t)min_u64(p->props.topic_alias_max, BROKER_ALIASES_MAX);
	k->client_max_packet_bytes = p->props.max_packet_bytes ? p->props.max_packet_bytes : UINT32_MAX;
	b->current = k;
	broker_welcome(k, p);
	sim_covered[COVER_CRASH_KEPT] += b->has_crashed && k->state == BROKER_LINK_ONLINE &&
					 k->session_present;
	b->has_crashed &= k->state != BROKER_LINK_ONLINE;
}

static void on_disconnect(struct broker_link *k, const struct wire_packet *p)
{
	struct broker *b = k->broker;

	if (k->state == BROKER_LINK_ONLINE)
		broker_check_goodbye(k, p);
	k->state = BROKER_LINK_GOODBYE;
	b->said_goodbye = true;
	b->goodbye_was_told = k->last_was_farewell && k->session->ids[k->farewell_id].state == BROKER_ID_FREE;
	broker_close(k);
}

static void on_packet(struct broker_link *k, struct wire_packet *p)
{
	bool accepted = k->state == BROKER_LINK_ONLINE;

	sim_trace("broker %u packet %u id %u qos %u dup %d", k->id, p->type, p->packet_id, p->qos, p->dup);
	if (k->state == BROKER_LINK_NEW && p->type != WIRE_CONNECT)
		broker_violation(k, "the first packet is not CONNECT [MQTT-3.1.0-1]");
	else if (k->state != BROKER_LINK_NEW && p->type == WIRE_CONNECT)
		broker_violation(k, "a second CONNECT [MQTT-3.1.0-2]");
	else if (k->state == BROKER_LINK_GOODBYE)
		broker_violation(k, "a packet after DISCONNECT [MQTT-3.14.4-2]");
	else if (k->state == BROKER_LINK_SILENT && p->type != WIRE_DISCONNECT && p->type != WIRE_PINGREQ)
		broker_violation(k, "a packet before we have accepted");
	else if (accepted && k->session_present && k->broker->must_be_clean && !is_of_the_dead(k) &&
		 p->type != WIRE_DISCONNECT)
		broker_violation(k, "goes on with a session whose state is lost [MQTT-3.2.2-4]");
	if (sim.failed)
		return;
	if (k->session)
		k->session->is_known |= accepted;
	switch (p->type) {
	case WIRE_CONNECT: on_connect(k, p); break;
	case WIRE_PUBLISH: on_publish(k, p); break;
	case WIRE_PUBREL: on_pubrel(k, p); break;
	case WIRE_SUBSCRIBE: broker_on_subscribe(k, p); break;
	case WIRE_UNSUBSCRIBE: broker_on_unsubscribe(k, p); break;
	case WIRE_PINGREQ: broker_pong(k); break;
	case WIRE_DISCONNECT: on_disconnect(k, p); break;
	default:
		if (!broker_news_ack(k, p) && !k->misbehaved)
			broker_violation(k, "an acknowledgement of nothing");
		break;
	}
}

/* What nobody got: only whole messages count; the client must send the others again. */
static void on_ghost_packet(struct broker_link *k, struct wire_packet *p)
{
	bool may_repeat = false;

	if (p->type != WIRE_PUBLISH || !k->session || !topic_resolve(k, p))
		return;
	mark_take(k, p);
	(void)bridge_check(k->broker, k->level, p, &may_repeat);
	see(k, p, LEDGER_GHOST, may_repeat);
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
			broker_violation(k, why);
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

	if (k->closed || k->keep_alive_ns == 0 || conn_was_slow(k->conn) || k->broker->client_has_ended)
		return;
	if (sim.now_ns - k->last_ns >= limit_ns) {
		broker_violation(k, "nothing for one and a half keep-alives [MQTT-3.1.2-20]");
		return;
	}
	sim_at(k->last_ns + limit_ns, keep_alive_due, k, 0);
}

static void *on_accept(void *user, struct conn *c)
{
	struct broker_name *name = user;
	struct broker *b = name->broker;
	struct broker_link *k = calloc(1, sizeof(*k));

	ASSERT(k);
	k->broker = b;
	k->name_idx = name->idx;
	k->session = &b->sessions[b->expect.cluster ? 0 : name->idx];
	/* Another server: what the client knew of the last one is over. */
	if (name->idx != b->newest_name && !b->expect.cluster)
		b->has_been_used = false;
	b->newest_name = name->idx;
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

void broker_begin(struct broker *b, uint32_t target_idx, const char *const names[], uint32_t name_count)
{
	*b = (struct broker){.target_idx = target_idx};
	ASSERT(name_count <= BROKER_URLS_MAX);
	b->service_count = name_count;
	b->sessions = calloc(name_count, sizeof(b->sessions[0]));
	ASSERT(b->sessions);
	for (uint32_t i = 0; i < name_count; i++) {
		b->sessions[i].epoch = ++b->epoch_next;
		b->names[i] = names[i];
		b->services_of[i] = (struct broker_name){.broker = b, .idx = i};
		b->services[i] = (struct service){.name = names[i],
						  .port = 1883,
						  .user = &b->services_of[i],
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
	for (uint32_t i = 0; i < b->news_count; i++)
		free(b->news[i].payload);
	free(b->news);
	free(b->sights);
	free(b->sessions);
	ledger_free(&b->ledger);
	account_end(&b->account);
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
