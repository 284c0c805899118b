/* build/sim: --seeds N runs seeds base .. base + N - 1, after those of the file --kept; --seed S runs one and says all of
 * it. --first-failure ends with the first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "tests/sim/world.h"

#define RUN_TWICE 3 /* the first seeds run again: one seed is one run */

static void print_revision(FILE *out)
{
	char text[64] = "unknown";
	FILE *git = popen("git describe --always --dirty 2>/dev/null", "r");

	if (git && fgets(text, sizeof(text), git))
		text[strcspn(text, "\n")] = '\0';
	if (git)
		pclose(git);
	fprintf(out, "revision %s; again: build/sim --seed %lu\n", text, sim.seed);
}

static void say_failure(void)
{
	fprintf(stderr, "sim: seed %lu: %s\n", sim.seed, sim.failure);
	print_revision(stderr);
}

static void on_assert(void)
{
	fprintf(stderr, "sim: seed %lu: an assertion failed\n", sim.seed);
	print_revision(stderr);
}

static bool run_same(uint64_t seed)
{
	uint64_t hash = sim.hash;

	if (!world_run(seed, false))
		return false;
	if (sim.hash == hash)
		return true;
	snprintf(sim.failure, sizeof(sim.failure), "two runs differ: trace %016lx, then %016lx", hash,
		 sim.hash);
	return false;
}

static int run_one(uint64_t seed)
{
	bool good;

	log_set_level(LOG_LEVEL_DEBUG);
	good = world_run(seed, true);
	printf("sim: seed %lu: trace %016lx\n", seed, sim.hash);
	if (!good)
		say_failure();
	return good ? 0 : 1;
}

struct runs {
	uint64_t base, count;
	const char *kept; /* NULL: none */
	bool with_coverage, first_failure;
	uint64_t passed, failed;
};

static bool run_next(struct runs *r, uint64_t seed, bool twice)
{
	bool good = world_run(seed, false) && (!twice || run_same(seed));

	if (!good)
		say_failure();
	r->passed += good;
	r->failed += !good;
	return good || !r->first_failure;
}

/* A seed a line, and why it is kept. -1: the file cannot be read. */
static int run_kept(struct runs *r)
{
	FILE *f = fopen(r->kept, "re");
	char line[300];

	if (!f) {
		fprintf(stderr, "sim: %s cannot be read\n", r->kept);
		return -1;
	}
	while (fgets(line, sizeof(line), f))
		if (line[0] >= '0' && line[0] <= '9' && !run_next(r, strtoull(line, NULL, 10), false))
			break;
	fclose(f);
	return 0;
}

static int run_many(struct runs *r)
{
	log_set_level(LOG_LEVEL_ERROR);
	if (r->kept && run_kept(r) < 0)
		return 2;
	for (uint64_t i = 0; i < r->count && !(r->first_failure && r->failed); i++)
		(void)run_next(r, r->base + i, i < RUN_TWICE);
	for (uint32_t c = 0; r->with_coverage && c < COVER_COUNT; c++)
		printf("%10lu %s\n", sim_covered[c], sim_coverage_text((enum sim_coverage)c));
	printf("sim: %lu passed, %lu failed\n", r->passed, r->failed);
	return r->failed ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: sim [--base S] [--kept FILE] --seeds N [--coverage] [--first-failure] | --seed S\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct runs r = {.base = 1};

	setenv("SIM_PASSWORD", "secret", 1);
	assert_set_hook(on_assert);
	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (strcmp(argv[i], "--coverage") == 0)
			r.with_coverage = true;
		else if (strcmp(argv[i], "--first-failure") == 0)
			r.first_failure = true;
		else if (!has_value)
			return usage();
		else if (strcmp(argv[i], "--base") == 0)
			r.base = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--kept") == 0)
			r.kept = argv[++i];
		else if (strcmp(argv[i], "--seeds") == 0)
			r.count = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			return run_one(strtoull(argv[++i], NULL, 10));
		else
			return usage();
	}
	return r.count || r.kept ? run_many(&r) : usage();
}
