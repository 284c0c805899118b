/* When a ring's file is brought to the disk, and what is said when that fails. */
#include "tools/node_sync.h"

#include <errno.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/test.h"

#define INTERVAL_NS NS_PER_S

static struct ring_file file = {.handle = 1};
static struct node_sync *s;
static struct mono now = {.ns = 100 * NS_PER_S};
static uint32_t sync_count;
static int sync_answer;
static bool made_meanwhile;

static void push(void)
{
	uint8_t *payload = ring_reserve(file.ring, 0, 0, 1, now);

	EXPECT(payload);
	*payload = 'x';
	ring_commit(file.ring, 0, 0, 1, now);
}

static int sync_here(const struct ring_file *f, int session_handle)
{
	EXPECT(f == &file);
	EXPECT_EQ(session_handle, 5);
	sync_count++;
	if (made_meanwhile)
		push();
	made_meanwhile = false;
	return sync_answer;
}

static int open_with(enum cfg_sync sync)
{
	const struct ring_limits limits = {.message_count = 100, .record_bytes_max = 10, .lane_count = 1};
	const struct node_sync_ring ring = {.session_handle = 5,
					    .file = &file,
					    .name = "plant",
					    .sync = sync,
					    .interval_ns = INTERVAL_NS,
					    .do_sync = sync_here};

	log_set_level(LOG_LEVEL_ERROR);
	EXPECT_EQ(ring_open(&file.ring, &limits), 0);
	return node_sync_open(&s, &ring, 1);
}

static void close_all(void)
{
	node_sync_close(s);
	ring_close(file.ring);
}

/* One turn now: how many syncs that is. */
static uint32_t step(void)
{
	uint32_t before = sync_count;
	struct mono next = node_sync_step(s, now);

	EXPECT(next.ns > now.ns); /* or it would be busy waiting */
	return sync_count - before;
}

static void pass(uint64_t ns)
{
	now.ns += ns;
}

TEST(a_ring_is_synced_once_an_interval_where_something_was_made)
{
	EXPECT_EQ(open_with(CFG_SYNC_INTERVAL), 0);
	push();
	EXPECT_EQ(step(), 1);
	push();
	pass(INTERVAL_NS - 1);
	EXPECT_EQ(step(), 0);
	pass(1);
	EXPECT_EQ(step(), 1);
	pass(INTERVAL_NS);
	EXPECT_EQ(step(), 0);
	close_all();
}

TEST(what_was_sent_is_synced_too)
{
	struct ring_record *rec;

	EXPECT_EQ(open_with(CFG_SYNC_INTERVAL), 0);
	push();
	EXPECT_EQ(step(), 1);
	EXPECT_EQ(ring_take(file.ring, &rec, 1, now), 1);
	pass(INTERVAL_NS);
	EXPECT_EQ(step(), 1);
	close_all();
}

TEST(a_session_that_cannot_be_synced_is_said)
{
	const struct ring_file in_memory = {.handle = -1};
	int ends[2];

	EXPECT_EQ(node_sync_disk(&in_memory, -1), 0);
	EXPECT_EQ(pipe(ends), 0);
	EXPECT_EQ(node_sync_disk(&in_memory, ends[0]), -EINVAL);
}

TEST(with_each_a_new_message_is_synced_at_the_next_look)
{
	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	EXPECT_EQ(step(), 0);
	push();
	pass(2 * NS_PER_MS);
	EXPECT_EQ(step(), 1);
	pass(2 * NS_PER_MS);
	EXPECT_EQ(step(), 0);
	close_all();
}

TEST(what_is_made_during_a_sync_is_synced_by_the_next)
{
	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	push();
	made_meanwhile = true;
	EXPECT_EQ(step(), 1);
	pass(2 * NS_PER_MS);
	EXPECT_EQ(step(), 1);
	pass(2 * NS_PER_MS);
	EXPECT_EQ(step(), 0);
	close_all();
}

TEST(no_thread_is_there_for_rings_that_are_not_synced)
{
	EXPECT_EQ(open_with(CFG_SYNC_NEVER), 0);
	EXPECT(!s);
	EXPECT_EQ(node_sync_start(s), 0);
	node_sync_stop(s);
	close_all();
}

TEST(a_ring_in_memory_is_not_synced)
{
	file.handle = -1;
	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	EXPECT(!s);
	close_all();
}

TEST(a_sync_that_fails_is_said_and_tried_again_after_the_interval)
{
	char text[SHARED_TEXT_BYTES];

	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	node_sync_text(s, &file, text);
	EXPECT_TEXT(text, "");
	sync_answer = -EIO;
	push();
	EXPECT_EQ(step(), 1);
	node_sync_text(s, &file, text);
	EXPECT_TEXT(text, "the ring file cannot be synced: Input/output error");
	pass(INTERVAL_NS);
	EXPECT_EQ(step(), 1); /* nothing new was made, but nothing is safe either */
	pass(NS_PER_MS * 10);
	EXPECT_EQ(step(), 0);
	sync_answer = 0;
	pass(INTERVAL_NS);
	EXPECT_EQ(step(), 1);
	node_sync_text(s, &file, text);
	EXPECT_TEXT(text, "");
	close_all();
}

TEST(what_was_made_before_the_stop_is_synced_when_the_thread_has_ended)
{
	EXPECT_EQ(open_with(CFG_SYNC_INTERVAL), 0);
	push();
	EXPECT_EQ(node_sync_step(s, clock_mono()).ns > 0, 1); /* the next is an interval away */
	EXPECT_EQ(sync_count, 1);
	EXPECT_EQ(node_sync_start(s), 0);
	push();
	node_sync_stop(s);
	EXPECT_EQ(sync_count, 2);
	close_all();
}
