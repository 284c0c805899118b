/* A message of ours against what its definition says: properties, and how long it is good. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/sim/broker_priv.h"
#include "tests/sim/clock_sim.h"

#define SLACK_NS (300 * NS_PER_MS) /* between a sample and its message: a sampler without its CPU */

uint64_t broker_time_of(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction;
	int64_t wall_ns;

	if (!rest)
		return 0;
	fraction = *rest == '.' ? strtod(rest, NULL) : 0;
	wall_ns = (int64_t)timegm(&tm) * (int64_t)NS_PER_S + (int64_t)(fraction * 1e9);
	return (uint64_t)(wall_ns - CLOCK_SIM_WALL_START_NS) + CLOCK_SIM_START_NS;
}

/* The payload's first time stamp; 0: it has none. */
static uint64_t made_at(struct bytes payload)
{
	char text[300];
	const char *at;

	snprintf(text, sizeof(text), "%.*s", (int)min_size(payload.size, sizeof(text) - 1),
		 (const char *)payload.ptr);
	at = strstr(text, "\"ts\":\"");
	return at ? broker_time_of(at + 6) : 0;
}

/* What is left when it comes is no more than when the connection was accepted, and no less than now. It is never sent
 * after its time [MQTT-3.3.2-6], but once it was under way it must be finished. */
static void check_expiry(struct broker_link *k, const struct wire_packet *p, uint32_t expiry_s)
{
	uint64_t key = ledger_key(p->topic, p->payload), made_ns = made_at(p->payload);
	uint64_t end_ns = made_ns + expiry_s * NS_PER_S;
	/* What was under way with QoS 1 or 2 goes out without DUP where only QoS 0 is left. */
	bool known = p->dup || ledger_find(&k->broker->ledger, key) || !k->session_present || k->qos_max == 0;

	if (k->level == 5 && (!p->props.has_expiry || p->props.expiry_s == 0 || p->props.expiry_s > expiry_s))
		broker_violation(
			k, "its definition's expiry is missing, 0 or longer than configured [MQTT-3.3.2-6]");
	if (made_ns == 0)
		return;
	if (!known && k->accepted_ns > end_ns + SLACK_NS)
		broker_violation(k, "a message that had expired before the connection began [MQTT-3.3.2-5]");
	if (k->level == 4)
		return;
	uint64_t left_ns = end_ns > k->accepted_ns ? end_ns - k->accepted_ns : 0;
	uint64_t now_left_ns = end_ns > sim.now_ns ? end_ns - sim.now_ns : 0;

	if (p->props.expiry_s * NS_PER_S > left_ns + SLACK_NS + NS_PER_S)
		sim_fail("%s: %u s of expiry are told, %.1f of %u are left [MQTT-3.3.2-6]",
			 k->broker->names[0], p->props.expiry_s, (double)left_ns / 1e9, expiry_s);
	if ((p->props.expiry_s + 1) * NS_PER_S + SLACK_NS < now_left_ns)
		sim_fail("%s: %u s of expiry are told, %.1f are left [MQTT-3.3.2-6]", k->broker->names[0],
			 p->props.expiry_s, (double)now_left_ns / 1e9);
	sim_covered[COVER_EXPIRY_TOLD]++;
	sim_covered[COVER_EXPIRY_COUNTED] += p->props.expiry_s < expiry_s;
}

void broker_check_definition(struct broker_link *k, const struct wire_packet *p)
{
	const char *topic = (const char *)p->topic.ptr;
	const struct expect_definition *d;
	uint64_t n;

	if (p->topic.size < 4 || (topic[0] != 's' && topic[0] != 'u') || topic[1] != '/' || topic[2] != 'd')
		return;
	n = 0;
	for (size_t i = 3; i < p->topic.size && topic[i] >= '0' && topic[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(topic[i] - '0');
	if (n >= EXPECT_DEFINITIONS_MAX || !k->broker->expect.definitions[n].known)
		return;
	d = &k->broker->expect.definitions[n];
	if (strcmp(p->told, k->level == 5 ? d->told : "") != 0)
		sim_fail("%s: d%lu has the properties \"%s\", not \"%s\"", k->broker->names[0], n, p->told,
			 d->told);
	if (d->expiry_s)
		check_expiry(k, p, d->expiry_s);
	else if (p->props.has_expiry)
		broker_violation(k, "an expiry that its definition does not have");
}
