#include "tools/node_memory.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/log.h"
#include "core/map_guard.h"
#include "io/control.h"
#include "tools/node.h"

/* What libraries allocate for the control thread (YAML, JSON, log lines on their way), the books of the allocator, and what the
 * resolver's threads touch of their stacks. Measured, see tests/e2e/memory.sh. */
#define ALLOCATOR_BYTES        (320u << 10)
#define ALLOCATOR_TARGET_BYTES 800u
#define CONTROL_STACK_BYTES    (128u << 10)

/* --- the program -------------------------------------------------------------------------------------------------------- */

struct program {
	uint64_t bytes;
	int rc; /* of populating; or only counts */
	bool only_count;
};

static uint64_t page_of(uint64_t address)
{
	return address & ~(uint64_t)(MEMORY_PAGE_BYTES - 1);
}

/* Where writing begins: what the linker has relocated and then protected lies at the front of the data. */
static uint64_t writable_from(const struct dl_phdr_info *info)
{
	for (uint32_t i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
			return page_of(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
				       info->dlpi_phdr[i].p_memsz);
	return 0;
}

static int pages_read(uint64_t from, uint64_t to)
{
	if (from < to && madvise((uint8_t *)(uintptr_t)from, to - from, MADV_POPULATE_READ) == -1)
		return -errno;
	return 0;
}

/* Reading is enough for what is shared with the file: writing would make the pages ours. */
static int segment_populate(uint64_t from, uint64_t to, uint64_t write_from)
{
	uint64_t middle = min_u64(max_u64(from, write_from), to);
	int rc = pages_read(from, middle);

	if (rc == 0 && middle < to)
		rc = memory_populate((uint8_t *)(uintptr_t)middle, to - middle);
	return rc;
}

/* Of the program itself and each of its libraries what was loaded, up to whole pages. */
static int on_object(struct dl_phdr_info *info, size_t size UNUSED, void *context)
{
	struct program *p = context;

	if (strstr(info->dlpi_name, "vdso")) /* the kernel's pages, nobody's memory */
		return 0;
	for (uint32_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + h->p_vaddr;
		uint64_t from = page_of(start), to = align_up(start + h->p_memsz, MEMORY_PAGE_BYTES);

		if (h->p_type != PT_LOAD)
			continue;
		p->bytes += to - from;
		if (!p->only_count && p->rc == 0)
			p->rc = segment_populate(from, to, h->p_flags & PF_W ? writable_from(info) : to);
	}
	return 0;
}

static uint64_t program_bytes(void)
{
	struct program p = {.only_count = true};

	(void)dl_iterate_phdr(on_object, &p);
	return p.bytes;
}

/* --- counting --------------------------------------------------------------------------------------------------------- */

static uint64_t threads_bytes(const struct cfg *c)
{
	uint64_t count = (uint64_t)c->sampler_count + c->publisher_count;
	bool has_sync = false;

	for (uint32_t i = 0; i < c->target_count; i++)
		has_sync |= node_keeps_files(&c->targets[i]);
	return (count + has_sync) * (NODE_STACK_BYTES + log_thread_bytes());
}

int node_budget(const struct cfg *c, struct node_budget *out)
{
	const struct loop_limits control = {.operation_count = NODE_CONTROL_OPERATIONS};
	struct node n;
	int rc = node_open_to_count(&n, c);

	*out = (struct node_budget){.counts = memory_counts()};
	if (rc < 0)
		return rc;
	node_close(&n);
	/* The piece that the blocks are in ends with a page. */
	out->counts.part_bytes[MEMORY_NODE] += align_up(out->counts.block_bytes, MEMORY_PAGE_BYTES) -
					       out->counts.block_bytes;
	out->threads = threads_bytes(c);
	out->control = CONTROL_STACK_BYTES + log_thread_bytes() + control_memory_bytes() +
		       loop_memory_bytes(&control);
	out->configuration = config_memory_bytes(c);
	out->program = program_bytes();
	out->allocator = align_up(ALLOCATOR_BYTES + (uint64_t)c->target_count * ALLOCATOR_TARGET_BYTES,
				  MEMORY_PAGE_BYTES);
	return 0;
}

uint64_t node_budget_total(const struct node_budget *b)
{
	uint64_t bytes = b->threads + b->control + b->configuration + b->program + b->allocator;

	for (uint32_t i = 0; i < MEMORY_PART_COUNT; i++)
		bytes += b->counts.part_bytes[i];
	return bytes;
}

/* --- making it present ------------------------------------------------------------------------------------------------ */

void node_stack_populate(void)
{
	pthread_attr_t attr;
	size_t bytes = 0;
	void *start = NULL;

	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	if (pthread_attr_getstack(&attr, &start, &bytes) == 0 && memory_populate(start, bytes) < 0)
		LOG_WARN("memory", "stack_present=0");
	pthread_attr_destroy(&attr);
}

/* The main thread's grows by being touched; the rest of its room is address space only. */
__attribute__((noinline)) static void control_stack_touch(void)
{
	uint8_t room[CONTROL_STACK_BYTES - (16u << 10)]; /* what is above us has been touched before */

	explicit_bzero(room, sizeof(room));
}

static void keep_first(int *first, int rc)
{
	if (*first == 0)
		*first = rc;
}

static int parts_populate(struct node *n)
{
	int rc = memory_populate_blocks();

	for (uint32_t i = 0; i < n->cfg->target_count; i++) {
		struct target *t = node_target(n, i);

		keep_first(&rc, ring_populate(n->rings[i]));
		if (t->ring_file.memory)
			keep_first(&rc, memory_populate(t->ring_file.memory, t->ring_file.memory_bytes));
		keep_first(&rc, memory_populate(t->session_file.memory, t->session_file.memory_bytes));
	}
	return rc;
}

void node_populate(struct node *n)
{
	struct mono begun = clock_mono();
	struct program program = {0};
	int rc = parts_populate(n);

	(void)dl_iterate_phdr(on_object, &program);
	control_stack_touch();
	keep_first(&rc, program.rc);
	if (rc < 0)
		LOG_WARN("memory",
			 "present=0 reason=\"%s: pages come when they are first used, which may delay a "
			 "sample; "
			 "Linux 5.14 or newer is needed, and free memory\"",
			 strerror(-rc));
	else
		LOG_INFO("memory", "present=1 took_ms=%llu beyond_check_bytes=%llu",
			 (unsigned long long)(mono_since(clock_mono(), begun) / NS_PER_MS),
			 (unsigned long long)memory_extra_bytes());
}

/* --- keeping it ------------------------------------------------------------------------------------------------------- */

/* Bytes of address space: what mlockall is measured by. */
static uint64_t mapped_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%llu", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void node_lock(void)
{
	struct mono begun = clock_mono();
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	/* On fault: what is to be present is so already, and address space that is only reserved stays that. Not what comes
	 * later: the control thread's memory may come and go. */
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) == 0) {
		map_guard_lock_memory();
		LOG_INFO("memory", "locked=1 took_ms=%llu",
			 (unsigned long long)(mono_since(clock_mono(), begun) / NS_PER_MS));
		return;
	}
	LOG_WARN("memory",
		 "locked=0 wanted_bytes=%llu limit_bytes=%llu reason=\"%s: grant CAP_IPC_LOCK, or set "
		 "LimitMEMLOCK= "
		 "(ulimit -l) to what is wanted; sampling goes on, but under memory pressure pages may be "
		 "taken away\"",
		 (unsigned long long)mapped_bytes(), (unsigned long long)limit.rlim_cur, strerror(errno));
}
