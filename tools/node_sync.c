#include "tools/node_sync.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/log.h"
#include "core/memory.h"
#include "tools/node_memory.h"

/* With sync: each, how long a message may go unnoticed: nobody tells us, because that would cost the sampler. */
#define LOOK_NS  (2 * NS_PER_MS)
#define FILES_NS NS_PER_S /* how long a file may be gone unnoticed */

struct ring_state {
	struct node_sync_ring ring;
	uint64_t synced; /* what had happened to messages when the last sync began */
	struct mono next_sync, next_look;
	int failed; /* errno of the last sync */
	struct file_watch file, session;
};

struct node_sync {
	struct ring_state *rings;
	uint32_t count;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping; /* with the lock */
};

static bool is_kept(const struct node_sync_ring *r)
{
	return r->only_count || r->file->handle >= 0 || r->session->handle >= 0;
}

static void ring_open_state(struct ring_state *r, const struct node_sync_ring *ring)
{
	const struct ring_file *f = ring->file;
	const struct session_file *session = ring->session;

	r->ring = *ring;
	if (f->handle < 0 || ring->sync == CFG_SYNC_NEVER)
		r->next_sync = MONO_NEVER;
	file_watch_open(&r->file, ring->name, "ring", f->handle, f->path, f->guard, ring->do_look);
	file_watch_open(&r->session, ring->name, "session", session->handle, session->path, session->guard,
			ring->do_look);
}

int node_sync_open(struct node_sync **out, const struct node_sync_ring *rings, uint32_t count)
{
	struct node_sync *s;
	uint32_t used_count = 0;
	pthread_condattr_t attr;

	*out = NULL;
	for (uint32_t i = 0; i < count; i++)
		used_count += is_kept(&rings[i]);
	if (used_count == 0)
		return 0;
	s = memory_alloc(1, sizeof(*s));
	if (s)
		s->rings = memory_alloc(used_count, sizeof(s->rings[0]));
	if (!s || !s->rings) {
		memory_free(s);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		if (is_kept(&rings[i]))
			ring_open_state(&s->rings[s->count++], &rings[i]);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of struct mono */
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	*out = s;
	return 0;
}

void node_sync_close(struct node_sync *s)
{
	if (!s)
		return;
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	memory_free(s->rings);
	memory_free(s);
}

/* --- syncing ---------------------------------------------------------------------------------------------------------- */

int node_sync_disk(const struct ring_file *file, int session_handle)
{
	int rc = ring_file_sync(file);

	if (rc == 0 && session_handle >= 0 && fdatasync(session_handle) == -1)
		rc = -errno;
	return rc;
}

/* Counted before the sync begins: what happens during it waits for the next. */
static void sync_one(struct ring_state *r, uint64_t happened)
{
	int rc = r->ring.do_sync(r->ring.file, r->ring.session->handle);

	if (rc == 0)
		r->synced = happened;
	r->failed = rc;
	file_watch_synced(&r->file, rc);
}

static struct mono step_sync(struct ring_state *r, struct mono now)
{
	uint64_t pause_ns = r->ring.sync == CFG_SYNC_EACH && r->failed == 0 ? LOOK_NS : r->ring.interval_ns;
	struct ring_counts counts;
	uint64_t happened;

	if (!mono_reached(now, r->next_sync))
		return r->next_sync;
	counts = ring_counts(r->ring.file->ring);
	happened = counts.made + counts.taken;
	if (happened != r->synced)
		sync_one(r, happened);
	r->next_sync = mono_add(now, pause_ns);
	return r->next_sync;
}

/* Read from the file: where a device is gone, the mapping would be a SIGBUS. */
bool node_sync_is_overwritten(const struct ring_file *f)
{
	struct ring_file_header h;

	return f->memory && pread(f->handle, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	       (h.epoch != f->epoch || h.header_crc != ring_file_header_crc(&h));
}

void node_sync_end(const struct ring_file *f)
{
	dprintf(STDERR_FILENO,
		"error sync ring file=%s reason=\"somebody has written to it, or put another file's content "
		"into it: "
		"the daemon cannot go on with it, and ends\"\n",
		f->path);
	_exit(EXIT_FAILURE);
}

static struct mono step_look(struct ring_state *r, struct mono now)
{
	if (!mono_reached(now, r->next_look))
		return r->next_look;
	if (node_sync_is_overwritten(r->ring.file))
		r->ring.do_end(r->ring.file);
	file_watch_look(&r->file);
	file_watch_look(&r->session);
	r->next_look = mono_add(now, FILES_NS);
	return r->next_look;
}

struct mono node_sync_step(struct node_sync *s, struct mono now)
{
	struct mono next = MONO_NEVER;

	for (uint32_t i = 0; i < s->count; i++)
		next = mono_min(next, mono_min(step_look(&s->rings[i], now), step_sync(&s->rings[i], now)));
	return next;
}

/* --- the thread --------------------------------------------------------------------------------------------------------- */

static bool wait_until(struct node_sync *s, struct mono deadline)
{
	const struct timespec at = {.tv_sec = (time_t)(deadline.ns / NS_PER_S),
				    .tv_nsec = (long)(deadline.ns % NS_PER_S)};
	bool stopping;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping && pthread_cond_timedwait(&s->wake, &s->lock, &at) != ETIMEDOUT)
		;
	stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return !stopping;
}

static void *sync_main(void *arg)
{
	struct node_sync *s = arg;

	if (log_thread_open("sync") < 0)
		LOG_WARN("thread", "name=sync log_ring=0 reason=\"no memory\"");
	prctl(PR_SET_NAME, "sync");
	node_stack_populate();
	while (wait_until(s, node_sync_step(s, clock_mono())))
		;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->rings[i].next_sync.ns != MONO_NEVER.ns)
			s->rings[i].next_sync = (struct mono){0};
	(void)node_sync_step(s, clock_mono()); /* what the others made before they ended */
	log_thread_close();
	return NULL;
}

int node_sync_start(struct node_sync *s)
{
	pthread_attr_t attr;
	int rc;

	if (!s)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, NODE_STACK_BYTES);
	rc = pthread_create(&s->thread, &attr, sync_main, s);
	pthread_attr_destroy(&attr);
	s->running = rc == 0;
	return -rc;
}

void node_sync_stop(struct node_sync *s)
{
	if (!s || !s->running)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->running = false;
}

enum file_state node_sync_ring_state(const struct node_sync *s, const struct ring_file *file,
				     char text[SHARED_TEXT_BYTES])
{
	for (uint32_t i = 0; s && i < s->count; i++)
		if (s->rings[i].ring.file == file && file->handle >= 0)
			return file_watch_get(&s->rings[i].file, text);
	text[0] = 0;
	return FILE_NOT_ASKED;
}

enum file_state node_sync_session_state(const struct node_sync *s, const struct session_file *session,
					char text[SHARED_TEXT_BYTES])
{
	for (uint32_t i = 0; s && i < s->count; i++)
		if (s->rings[i].ring.session == session && session->handle >= 0)
			return file_watch_get(&s->rings[i].session, text);
	text[0] = 0;
	return FILE_NOT_ASKED;
}
