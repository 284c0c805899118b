/* tools/file_watch.h - what has become of a file that the daemon keeps something in, and what that means for a restart.
 *
 * Purpose:  a ring and a session are used through mappings, which work on whatever happens to the file. So somebody has to look:
 *           is it still there under its name, can it be written to, has its file system failed under the mapping?
 *
 *              NOT_ASKED   in memory, as configured                 NOT_MADE    in memory, the file could not be made at start
 *              FINE  <->  UNSYNCED  <->  READ_ONLY  <->  REMOVED    by looking; REMOVED: another file, or none, has its name
 *              any    ->  CUT                                       by looking: shorter than what is mapped; until the next start
 *              any    ->  FAILED                                    by the guard (core/map_guard.h); until the next start
 *
 * Owner:    the thread that looks. Threads: file_watch_get by anyone, the rest by the owner.
 * Memory:   in place; file_watch_open borrows what it is given.
 * Errors:   none; each change is logged once.
 */
#ifndef TOOLS_FILE_WATCH_H
#define TOOLS_FILE_WATCH_H

#include "core/map_guard.h"
#include "core/metrics.h"
#include "core/shared_text.h"

enum file_state {
	FILE_NOT_ASKED,
	FILE_FINE,
	FILE_UNSYNCED,
	FILE_READ_ONLY,
	FILE_REMOVED,
	FILE_CUT,
	FILE_FAILED,
	FILE_NOT_MADE,
};

/* FINE, READ_ONLY, REMOVED, CUT or FAILED. */
typedef enum file_state file_look_fn(int handle, const char *path, const struct map_guard *guard);
file_look_fn file_look;

struct file_watch {
	const char *target, *kind; /* "ring", "session" */
	const char *path;
	const struct map_guard *guard;
	file_look_fn *look;
	int handle; /* -1: there is no file, and nothing is looked at */
	int sync_error, told_error;
	enum file_state seen, told;
	struct counter state; /* enum file_state, for others */
	struct shared_text text;
};

/* look: file_look, but in tests. */
void file_watch_open(struct file_watch *w, const char *target, const char *kind, int handle, const char *path,
		     const struct map_guard *guard, file_look_fn *look);
void file_watch_look(struct file_watch *w);
/* A sync has ended; 0 or -errno. */
void file_watch_synced(struct file_watch *w, int rc);

/* text: what is wrong and what it means, "" where nothing is. */
enum file_state file_watch_get(const struct file_watch *w, char text[SHARED_TEXT_BYTES]);

/* Would what is kept survive the end of the process? */
static inline bool file_state_survives(enum file_state state)
{
	return state == FILE_FINE || state == FILE_UNSYNCED || state == FILE_READ_ONLY;
}

/* Is it as the configuration asks? */
static inline bool file_state_is_good(enum file_state state)
{
	return state == FILE_FINE || state == FILE_NOT_ASKED;
}

#endif
