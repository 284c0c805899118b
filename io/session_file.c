#include "io/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hash.h"
#include "core/kept_file.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/topic.h"

#define FILE_BYTES_MAX (8ull << 30)

static void say(struct session_file *f, const char *what, const char *why)
{
	snprintf(f->state, sizeof(f->state), "%s: %.120s", what, why);
}

static uint64_t identity_of(const char *client_id)
{
	return hash_text(HASH_START, client_id);
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

static void set_aside(const struct session_file_config *c, struct kept_file *p, const char *why)
{
	int rc = kept_file_set_aside(p);

	LOG_WARN("session",
		 "target=%s file=%s set_aside=%s replaced=%d reason=\"%s: the session begins anew\"",
		 c->target, p->file, p->bad, p->replaced, why);
	if (rc < 0)
		LOG_WARN("session", "target=%s file=%s reason=\"cannot set it aside: %s\"", c->target,
			 p->file, strerror(-rc));
}

/* Passing troubles of the machine say nothing about the file. */
static bool is_passing(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == EINTR;
}

/* 0, sound or not; -EBUSY, or another negative errno that passes. */
static int old_open(struct old_file *old, const struct session_file_config *c, struct kept_file *p)
{
	const char *why = "";
	struct stat st;

	*old = (struct old_file){.handle = open(p->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
	if (old->handle == -1) {
		if (is_passing(errno))
			return -errno;
		if (errno != ENOENT)
			set_aside(c, p, strerror(errno));
		return 0;
	}
	if (kept_file_lock(old->handle, p->file) < 0)
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
		if (is_passing(errno))
			return -errno;
		set_aside(c, p, strerror(errno));
		return 0;
	}
	old->sound = mqtt_store_open(&old->store, old->memory, old->memory_bytes, c->version,
				     identity_of(c->client_id), &why) == 0;
	if (!old->sound)
		set_aside(c, p, why);
	return 0;
}

/* It was taken over into memory: the next process must not take it for the session that follows. */
static void old_forget(const struct old_file *old, struct kept_file *p)
{
	const uint64_t none = 0;
	ssize_t size;
	int rc = -EIO;

	if (old->handle < 0)
		return;
	size = pwrite(old->handle, &none, sizeof(none), (off_t)mqtt_store_server_offset());
	if (size == (ssize_t)sizeof(none))
		rc = kept_file_set_aside(p);
	else if (size == -1)
		rc = -errno;
	if (rc < 0)
		LOG_WARN("session",
			 "file=%s reason=\"cannot be set aside: %s; remove it before the next start\"",
			 p->file, strerror(-rc));
}

/* --- the new one ---------------------------------------------------------------------------------------------------- */

#define NOT_WANTED UINT32_MAX

/* What becomes of each filter of the old file: its number among the wanted ones, or NOT_WANTED. */
struct matching {
	uint32_t *wanted_of;
};

static int by_text(const void *a, const void *b, void *filters)
{
	const struct mqtt_session_filter *f = filters;
	struct bytes x = f[*(const uint32_t *)a].options.filter, y = f[*(const uint32_t *)b].options.filter;
	int rc = memcmp(x.ptr, y.ptr, min_size(x.size, y.size));

	return rc ? rc : (x.size > y.size) - (x.size < y.size);
}

static uint32_t wanted_find(const struct session_file_config *c, const uint32_t *order, struct bytes text)
{
	uint32_t low = 0, high = c->shape.filter_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct bytes x = c->filters[order[middle]].options.filter;
		int rc = memcmp(x.ptr, text.ptr, min_size(x.size, text.size));

		if (rc == 0)
			rc = (x.size > text.size) - (x.size < text.size);
		if (rc == 0)
			return order[middle];
		if (rc < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NOT_WANTED;
}

static int matching_make(struct matching *m, const struct session_file_config *c, const struct old_file *old)
{
	uint32_t old_count = old->sound ? old->store.shape.filter_count : 0;
	uint32_t *order = calloc((size_t)c->shape.filter_count + 1, sizeof(order[0]));

	m->wanted_of = calloc((size_t)old_count + 1, sizeof(m->wanted_of[0]));
	if (!order || !m->wanted_of) {
		free(order);
		free(m->wanted_of);
		m->wanted_of = NULL;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->shape.filter_count; i++)
		order[i] = i;
	qsort_r(order, c->shape.filter_count, sizeof(order[0]), by_text, (void *)(uintptr_t)c->filters);
	for (uint32_t i = 0; i < old_count; i++) {
		struct bytes kept = mqtt_store_filter(&old->store, i);

		m->wanted_of[i] = NOT_WANTED;
		if (kept.size > MQTT_SESSION_FILTER_HEAD_BYTES)
			m->wanted_of[i] = wanted_find(c, order,
						      bytes_of(kept.ptr + MQTT_SESSION_FILTER_HEAD_BYTES,
							       kept.size - MQTT_SESSION_FILTER_HEAD_BYTES));
	}
	free(order);
	return 0;
}

/* A filter that the server has of us and that nothing wants any more. */
static bool is_stale(const struct matching *m, const struct mqtt_store *old, uint32_t i)
{
	return m->wanted_of[i] == NOT_WANTED && mqtt_store_filter_state(old, i) != MQTT_STORE_FILTER_NONE &&
	       mqtt_store_filter(old, i).size > MQTT_SESSION_FILTER_HEAD_BYTES;
}

/* Of the messages that an old file holds. */
static uint32_t slot_bytes_needed(const struct mqtt_store *old)
{
	uint32_t bytes = 0;

	for (uint32_t id = 1; id <= old->shape.inflight_room; id++) {
		uint64_t sequence;
		enum mqtt_inflight_state state = mqtt_store_get(old, (uint16_t)id, &sequence);
		struct mqtt_stored m;

		if ((state == MQTT_INFLIGHT_PUBLISHED_1 || state == MQTT_INFLIGHT_PUBLISHED_2) &&
		    mqtt_store_message(old, (uint16_t)id, &m))
			bytes = (uint32_t)max_u64(
				bytes, mqtt_store_slot_bytes(
					       (uint32_t)(m.topic.size + m.props.size + m.payload.size)));
	}
	return bytes;
}

static struct mqtt_store_shape shape_of(const struct session_file_config *c, const struct old_file *old,
					const struct matching *m)
{
	struct mqtt_store_shape shape = c->shape;

	shape.filter_text_bytes = 0;
	for (uint32_t i = 0; i < c->shape.filter_count; i++)
		shape.filter_text_bytes += MQTT_SESSION_FILTER_HEAD_BYTES +
					   (uint32_t)c->filters[i].options.filter.size;
	if (!old->sound)
		return shape;
	for (uint32_t i = 0; i < old->store.shape.filter_count; i++)
		if (is_stale(m, &old->store, i)) {
			shape.filter_count++;
			shape.filter_text_bytes += (uint32_t)mqtt_store_filter(&old->store, i).size;
		}
	/* What is in flight has its identifiers, and its room, whatever the configuration says now. */
	shape.inflight_room = (uint32_t)max_u64(shape.inflight_room, mqtt_store_highest_id(&old->store));
	shape.slot_bytes = (uint32_t)max_u64(shape.slot_bytes, slot_bytes_needed(&old->store));
	return shape;
}

static void filters_fill(struct mqtt_store *s, const struct session_file_config *c,
			 const struct old_file *old, const struct matching *m)
{
	uint32_t count = c->shape.filter_count;

	for (uint32_t i = 0; i < c->shape.filter_count; i++) {
		uint8_t text[MQTT_SESSION_FILTER_HEAD_BYTES + TOPIC_BYTES_MAX];
		struct writer w = writer_of(text, sizeof(text));

		mqtt_session_filter_write(&w, &c->filters[i]);
		mqtt_store_add_filter(s, i, bytes_of(text, (size_t)(w.at - text)));
	}
	for (uint32_t i = 0; old->sound && i < old->store.shape.filter_count; i++)
		if (is_stale(m, &old->store, i))
			mqtt_store_add_filter(s, count++, mqtt_store_filter(&old->store, i));
	mqtt_store_seal(s);
	count = c->shape.filter_count;
	for (uint32_t i = 0; old->sound && i < old->store.shape.filter_count; i++) {
		enum mqtt_store_filter state = mqtt_store_filter_state(&old->store, i);
		uint32_t k = is_stale(m, &old->store, i) ? count++ : m->wanted_of[i];

		/* With other options it has to be asked for again. */
		if (k == NOT_WANTED ||
		    !bytes_equal(mqtt_store_filter(s, k), mqtt_store_filter(&old->store, i)))
			continue;
		if (state == MQTT_STORE_FILTER_SUBSCRIBED)
			mqtt_store_set_granted(s, k, mqtt_store_granted(&old->store, i));
		else
			mqtt_store_set_filter_state(s, k, state);
	}
}

static int map_new(struct session_file *f, const struct kept_file *p)
{
	int rc = kept_file_make(p, f->memory_bytes, &f->handle, &f->memory);

	if (rc < 0)
		return rc;
	f->path = strdup(p->file);
	return f->path ? map_guard_open(&f->guard, f->memory, f->memory_bytes, p->file) : -ENOMEM;
}

static void unmap(struct session_file *f)
{
	memory_unmap(f->memory, f->memory_bytes);
	if (f->handle >= 0) {
		map_guard_close(f->guard);
		free(f->path);
		close(f->handle);
	}
	f->memory = NULL;
	f->guard = NULL;
	f->path = NULL;
	f->handle = -1;
}

/* Without a file: what can be kept is kept as long as the process, and that of the last one still has its turn. */
static int plain_open(struct session_file *f, const struct session_file_config *c, const struct old_file *old,
		      const struct matching *m)
{
	struct mqtt_store_shape shape;

	shape = shape_of(c, old, m);
	if (!old->sound && !c->only_count)
		shape.slot_bytes = 0;
	f->handle = -1;
	f->memory_bytes = mqtt_store_bytes(&shape);
	f->memory = memory_map(f->memory_bytes);
	if (!f->memory)
		return -ENOMEM;
	mqtt_store_init(&f->store, f->memory, &shape, c->version, identity_of(c->client_id));
	filters_fill(&f->store, c, old, m);
	return old->sound ? mqtt_store_take_over(&f->store, &old->store) : 0;
}

static int name_make(struct kept_file *p, const struct session_file_config *c)
{
	return kept_file_name(p, "%s/%s.session", c->state_dir, c->target);
}

static int make_new(struct session_file *f, const struct session_file_config *c, const struct kept_file *p,
		    const struct old_file *old, const struct matching *m)
{
	struct mqtt_store_shape shape = shape_of(c, old, m);
	int rc;

	f->memory_bytes = mqtt_store_bytes(&shape);
	if (f->memory_bytes > FILE_BYTES_MAX) /* the next process would not believe it */
		return -EFBIG;
	rc = map_new(f, p);
	if (rc < 0)
		return rc;
	mqtt_store_init(&f->store, f->memory, &shape, c->version, identity_of(c->client_id));
	filters_fill(&f->store, c, old, m);
	if (old->sound)
		rc = mqtt_store_take_over(&f->store, &old->store);
	if (rc < 0)
		return rc;
	if (fdatasync(f->handle) == -1 || rename(p->made, p->file) == -1)
		return -errno;
	return 0;
}

/* The old file is open: the new one, or memory where there can be none. */
static int open_beside(struct session_file *f, const struct session_file_config *c, struct kept_file *p,
		       const struct old_file *old)
{
	struct matching m;
	int rc = matching_make(&m, c, old);

	if (rc < 0)
		return rc;
	rc = make_new(f, c, p, old, &m);
	if (rc < 0 && rc != -EBUSY) {
		LOG_WARN("session",
			 "target=%s state_dir=%s kept=0 reason=\"%s: sending goes on, but a restart "
			 "begins a new session; make the folder writable\"",
			 c->target, c->state_dir, strerror(-rc));
		say(f, "in memory, because the session file cannot be made", strerror(-rc));
		(void)!unlink(p->made); /* half made, it would only take room */
		unmap(f);
		rc = plain_open(f, c, old, &m);
		if (rc == 0)
			old_forget(old, p);
	}
	free(m.wanted_of);
	return rc;
}

static int open_plain(struct session_file *f, const struct session_file_config *c)
{
	const struct old_file none = {.handle = -1};
	struct matching m;
	int rc = matching_make(&m, c, &none);

	if (rc == 0)
		rc = plain_open(f, c, &none, &m);
	free(m.wanted_of);
	return rc;
}

void session_file_forget(const struct session_file_config *c)
{
	struct kept_file *p = c->state_dir ? malloc(sizeof(*p)) : NULL;

	if (p && name_make(p, c) == 0 && unlink(p->file) == 0)
		LOG_INFO("session", "target=%s file=%s removed=1 reason=\"clean_start is true\"", c->target,
			 p->file);
	free(p);
}

int session_file_open(struct session_file *f, const struct session_file_config *c)
{
	struct old_file old;
	struct kept_file *p;
	int rc;

	*f = (struct session_file){.handle = -1};
	if (!c->state_dir || c->only_count)
		return open_plain(f, c);
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (name_make(p, c) < 0) {
		LOG_WARN("session", "target=%s state_dir=%s kept=0 reason=\"the path is too long\"",
			 c->target, c->state_dir);
		say(f, "in memory, because the session file cannot be made", "the path is too long");
		rc = open_plain(f, c);
	} else {
		rc = old_open(&old, c, p);
		if (rc == 0)
			rc = open_beside(f, c, p, &old);
		old_close(&old);
	}
	if (rc < 0)
		unmap(f);
	free(p);
	return rc;
}

void session_file_close(struct session_file *f)
{
	if (f->memory)
		unmap(f);
}
