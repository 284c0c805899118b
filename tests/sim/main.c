/* build/sim: --seeds N runs seeds base .. base + N - 1; --seed S runs one and says all of it. */
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

static int run_many(uint64_t base, uint64_t count, bool with_coverage)
{
	uint64_t failed = 0;

	log_set_level(LOG_LEVEL_ERROR);
	for (uint64_t i = 0; i < count; i++) {
		bool good = world_run(base + i, false) && (i >= RUN_TWICE || run_same(base + i));

		if (!good) {
			failed++;
			say_failure();
		}
	}
	for (uint32_t c = 0; with_coverage && c < COVER_COUNT; c++)
		printf("%10lu %s\n", sim_covered[c], sim_coverage_text((enum sim_coverage)c));
	printf("sim: %lu passed, %lu failed\n", count - failed, failed);
	return failed ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [--base S] --seeds N [--coverage] | --seed S\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t base = 1, count = 0;
	bool with_coverage = false;

	setenv("SIM_PASSWORD", "secret", 1);
	assert_set_hook(on_assert);
	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (strcmp(argv[i], "--coverage") == 0)
			with_coverage = true;
		else if (!has_value)
			return usage();
		else if (strcmp(argv[i], "--base") == 0)
			base = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seeds") == 0)
			count = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			return run_one(strtoull(argv[++i], NULL, 10));
		else
			return usage();
	}
	return count ? run_many(base, count, with_coverage) : usage();
}
