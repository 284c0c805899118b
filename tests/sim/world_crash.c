/* A node that is killed: nothing is said, nothing is written, and what is left are the files. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/bridge.h"
#include "tests/sim/world.h"

/* --- files ------------------------------------------------------------------------------------------------------- */

void world_files_begin(struct world *w)
{
	if (!w->has_files)
		return;
	/* Ring files are synced: in memory that takes no time. */
	snprintf(w->state_dir, sizeof(w->state_dir), "%s/ringmain-sim-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(w->state_dir))
		sim_fail("no folder for files");
}

void world_files_end(struct world *w)
{
	DIR *dir = w->state_dir[0] ? opendir(w->state_dir) : NULL;
	char path[400];

	for (struct dirent *e; dir && (e = readdir(dir));) {
		snprintf(path, sizeof(path), "%s/%s", w->state_dir, e->d_name);
		if (e->d_name[0] != '.')
			(void)unlink(path);
	}
	if (dir)
		closedir(dir);
	if (w->state_dir[0])
		(void)rmdir(w->state_dir);
	w->state_dir[0] = '\0';
}

/* A place where something is: most of the file is room for more. */
static off_t place_of_something(int fd, off_t size)
{
	off_t at = 0;
	uint8_t byte = 0;

	for (uint32_t tries = 0; tries < 200 && byte == 0; tries++) {
		at = (off_t)sim_between(0, (uint64_t)size - 1);
		if (pread(fd, &byte, 1, at) != 1)
			return 0;
	}
	return at;
}

void world_flip(const char *path, int64_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	for (uint32_t n = (uint32_t)sim_between(1, 4); n > 0; n--) {
		off_t at = sim_chance(700) ? place_of_something(fd, size)
					   : (off_t)sim_between(0, (uint64_t)size - 1);
		uint8_t byte;

		if (pread(fd, &byte, 1, at) != 1)
			continue;
		byte ^= (uint8_t)(1u << sim_below(8));
		if (pwrite(fd, &byte, 1, at) != 1)
			sim_fail("a file of the session cannot be written");
	}
	close(fd);
}

/* What became of the file between the runs, and what the client can still know. */
static enum broker_client_state damage(const struct world *w, uint32_t target)
{
	char path[120];
	struct stat st;

	if (!w->has_files)
		return BROKER_CLIENT_FORGOT;
	snprintf(path, sizeof(path), "%s/target%u.session", w->state_dir, target);
	if (stat(path, &st) < 0 || st.st_size == 0) {
		if (!w->targets[target].broker.expect.clean_start)
			sim_fail("target%u has no session file", target);
		return BROKER_CLIENT_FORGOT;
	}
	switch (sim_below(9)) {
	case 0:
		sim_trace("target%u's session file is deleted", target);
		(void)unlink(path);
		sim_covered[COVER_FILE_DELETED]++;
		return BROKER_CLIENT_FORGOT;
	case 1:
		sim_trace("target%u's session file is truncated", target);
		if (truncate(path, (off_t)sim_between(0, (uint64_t)st.st_size - 1)) < 0)
			sim_fail("a file of the session cannot be truncated");
		sim_covered[COVER_FILE_TRUNCATED]++;
		return BROKER_CLIENT_FORGOT;
	case 2:
	case 3:
		sim_trace("target%u's session file is damaged", target);
		world_flip(path, st.st_size);
		sim_covered[COVER_FILE_FLIPPED]++;
		return BROKER_CLIENT_MAY_KEEP;
	default: return BROKER_CLIENT_KEEPS;
	}
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static void cut(struct world *w, size_t from, size_t to)
{
	memmove(w->yaml + from, w->yaml + to, w->yaml_bytes - to);
	w->yaml_bytes -= to - from;
	w->yaml[w->yaml_bytes] = '\0';
}

/* The configuration without a definition that subscribes. */
static void reconfigure(struct world *w)
{
	struct expect *x = &w->targets[w->optional_target].broker.expect;

	cut(w, w->optional_from, w->optional_to);
	w->optional_to = w->optional_from = 0;
	x->subs[w->optional_sub].gone = true;
	sim_covered[COVER_RECONFIGURED]++;
}

/* Without one that publishes: what it has made is still in rings and sessions. Those that subscribe stand behind it. */
static void publish_less(struct world *w)
{
	size_t size = w->spare_to - w->spare_from;

	cut(w, w->spare_from, w->spare_to);
	if (w->optional_to) {
		w->optional_from -= size;
		w->optional_to -= size;
	}
	w->spare_to = w->spare_from = 0;
	sim_covered[COVER_PUBLISH_LESS]++;
}

static void tags_find(struct world *w)
{
	for (uint32_t i = 0; i < w->target_count; i++)
		for (uint32_t k = 0; k < w->targets[i].broker.expect.sub_count; k++) {
			struct expect_sub *s = &w->targets[i].broker.expect.subs[k];

			if (s->tag_idx != EXPECT_NOBODY)
				s->tag_idx = tag_find(&w->node.tags, bytes_of_text(s->tag));
		}
}

static void threads_add(struct world *w)
{
	w->thread_count = 0;
	for (uint32_t i = 0; i < w->node.publisher_count; i++)
		w->threads[w->thread_count++] = (struct world_thread){.publisher = &w->node.publishers[i],
								      .loop = w->node.publishers[i].loop};
	for (uint32_t i = 0; i < w->node.sampler_count; i++)
		w->threads[w->thread_count++] = (struct world_thread){.sampler = &w->node.samplers[i],
								      .loop = w->node.samplers[i].loop};
	ASSERT(w->thread_count <= WORLD_THREADS_MAX);
}

int world_open_node(struct world *w)
{
	struct cfg_errors errors = {0};
	const char *why = "";
	int rc = config_parse("sim.yaml", bytes_of(w->yaml, w->yaml_bytes), &w->cfg, &errors);

	if (rc < 0)
		sim_fail("configuration: %s", errors.count ? errors.lines[0] : "?");
	config_errors_free(&errors);
	if (rc < 0)
		return rc;
	rc = node_open(&w->node, w->cfg, "/nonexistent", w->has_files ? w->state_dir : NULL,
		       prng_next(&sim.prng), &why);
	if (rc < 0) {
		sim_fail("node_open: %d %s", rc, why);
		config_free(w->cfg);
		w->cfg = NULL;
		return rc;
	}
	tags_find(w);
	threads_add(w);
	for (uint32_t i = 0; i < w->node.publisher_count && sim_chance(300); i++) {
		struct gather *g = &w->node.publishers[i].gather;

		g->free_count = (uint32_t)sim_between(0, g->free_count); /* the others are never given back */
		g->block_bytes = (uint32_t)sim_between(0, 600);
	}
	world_rings_opened(w);
	world_accounts_open(w);
	return 0;
}

/* --- the crash ----------------------------------------------------------------------------------------------------- */

void world_crash(struct world *w)
{
	sim_trace("crash");
	sim_covered[COVER_CRASHED]++;
	w->has_crashed = true;
	for (uint32_t i = 0; i < w->thread_count; i++)
		loop_quiet(w->threads[i].loop);
	world_rings_look(w);
	node_close(&w->node);
	config_free(w->cfg);
	w->cfg = NULL;
	w->thread_count = 0;
	bridge_crashed();
	for (uint32_t i = 0; i < w->target_count; i++) {
		struct broker *b = &w->targets[i].broker;

		enum broker_client_state state = damage(w, i);

		world_ring_damage(w, i, state == BROKER_CLIENT_KEEPS);
		broker_client_crashed(b, state);
		w->targets[i].was_disabled = false;
	}
	if (w->optional_to && sim_chance(600))
		reconfigure(w);
	if (w->spare_to && prng_below(&w->ring_prng, 1000) < 500)
		publish_less(w);
	world_run_for(w, sim_between(0, sim_chance(500) ? NS_PER_MS : 3 * NS_PER_S));
	if (!sim.failed && world_open_node(w) < 0)
		w->thread_count = 0; /* said there */
}
