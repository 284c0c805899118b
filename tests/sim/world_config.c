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
		    "sampler: s%u, gap: %u, reconnect: {base: 50ms, cap: 500ms}}\n",
		    number(1, 4), number(0, sampler_count - 1), number(0, 4));
	if (rtu)
		put(w,
		    "  - {name: mrl, modbus_rtu: {path: /dev/ttySim, baud: 115200}, sampler: s%u, "
		    "reconnect: {base: 50ms, cap: 500ms}}\n",
		    number(0, sampler_count - 1));
	if (!tcp && !rtu)
		return;
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

static void target_put(struct world *w, uint32_t i)
{
	struct world_target *t = &w->targets[i];
	struct broker *b = &t->broker;
	const char *names[BROKER_URLS_MAX] = {t->names[0], t->names[1]};
	uint32_t url_count = sim_chance(300) ? 2 : 1;
	uint32_t base_ms = number(5, 100);

	for (uint32_t u = 0; u < BROKER_URLS_MAX; u++)
		snprintf(t->names[u], sizeof(t->names[u]), "b%u-%u.sim", i, u);
	broker_begin(b, names, url_count);
	b->expected_level = sim_chance(650) ? 5 : 4;
	b->clean_start = sim_chance(300);
	b->expected_keep_alive_s = number(1, 5);
	b->small_packets = sim_chance(100);
	b->shuffle_acks = sim_chance(300);
	b->ack_max_ns = sim_between(NS_PER_MS, NS_PER_S);
	b->inbound_period_ms = sim_chance(300) ? number(1, 500) : 0;
	b->flaps = sim_chance(150);
	b->floods = b->inbound_period_ms && b->expected_level == 4 && sim_chance(500);
	put(w, "  - name: target%u\n    urls: [mqtt://%s:1883%s%s%s]\n    failover: %s\n    cluster: true\n",
	    i, names[0], url_count > 1 ? ", mqtt://" : "", url_count > 1 ? names[1] : "",
	    url_count > 1 ? ":1883" : "", sim_chance(500) ? "ordered" : "round-robin");
	put(w, "    protocol: %s\n    clean_start: %s\n    keep_alive: %us\n",
	    b->expected_level == 5 ? "5" : "3.1.1", b->clean_start ? "true" : "false",
	    b->expected_keep_alive_s);
	if (b->expected_level == 5 && !b->clean_start)
		put(w, "    session_expiry: 1h\n");
	put(w, "    connect_timeout: %ums\n    reconnect: {base: %ums, cap: %ums, stable: %ums}\n",
	    number(300, 3000), base_ms, number(base_ms, 1500), number(0, 2000));
	put(w, "    max_inflight: %u\n",
	    b->flaps          ? number(100, 400) /* many times a batch */
	    : sim_chance(500) ? number(1, 5)
			      : number(5, 40));
	if (b->expected_level == 5)
		put(w, "    topic_alias_max: %u\n", number(0, 8));
	put(w, "    buffer: {messages: %u%s}\n", sim_chance(500) ? number(1, 10) : number(10, 50),
	    sim_chance(150) ? ", max_age: 700ms" : "");
	if (sim_chance(300))
		put(w, "    user: me\n    password: env:SIM_PASSWORD\n");
	if (sim_chance(300))
		put(w, "    will: {topic: \"will/{target}\", payload: gone, qos: %u, retain: true}\n",
		    number(0, 2));
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

	put(w, "  - {name: d%u, target: target%u, qos: %u%s, ", n, target, number(0, 2), retain);
	switch (kind) {
	case KIND_EACH:
		put(w, "tags: [\"syn%u.*\"], topic: \"s/{definition}/{device}/{tag}\", payload: %s}\n", syn,
		    sim_chance(300) ? "text" : "json");
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
			    "topic: \"s/{definition}/{tag}\"}\n",
			    n++, i, number(0, 2));
			continue;
		}
		for (uint32_t k = 0, count = number(1, 4); k < count; k++) {
			enum kind kind = (enum kind)sim_below(KIND_COUNT);

			if ((kind == KIND_TCP && !tcp) || (kind == KIND_RTU && !rtu))
				kind = KIND_EACH;
			definition_put(w, i, kind, n++, sampler_count);
		}
	}
}

void world_draw(struct world *w)
{
	uint32_t sampler_count = sim_chance(400) ? 2 : 1, publisher_count = sim_chance(300) ? 2 : 1;
	bool tcp = sim_chance(500), rtu = sim_chance(400);

	faults_draw(w);
	w->target_count = number(1, WORLD_TARGETS_MAX);
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
}
