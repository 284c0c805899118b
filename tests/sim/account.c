#include "tests/sim/account.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/broker_priv.h"
#include "tests/sim/clock_sim.h"

#define IN_TRANSIT_NS NS_PER_S /* what was made since may be on its way with QoS 0 */

void account_end(struct account *a)
{
	for (uint32_t i = 0; i < RING_LANES_MAX; i++)
		free(a->lanes[i].numbers);
	free(a->gaps);
	*a = (struct account){0};
}

static struct account_number *number_at(struct account *a, uint64_t lane, uint64_t sequence)
{
	if (lane >= RING_LANES_MAX || sequence == 0 || sequence > a->lanes[lane].count)
		return NULL;
	return &a->lanes[lane].numbers[sequence - 1];
}

/* --- each step ----------------------------------------------------------------------------------------------------- */

static void numbers_add(struct account_lane *lane, uint64_t committed, uint64_t update)
{
	if (committed > lane->room) {
		lane->room = max_u64(2 * lane->room, committed + 256);
		lane->numbers = realloc(lane->numbers, lane->room * sizeof(lane->numbers[0]));
		ASSERT(lane->numbers);
	}
	while (lane->count < committed)
		lane->numbers[lane->count++] = (struct account_number){
			.made_ns = sim.now_ns, .update = update++, .value = NAN};
}

/* Each update of syn0 is a message, or none of them is: there was no room, or nobody wanted it. */
static void updates_follow(struct account *a, uint64_t committed)
{
	uint64_t made = committed - a->lanes[0].count;

	if (made && made != a->updates - a->updates_numbered)
		a->is_single = false;
	numbers_add(&a->lanes[0], committed, a->updates_numbered);
	a->updates_numbered = a->updates;
}

static void hold(struct account *a, const struct ring_record *rec)
{
	struct account_number *n = number_at(a, rec->lane_idx, rec->sequence);

	if (n)
		n->flags |= ACCOUNT_HELD;
}

static void hold_all(struct account *a, const struct target *t)
{
	for (uint32_t id = 1; id <= t->session.inflight.room; id++) {
		const struct mqtt_inflight_entry *e = &t->session.inflight.entries[id];

		if (e->state == MQTT_INFLIGHT_PUBLISHED_1 || e->state == MQTT_INFLIGHT_PUBLISHED_2)
			hold(a, e->token);
	}
	for (uint32_t i = 0; i < t->waiting_count; i++)
		hold(a, t->waiting[i]);
	for (uint32_t i = 0; i < t->batch_count; i++)
		hold(a, t->batch[i]);
}

static uint64_t lost_count(const struct target *t)
{
	const struct target_metrics *m = &t->metrics;

	return counter_get(&m->lost_overwritten) + counter_get(&m->lost_expired) +
	       counter_get(&m->lost_refused) + counter_get(&m->lost_oversized) +
	       counter_get(&m->lost_no_room) + counter_get(&m->lost_thinned);
}

/* Gaps grow while they are not told, and leave the table. */
static void gaps_read(struct account *a, const struct target *t)
{
	uint64_t newest = loss_newest(t->losses), lost = lost_count(t);

	if (lost == a->lost_count)
		return;
	a->lost_count = lost;
	if (newest > a->gap_room) {
		a->gap_room = 2 * newest + 64;
		a->gaps = realloc(a->gaps, a->gap_room * sizeof(a->gaps[0]));
		ASSERT(a->gaps);
	}
	if (newest > a->gap_count + LOSS_GAPS_MAX)
		sim_fail("%s: more gaps in a step than the ledger has room for", a->name);
	for (uint64_t n = newest > LOSS_GAPS_MAX ? newest - LOSS_GAPS_MAX + 1 : 1; n <= newest; n++)
		if (!loss_read(t->losses, n, &a->gaps[n - 1]))
			sim_fail("%s: gap %lu of %lu cannot be read", a->name, n, newest);
	a->gap_count = newest;
}

void account_step(struct account *a, const struct target *t)
{
	bool connected = target_state(t) == TARGET_CONNECTED;

	if (!a->is_on)
		return;
	updates_follow(a, ring_lane_committed(t->ring, 0));
	for (uint32_t i = 1; i < ring_lane_count(t->ring); i++)
		numbers_add(&a->lanes[i], ring_lane_committed(t->ring, i), 0);
	gaps_read(a, t);
	if (a->was_connected && !connected)
		hold_all(a, t);
	if (connected && !a->was_connected) {
		a->live_from_ns = sim.now_ns;
		a->marked_count = a->live_count = 0;
		a->outage = a->outage == ACCOUNT_AWAY ? ACCOUNT_FIRST_BACK : ACCOUNT_ANY;
	}
	a->was_connected = connected;
}

/* --- what the server sees -------------------------------------------------------------------------------------------- */

static bool find_u64(const char *text, const char *name, uint64_t *out)
{
	const char *at = NULL;

	for (const char *next = text; (next = strstr(next, name)); next += strlen(name))
		at = next + strlen(name);
	if (at)
		*out = strtoull(at, NULL, 10);
	return at;
}

static void check_told(struct account *a, const char *text)
{
	struct loss_gap said = {0};
	uint64_t source;
	char reason[24];
	const char *at = strstr(text, "\"reason\":\"");

	if (!find_u64(text, "\"source\":", &source) || !at)
		return; /* without numbers */
	snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
	(void)find_u64(text, "\"first\":", &said.first);
	(void)find_u64(text, "\"last\":", &said.last);
	(void)find_u64(text, "\"count\":", &said.count);
	for (uint64_t i = 0; i < a->gap_count; i++) {
		const struct loss_gap *g = &a->gaps[i];

		if (g->lane_idx == source && g->first == said.first && g->last == said.last &&
		    g->count == said.count && strcmp(loss_reason_text(g->reason), reason) == 0) {
			sim_covered[COVER_LOSS_TOLD]++;
			return;
		}
	}
	sim_fail("%s: a loss is told of that is not in the ledger: %s", a->name, text);
}

static struct account_topic *topic_of(struct account *a, struct bytes topic)
{
	uint64_t key = ledger_key(topic, bytes_of(NULL, 0));
	size_t i = key % ACCOUNT_TOPICS_MAX;

	for (size_t n = 0; n < ACCOUNT_TOPICS_MAX; n++, i = (i + 1) % ACCOUNT_TOPICS_MAX)
		if (a->topics[i].key == key || !a->topics[i].key)
			break;
	a->topics[i].key = key;
	return &a->topics[i];
}

static void check_order(struct account *a, const struct account_sight *s, bool is_marked, uint64_t sequence)
{
	struct account_topic *topic = topic_of(a, s->topic);
	uint64_t *top = !is_marked                     ? &topic->live_top
			: sequence > topic->replay_top ? &topic->replay_top
						       : &topic->leftover_top;

	/* Two orders in one: the higher end takes what it can. */
	if (sequence < *top)
		sim_fail("%s: order: %.*s: number %lu came after %lu, %s", a->name, (int)s->topic.size,
			 (const char *)s->topic.ptr, sequence, *top, is_marked ? "replayed" : "live");
	a->has_leftovers |= top == &topic->leftover_top;
	*top = sequence;
}

static void check_mark(struct account *a, const struct account_sight *s, const struct account_number *n,
		       uint64_t lane, uint64_t sequence)
{
	bool is_marked = s->has_prefix || s->mark[0];
	int64_t off_ns;

	if ((is_marked && !a->live_first) || (s->has_prefix && !a->prefixes) || (s->mark[0] && !a->marks))
		sim_fail("%s: number %lu of lane %lu is marked as replayed", a->name, sequence, lane);
	if (is_marked && (s->has_prefix != a->prefixes || (s->mark[0] != 0) != a->marks))
		sim_fail("%s: number %lu of lane %lu is marked by half", a->name, sequence, lane);
	if (s->mark[0]) {
		off_ns = (int64_t)broker_time_of(s->mark) - (int64_t)n->made_ns;
		if (off_ns < -2000 || off_ns > 2000)
			sim_fail("%s: number %lu of lane %lu: replay says %s, which is %ld us off", a->name,
				 sequence, lane, s->mark, (long)(off_ns / 1000));
		sim_covered[COVER_REPLAY_MARKED]++;
	}
	if (s->is_newest && a->live_first && !is_marked && (a->marks || a->prefixes) && a->was_connected &&
	    n->made_ns < a->live_from_ns &&
	    !(n->flags & (ACCOUNT_HELD | ACCOUNT_DELIVERED | ACCOUNT_GHOST | ACCOUNT_REFUSED)))
		sim_fail("%s: number %lu of lane %lu was made before the connection, and is not marked",
			 a->name, sequence, lane);
}

static void check_rate(struct account *a)
{
	uint64_t most = (sim.now_ns - a->live_from_ns) / a->interval_ns + 1;

	if (a->marked_count > most)
		sim_fail("%s: %lu messages of the backlog within %.3f s, at most %lu by its rate", a->name,
			 a->marked_count, (double)(sim.now_ns - a->live_from_ns) / 1e9, most);
}

void account_see(struct account *a, const struct account_sight *s)
{
	bool is_loss = bytes_equal(s->topic, bytes_of_text(ACCOUNT_LOSS_TOPIC));
	bool is_marked = s->has_prefix || s->mark[0], is_known;
	uint64_t sequence, lane;
	struct account_number *n;
	char text[2048];
	const char *value;

	if (!a->is_on)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)min_size(s->payload.size, sizeof(text) - 1),
		 (const char *)s->payload.ptr);
	if (!find_u64(text, is_loss ? "\"own_seq\":" : "\"seq\":", &sequence) ||
	    !find_u64(text, is_loss ? "\"own_source\":" : "\"source\":", &lane))
		return;
	n = number_at(a, lane, sequence);
	if (!n) {
		sim_fail("%s: number %lu of lane %lu was never given", a->name, sequence, lane);
		return;
	}
	if (is_loss)
		check_told(a, text);
	check_mark(a, s, n, lane, sequence);
	is_known = n->flags & (ACCOUNT_DELIVERED | ACCOUNT_GHOST | ACCOUNT_REFUSED);
	if (s->fate != LEDGER_GHOST && !(n->flags & (ACCOUNT_DELIVERED | ACCOUNT_REFUSED)) && s->in_order &&
	    s->topic.ptr[0] == 's' && (!a->live_first || a->marks || a->prefixes))
		check_order(a, s, is_marked, sequence);
	if (s->is_newest && !(n->flags & ACCOUNT_HELD) && !is_known) {
		a->marked_count += is_marked;
		a->live_count += !is_marked && n->made_ns >= a->live_from_ns;
		if (is_marked && a->outage == ACCOUNT_FIRST_BACK && a->interval_ns)
			check_rate(a);
	}
	n->flags |= s->fate == LEDGER_DELIVERED ? ACCOUNT_DELIVERED
		    : s->fate == LEDGER_GHOST   ? ACCOUNT_GHOST
						: ACCOUNT_REFUSED;
	n->flags = (uint8_t)((n->flags & ~ACCOUNT_QOS_0) | (s->qos == 0 ? ACCOUNT_QOS_0 : 0) |
			     (is_marked ? ACCOUNT_MARKED : 0));
	value = strstr(text, "\"value\":");
	if (value)
		n->value = strtod(value + 8, NULL);
}

/* --- all is quiet -------------------------------------------------------------------------------------------------------- */

/* Numbers to gaps. Of thinned ones a gap has only how many they are. */
static void gaps_place(struct account *a, uint64_t thinned[static RING_LANES_MAX])
{
	for (uint32_t i = 0; i < RING_LANES_MAX; i++)
		for (uint64_t k = 0; k < a->lanes[i].count; k++)
			a->lanes[i].numbers[k].gap = 0;
	for (uint64_t i = 0; i < a->gap_count && !sim.failed; i++) {
		const struct loss_gap *g = &a->gaps[i];

		if (g->lane_idx == LOSS_NO_LANE)
			continue;
		if (g->reason == LOSS_THINNED) {
			thinned[g->lane_idx] += g->count;
			continue;
		}
		if (g->count != g->last - g->first + 1)
			sim_fail("%s: gap %lu of lane %u: %lu messages from %lu to %lu", a->name, g->number,
				 g->lane_idx, g->count, g->first, g->last);
		for (uint64_t s = g->first; s <= g->last && !sim.failed; s++) {
			struct account_number *n = number_at(a, g->lane_idx, s);

			if (!n || n->gap)
				sim_fail("%s: gap %lu of lane %u: number %lu %s", a->name, g->number,
					 g->lane_idx, s, n ? "is in another gap, too" : "was never given");
			else
				n->gap = (uint8_t)(g->reason + 1);
		}
	}
}

static bool is_in_thinned_gap(const struct account *a, uint32_t lane, uint64_t sequence)
{
	for (uint64_t i = 0; i < a->gap_count; i++)
		if (a->gaps[i].reason == LOSS_THINNED && a->gaps[i].lane_idx == lane &&
		    a->gaps[i].first <= sequence && sequence <= a->gaps[i].last)
			return true;
	return false;
}

/* Has it arrived, though the ledger has it for that reason? */
static bool may_be_both(const struct account_number *n, bool lowered)
{
	enum loss_reason reason = (enum loss_reason)(n->gap - 1);

	if (lowered && (n->flags & ACCOUNT_HELD)) /* it had arrived, and could not be sent again */
		return true;
	return reason == LOSS_REFUSED && (n->flags & ACCOUNT_REFUSED);
}

static void check_number(struct account *a, uint32_t lane, uint64_t sequence, bool lowered, bool refuses,
			 uint64_t *thinned_left)
{
	struct account_number *n = number_at(a, lane, sequence);
	bool arrived = n->flags & (ACCOUNT_DELIVERED | ACCOUNT_GHOST);

	if (n->gap) {
		enum loss_reason reason = (enum loss_reason)(n->gap - 1);

		if (arrived && !may_be_both(n, lowered))
			sim_fail("%s: number %lu of lane %u has arrived, and is in the ledger: %s", a->name,
				 sequence, lane, loss_reason_text(reason));
		if ((reason == LOSS_EXPIRED && !a->may_expire) || (reason == LOSS_OVERSIZED && !lowered) ||
		    (reason == LOSS_REFUSED && !(n->flags & ACCOUNT_REFUSED) && !refuses))
			sim_fail("%s: number %lu of lane %u is in the ledger for a reason that cannot be: %s",
				 a->name, sequence, lane, loss_reason_text(reason));
		return;
	}
	/* The server that has refused it had no time to say so, and takes it for one it has when it comes again. */
	if ((n->flags & ACCOUNT_DELIVERED) || ((n->flags & ACCOUNT_REFUSED) && (n->flags & ACCOUNT_HELD)) ||
	    ((n->flags & ACCOUNT_GHOST) && ((n->flags & ACCOUNT_QOS_0) || lowered)))
		return;
	if (*thinned_left && is_in_thinned_gap(a, lane, sequence)) {
		--*thinned_left;
		n->gap = LOSS_THINNED + 1;
		return;
	}
	if (sim.now_ns - n->made_ns < IN_TRANSIT_NS) /* told of a loss just now */
		return;
	sim_fail("%s: number %lu of lane %u was not delivered and is not in the ledger: flags %02x", a->name,
		 sequence, lane, n->flags);
}

static void check_sums(const struct account *a, const struct target *t)
{
	struct ring_counts n = ring_counts(t->ring);
	uint64_t sums[LOSS_REASON_COUNT] = {0}, made = 0;

	for (uint64_t i = 0; i < a->gap_count; i++)
		sums[a->gaps[i].reason] += a->gaps[i].count;
	for (uint32_t i = 0; i < RING_LANES_MAX; i++)
		made += a->lanes[i].count;
	if (made + n.dropped != n.made)
		sim_fail("%s: %lu numbers were given, %lu messages made, %lu dropped", a->name, made, n.made,
			 n.dropped);
	if (sums[LOSS_OVERWRITTEN] != n.overwritten || sums[LOSS_EXPIRED] != n.expired ||
	    sums[LOSS_NO_ROOM] != n.dropped)
		sim_fail("%s: the ledger has overwritten %lu, expired %lu, no room %lu; the ring %lu, %lu, "
			 "%lu",
			 a->name, sums[LOSS_OVERWRITTEN], sums[LOSS_EXPIRED], sums[LOSS_NO_ROOM],
			 n.overwritten, n.expired, n.dropped);
	sim_covered[COVER_LOSS_GAPS] += a->gap_count;
	sim_covered[COVER_THINNED] += sums[LOSS_THINNED];
}

/* --- thinning, where values are known by their numbers --------------------------------------------------------------------- */

static uint64_t bucket_of(const struct account *a, const struct account_number *n)
{
	return (n->made_ns - CLOCK_SIM_START_NS + (uint64_t)CLOCK_SIM_WALL_START_NS) / a->bucket_ns;
}

static bool is_thinned(const struct account_number *n)
{
	return n->gap == LOSS_THINNED + 1;
}

/* The next one of the same tag and bucket, or the one before; NULL: there is none. */
static const struct account_number *neighbour(const struct account *a, const struct account_number *n,
					      bool after)
{
	const struct account_lane *lane = &a->lanes[0];
	uint64_t bucket = bucket_of(a, n), tag = n->update % a->tag_count;

	for (;;) {
		if (n == (after ? lane->numbers + lane->count - 1 : lane->numbers))
			return NULL;
		n += after ? 1 : -1;
		if (bucket_of(a, n) != bucket)
			return NULL;
		if (n->update % a->tag_count == tag)
			return n;
	}
}

/* Is there one before it, or after it, that was not thinned away? */
static bool stands_for(const struct account *a, const struct account_number *n, bool after)
{
	while ((n = neighbour(a, n, after)))
		if (!is_thinned(n))
			return true;
	return false;
}

static void check_value(const struct account *a, const struct account_number *n)
{
	double sum = (double)n->update / 1000, expected;
	const struct account_number *before = n;
	uint64_t count = 1;

	if (!(n->flags & ACCOUNT_DELIVERED) ||
	    (a->thin == CFG_THIN_AVERAGE && (a->has_leftovers || !(a->marks || a->prefixes))))
		return;
	/* What of the bucket went live is none of the average. */
	while (a->thin == CFG_THIN_AVERAGE && (n->flags & ACCOUNT_MARKED) &&
	       (before = neighbour(a, before, false)) &&
	       (is_thinned(before) || !(before->flags & ACCOUNT_MARKED))) {
		sum += is_thinned(before) ? (double)before->update / 1000 : 0;
		count += is_thinned(before);
	}
	expected = sum / (double)count;
	/* A bucket that went in parts has more than one average: each is between that of all and the newest. */
	if (!(n->value >= expected - 1e-6 && n->value <= (double)n->update / 1000 + 1e-6))
		sim_fail("%s: number %ld has the value %.6f, not one from %.6f on", a->name,
			 (long)(n - a->lanes[0].numbers + 1), n->value, expected);
	sim_covered[COVER_AVERAGED] += count > 1;
}

static void check_thinned(const struct account *a)
{
	for (uint64_t i = 0; i < a->lanes[0].count && !sim.failed; i++) {
		const struct account_number *n = &a->lanes[0].numbers[i];

		if (!is_thinned(n))
			check_value(a, n);
		else if (!stands_for(a, n, true) || (a->thin == CFG_THIN_MIN_MAX && !stands_for(a, n, false)))
			sim_fail("%s: number %lu was thinned away, and none of its bucket stands for it",
				 a->name, i + 1);
	}
}

void account_check_drained(struct account *a, const struct target *t, bool lowered, bool refuses)
{
	uint64_t thinned[RING_LANES_MAX] = {0};

	if (!a->is_on || sim.failed)
		return;
	account_step(a, t);
	gaps_place(a, thinned);
	if (!sim.failed)
		check_sums(a, t);
	for (uint32_t i = 0; i < ring_lane_count(t->ring) && !sim.failed; i++) {
		if (a->strangers & 1ull << i)
			continue;
		for (uint64_t s = 1; s <= a->lanes[i].count && !sim.failed; s++)
			check_number(a, i, s, lowered, refuses, &thinned[i]);
		if (!sim.failed && thinned[i])
			sim_fail("%s: lane %u: %lu more were thinned away than are missing", a->name, i,
				 thinned[i]);
		sim_covered[COVER_ACCOUNTED] += a->lanes[i].count;
	}
	if (!sim.failed && a->is_single && ring_counts(t->ring).dropped == 0)
		check_thinned(a);
}
