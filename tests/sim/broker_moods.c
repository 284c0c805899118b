/* What no server may say, and what every client must make of it; and servers that send their client elsewhere. */
#include <stdio.h>

#include "tests/sim/broker_priv.h"

#define ANSWER_NS \
	(4 * NS_PER_S) /* for our words to arrive and for the client's, on any path that is not slow */

/* --- rules broken ---------------------------------------------------------------------------------------------------- */

struct mood {
	uint8_t bytes[24];
	uint8_t size;
	uint8_t level;      /* 0: both */
	uint8_t reasons[3]; /* of the client's DISCONNECT, v5 [MQTT-4.13.1-1] */
	bool alias_above;   /* bytes 6, 7 become an alias above the maximum */
};

enum { MOOD_ALIAS = 0 };
static const struct mood moods[] = {
	{{0x30, 7, 0, 0, 3, 35, 0, 1, 'x'}, 9, 5, {0x82, 0x94}, false}, /* an alias never announced */
	{{0xf0, 2, 0x18, 0}, 4, 5, {0x82, 0x81}, false},          /* AUTH without a method [MQTT-4.12.0-6] */
	{{0xf0, 0}, 2, 4, {0}, false},                            /* a type that 3.1.1 does not have */
	{{0x90, 4, 0xff, 0xf0, 0, 0}, 6, 5, {0x82, 0x81}, false}, /* SUBACK for nothing */
	{{0x90, 3, 0xff, 0xf0, 0}, 5, 4, {0}, false},             /* the same */
	{{0xb0, 4, 0xff, 0xf1, 0, 0}, 6, 5, {0x82, 0x81}, false}, /* UNSUBACK for nothing */
	{{0x30, 9, 0, 1, 'm', 3, 35, 0, 1, 'x', 'y'},
	 11,
	 5,
	 {0x94},
	 true}, /* one above the maximum [MQTT-3.1.2-26] */
	{{0x36, 6, 0, 1, 'm', 0, 7, 0}, 8, 0, {0x81, 0x82}, false}, /* QoS 3 [MQTT-3.3.1-4] */
	{{0x30, 6, 0, 1, '#', 0, 'x', 'y'},
	 8,
	 0,
	 {0x81, 0x82, 0x90},
	 false},                                         /* a wildcard in a name [MQTT-3.3.2-2] */
	{{0x10, 2, 0, 0}, 4, 0, {0x81, 0x82}, false},    /* CONNECT from a server */
	{{0x20, 3, 0, 0, 0}, 5, 5, {0x81, 0x82}, false}, /* a second CONNACK */
	{{0x20, 2, 0, 0}, 4, 4, {0}, false},             /* the same */
	{{0x62, 2, 0, 0}, 4, 0, {0x81, 0x82}, false},    /* PUBREL of identifier 0 */
};

static void must_be_gone(void *arg, uint64_t value UNUSED)
{
	struct broker_link *k = arg;

	if (!k->closed && k->state == BROKER_LINK_ONLINE && !conn_was_slow(k->conn))
		broker_violation(k, "goes on with a server that has broken a rule [MQTT-4.13.1-1]");
}

static void misbehaved(struct broker_link *k, const uint8_t reasons[static 3])
{
	k->misbehaved = true;
	k->session->spoilt = true;
	memcpy(k->reasons, reasons, sizeof(k->reasons));
	sim_after(ANSWER_NS, must_be_gone, k, 0);
}

/* More QoS 2 messages at a time than the client has room for. */
static void exceed(struct broker_link *k)
{
	static const uint8_t reasons[3] = {0x93};
	/* What it had of an earlier connection may be beside that, also when it is through: we count from 0 on each (4.9), and
	 * its last acknowledgement gives us room for one more. */
	uint32_t count = k->client_receive_max + 1 + k->under_way_before;
	for (uint32_t i = 0; i < k->session->copy_count; i++)
		count += k->session->copies[i].state != BROKER_COPY_QUEUED;
	uint8_t packet[] = {0x34, 7, 0, 1, 'm', 0, 0, 0, 'x'};

	sim_trace("broker %u exceeds the receive maximum: %u at a time", k->id, count);
	for (uint32_t i = 0; i < count; i++) {
		uint16_t id = (uint16_t)(30000 + i);

		packet[5] = (uint8_t)(id >> 8);
		packet[6] = (uint8_t)id;
		broker_say(k, packet, sizeof(packet));
	}
	misbehaved(k, reasons);
	sim_covered[COVER_MOOD_EXCEED]++;
}

/* On this connection; the client must not know it from another [MQTT-3.3.2-7]. 0: there is none. */
static uint16_t alias_never_said(const struct broker_link *k)
{
	for (uint32_t i = 1; i <= k->client_alias_max; i++)
		if (!k->said_aliases[i][0])
			return (uint16_t)i;
	return 0;
}

static void mood_due(void *arg, uint64_t value UNUSED)
{
	struct broker_link *k = arg;
	const struct mood *m = &moods[sim_below(ARRAY_COUNT(moods))];
	uint8_t bytes[24];

	if (k->closed || k->leaving || k->state != BROKER_LINK_ONLINE || k->misbehaved || !sim.faults.mood)
		return;
	if (k->level == 5 && k->client_receive_max < 100 && sim_chance(200)) {
		exceed(k);
		return;
	}
	uint16_t alias = alias_never_said(k);

	if (k->level == 5 && alias && sim_chance(300))
		m = &moods[MOOD_ALIAS];
	if ((m->level && m->level != k->level) || (m->alias_above && k->client_alias_max == 0) ||
	    (m == &moods[MOOD_ALIAS] && !alias))
		return;
	memcpy(bytes, m->bytes, sizeof(bytes));
	if (m == &moods[MOOD_ALIAS])
		bytes[7] = (uint8_t)alias;
	if (m->alias_above) {
		bytes[7] = (uint8_t)((k->client_alias_max + 1) >> 8);
		bytes[8] = (uint8_t)(k->client_alias_max + 1);
	}
	sim_trace("broker %u breaks a rule: %02x", k->id, bytes[0]);
	broker_say(k, bytes, m->size);
	misbehaved(k, m->reasons);
	sim_covered[COVER_MOOD]++;
}

void broker_mood_later(struct broker_link *k)
{
	if (sim_chance(sim.faults.mood))
		sim_after(sim_between(0, 2 * NS_PER_S), mood_due, k, 0);
}

void broker_check_goodbye(struct broker_link *k, const struct wire_packet *p)
{
	bool fits = false;

	for (uint32_t i = 0; i < ARRAY_COUNT(k->reasons); i++)
		fits |= k->reasons[i] && p->code == k->reasons[i];
	if (k->level == 5 && k->misbehaved && fits)
		sim_covered[COVER_MOOD_ANSWERED]++;
	/* It may have meant to leave before it read our words. */
	if (k->level == 5 && k->misbehaved && !fits && p->code != 0 && p->code != 4)
		sim_fail("%s (connection %u): DISCONNECT with reason %02x, not %02x [MQTT-4.13.1-1]",
			 k->broker->names[0], k->id, p->code, k->reasons[0]);
	if (k->level == 5 && !k->misbehaved && p->code >= 0x80)
		sim_fail("%s (connection %u): DISCONNECT with reason %02x, and we have broken no rule",
			 k->broker->names[0], k->id, p->code);
}

/* --- elsewhere -------------------------------------------------------------------------------------------------------- */

#define REDIRECTS_MAX 12 /* in a row: two names of a list, each with what is followed from there */
#define PAUSE_NS      (40 * NS_PER_MS)

/* A client that follows pauses some time; what we can tell from the path's own latency is a pause of PAUSE_NS. */
static void check_redirects(struct broker_link *k)
{
	struct broker *b = k->broker;

	if (sim.now_ns - b->redirect_ns >= PAUSE_NS)
		b->redirect_count = 0;
	b->redirect_ns = sim.now_ns;
	if (++b->redirect_count > REDIRECTS_MAX && b->expect.base_ms * NS_PER_MS / 2 > PAUSE_NS)
		broker_violation(k, "follows redirections without a pause");
}

static void write_string_prop(struct writer *w, uint8_t id, const char *text)
{
	write_u8(w, id);
	write_u16(w, (uint16_t)strlen(text));
	write_text(w, text);
}

/* CONNACK or DISCONNECT with 0x9C or 0x9D and where to go. */
static void redirect(struct broker_link *k, bool connack)
{
	struct broker *b = k->broker;
	char text[80];
	uint8_t packet[128], props[96];
	struct writer w = writer_of(packet, sizeof(packet)), pw = writer_of(props, sizeof(props));
	const char *other = b->names[b->service_count > 1 ? k->name_idx ^ 1 : 0];

	switch (b->leads_in_circles ? 5 : sim_below(6)) {
	case 0: snprintf(text, sizeof(text), "nobody.sim:1883"); break;
	case 1: snprintf(text, sizeof(text), ":::x y%%z"); break;
	case 2: snprintf(text, sizeof(text), "%s", other); break;
	case 3: snprintf(text, sizeof(text), "nobody.sim %s:1883", other); break;
	default: snprintf(text, sizeof(text), "%s:1883", other); break;
	}
	if (b->leads_in_circles || sim_chance(900))
		write_string_prop(&pw, 28, text);
	write_u8(&w, (uint8_t)(connack ? WIRE_CONNACK << 4 : WIRE_DISCONNECT << 4));
	write_u8(&w, (uint8_t)((connack ? 3 : 2) + (pw.at - props)));
	if (connack)
		write_u8(&w, 0);
	write_u8(&w, sim_chance(500) ? 0x9c : 0x9d);
	write_u8(&w, (uint8_t)(pw.at - props));
	write_bytes(&w, props, (size_t)(pw.at - props));
	ASSERT(!w.failed && !pw.failed);
	sim_trace("broker %u redirects to %s", k->id, text);
	broker_say(k, packet, (size_t)(w.at - packet));
	sim_covered[COVER_REDIRECTED]++;
	check_redirects(k);
	k->leaving = true;
	broker_close(k);
}

static void redirect_due(void *arg, uint64_t value UNUSED)
{
	struct broker_link *k = arg;

	if (!k->closed && !k->leaving && k->state == BROKER_LINK_ONLINE && sim.faults.redirect)
		redirect(k, false);
}

bool broker_redirects(struct broker_link *k)
{
	if (k->level != 5 || !sim_chance(sim.faults.redirect))
		return false;
	if (k->broker->leads_in_circles || sim_chance(900)) {
		redirect(k, true);
		return true;
	}
	sim_after(sim_between(0, 2 * NS_PER_S), redirect_due, k, 0);
	return false;
}
