#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*failed_hook)(void);

void assert_set_hook(void (*hook)(void))
{
	failed_hook = hook;
}

void assert_failed(const char *text, const char *file, int line)
{
	void (*hook)(void) = failed_hook;

	failed_hook = NULL; /* a hook that fails must not come back here for ever */
	fprintf(stderr, "%s:%d: ASSERT(%s)\n", file, line, text);
	if (hook)
		hook();
	abort();
}
