#include "tools/file_watch.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/assert.h"
#include "core/log.h"

enum file_state file_look(int handle, const char *path, const struct map_guard *guard)
{
	struct stat ours, named;
	struct statvfs fs;

	if (map_guard_replaced_pages(guard) > 0)
		return FILE_FAILED;
	if (fstat(handle, &ours) == -1 || ours.st_nlink == 0 || lstat(path, &named) == -1 ||
	    ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
		return FILE_REMOVED;
	return fstatvfs(handle, &fs) == 0 && (fs.f_flag & ST_RDONLY) ? FILE_READ_ONLY : FILE_FINE;
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
		snprintf(
			out, SHARED_TEXT_BYTES,
			"the file system of the %s file is read-only: what is new may end with the machine's "
			"memory, and a restart cannot go on from the file; make it writable",
			w->kind);
		return;
	case FILE_REMOVED:
		snprintf(out, SHARED_TEXT_BYTES,
			 "the %s file was removed or replaced: in memory, and lost when the daemon ends; "
			 "a restart makes a new one",
			 w->kind);
		return;
	case FILE_FAILED:
		snprintf(out, SHARED_TEXT_BYTES,
			 "the file system of the %s file has failed: in memory since then, and lost when the "
			 "daemon ends; repair it, then restart the daemon",
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
