#include "core/map_guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/assert.h"

#define BLOCK_BYTES (1ull << 20) /* some 0.3 ms to replace, in which its writers wait */
#define NAME_BYTES  256
#define PAGE_BITS   64u

struct map_guard {
	struct map_guard *next;
	uint8_t *base;
	uint64_t bytes, page_bytes; /* whole pages */
	uint64_t given_bytes;
	_Atomic bool busy; /* acquire and release: `done` and the block are its holder's */
	uint64_t *done;    /* a bit a page: it is anonymous memory now */
	_Atomic uint64_t replaced_pages;
	char name[NAME_BYTES];
};

/* Guards come and go while there are no threads that write to mappings: nobody walks the list then but a handler of the thread
 * that changes it, which faults elsewhere. */
static struct map_guard *_Atomic first;
static _Atomic uint64_t window_count; /* blocks that were made read-only to be replaced */
static _Atomic bool locks_memory;
static struct sigaction before_bus, before_segv;

/* --- setting up ------------------------------------------------------------------------------------------------------- */

int map_guard_open(struct map_guard **out, void *base, uint64_t bytes, const char *name)
{
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t page_count = align_up(bytes, page_bytes) / page_bytes;
	struct map_guard *g = calloc(1, sizeof(*g));

	ASSERT(bytes > 0);
	ASSERT((uintptr_t)base % page_bytes == 0);
	ASSERT(BLOCK_BYTES % page_bytes == 0);
	*out = NULL;
	if (!g)
		return -ENOMEM;
	g->done = calloc(page_count / PAGE_BITS + 1, sizeof(g->done[0]));
	if (!g->done) {
		free(g);
		return -ENOMEM;
	}
	g->base = base;
	g->bytes = page_count * page_bytes;
	g->page_bytes = page_bytes;
	g->given_bytes = bytes;
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->next = atomic_load_explicit(&first, memory_order_relaxed);
	atomic_store_explicit(&first, g, memory_order_release); /* pairs with guard_of */
	*out = g;
	return 0;
}

void map_guard_close(struct map_guard *g)
{
	struct map_guard *before = atomic_load_explicit(&first, memory_order_relaxed);

	if (!g)
		return;
	if (before == g) {
		atomic_store_explicit(&first, g->next, memory_order_release);
	} else {
		while (before->next != g)
			before = before->next;
		before->next = g->next;
	}
	free(g->done);
	free(g);
}

uint64_t map_guard_bytes(const struct map_guard *g)
{
	return g ? g->given_bytes : 0;
}

uint64_t map_guard_replaced_pages(const struct map_guard *g)
{
	return g ? atomic_load_explicit(&g->replaced_pages, memory_order_relaxed) : 0;
}

void map_guard_lock_memory(void)
{
	atomic_store_explicit(&locks_memory, true, memory_order_relaxed);
}

/* --- replacing -------------------------------------------------------------------------------------------------------- */

static void guard_wait(void)
{
	(void)poll(NULL, 0, 1);
}

static void guard_take(struct map_guard *g)
{
	while (atomic_exchange_explicit(&g->busy, true, memory_order_acquire)) /* pairs with guard_release */
		guard_wait();
}

static void guard_release(struct map_guard *g)
{
	atomic_store_explicit(&g->busy, false, memory_order_release);
}

static bool is_done(const struct map_guard *g, const uint8_t *page)
{
	uint64_t i = (uint64_t)(page - g->base) / g->page_bytes;

	return g->done[i / PAGE_BITS] >> i % PAGE_BITS & 1;
}

static void set_done(struct map_guard *g, const uint8_t *begin, uint64_t bytes)
{
	uint64_t from = (uint64_t)(begin - g->base) / g->page_bytes, new_count = 0;

	for (uint64_t i = from; i < from + bytes / g->page_bytes; i++) {
		uint64_t bit = 1ull << i % PAGE_BITS;

		new_count += !(g->done[i / PAGE_BITS] & bit);
		g->done[i / PAGE_BITS] |= bit;
	}
	atomic_fetch_add_explicit(&g->replaced_pages, new_count, memory_order_relaxed);
}

static bool content_read(uint8_t *copy, uint8_t *from, uint64_t bytes)
{
	const struct iovec to = {.iov_base = copy, .iov_len = bytes};
	const struct iovec source = {.iov_base = from, .iov_len = bytes};

	return process_vm_readv(getpid(), &to, 1, &source, 1, 0) == (ssize_t)bytes;
}

static bool move_over(struct map_guard *g, uint8_t *copy, uint8_t *to, uint64_t bytes)
{
	if (mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		return false;
	if (atomic_load_explicit(&locks_memory, memory_order_relaxed))
		(void)mlock(to, bytes); /* its pages are there already: this is for later */
	set_done(g, to, bytes);
	return true;
}

/* The block is read-only. Afterwards it may be written to again, page and all. */
static bool window(struct map_guard *g, uint8_t *copy, uint8_t *begin, uint64_t bytes, uint8_t *page)
{
	bool ok;

	if (content_read(copy, begin, bytes))
		return move_over(g, copy, begin, bytes);
	ok = content_read(copy, page, g->page_bytes) && move_over(g, copy, page, g->page_bytes);
	if (mprotect(begin, bytes, PROT_READ | PROT_WRITE) == -1)
		return false;
	if (ok && bytes > g->page_bytes)
		(void)munmap(copy + g->page_bytes, bytes - g->page_bytes);
	return ok;
}

static bool replace(struct map_guard *g, uint8_t *page)
{
	uint64_t offset = (uint64_t)(page - g->base) / BLOCK_BYTES * BLOCK_BYTES;
	uint64_t bytes = min_u64(BLOCK_BYTES, g->bytes - offset);
	uint8_t *begin = g->base + offset;
	uint8_t *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		return false;
	atomic_fetch_add_explicit(&window_count, 1, memory_order_relaxed); /* seen by waited(): by busy */
	return mprotect(begin, bytes, PROT_READ) == 0 && window(g, copy, begin, bytes, page);
}

/* --- the handler ------------------------------------------------------------------------------------------------------ */

static struct map_guard *guard_of(const uint8_t *at)
{
	struct map_guard *g = atomic_load_explicit(&first, memory_order_acquire);

	while (g && (at < g->base || at >= g->base + g->bytes))
		g = g->next;
	return g;
}

/* A store while the block was being replaced. */
static bool waited(struct map_guard *g)
{
	static _Thread_local uint64_t wait_count;

	while (atomic_load_explicit(&g->busy, memory_order_acquire)) /* pairs with guard_release */
		guard_wait();
	return ++wait_count <= atomic_load_explicit(&window_count, memory_order_relaxed);
}

static bool replaced(struct map_guard *g, uint8_t *at)
{
	uint8_t *page = at - (uintptr_t)at % g->page_bytes;
	bool ok;

	guard_take(g);
	ok = is_done(g, page) || replace(g, page);
	guard_release(g);
	return ok;
}

static void say_lost(const struct map_guard *g)
{
	static const char begin[] = "error map_guard file=";
	static const char end[] =
		" reason=\"its file system has failed, and what was in it cannot be read any more: "
		"was the file cut off, or its device taken away?\"\n";
	const struct iovec parts[] = {
		{.iov_base = (void *)(uintptr_t)begin, .iov_len = sizeof(begin) - 1},
		{.iov_base = (void *)(uintptr_t)g->name, .iov_len = strlen(g->name)},
		{.iov_base = (void *)(uintptr_t)end, .iov_len = sizeof(end) - 1},
	};

	if (writev(STDERR_FILENO, parts, ARRAY_COUNT(parts)) == -1)
		return; /* nobody is left to tell */
}

/* 0 or less: a signal that was sent, not a fault. */
static bool is_fault(int number, int code)
{
	return number == SIGBUS ? code == BUS_ADRERR : code == SEGV_ACCERR;
}

static void on_fault(int number, siginfo_t *info, void *context UNUSED)
{
	int error = errno;
	struct map_guard *g = is_fault(number, info->si_code) ? guard_of(info->si_addr) : NULL;
	bool ok = g && (number == SIGBUS ? replaced(g, info->si_addr) : waited(g));

	if (!ok) {
		if (g && number == SIGBUS)
			say_lost(g);
		sigaction(number, number == SIGBUS ? &before_bus : &before_segv, NULL);
		if (info->si_code <= 0) /* a fault comes again by itself */
			raise(number);
	}
	errno = error;
}

int map_guard_install(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	if (sigaction(SIGBUS, &action, &before_bus) == -1 || sigaction(SIGSEGV, &action, &before_segv) == -1)
		return -errno;
	return 0;
}
