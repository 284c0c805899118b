/* The whole way of a message, source to socket, beside a loop that only sends: same packets, same sink, turn by turn.
 *
 * A  synthetic source -> on-change definition -> ring -> publisher -> TCP -> sink, with the threads of tools/node.c
 * B  send() of one prepared 64 KiB buffer, over and over: what the kernel alone costs
 *
 * CPU 0: sampler and sink. CPU 1: publisher in A, sending loop in B (in both it does the TCP work, loopback's receiving
 * side too). The source makes more than can be sent, so the ring overwrites; only what the sink has counted counts. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/payload.h"
#include "perf/machine.h"
#include "perf/plain.h"
#include "perf/report.h"
#include "perf/rig.h"
#include "perf/sink.h"
#include "perf/thread.h"
#include "proto/mqtt_publish.h"

#define LINE_NAME "m1"
#define WARM_UP_S 0.2

struct options {
	uint32_t rounds, tags, buffer_messages, inflight, sampler_cpu, publisher_cpu, sink_cpu;
	uint64_t rate;
	double seconds;
	uint8_t qos;
	enum mqtt_version version;
	enum cfg_payload payload;
	bool alias;
	const char *json_path;
};

/* What one turn of A or B gave. */
enum figure {
	FIG_RATE,      /* messages a second that the sink counted */
	FIG_SENDER_NS, /* CPU a message of the publisher or the sending loop */
	FIG_SINK_NS,
	FIG_BYTES,      /* a message, on the wire */
	FIG_SAMPLER_NS, /* a message made; A only, as the rest */
	FIG_MADE,       /* messages a second put into the ring */
	FIG_BATCH,      /* messages a send */
	FIG_COUNT,
};

struct result {
	double figures[FIG_COUNT];
	uint64_t allocated_bytes;
};

/* --- A: the product ------------------------------------------------------------------------------------------------ */

/* Long enough for some 100 bytes on the wire: a text payload is but a number. */
static const char *topic_prefix(const struct options *o)
{
	return o->payload == CFG_PAYLOAD_JSON
		       ? ""
		       : "plant/hall-1/energy/main-distribution/outgoing-feeder-07/meters/live/";
}

static void config_of(const struct options *o, uint16_t port, char *out, size_t size_bytes)
{
	char alias[40] = ""; /* MQTT 3.1.1 knows no such key */

	if (o->version == MQTT_5)
		snprintf(alias, sizeof(alias), "topic_alias_max: %u,", o->alias ? o->tags : 0);
	rig_text(out, size_bytes, 0,
		 "node: bench\n"
		 "samplers: [{name: sampler, cpu: %u}]\n"
		 "publishers: [{name: publisher, cpu: %u}]\n"
		 "targets:\n"
		 "  - {name: sink, urls: [\"mqtt://127.0.0.1:%u\"], protocol: \"%s\", max_inflight: %u,\n"
		 "     %s buffer: {messages: %u}}\n"
		 "lines: [{name: " LINE_NAME ", synthetic: {tags: %u, rate: %llu}}]\n"
		 "definitions:\n"
		 "  - {name: all, target: sink, mode: on-change, tags: [\"" LINE_NAME ".*\"],\n"
		 "     topic: \"%s{device}/{tag}\", qos: %u, payload: %s}\n",
		 o->sampler_cpu, o->publisher_cpu, port, o->version == MQTT_5 ? "5" : "3.1.1", o->inflight,
		 alias, o->buffer_messages, o->tags, (unsigned long long)o->rate, topic_prefix(o), o->qos,
		 o->payload == CFG_PAYLOAD_JSON ? "json" : "text");
}

/* What is read at both ends of a turn. */
struct reading {
	struct mono at;
	uint64_t sampler_cpu_ns, sender_cpu_ns, made, sent, sends;
	struct sink_counts sink;
};

static struct reading node_reading(const struct node *n, const struct sink *sink)
{
	const struct target_metrics *m = &node_target(n, 0)->metrics;

	return (struct reading){
		.at = clock_mono(),
		.sampler_cpu_ns = thread_cpu_ns(n->sampler_threads[0].thread),
		.sender_cpu_ns = thread_cpu_ns(n->publisher_threads[0].thread),
		.made = ring_counts(n->rings[0]).made,
		.sent = counter_get(&m->sent_messages),
		.sends = counter_get(&m->sends),
		.sink = sink_counts(sink),
	};
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static struct result result_of(const struct reading *from, const struct reading *to)
{
	uint64_t counted = to->sink.messages - from->sink.messages;
	uint64_t made = to->made - from->made;
	double seconds = (double)mono_since(to->at, from->at) / 1e9;
	struct result r = {0};

	r.figures[FIG_RATE] = (double)counted / seconds;
	r.figures[FIG_SENDER_NS] = ratio(to->sender_cpu_ns - from->sender_cpu_ns, counted);
	r.figures[FIG_SINK_NS] = ratio(to->sink.cpu_ns - from->sink.cpu_ns, counted);
	r.figures[FIG_BYTES] = ratio(to->sink.bytes - from->sink.bytes, counted);
	r.figures[FIG_SAMPLER_NS] = ratio(to->sampler_cpu_ns - from->sampler_cpu_ns, made);
	r.figures[FIG_MADE] = (double)made / seconds;
	r.figures[FIG_BATCH] = ratio(to->sent - from->sent, to->sends - from->sends);
	return r;
}

static struct result run_node(const struct options *o, const struct sink *sink)
{
	struct reading from, to;
	char config[2048];
	struct result r;
	struct rig rig;

	config_of(o, sink->port, config, sizeof(config));
	rig_open(&rig, config, RIG_SAMPLERS);
	rig_wait_connected(&rig);
	rig_pause_s(WARM_UP_S);
	from = node_reading(&rig.node, sink);
	rig_pause_s(o->seconds);
	to = node_reading(&rig.node, sink);
	r = result_of(&from, &to);
	r.allocated_bytes = rig_allocated_bytes(&rig);
	rig_close(&rig);
	return r;
}

/* --- B: the plain loop ---------------------------------------------------------------------------------------------- */

/* The packet that A sends for this update, once aliases are known. Returns 0 where it does not fit any more. */
static size_t packet_write(const struct options *o, uint32_t tag, uint64_t value, uint8_t *out,
			   size_t room_bytes)
{
	struct time_cache cache = {0};
	char topic[128], name[32];
	uint8_t buffer[512], *payload = buffer + 256, *packet;
	struct writer w = writer_of(payload, 256);
	int name_bytes = snprintf(name, sizeof(name), LINE_NAME ".t%u", tag);
	int topic_bytes = snprintf(topic, sizeof(topic), "%s" LINE_NAME "/t%u", topic_prefix(o), tag);
	struct payload_item item = {
		.name = bytes_of(name, (size_t)name_bytes),
		.sample = {.value = value_of_float64((double)value / 1000),
			   .quality = TAG_GOOD,
			   .valued = true,
			   .time = clock_wall()},
	};
	size_t size_bytes;

	payload_write_tag(&w, o->payload, &item, &cache);
	packet = mqtt_publish_header_backwards(
		payload, &(struct mqtt_publish_header){
				 .version = o->version,
				 .qos = o->qos,
				 .packet_id = o->qos ? (uint16_t)(1 + value % 65535) : 0,
				 .topic_alias = o->alias ? (uint16_t)(tag + 1) : 0,
				 .payload_bytes = (uint32_t)(w.at - payload),
				 .topic = bytes_of(topic, o->alias ? 0 : (size_t)topic_bytes),
			 });
	size_bytes = (size_t)(w.at - packet);
	if (size_bytes > room_bytes)
		return 0;
	memcpy(out, packet, size_bytes);
	return size_bytes;
}

static void plain_fill(struct plain *p, const struct options *o)
{
	uint64_t value = 123456789; /* as many digits as A's values have most of the time */
	size_t n;

	for (uint32_t tag = 0;
	     (n = packet_write(o, tag, value, p->bytes + p->used_bytes, PLAIN_BYTES - p->used_bytes));
	     value++) {
		p->used_bytes += n;
		tag = tag + 1 < o->tags ? tag + 1 : 0;
	}
}

static struct reading plain_reading(const struct plain *p, const struct sink *sink)
{
	return (struct reading){
		.at = clock_mono(),
		.sender_cpu_ns = thread_cpu_ns(p->thread),
		.sink = sink_counts(sink),
	};
}

static struct result run_plain(const struct options *o, const struct sink *sink)
{
	static struct plain p;
	struct reading from, to;

	p.used_bytes = 0;
	plain_fill(&p, o);
	plain_start(&p, sink->port, (int32_t)o->publisher_cpu);
	rig_pause_s(WARM_UP_S);
	from = plain_reading(&p, sink);
	rig_pause_s(o->seconds);
	to = plain_reading(&p, sink);
	plain_stop(&p);
	return result_of(&from, &to);
}

/* --- report --------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *label, *key;
	double unit;
	bool of_plain;
} figures[FIG_COUNT] = {
	[FIG_RATE] = {"thousand messages/s", "kmsg_per_s", 1e3, true},
	[FIG_SENDER_NS] = {"ns CPU/message, sending thread", "sender_ns", 1, true},
	[FIG_SINK_NS] = {"ns CPU/message, sink", "sink_ns", 1, true},
	[FIG_BYTES] = {"bytes/message on the wire", "bytes", 1, true},
	[FIG_SAMPLER_NS] = {"ns CPU/message made, sampler", "sampler_ns", 1, false},
	[FIG_MADE] = {"thousand messages made/s", "kmade_per_s", 1e3, false},
	[FIG_BATCH] = {"messages/send", "messages_per_send", 1, false},
};

static void print_series(const char *who, const char *label, const struct series *s)
{
	printf("%s  %-32s %10.1f %10.1f %10.1f\n", who, label, series_median(s), series_min(s),
	       series_max(s));
}

static void append_json(const struct options *o, const struct machine *m, const struct series a[FIG_COUNT],
			const struct series b[FIG_COUNT], const struct series *rate_ratio)
{
	struct report_figure list[2 * FIG_COUNT + 1];
	char keys[2 * FIG_COUNT][32], name[160];
	uint32_t count = 0;

	for (uint32_t i = 0; i < FIG_COUNT; i++) {
		snprintf(keys[count], sizeof(keys[0]), "node_%s", figures[i].key);
		list[count] = (struct report_figure){keys[count], &a[i]};
		count++;
		if (!figures[i].of_plain)
			continue;
		snprintf(keys[count], sizeof(keys[0]), "plain_%s", figures[i].key);
		list[count] = (struct report_figure){keys[count], &b[i]};
		count++;
	}
	list[count++] = (struct report_figure){"rate_of_plain", rate_ratio};
	snprintf(name, sizeof(name), "qos=%u payload=%s alias=%s version=%s tags=%u buffer=%u rate=%llu",
		 o->qos, o->payload == CFG_PAYLOAD_JSON ? "json" : "text", o->alias ? "on" : "off",
		 o->version == MQTT_5 ? "5" : "3.1.1", o->tags, o->buffer_messages,
		 (unsigned long long)o->rate);
	report_append(o->json_path, m, "publish", name, list, count);
}

/* --- options -------------------------------------------------------------------------------------------------------- */

static NORETURN void usage(void)
{
	fprintf(stderr,
		"usage: bench_publish [--rounds N] [--seconds S] [--qos 0|1|2] [--payload json|text]\n"
		"                     [--alias on|off] [--protocol 5|3.1.1] [--tags N] [--buffer N]\n"
		"                     [--inflight N] [--rate UPDATES_PER_S] [--sink-cpu N] [--sampler-cpu "
		"N]\n                     [--publisher-cpu N] [--json FILE]\n");
	exit(2);
}

static uint64_t number_of(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < min || value > max)
		usage();
	return value;
}

/* The second word where the text is that, the first is the default. */
static bool is_second(const char *text, const char *first, const char *second)
{
	if (strcmp(text, first) != 0 && strcmp(text, second) != 0)
		usage();
	return strcmp(text, second) == 0;
}

static struct options options_of(int argc, char **argv)
{
	enum {
		ROUNDS = 256,
		SECONDS,
		QOS,
		PAYLOAD,
		ALIAS,
		PROTOCOL,
		TAGS,
		BUFFER,
		INFLIGHT,
		RATE,
		SINK_CPU,
		SAMPLER_CPU,
		PUBLISHER_CPU,
		JSON
	};
	static const struct option known[] = {
		{"rounds", required_argument, NULL, ROUNDS},
		{"seconds", required_argument, NULL, SECONDS},
		{"qos", required_argument, NULL, QOS},
		{"payload", required_argument, NULL, PAYLOAD},
		{"alias", required_argument, NULL, ALIAS},
		{"protocol", required_argument, NULL, PROTOCOL},
		{"tags", required_argument, NULL, TAGS},
		{"buffer", required_argument, NULL, BUFFER},
		{"inflight", required_argument, NULL, INFLIGHT},
		{"rate", required_argument, NULL, RATE},
		{"sink-cpu", required_argument, NULL, SINK_CPU},
		{"sampler-cpu", required_argument, NULL, SAMPLER_CPU},
		{"publisher-cpu", required_argument, NULL, PUBLISHER_CPU},
		{"json", required_argument, NULL, JSON},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.rounds = 7,
			    .seconds = 1,
			    .tags = 100,
			    .buffer_messages = 10000,
			    .inflight = 4096,
			    .rate = 1000000000,
			    .publisher_cpu = 1,
			    .version = MQTT_5};
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case ROUNDS: o.rounds = (uint32_t)number_of(optarg, 1, SERIES_MAX); break;
		case SECONDS:
			o.seconds = strtod(optarg, NULL);
			if (!(o.seconds >= 0.05 && o.seconds <= 60))
				usage();
			break;
		case QOS: o.qos = (uint8_t)number_of(optarg, 0, 2); break;
		case PAYLOAD:
			o.payload = is_second(optarg, "json", "text") ? CFG_PAYLOAD_TEXT : CFG_PAYLOAD_JSON;
			break;
		case ALIAS: o.alias = is_second(optarg, "off", "on"); break;
		case PROTOCOL: o.version = is_second(optarg, "5", "3.1.1") ? MQTT_3_1_1 : MQTT_5; break;
		case TAGS: o.tags = (uint32_t)number_of(optarg, 1, 50000); break;
		case BUFFER: o.buffer_messages = (uint32_t)number_of(optarg, 1, RING_MESSAGES_MAX); break;
		case INFLIGHT: o.inflight = (uint32_t)number_of(optarg, 1, 65535); break;
		case RATE: o.rate = number_of(optarg, 1, 1000000000); break;
		case SINK_CPU: o.sink_cpu = (uint32_t)number_of(optarg, 0, 1023); break;
		case SAMPLER_CPU: o.sampler_cpu = (uint32_t)number_of(optarg, 0, 1023); break;
		case PUBLISHER_CPU: o.publisher_cpu = (uint32_t)number_of(optarg, 0, 1023); break;
		case JSON: o.json_path = optarg; break;
		default: usage();
		}
	}
	if (optind != argc || (o.alias && o.version != MQTT_5))
		usage();
	return o;
}

int main(int argc, char **argv)
{
	struct options o = options_of(argc, argv);
	struct series a[FIG_COUNT] = {0}, b[FIG_COUNT] = {0}, rate_ratio = {0};
	uint64_t allocated_bytes = 0;
	struct machine machine;
	struct sink sink;
	int rc;

	machine_read(&machine);
	rc = sink_open(&sink, (int32_t)o.sink_cpu, (uint16_t)(o.alias ? o.tags : 0));
	if (rc < 0)
		rig_fail("sink", -rc);
	for (uint32_t round = 0; round < o.rounds; round++) {
		struct result node = run_node(&o, &sink);
		struct result plain = run_plain(&o, &sink);

		for (uint32_t i = 0; i < FIG_COUNT; i++) {
			series_add(&a[i], node.figures[i] / figures[i].unit);
			series_add(&b[i], plain.figures[i] / figures[i].unit);
		}
		series_add(&rate_ratio, node.figures[FIG_RATE] / plain.figures[FIG_RATE]);
		allocated_bytes += node.allocated_bytes;
	}
	sink_close(&sink);
	machine_print(&machine);
	printf("publish: QoS %u, %s, alias %s, MQTT %s, %u tags, buffer %u, %u rounds A B of %g s\n", o.qos,
	       o.payload == CFG_PAYLOAD_JSON ? "json" : "text", o.alias ? "on" : "off",
	       o.version == MQTT_5 ? "5" : "3.1.1", o.tags, o.buffer_messages, o.rounds, o.seconds);
	printf("A: node (sampler CPU %u, publisher CPU %u, sink CPU %u)   B: plain 64 KiB send loop (CPU "
	       "%u)\n",
	       o.sampler_cpu, o.publisher_cpu, o.sink_cpu, o.publisher_cpu);
	printf("%-35s %10s %10s %10s\n", "", "median", "min", "max");
	for (uint32_t i = 0; i < FIG_COUNT; i++) {
		print_series("A", figures[i].label, &a[i]);
		if (figures[i].of_plain)
			print_series("B", figures[i].label, &b[i]);
	}
	printf("A/B messages/s, by round %23.3f %10.3f %10.3f\n", series_median(&rate_ratio),
	       series_min(&rate_ratio), series_max(&rate_ratio));
	report_allocations(allocated_bytes);
	append_json(&o, &machine, a, b, &rate_ratio);
	return allocated_bytes == 0 ? 0 : 1;
}
