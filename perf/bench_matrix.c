/* From the ring to the socket, by QoS, size, alias, number of targets and of publishers; the plain send loop beside each.
 *
 * perf/source.h writes payloads of exactly so many bytes into the rings and waits while these are half full, so nothing is
 * overwritten. Topic of 31 bytes. CPU 0: source and sink, CPU 1: publisher and plain loop; a second publisher has CPU 0, which
 * it shares: with two CPUs that shows what a second one costs, not what it gives. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/machine.h"
#include "perf/plain.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/sink.h"
#include "perf/source.h"

#define TOPIC        "bench/hall-1/line-7/energy/t000"
#define TAGS         100u
#define WARM_UP_S    0.05 /* many laps of the rings */
#define CONFIG_BYTES (256u << 10)

enum figure {
	FIG_RATE,
	FIG_SENDER_NS,
	FIG_SOURCE_NS,
	FIG_SINK_BUSY,
	FIG_BYTES,
	FIG_BATCH,
	FIG_PLAIN_RATE,
	FIG_PLAIN_NS,
	FIG_RATIO,
	FIG_COUNT
};

static const struct {
	const char *key, *label;
} figure_names[FIG_COUNT] = {
	[FIG_RATE] = {"per_s", "messages/s"},          [FIG_SENDER_NS] = {"sender_ns", "publisher"},
	[FIG_SOURCE_NS] = {"source_ns", "source"},     [FIG_SINK_BUSY] = {"sink_busy", "sink"},
	[FIG_BYTES] = {"packet_bytes", "bytes"},       [FIG_BATCH] = {"messages_per_send", "msg/send"},
	[FIG_PLAIN_RATE] = {"plain_per_s", "plain/s"}, [FIG_PLAIN_NS] = {"plain_ns", "plain"},
	[FIG_RATIO] = {"rate_of_plain", "of plain"},
};

static const struct plan {
	uint8_t qos;
	uint32_t payload_bytes, target_count, publisher_count;
	bool v5, alias;
} plans[] = {
	{0, 16, 1, 1, 0, 0},   {0, 64, 1, 1, 0, 0}, {0, 256, 1, 1, 0, 0}, {0, 1024, 1, 1, 0, 0},
	{1, 16, 1, 1, 0, 0},   {1, 64, 1, 1, 0, 0}, {1, 256, 1, 1, 0, 0}, {1, 1024, 1, 1, 0, 0},
	{2, 16, 1, 1, 0, 0},   {2, 64, 1, 1, 0, 0}, {2, 256, 1, 1, 0, 0}, {2, 1024, 1, 1, 0, 0},
	{0, 64, 1, 1, 1, 0},   {0, 16, 1, 1, 1, 1}, {0, 64, 1, 1, 1, 1},  {0, 256, 1, 1, 1, 1},
	{0, 1024, 1, 1, 1, 1}, {0, 64, 2, 1, 0, 0}, {0, 64, 8, 1, 0, 0},  {0, 64, 64, 1, 0, 0},
	{1, 64, 64, 1, 0, 0},  {0, 64, 2, 2, 0, 0}, {0, 64, 8, 2, 0, 0},  {0, 64, 64, 2, 0, 0},
};

#define PLANS (sizeof(plans) / sizeof(plans[0]))

struct reading {
	struct mono at;
	uint64_t sender_ns, source_ns, made, sent, sends;
	struct sink_counts sink;
};

static struct series series[PLANS][FIG_COUNT];
static uint64_t allocated_bytes;
static char config[CONFIG_BYTES];

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static struct reading node_reading(const struct rig *rig, const struct source *source,
				   const struct sink *sink)
{
	struct reading r = {.at = clock_mono(),
			    .sender_ns = rig_publishers_cpu_ns(rig),
			    .source_ns = thread_cpu_ns(source->thread),
			    .made = atomic_load_explicit(&source->made, memory_order_relaxed),
			    .sink = sink_counts(sink)};

	for (uint32_t i = 0; i < rig->cfg->target_count; i++) {
		r.sent += counter_get(&node_target(&rig->node, i)->metrics.sent_messages);
		r.sends += counter_get(&node_target(&rig->node, i)->metrics.sends);
	}
	return r;
}

static double run_node(const struct plan *p, struct series *of, const struct sink *sink, double seconds)
{
	const struct source_plan plan = {.payload_bytes = p->payload_bytes,
					 .target_count = p->target_count,
					 .publisher_count = p->publisher_count,
					 .tag_count = TAGS,
					 .first_cpu = 1,
					 .port = sink->port,
					 .qos = p->qos,
					 .alias = p->alias,
					 .v5 = p->v5};
	struct reading from, to;
	struct source source;
	struct rig rig;
	uint64_t counted;
	double took_s;

	source_config(&plan, config, sizeof(config));
	rig_open(&rig, config, RIG_OWN_SOURCE);
	rig_wait_connected(&rig);
	source_start(&source, &rig, p->payload_bytes, TAGS, 0);
	rig_pause_s(WARM_UP_S);
	from = node_reading(&rig, &source, sink);
	rig_pause_s(seconds);
	to = node_reading(&rig, &source, sink);
	source_stop(&source);
	allocated_bytes += rig_allocated_bytes(&rig) + source.allocated_bytes;
	rig_close(&rig);
	counted = to.sink.messages - from.sink.messages;
	took_s = (double)mono_since(to.at, from.at) / 1e9;
	series_add(&of[FIG_RATE], (double)counted / took_s);
	series_add(&of[FIG_SENDER_NS], ratio(to.sender_ns - from.sender_ns, counted));
	series_add(&of[FIG_SOURCE_NS], ratio(to.source_ns - from.source_ns, to.made - from.made));
	series_add(&of[FIG_SINK_BUSY], (double)(to.sink.cpu_ns - from.sink.cpu_ns) / 1e9 / took_s);
	series_add(&of[FIG_BYTES], ratio(to.sink.bytes - from.sink.bytes, counted));
	series_add(&of[FIG_BATCH], ratio(to.sent - from.sent, to.sends - from.sends));
	return (double)counted / took_s;
}

static double run_plain(const struct plan *p, struct series *of, const struct sink *sink, double seconds)
{
	static struct plain plain;
	struct reading readings[2];
	uint64_t counted;
	double rate;

	plain_fill_same(&plain, p->qos, TOPIC, p->payload_bytes);
	plain_start(&plain, sink->port, 1);
	rig_pause_s(WARM_UP_S);
	for (int i = 0; i < 2; i++) {
		readings[i] = (struct reading){.at = clock_mono(),
					       .sender_ns = thread_cpu_ns(plain.thread),
					       .sink = sink_counts(sink)};
		if (i == 0)
			rig_pause_s(seconds);
	}
	plain_stop(&plain);
	counted = readings[1].sink.messages - readings[0].sink.messages;
	rate = (double)counted / ((double)mono_since(readings[1].at, readings[0].at) / 1e9);
	series_add(&of[FIG_PLAIN_RATE], rate);
	series_add(&of[FIG_PLAIN_NS], ratio(readings[1].sender_ns - readings[0].sender_ns, counted));
	return rate;
}

static void print_report(const struct machine *m, uint32_t rounds, double seconds)
{
	machine_print(m);
	printf("matrix: ring to sink, %u rounds of %g s beside the plain loop; medians, in brackets the "
	       "spread of the "
	       "publisher's\npublisher, source, plain: CPU ns/message; sink: share of a CPU\n",
	       rounds, seconds);
	printf("%-3s %5s %-5s %7s %10s", "QoS", "bytes", "alias", "targets", "publishers");
	for (uint32_t i = 0; i < FIG_COUNT; i++)
		printf(" %10s", figure_names[i].label);
	printf("\n");
	for (uint32_t i = 0; i < PLANS; i++) {
		const struct plan *p = &plans[i];

		printf("%-3u %5u %-5s %7u %10u", p->qos, p->payload_bytes,
		       p->alias ? "on"
		       : p->v5  ? "v5"
				: "-",
		       p->target_count, p->publisher_count);
		for (uint32_t j = 0; j < FIG_COUNT; j++)
			printf(" %10.4g", series_median(&series[i][j]));
		printf("  (%.0f - %.0f)\n", series_min(&series[i][FIG_SENDER_NS]),
		       series_max(&series[i][FIG_SENDER_NS]));
	}
}

static void append_json(const char *path, const struct machine *m)
{
	for (uint32_t i = 0; i < PLANS; i++) {
		const struct plan *p = &plans[i];
		struct report_figure figures[FIG_COUNT];
		char name[96];

		for (uint32_t j = 0; j < FIG_COUNT; j++)
			figures[j] = (struct report_figure){figure_names[j].key, &series[i][j]};
		snprintf(name, sizeof(name), "qos=%u bytes=%u version=%s alias=%s targets=%u publishers=%u",
			 p->qos, p->payload_bytes, p->v5 ? "5" : "3.1.1", p->alias ? "on" : "off",
			 p->target_count, p->publisher_count);
		report_append(path, m, "matrix", name, figures, FIG_COUNT);
	}
}

static NORETURN void usage(void)
{
	fprintf(stderr, "usage: bench_matrix [--rounds N] [--seconds S] [--case N] [--json FILE]\n"
			"--case: that line of the table alone, from 1\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"case", required_argument, NULL, 'c'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *json_path = NULL;
	uint32_t rounds = 7, only = 0;
	double seconds = 0.07;
	struct machine machine;
	struct sink sink;
	int key, rc;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': seconds = strtod(optarg, NULL); break;
		case 'c': only = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'j': json_path = optarg; break;
		default: usage();
		}
	}
	if (optind != argc || rounds < 1 || rounds > SERIES_MAX || !(seconds > 0) || only > PLANS)
		usage();
	machine_read(&machine);
	rc = sink_open(&sink, 0, TAGS);
	if (rc < 0)
		rig_fail("sink", -rc);
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t i = 0; i < PLANS; i++) {
			double node, plain;

			if (only && only != i + 1)
				continue;
			node = run_node(&plans[i], series[i], &sink, seconds);
			plain = run_plain(&plans[i], series[i], &sink, seconds);
			if (plain > 0)
				series_add(&series[i][FIG_RATIO], node / plain);
		}
	sink_close(&sink);
	print_report(&machine, rounds, seconds);
	report_allocations(allocated_bytes);
	append_json(json_path, &machine);
	return allocated_bytes == 0 ? 0 : 1;
}
