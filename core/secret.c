#include "core/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One secret into the buffer. -E2BIG where it does not fit with its newline. */
static int read_whole(const char *path, char *buffer, size_t size_bytes, size_t *out_bytes)
{
	size_t got = 0;
	int rc = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1)
		return -errno;
	for (;;) {
		char beyond;
		ssize_t n = got < size_bytes ? read(fd, buffer + got, size_bytes - got)
					     : read(fd, &beyond, 1);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			rc = -errno;
		else if (n > 0 && got == size_bytes)
			rc = -E2BIG;
		if (n <= 0 || got == size_bytes)
			break;
		got += (size_t)n;
	}
	close(fd);
	*out_bytes = got;
	return rc;
}

static int read_file(const char *dir, const char *name, char *buffer, size_t size_bytes, size_t *out_bytes)
{
	char path[PATH_MAX];
	int n = name[0] == '/' || !dir ? snprintf(path, sizeof(path), "%s", name)
				       : snprintf(path, sizeof(path), "%s/%s", dir, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return read_whole(path, buffer, size_bytes, out_bytes);
}

static int read_environment(const char *name, char *buffer, size_t size_bytes, size_t *out_bytes)
{
	const char *value = getenv(name);

	if (!value)
		return -ENOENT;
	if (strlen(value) > size_bytes)
		return -E2BIG;
	*out_bytes = strlen(value);
	memcpy(buffer, value, *out_bytes);
	return 0;
}

static int read_credential(const char *name, char *buffer, size_t size_bytes, size_t *out_bytes)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	if (!dir || !*dir)
		return -ENOENT;
	if (strchr(name, '/')) /* a credential is a name, not a way out of its directory */
		return -EINVAL;
	return read_file(dir, name, buffer, size_bytes, out_bytes);
}

int config_secret(const char *reference, const char *base_dir, char *buffer, size_t size_bytes,
		  size_t *out_bytes)
{
	int rc;

	*out_bytes = 0;
	if (!strncmp(reference, "file:", 5))
		rc = read_file(base_dir, reference + 5, buffer, size_bytes, out_bytes);
	else if (!strncmp(reference, "env:", 4))
		rc = read_environment(reference + 4, buffer, size_bytes, out_bytes);
	else if (!strncmp(reference, "cred:", 5))
		rc = read_credential(reference + 5, buffer, size_bytes, out_bytes);
	else
		return -EINVAL;
	if (rc < 0) {
		explicit_bzero(buffer, size_bytes);
		*out_bytes = 0;
		return rc;
	}
	if (*out_bytes > 0 && buffer[*out_bytes - 1] == '\n')
		--*out_bytes;
	return 0;
}
