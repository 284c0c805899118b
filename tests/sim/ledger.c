#include "tests/sim/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void ledger_free(struct ledger *l)
{
	free(l->messages);
	*l = (struct ledger){0};
}

void ledger_check_drained(const struct ledger *l)
{
	for (size_t i = 0; i < l->room && !sim.failed; i++) {
		const struct ledger_message *m = &l->messages[i];

		if (m->key && m->qos > 0 && m->delivered_count + m->refused_count == 0)
			sim_fail("%s: a message of QoS %u was lost with connection %u, and never came again "
				 "[MQTT-4.4.0-1]",
				 m->what, m->qos, m->link_id);
	}
}

void ledger_mark(struct ledger *l)
{
	for (size_t i = 0; i < l->room; i++)
		l->messages[i].late = false;
	l->late_count = 0;
	l->late_value_min = 1e300;
}

static uint64_t fold(uint64_t hash, struct bytes b)
{
	for (size_t i = 0; i < b.size; i++)
		hash = (hash ^ b.ptr[i]) * 0x100000001b3ull;
	return hash;
}

uint64_t ledger_key(struct bytes topic, struct bytes payload)
{
	uint64_t hash = fold(fold(0xcbf29ce484222325ull, topic) * 31, payload);

	return hash ? hash : 1;
}

static struct ledger_message *place(const struct ledger *l, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15ull) & (l->room - 1);

	while (l->messages[i].key && l->messages[i].key != key)
		i = (i + 1) & (l->room - 1);
	return &l->messages[i];
}

const struct ledger_message *ledger_find(const struct ledger *l, uint64_t key)
{
	const struct ledger_message *m = l->room ? place(l, key) : NULL;

	return m && m->key && m->seen ? m : NULL;
}

static void grow(struct ledger *l)
{
	struct ledger old = *l;

	if (2 * (l->count + l->excused_count + 1) < l->room)
		return;
	l->room = old.room ? 2 * old.room : 1024;
	l->messages = calloc(l->room, sizeof(l->messages[0]));
	ASSERT(l->messages);
	for (size_t i = 0; i < old.room; i++)
		if (old.messages[i].key)
			*place(l, old.messages[i].key) = old.messages[i];
	free(old.messages);
}

void ledger_excuse(struct ledger *l, uint64_t key)
{
	struct ledger_message *m;

	grow(l);
	m = place(l, key);
	l->excused_count += !m->key;
	m->key = key;
	m->may_repeat = true;
}

bool ledger_excused(const struct ledger *l, uint64_t key)
{
	const struct ledger_message *m = l->room ? place(l, key) : NULL;

	return m && m->key && m->may_repeat;
}

/* --- order within a topic --------------------------------------------------------------------------------------- */

static double number_after(const char *text, const char *mark)
{
	const char *at = mark ? strstr(text, mark) : text;

	return at ? strtod(at + (mark ? strlen(mark) : 0), NULL) : 0;
}

static void time_after(const char *text, char out[static 40])
{
	const char *at = strstr(text, "\"ts\":\"");

	out[0] = '\0';
	if (at)
		snprintf(out, 40, "%.*s", (int)strcspn(at + 6, "\""), at + 6);
}

static struct ledger_channel *channel_of(struct ledger *l, struct bytes topic)
{
	uint64_t key = fold(0x84222325ull, topic) | 1;
	size_t i = key % LEDGER_CHANNELS_MAX;

	for (size_t n = 0; n < LEDGER_CHANNELS_MAX; n++, i = (i + 1) % LEDGER_CHANNELS_MAX)
		if (l->channels[i].key == key || !l->channels[i].key)
			break;
	l->channels[i].key = key;
	return &l->channels[i];
}

static void check_order(struct ledger *l, const struct ledger_sight *s, const char *text, double value)
{
	struct ledger_channel *ch = channel_of(l, s->topic);
	char ts[40];
	int later;

	time_after(text, ts);
	later = strcmp(ts, ch->last_ts);
	if (later < 0 || (later == 0 && value < ch->last_value))
		sim_fail("order: %.*s came after ts=%s value=%.3f: %.120s", (int)s->topic.size,
			 (const char *)s->topic.ptr, ch->last_ts, ch->last_value, text);
	snprintf(ch->last_ts, sizeof(ch->last_ts), "%s", ts);
	ch->last_value = value;
}

/* A register of the Modbus TCP device says its own address in its upper bits: a late answer must not be taken for
 * another's. */
static void check_register(const char *text, double value)
{
	const char *at = strstr(text, "\"tag\":\"mt.a");

	if (at && strstr(text, "\"good\"") && (uint64_t)value >> 20 != strtoull(at + 11, NULL, 10))
		sim_fail("a register's value under another's name: %s", text);
}

/* --- what QoS promises -------------------------------------------------------------------------------------------- */

static void check_again(const struct ledger_message *m, const struct ledger_sight *s, const char *text)
{
	if (m->link_id == s->link_id)
		sim_fail("sent twice on one connection: %.120s", text);
	if (s->qos == 0 && m->qos == 0)
		sim_fail("QoS 0 message sent twice: %.120s", text);
	if (s->qos == 2 && m->qos == 2 && !s->lowered && m->delivered_count &&
	    m->delivered_epoch == s->epoch && s->fate == LEDGER_DELIVERED)
		sim_fail("QoS 2 message delivered twice in one session: %.120s", text);
}

const struct ledger_message *ledger_see(struct ledger *l, const struct ledger_sight *s)
{
	char text[256];
	struct ledger_message *m;
	bool at_broker, known;

	l->delivered_count += s->fate == LEDGER_DELIVERED;
	if (s->topic.size && s->topic.ptr[0] == 'w') {
		l->has_weak = true;
		return NULL;
	}
	snprintf(text, sizeof(text), "%.*s", (int)min_size(s->payload.size, 250),
		 (const char *)s->payload.ptr);
	for (char *c = text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	grow(l);
	m = place(l, ledger_key(s->topic, s->payload));
	at_broker = m->delivered_count + m->refused_count > 0;
	known = m->key && m->seen;
	if (known && (s->may_repeat || m->may_repeat)) {
		l->repeated_count++;
	} else if (known) {
		check_again(m, s, text);
	} else {
		*m = (struct ledger_message){
			.key = ledger_key(s->topic, s->payload),
			.seen = true,
			.may_repeat = m->may_repeat,
			.first_seq = l->seq_next++,
			.value = number_after(text, text[0] == '{' ? "\"value\":" : NULL),
			.late = true};
		snprintf(m->what, sizeof(m->what), "%.50s", text);
		l->count++;
		l->late_count++;
		if (m->value < l->late_value_min)
			l->late_value_min = m->value;
	}
	check_register(text, m->value);
	if (s->fate != LEDGER_GHOST && !at_broker && !s->unordered && !m->may_repeat &&
	    s->topic.ptr[0] == 's')
		check_order(l, s, text, m->value);
	m->may_repeat |= s->may_repeat;
	m->delivered_count += s->fate == LEDGER_DELIVERED;
	m->refused_count += s->fate == LEDGER_REFUSED;
	m->ghost_count += s->fate == LEDGER_GHOST;
	m->epoch = s->epoch;
	if (s->fate == LEDGER_DELIVERED)
		m->delivered_epoch = s->epoch;
	m->link_id = s->link_id;
	m->qos = s->qos;
	return m;
}
