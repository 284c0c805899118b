#include "core/ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/carried.h"
#include "core/crc32c.h"
#include "core/hash.h"
#include "core/kept_file.h"
#include "core/log.h"
#include "core/loss.h"
#include "core/ring_layout.h"

#define CARRIED_HEADER_BYTES 24u /* as CHANNEL_HEADER_BYTES of core/definition.h, which is not for here */

struct old_file {
	int handle;
	void *memory;
	uint64_t memory_bytes;
	struct ring_scan scan;
	bool sound;
};

static void say(struct ring_file *f, const char *what, const char *why)
{
	snprintf(f->state, sizeof(f->state), "%s: %.120s", what, why);
}

/* --- the old file --------------------------------------------------------------------------------------------------- */

/* Of a renaming: what is mounted there cannot be renamed; -EBUSY is said only of a file that another process has. */
static int rename_error(int rc)
{
	return rc == -EBUSY ? -EXDEV : rc;
}

/* It stays where it is when it cannot be moved: nothing is written over what we do not know. */
static int set_aside(struct ring_file *f, struct kept_file *p, const char *why)
{
	int rc = rename_error(kept_file_set_aside(p));

	if (rc < 0) {
		LOG_WARN("ring", "file=%s reason=\"%s, and it cannot be moved aside as %s\"", p->file, why,
			 p->suffix);
		return rc;
	}
	snprintf(f->state, sizeof(f->state), "the ring file was moved aside as %s%s, and begun anew: %.80s",
		 p->suffix, p->replaced ? " in place of an older one" : "", why);
	LOG_WARN("ring", "file=%s set_aside=%s replaced=%d reason=\"%s\"", p->file, p->bad, p->replaced, why);
	return 0;
}

static const char *trouble_text(int error)
{
	switch (error) {
	case EXDEV: return "it, or what is in its way, cannot be renamed: is something mounted there?";
	case EISDIR: return "there is a folder in its way";
	case ENODEV: return "its name is that of something that is no file";
	default: return strerror(error);
	}
}

static int old_open(struct old_file *old, struct ring_file *f, struct kept_file *p)
{
	const char *why = "";
	struct stat st;
	int rc;

	*old = (struct old_file){.handle = open(p->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
	if (old->handle == -1) {
		rc = -errno;
		if (rc == -ENOENT || rc == -ENOTDIR)
			return 0;
		if (rc == -ELOOP)
			return set_aside(f, p, "it is a symbolic link");
		return rc == -ENXIO ? -ENODEV : rc;
	}
	if (fstat(old->handle, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode)) /* a device, a pipe: others need it under this name */
		return -ENODEV;
	if (kept_file_lock(old->handle, p->file) < 0)
		return -EBUSY;
	if (st.st_size < (off_t)RING_FILE_HEADER_BYTES)
		return set_aside(f, p, "it is no ring file");
	old->memory_bytes = (uint64_t)st.st_size;
	old->memory = mmap(NULL, old->memory_bytes, PROT_READ, MAP_SHARED, old->handle, 0);
	if (old->memory == MAP_FAILED) {
		old->memory = NULL;
		return set_aside(f, p, strerror(errno));
	}
	rc = ring_scan_open(&old->scan, old->memory, old->memory_bytes, &why);
	if (rc == -ENOMEM)
		return rc;
	old->sound = rc == 0;
	return old->sound ? 0 : set_aside(f, p, why);
}

static void old_close(struct old_file *old)
{
	if (old->sound)
		ring_scan_close(&old->scan);
	if (old->memory)
		munmap(old->memory, old->memory_bytes);
	if (old->handle >= 0)
		close(old->handle);
}

/* --- the new one ------------------------------------------------------------------------------------------------------ */

/* 0: the kernel does not say. */
static uint64_t boot_of_machine(void)
{
	char text[64];
	int handle = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t size = handle == -1 ? 0 : read(handle, text, sizeof(text));

	if (handle >= 0)
		close(handle);
	return size > 0 ? hash_bytes(HASH_START, bytes_of(text, (size_t)size)) | 1 : 0;
}

static void header_write(struct ring_file *f, const struct ring_file_config *c, uint64_t map_bytes,
			 struct mono mono, struct wall wall)
{
	struct ring_file_header *h = f->memory;
	uint8_t *table = (uint8_t *)f->memory + RING_FILE_HEADER_BYTES + map_bytes;
	uint64_t table_bytes = ring_topics_bytes(c->topics, c->topic_count);
	struct writer w = writer_of(table, table_bytes);

	ring_topics_write(&w, c->topics, c->topic_count);
	ASSERT(!w.failed);
	*h = (struct ring_file_header){
		.magic = RING_MAGIC,
		.layout_version = RING_LAYOUT_VERSION,
		.limits = c->limits,
		.epoch = c->epoch,
		.boot = f->boot,
		.made_ns = mono.ns,
		.wall_minus_mono_ns = wall.ns - (int64_t)mono.ns,
		.map_bytes = map_bytes,
		.topic_bytes = table_bytes,
		.topic_count = c->topic_count,
		.topic_crc = crc32c(0, table, table_bytes),
	};
	h->header_crc = ring_file_header_crc(h);
}

uint64_t ring_file_bytes(const struct ring_file_config *c)
{
	return RING_FILE_HEADER_BYTES + ring_map_bytes(&c->limits) +
	       ring_topics_bytes(c->topics, c->topic_count);
}

static int file_map(struct ring_file *f, const struct ring_file_config *c, const struct kept_file *p)
{
	int rc;

	f->memory_bytes = ring_file_bytes(c);
	rc = kept_file_make(p, f->memory_bytes, &f->handle, &f->memory);
	if (rc < 0)
		return rc;
	f->path = strdup(c->path);
	return f->path ? map_guard_open(&f->guard, f->memory, f->memory_bytes, c->path) : -ENOMEM;
}

static void file_unmap(struct ring_file *f)
{
	if (f->ring)
		ring_close(f->ring);
	if (f->memory)
		munmap(f->memory, f->memory_bytes);
	map_guard_close(f->guard);
	free(f->path);
	if (f->handle >= 0)
		close(f->handle);
	f->ring = NULL;
	f->memory = NULL;
	f->guard = NULL;
	f->path = NULL;
	f->handle = -1;
}

/* --- taking over ------------------------------------------------------------------------------------------------------ */

static bool is_known(const uint64_t *origins, uint32_t count, uint64_t origin)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (origins[middle] < origin)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && origins[low] == origin;
}

/* Its time as this boot's clock would have said it; what is from before the boot is as old as the boot. */
static struct mono time_here(const struct ring_file *f, const struct ring_file_header *old, uint64_t time_ns,
			     struct mono mono, struct wall wall)
{
	uint64_t here = time_ns;

	/* Modulo 2^64, because every bit may be a stranger's. */
	if (old->boot == 0 || old->boot != f->boot)
		here += (uint64_t)old->wall_minus_mono_ns - ((uint64_t)wall.ns - mono.ns);
	if ((int64_t)here < 1)
		here = 1;
	return (struct mono){.ns = min_u64(here, mono.ns)};
}

/* What is written before the payload, when the message is sent. */
static uint64_t headroom_of(const struct ring_scan_message *m, uint32_t mark_bytes)
{
	return CARRIED_HEADER_BYTES + mark_bytes + m->topic.topic.size + m->topic.props.size;
}

static bool take_one(struct ring_file *f, const struct ring_scan_message *m, struct mono time)
{
	const struct ring_limits *l = &f->ring->limits;
	uint64_t headroom = headroom_of(m, f->mark_bytes);
	uint64_t bytes = carried_bytes(m->topic.topic.size, m->topic.props.size, m->payload.size);
	uint8_t *payload;
	struct writer w;

	if (headroom + bytes > l->record_bytes_max)
		return false;
	payload = ring_reserve(f->ring, l->lane_count - 1, (uint32_t)headroom, (uint32_t)bytes, time);
	if (!payload)
		return false;
	w = writer_of(payload, bytes);
	write_bytes(&w, m->payload.ptr, m->payload.size);
	write_bytes(&w, m->topic.props.ptr, m->topic.props.size);
	carried_write_end(&w, m->topic.topic, m->topic.props.size, m->topic.expiry_s, m->topic.qos,
			  m->topic.retain);
	ring_commit(f->ring, l->lane_count - 1, CHANNEL_CARRIED, (uint32_t)bytes, time);
	return true;
}

static void take_over(struct ring_file *f, struct old_file *old, const uint64_t *origins,
		      uint32_t origin_count, struct mono mono, struct wall wall)
{
	struct ring_scan_message m;

	f->lost_from = time_here(f, old->scan.header, old->scan.header->made_ns, mono, wall);
	f->lost_to = mono;
	while (ring_scan_next(&old->scan, false, &m)) {
		f->lost_to = mono_min(f->lost_to, time_here(f, old->scan.header, m.time_ns, mono, wall));
		if (is_known(origins, origin_count, m.origin))
			f->known_count++;
		else if (take_one(f, &m, time_here(f, old->scan.header, m.time_ns, mono, wall)))
			f->restored_count++;
		else
			f->unfit_count++;
	}
	f->broken_count = old->scan.broken_count;
	f->lost_from = mono_min(f->lost_from, f->lost_to);
}

/* They are told by this process, or left to the one after it. */
static void take_over_losses(struct ring_file *f, const struct old_file *old)
{
	struct ring_losses losses = {0};

	ring_scan_losses_of(&old->scan, &f->losses);
	memcpy(losses.untold, f->losses.untold, sizeof(losses.untold));
	losses.untold[LOSS_OVERWRITTEN] += f->losses.unlocated_count;
	losses.untold[LOSS_NO_ROOM] += f->losses.dropped_count;
	ring_losses_keep(f->ring, &losses);
}

/* A new name is on the disk with the folder that has it: else power loss brings back the old file, and loses this one. */
static int folder_sync(const struct kept_file *p)
{
	char folder[KEPT_FILE_PATH_BYTES];
	const char *slash = strrchr(p->file, '/');
	size_t size = slash ? (size_t)(slash - p->file) : 0;
	int handle, rc = 0;

	memcpy(folder, p->file, size);
	memcpy(folder + size, slash ? "/" : ".", 2); /* "/ring" is in "/" */
	handle = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (handle == -1)
		return -errno;
	if (fsync(handle) == -1 && errno != EINVAL) /* some file systems have no such thing */
		rc = -errno;
	close(handle);
	return rc;
}

static int make_new(struct ring_file *f, const struct ring_file_config *c, const struct kept_file *p,
		    struct old_file *old, const uint64_t *origins, uint32_t origin_count, struct mono mono,
		    struct wall wall)
{
	int rc = file_map(f, c, p);

	if (rc < 0)
		return rc;
	rc = ring_open_in(&f->ring, &c->limits, (uint8_t *)f->memory + RING_FILE_HEADER_BYTES);
	if (rc < 0)
		return rc;
	header_write(f, c, ring_map_bytes(&c->limits), mono, wall);
	if (old->sound) {
		take_over(f, old, origins, origin_count, mono, wall);
		take_over_losses(f, old);
	}
	if (fdatasync(f->handle) == -1)
		return -errno;
	if (rename(p->made, p->file) == -1)
		return rename_error(-errno);
	rc = folder_sync(p);
	if (rc < 0) /* it has its name, and SIGKILL cannot take it away */
		LOG_WARN("ring", "file=%s reason=\"its folder cannot be synced: %s\"", p->file,
			 strerror(-rc));
	return 0;
}

/* Half a file is of no use, and may be what has filled the disk. */
static void unmake(const struct ring_file *f, const struct kept_file *p, int rc)
{
	if (rc != -EBUSY && f->handle >= 0)
		(void)unlink(p->made);
}

static void tell(const struct ring_file *f, const struct kept_file *p)
{
	const struct ring_scan_losses *l = &f->losses;
	uint64_t untold_count = l->unlocated_count + l->dropped_count;

	for (uint32_t i = 0; i < RING_LOSS_KINDS; i++)
		untold_count += l->untold[i];
	if (f->restored_count + f->known_count + f->broken_count + f->unfit_count + untold_count == 0)
		return;
	LOG_STATE(f->broken_count + f->unfit_count ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "ring",
		  "file=%s restored=%llu with_the_session=%llu broken=%llu too_large=%llu lost_before=%llu",
		  p->file, (unsigned long long)f->restored_count, (unsigned long long)f->known_count,
		  (unsigned long long)f->broken_count, (unsigned long long)f->unfit_count,
		  (unsigned long long)untold_count);
}

static uint64_t record_bytes_needed(const void *image, uint64_t image_bytes, uint32_t mark_bytes)
{
	struct ring_scan_message m;
	struct ring_scan scan;
	const char *why;
	uint64_t bytes = 0;

	if (ring_scan_open(&scan, image, image_bytes, &why) < 0)
		return 0;
	while (ring_scan_next(&scan, false, &m))
		bytes = max_u64(bytes, headroom_of(&m, mark_bytes) + carried_bytes(m.topic.topic.size,
										   m.topic.props.size,
										   m.payload.size));
	ring_scan_close(&scan);
	return bytes;
}

/* Only looks: whoever opens the file afterwards says what is wrong with it. */
uint32_t ring_file_record_bytes(const char *path, const struct ring_limits *limits, uint32_t mark_bytes)
{
	int handle = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct ring_limits larger = *limits;
	uint64_t needed, bytes = 0;
	void *image = MAP_FAILED;
	struct stat st;

	if (handle == -1)
		return limits->record_bytes_max;
	if (fstat(handle, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)RING_FILE_HEADER_BYTES) {
		bytes = (uint64_t)st.st_size;
		image = mmap(NULL, bytes, PROT_READ, MAP_SHARED, handle, 0);
	}
	close(handle);
	if (image == MAP_FAILED)
		return limits->record_bytes_max;
	needed = record_bytes_needed(image, bytes, mark_bytes);
	munmap(image, bytes);
	if (needed <= limits->record_bytes_max || needed > RING_RECORD_BYTES_MAX)
		return limits->record_bytes_max;
	larger.record_bytes_max = (uint32_t)needed;
	return ring_map_bytes(&larger) <= max_u64(bytes, ring_map_bytes(limits)) ? larger.record_bytes_max
										 : limits->record_bytes_max;
}

int ring_file_open(struct ring_file *f, const struct ring_file_config *c, const uint64_t *origins,
		   uint32_t origin_count, struct mono mono, struct wall wall)
{
	struct old_file old = {.handle = -1};
	struct kept_file *p;
	int rc;

	*f = (struct ring_file){.handle = -1,
				.epoch = c->epoch,
				.mark_bytes = c->mark_bytes,
				.boot = c->boot ? c->boot : boot_of_machine()};
	if (ring_map_bytes(&c->limits) == 0)
		return -EINVAL;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	rc = kept_file_name(p, "%s", c->path);
	if (rc == 0)
		rc = old_open(&old, f, p);
	if (rc == 0)
		rc = make_new(f, c, p, &old, origins, origin_count, mono, wall);
	if (rc < 0) {
		unmake(f, p, rc);
		file_unmap(f);
		f->restored_count = f->known_count = f->broken_count = f->unfit_count = 0;
		f->losses = (struct ring_scan_losses){0};
	} else {
		tell(f, p);
	}
	old_close(&old);
	free(p);
	if (rc == 0 || rc == -EBUSY || rc == -ENOMEM)
		return rc;
	/* The old file stays as it is, for a start with room on the disk. */
	say(f, "in memory, because the ring file cannot be made", trouble_text(-rc));
	LOG_WARN("ring", "file=%s kept=0 reason=\"%s: the ring is in memory; a crash would lose it\"",
		 c->path, trouble_text(-rc));
	return ring_open(&f->ring, &c->limits);
}

void ring_file_close(struct ring_file *f)
{
	file_unmap(f);
}

uint64_t ring_file_origin(const struct ring_file *f, const struct ring_record *rec)
{
	return f->handle < 0 ? 0 : ring_origin(f->epoch, rec->lane_idx, rec->sequence);
}

int ring_file_sync(const struct ring_file *f)
{
	if (f->handle < 0)
		return 0;
	return fdatasync(f->handle) == -1 ? -errno : 0;
}
