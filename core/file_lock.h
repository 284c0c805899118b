/* core/file_lock.h - one process a file, where files are replaced by renaming.
 *
 * Purpose:  a lock is on a file, not on its name: between opening and locking another process may have put its own file there.
 * Owner:    the handle's. Threads: any. Errors: -EBUSY, and the handle is still the caller's to close.
 */
#ifndef CORE_FILE_LOCK_H
#define CORE_FILE_LOCK_H

#include <errno.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/base.h"

/* Locks the file and makes sure that the name still leads to it. */
NODISCARD static inline int file_lock(int handle, const char *path)
{
	struct stat ours, named;

	if (flock(handle, LOCK_EX | LOCK_NB) == -1)
		return -EBUSY;
	return fstat(handle, &ours) == 0 && lstat(path, &named) == 0 && ours.st_ino == named.st_ino &&
			       ours.st_dev == named.st_dev
		       ? 0
		       : -EBUSY;
}

#endif
