/* What is mapped from a file, when its file system refuses a store: the handler is called as the kernel would call it, because
 * an ordinary file system refuses only when it is broken. tests/e2e/file_trouble.sh breaks one. */
#include <errno.h>
#include <poll.h>
#include "core/base.h"

static _Atomic bool somebody_waits;

static int poll_seen(void)
{
	atomic_store_explicit(&somebody_waits, true, memory_order_release);
	errno = EINTR;
	return poll(NULL, 0, 1);
}

#define poll(...) poll_seen()
#include "core/map_guard.c"
#undef poll

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/test.h"

#define PAGE   4096u
#define BLOCKS 48u
#define PAGES  ((uint32_t)(BLOCKS * BLOCK_BYTES / PAGE + 3)) /* the last block is not a whole one */

static char path[64];
static int handle;
static uint8_t *map;
static struct map_guard *guard;

static void file_open(void)
{
	snprintf(path, sizeof(path), "/tmp/ringmain-guard.XXXXXX");
	handle = mkstemp(path);
	EXPECT(handle >= 0);
	EXPECT_EQ(unlink(path), 0);
	EXPECT_EQ(posix_fallocate(handle, 0, PAGES * PAGE), 0);
	map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
	EXPECT(map != MAP_FAILED);
	for (uint32_t i = 0; i < PAGES; i++)
		memcpy(map + i * PAGE, &i, sizeof(i));
	signal(SIGBUS, SIG_DFL); /* a sanitizer has handlers of its own */
	signal(SIGSEGV, SIG_DFL);
	EXPECT_EQ(map_guard_install(), 0);
	EXPECT_EQ(map_guard_open(&guard, map, (uint64_t)PAGES * PAGE - 100, "plant.ring"), 0);
}

static void file_close(void)
{
	map_guard_close(guard);
	munmap(map, PAGES * PAGE);
	close(handle);
}

static void fault_at(void *at)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_ADRERR};

	info.si_addr = at;
	on_fault(SIGBUS, &info, NULL);
}

static uint32_t in_file(uint32_t page)
{
	uint32_t value = 0;

	EXPECT_EQ(pread(handle, &value, sizeof(value), (off_t)page * PAGE), sizeof(value));
	return value;
}

static uint32_t in_memory(uint32_t page)
{
	uint32_t value;

	memcpy(&value, map + (size_t)page * PAGE, sizeof(value));
	return value;
}

static void store(uint32_t page, uint32_t value)
{
	memcpy(map + (size_t)page * PAGE, &value, sizeof(value));
}

/* What becomes of a process that does this, and what it says. */
static int status_of(void (*act)(void), char said[1024])
{
	const struct rlimit no_core = {0};
	int ends[2], status;
	ssize_t size;
	pid_t pid;

	EXPECT_EQ(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(ends[1], STDERR_FILENO);
		act();
		_exit(0);
	}
	close(ends[1]);
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	size = read(ends[0], said, 1023);
	close(ends[0]);
	said[size > 0 ? size : 0] = '\0';
	return status;
}

/* --- replacing -------------------------------------------------------------------------------------------------------- */

TEST(a_page_that_faults_keeps_its_content_and_leaves_the_file)
{
	file_open();
	EXPECT_EQ(map_guard_replaced_pages(guard), 0);
	fault_at(map + 7 * PAGE + 12);
	EXPECT_EQ(in_memory(7), 7);
	store(7, 70);
	EXPECT_EQ(in_memory(7), 70);
	EXPECT_EQ(in_file(7), 7);
	file_close();
}

TEST(the_block_around_the_page_leaves_the_file_with_it_and_others_do_not)
{
	uint32_t block = BLOCK_BYTES / PAGE;

	file_open();
	fault_at(map + (2 * block + 5) * PAGE);
	EXPECT_EQ(map_guard_replaced_pages(guard), block);
	for (uint32_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(in_memory(i), i);
		store(i, i + 1);
		EXPECT_EQ(in_file(i), i / block == 2 ? i : i + 1);
	}
	file_close();
}

TEST(the_last_block_ends_with_the_mapping)
{
	file_open();
	fault_at(map + (PAGES - 1) * PAGE);
	EXPECT_EQ(map_guard_replaced_pages(guard), PAGES % (BLOCK_BYTES / PAGE));
	EXPECT_EQ(in_memory(PAGES - 1), PAGES - 1);
	file_close();
}

TEST(a_page_that_another_thread_has_replaced_keeps_what_was_stored_since)
{
	file_open();
	fault_at(map + 3 * PAGE);
	store(3, 33);
	fault_at(map + 3 * PAGE); /* the one that waited */
	EXPECT_EQ(in_memory(3), 33);
	EXPECT_EQ(window_count, 1);
	file_close();
}

TEST(of_two_guards_the_right_one_counts)
{
	struct map_guard *second;
	uint8_t *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	file_open();
	EXPECT_EQ(map_guard_open(&second, other, PAGE, "other"), 0);
	fault_at(map);
	EXPECT_EQ(map_guard_replaced_pages(second), 0);
	fault_at(other);
	EXPECT_EQ(map_guard_replaced_pages(second), 1);
	EXPECT_EQ(map_guard_replaced_pages(guard), BLOCK_BYTES / PAGE);
	file_close(); /* the older one first */
	EXPECT(!second->next);
	fault_at(other);
	EXPECT_EQ(map_guard_replaced_pages(second), 1);
	map_guard_close(second);
	EXPECT_EQ(map_guard_replaced_pages(NULL), 0);
}

static long locked_kb(void)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	EXPECT(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmLck:", 6))
			kb = strtol(line + 6, NULL, 10);
	fclose(f);
	return kb;
}

TEST(what_is_replaced_is_locked_where_memory_is_locked)
{
	uint8_t *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before;

	file_open();
	EXPECT_EQ(mlock(other, PAGE), 0);
	before = locked_kb(); /* 0: a sanitizer, which locks nothing */
	map_guard_lock_memory();
	fault_at(map);
	EXPECT_EQ(locked_kb() - before, before ? BLOCK_BYTES / 1024 : 0);
	file_close();
}

/* --- threads ---------------------------------------------------------------------------------------------------------- */

#define WRITERS 3

static _Atomic bool stopping;

static uint64_t counter_at(uint64_t at)
{
	return atomic_load_explicit((_Atomic uint64_t *)(void *)(map + at), memory_order_relaxed);
}

/* Counts in every block, until it is told to stop; how often. */
static void *count_main(void *arg)
{
	uint64_t *own = arg, count = 0;

	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		for (uint64_t at = 512; at < (uint64_t)PAGES * PAGE; at += BLOCK_BYTES)
			atomic_fetch_add_explicit((_Atomic uint64_t *)(void *)(map + at), 1,
						  memory_order_relaxed);
		count++;
	}
	*own = count;
	return NULL;
}

static void *store_main(void *arg UNUSED)
{
	errno = ENOTTY;
	store(3, 33);
	return (void *)(uintptr_t)errno;
}

TEST(a_store_into_a_block_that_is_being_replaced_waits_for_it)
{
	pthread_t thread;
	uint8_t *copy = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *error;

	file_open();
	guard_take(guard);
	atomic_fetch_add_explicit(&window_count, 1, memory_order_relaxed);
	EXPECT_EQ(mprotect(map, BLOCK_BYTES, PROT_READ), 0);
	EXPECT_EQ(pthread_create(&thread, NULL, store_main, NULL), 0);
	while (!atomic_load_explicit(&somebody_waits, memory_order_acquire))
		sched_yield();
	EXPECT(window(guard, copy, map, BLOCK_BYTES, map));
	EXPECT_EQ(in_memory(3), 3);
	guard_release(guard);
	EXPECT_EQ(pthread_join(thread, &error), 0);
	EXPECT_EQ((uintptr_t)error, ENOTTY); /* as it was */
	EXPECT_EQ(in_memory(3), 33);
	EXPECT_EQ(in_file(3), 3);
	file_close();
}

/* The kernel has nothing against these stores, and lets them through while their pages are replaced: without the window some of
 * them are lost. Each block is replaced when its counters go up, so that they most likely go up meanwhile. */
TEST(no_store_of_another_thread_is_lost_while_its_block_is_replaced)
{
	pthread_t threads[WRITERS];
	uint64_t counts[WRITERS], sum = 0;

	file_open();
	for (uint32_t i = 0; i < WRITERS; i++)
		EXPECT_EQ(pthread_create(&threads[i], NULL, count_main, &counts[i]), 0);
	for (uint64_t at = 512; at < (uint64_t)PAGES * PAGE; at += BLOCK_BYTES) {
		uint64_t before = counter_at(at);

		while (counter_at(at) < before + 3)
			sched_yield();
		fault_at(map + at);
	}
	atomic_store_explicit(&stopping, true, memory_order_relaxed);
	for (uint32_t i = 0; i < WRITERS; i++) {
		EXPECT_EQ(pthread_join(threads[i], NULL), 0);
		sum += counts[i];
	}
	for (uint64_t at = 512; at < (uint64_t)PAGES * PAGE; at += BLOCK_BYTES)
		EXPECT_EQ(counter_at(at), sum);
	EXPECT_EQ(map_guard_replaced_pages(guard), PAGES);
	file_close();
}

/* --- what cannot be helped --------------------------------------------------------------------------------------------- */

static void touch_cut_off(void)
{
	EXPECT_EQ(ftruncate(handle, 0), 0);
	store(0, 1);
}

TEST(a_file_that_was_cut_off_ends_the_process_and_says_so)
{
	char said[1024];
	int status;

	file_open();
	status = status_of(touch_cut_off, said);
	EXPECT(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGBUS);
	EXPECT(strstr(said, "file=plant.ring"));
	EXPECT(strstr(said, "cannot be read any more"));
	file_close();
}

static void touch_beside_cut_off(void)
{
	EXPECT_EQ(ftruncate(handle, 10 * PAGE), 0);
	fault_at(map + 5 * PAGE);
	if (in_memory(5) != 5 || map_guard_replaced_pages(guard) != 1)
		_exit(1);
	store(5, 50);
	store(6, 60); /* its neighbour may be written to as before, in the file */
	if (in_file(5) != 5 || in_file(6) != 60)
		_exit(2);
	EXPECT_EQ(ftruncate(handle, PAGES * PAGE), 0);
	fault_at(map + 6 * PAGE); /* now the block is whole */
	if (in_memory(5) != 50 || in_memory(6) != 60 || map_guard_replaced_pages(guard) != BLOCK_BYTES / PAGE)
		_exit(3);
	_exit(42);
}

TEST(a_page_is_replaced_alone_where_its_block_cannot_be_read_whole)
{
	char said[1024];
	int status;

	file_open();
	status = status_of(touch_beside_cut_off, said);
	EXPECT(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 42);
	file_close();
}

static void touch_elsewhere(void)
{
	uint8_t *other = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*(_Atomic uint8_t *)other = 1;
}

TEST(a_fault_elsewhere_ends_the_process_as_ever)
{
	char said[1024];
	int status;

	file_open();
	status = status_of(touch_elsewhere, said);
	EXPECT(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGSEGV);
	EXPECT_TEXT(said, "");
	file_close();
}

static void touch_read_only(void)
{
	mprotect(map, PAGE, PROT_READ);
	*(_Atomic uint8_t *)map = 1;
}

TEST(a_store_that_no_window_explains_ends_the_process)
{
	char said[1024];
	int status;

	file_open();
	fault_at(map + PAGES / 2 * PAGE); /* there was a window */
	status = status_of(touch_read_only, said);
	EXPECT(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGSEGV);
	file_close();
}

static void send_signal(void)
{
	raise(SIGBUS);
}

TEST(a_signal_that_somebody_sends_does_what_it_did)
{
	char said[1024];
	int status;

	file_open();
	status = status_of(send_signal, said);
	EXPECT(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGBUS);
	EXPECT_TEXT(said, "");
	file_close();
}
