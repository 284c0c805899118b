/* What the broker says: its welcome and limits, acknowledgements early and late, messages of its own, its moods. */
#include "tests/sim/broker_priv.h"

static void say(struct broker_link *k, const void *bytes, size_t size_bytes)
{
	if (!k->closed)
		conn_send(k->conn, bytes, size_bytes);
}

void broker_close(struct broker_link *k)
{
	if (k->closed)
		return;
	conn_finish(k->conn);
}

/* --- welcome ---------------------------------------------------------------------------------------------------- */

static void prop_u16(struct writer *w, uint8_t id, uint32_t value)
{
	write_u8(w, id);
	write_u16(w, (uint16_t)value);
}

static void limits_draw(struct broker_link *k)
{
	const struct broker *b = k->broker;

	k->receive_max = 65535;
	k->max_packet_bytes = UINT32_MAX;
	k->qos_max = 2;
	k->retain_available = true;
	if (k->level == 4)
		return;
	if (b->flaps && sim.faults.goodbye) {
		k->qos_max = sim_chance(250) ? 0 : 2;
		return;
	}
	if (sim_chance(600))
		k->receive_max = sim_chance(500) ? (uint32_t)sim_between(1, 5) : (uint32_t)sim_between(5, 70);
	if (sim_chance(600))
		k->alias_max = sim_chance(500) ? (uint32_t)sim_between(1, 4) : BROKER_ALIASES_MAX;
	if (sim_chance(120))
		k->qos_max = (uint8_t)sim_below(2);
	if (sim_chance(100))
		k->retain_available = false;
	if (b->small_packets && sim_chance(500))
		k->max_packet_bytes = (uint32_t)sim_between(60, 400);
	else if (sim_chance(200))
		k->max_packet_bytes = (uint32_t)sim_between(20000, 100000);
	if (sim_chance(100))
		k->keep_alive_ns = sim_between(1, 4) * NS_PER_S;
	sim_covered[COVER_QOS_LOWERED] += k->qos_max < 2;
	sim_covered[COVER_TOO_LARGE] += k->max_packet_bytes < 1000;
}

static void limits_write(const struct broker_link *k, const struct wire_packet *connect, struct writer *w)
{
	if (k->receive_max < 65535)
		prop_u16(w, 33, k->receive_max);
	if (k->alias_max)
		prop_u16(w, 34, k->alias_max);
	if (k->qos_max < 2) {
		write_u8(w, 36);
		write_u8(w, k->qos_max);
	}
	if (!k->retain_available) {
		write_u8(w, 37);
		write_u8(w, 0);
	}
	if (k->max_packet_bytes != UINT32_MAX) {
		write_u8(w, 39);
		write_u32(w, k->max_packet_bytes);
	}
	if (k->keep_alive_ns != connect->keep_alive_s * NS_PER_S)
		prop_u16(w, 19, (uint32_t)(k->keep_alive_ns / NS_PER_S));
}

static void connack(struct broker_link *k, const struct wire_packet *connect, bool present, uint8_t code)
{
	uint8_t packet[128], props[96];
	struct writer w = writer_of(packet, sizeof(packet)), pw = writer_of(props, sizeof(props));
	size_t props_bytes;

	if (code == 0 && k->level == 5)
		limits_write(k, connect, &pw);
	props_bytes = (size_t)(pw.at - props);
	write_u8(&w, WIRE_CONNACK << 4);
	write_u8(&w, (uint8_t)(2 + (k->level == 5 ? 1 + props_bytes : 0)));
	write_u8(&w, present);
	write_u8(&w, code);
	if (k->level == 5) {
		write_u8(&w, (uint8_t)props_bytes);
		write_bytes(&w, props, props_bytes);
	}
	say(k, packet, (size_t)(w.at - packet));
}

static void refuse(struct broker_link *k, const struct wire_packet *connect)
{
	static const uint8_t codes5[] = {0x80, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x97, 0x9c, 0x9f};
	static const uint8_t codes4[] = {2, 3, 4, 5};

	sim_covered[COVER_CONNACK_REFUSED]++;
	connack(k, connect, false,
		k->level == 5 ? codes5[sim_below(ARRAY_COUNT(codes5))]
			      : codes4[sim_below(ARRAY_COUNT(codes4))]);
	broker_close(k);
}

static void rubbish(struct broker_link *k)
{
	static const uint8_t odd[][5] = {
		{0xd0, 0}, {0x90, 3, 0, 1, 0}, {0x20, 2, 2, 0}, {0x20, 0}, {0x20, 0xff, 0xff, 0xff, 0xff},
		{0},       {0x40, 2, 0, 1}};
	static const uint8_t sizes[] = {2, 5, 4, 2, 5, 5, 4};
	uint32_t i = sim_below(ARRAY_COUNT(odd));

	sim_covered[COVER_CONNACK_ODD]++;
	say(k, odd[i], sizes[i]);
	if (sim_chance(500))
		broker_close(k);
}

/* A server that has enough: sometimes with a word (MQTT 5), sometimes not. */
static void leave(void *arg, uint64_t value UNUSED)
{
	static const uint8_t codes[] = {0x80, 0x89, 0x8b, 0x8d, 0x98, 0x9c};
	struct broker_link *k = arg;
	uint8_t packet[4] = {WIRE_DISCONNECT << 4, 1, codes[sim_below(ARRAY_COUNT(codes))]};

	if (k->closed || k->state != BROKER_LINK_ONLINE)
		return;
	sim_covered[COVER_SERVER_DISCONNECT]++;
	if (k->level == 5 && sim_chance(700))
		say(k, packet, 3);
	broker_close(k);
}

void broker_welcome(struct broker_link *k, const struct wire_packet *connect)
{
	struct broker *b = k->broker;
	bool present;

	k->state = BROKER_LINK_SILENT;
	b->connect_count++;
	limits_draw(k);
	if (sim_chance(sim.faults.connack_refuse)) {
		refuse(k, connect);
		return;
	}
	if (sim_chance(sim.faults.connack_silent)) {
		sim_covered[COVER_CONNACK_SILENT]++;
		if (sim_chance(300))
			broker_close(k);
		return;
	}
	if (sim_chance(sim.faults.connack_odd)) {
		rubbish(k);
		return;
	}
	/* A session that the client never heard of is not kept: no client could tell it from its old one. */
	if (!b->has_session || !b->session_is_known || connect->clean ||
	    sim_chance(sim.faults.session_lost)) {
		sim_covered[COVER_SESSION_LOST] += b->has_session;
		broker_session_lose(b);
	}
	present = b->has_session;
	b->has_session = true;
	b->has_lowered |= present && (k->qos_max < 2 || k->max_packet_bytes < 1000);
	b->ever_lowered |= k->qos_max < 2;
	sim_covered[COVER_SESSION_KEPT] += present;
	sim_covered[COVER_CONNECTS]++;
	k->session_present = present;
	k->state = BROKER_LINK_ONLINE;
	k->mute = sim_chance(sim.faults.ping_silent);
	if (k->mute) { /* it ends some day even where messages of ours keep the client content */
		sim_covered[COVER_PING_SILENT]++;
		sim_after(sim_between(0, 9 * NS_PER_S), leave, k, 0);
	}
	connack(k, connect, present, 0);
	if (b->flaps && sim.faults.goodbye && sim_chance(900))
		sim_after(sim_between(0, NS_PER_MS / 2), leave, k, 0);
	if (sim_chance(sim.faults.goodbye))
		sim_after(sim_between(0, 3 * NS_PER_S), leave, k, 0);
	broker_inbound_begin(k);
}

/* --- acknowledgements --------------------------------------------------------------------------------------------- */

static void ack_now(void *arg, uint64_t value)
{
	struct broker_link *k = arg;
	enum wire_type type = (enum wire_type)(value >> 24 & 0xff);
	uint8_t packet[8], code = (uint8_t)(value >> 16);
	uint16_t packet_id = (uint16_t)value;

	if (k->closed)
		return;
	broker_acked(k, type, packet_id, code);
	say(k, packet, wire_write_ack(packet, k->level, type, packet_id, code));
}

void broker_ack_later(struct broker_link *k, enum wire_type type, uint16_t packet_id, uint8_t code)
{
	uint64_t most_ns = k->broker->flaps && sim.faults.goodbye ? 5 * NS_PER_S
			   : sim_chance(100)                      ? k->broker->ack_max_ns
								  : NS_PER_MS;
	uint64_t at = sim.now_ns + sim_between(0, most_ns);

	if (k->mute)
		return;
	if (!k->broker->shuffle_acks) { /* [MQTT-4.6.0-2..4] */
		at = max_u64(at, k->ack_last_ns[type & 15]);
		k->ack_last_ns[type & 15] = at;
	}
	sim_at(at, ack_now, k, (uint64_t)type << 24 | (uint64_t)code << 16 | packet_id);
}

uint8_t broker_refusal(const struct broker_link *k)
{
	static const uint8_t codes[] = {0x80, 0x83, 0x87, 0x97, 0x99, 0x10};

	return k->level == 5 && sim_chance(sim.faults.ack_refuse) ? codes[sim_below(ARRAY_COUNT(codes))] : 0;
}

void broker_pong(struct broker_link *k)
{
	static const uint8_t packet[] = {WIRE_PINGRESP << 4, 0};

	if (!k->mute)
		say(k, packet, sizeof(packet));
}

/* --- messages of ours ----------------------------------------------------------------------------------------------- */

static struct broker_inbound *inbound_find(struct broker *b, uint16_t packet_id)
{
	for (uint32_t i = 0; i < b->inbound_count; i++)
		if (b->inbound[i].packet_id == packet_id)
			return &b->inbound[i];
	return NULL;
}

static void inbound_publish(struct broker_link *k, const struct broker_inbound *m, bool dup)
{
	uint8_t packet[64];
	struct writer w = writer_of(packet, sizeof(packet));
	size_t id_bytes = m->qos ? 2 : 0, props_bytes = k->level == 5;

	write_u8(&w, (uint8_t)(WIRE_PUBLISH << 4 | (dup ? 8 : 0) | m->qos << 1));
	write_u8(&w, (uint8_t)(2 + 5 + id_bytes + props_bytes + 4));
	write_u16(&w, 5);
	write_text(&w, "a/set");
	if (m->qos)
		write_u16(&w, m->packet_id);
	if (props_bytes)
		write_u8(&w, 0);
	write_text(&w, "1234");
	say(k, packet, (size_t)(w.at - packet));
}

static void inbound_release(struct broker_link *k, uint16_t packet_id)
{
	uint8_t packet[8];

	say(k, packet, wire_write_ack(packet, k->level, WIRE_PUBREL, packet_id, 0));
}

/* The client promises room for 64, in 5.0 by its Receive Maximum. */
static void inbound_one(struct broker_link *k, uint8_t qos)
{
	struct broker *b = k->broker;
	struct broker_inbound m = {.qos = qos};

	if (m.qos && b->inbound_count < (b->floods && qos == 1 ? BROKER_INBOUND_MAX : 16u)) {
		m.packet_id = ++b->inbound_id ? b->inbound_id : ++b->inbound_id;
		b->inbound[b->inbound_count++] = m;
	} else {
		m.qos = 0;
	}
	sim_covered[COVER_INBOUND]++;
	inbound_publish(k, &m, false);
}

static void inbound_due(void *arg, uint64_t value UNUSED)
{
	struct broker_link *k = arg;
	struct broker *b = k->broker;

	if (k->closed || k->state != BROKER_LINK_ONLINE)
		return;
	for (uint32_t n = b->floods && sim_chance(50) ? (uint32_t)sim_between(1, BROKER_INBOUND_MAX) : 0;
	     n > 0; n--)
		inbound_one(k, 1);
	inbound_one(k, (uint8_t)sim_below(3));
	sim_after(sim_between(0, b->inbound_period_ms) * NS_PER_MS, inbound_due, k, 0);
}

void broker_inbound_begin(struct broker_link *k)
{
	struct broker *b = k->broker;

	for (uint32_t i = 0; i < b->inbound_count; i++) {
		if (b->inbound[i].received)
			inbound_release(k, b->inbound[i].packet_id);
		else
			inbound_publish(k, &b->inbound[i], true);
	}
	if (b->inbound_period_ms)
		sim_after(sim_between(0, b->inbound_period_ms) * NS_PER_MS, inbound_due, k, 0);
}

static bool answers(const struct broker_inbound *m, uint8_t type)
{
	switch (type) {
	case WIRE_PUBACK: return m->qos == 1;
	case WIRE_PUBREC: return m->qos == 2;
	case WIRE_PUBCOMP: return m->qos == 2 && m->received;
	default: return false;
	}
}

bool broker_inbound_ack(struct broker_link *k, const struct wire_packet *p)
{
	struct broker *b = k->broker;
	struct broker_inbound *m = inbound_find(b, p->packet_id);

	if (!m || !answers(m, p->type))
		return false;
	if (p->type == WIRE_PUBREC) {
		m->received = true;
		inbound_release(k, m->packet_id);
	} else {
		*m = b->inbound[--b->inbound_count];
	}
	return true;
}
