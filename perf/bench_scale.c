/* What a target, a device, a tag costs: memory and CPU of the real ringmaind as they grow from 1 to 10,000.
 *
 *   targets   each its own connection to the sink, a ring of 1000 messages, a definition; 10 messages a second each
 *   devices   each its own Modbus TCP connection to perf/slave.c, polled once a second for 10 registers in one read, 10 tags
 *   tags      of a synthetic source, 1000 updates a second over all, each tag its own topic, one target
 *
 * 1000 targets are what a figure is wanted of: they are measured in more rounds, each beside plain_many.h's two threads, which
 * only send the same from the same number of connections at the same rate. The product's limit is 4096 targets. The daemon is anywhere, the sink and the slave have CPU 0. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "perf/daemon.h"
#include "perf/machine.h"
#include "perf/plain_many.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/sink.h"
#include "perf/slave.h"

#define CONFIG_BYTES      (16u << 20)
#define CONNECT_MAX_S     60
#define SETTLE_S          1.0
#define MESSAGES_PER_S    10u   /* of a target */
#define UPDATES_PER_S     1000u /* of all tags */
#define POINTS            5
#define SPARE_DESCRIPTORS 64u

/* What is wanted of 1000 targets. */
#define WANTED_TARGETS    1000u
#define WANTED_CPU        0.10
#define WANTED_BEYOND_KIB 20.0
#define WANTED_ROUNDS     7u

enum axis { AXIS_TARGETS, AXIS_DEVICES, AXIS_TAGS, AXIS_COUNT };
enum figure {
	FIG_RESIDENT,
	FIG_CHECKED,
	FIG_RINGS,
	FIG_CPU,
	FIG_RATE,
	FIG_CPU_MESSAGE,
	FIG_WAKES,
	FIG_COUNT
};

static const char *const axis_names[AXIS_COUNT] = {"targets", "devices", "tags"};
static const uint32_t points[AXIS_COUNT][POINTS] = {
	[AXIS_TARGETS] = {1, 10, 100, 1000, 4096},
	[AXIS_DEVICES] = {1, 10, 100, 1000, 10000},
	[AXIS_TAGS] = {1, 10, 100, 1000, 10000},
};
static const char *const keys[FIG_COUNT] = {
	[FIG_RESIDENT] = "resident_kib",  [FIG_CHECKED] = "checked_kib", [FIG_RINGS] = "rings_kib",
	[FIG_CPU] = "cpu_share",          [FIG_RATE] = "done_per_s",     [FIG_CPU_MESSAGE] = "each_ns",
	[FIG_WAKES] = "wakes_per_second",
};

struct options {
	uint32_t rounds, count_max;
	double seconds;
	const char *json_path;
};

static struct series series[AXIS_COUNT][POINTS][FIG_COUNT];
static struct series plain_cpu, of_plain; /* of a core; and ours of plain's in the same round */
static uint64_t allocated_bytes;
static char *config;

/* --- configurations ----------------------------------------------------------------------------------------------------- */

static size_t targets_config(uint32_t count, uint16_t port)
{
	size_t at = rig_text(config, CONFIG_BYTES, 0, "node: bench\npublishers:\n");

	for (uint32_t i = 0; i <= (count - 1) / CFG_TARGETS_PER_PUBLISHER; i++)
		at = rig_text(config, CONFIG_BYTES, at, "  - {name: p%u}\n", i);
	at = rig_text(config, CONFIG_BYTES, at, "targets:\n");
	for (uint32_t i = 0; i < count; i++)
		at = rig_text(config, CONFIG_BYTES, at, "  - {name: t%u, url: \"mqtt://127.0.0.1:%u\"}\n", i,
			      port);
	at = rig_text(config, CONFIG_BYTES, at,
		      "lines: [{name: m1, synthetic: {tags: %u, rate: %u}}]\ndefinitions:\n", count,
		      count * MESSAGES_PER_S);
	for (uint32_t i = 0; i < count; i++)
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - {name: d, target: t%u, tags: [m1.t%u], topic: \"bench/{tag}\"}\n", i, i);
	return at;
}

static size_t devices_config(uint32_t count, uint16_t sink_port, uint16_t slave_port)
{
	uint32_t sampler_count = (count - 1) / CFG_LINES_PER_SAMPLER + 1;
	size_t at = rig_text(config, CONFIG_BYTES, 0,
			     "node: bench\ntargets: [{name: t, url: \"mqtt://127.0.0.1:%u\"}]\nsamplers:\n",
			     sink_port);

	for (uint32_t i = 0; i < sampler_count; i++)
		at = rig_text(config, CONFIG_BYTES, at, "  - {name: s%u}\n", i);
	at = rig_text(config, CONFIG_BYTES, at, "lines:\n");
	for (uint32_t i = 0; i < count; i++)
		at = rig_text(config, CONFIG_BYTES, at,
			      "  - {name: l%u, sampler: s%u, modbus_tcp: {address: \"127.0.0.1:%u\"}}\n", i,
			      i % sampler_count, slave_port);
	at = rig_text(config, CONFIG_BYTES, at, "devices:\n");
	for (uint32_t i = 0; i < count; i++) {
		at = rig_text(config, CONFIG_BYTES, at, "  - name: d%u\n    line: l%u\n    tags:\n", i, i);
		for (uint32_t tag = 0; tag < 10; tag++)
			at = rig_text(config, CONFIG_BYTES, at,
				      "      - {name: v%u, address: \"holding:%u\", type: uint16}\n", tag,
				      tag);
	}
	return rig_text(config, CONFIG_BYTES, at,
			"definitions: [{name: d, target: t, tags: [d0.v0], topic: \"bench/{tag}\"}]\n");
}

static size_t tags_config(uint32_t count, uint16_t port)
{
	return rig_text(config, CONFIG_BYTES, 0,
			"node: bench\ntargets: [{name: t, url: \"mqtt://127.0.0.1:%u\"}]\n"
			"lines: [{name: m1, synthetic: {tags: %u, rate: %u}}]\n"
			"definitions: [{name: d, target: t, tags: [\"m1.*\"], topic: \"bench/{tag}\"}]\n",
			port, count, UPDATES_PER_S);
}

/* --- measuring ---------------------------------------------------------------------------------------------------------- */

static uint64_t wakes_of(const struct daemon_sample *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->thread_count; i++)
		sum += s->threads[i].wakes;
	return sum;
}

/* What the axis does: messages that the sink has counted, reads that the slave has answered. */
static uint64_t done_of(enum axis axis, const struct sink *sink, const struct slave *slave)
{
	return axis == AXIS_DEVICES ? slave_reads(slave) : sink_counts(sink).messages;
}

/* What the machine cannot give is left out. A point takes as many descriptors here or in the slave as in the daemon. */
static const char *left_out(uint32_t count, const struct daemon_budget *budget)
{
	unsigned long long available_kib = 0;
	struct rlimit limit = {0};
	char line[128];
	FILE *f;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < (rlim_t)count + SPARE_DESCRIPTORS)
		return "descriptors (ulimit -Hn)";
	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &available_kib) == 1)
			break;
	if (f)
		fclose(f);
	return budget->total_bytes / 1024 > available_kib / 10 * 8 ? "memory" : NULL;
}

/* Returns the share of a core, 0 where it was left out. */
static double measure(enum axis axis, uint32_t point, const struct options *o, const struct sink *sink,
		      const struct slave *slave)
{
	struct series *of = series[axis][point];
	uint32_t count = points[axis][point];
	struct daemon_sample from, to;
	struct daemon_budget budget;
	struct daemon daemon;
	const char *why;
	uint64_t done;
	double seconds, cpu_ns;

	switch (axis) {
	case AXIS_TARGETS: targets_config(count, sink->port); break;
	case AXIS_DEVICES: devices_config(count, sink->port, slave->port); break;
	case AXIS_TAGS: tags_config(count, sink->port); break;
	case AXIS_COUNT: UNREACHABLE();
	}
	daemon_prepare(&daemon, config);
	budget = daemon_check(&daemon);
	why = left_out(count, &budget);
	if (why) {
		printf("%s %u: left out, there is not enough of: %s\n", axis_names[axis], count, why);
		daemon_stop(&daemon);
		return 0;
	}
	daemon_start(&daemon, -1);
	daemon_wait_connected(&daemon, CONNECT_MAX_S);
	if (axis == AXIS_DEVICES)
		daemon_wait_metric(&daemon, "line_connected", count, CONNECT_MAX_S);
	rig_pause_s(SETTLE_S);
	daemon_sample(&daemon, &from);
	done = done_of(axis, sink, slave);
	rig_pause_s(o->seconds);
	daemon_sample(&daemon, &to);
	done = done_of(axis, sink, slave) - done;
	allocated_bytes += daemon_allocated_bytes(&daemon);
	daemon_stop(&daemon);

	seconds = (double)mono_since(to.at, from.at) / 1e9;
	cpu_ns = (double)(to.cpu_ns - from.cpu_ns);
	series_add(&of[FIG_RESIDENT], (double)to.resident_bytes / 1024);
	series_add(&of[FIG_CHECKED], (double)budget.total_bytes / 1024);
	series_add(&of[FIG_RINGS], (double)budget.rings_bytes / 1024);
	series_add(&of[FIG_CPU], cpu_ns / 1e9 / seconds);
	series_add(&of[FIG_RATE], (double)done / seconds);
	if (done)
		series_add(&of[FIG_CPU_MESSAGE], cpu_ns / (double)done);
	series_add(&of[FIG_WAKES], (double)(wakes_of(&to) - wakes_of(&from)) / seconds);
	return cpu_ns / 1e9 / seconds;
}

/* The point that something is wanted of, once, beside the plain loop. */
static void measure_wanted(uint32_t point, const struct options *o, const struct sink *sink,
			   const struct slave *slave)
{
	double ours = measure(AXIS_TARGETS, point, o, sink, slave);
	double plain = (double)plain_many_run(sink->port, WANTED_TARGETS, WANTED_TARGETS * MESSAGES_PER_S,
					      "bench/t500", 64, o->seconds) /
		       1e9 / o->seconds;

	series_add(&plain_cpu, plain);
	if (ours > 0)
		series_add(&of_plain, ours / plain);
}

/* --- report ------------------------------------------------------------------------------------------------------------- */

static double median(enum axis axis, uint32_t point, enum figure figure)
{
	return series_median(&series[axis][point][figure]);
}

/* Of a figure, from the point before this one: what one more costs. */
static double slope(enum axis axis, uint32_t point, enum figure figure)
{
	double more = (double)(points[axis][point] - points[axis][point - 1]);

	return (median(axis, point, figure) - median(axis, point - 1, figure)) / more;
}

static void print_axis(enum axis axis)
{
	static const char *const does[AXIS_COUNT] = {"messages/s", "reads/s", "messages/s"};

	printf("\n%-8s %11s %11s %11s | %9s %9s %9s %9s | %10s %8s %9s %9s\n", axis_names[axis], "resident",
	       "--check", "rings", "one more", "its ring", "the rest", "beyond", does[axis], "CPU", "ns each",
	       "wakes/s");
	for (uint32_t i = 0; i < POINTS && series[axis][i][FIG_CPU].count > 0; i++) {
		printf("%-8u %7.0f KiB %7.0f KiB %7.0f KiB |", points[axis][i], median(axis, i, FIG_RESIDENT),
		       median(axis, i, FIG_CHECKED), median(axis, i, FIG_RINGS));
		if (i == 0)
			printf(" %9s %9s %9s %9s |", "", "", "", "");
		else
			printf(" %9.2f %9.2f %9.2f %9.2f |", slope(axis, i, FIG_RESIDENT),
			       slope(axis, i, FIG_RINGS),
			       slope(axis, i, FIG_CHECKED) - slope(axis, i, FIG_RINGS),
			       slope(axis, i, FIG_RESIDENT) - slope(axis, i, FIG_CHECKED));
		printf(" %10.0f %6.2f %% %9.0f %9.0f\n", median(axis, i, FIG_RATE),
		       100 * median(axis, i, FIG_CPU), median(axis, i, FIG_CPU_MESSAGE),
		       median(axis, i, FIG_WAKES));
	}
}

static void print_wanted(void)
{
	for (uint32_t i = 1; i < POINTS; i++) {
		double beyond_kib = slope(AXIS_TARGETS, i, FIG_RESIDENT) -
				    slope(AXIS_TARGETS, i, FIG_CHECKED);
		const struct series *cpu = &series[AXIS_TARGETS][i][FIG_CPU];

		if (points[AXIS_TARGETS][i] != WANTED_TARGETS || series[AXIS_TARGETS][i][FIG_CPU].count == 0)
			continue;
		printf("\n%u targets, %u messages/s each, %u rounds: CPU %.2f (%.2f - %.2f) %% of a core "
		       "(wanted: "
		       "below %.0f %%: %s)\nthe plain loop %.2f (%.2f - %.2f) %%, ours %.2f (%.2f - %.2f) "
		       "times that "
		       "in the same round\na target takes %.2f KiB beyond what --check counts as configured "
		       "(wanted: at "
		       "most %.0f: %s)\n",
		       WANTED_TARGETS, MESSAGES_PER_S, cpu->count, 100 * series_median(cpu),
		       100 * series_min(cpu), 100 * series_max(cpu), 100 * WANTED_CPU,
		       series_median(cpu) < WANTED_CPU ? "met" : "MISSED", 100 * series_median(&plain_cpu),
		       100 * series_min(&plain_cpu), 100 * series_max(&plain_cpu), series_median(&of_plain),
		       series_min(&of_plain), series_max(&of_plain), beyond_kib, WANTED_BEYOND_KIB,
		       beyond_kib <= WANTED_BEYOND_KIB ? "met" : "MISSED");
	}
}

static void append_json(const struct options *o, const struct machine *m)
{
	for (uint32_t axis = 0; axis < AXIS_COUNT; axis++)
		for (uint32_t i = 0; i < POINTS; i++) {
			struct report_figure figures[FIG_COUNT];
			char name[48];

			if (series[axis][i][FIG_CPU].count == 0)
				continue;
			for (uint32_t f = 0; f < FIG_COUNT; f++)
				figures[f] = (struct report_figure){keys[f], &series[axis][i][f]};
			snprintf(name, sizeof(name), "%s=%u", axis_names[axis], points[axis][i]);
			report_append(o->json_path, m, "scale", name, figures, FIG_COUNT);
		}
	if (of_plain.count)
		report_append(
			o->json_path, m, "scale", "plain",
			(struct report_figure[]){{"plain_cpu_share", &plain_cpu}, {"of_plain", &of_plain}},
			2);
}

static NORETURN void usage(void)
{
	fprintf(stderr, "usage: bench_scale [--rounds N] [--seconds S] [--max COUNT] [--axis "
			"targets|devices|tags] [--json FILE]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 's'},
		{"max", required_argument, NULL, 'm'},    {"axis", required_argument, NULL, 'a'},
		{"json", required_argument, NULL, 'j'},   {NULL, 0, NULL, 0},
	};
	struct options o = {.rounds = 1, .seconds = 1, .count_max = 10000};
	uint32_t only = AXIS_COUNT;
	struct machine machine;
	struct slave slave;
	struct sink sink;
	int key, rc;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': o.rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': o.seconds = strtod(optarg, NULL); break;
		case 'm': o.count_max = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'a':
			for (only = 0; only < AXIS_COUNT && strcmp(optarg, axis_names[only]) != 0;)
				only++;
			if (only == AXIS_COUNT)
				usage();
			break;
		case 'j': o.json_path = optarg; break;
		default: usage();
		}
	}
	if (optind != argc || o.rounds < 1 || o.rounds > SERIES_MAX || !(o.seconds > 0) || o.count_max < 1)
		usage();
	machine_read(&machine);
	config = malloc(CONFIG_BYTES);
	if (!config)
		rig_fail("memory", ENOMEM);
	slave_open(&slave, 0); /* before there are threads */
	rc = sink_open(&sink, 0, 0);
	if (rc < 0)
		rig_fail("sink", -rc);
	for (uint32_t round = 0; round < o.rounds; round++)
		for (uint32_t axis = 0; axis < AXIS_COUNT; axis++)
			for (uint32_t i = 0; i < POINTS && points[axis][i] <= o.count_max; i++) {
				if (only != AXIS_COUNT && only != axis)
					continue;
				if (axis != AXIS_TARGETS || points[axis][i] != WANTED_TARGETS)
					(void)measure((enum axis)axis, i, &o, &sink, &slave);
				for (uint32_t n = 0; axis == AXIS_TARGETS &&
						     points[axis][i] == WANTED_TARGETS && n < WANTED_ROUNDS;
				     n++)
					measure_wanted(i, &o, &sink, &slave);
			}
	machine_print(&machine);
	printf("scale: the real daemon, %u rounds of %g s, medians\none more, in KiB and from row to row: "
	       "resident; of that as --check says, its ring and the rest; what is beyond that\nCPU: of a "
	       "core, "
	       "all threads\n",
	       o.rounds, o.seconds);
	for (uint32_t axis = 0; axis < AXIS_COUNT; axis++)
		if (only == AXIS_COUNT || only == axis)
			print_axis((enum axis)axis);
	print_wanted();
	report_allocations(allocated_bytes);
	append_json(&o, &machine);
	sink_close(&sink);
	slave_close(&slave);
	free(config);
	return allocated_bytes == 0 ? 0 : 1;
}
