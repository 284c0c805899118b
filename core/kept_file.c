#include "core/kept_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

static const char *const bad_suffixes[KEPT_FILE_BAD_COUNT] = {".bad", ".bad.1", ".bad.2"};

static void name_with(char out[static KEPT_FILE_PATH_BYTES], const char *file, const char *suffix)
{
	size_t size = strlen(file);

	memcpy(out, file, size);
	memcpy(out + size, suffix, strlen(suffix) + 1);
}

int kept_file_name(struct kept_file *k, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(k->file, sizeof(k->file), format, args);
	va_end(args);
	if (size < 0 || (size_t)size + sizeof(".bad.2") > sizeof(k->file))
		return -ENAMETOOLONG;
	name_with(k->made, k->file, ".new");
	return 0;
}

static bool is_still(int handle, const char *path)
{
	struct stat ours, named;

	return fstat(handle, &ours) == 0 && lstat(path, &named) == 0 && ours.st_ino == named.st_ino &&
	       ours.st_dev == named.st_dev;
}

int kept_file_lock(int handle, const char *path)
{
	if (flock(handle, LOCK_EX | LOCK_NB) == 0 && is_still(handle, path))
		return 0;
	LOG_ERROR("file", "file=%s reason=\"in use by another process, or by another target\"", path);
	return -EBUSY;
}

int kept_file_set_aside(struct kept_file *k)
{
	struct stat st;

	for (uint32_t i = 0; i < KEPT_FILE_BAD_COUNT; i++) {
		k->suffix = bad_suffixes[i];
		name_with(k->bad, k->file, k->suffix);
		k->replaced = lstat(k->bad, &st) == 0;
		if (!k->replaced || S_ISDIR(st.st_mode))
			break;
	}
	return rename(k->file, k->bad) == -1 ? -errno : 0;
}

int kept_file_make(const struct kept_file *k, uint64_t bytes, int *handle, void **memory)
{
	void *mapping;
	int rc;

	*handle = open(k->made, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*handle == -1)
		return -errno;
	rc = kept_file_lock(*handle, k->made);
	if (rc < 0)
		return rc;
	if (ftruncate(*handle, 0) == -1) /* not before the lock: another process may be filling it */
		return -errno;
	rc = posix_fallocate(*handle, 0, (off_t)bytes);
	if (rc != 0)
		return -rc;
	mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *handle, 0);
	if (mapping == MAP_FAILED)
		return -errno;
	*memory = mapping;
	return 0;
}
