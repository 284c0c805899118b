/* What the real ringmaind does while there is nothing to do: wake-ups and CPU a second, thread by thread.
 *
 *   one         a target, a Modbus TCP line with a device that is asked once an hour
 *   many        100 targets and 100 such devices
 *   away        100 targets whose server is not there, and 100 devices that are not: reconnecting is all it does
 *   quiet       a target without any line
 *
 * A wake-up is a voluntary context switch of /proc/PID/task/TID/status: the thread slept, and something woke it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/child.h"
#include "perf/daemon.h"
#include "perf/machine.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/sink.h"
#include "perf/slave.h"

#define CONFIG_BYTES  (256u << 10)
#define CONNECT_MAX_S 30
#define SETTLE_S      3.0 /* everything has been asked once, and the log has been written */
#define WANTED_WAKES  5.0 /* a second and thread: less */

enum plan { PLAN_ONE, PLAN_MANY, PLAN_AWAY, PLAN_QUIET, PLAN_COUNT };

static const struct {
	const char *name;
	uint32_t target_count, device_count;
	bool is_there;
} plans[PLAN_COUNT] = {
	[PLAN_ONE] = {"one", 1, 1, true},
	[PLAN_MANY] = {"many", 100, 100, true},
	[PLAN_AWAY] = {"away", 100, 100, false},
	[PLAN_QUIET] = {"quiet", 1, 0, true},
};

struct thread_figures {
	char name[16];
	struct series wakes, forced, cpu_us; /* a second */
};

static struct plan_figures {
	struct thread_figures threads[DAEMON_THREADS_MAX];
	uint32_t thread_count;
	struct series wakes, cpu_us; /* of all */
} figures[PLAN_COUNT];

static uint64_t allocated_bytes;
static char config[CONFIG_BYTES];

static void write_config(enum plan plan, uint16_t sink_port, uint16_t slave_port)
{
	size_t at = rig_text(config, sizeof(config), 0, "node: bench\ntargets:\n");

	for (uint32_t i = 0; i < plans[plan].target_count; i++)
		at = rig_text(config, sizeof(config), at, "  - {name: t%u, url: \"mqtt://127.0.0.1:%u\"}\n",
			      i, sink_port);
	if (plans[plan].device_count == 0)
		return;
	at = rig_text(config, sizeof(config), at, "lines:\n");
	for (uint32_t i = 0; i < plans[plan].device_count; i++)
		at = rig_text(config, sizeof(config), at,
			      "  - {name: l%u, modbus_tcp: {address: \"127.0.0.1:%u\"}}\n", i, slave_port);
	at = rig_text(config, sizeof(config), at, "devices:\n");
	for (uint32_t i = 0; i < plans[plan].device_count; i++)
		at = rig_text(
			config, sizeof(config), at,
			"  - {name: d%u, line: l%u, every: 1h, tags: [{name: v, address: \"holding:0\", "
			"type: uint16}]}\n",
			i, i);
	at = rig_text(config, sizeof(config), at, "definitions:\n");
	for (uint32_t i = 0; i < plans[plan].target_count; i++)
		at = rig_text(config, sizeof(config), at,
			      "  - {name: d, target: t%u, tags: [d%u.v], topic: \"bench/{device}\"}\n", i, i);
}

static struct thread_figures *figures_of(struct plan_figures *of, const char *name)
{
	for (uint32_t i = 0; i < of->thread_count; i++)
		if (strcmp(of->threads[i].name, name) == 0)
			return &of->threads[i];
	snprintf(of->threads[of->thread_count].name, sizeof(of->threads[0].name), "%s", name);
	return &of->threads[of->thread_count++];
}

static void add_difference(struct plan_figures *of, const struct daemon_sample *from,
			   const struct daemon_sample *to)
{
	double seconds = (double)mono_since(to->at, from->at) / 1e9, wakes = 0;

	for (uint32_t i = 0; i < to->thread_count; i++) {
		const struct daemon_thread *b = &to->threads[i], *a = NULL;

		for (uint32_t k = 0; k < from->thread_count && !a; k++)
			a = from->threads[k].tid == b->tid ? &from->threads[k] : NULL;
		if (!a)
			continue; /* begun meanwhile: one of the resolver's */
		struct thread_figures *t = figures_of(of, b->name);

		if (t->wakes.count == SERIES_MAX)
			continue;
		series_add(&t->wakes, (double)(b->wakes - a->wakes) / seconds);
		series_add(&t->forced, (double)(b->forced - a->forced) / seconds);
		series_add(&t->cpu_us, (double)(b->cpu_ns - a->cpu_ns) / 1e3 / seconds);
		wakes += (double)(b->wakes - a->wakes) / seconds;
	}
	series_add(&of->wakes, wakes);
	series_add(&of->cpu_us, (double)(to->cpu_ns - from->cpu_ns) / 1e3 / seconds);
}

/* So many rounds of one run of the daemon. */
static void measure(enum plan plan, uint32_t rounds, double seconds, const struct sink *sink,
		    const struct slave *slave)
{
	struct daemon_sample from, to;
	struct daemon daemon;

	write_config(plan, plans[plan].is_there ? sink->port : child_free_port(),
		     plans[plan].is_there ? slave->port : child_free_port());
	daemon_prepare(&daemon, config);
	daemon_start(&daemon, -1);
	if (plans[plan].is_there)
		daemon_wait_connected(&daemon, CONNECT_MAX_S);
	rig_pause_s(SETTLE_S);
	daemon_sample(&daemon, &from);
	for (uint32_t i = 0; i < rounds; i++) {
		rig_pause_s(seconds);
		daemon_sample(&daemon, &to);
		add_difference(&figures[plan], &from, &to);
		from = to;
	}
	allocated_bytes += daemon_allocated_bytes(&daemon);
	daemon_stop(&daemon);
}

/* --- report ------------------------------------------------------------------------------------------------------------- */

static void print_row(const char *plan, const char *thread, const struct series *wakes,
		      const struct series *forced, const struct series *cpu_us)
{
	printf("%-8s %-16s %9.2f %9.2f %9.2f %9.1f", plan, thread, series_median(wakes), series_min(wakes),
	       series_max(wakes), series_median(cpu_us));
	if (forced)
		printf(" | %9.2f", series_median(forced));
	printf("\n");
}

static void print_report(uint32_t rounds, double seconds)
{
	uint32_t missed = 0;

	printf("idle: the real daemon at rest, %u rounds of %g s; a second\n", rounds, seconds);
	printf("%-8s %-16s %9s %9s %9s %9s | %9s\n", "", "thread", "wake-ups", "min", "max", "CPU us",
	       "forced");
	for (uint32_t plan = 0; plan < PLAN_COUNT; plan++) {
		const struct plan_figures *of = &figures[plan];

		for (uint32_t i = 0; i < of->thread_count; i++) {
			const struct thread_figures *t = &of->threads[i];

			print_row(plans[plan].name, t->name, &t->wakes, &t->forced, &t->cpu_us);
			missed += plan != PLAN_AWAY && series_median(&t->wakes) >= WANTED_WAKES;
		}
		print_row(plans[plan].name, "all", &of->wakes, NULL, &of->cpu_us);
	}
	printf("wanted: fewer than %.0f wake-ups a second and thread (but where a server is away): %s\n",
	       WANTED_WAKES, missed ? "MISSED" : "met");
}

static void append_json(const char *path, const struct machine *m)
{
	for (uint32_t plan = 0; plan < PLAN_COUNT; plan++) {
		const struct plan_figures *of = &figures[plan];
		struct report_figure list[DAEMON_THREADS_MAX + 2];
		char keys[DAEMON_THREADS_MAX][40];
		uint32_t count = 0;

		list[count++] = (struct report_figure){"all_wakes", &of->wakes};
		list[count++] = (struct report_figure){"all_cpu_us", &of->cpu_us};
		for (uint32_t i = 0; i < of->thread_count; i++) {
			snprintf(keys[i], sizeof(keys[i]), "%.15s_wakes", of->threads[i].name);
			list[count++] = (struct report_figure){keys[i], &of->threads[i].wakes};
		}
		report_append(path, m, "idle", plans[plan].name, list, count);
	}
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *json_path = NULL;
	uint32_t rounds = 7;
	double seconds = 1;
	struct machine machine;
	struct slave slave;
	struct sink sink;
	int key, rc;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': seconds = strtod(optarg, NULL); break;
		case 'j': json_path = optarg; break;
		default: rounds = 0; break;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SERIES_MAX || !(seconds > 0)) {
		fprintf(stderr, "usage: bench_idle [--rounds N] [--seconds S] [--json FILE]\n");
		return 2;
	}
	machine_read(&machine);
	slave_open(&slave, 0); /* before there are threads */
	rc = sink_open(&sink, 0, 0);
	if (rc < 0)
		rig_fail("sink", -rc);
	for (uint32_t plan = 0; plan < PLAN_COUNT; plan++)
		measure((enum plan)plan, rounds, seconds, &sink, &slave);
	machine_print(&machine);
	print_report(rounds, seconds);
	report_allocations(allocated_bytes);
	append_json(json_path, &machine);
	sink_close(&sink);
	slave_close(&slave);
	return allocated_bytes == 0 ? 0 : 1;
}
