/* The same messages to the same sink by the node and by the usual client libraries, turn by turn.
 *
 *   ringmain    perf/source.h fills the ring, the publisher sends; the source's CPU time is shown apart
 *   mosquitto   libmosquitto, perf/peer_mosquitto.c      each in a process of its own, all of whose CPU time counts
 *   paho        Paho C, perf/peer_paho.c
 *   plain       send() of one prepared 64 KiB buffer: what the kernel alone costs
 *   relay       packets that another core has written, sent from a plain buffer: what handing them over costs besides
 *
 * MQTT 3.1.1, topic of 31 bytes, payload of --bytes. CPU 0: source and sink, CPU 1: publisher and plain loop; peers may
 * use both. Which of a library's ways is used, and with which window, was tried: see perf/README.md. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/child.h"
#include "perf/machine.h"
#include "perf/relay.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/sink.h"
#include "perf/source.h"

#define TOPIC          "bench/hall-1/line-7/energy/t000"
#define WARM_UP_S      0.2
#define CONNECT_MAX_MS 5000
#define CONFIG_BYTES   8192

enum who { RINGMAIN, MOSQUITTO, PAHO, PLAIN, RELAY, WHO_COUNT };
enum figure { FIG_RATE, FIG_CPU_NS, FIG_SINK_NS, FIG_BYTES, FIG_CPU_RATIO, FIG_RATE_RATIO, FIG_COUNT };

static const char *const names[WHO_COUNT] = {"ringmain", "mosquitto", "paho", "plain", "relay"};

struct options {
	uint32_t rounds, payload_bytes;
	double seconds;
	uint8_t qos;
	const char *mosquitto_threads, *mosquitto_window, *paho_window;
	const char *json_path;
};

struct reading {
	struct mono at;
	uint64_t cpu_ns, source_ns;
	struct sink_counts sink;
};

struct result {
	double rate, cpu_ns, source_ns, sink_ns, bytes;
};

static struct result result_of(const struct reading *from, const struct reading *to)
{
	double messages = (double)(to->sink.messages - from->sink.messages);
	double seconds = (double)mono_since(to->at, from->at) / 1e9;

	if (messages == 0)
		rig_fail("no message reached the sink", ETIMEDOUT);
	return (struct result){
		.rate = messages / seconds,
		.cpu_ns = (double)(to->cpu_ns - from->cpu_ns) / messages,
		.source_ns = (double)(to->source_ns - from->source_ns) / messages,
		.sink_ns = (double)(to->sink.cpu_ns - from->sink.cpu_ns) / messages,
		.bytes = (double)(to->sink.bytes - from->sink.bytes) / messages,
	};
}

static struct result run_ringmain(const struct options *o, const struct sink *sink, uint64_t *allocated_bytes)
{
	const struct source_plan plan = {.payload_bytes = o->payload_bytes,
					 .target_count = 1,
					 .publisher_count = 1,
					 .tag_count = 100,
					 .first_cpu = 1,
					 .port = sink->port,
					 .qos = o->qos};
	char config[CONFIG_BYTES];
	struct reading readings[2];
	struct source source;
	struct rig rig;

	source_config(&plan, config, sizeof(config));
	rig_open(&rig, config, RIG_OWN_SOURCE);
	rig_wait_connected(&rig);
	source_start(&source, &rig, o->payload_bytes, plan.tag_count, 0);
	rig_pause_s(WARM_UP_S);
	for (int i = 0; i < 2; i++) {
		readings[i] = (struct reading){.at = clock_mono(),
					       .cpu_ns = rig_publishers_cpu_ns(&rig),
					       .source_ns = thread_cpu_ns(source.thread),
					       .sink = sink_counts(sink)};
		if (i == 0)
			rig_pause_s(o->seconds);
	}
	*allocated_bytes += rig_allocated_bytes(&rig) + source.allocated_bytes;
	source_stop(&source);
	rig_close(&rig);
	return result_of(&readings[0], &readings[1]);
}

static struct result run_child(const struct options *o, const struct sink *sink, const char *const argv[])
{
	uint64_t before = sink_counts(sink).messages;
	struct reading readings[2];
	pid_t pid = child_start(argv, -1);

	for (uint32_t ms = 0; sink_counts(sink).messages == before; ms++) {
		if (ms == CONNECT_MAX_MS || child_has_ended(pid))
			rig_fail(argv[0], ETIMEDOUT);
		rig_pause_s(0.001);
	}
	rig_pause_s(WARM_UP_S);
	for (int i = 0; i < 2; i++) {
		readings[i] = (struct reading){
			.at = clock_mono(), .cpu_ns = child_cpu_ns(pid), .sink = sink_counts(sink)};
		if (i == 0)
			rig_pause_s(o->seconds);
	}
	if (child_has_ended(pid))
		rig_fail(argv[0], ECHILD);
	child_end(pid);
	return result_of(&readings[0], &readings[1]);
}

static struct result run_plain(const struct options *o, const struct sink *sink)
{
	static struct plain p;
	struct reading readings[2];

	plain_fill_same(&p, o->qos, TOPIC, o->payload_bytes);
	plain_start(&p, sink->port, 1);
	rig_pause_s(WARM_UP_S);
	for (int i = 0; i < 2; i++) {
		readings[i] = (struct reading){
			.at = clock_mono(), .cpu_ns = thread_cpu_ns(p.thread), .sink = sink_counts(sink)};
		if (i == 0)
			rig_pause_s(o->seconds);
	}
	plain_stop(&p);
	return result_of(&readings[0], &readings[1]);
}

static struct result run_relay(const struct options *o, const struct sink *sink)
{
	static struct relay r;
	struct reading readings[2];

	plain_fill_same(&r.same, o->qos, TOPIC, o->payload_bytes);
	relay_start(&r, sink->port, 0, 1);
	rig_pause_s(WARM_UP_S);
	for (int i = 0; i < 2; i++) {
		readings[i] = (struct reading){
			.at = clock_mono(), .cpu_ns = thread_cpu_ns(r.sender), .sink = sink_counts(sink)};
		if (i == 0)
			rig_pause_s(o->seconds);
	}
	relay_stop(&r);
	return result_of(&readings[0], &readings[1]);
}

static struct result run(enum who who, const struct options *o, const struct sink *sink,
			 uint64_t *allocated_bytes)
{
	char port[8], qos[4], bytes[12];

	snprintf(port, sizeof(port), "%u", sink->port);
	snprintf(qos, sizeof(qos), "%u", o->qos);
	snprintf(bytes, sizeof(bytes), "%u", o->payload_bytes);
	switch (who) {
	case RINGMAIN: return run_ringmain(o, sink, allocated_bytes);
	case MOSQUITTO:
		return run_child(o, sink,
				 (const char *[]){"./peer_mosquitto", port, qos, TOPIC, bytes,
						  o->mosquitto_threads, o->mosquitto_window, NULL});
	case PAHO:
		return run_child(
			o, sink,
			(const char *[]){"./peer_paho", port, qos, TOPIC, bytes, o->paho_window, NULL});
	case PLAIN: return run_plain(o, sink);
	case RELAY: return run_relay(o, sink);
	case WHO_COUNT: break;
	}
	UNREACHABLE();
}

/* --- report --------------------------------------------------------------------------------------------------------- */

static void print_row(const char *name, const char *what, const struct series *s)
{
	printf("%-10s  %-34s %10.4g %10.4g %10.4g\n", name, what, series_median(s), series_min(s),
	       series_max(s));
}

static void print_report(const struct options *o, struct series of[WHO_COUNT][FIG_COUNT],
			 const struct series *source_ns)
{
	static const char *const labels[FIG_COUNT] = {
		"messages/s",    "CPU ns/message",     "CPU ns/message, sink",
		"bytes/message", "CPU, of ringmain's", "messages/s, of ringmain's",
	};

	printf("peers: QoS %u, payload %u bytes, MQTT 3.1.1, %u rounds of %g s; libmosquitto: %s thread(s), "
	       "window %s; Paho: window %s\n",
	       o->qos, o->payload_bytes, o->rounds, o->seconds, o->mosquitto_threads,
	       o->qos ? o->mosquitto_window : "-", o->qos ? o->paho_window : "-");
	printf("%-46s %10s %10s %10s\n", "", "median", "min", "max");
	for (uint32_t i = 0; i < FIG_COUNT; i++)
		for (uint32_t who = i >= FIG_CPU_RATIO ? MOSQUITTO : RINGMAIN; who < WHO_COUNT; who++)
			print_row(names[who], labels[i], &of[who][i]);
	print_row(names[RINGMAIN], "CPU ns/message of the source, apart", source_ns);
}

static void append_json(const struct options *o, const struct machine *m,
			struct series of[WHO_COUNT][FIG_COUNT], const struct series *source_ns)
{
	static const char *const keys[FIG_COUNT] = {"per_s", "cpu_ns",          "sink_ns",
						    "bytes", "cpu_of_ringmain", "rate_of_ringmain"};
	struct report_figure figures[WHO_COUNT * FIG_COUNT + 1];
	char texts[WHO_COUNT * FIG_COUNT][48], name[64];
	uint32_t count = 0;

	for (uint32_t who = 0; who < WHO_COUNT; who++)
		for (uint32_t i = 0; i < FIG_COUNT; i++) {
			snprintf(texts[count], sizeof(texts[0]), "%s_%s", names[who], keys[i]);
			figures[count] = (struct report_figure){texts[count], &of[who][i]};
			count++;
		}
	figures[count++] = (struct report_figure){"source_ns", source_ns};
	snprintf(name, sizeof(name), "qos=%u bytes=%u", o->qos, o->payload_bytes);
	report_append(o->json_path, m, "peers", name, figures, count);
}

/* --- options -------------------------------------------------------------------------------------------------------- */

static NORETURN void usage(void)
{
	fprintf(stderr,
		"usage: bench_peers [--rounds N] [--seconds S] [--qos 0|1|2] [--bytes N] [--json FILE]\n"
		"                   [--mosquitto-threads 1|2] [--mosquitto-window N] [--paho-window N]\n");
	exit(2);
}

static struct options options_of(int argc, char **argv)
{
	enum { ROUNDS = 256, SECONDS, QOS, BYTES, THREADS, WINDOW, PAHO_WINDOW, JSON };
	static const struct option known[] = {
		{"rounds", required_argument, NULL, ROUNDS},
		{"seconds", required_argument, NULL, SECONDS},
		{"qos", required_argument, NULL, QOS},
		{"bytes", required_argument, NULL, BYTES},
		{"mosquitto-threads", required_argument, NULL, THREADS},
		{"mosquitto-window", required_argument, NULL, WINDOW},
		{"paho-window", required_argument, NULL, PAHO_WINDOW},
		{"json", required_argument, NULL, JSON},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.rounds = 5,
			    .seconds = 0.7,
			    .payload_bytes = 64,
			    .mosquitto_threads = "1",
			    .mosquitto_window = "1000",
			    .paho_window = "100"};
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case ROUNDS: o.rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case SECONDS: o.seconds = strtod(optarg, NULL); break;
		case QOS: o.qos = (uint8_t)strtoul(optarg, NULL, 10); break;
		case BYTES: o.payload_bytes = (uint32_t)strtoul(optarg, NULL, 10); break;
		case THREADS: o.mosquitto_threads = optarg; break;
		case WINDOW: o.mosquitto_window = optarg; break;
		case PAHO_WINDOW: o.paho_window = optarg; break;
		case JSON: o.json_path = optarg; break;
		default: usage();
		}
	}
	if (optind != argc || o.rounds < 1 || o.rounds > SERIES_MAX || !(o.seconds > 0) || o.qos > 2 ||
	    o.payload_bytes < 1 || o.payload_bytes > 4096)
		usage();
	return o;
}

int main(int argc, char **argv)
{
	static struct series of[WHO_COUNT][FIG_COUNT];
	struct options o = options_of(argc, argv);
	struct series source_ns = {0};
	uint64_t allocated_bytes = 0;
	struct machine machine;
	struct sink sink;
	int rc;

	machine_read(&machine);
	rc = sink_open(&sink, 0, 0);
	if (rc < 0)
		rig_fail("sink", -rc);
	for (uint32_t round = 0; round < o.rounds; round++) {
		struct result results[WHO_COUNT];

		for (uint32_t i = 0; i < WHO_COUNT; i++) {
			enum who who = (enum who)((round + i) % WHO_COUNT); /* another one begins each time */

			results[who] = run(who, &o, &sink, &allocated_bytes);
		}
		for (uint32_t who = 0; who < WHO_COUNT; who++) {
			const struct result *r = &results[who];

			series_add(&of[who][FIG_RATE], r->rate);
			series_add(&of[who][FIG_CPU_NS], r->cpu_ns);
			series_add(&of[who][FIG_SINK_NS], r->sink_ns);
			series_add(&of[who][FIG_BYTES], r->bytes);
			series_add(&of[who][FIG_CPU_RATIO], r->cpu_ns / results[RINGMAIN].cpu_ns);
			series_add(&of[who][FIG_RATE_RATIO], r->rate / results[RINGMAIN].rate);
		}
		series_add(&source_ns, results[RINGMAIN].source_ns);
	}
	sink_close(&sink);
	machine_print(&machine);
	print_report(&o, of, &source_ns);
	report_allocations(allocated_bytes);
	append_json(&o, &machine, of, &source_ns);
	return allocated_bytes == 0 ? 0 : 1;
}
