#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/time_text.h"

#define SITE_COUNT 64
#define NAME_BYTES 16

/* One line, ready to be written. */
struct log_line {
	uint16_t size_bytes;
	char text[LOG_LINE_BYTES - 2];
};

/* What a call site has used of its second. Direct-mapped by the format's address: two sites that collide share it. */
struct log_site {
	uint64_t second;
	uint32_t line_count;
	uint32_t suppressed_count;
};

struct log_ring {
	CACHELINE_ALIGNED _Atomic uint32_t made;    /* L1: its thread only, release; pairs with L2 */
	CACHELINE_ALIGNED _Atomic uint32_t drained; /* L3: the drainer only, release; pairs with L4 */
	_Atomic uint32_t dropped_count;
	uint32_t told_count; /* of those; the drainer's */
	_Atomic bool closed;
	struct log_ring *next;
	char name[NAME_BYTES];
	struct log_site sites[SITE_COUNT];
	struct log_line lines[LOG_LINES_MAX];
};

static_assert((LOG_LINES_MAX & (LOG_LINES_MAX - 1)) == 0, "indices wrap by masking");

_Atomic int log_level_now = LOG_LEVEL_INFO;

static _Thread_local struct log_ring *own_ring;
static pthread_mutex_t rings_lock = PTHREAD_MUTEX_INITIALIZER; /* the list; never taken to write a line */
static struct log_ring *rings;

static const char *const level_texts[] = {"error", "warn", "info", "debug"};

int log_thread_open(const char *name)
{
	ASSERT(!own_ring);
	struct log_ring *r = memory_map(sizeof(*r));

	if (!r)
		return -ENOMEM;
	memset(r, 0, sizeof(*r)); /* all of it is touched: a line is no time for a page fault */
	snprintf(r->name, sizeof(r->name), "%s", name);
	pthread_mutex_lock(&rings_lock);
	r->next = rings;
	rings = r;
	pthread_mutex_unlock(&rings_lock);
	own_ring = r;
	return 0;
}

uint64_t log_thread_bytes(void)
{
	return align_up(sizeof(struct log_ring), MEMORY_PAGE_BYTES);
}

void log_thread_close(void)
{
	if (own_ring)
		atomic_store_explicit(&own_ring->closed, true,
				      memory_order_release); /* pairs with the drain's load */
	own_ring = NULL;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
}

const char *log_level_text(enum log_level level)
{
	return level_texts[level];
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_COUNT(level_texts); i++) {
		if (strcmp(text, level_texts[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Everything that stderr gets goes through write(2) whole, so that lines of threads never mix. */
static void write_all(int fd, const char *bytes, size_t size_bytes)
{
	while (size_bytes > 0) {
		ssize_t n = write(fd, bytes, size_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody reads our log: there is nobody to tell */
		bytes += n;
		size_bytes -= (size_t)n;
	}
}

/* May this site write another line? Sets *suppressed to what it could not write before. */
static bool site_allows(struct log_ring *r, const char *format, uint64_t second, uint32_t *suppressed)
{
	struct log_site *s = &r->sites[((uintptr_t)format >> 3) % SITE_COUNT];

	*suppressed = 0;
	if (s->second != second) {
		*suppressed = s->suppressed_count;
		*s = (struct log_site){.second = second};
	}
	if (s->line_count == LOG_SITE_BURST) {
		s->suppressed_count++;
		return false;
	}
	s->line_count++;
	return true;
}

PRINTF(8, 0)
static size_t line_format(char *text, size_t room, enum log_level level, const char *thread,
			  const char *module, uint32_t suppressed, struct wall now, const char *format,
			  va_list args)
{
	char when[TIME_TEXT_BYTES];
	size_t used;

	time_text(now, when);
	int n = snprintf(text, room, "%s %s %s%s%s ", when, level_texts[level], thread, *thread ? " " : "",
			 module);
	used = min_size((size_t)n, room - 1);
	n = vsnprintf(text + used, room - used, format, args);
	used = min_size(used + (size_t)(n > 0 ? n : 0), room - 1);
	if (suppressed && used + 40 < room)
		used += (size_t)snprintf(text + used, room - used, " suppressed=%u", suppressed);
	for (size_t i = 0; i < used; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?'; /* what a peer sent must not forge a line or drive a terminal */
	used = min_size(used, room - 2);
	text[used++] = '\n';
	return used;
}

PRINTF(4, 0)
static void log_add(enum log_level level, const char *module, bool limited, const char *format, va_list args)
{
	struct log_ring *r = own_ring;
	struct wall now = clock_wall();
	uint32_t suppressed = 0;

	if (!r) {
		char text[LOG_LINE_BYTES];

		size_t n = line_format(text, sizeof(text), level, "", module, 0, now, format, args);
		write_all(STDERR_FILENO, text, n);
		return;
	}
	uint32_t made = atomic_load_explicit(&r->made, memory_order_relaxed);

	if (limited && !site_allows(r, format, (uint64_t)now.ns / NS_PER_S, &suppressed))
		return;
	if (made - atomic_load_explicit(&r->drained, memory_order_acquire) >= LOG_LINES_MAX) { /* L4 */
		atomic_store_explicit(&r->dropped_count,
				      atomic_load_explicit(&r->dropped_count, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		return;
	}
	struct log_line *line = &r->lines[made % LOG_LINES_MAX];

	line->size_bytes = (uint16_t)line_format(line->text, sizeof(line->text), level, r->name, module,
						 suppressed, now, format, args);
	atomic_store_explicit(&r->made, made + 1, memory_order_release); /* L1 */
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_add(level, module, true, format, args);
	va_end(args);
}

void log_write_state(enum log_level level, const char *module, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_add(level, module, false, format, args);
	va_end(args);
}

static uint32_t ring_drain(struct log_ring *r, int fd)
{
	uint32_t drained = atomic_load_explicit(&r->drained, memory_order_relaxed);
	uint32_t made = atomic_load_explicit(&r->made, memory_order_acquire); /* L2 */
	uint32_t count = made - drained;

	for (; drained != made; drained++) {
		struct log_line *line = &r->lines[drained % LOG_LINES_MAX];

		write_all(fd, line->text, line->size_bytes);
		atomic_store_explicit(&r->drained, drained + 1, memory_order_release); /* L3 */
	}
	uint32_t dropped_count = atomic_load_explicit(&r->dropped_count, memory_order_relaxed);

	if (dropped_count != r->told_count) {
		char text[LOG_LINE_BYTES];
		int n = snprintf(text, sizeof(text),
				 "%s: %u log lines lost: they came faster than they could be written\n",
				 r->name, dropped_count - r->told_count);

		write_all(fd, text, (size_t)n);
		r->told_count = dropped_count;
	}
	return count;
}

uint32_t log_drain(int fd)
{
	uint32_t count = 0;

	pthread_mutex_lock(&rings_lock);
	for (struct log_ring **at = &rings; *at;) {
		struct log_ring *r = *at;
		bool closed = atomic_load_explicit(&r->closed,
						   memory_order_acquire); /* before the last look */

		count += ring_drain(r, fd);
		if (!closed) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		memory_unmap(r, sizeof(*r));
	}
	pthread_mutex_unlock(&rings_lock);
	return count;
}

void log_dump(int fd)
{
	/* Without the lock: the process is about to abort, and whoever holds it may be the one that failed. */
	for (struct log_ring *r = rings; r; r = r->next) {
		uint32_t made = atomic_load_explicit(&r->made, memory_order_acquire);

		for (uint32_t i = made > LOG_LINES_MAX ? made - LOG_LINES_MAX : 0; i != made; i++)
			write_all(fd, r->lines[i % LOG_LINES_MAX].text,
				  r->lines[i % LOG_LINES_MAX].size_bytes);
	}
}
