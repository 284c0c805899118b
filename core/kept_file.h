/* core/kept_file.h - a file that outlives its process: its lock, the new one beside it, and the place of what is no such file.
 *
 * Purpose:  what a ring's and a session's file have in common. At each start FILE.new is made and then takes the name of FILE.
 *           What cannot be trusted is kept for whoever looks for the cause: as FILE.bad, or, where there is one already,
 *           FILE.bad.1 or FILE.bad.2. The first ones show how it began, so they stay; after that only the last one is replaced,
 *           because a ring may be large, and a disk full of bad ones would cost the good one.
 * Owner:    the caller's. Threads: the control thread, at start. Memory: the caller's structs.
 * Errors:   -ENAMETOOLONG, -EBUSY (another process has the file), or what the system said; handles and mappings that were made
 *           are the caller's to close all the same.
 */
#ifndef CORE_KEPT_FILE_H
#define CORE_KEPT_FILE_H

#include "core/base.h"

#define KEPT_FILE_PATH_BYTES 4096
#define KEPT_FILE_BAD_COUNT  3u

struct kept_file {
	char file[KEPT_FILE_PATH_BYTES], made[KEPT_FILE_PATH_BYTES]; /* FILE, FILE.new */
	char bad[KEPT_FILE_PATH_BYTES];                              /* where set_aside has put it */
	const char *suffix;                                          /* the end of bad: ".bad" */
	bool replaced;                                               /* an older one was there, and is gone */
};

NODISCARD int kept_file_name(struct kept_file *k, const char *format, ...) PRINTF(2, 3);

/* Locks the file, and makes sure that path still leads to it: a lock is on a file, and between opening and locking another
 * process may have put its own there. */
NODISCARD int kept_file_lock(int handle, const char *path);

/* FILE gets the first name that is free, or the last one. A folder of that name is in the way. */
NODISCARD int kept_file_set_aside(struct kept_file *k);

/* FILE.new: locked, empty, with all its blocks, because a full disk is to be told now and not by SIGBUS; and mapped. */
NODISCARD int kept_file_make(const struct kept_file *k, uint64_t bytes, int *handle, void **memory);

#endif
