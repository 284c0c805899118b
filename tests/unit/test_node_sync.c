/* When a ring's file is brought to the disk, and what is said when that fails. */
#include "tools/node_sync.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/test.h"

#define INTERVAL_NS NS_PER_S

static struct ring_file file = {.handle = 1};
static struct node_sync *s;
static struct mono now = {.ns = 100 * NS_PER_S};
static uint32_t sync_count;
static int sync_answer;
static struct session_file session = {.handle = 5};
static enum file_state look_answer = FILE_FINE;
static uint32_t look_count;
static bool made_meanwhile;
static uint32_t end_count;

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

static enum file_state look_here(int handle, const char *path, const struct map_guard *guard)
{
	EXPECT(!path && !guard);
	look_count++;
	return handle == file.handle ? look_answer : FILE_FINE;
}

static void end_here(const struct ring_file *f)
{
	EXPECT(f == &file);
	end_count++;
}

static int open_with(enum cfg_sync sync)
{
	const struct ring_limits limits = {.message_count = 100, .record_bytes_max = 10, .lane_count = 1};
	const struct node_sync_ring ring = {.session = &session,
					    .do_look = look_here,
					    .do_end = end_here,
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

TEST(a_ring_that_is_not_synced_is_looked_at_once_a_second)
{
	EXPECT_EQ(open_with(CFG_SYNC_NEVER), 0);
	push();
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(look_count, 2); /* the ring's file and the session's */
	pass(NS_PER_S - 1);
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(look_count, 2);
	pass(1);
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(look_count, 4);
	EXPECT_EQ(node_sync_start(s), 0);
	node_sync_stop(s);
	EXPECT_EQ(sync_count, 0);
	close_all();
}

TEST(a_session_in_a_file_is_looked_at_where_the_ring_is_in_memory)
{
	file.handle = -1;
	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	push();
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(look_count, 1);
	close_all();
}

TEST(no_thread_is_there_where_there_is_no_file)
{
	file.handle = -1;
	session.handle = -1;
	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	EXPECT(!s);
	EXPECT_EQ(node_sync_start(s), 0);
	node_sync_stop(s);
	close_all();
}

TEST(what_has_become_of_a_file_is_told_until_it_is_well_again)
{
	char text[SHARED_TEXT_BYTES];

	EXPECT_EQ(open_with(CFG_SYNC_NEVER), 0);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_FINE);
	look_answer = FILE_REMOVED;
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_REMOVED);
	EXPECT_TEXT(
		text,
		"the ring file was removed or replaced: in memory, and lost when the daemon ends; a restart "
		"makes a new one");
	EXPECT_EQ(node_sync_session_state(s, &session, text), FILE_FINE);
	EXPECT_TEXT(text, "");
	look_answer = FILE_FINE;
	pass(NS_PER_S);
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_FINE);
	EXPECT_TEXT(text, "");
	close_all();
}

TEST(a_ring_file_that_somebody_writes_to_is_the_end)
{
	struct ring_file_header h = {.magic = 1, .epoch = 7}, other;

	h.header_crc = ring_file_header_crc(&h);
	file = (struct ring_file){.handle = memfd_create("ring", MFD_CLOEXEC), .memory = &h, .epoch = 7};
	EXPECT_EQ(pwrite(file.handle, &h, sizeof(h), 0), sizeof(h));
	EXPECT_EQ(open_with(CFG_SYNC_NEVER), 0);
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(end_count, 0);
	other = h; /* the file of another start */
	other.epoch = 8;
	other.header_crc = ring_file_header_crc(&other);
	EXPECT_EQ(pwrite(file.handle, &other, sizeof(other), 0), sizeof(other));
	pass(NS_PER_S);
	EXPECT_EQ(step(), 0);
	EXPECT_EQ(end_count, 1);
	other = h; /* a byte of it */
	other.map_bytes++;
	EXPECT_EQ(pwrite(file.handle, &other, sizeof(other), 0), sizeof(other));
	EXPECT(node_sync_is_overwritten(&file));
	EXPECT_EQ(ftruncate(file.handle, 0), 0); /* cut off: the watch tells of that */
	EXPECT(!node_sync_is_overwritten(&file));
	close(file.handle);
	close_all();
}

TEST(a_failed_file_system_says_more_than_the_syncs_that_fail_with_it)
{
	char text[SHARED_TEXT_BYTES];

	EXPECT_EQ(open_with(CFG_SYNC_INTERVAL), 0);
	look_answer = FILE_FAILED;
	sync_answer = -EROFS;
	push();
	EXPECT_EQ(step(), 1);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_FAILED);
	EXPECT(strstr(text, "in memory since then"));
	close_all();
}

TEST(a_sync_that_fails_is_said_and_tried_again_after_the_interval)
{
	char text[SHARED_TEXT_BYTES];

	EXPECT_EQ(open_with(CFG_SYNC_EACH), 0);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_FINE);
	EXPECT_TEXT(text, "");
	sync_answer = -EIO;
	push();
	EXPECT_EQ(step(), 1);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_UNSYNCED);
	EXPECT_TEXT(text,
		    "the ring file cannot be synced: Input/output error: what is new would not survive a "
		    "loss of power");
	pass(INTERVAL_NS);
	EXPECT_EQ(step(), 1); /* nothing new was made, but nothing is safe either */
	pass(NS_PER_MS * 10);
	EXPECT_EQ(step(), 0);
	sync_answer = 0;
	pass(INTERVAL_NS);
	EXPECT_EQ(step(), 1);
	EXPECT_EQ(node_sync_ring_state(s, &file, text), FILE_FINE);
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
