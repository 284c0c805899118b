/* A sampler's work on one message, alone on one core: value -> tag table -> definition -> payload -> ring.
 *
 * No publisher takes anything, so the ring overwrites as it does in an outage. Beside it the parts: the payload alone, the
 * number alone, the time alone. Values like those of a plant: decimals of a few digits; and doubles that need all 17.
 *
 * --count N: the JSON case only, N messages, no report: for counting instructions. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/definition.h"
#include "core/number_text.h"
#include "core/payload.h"
#include "core/prng.h"
#include "core/thread_memory.h"
#include "perf/machine.h"
#include "perf/report.h"
#include "perf/thread.h"

#define TAGS     100u
#define MESSAGES 400000u
#define ROUNDS   9
#define VALUES   4096u

static uint64_t allocated_bytes; /* in what is measured */

struct values {
	double decimal[VALUES]; /* 0.000 .. 999999.999 */
	double exact[VALUES];   /* any 53 bits */
	double real32[VALUES];  /* a device's float32, three decimals */
};

struct world {
	struct cfg *cfg;
	struct tag_table tags;
	struct definitions *definitions;
	struct ring *ring;
	struct sampler_metrics metrics;
};

static void must(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_sample: %s\n", strerror(-rc));
	exit(1);
}

static void world_open(struct world *w, const char *payload)
{
	struct cfg_errors errors = {0};
	char text[512];
	int n = snprintf(
		text, sizeof(text),
		"targets: [{name: sink, urls: [\"mqtt://127.0.0.1:1\"]}]\n"
		"lines: [{name: m1, synthetic: {tags: %u}}]\n"
		"definitions: [{name: all, target: sink, tags: [\"m1.*\"], topic: \"{device}/{tag}\","
		" payload: %s}]\n",
		TAGS, payload);

	*w = (struct world){0};
	must(config_parse("bench.yaml", bytes_of(text, (size_t)n), &w->cfg, &errors));
	must(tag_table_open(&w->tags, w->cfg));
	must(definitions_open(&w->definitions, w->cfg, &w->tags));
	must(ring_open(&w->ring, &(struct ring_limits){
					 .message_count = 10000,
					 .record_bytes_max = w->definitions->ports[0].record_bytes_max,
					 .lane_count = 1,
					 .inflight_max = 64,
				 }));
	definitions_attach_ring(w->definitions, 0, w->ring);
	definitions_attach_metrics(w->definitions, 0, &w->metrics);
}

static void world_close(struct world *w)
{
	definitions_close(w->definitions);
	tag_table_close(&w->tags);
	ring_close(w->ring);
	config_free(w->cfg);
}

static void values_make(struct values *v)
{
	struct prng prng = {.state = 1};

	for (uint32_t i = 0; i < VALUES; i++) {
		uint64_t bits = prng_next(&prng);

		v->decimal[i] = (double)(bits % 1000000000) / 1000;
		v->exact[i] = (double)(bits >> 11) * 0x1p-43;
		v->real32[i] = (double)(float)((double)(bits % 1000000) / 1000);
	}
}

static void run_updates(struct world *w, const double *values, uint64_t count)
{
	const struct wall wall = {.ns = 1767323045678901000};

	for (uint64_t i = 0; i < count; i++)
		definition_update(&w->definitions->lanes[0], (uint32_t)(i % TAGS),
				  value_of_float64(values[i % VALUES]), wall,
				  (struct mono){.ns = 1 + i / 1000});
}

static void time_updates(const char *payload, const double *values, struct series *out)
{
	struct world w;
	uint64_t before_ns;

	world_open(&w, payload);
	run_updates(&w, values, MESSAGES / 10);
	allocated_bytes -= thread_allocated_bytes();
	before_ns = thread_cpu_ns(pthread_self());
	run_updates(&w, values, MESSAGES);
	series_add(out, (double)(thread_cpu_ns(pthread_self()) - before_ns) / MESSAGES);
	allocated_bytes += thread_allocated_bytes();
	world_close(&w);
}

enum part { PART_PAYLOAD, PART_F64, PART_F32, PART_TIME };

static uint64_t run_part(enum part part, const double *values)
{
	struct payload_item item = {
		.name = bytes_of("m1.t42", 6),
		.sample = {.quality = TAG_GOOD, .valued = true, .time = {.ns = 1767323045678901000}}};
	struct time_cache cache = {0};
	char out[256];
	struct writer w;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < MESSAGES; i++) {
		double value = values[i % VALUES];

		switch (part) {
		case PART_PAYLOAD:
			w = writer_of(out, sizeof(out));
			item.sample.value = value_of_float64(value);
			payload_write_tag(&w, CFG_PAYLOAD_JSON, &item, &cache);
			break;
		case PART_F64: sum += number_text_f64(value, out); break;
		case PART_F32: sum += number_text_f32(value, out); break;
		case PART_TIME:
			time_text_cached(&cache, (struct wall){.ns = 1767323045678901000 + i}, out);
			break;
		}
		sum += (uint8_t)out[3];
	}
	return sum;
}

static void time_part(enum part part, const double *values, struct series *out)
{
	static uint64_t used; /* so that nothing is optimised away */
	uint64_t before_ns = thread_cpu_ns(pthread_self());

	used += run_part(part, values);
	series_add(out, (double)(thread_cpu_ns(pthread_self()) - before_ns) / MESSAGES);
	ASSERT(used > 0);
}

static void run_count(const struct values *v, uint64_t count)
{
	struct world w;

	world_open(&w, "json");
	run_updates(&w, v->decimal, count);
	world_close(&w);
}

enum { JSON, TEXT, JSON_EXACT, PAYLOAD, F64, F64_EXACT, F32, TIME, CASES };

static const struct {
	const char *label, *key;
} cases[CASES] = {
	[JSON] = {"whole, JSON", "json_ns"},
	[TEXT] = {"whole, text", "text_ns"},
	[JSON_EXACT] = {"whole, JSON, doubles of 17 digits", "json_exact_ns"},
	[PAYLOAD] = {"payload, JSON", "payload_ns"},
	[F64] = {"number, double of 3 decimals", "double_ns"},
	[F64_EXACT] = {"number, double of 17 digits", "double_exact_ns"},
	[F32] = {"number, float of 3 decimals", "float_ns"},
	[TIME] = {"time", "time_ns"},
};

static void print_report(const struct machine *m, const struct series series[CASES], uint32_t rounds,
			 const char *json_path)
{
	struct report_figure figures[CASES];

	machine_print(m);
	printf("sample: one core, CPU time, %u rounds of %u, %u tags\n", rounds, MESSAGES, TAGS);
	printf("%-40s %9s %9s %9s\n", "ns/message", "median", "min", "max");
	for (uint32_t i = 0; i < CASES; i++) {
		printf("%-40s %9.1f %9.1f %9.1f\n", cases[i].label, series_median(&series[i]),
		       series_min(&series[i]), series_max(&series[i]));
		figures[i] = (struct report_figure){cases[i].key, &series[i]};
	}
	report_allocations(allocated_bytes);
	report_append(json_path, m, "sample", "one core", figures, CASES);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"count", required_argument, NULL, 'c'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	static struct values v;
	struct series series[CASES] = {0};
	const char *json_path = NULL;
	struct machine machine;
	uint32_t rounds = ROUNDS;
	uint64_t count = 0;
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'c': count = strtoull(optarg, NULL, 10); break;
		case 'j': json_path = optarg; break;
		default: rounds = 0; break;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SERIES_MAX) {
		fprintf(stderr, "usage: bench_sample [--rounds N] [--json FILE] | --count MESSAGES\n");
		return 2;
	}
	values_make(&v);
	if (count > 0) {
		run_count(&v, count);
		return 0;
	}
	machine_read(&machine);
	thread_pin(0);
	for (uint32_t round = 0; round < rounds; round++) {
		time_updates("json", v.decimal, &series[JSON]);
		time_updates("text", v.decimal, &series[TEXT]);
		time_updates("json", v.exact, &series[JSON_EXACT]);
		time_part(PART_PAYLOAD, v.decimal, &series[PAYLOAD]);
		time_part(PART_F64, v.decimal, &series[F64]);
		time_part(PART_F64, v.exact, &series[F64_EXACT]);
		time_part(PART_F32, v.real32, &series[F32]);
		time_part(PART_TIME, v.decimal, &series[TIME]);
	}
	print_report(&machine, series, rounds, json_path);
	return allocated_bytes == 0 ? 0 : 1;
}
