#include "io/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file_lock.h"
#include "core/log.h"
#include "core/topic.h"

#define PATH_BYTES     4096
#define FILE_BYTES_MAX (8ull << 30)

struct paths {
	char file[PATH_BYTES], made[PATH_BYTES], bad[PATH_BYTES];
};

static uint64_t identity_of(const char *client_id)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (const char *c = client_id; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
	return hash;
}

/* --- the file of the last process ---------------------------------------------------------------------------------- */

struct old_file {
	struct mqtt_store store;
	void *memory;
	uint64_t memory_bytes;
	int handle;
	bool sound;
};

static void old_close(struct old_file *old)
{
	if (old->memory)
		munmap(old->memory, old->memory_bytes);
	if (old->handle >= 0)
		close(old->handle);
}

static void set_aside(const struct session_file_config *c, const struct paths *p, const char *why)
{
	LOG_WARN("session", "target=%s file=%s set_aside=%s reason=\"%s: the session begins anew\"",
		 c->target, p->file, p->bad, why);
	if (rename(p->file, p->bad) == -1)
		LOG_WARN("session", "target=%s file=%s reason=\"cannot set it aside: %s\"", c->target,
			 p->file, strerror(errno));
}

/* 0, sound or not; -EBUSY. */
static int old_open(struct old_file *old, const struct session_file_config *c, const struct paths *p)
{
	const char *why = "";
	struct stat st;

	*old = (struct old_file){.handle = open(p->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
	if (old->handle == -1) {
		if (errno != ENOENT)
			set_aside(c, p, strerror(errno));
		return 0;
	}
	if (file_lock(old->handle, p->file) < 0)
		return -EBUSY;
	if (fstat(old->handle, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    (uint64_t)st.st_size > FILE_BYTES_MAX) {
		set_aside(c, p, "it is no session file");
		return 0;
	}
	old->memory_bytes = (uint64_t)st.st_size;
	old->memory = mmap(NULL, old->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, old->handle, 0);
	if (old->memory == MAP_FAILED) {
		old->memory = NULL;
		set_aside(c, p, strerror(errno));
		return 0;
	}
	old->sound = mqtt_store_open(&old->store, old->memory, old->memory_bytes, c->version,
				     identity_of(c->client_id), &why) == 0;
	if (!old->sound)
		set_aside(c, p, why);
	return 0;
}

/* --- the new one ---------------------------------------------------------------------------------------------------- */

static struct bytes filter_text(struct bytes kept)
{
	return bytes_of(kept.ptr + MQTT_SESSION_FILTER_HEAD_BYTES,
			kept.size - MQTT_SESSION_FILTER_HEAD_BYTES);
}

/* The wanted filter of that text, or the count. Linear: at start only, and for subscriptions only. */
static uint32_t wanted_find(const struct session_file_config *c, struct bytes text)
{
	uint32_t i = 0;

	while (i < c->shape.filter_count && !bytes_equal(c->filters[i].options.filter, text))
		i++;
	return i;
}

/* A filter that the server has of us and that nothing wants any more. */
static bool is_stale(const struct session_file_config *c, const struct mqtt_store *old, uint32_t i)
{
	struct bytes kept = mqtt_store_filter(old, i);

	return mqtt_store_filter_state(old, i) != MQTT_STORE_FILTER_NONE &&
	       kept.size > MQTT_SESSION_FILTER_HEAD_BYTES &&
	       wanted_find(c, filter_text(kept)) == c->shape.filter_count;
}

static struct mqtt_store_shape shape_of(const struct session_file_config *c, const struct old_file *old)
{
	struct mqtt_store_shape shape = c->shape;

	shape.filter_text_bytes = 0;
	for (uint32_t i = 0; i < c->shape.filter_count; i++)
		shape.filter_text_bytes += MQTT_SESSION_FILTER_HEAD_BYTES +
					   (uint32_t)c->filters[i].options.filter.size;
	for (uint32_t i = 0; old->sound && i < old->store.shape.filter_count; i++)
		if (is_stale(c, &old->store, i)) {
			shape.filter_count++;
			shape.filter_text_bytes += (uint32_t)mqtt_store_filter(&old->store, i).size;
		}
	/* What is in flight has its identifiers, and its room, whatever the configuration says now. */
	if (old->sound && old->store.shape.inflight_room > shape.inflight_room)
		shape.inflight_room = old->store.shape.inflight_room;
	if (old->sound && old->store.shape.slot_bytes > shape.slot_bytes && shape.slot_bytes)
		shape.slot_bytes = old->store.shape.slot_bytes;
	return shape;
}

static void filters_fill(struct mqtt_store *s, const struct session_file_config *c,
			 const struct old_file *old)
{
	uint32_t count = c->shape.filter_count;

	for (uint32_t i = 0; i < c->shape.filter_count; i++) {
		uint8_t text[MQTT_SESSION_FILTER_HEAD_BYTES + TOPIC_BYTES_MAX];
		struct writer w = writer_of(text, sizeof(text));

		mqtt_session_filter_write(&w, &c->filters[i]);
		mqtt_store_add_filter(s, i, bytes_of(text, (size_t)(w.at - text)));
	}
	for (uint32_t i = 0; old->sound && i < old->store.shape.filter_count; i++)
		if (is_stale(c, &old->store, i))
			mqtt_store_add_filter(s, count++, mqtt_store_filter(&old->store, i));
	mqtt_store_seal(s);
	for (uint32_t i = 0; old->sound && i < old->store.shape.filter_count; i++) {
		struct bytes kept = mqtt_store_filter(&old->store, i);

		enum mqtt_store_filter state = mqtt_store_filter_state(&old->store, i);

		for (uint32_t k = 0; state != MQTT_STORE_FILTER_NONE && k < s->shape.filter_count; k++)
			if (bytes_equal(mqtt_store_filter(s, k), kept))
				mqtt_store_set_filter_state(s, k, state);
	}
}

static int map_new(struct session_file *f, const char *path)
{
	int rc;

	f->handle = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->handle == -1)
		return -errno;
	if (file_lock(f->handle, path) < 0)
		return -EBUSY;
	if (ftruncate(f->handle, 0) == -1) /* not before the lock: another process may be filling it */
		return -errno;
	/* Not before it is ours: another process may have it mapped. */
	if (ftruncate(f->handle, 0) == -1)
		return -errno;
	rc = posix_fallocate(f->handle, 0,
			     (off_t)f->memory_bytes); /* a full disk is told now, not by SIGBUS */
	if (rc != 0)
		return -rc;
	f->memory = mmap(NULL, f->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->handle, 0);
	if (f->memory == MAP_FAILED) {
		f->memory = NULL;
		return -errno;
	}
	return 0;
}

static void unmap(struct session_file *f)
{
	if (f->handle < 0) {
		free(f->memory);
	} else {
		if (f->memory)
			munmap(f->memory, f->memory_bytes);
		close(f->handle);
	}
	f->memory = NULL;
	f->handle = -1;
}

/* Without a file: what can be kept is kept as long as the process. */
static int plain_open(struct session_file *f, const struct session_file_config *c)
{
	const struct old_file none = {0};
	struct mqtt_store_shape shape = shape_of(c, &none);

	shape.slot_bytes = 0;
	f->handle = -1;
	f->memory_bytes = mqtt_store_bytes(&shape);
	f->memory = calloc(1, f->memory_bytes);
	if (!f->memory)
		return -ENOMEM;
	mqtt_store_init(&f->store, f->memory, &shape, c->version, identity_of(c->client_id));
	filters_fill(&f->store, c, &none);
	return 0;
}

static int paths_make(struct paths *p, const struct session_file_config *c)
{
	int n = snprintf(p->file, sizeof(p->file), "%s/%s.session", c->state_dir, c->target);

	if (n < 0 || (size_t)n + 8 > sizeof(p->file))
		return -ENAMETOOLONG;
	memcpy(p->made, p->file, (size_t)n);
	memcpy(p->made + n, ".new", 5);
	memcpy(p->bad, p->file, (size_t)n);
	memcpy(p->bad + n, ".bad", 5);
	return 0;
}

static int make_new(struct session_file *f, const struct session_file_config *c, const struct paths *p,
		    const struct old_file *old)
{
	struct mqtt_store_shape shape = shape_of(c, old);
	int rc;

	f->memory_bytes = mqtt_store_bytes(&shape);
	rc = map_new(f, p->made);
	if (rc < 0)
		return rc;
	mqtt_store_init(&f->store, f->memory, &shape, c->version, identity_of(c->client_id));
	filters_fill(&f->store, c, old);
	if (old->sound)
		rc = mqtt_store_take_over(&f->store, &old->store);
	if (rc < 0)
		return rc;
	if (fdatasync(f->handle) == -1 || rename(p->made, p->file) == -1)
		return -errno;
	return 0;
}

void session_file_forget(const struct session_file_config *c)
{
	struct paths *p = c->state_dir ? malloc(sizeof(*p)) : NULL;

	if (p && paths_make(p, c) == 0 && unlink(p->file) == 0)
		LOG_INFO("session", "target=%s file=%s removed=1 reason=\"clean_start is true\"", c->target,
			 p->file);
	free(p);
}

int session_file_open(struct session_file *f, const struct session_file_config *c)
{
	struct old_file old;
	struct paths *p;
	int rc;

	*f = (struct session_file){.handle = -1};
	if (!c->state_dir)
		return plain_open(f, c);
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	rc = paths_make(p, c);
	if (rc == 0) {
		rc = old_open(&old, c, p);
		if (rc == 0)
			rc = make_new(f, c, p, &old);
		old_close(&old);
		if (rc < 0 && rc != -EBUSY) /* half made, it would only take room */
			(void)!unlink(p->made);
	}
	if (rc < 0) {
		unmap(f);
		if (rc != -EBUSY) {
			LOG_WARN("session",
				 "target=%s state_dir=%s kept=0 reason=\"%s: sending goes on, but a restart "
				 "begins a new session; make the folder writable\"",
				 c->target, c->state_dir, strerror(-rc));
			rc = plain_open(f, c);
		}
	}
	free(p);
	return rc;
}

void session_file_close(struct session_file *f)
{
	if (f->memory)
		unmap(f);
}
