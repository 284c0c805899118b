/* core/memory.c and tools/node_memory.c: what is counted is what is taken, and it is there. */
#include "core/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config.h"
#include "core/log.h"
#include "core/thread_memory.h"
#include "io/loop_priv.h"
#include "tests/test.h"
#include "tools/node.h"
#include "tools/node_memory.h"

extern int mallctl(const char *name, void *old, size_t *old_size, void *new_value, size_t new_size)
	__attribute__((weak));

static bool is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Pages of a mapping that are in memory. */
static uint64_t present_pages(void *start, uint64_t size_bytes)
{
	uint64_t count = align_up(size_bytes, MEMORY_PAGE_BYTES) / MEMORY_PAGE_BYTES, present = 0;
	unsigned char *pages = calloc(count, 1);

	EXPECT(pages != NULL);
	EXPECT_EQ(mincore(start, count * MEMORY_PAGE_BYTES, pages), 0);
	for (uint64_t i = 0; i < count; i++)
		present += pages[i] & 1;
	free(pages);
	return present;
}

/* Sanitizers watch each block by itself: there is no piece then. */
static bool has_piece(void)
{
	void *a, *b;
	bool has;

	EXPECT_EQ(memory_open(2 * CACHELINE_BYTES), 0);
	a = memory_alloc(1, 1);
	b = memory_alloc(1, 1);
	EXPECT(a && b);
	has = (uint8_t *)b == (uint8_t *)a + CACHELINE_BYTES;
	memory_free(a);
	memory_free(b);
	memory_close();
	memory_counts_clear();
	return has;
}

/* --- blocks --------------------------------------------------------------------------------------------------------- */

TEST(a_block_is_zero_and_has_its_cache_lines_for_itself)
{
	static const uint64_t sizes[] = {0, 1, 127, 128, 129, 100000};

	for (uint32_t piece = 0; piece < 2; piece++) {
		if (piece)
			EXPECT_EQ(memory_open(200000), 0);
		for (uint32_t i = 0; i < ARRAY_COUNT(sizes); i++) {
			uint8_t *block = memory_alloc(sizes[i], 1);

			EXPECT(block != NULL);
			EXPECT_EQ((uintptr_t)block % CACHELINE_BYTES, 0);
			EXPECT(is_zero(block, sizes[i]));
			memset(block, 0xff, sizes[i]);
			memory_free(block);
		}
		if (piece)
			memory_close();
	}
}

TEST(counts_are_by_part_and_in_whole_cache_lines)
{
	void *a, *b;

	memory_part_begin(MEMORY_TAGS);
	a = memory_alloc(3, 100);
	memory_part_begin(MEMORY_LINES);
	b = memory_alloc(1, 1);
	memory_count(MEMORY_RINGS, 12345);
	EXPECT_EQ(memory_counts().part_bytes[MEMORY_TAGS], 384);
	EXPECT_EQ(memory_counts().part_bytes[MEMORY_LINES], CACHELINE_BYTES);
	EXPECT_EQ(memory_counts().part_bytes[MEMORY_RINGS], 12345);
	EXPECT_EQ(memory_counts().block_bytes, 384 + CACHELINE_BYTES);
	memory_free(a);
	memory_free(b);
	memory_counts_clear();
	EXPECT_EQ(memory_counts().block_bytes, 0);
}

TEST(what_does_not_fit_the_piece_is_told_as_extra)
{
	void *a, *b, *c;

	if (!has_piece())
		return;
	EXPECT_EQ(memory_open(MEMORY_PAGE_BYTES), 0);
	a = memory_alloc(MEMORY_PAGE_BYTES - CACHELINE_BYTES, 1);
	b = memory_alloc(2 * CACHELINE_BYTES, 1);
	EXPECT(a && b);
	EXPECT_EQ(memory_extra_bytes(), 2 * CACHELINE_BYTES);
	c = memory_alloc(CACHELINE_BYTES, 1); /* fits still */
	EXPECT(c != NULL);
	EXPECT_EQ(memory_extra_bytes(), 2 * CACHELINE_BYTES);
	memory_free(a);
	memory_free(b);
	memory_free(c);
	memory_close();
}

TEST(the_piece_begins_anew_when_its_last_block_is_back)
{
	uint8_t *a, *b;

	if (!has_piece())
		return;
	EXPECT_EQ(memory_open(MEMORY_PAGE_BYTES), 0);
	a = memory_alloc(MEMORY_PAGE_BYTES, 1);
	EXPECT(a != NULL);
	memset(a, 0xff, MEMORY_PAGE_BYTES);
	memory_free(a);
	b = memory_alloc(MEMORY_PAGE_BYTES, 1);
	EXPECT(b == a);
	EXPECT(is_zero(b, MEMORY_PAGE_BYTES));
	EXPECT_EQ(memory_extra_bytes(), 0);
	memory_free(b);
	memory_close();
}

TEST(a_count_that_overflows_is_refused)
{
	EXPECT(memory_alloc(1ull << 62, 8) == NULL); /* 0 modulo 2^64 */
	EXPECT(memory_alloc(UINT64_MAX, 1) == NULL);
	EXPECT(memory_map(UINT64_MAX - 1) == NULL);
}

/* --- mappings ------------------------------------------------------------------------------------------------------- */

TEST(a_large_mapping_begins_on_a_huge_page_and_takes_no_more_than_its_pages)
{
	const uint64_t size = MEMORY_HUGE_FROM + 3 * MEMORY_PAGE_BYTES + 1;
	uint8_t *block = memory_map(size);

	EXPECT(block != NULL);
	EXPECT_EQ((uintptr_t)block % MEMORY_HUGE_BYTES, 0);
	EXPECT_EQ(memory_populate(block, size), 0);
	EXPECT_EQ(present_pages(block, size), size / MEMORY_PAGE_BYTES + 1);
	EXPECT_EQ(madvise(block + align_up(size, MEMORY_PAGE_BYTES), 1, MADV_POPULATE_READ), -1);
	EXPECT_EQ(errno, ENOMEM); /* not what was asked for to have the boundary in it */
	memory_unmap(block, size);
	EXPECT_EQ(madvise(block, size, MADV_POPULATE_READ), -1); /* nothing of it is left */
	EXPECT_EQ(errno, ENOMEM);
}

TEST(populating_makes_the_pages_of_the_given_bytes_present)
{
	uint8_t *block = memory_map(8 * MEMORY_PAGE_BYTES);

	EXPECT(block != NULL);
	EXPECT_EQ(present_pages(block, 8 * MEMORY_PAGE_BYTES), 0);
	EXPECT_EQ(memory_populate(block + MEMORY_PAGE_BYTES + 1, MEMORY_PAGE_BYTES), 0);
	EXPECT_EQ(present_pages(block, 8 * MEMORY_PAGE_BYTES), 2);
	memory_unmap(block, 8 * MEMORY_PAGE_BYTES);
}

TEST(the_piece_is_present_after_populating)
{
	uint8_t *a;

	if (!has_piece())
		return;
	EXPECT_EQ(memory_open(5 * MEMORY_PAGE_BYTES), 0);
	a = memory_alloc(5 * MEMORY_PAGE_BYTES, 1);
	EXPECT_EQ(present_pages(a, 5 * MEMORY_PAGE_BYTES), 0);
	EXPECT_EQ(memory_populate_blocks(), 0);
	EXPECT_EQ(present_pages(a, 5 * MEMORY_PAGE_BYTES), 5);
	memory_free(a);
	memory_close();
}

/* --- a node --------------------------------------------------------------------------------------------------------- */

/* Something of everything that takes memory. */
static const char yaml[] =
	"node: n\n"
	"samplers: [{name: s0}, {name: s1}]\n"
	"publishers: [{name: p0}, {name: p1}]\n"
	"targets:\n"
	"  - {name: kept, url: \"mqtt://127.0.0.1:1\", publisher: p0, clean_start: false, session_expiry: "
	"1h, "
	"topic_alias_max: 10,\n"
	"     buffer: {messages: 5000, path: kept.ring, sync: interval, loss_topic: l}, user_properties: {a: "
	"b},\n"
	"     will: {topic: w, payload: gone, on_connect: here, on_disconnect: bye, user_properties: {c: "
	"d}}}\n"
	"  - {name: plain, url: \"mqtt://127.0.0.1:2\", publisher: p1, protocol: 3.1.1, buffer: {messages: "
	"100}, trace: {memory: 100KiB}}\n"
	"  - {name: large, url: \"mqtt://127.0.0.1:3\", publisher: p1, buffer: {messages: 20000, "
	"replay: {order: live-first, rate: 20%}}}\n"
	"lines:\n"
	"  - {name: syn, sampler: s0, synthetic: {tags: 250, rate: 1000}}\n"
	"  - {name: plc, sampler: s1, modbus_tcp: {address: \"127.0.0.1:4\"}, trace: {memory: 16KiB}}\n"
	"devices:\n"
	"  - {name: m, line: plc, every: 1s, tags: [{name: v, address: \"input:1\", type: uint16}, "
	"{name: w, address: \"input:2\", type: float32}]}\n"
	"  - {name: sub, tags: [{name: x, type: float64}]}\n"
	"definitions:\n"
	"  - {name: a, target: kept, tags: [\"syn.*\", \"m.*\"], topic: \"a/{tag}\", qos: 1, heartbeat: 10s, "
	"user_properties: {e: f}}\n"
	"  - {name: b, target: plain, mode: periodic, cycle: 1s, tags: [\"m.*\"], topic: b}\n"
	"  - {name: c, target: large, tags: [\"syn.*\"], topic: \"c/{tag}\"}\n"
	"  - {name: d, target: kept, mode: subscribe, tags: [sub.x], topic: \"in/#\", qos: 1}\n"
	"  - {name: e, target: kept, mode: subscribe, topic: \"up/+\", forward: {target: plain, topic: "
	"\"o/{1}\"}}\n";

static struct cfg *config_of(const char *text)
{
	struct cfg_errors errors;
	struct cfg *c = NULL;

	if (config_parse("test.yaml", bytes_of_text(text), &c, &errors) < 0)
		ck_abort_msg("%s", errors.total ? errors.lines[0] : "no memory");
	config_errors_free(&errors);
	return c;
}

static void remove_in(const char *folder, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	EXPECT_EQ(unlink(path), 0);
}

/* By the file on the disk, and the other rings' own word. */
static uint64_t rings_bytes(const struct node *n, const char *folder)
{
	uint64_t bytes = 0;
	struct stat st;
	char path[200];

	snprintf(path, sizeof(path), "%s/kept.ring", folder);
	EXPECT_EQ(stat(path, &st), 0);
	for (uint32_t i = 0; i < n->cfg->target_count; i++) {
		const struct ring_limits limits = target_ring_limits(n->cfg, i, n->definitions);

		bytes += ring_size_bytes(&limits);
		if (n->cfg->targets[i].buffer_path)
			bytes += align_up((uint64_t)st.st_size, MEMORY_PAGE_BYTES) - ring_map_bytes(&limits);
	}
	return bytes;
}

TEST(opening_takes_of_each_part_what_was_counted)
{
	char folder[] = "/tmp/test_memory.XXXXXX";
	struct cfg *c = config_of(yaml);
	struct node_budget budget;
	struct memory_counts counts;
	const char *why = "";
	struct node n;

	log_set_level(LOG_LEVEL_ERROR);
	EXPECT(mkdtemp(folder) != NULL);
	EXPECT_EQ(node_budget(c, &budget), 0);
	EXPECT_EQ(memory_open(budget.counts.block_bytes), 0);
	EXPECT_EQ(node_open(&n, c, "/", folder, 1, &why), 0);
	counts = memory_counts();
	EXPECT_EQ(counts.block_bytes, budget.counts.block_bytes);
	for (uint32_t i = 0; i < MEMORY_PART_COUNT; i++) {
		EXPECT(counts.part_bytes[i] > 0);
		if (i != MEMORY_NODE) /* there the last page of the piece is, too */
			EXPECT_EQ(counts.part_bytes[i], budget.counts.part_bytes[i]);
	}
	EXPECT_EQ(memory_extra_bytes(), 0);
	EXPECT_EQ(counts.part_bytes[MEMORY_RINGS], rings_bytes(&n, folder));
	node_close(&n);
	memory_close();
	config_free(c);
	remove_in(folder, "kept.ring");
	remove_in(folder, "kept.session");
	EXPECT_EQ(rmdir(folder), 0);
}

/* Bytes that this thread has from the allocator now. */
static int64_t allocated_now(void)
{
	uint64_t freed = 0;
	size_t size = sizeof(freed);

	EXPECT_EQ(mallctl("thread.deallocated", &freed, &size, NULL, 0), 0);
	return (int64_t)(thread_allocated_bytes() - freed);
}

TEST(nothing_that_stays_comes_from_elsewhere)
{
	struct cfg *c = config_of(yaml);
	struct node_budget budget;
	struct node n;
	int64_t before;

	EXPECT_EQ(node_budget(c, &budget), 0);
	if (!thread_memory_is_counted() || !has_piece()) {
		config_free(c);
		return;
	}
	EXPECT_EQ(memory_open(budget.counts.block_bytes), 0);
	before = allocated_now();
	EXPECT_EQ(node_open_to_count(&n, c), 0);
	EXPECT_EQ(allocated_now() - before, 0);
	EXPECT_EQ(memory_extra_bytes(), 0);
	node_close(&n);
	EXPECT_EQ(allocated_now() - before, 0);
	memory_close();
	config_free(c);
}

TEST(the_sum_is_that_of_its_rows_and_the_same_each_time)
{
	struct cfg *c = config_of(yaml);
	struct node_budget a, b;
	uint64_t sum = 0;

	EXPECT_EQ(node_budget(c, &a), 0);
	EXPECT_EQ(node_budget(c, &b), 0);
	for (uint32_t i = 0; i < MEMORY_PART_COUNT; i++)
		sum += a.counts.part_bytes[i];
	sum += a.threads + a.control + a.configuration + a.program + a.allocator;
	EXPECT_EQ(node_budget_total(&a), sum);
	EXPECT_EQ(node_budget_total(&b), sum);
	EXPECT_EQ(sum % MEMORY_PAGE_BYTES, 0); /* the kernel gives pages */
	config_free(c);
}

TEST(the_queues_are_as_large_as_they_were_said_to_be)
{
	static const uint32_t counts[] = {1, 68, 256, 4064, LOOP_OPERATIONS_MAX};

	for (uint32_t i = 0; i < ARRAY_COUNT(counts); i++) {
		const struct loop_limits limits = {.operation_count = counts[i]};
		struct loop *l = NULL;
		uint64_t bytes;

		if (loop_open(&l, &limits) < 0)
			return; /* forbidden here, as the tests of the loop say */
		bytes = align_up(l->ring.sq.ring_sz, MEMORY_PAGE_BYTES) +
			align_up(l->ring.sq.ring_entries * sizeof(struct io_uring_sqe), MEMORY_PAGE_BYTES);
		/* The kernel's header has had several sizes; all are under a page. */
		EXPECT_LE(bytes, loop_memory_bytes(&limits) + MEMORY_PAGE_BYTES);
		EXPECT_LE(loop_memory_bytes(&limits), bytes + MEMORY_PAGE_BYTES);
		loop_close(l);
	}
}

TEST(a_configuration_is_in_one_piece_of_its_size)
{
	struct cfg *c = config_of(yaml);
	uint64_t tags = c->tag_count * sizeof(c->tags[0]), targets = c->target_count * sizeof(c->targets[0]);

	EXPECT(config_memory_bytes(c) >= tags + targets);
	EXPECT_LE(config_memory_bytes(c), tags + targets + 16 * MEMORY_PAGE_BYTES);
	EXPECT((uint8_t *)c->tags > (uint8_t *)c->block);
	EXPECT((uint8_t *)(c->tags + c->tag_count) <= (uint8_t *)c->block + c->block_bytes);
	EXPECT((uint8_t *)(c->text + c->text_bytes) <= (uint8_t *)c->block + c->block_bytes);
	config_free(c);
}
