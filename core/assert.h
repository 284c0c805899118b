/* core/assert.h - what a programmer promised. Always on, in releases too.
 *
 * Purpose:  ASSERT ends the process when the program itself is wrong. Never use it on bytes that came from
 *           a peer, a device, a file or a user: those are errors, not bugs.
 * Threads:  any. The hook runs once, on the failing thread.
 * Errors:   does not return.
 */
#ifndef CORE_ASSERT_H
#define CORE_ASSERT_H

#include <assert.h> /* static_assert */

#include "core/base.h"

/* Prints "file:line: ASSERT(text)" to stderr, runs the hook, aborts. */
NORETURN COLD void assert_failed(const char *text, const char *file, int line);

/* What to run before the abort (dump of the log rings). It must be safe on any thread. NULL: nothing. */
void assert_set_hook(void (*hook)(void));

#define ASSERT(x) \
	do { \
		if (UNLIKELY(!(x))) \
			assert_failed(#x, __FILE__, __LINE__); \
	} while (0)

#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__)

/* O(n) checks: developer builds only. */
#ifdef DEVELOPER
#define DASSERT(x) ASSERT(x)
#else
#define DASSERT(x) ((void)sizeof(!(x)))
#endif

#endif
