/* The ring beside other queues: what a message costs its producers and its consumer, on the same work, in turns.
 *
 * Queues are in perf/queue.h, profiles and the verdict in perf/queue_run.h. In each round every queue has its turn in every
 * profile, beginning with another queue each time; a ratio is that of two runs of the same round. Exit code 1: a queue broke
 * a promise, or the verdict let a queue pass that is wrong on purpose. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "perf/machine.h"
#include "perf/queue_run.h"
#include "perf/report.h"

#define ROUNDS      7
#define COUNTS      3 /* of producers: 1, 2, 4 */
#define CHECK_COUNT 20000u
#define RUN_S_MAX   60 /* a wrong queue may also never come to an end */

enum figure { PRODUCER_NS, CONSUMER_NS, BOTH_NS, PRODUCER_WALL_NS, TAKEN, LOST, FIGURES };

static const char *const figure_keys[FIGURES] = {
	[PRODUCER_NS] = "producer_ns",           [CONSUMER_NS] = "consumer_ns", [BOTH_NS] = "both_ns",
	[PRODUCER_WALL_NS] = "producer_wall_ns", [TAKEN] = "mtaken_per_s",      [LOST] = "lost_percent",
};

struct cell {
	struct series of[FIGURES];
	struct series to_ring[FIGURES]; /* this queue / ring, in the same round */
};

static uint64_t allocated_bytes; /* by the threads of our own rings */
static struct cell cells[QUEUE_PROFILES][COUNTS][QUEUE_KINDS_COMPARED];
static const uint32_t producer_counts[COUNTS] = {1, 2, 4};

struct options {
	const char *json_path;
	const char *folder;
	uint32_t rounds;
	double scale; /* of the time of a run */
	uint64_t count;
	enum queue_kind kind; /* with count */
	uint32_t producer_count;
};

static uint64_t duration_ns(enum queue_profile profile)
{
	return (profile == PROFILE_ALONE ? 30 : profile == PROFILE_PACED ? 50 : 40) * NS_PER_MS;
}

static bool measured(enum queue_profile profile, enum queue_kind kind)
{
	return kind != QUEUE_ARRAY || profile == PROFILE_ALONE;
}

static void measure(const struct options *o, enum queue_profile profile, uint32_t count_idx,
		    enum queue_kind kind, double out[FIGURES])
{
	const struct queue_run run = {.kind = kind,
				      .profile = profile,
				      .producer_count = producer_counts[count_idx],
				      .duration_ns = (uint64_t)(o->scale * (double)duration_ns(profile)),
				      .folder = o->folder};
	struct queue_figures f;
	int rc;

	alarm(RUN_S_MAX);
	rc = queue_run(&run, &f);
	if (rc < 0) {
		fprintf(stderr, "bench_ring: %s, %s, %u producers: %s\n", queue_name(kind),
			queue_profile_name(profile), run.producer_count,
			rc == -EBADMSG ? f.wrong : strerror(-rc));
		rmdir(o->folder);
		exit(1);
	}
	if (kind == QUEUE_RING || kind == QUEUE_RING_HELD || kind == QUEUE_RING_FILE)
		allocated_bytes += f.allocated_bytes;
	out[PRODUCER_NS] = f.producer_ns;
	out[CONSUMER_NS] = f.consumer_ns;
	out[BOTH_NS] = f.producer_ns + f.consumer_ns;
	out[PRODUCER_WALL_NS] = f.producer_wall_ns;
	out[TAKEN] = f.taken_per_us;
	out[LOST] = f.lost_percent;
}

static void run_round(const struct options *o, uint32_t round, enum queue_profile profile, uint32_t count_idx)
{
	double values[QUEUE_KINDS_COMPARED][FIGURES];

	for (uint32_t i = 0; i < QUEUE_KINDS_COMPARED; i++) {
		enum queue_kind kind = (enum queue_kind)((i + round) % QUEUE_KINDS_COMPARED);

		if (measured(profile, kind))
			measure(o, profile, count_idx, kind, values[kind]);
	}
	for (uint32_t kind = 0; kind < QUEUE_KINDS_COMPARED; kind++) {
		struct cell *cell = &cells[profile][count_idx][kind];

		for (uint32_t f = 0; f < FIGURES && measured(profile, (enum queue_kind)kind); f++) {
			series_add(&cell->of[f], values[kind][f]);
			if (values[QUEUE_RING][f] > 0)
				series_add(&cell->to_ring[f], values[kind][f] / values[QUEUE_RING][f]);
		}
	}
}

/* A judge that lets everything pass would flatter us most. */
static void check_verdict(void)
{
	for (uint32_t kind = QUEUE_FAULTY_LOST; kind < QUEUE_KINDS; kind++) {
		const struct queue_run run = {.kind = (enum queue_kind)kind, .producer_count = 1};
		struct queue_figures f;

		if (queue_run_count(&run, CHECK_COUNT, &f) == -EBADMSG)
			continue;
		fprintf(stderr, "bench_ring: nobody has noticed: %s\n", queue_name((enum queue_kind)kind));
		exit(1);
	}
}

/* --- report --------------------------------------------------------------------------------------------------------- */

static void print_figure(const struct series *s)
{
	char range[32];

	snprintf(range, sizeof(range), "(%.1f - %.1f)", series_min(s), series_max(s));
	printf(" %6.1f %-15s", series_median(s), range);
}

/* What one queue has over another. In a flood a refused message costs its producer next to nothing, so costs a message made say
 * little there: what arrives counts. */
static enum figure compared(enum queue_profile profile)
{
	return profile == PROFILE_FLOOD ? TAKEN : BOTH_NS;
}

/* Better only where every round says so. */
static const char *better(const struct series *ratio, enum figure figure, enum queue_kind kind)
{
	bool above = series_min(ratio) > 1, below = series_max(ratio) < 1;

	if (kind == QUEUE_RING || ratio->count == 0)
		return "";
	if (!above && !below)
		return "-";
	return above == (figure == TAKEN) ? queue_name(kind) : "ring";
}

static void print_row(const struct cell *cell, enum queue_kind kind, enum figure figure)
{
	const struct series *ratio = &cell->to_ring[figure];
	char range[32];

	printf("%-12s", queue_name(kind));
	print_figure(&cell->of[PRODUCER_NS]);
	print_figure(&cell->of[CONSUMER_NS]);
	printf(" %6.1f", series_median(&cell->of[PRODUCER_WALL_NS]));
	print_figure(&cell->of[TAKEN]);
	printf(" %5.1f", series_median(&cell->of[LOST]));
	snprintf(range, sizeof(range), "(%.2f - %.2f)", series_min(ratio), series_max(ratio));
	printf("  %5.2f %-15s %s\n", series_median(ratio), range, better(ratio, figure, kind));
}

static void print_cpus(uint32_t producer_count)
{
	bool shared = false;

	printf("producers on CPU");
	for (uint32_t i = 0; i < producer_count; i++) {
		printf(" %u", queue_producer_cpu(i));
		shared |= queue_producer_cpu(i) == queue_consumer_cpu();
		for (uint32_t k = 0; k < i; k++)
			shared |= queue_producer_cpu(i) == queue_producer_cpu(k);
	}
	printf(", consumer on CPU %u%s\n", queue_consumer_cpu(),
	       shared ? ": more threads than CPUs, they take turns" : "");
}

static void print_table(enum queue_profile profile, uint32_t count_idx)
{
	uint32_t producer_count = producer_counts[count_idx];

	printf("\n%s, %u producer%s: ", queue_profile_name(profile), producer_count,
	       producer_count > 1 ? "s" : "");
	if (profile == PROFILE_ALONE)
		printf("one thread on CPU 0 is all of them and the consumer, in turns\n");
	else
		print_cpus(producer_count);
	printf("%-12s %6s %-15s %6s %-15s %6s %6s %-15s %5s  %-21s %s\n", "", "put", "CPU ns", "get",
	       "CPU ns", "wall", "M/s", "taken", "lost%",
	       compared(profile) == TAKEN ? "M/s, of ring's" : "put+get, of ring's", "better");
	for (uint32_t kind = 0; kind < QUEUE_KINDS_COMPARED; kind++)
		if (measured(profile, (enum queue_kind)kind))
			print_row(&cells[profile][count_idx][kind], (enum queue_kind)kind, compared(profile));
}

/* The file systems that a ring file is likely to be on. */
static const char *file_system_of(const char *folder)
{
	struct statfs fs;

	if (statfs(folder, &fs) == -1)
		return "unknown file system";
	switch ((uint64_t)fs.f_type) {
	case 0xef53: return "ext4";
	case 0x58465342: return "xfs";
	case 0x9123683e: return "btrfs";
	case 0xf2f52010: return "f2fs";
	case 0x794c7630: return "overlayfs";
	case 0x01021994: return "tmpfs: not a disk";
	}
	return "other file system";
}

static void print_memory(const struct options *o)
{
	printf("memory, KiB for 1 producer:");
	for (uint32_t kind = 0; kind < QUEUE_KINDS_COMPARED; kind++) {
		struct queue *q = queue_open((enum queue_kind)kind, 1, o->folder);

		printf(" %s %llu", queue_name((enum queue_kind)kind),
		       (unsigned long long)(q->memory_bytes / 1024));
		q->ops->close(q);
	}
	printf("\n");
}

static void print_report(const struct options *o, const struct machine *m)
{
	machine_print(m);
	printf("ring: %u messages of %u bytes, %u rounds of %g + %g + %g s a queue and number of producers; "
	       "file in %s (%s)\n",
	       QUEUE_MESSAGES, MESSAGE_BYTES, o->rounds, o->scale * (double)duration_ns(PROFILE_ALONE) / 1e9,
	       o->scale * (double)duration_ns(PROFILE_PACED) / 1e9,
	       o->scale * (double)duration_ns(PROFILE_FLOOD) / 1e9, o->folder, file_system_of(o->folder));
	print_memory(o);
	for (uint32_t profile = 0; profile < QUEUE_PROFILES; profile++)
		for (uint32_t i = 0; i < COUNTS; i++)
			print_table((enum queue_profile)profile, i);
	printf("\nEvery message was verified: whole, once, in order; every run: made = taken + lost + "
	       "left.\n");
}

/* A line for each queue in each profile with each number of producers. */
static void append_json(const struct options *o, const struct machine *m)
{
	for (uint32_t i = 0; i < QUEUE_PROFILES * COUNTS * QUEUE_KINDS_COMPARED; i++) {
		uint32_t profile = i / QUEUE_KINDS_COMPARED / COUNTS, kind = i % QUEUE_KINDS_COMPARED;
		uint32_t count_idx = i / QUEUE_KINDS_COMPARED % COUNTS;
		const struct cell *cell = &cells[profile][count_idx][kind];
		struct report_figure figures[FIGURES + 1];
		char name[96];

		if (cell->of[PRODUCER_NS].count == 0)
			continue;
		for (uint32_t f = 0; f < FIGURES; f++)
			figures[f] = (struct report_figure){figure_keys[f], &cell->of[f]};
		figures[FIGURES] = (struct report_figure){"both_of_ring", &cell->to_ring[BOTH_NS]};
		snprintf(name, sizeof(name), "%s producers=%u queue=%s",
			 queue_profile_name((enum queue_profile)profile), producer_counts[count_idx],
			 queue_name((enum queue_kind)kind));
		report_append(o->json_path, m, "ring", name, figures, FIGURES + 1);
	}
}

/* --- options -------------------------------------------------------------------------------------------------------- */

static int usage(void)
{
	fprintf(stderr, "usage: bench_ring [--rounds N] [--scale FACTOR] [--json FILE]\n"
			"       bench_ring --count MESSAGES [--queue NAME] [--producers N]\n"
			"The ring file is made in $TMPDIR, else beside the program.\n");
	return 2;
}

static bool read_kind(const char *name, enum queue_kind *out)
{
	for (uint32_t kind = 0; kind < QUEUE_KINDS; kind++) {
		*out = (enum queue_kind)kind;
		if (strcmp(name, queue_name(*out)) == 0)
			return true;
	}
	return false;
}

static bool read_options(struct options *o, int argc, char **argv)
{
	enum { ROUNDS_OPTION = 256, SCALE, JSON, COUNT, QUEUE, PRODUCERS };
	static const struct option options[] = {
		{"rounds", required_argument, NULL, ROUNDS_OPTION},
		{"scale", required_argument, NULL, SCALE},
		{"json", required_argument, NULL, JSON},
		{"count", required_argument, NULL, COUNT},
		{"queue", required_argument, NULL, QUEUE},
		{"producers", required_argument, NULL, PRODUCERS},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case ROUNDS_OPTION: o->rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case SCALE: o->scale = strtod(optarg, NULL); break;
		case JSON: o->json_path = optarg; break;
		case COUNT: o->count = strtoull(optarg, NULL, 10); break;
		case QUEUE:
			if (!read_kind(optarg, &o->kind))
				return false;
			break;
		case PRODUCERS: o->producer_count = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: return false;
		}
	}
	return optind == argc && o->rounds >= 1 && o->rounds <= SERIES_MAX && o->scale > 0 &&
	       (o->producer_count == 1 || o->producer_count == 2 || o->producer_count == 4);
}

static void folder_make(char *out, size_t size_bytes)
{
	const char *parent = getenv("TMPDIR");
	char own[PATH_MAX];

	if (!parent) {
		ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
		char *slash;

		own[n > 0 ? n : 0] = 0;
		slash = strrchr(own, '/');
		if (slash)
			*slash = 0;
		parent = own;
	}
	if (snprintf(out, size_bytes, "%s/bench_ring.XXXXXX", parent) >= (int)size_bytes || !mkdtemp(out)) {
		fprintf(stderr, "bench_ring: no folder in %s for the ring's file\n", parent);
		exit(1);
	}
}

static int run_count(const struct options *o)
{
	const struct queue_run run = {
		.kind = o->kind, .producer_count = o->producer_count, .folder = o->folder};
	struct queue_figures f;
	int rc;

	alarm(RUN_S_MAX);
	rc = queue_run_count(&run, o->count, &f);
	if (rc < 0)
		fprintf(stderr, "bench_ring: %s: %s\n", queue_name(o->kind), f.wrong);
	return rc < 0;
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = ROUNDS, .scale = 1, .producer_count = 1};
	struct machine machine;
	char folder[200];
	int status = 0;

	if (!read_options(&o, argc, argv))
		return usage();
	folder_make(folder, sizeof(folder));
	o.folder = folder;
	if (o.count > 0) {
		status = run_count(&o);
		rmdir(folder);
		return status;
	}
	machine_read(&machine);
	check_verdict();
	for (uint32_t round = 0; round < o.rounds; round++)
		for (uint32_t profile = 0; profile < QUEUE_PROFILES; profile++)
			for (uint32_t i = 0; i < COUNTS; i++)
				run_round(&o, round, (enum queue_profile)profile, i);
	print_report(&o, &machine);
	report_allocations(allocated_bytes);
	append_json(&o, &machine);
	rmdir(folder);
	return allocated_bytes == 0 ? 0 : 1;
}
