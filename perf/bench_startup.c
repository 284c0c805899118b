/* From exec to `ready`, and to the first message that the sink has counted, of the real ringmaind.
 *
 *   small   a target, 10 tags
 *   big     1000 targets, 1000 Modbus TCP lines and devices, 10,000 tags, 1000 definitions
 *   ring    a target whose ring holds 500,000 messages: memory that has to be made present
 *
 * The first message is of a synthetic line (1000 updates a second). The log and the sink are looked at every 0.1 ms. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/daemon.h"
#include "perf/machine.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/sink.h"
#include "perf/slave.h"

#define CONFIG_BYTES  (2u << 20)
#define CONNECT_MAX_S 60
#define POLL_S        0.0001

enum plan { PLAN_SMALL, PLAN_BIG, PLAN_RING, PLAN_COUNT };
enum figure { FIG_READY, FIG_FIRST, FIG_CONNECTED, FIG_CPU, FIG_CHECK, FIG_COUNT };

static const struct {
	const char *name;
	uint32_t target_count, device_count, synthetic_tag_count, message_count;
} plans[PLAN_COUNT] = {
	[PLAN_SMALL] = {"small", 1, 0, 10, 1000},
	[PLAN_BIG] = {"big", 1000, 1000, 1000, 100},
	[PLAN_RING] = {"ring", 1, 0, 10, 500000},
};

static const struct {
	const char *key, *label;
} figures[FIG_COUNT] = {
	[FIG_READY] = {"ready_ms", "exec to ready"},
	[FIG_FIRST] = {"first_publish_ms", "exec to the first PUBLISH"},
	[FIG_CONNECTED] = {"connected_ms", "exec to all targets connected"},
	[FIG_CPU] = {"cpu_ms", "CPU until then"},
	[FIG_CHECK] = {"check_ms", "--check alone"},
};

static struct series series[PLAN_COUNT][FIG_COUNT];
static uint64_t allocated_bytes;
static char *config;

static void write_config(enum plan plan, uint16_t sink_port, uint16_t slave_port)
{
	size_t at = rig_text(config, CONFIG_BYTES, 0, "node: bench\ntargets:\n");

	for (uint32_t i = 0; i < plans[plan].target_count; i++)
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - {name: t%u, url: \"mqtt://127.0.0.1:%u\", buffer: {messages: %u}}\n", i,
			      sink_port, plans[plan].message_count);
	at = rig_text(config, CONFIG_BYTES, at, "lines:\n  - {name: m1, synthetic: {tags: %u, rate: 1000}}\n",
		      plans[plan].synthetic_tag_count);
	for (uint32_t i = 0; i < plans[plan].device_count; i++)
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - {name: l%u, modbus_tcp: {address: \"127.0.0.1:%u\"}}\n", i, slave_port);
	if (plans[plan].device_count > 0)
		at = rig_text(config, CONFIG_BYTES, at, "devices:\n");
	for (uint32_t i = 0; i < plans[plan].device_count; i++) {
		at = rig_text(config, CONFIG_BYTES, at, "  - name: d%u\n    line: l%u\n    tags:\n", i, i);
		for (uint32_t tag = 0; tag < 9; tag++)
			at = rig_text(config, CONFIG_BYTES, at,
				      "      - {name: v%u, address: \"holding:%u\", type: uint16}\n", tag,
				      tag);
	}
	at = rig_text(config, CONFIG_BYTES, at, "definitions:\n");
	for (uint32_t i = 0; i < plans[plan].target_count; i++)
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - {name: d, target: t%u, tags: [m1.t%u], topic: \"bench/{tag}\"}\n", i, i);
}

static double ms_since(struct mono from)
{
	return (double)mono_since(clock_mono(), from) / 1e6;
}

static void measure(enum plan plan, const struct sink *sink, const struct slave *slave)
{
	struct series *of = series[plan];
	struct daemon_sample sample;
	struct daemon daemon;
	struct mono begun;
	uint64_t before;

	write_config(plan, sink->port, slave->port);
	daemon_prepare(&daemon, config);
	begun = clock_mono();
	(void)daemon_check(&daemon);
	series_add(&of[FIG_CHECK], ms_since(begun));
	before = sink_counts(sink).messages;
	daemon_start(&daemon, -1);
	series_add(&of[FIG_READY], (double)mono_since(daemon.ready, daemon.started) / 1e6);
	while (sink_counts(sink).messages == before) {
		if (ms_since(daemon.started) > CONNECT_MAX_S * 1e3)
			rig_fail("no message reached the sink", ETIMEDOUT);
		rig_pause_s(POLL_S);
	}
	series_add(&of[FIG_FIRST], ms_since(daemon.started));
	daemon_wait_connected(&daemon, CONNECT_MAX_S);
	series_add(&of[FIG_CONNECTED], ms_since(daemon.started));
	daemon_sample(&daemon, &sample);
	series_add(&of[FIG_CPU], (double)sample.cpu_ns / 1e6);
	allocated_bytes += daemon_allocated_bytes(&daemon);
	daemon_stop(&daemon);
	rig_pause_s(0.05); /* the sink sees the connections end: none of their messages may count next time */
}

static void print_report(uint32_t rounds)
{
	printf("startup: the real daemon, %u rounds; milliseconds\n%-8s %-32s %10s %10s %10s\n", rounds, "",
	       "", "median", "min", "max");
	for (uint32_t plan = 0; plan < PLAN_COUNT; plan++)
		for (uint32_t i = 0; i < FIG_COUNT; i++) {
			const struct series *s = &series[plan][i];

			printf("%-8s %-32s %10.1f %10.1f %10.1f\n", plans[plan].name, figures[i].label,
			       series_median(s), series_min(s), series_max(s));
		}
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *json_path = NULL;
	uint32_t rounds = 7;
	struct machine machine;
	struct slave slave;
	struct sink sink;
	int key, rc;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'j': json_path = optarg; break;
		default: rounds = 0; break;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SERIES_MAX) {
		fprintf(stderr, "usage: bench_startup [--rounds N] [--json FILE]\n");
		return 2;
	}
	machine_read(&machine);
	config = malloc(CONFIG_BYTES);
	if (!config)
		rig_fail("memory", ENOMEM);
	slave_open(&slave, -1); /* before there are threads */
	rc = sink_open(&sink, -1, 0);
	if (rc < 0)
		rig_fail("sink", -rc);
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t plan = 0; plan < PLAN_COUNT; plan++)
			measure((enum plan)plan, &sink, &slave);
	machine_print(&machine);
	print_report(rounds);
	report_allocations(allocated_bytes);
	for (uint32_t plan = 0; plan < PLAN_COUNT; plan++) {
		struct report_figure list[FIG_COUNT];

		for (uint32_t i = 0; i < FIG_COUNT; i++)
			list[i] = (struct report_figure){figures[i].key, &series[plan][i]};
		report_append(json_path, &machine, "startup", plans[plan].name, list, FIG_COUNT);
	}
	sink_close(&sink);
	slave_close(&slave);
	free(config);
	return allocated_bytes == 0 ? 0 : 1;
}
