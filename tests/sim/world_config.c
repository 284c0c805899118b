/* What a seed's world is made of. */
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/world.h"

static void put(struct world *w, const char *format, ...) PRINTF(2, 3);
static void put(struct world *w, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(w->yaml + w->yaml_bytes, sizeof(w->yaml) - w->yaml_bytes, format, args);
	va_end(args);
	ASSERT(n > 0);
	w->yaml_bytes += (size_t)n;
	ASSERT(w->yaml_bytes < sizeof(w->yaml));
}

static uint32_t number(uint64_t low, uint64_t high)
{
	return (uint32_t)sim_between(low, high);
}

/* Most faults are absent from most seeds, so that each is also seen alone. */
static uint32_t rate(uint32_t presence, uint32_t max)
{
	return sim_chance(presence) ? number(1, max) : 0;
}

static void faults_draw(struct world *w)
{
	w->faults = (struct sim_faults){
		.refuse = rate(400, 400),
		.dead_lookup = rate(200, 300),
		.slow_lookup = rate(200, 300),
		.bad_address = rate(300, 500),
		.reset = rate(600, 800),
		.blackhole = rate(350, 400),
		.connack_refuse = rate(250, 400),
		.connack_silent = rate(200, 300),
		.connack_odd = rate(200, 300),
		.session_lost = rate(500, 600),
		.ack_refuse = rate(200, 100),
		.ping_silent = rate(200, 200),
		.goodbye = rate(300, 500),
		.sub_refuse = rate(250, 300),
		.redirect = sim_chance(60) ? 1000 : rate(200, 600),
		.mood = rate(250, 500),
		.device_silent = rate(400, 200),
		.device_late = rate(400, 200),
		.device_exception = rate(300, 200),
		.device_garbage = rate(300, 100),
		.device_close = rate(300, 100),
		.io_again = rate(300, 30),
		.stall = rate(300, 5),
	};
	sim.short_io = sim_chance(700) ? number(1, 900) : 0;
	sim.latency_max_ns = sim_between(100 * NS_PER_US, 10 * NS_PER_MS);
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

static void lines_put(struct world *w, uint32_t sampler_count, bool tcp, bool rtu)
{
	put(w, "lines:\n");
	for (uint32_t i = 0; i < sampler_count; i++)
		put(w, "  - {name: syn%u, synthetic: {tags: %u, rate: %u}, sampler: s%u}\n", i, number(1, 5),
		    number(5, 150), i);
	if (tcp)
		put(w,
		    "  - {name: mtl, modbus_tcp: {address: \"plc:502\", outstanding: %u, connect_timeout: "
		    "500ms}, "
		    "sampler: s%u, gap: %u, trace: {memory: 64KiB}, reconnect: {base: 50ms, cap: 500ms}}\n",
		    number(1, 4), number(0, sampler_count - 1), number(0, 4));
	if (rtu)
		put(w,
		    "  - {name: mrl, modbus_rtu: {path: /dev/ttySim, baud: 115200}, sampler: s%u, trace: "
		    "{memory: 16KiB}, "
		    "reconnect: {base: 50ms, cap: 500ms}}\n",
		    number(0, sampler_count - 1));
}

static void devices_put(struct world *w, bool tcp, bool rtu)
{
	bool some = false;

	for (uint32_t i = 0; i < w->target_count; i++)
		for (uint32_t k = 0; k < w->targets[i].broker.expect.sub_count; k++) {
			const char *tag = w->targets[i].broker.expect.subs[k].tag;

			if (!tag[0])
				continue;
			put(w, "%s{name: %s, type: float64}",
			    some ? ", " : "devices:\n  - {name: remote, tags: [", tag + strlen("remote."));
			some = true;
		}
	if (some)
		put(w, "]}\n");
	else if (tcp || rtu)
		put(w, "devices:\n");
	for (uint32_t d = 0; d < 2; d++) {
		if (d == 0 ? !tcp : !rtu)
			continue;
		put(w, "  - {name: %s, line: %s, unit: 3, every: %ums, timeout: %ums, tags: [",
		    d ? "mr" : "mt", d ? "mrl" : "mtl", number(30, 400), number(30, 200));
		for (uint32_t t = 0, count = number(1, 5); t < count; t++)
			put(w, "%s{name: a%u, address: \"holding:%u\", type: uint32}", t ? ", " : "",
			    t * (t > 2 ? 20 : 2), t * (t > 2 ? 20 : 2));
		put(w, "]}\n");
	}
}

/* --- targets --------------------------------------------------------------------------------------------------------- */

/* Properties of a message, v5: the YAML of an object that has them, and what its reader is to see. */
static void props_put(struct world *w, uint32_t chance, char told[static WIRE_TOLD_BYTES])
{
	struct writer t = writer_of(told, WIRE_TOLD_BYTES - 1);

	if (sim_chance(chance)) {
		bool utf8 = sim_chance(500);

		put(w, ", payload_format: %s", utf8 ? "utf8" : "bytes");
		write_text(&t, utf8 ? "fmt=1;" : "fmt=0;");
	}
	if (sim_chance(chance)) {
		put(w, ", content_type: application/json");
		write_text(&t, "ct=application/json;");
	}
	if (sim_chance(chance)) {
		put(w, ", response_topic: \"{node}/answers\"");
		write_text(&t, "rt=sim/answers;");
	}
	if (sim_chance(chance)) {
		put(w, ", correlation_data: c0ffee");
		write_text(&t, "cd=c0ffee;");
	}
	if (sim_chance(chance)) {
		put(w, ", user_properties: {b: \"1\", a: two, c: \"\"}");
		write_text(&t, "u:b=1;u:a=two;u:c=;");
	}
	ASSERT(!t.failed);
	*t.at = 0;
}

static void will_put(struct world *w, struct expect *x, uint32_t i)
{
	x->has_will = true;
	x->will_qos = (uint8_t)number(0, 2);
	x->will_retain = sim_chance(500);
	snprintf(x->will_topic, sizeof(x->will_topic), "will/target%u", i);
	snprintf(x->will_payload, sizeof(x->will_payload), "gone");
	put(w, "    will: {topic: \"will/{target}\", payload: gone, qos: %u, retain: %s", x->will_qos,
	    x->will_retain ? "true" : "false");
	if (sim_chance(600)) {
		snprintf(x->on_connect, sizeof(x->on_connect), "here I am");
		put(w, ", on_connect: \"%s\"", x->on_connect);
	}
	if (sim_chance(600)) {
		snprintf(x->on_disconnect, sizeof(x->on_disconnect), "farewell");
		put(w, ", on_disconnect: %s", x->on_disconnect);
	}
	if (x->level == 5 && sim_chance(300))
		put(w, ", delay: %us", x->will_delay_s = number(1, 100));
	if (x->level == 5 && sim_chance(300))
		put(w, ", expiry: %us", x->will_expiry_s = number(1, 100));
	if (x->level == 5)
		props_put(w, 250, x->will_told);
	put(w, "}\n");
}

static void manners_draw(const struct world *w, struct broker *b)
{
	/* More often where a subscription may have to be given up: for that, too, there may be no room. */
	b->small_packets = sim_chance(w->crash_count && w->optional_to ? 400 : 100);
	b->shuffle_acks = sim_chance(300);
	b->ack_max_ns = sim_between(NS_PER_MS, NS_PER_S);
	b->others_period_ms = b->expect.sub_count || sim_chance(100) ? number(1, 300) : 0;
	b->one_copy = sim_chance(500);
	b->leads_in_circles = sim_chance(500);
	b->without_ids = sim_chance(200);
	b->holds_pubrel = sim_chance(300);
	b->flaps = sim_chance(150);
	b->floods = b->others_period_ms && b->expect.level == 4 && sim_chance(500);
	if (b->others_period_ms)
		broker_news_later(b);
}

static void session_put(struct world *w, struct expect *x)
{
	put(w, "    protocol: %s\n    clean_start: %s\n    keep_alive: %us\n", x->level == 5 ? "5" : "3.1.1",
	    x->clean_start ? "true" : "false", x->keep_alive_s);
	if (sim_chance(150)) {
		x->refuses = true;
		put(w, "    server_limits: refuse\n");
	}
	if (sim_chance(200))
		put(w, "    message_buffer_window: %ums\n    max_buffered_messages: %u\n", number(0, 3000),
		    number(0, 20));
	if (x->level == 4)
		return;
	if (!x->clean_start)
		put(w, "    session_expiry: 1h\n");
	put(w, "    topic_alias_max: %u\n", number(0, 8));
	if (sim_chance(600))
		put(w, "    receive_max: %u\n", x->receive_max = number(1, 40));
	if (sim_chance(600))
		put(w, "    topic_alias_in: %u\n", number(0, 8));
	if (sim_chance(200))
		put(w, "    max_packet: 1KiB\n");
	x->follows = !sim_chance(200);
	if (!x->follows)
		put(w, "    follow_redirects: false\n");
}

static void target_put(struct world *w, uint32_t i)
{
	struct world_target *t = &w->targets[i];
	struct broker *b = &t->broker;
	struct expect *x = &b->expect;
	const char *names[BROKER_URLS_MAX] = {t->names[0], t->names[1]};
	uint32_t url_count = sim_chance(300) ? 2 : 1;
	bool ordered = sim_chance(500);
	char more[300];

	for (uint32_t u = 0; u < BROKER_URLS_MAX; u++)
		snprintf(t->names[u], sizeof(t->names[u]), "b%u-%u.sim", i, u);
	broker_begin(b, i, names, BROKER_URLS_MAX);
	x->level = sim_chance(650) ? 5 : 4;
	x->clean_start = sim_chance(300);
	x->cluster = sim_chance(500);
	x->keep_alive_s = number(1, 5);
	x->base_ms = sim_chance(300) ? number(81, 200) : number(5, 100);
	put(w, "  - name: target%u\n    urls: [mqtt://%s:1883%s%s%s]\n    failover: %s\n    cluster: %s\n", i,
	    names[0], url_count > 1 ? ", mqtt://" : "", url_count > 1 ? names[1] : "",
	    url_count > 1 ? ":1883" : "", ordered ? "ordered" : "round-robin", x->cluster ? "true" : "false");
	if (url_count > 1 && ordered && sim_chance(300))
		put(w, "    failback: %ums\n", number(500, 5000));
	session_put(w, x);
	put(w, "    connect_timeout: %ums\n    reconnect: {base: %ums, cap: %ums, stable: %ums}\n",
	    number(300, 3000), x->base_ms, number(x->base_ms, 1500), number(0, 2000));
	x->max_inflight = sim_chance(150)   ? number(100, 400) /* many times a batch */
			  : sim_chance(500) ? number(1, 5)
					    : number(5, 40);
	put(w, "    max_inflight: %u\n", x->max_inflight);
	t->buffer_messages = sim_chance(500) ? number(1, 10) : number(10, 50);
	if (sim_chance(300))
		t->buffer_messages = 500;
	if (w->has_accounts && prng_below(&w->buffer_prng, 2) == 0)
		t->buffer_messages = 500;
	t->max_age = sim_chance(150);
	put(w, "    buffer: {messages: %u%s", t->buffer_messages, t->max_age ? ", max_age: 700ms" : "");
	t->ring.in_file = prng_below(&w->ring_prng, 1000) < (w->crash_count ? 600 : 100);
	if (t->ring.in_file)
		put(w, ", path: target%u.ring", i);
	world_buffer_put(w, i, more, sizeof(more));
	put(w, "%s}\n", more);
	if (t->buffer_messages % 2 == 0) /* no draw of its own: what was found with a seed stays with it */
		put(w, "    trace: {memory: %s, snap: 40B}\n", t->buffer_messages % 4 ? "16KiB" : "1MiB");
	if (sim_chance(300)) {
		put(w, "    user: me\n    password: env:SIM_PASSWORD\n");
		snprintf(x->user, sizeof(x->user), "me");
	}
	if (sim_chance(500))
		will_put(w, x, i);
}

/* --- definitions ------------------------------------------------------------------------------------------------------ */

enum kind {
	KIND_EACH,
	KIND_GROUP,
	KIND_GROUP_ALL,
	KIND_CYCLE,
	KIND_CYCLE_EACH,
	KIND_TCP,
	KIND_RTU,
	KIND_COUNT
};

static void definition_put(struct world *w, uint32_t target, enum kind kind, uint32_t n,
			   uint32_t sampler_count)
{
	uint32_t syn = number(0, sampler_count - 1);
	const char *retain = sim_chance(200) ? ", retain: true" : "";

	struct world_target *t = &w->targets[target];
	struct expect_definition *d = &t->broker.expect.definitions[n];

	ASSERT(n < EXPECT_DEFINITIONS_MAX);
	d->known = kind != KIND_CYCLE_EACH;
	put(w, "  - {name: d%u, target: target%u, qos: %u%s", n, target, number(0, 2), retain);
	if (w->has_accounts)
		put(w, ", sequence: true");
	if (t->broker.expect.level == 5 && sim_chance(300))
		props_put(w, 500, d->told);
	if (kind != KIND_TCP && kind != KIND_RTU && sim_chance(200)) {
		put(w, ", expiry: %us", d->expiry_s = number(1, 4));
		t->expires = true;
	}
	put(w, ", ");
	switch (kind) {
	case KIND_EACH:
		put(w, "tags: [\"syn%u.*\"], topic: \"s/{definition}/{device}/{tag}\", payload: %s}\n", syn,
		    sim_chance(300) && !w->crash_count && !w->has_accounts ? "text" : "json");
		return;
	case KIND_GROUP:
		put(w, "tags: [\"syn%u.*\"], topic: \"s/{definition}\"%s}\n", syn,
		    sim_chance(300) ? ", heartbeat: 50ms" : "");
		return;
	case KIND_GROUP_ALL:
		put(w, "tags: [\"syn0.*\"%s], topic: \"u/{definition}\"}\n",
		    sampler_count > 1 ? ", \"syn1.*\"" : "");
		return;
	case KIND_CYCLE:
		put(w, "mode: periodic, cycle: %ums, tags: [\"syn%u.*\"], topic: \"s/{definition}\"}\n",
		    number(10, 500), syn);
		return;
	case KIND_CYCLE_EACH:
		w->targets[target].strong = false;
		put(w, "mode: periodic, cycle: %ums, tags: [\"syn%u.*\"], topic: \"w/{definition}/{tag}\"}\n",
		    number(20, 500), syn);
		return;
	case KIND_TCP: put(w, "tags: [\"mt.*\"], topic: \"s/{definition}/{device}/{tag}\"}\n"); return;
	case KIND_RTU: put(w, "tags: [\"mr.*\"], topic: \"s/{definition}/{device}/{tag}\"}\n"); return;
	case KIND_COUNT: break;
	}
	UNREACHABLE();
}

static void definitions_put(struct world *w, uint32_t sampler_count, bool tcp, bool rtu)
{
	uint32_t n = 0;

	put(w, "definitions:\n");
	for (uint32_t i = 0; i < w->target_count; i++) {
		struct world_target *t = &w->targets[i];

		t->strong = true;
		t->single = sim_chance(350);
		if (t->single) {
			put(w,
			    "  - {name: d%u, target: target%u, qos: %u, tags: [\"syn0.*\"], "
			    "topic: \"s/{definition}/{tag}\"%s}\n",
			    n, i, number(0, 2), w->has_accounts ? ", sequence: true" : "");
			t->broker.expect.definitions[n++].known = true;
			continue;
		}
		for (uint32_t k = 0, count = number(1, 4); k < count; k++) {
			enum kind kind = (enum kind)sim_below(KIND_COUNT);

			if ((kind == KIND_TCP && !tcp) || (kind == KIND_RTU && !rtu))
				kind = KIND_EACH;
			size_t from = w->yaml_bytes;

			definition_put(w, i, kind, n++, sampler_count);
			if (count > 1 && prng_below(&w->ring_prng, 1000) < 400) {
				w->spare_from = from;
				w->spare_to = w->yaml_bytes;
			}
		}
	}
}

/* --- subscriptions ---------------------------------------------------------------------------------------------------- */

static const struct {
	const char *filter;
	bool forward, only_v5;
} filters[] = {
	{"in/v0", false, false},         {"in/v1", false, false},          {"in/+", false, false},
	{"$share/g/in/v2", false, true}, {"in/v1/#", false, false},        {"in/f/+/#", true, false},
	{"in/f/#", true, false},         {"in/+/a/+", true, false},        {"in/f/a/x", true, false},
	{"in/g/#", true, false},         {"$share/h/in/sh/+", true, true}, {"in/f/a/+", true, false},
};
static const char *const forward_topics[] = {"fw/{definition}/{topic}", "fw/{definition}/x/{topic}/y",
					     "fw/{definition}/{topic}"};

static void sub_put(struct world *w, uint32_t target, uint32_t n, uint32_t filter, uint32_t forward_target)
{
	static const char *const handlings[] = {"send", "new", "never"};
	struct expect *x = &w->targets[target].broker.expect;
	struct expect_sub *s = &x->subs[x->sub_count++];
	bool forward = filters[filter].forward, own = sim_chance(400) && x->level == 5;
	uint32_t handling = own ? number(0, 2) : 0, qos = number(0, 2);
	bool no_local = own && sim_chance(300) && filters[filter].filter[0] != '$',
	     as_published = own && sim_chance(500);

	*s = (struct expect_sub){.tag_idx = EXPECT_NOBODY, .forward_target = EXPECT_NOBODY};
	snprintf(s->name, sizeof(s->name), "%s%u", forward ? "f" : "s", n);
	snprintf(s->filter, sizeof(s->filter), "%s", filters[filter].filter);
	put(w, "  - {name: %s, target: target%u, mode: subscribe, topic: \"%s\", qos: %u", s->name, target,
	    s->filter, qos);
	if (own)
		put(w, ", no_local: %s, retain_as_published: %s, retain_handling: %s",
		    no_local ? "true" : "false", as_published ? "true" : "false", handlings[handling]);
	else /* what is passed on is retained there as it was here */
		as_published = forward && x->level == 5;
	s->options = (uint8_t)(qos | no_local << 2 | as_published << 3 | handling << 4);
	if (!forward || sim_chance(200)) {
		s->tag_idx = target * EXPECT_SUBS_MAX + n % EXPECT_SUBS_MAX;
		snprintf(s->tag, sizeof(s->tag), "remote.v%u", s->tag_idx);
		put(w, ", tags: [%s]", s->tag);
		if (forward) /* its payloads are no numbers */
			s->tag_idx = EXPECT_NOBODY;
	}
	if (forward) {
		s->forward_target = forward_target;
		snprintf(s->forward_topic, sizeof(s->forward_topic), "%s",
			 strpbrk(s->filter, "+#") && sim_chance(500) ? "fw/{definition}/{1}/t"
								     : forward_topics[number(0, 2)]);
		put(w, ", forward: {target: target%u, topic: \"%s\"}", forward_target, s->forward_topic);
		w->targets[forward_target].is_bridged_to = true;
	}
	put(w, "}\n");
}

static void subs_put(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++) {
		uint32_t used = 0, n = 0;

		if (sim_chance(400))
			continue;
		for (uint32_t k = 0, count = number(1, EXPECT_SUBS_MAX); k < count; k++) {
			uint32_t filter = sim_below(ARRAY_COUNT(filters)),
				 other = number(0, w->target_count - 1);

			if ((used & 1u << filter) || (filters[filter].forward && other == i) ||
			    (filters[filter].only_v5 && w->targets[i].broker.expect.level == 4))
				continue;
			used |= 1u << filter;
			size_t from = w->yaml_bytes;

			sub_put(w, i, n++, filter, other);
			if (w->targets[i].broker.expect.subs[n - 1].tag[0]) /* its tag needs it */
				continue;
			w->optional_from = from;
			w->optional_to = w->yaml_bytes;
			w->optional_target = i;
			w->optional_sub = n - 1;
		}
	}
}

void world_draw(struct world *w)
{
	uint32_t sampler_count = sim_chance(400) ? 2 : 1, publisher_count = sim_chance(300) ? 2 : 1;
	bool tcp = sim_chance(500), rtu = sim_chance(400);

	w->ring_prng.state = (sim.seed + 1) * 0xd1342543de82ef95ull;
	w->buffer_prng.state = (sim.seed + 1) * 0x9e3779b97f4a7c15ull;
	(void)prng_next(&w->buffer_prng);
	/* Half of the worlds; those that tests/sim/seeds kept before there were accounts are of the other half. */
	w->has_accounts = sim.seed * 0x6b314e0b907f2361ull >> 63;
	faults_draw(w);
	w->target_count = number(1, WORLD_TARGETS_MAX);
	w->crash_count = sim_chance(350) ? number(1, 3) : 0;
	w->has_files = w->crash_count ? sim_chance(900) : sim_chance(200);
	w->toggles = sim_chance(300);
	put(w, "node: sim\nsamplers: [{name: s0}%s]\npublishers:\n", sampler_count > 1 ? ", {name: s1}" : "");
	for (uint32_t i = 0; i < publisher_count; i++)
		put(w, "  - {name: p%u, flush: %ums, flush_bytes: 1KiB}\n", i,
		    sim_chance(250) ? number(1, 50) : 0);
	lines_put(w, sampler_count, tcp, rtu);
	if (tcp)
		device_begin(&w->tcp_device, "plc");
	if (rtu)
		device_begin(&w->rtu_device, "/dev/ttySim");
	put(w, "targets:\n");
	for (uint32_t i = 0; i < w->target_count; i++)
		target_put(w, i);
	definitions_put(w, sampler_count, tcp, rtu);
	subs_put(w);
	devices_put(w, tcp, rtu);
	for (uint32_t i = 0; i < w->target_count; i++)
		manners_draw(w, &w->targets[i].broker);
}
