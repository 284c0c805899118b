#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/config.h"
#include "core/grow.h"

#define READ_BYTES 65536u

/* The whole file, and one byte more than is allowed at most: the parser says that it is too large. */
static int read_all(int fd, uint8_t **out, uint32_t *out_bytes)
{
	uint32_t capacity = 0;

	while (*out_bytes <= CFG_FILE_BYTES_MAX) {
		ssize_t n;

		if (grow(out, &capacity, *out_bytes, READ_BYTES, 1) < 0)
			return -ENOMEM;
		n = read(fd, *out + *out_bytes, READ_BYTES);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		if (n == 0)
			return 0;
		*out_bytes += (uint32_t)n;
	}
	return 0;
}

/* A mistake that has no line: the file as a whole. */
static void say(struct cfg_errors *errors, const char *path, int rc)
{
	*errors = (struct cfg_errors){.total = 1};
	errors->lines = calloc(1, sizeof(*errors->lines));
	if (errors->lines && asprintf(&errors->lines[0], "%s: cannot be read: %s", path, strerror(-rc)) != -1)
		errors->count = 1;
}

int config_load(const char *path, struct cfg **out, struct cfg_errors *errors)
{
	uint8_t *yaml = NULL;
	uint32_t yaml_bytes = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int rc = fd == -1 ? -errno : read_all(fd, &yaml, &yaml_bytes);

	*out = NULL;
	*errors = (struct cfg_errors){0};
	if (fd != -1)
		close(fd);
	if (rc < 0)
		say(errors, path, rc);
	else
		rc = config_parse(path, bytes_of(yaml, yaml_bytes), out, errors);
	free(yaml);
	return rc;
}
