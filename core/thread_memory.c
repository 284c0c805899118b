#include "core/thread_memory.h"

/* jemalloc's control interface; weak, because sanitizer builds are linked without it. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new_value, size_t new_size)
	__attribute__((weak));

bool thread_memory_is_counted(void)
{
	return mallctl != NULL;
}

uint64_t thread_allocated_bytes(void)
{
	uint64_t bytes = 0;
	size_t size = sizeof(bytes);

	if (!mallctl || mallctl("thread.allocated", &bytes, &size, NULL, 0) != 0)
		return 0;
	return bytes;
}
