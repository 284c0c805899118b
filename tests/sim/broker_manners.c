/* What the broker says: its welcome and limits, acknowledgements early and late, messages of its own, its moods. */
#include "tests/sim/broker_priv.h"

void broker_say(struct broker_link *k, const void *bytes, size_t size_bytes)
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

static void prop_not(struct writer *w, uint8_t id, bool available)
{
	if (available && !sim_chance(100)) /* to say that it is there is the same as to say nothing */
		return;
	write_u8(w, id);
	write_u8(w, available);
}

static void limits_draw(struct broker_link *k)
{
	const struct broker *b = k->broker;

	k->receive_max = 65535;
	k->max_packet_bytes = UINT32_MAX;
	k->qos_max = 2;
	k->retain_available = true;
	k->wildcards = k->shared = true;
	k->subscription_ids = k->level == 4 || !b->without_ids; /* a session has all of one kind */
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
	if (sim_chance(80))
		k->wildcards = false;
	if (sim_chance(80))
		k->shared = false;
	if (b->small_packets && sim_chance(500))
		k->max_packet_bytes = (uint32_t)(sim_chance(500) ? sim_between(8, 16) : sim_between(60, 400));
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
	prop_not(w, 37, k->retain_available);
	prop_not(w, 40, k->wildcards);
	prop_not(w, 41, k->subscription_ids);
	prop_not(w, 42, k->shared);
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
	broker_say(k, packet, (size_t)(w.at - packet));
}

static void refuse(struct broker_link *k, const struct wire_packet *connect)
{
	static const uint8_t codes5[] = {0x80, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x97, 0x9f};
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
	broker_say(k, odd[i], sizes[i]);
	if (sim_chance(500))
		broker_close(k);
}

/* A server that has enough: sometimes with a word (MQTT 5), sometimes not. */
static void leave(void *arg, uint64_t value UNUSED)
{
	static const uint8_t codes[] = {0x80, 0x89, 0x8b, 0x8d, 0x98};
	struct broker_link *k = arg;
	uint8_t packet[4] = {WIRE_DISCONNECT << 4, 1, codes[sim_below(ARRAY_COUNT(codes))]};

	if (k->closed || k->state != BROKER_LINK_ONLINE)
		return;
	sim_covered[COVER_SERVER_DISCONNECT]++;
	if (k->level == 5 && sim_chance(700))
		broker_say(k, packet, 3);
	k->leaving = true;
	broker_close(k);
}

void broker_welcome(struct broker_link *k, const struct wire_packet *connect)
{
	struct broker *b = k->broker;
	struct broker_session *s = k->session;
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
	if (broker_redirects(k))
		return;
	/* A session that the client never heard of is not kept: no client could tell it from its old one. */
	if (!s->exists || !s->is_known || connect->clean || sim_chance(sim.faults.session_lost)) {
		sim_covered[COVER_SESSION_LOST] += s->exists;
		broker_session_lose(b, s);
	}
	present = s->exists;
	s->exists = true;
	b->must_be_clean &= present;
	for (uint32_t i = 0; i < EXPECT_SUBS_MAX; i++) /* on each connection it may ask again */
		s->subs[i].excused = false;
	s->has_lowered |= present && (k->qos_max < 2 || (b->expect.refuses && !k->retain_available) ||
				      k->max_packet_bytes < 1000);
	b->ever_lowered |= k->qos_max < 2 || !k->retain_available;
	b->redirect_count = 0;
	sim_covered[COVER_SESSION_KEPT] += present;
	sim_covered[COVER_CONNECTS]++;
	k->session_present = present;
	k->accepted_ns = sim.now_ns;
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
	broker_mood_later(k);
	broker_news_begin(k);
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
	broker_say(k, packet, wire_write_ack(packet, k->level, type, packet_id, code));
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
		broker_say(k, packet, sizeof(packet));
}
