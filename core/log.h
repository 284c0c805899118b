/* core/log.h - what happened, for people: one line an event, never one a sample.
 *
 * Purpose:  LOG_x(module, "key=%d ...") formats a line into the calling thread's own ring; the control thread drains all
 *           rings to stderr. A data thread never waits for a terminal or a disk. A thread without a ring (tools,
 *           tests) writes straight to stderr.
 * Owner:    log_thread_open before the thread's first line, log_thread_close after its last and a log_drain.
 * Threads:  LOG_x any; log_drain one at a time; log_set_level any.
 * Memory:   LOG_LINES_MAX lines of LOG_LINE_BYTES a thread, allocated in log_thread_open.
 * Limits:   a call site gets LOG_SITE_BURST lines a second and thread, the rest is counted and told in the next line;
 *           a full ring drops the newest line and counts it.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_LINES_MAX  256
#define LOG_LINE_BYTES 400
#define LOG_SITE_BURST 10

struct log_ring;

extern _Atomic int log_level_now; /* relaxed: a late change costs a line */

/* Gives the calling thread a ring. name is copied (15 bytes). -ENOMEM. */
NODISCARD int log_thread_open(const char *name);
/* Bytes of such a ring. */
uint64_t log_thread_bytes(void);
/* Ends it for the calling thread; the lines stay until drained. */
void log_thread_close(void);

/* Writes what has come in to fd; returns the number of lines. */
uint32_t log_drain(int fd);
/* For the assertion hook: the last lines of all threads, drained or not. */
void log_dump(int fd);

void log_set_level(enum log_level level);
/* "error" "warn" "info" "debug"; -EINVAL. */
NODISCARD int log_level_parse(const char *text, enum log_level *out);
const char *log_level_text(enum log_level level);

void log_write(enum log_level level, const char *module, const char *format, ...) PRINTF(3, 4);
/* Without the limit of a call site: for transitions, which their state machine limits. */
void log_write_state(enum log_level level, const char *module, const char *format, ...) PRINTF(3, 4);

#define LOG_AT(level, module, ...) \
	do { \
		if ((int)(level) <= atomic_load_explicit(&log_level_now, memory_order_relaxed)) \
			log_write(level, module, __VA_ARGS__); \
	} while (0)

#define LOG_STATE(level, module, ...) \
	do { \
		if ((int)(level) <= atomic_load_explicit(&log_level_now, memory_order_relaxed)) \
			log_write_state(level, module, __VA_ARGS__); \
	} while (0)

#define LOG_ERROR(module, ...) LOG_AT(LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define LOG_WARN(module, ...)  LOG_AT(LOG_LEVEL_WARN, module, __VA_ARGS__)
#define LOG_INFO(module, ...)  LOG_AT(LOG_LEVEL_INFO, module, __VA_ARGS__)
#define LOG_DEBUG(module, ...) LOG_AT(LOG_LEVEL_DEBUG, module, __VA_ARGS__)

#endif
