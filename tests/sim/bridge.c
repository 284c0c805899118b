#include "tests/sim/bridge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BROKERS_MAX 4

struct number {
	struct broker *broker;
	uint32_t news_idx;
};

struct taken {
	struct broker *broker;
	uint32_t news_idx, sub_idx;
};

static struct broker *brokers[BROKERS_MAX];
static uint32_t broker_count;
static struct number *numbers;
static size_t number_count, number_room;
static struct taken *takens;
static size_t taken_count, taken_room;

/* The last number passed on: by target, subscription, QoS and topic, in a table with open places. */
struct order {
	uint64_t key;
	double number;
};
#define ORDERS_MAX 1024
static struct order orders[ORDERS_MAX];

void bridge_begin(void)
{
	broker_count = 0;
	number_count = taken_count = 0;
	memset(orders, 0, sizeof(orders));
}

void bridge_end(void)
{
	free(numbers);
	free(takens);
	numbers = NULL;
	takens = NULL;
	number_count = number_room = taken_count = taken_room = 0;
}

void bridge_add(struct broker *b)
{
	ASSERT(broker_count < BROKERS_MAX);
	brokers[broker_count++] = b;
}

double bridge_number(struct broker *b, uint32_t news_idx)
{
	if (number_count == number_room) {
		number_room = number_room ? 2 * number_room : 256;
		numbers = realloc(numbers, number_room * sizeof(numbers[0]));
		ASSERT(numbers);
	}
	numbers[number_count++] = (struct number){b, news_idx};
	return (double)number_count;
}

void bridge_taken(struct broker *b, uint32_t news_idx, uint32_t sub_mask)
{
	for (uint32_t i = 0; i < b->expect.sub_count; i++) {
		if (!(sub_mask & 1u << i) || b->expect.subs[i].forward_target == EXPECT_NOBODY)
			continue;
		if (taken_count == taken_room) {
			taken_room = taken_room ? 2 * taken_room : 256;
			takens = realloc(takens, taken_room * sizeof(takens[0]));
			ASSERT(takens);
		}
		takens[taken_count++] = (struct taken){b, news_idx, i};
	}
}

void bridge_refused(const struct broker *b, uint32_t sub_idx)
{
	size_t kept = 0;

	for (size_t i = 0; i < taken_count; i++)
		if (takens[i].broker != b || takens[i].sub_idx != sub_idx)
			takens[kept++] = takens[i];
	taken_count = kept;
}

void bridge_crashed(void)
{
	taken_count = 0;
}

/* --- topics --------------------------------------------------------------------------------------------------------- */

/* What the filter's nth wildcard (from 1) stands for. */
static struct bytes wildcard(struct bytes filter, struct bytes topic, uint32_t nth)
{
	size_t f = 0, t = 0;

	while (f < filter.size) {
		size_t level = t;

		while (level < topic.size && topic.ptr[level] != '/')
			level++;
		if (filter.ptr[f] == '#')
			return nth == 1 ? bytes_of(topic.ptr + t, topic.size - t) : bytes_of(NULL, 0);
		if (filter.ptr[f] == '+' && --nth == 0)
			return bytes_of(topic.ptr + t, level - t);
		while (f < filter.size && filter.ptr[f] != '/')
			f++;
		f++;
		t = level < topic.size ? level + 1 : level;
	}
	return bytes_of(NULL, 0);
}

static size_t forward_topic(const struct expect_sub *s, const char *topic, char *out, size_t room)
{
	struct writer w = writer_of(out, room);

	for (const char *at = s->forward_topic; *at;) {
		if (memcmp(at, "{topic}", 7) == 0) {
			write_text(&w, topic);
			at += 7;
		} else if (memcmp(at, "{definition}", 12) == 0) {
			write_text(&w, s->name);
			at += 12;
		} else if (at[0] == '{' && at[2] == '}') {
			struct bytes b = wildcard(expect_filter(s), bytes_of_text(topic),
						  (uint32_t)(at[1] - '0'));

			write_bytes(&w, b.ptr, b.size);
			at += 3;
		} else {
			write_u8(&w, (uint8_t)*at++);
		}
	}
	ASSERT(!w.failed);
	return (size_t)(w.at - (uint8_t *)out);
}

/* --- what comes ----------------------------------------------------------------------------------------------------- */

static uint64_t number_in(struct bytes payload)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < payload.size && (payload.ptr[i] < '0' || payload.ptr[i] > '9'))
		i++;
	for (; i < payload.size && payload.ptr[i] >= '0' && payload.ptr[i] <= '9' && n < number_count; i++)
		n = n * 10 + (uint64_t)(payload.ptr[i] - '0');
	return n;
}

static const struct expect_sub *sub_named(const struct broker *b, struct bytes name)
{
	for (uint32_t i = 0; i < b->expect.sub_count; i++)
		if (bytes_equal(name, bytes_of_text(b->expect.subs[i].name)))
			return &b->expect.subs[i];
	return NULL;
}

static void check_props(struct broker *b, uint8_t level, const struct broker *from,
			const struct broker_news *n, const struct wire_packet *p)
{
	bool both = level == 5 && from->expect.level == 5;

	if (strcmp(p->told, both ? n->told : "") != 0)
		sim_fail("%s: passed on with other properties: \"%s\", not \"%s\"", b->names[0], p->told,
			 both ? n->told : "");
	if (p->props.has_expiry != (both && n->expiry_s > 0))
		sim_fail("%s: passed on with an expiry where there was none, or without it", b->names[0]);
	if (p->props.has_expiry && (p->props.expiry_s == 0 || p->props.expiry_s > n->expiry_s))
		sim_fail("%s: passed on with an expiry of %u s, it came with %u", b->names[0],
			 p->props.expiry_s, n->expiry_s);
}

/* A subscription's messages of one topic and QoS come in the order in which they were published [MQTT-4.6.0-5]. */
static void check_order(struct broker *b, const struct broker *from, const struct broker_news *n,
			uint32_t sub_idx, const struct wire_packet *p)
{
	uint64_t key = ledger_key(p->topic, bytes_of_text("")) ^ ((uint64_t)b->target_idx << 60) ^
		       ((uint64_t)from->target_idx << 50) ^ ((uint64_t)sub_idx << 56) ^
		       ((uint64_t)n->qos << 54) ^ ((uint64_t)n->retain << 53);
	size_t i = key % ORDERS_MAX;

	for (size_t tries = 0; tries < ORDERS_MAX && orders[i].key && orders[i].key != key; tries++)
		i = (i + 1) % ORDERS_MAX;
	/* What is replayed has an order of its own, and may not be marked. */
	if (orders[i].key == key && n->number < orders[i].number && !b->account.live_first)
		sim_fail("%s: message %.0f is passed on after %.0f [MQTT-4.6.0-5]", b->names[0], n->number,
			 orders[i].number);
	orders[i] = (struct order){key, n->number};
}

bool bridge_check(struct broker *b, uint8_t level, const struct wire_packet *p, bool *may_repeat)
{
	struct bytes name = {.ptr = p->topic.ptr + 3};
	const struct expect_sub *s;
	const struct broker_news *n;
	struct broker *from;
	uint64_t number = number_in(p->payload);
	char topic[128];
	uint32_t sub_idx;

	if (p->topic.size < 4 || memcmp(p->topic.ptr, "fw/", 3) != 0)
		return false;
	if (number == 0 || number > number_count) {
		sim_fail("%s: passed on what nobody has published", b->names[0]);
		return true;
	}
	while (name.ptr + name.size < p->topic.ptr + p->topic.size && name.ptr[name.size] != '/')
		name.size++;
	from = numbers[number - 1].broker;
	n = &from->news[numbers[number - 1].news_idx];
	s = sub_named(from, name);
	if (!s || s->forward_target != b->target_idx) {
		sim_fail("%s: message %lu is passed on by nobody's wish: %.*s", b->names[0], number,
			 (int)p->topic.size, (const char *)p->topic.ptr);
		return true;
	}
	sub_idx = (uint32_t)(s - from->expect.subs);
	if (!bytes_equal(p->topic, bytes_of(topic, forward_topic(s, n->topic, topic, sizeof(topic)))))
		sim_fail("%s: message %lu of %s is passed on as %.*s", b->names[0], number, n->topic,
			 (int)p->topic.size, (const char *)p->topic.ptr);
	if (!bytes_equal(p->payload, bytes_of(n->payload, n->payload_bytes)))
		sim_fail("%s: message %lu has another payload", b->names[0], number);
	check_props(b, level, from, n, p);
	*may_repeat = n->repeat_mask & 1u << sub_idx;
	if (!*may_repeat && !p->dup && !ledger_find(&b->ledger, ledger_key(p->topic, p->payload)) &&
	    !ledger_excused(&b->ledger, ledger_key(p->topic, p->payload)))
		check_order(b, from, n, sub_idx, p);
	sim_covered[COVER_FORWARDED]++;
	return true;
}

/* --- when all is quiet ------------------------------------------------------------------------------------------------ */

void bridge_check_drained(const struct broker *b, bool ring_lost)
{
	size_t kept = 0;
	char topic[128];

	for (size_t i = 0; i < taken_count; i++) {
		const struct taken *t = &takens[i];
		const struct expect_sub *s = &t->broker->expect.subs[t->sub_idx];
		const struct broker_news *n = &t->broker->news[t->news_idx];

		if (s->forward_target != b->target_idx) {
			takens[kept++] = *t;
			continue;
		}
		if (ring_lost || s->gone)
			continue;
		struct bytes name = bytes_of(topic, forward_topic(s, n->topic, topic, sizeof(topic)));

		if (!ledger_find(&b->ledger, ledger_key(name, bytes_of(n->payload, n->payload_bytes))))
			sim_fail("%s: message %.0f (%s, QoS %u) was acknowledged and not passed on by %s",
				 b->names[0], n->number, n->topic, n->qos, s->name);
		else
			sim_covered[COVER_FORWARD_EXACT]++;
	}
	taken_count = kept;
}

static void check_tag(const struct broker *b, uint32_t sub_idx, const struct tag_table *tags)
{
	const struct expect_sub *s = &b->expect.subs[sub_idx];
	uint64_t from = b->taken_order[sub_idx];
	struct tag_sample sample;
	double value;

	if (from == 0 || s->gone)
		return;
	sample = tag_read(tags, s->tag_idx);
	value = value_as_double(sample.value);
	for (uint32_t i = b->sight_count; i > 0; i--) {
		const struct broker_sight *seen = &b->sights[i - 1];

		if (seen->order < from)
			break;
		if ((seen->sub_mask & 1u << sub_idx) && sample.valued &&
		    fabs(b->news[seen->news_idx].number - value) < 0.5) {
			sim_covered[COVER_TAGS_RIGHT]++;
			return;
		}
	}
	sim_fail("%s: %s is %.0f, and the message that %s had last is another", b->names[0], s->tag,
		 sample.valued ? value : -1, s->name);
}

void bridge_check_tags(const struct broker *b, const struct tag_table *tags)
{
	for (uint32_t i = 0; i < b->expect.sub_count && !sim.failed; i++)
		if (b->expect.subs[i].tag_idx != EXPECT_NOBODY)
			check_tag(b, i, tags);
}
