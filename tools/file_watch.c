#include "tools/file_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/log.h"

/* By a file system that is read-only, was shut down, or has lost its device. */
static bool is_refused(int error)
{
	return error == EROFS || error == EIO;
}

/* Asks the file system as a restart would, but writes nothing: statvfs does not know of ext4's emergency, open does. */
static bool takes_writes(const char *path)
{
	int handle = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (handle == -1)
		return !is_refused(errno); /* else it is about us: too many files, say */
	close(handle);
	return true;
}

enum file_state file_look(int handle, const char *path, const struct map_guard *guard)
{
	struct stat ours, named;

	if (map_guard_replaced_pages(guard) > 0)
		return FILE_FAILED;
	if (fstat(handle, &ours) == -1 || lstat(path, &named) == -1)
		return is_refused(errno) ? FILE_READ_ONLY : FILE_REMOVED;
	if (ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
		return FILE_REMOVED;
	if ((uint64_t)ours.st_size < map_guard_bytes(guard))
		return FILE_CUT;
	return takes_writes(path) ? FILE_FINE : FILE_READ_ONLY;
}

void file_watch_open(struct file_watch *w, const char *target, const char *kind, int handle, const char *path,
		     const struct map_guard *guard, file_look_fn *look)
{
	*w = (struct file_watch){
		.target = target,
		.kind = kind,
		.path = path,
		.guard = guard,
		.look = look,
		.handle = handle,
		.seen = FILE_FINE,
		.told = FILE_FINE,
	};
	counter_set(&w->state, FILE_FINE);
}

static void text_make(const struct file_watch *w, enum file_state state, char out[SHARED_TEXT_BYTES])
{
	switch (state) {
	case FILE_NOT_ASKED:
	case FILE_NOT_MADE:
	case FILE_FINE: out[0] = '\0'; return;
	case FILE_UNSYNCED:
		snprintf(out, SHARED_TEXT_BYTES,
			 "the %s file cannot be synced: %s: what is new would not survive a loss of power",
			 w->kind, strerror(-w->sync_error));
		return;
	case FILE_READ_ONLY:
		snprintf(out, SHARED_TEXT_BYTES,
			 "the file system of the %s file takes no more writes: what is new would not survive "
			 "a loss of "
			 "power, and a restart cannot go on from the file; make it writable",
			 w->kind);
		return;
	case FILE_REMOVED:
		snprintf(out, SHARED_TEXT_BYTES,
			 "the %s file was removed or replaced: in memory, and lost when the daemon ends; "
			 "a restart makes a new one",
			 w->kind);
		return;
	case FILE_CUT:
		snprintf(out, SHARED_TEXT_BYTES,
			 "somebody has cut off the %s file: what waits is lost when the daemon ends, which "
			 "it does "
			 "when it needs what is gone; wait until all is sent, then restart it",
			 w->kind);
		return;
	case FILE_FAILED:
		snprintf(out, SHARED_TEXT_BYTES,
			 "the file system of the %s file has failed, or is full: in memory since then, and "
			 "lost when the daemon ends; repair it, then restart the daemon",
			 w->kind);
		return;
	}
	UNREACHABLE();
}

/* The only place where a state changes. */
static void tell(struct file_watch *w)
{
	enum file_state state = w->seen == FILE_FINE && w->sync_error ? FILE_UNSYNCED : w->seen;
	char text[SHARED_TEXT_BYTES];

	if (state == w->told && (state != FILE_UNSYNCED || w->told_error == w->sync_error))
		return;
	w->told = state;
	w->told_error = w->sync_error;
	text_make(w, state, text);
	shared_text_set(&w->text, text);
	counter_set(&w->state, state);
	if (state == FILE_FINE)
		LOG_INFO(w->kind, "target=%s file=%s ok=1", w->target, w->path);
	else
		LOG_WARN(w->kind, "target=%s file=%s ok=0 reason=\"%s\"", w->target, w->path, text);
}

void file_watch_look(struct file_watch *w)
{
	if (w->handle < 0)
		return;
	if (w->seen != FILE_CUT) /* a file that is long again does not hold again what it held */
		w->seen = w->look(w->handle, w->path, w->guard);
	tell(w);
}

void file_watch_synced(struct file_watch *w, int rc)
{
	if (w->handle < 0)
		return;
	w->sync_error = rc;
	tell(w);
}

enum file_state file_watch_get(const struct file_watch *w, char text[SHARED_TEXT_BYTES])
{
	shared_text_get(&w->text, text);
	return (enum file_state)counter_get(&w->state);
}
