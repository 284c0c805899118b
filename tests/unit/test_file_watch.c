/* What is seen of a file that is in use: that it is there, that it is not, that another one has its name, that it was cut off. */
#include "tools/file_watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/test.h"

static char dir[64], path[96], other[96];
static int handle;

static void file_make(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ringmain-watch.XXXXXX");
	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/plant.ring", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	handle = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	EXPECT(handle >= 0);
}

static void file_end(void)
{
	close(handle);
	(void)!unlink(path);
	(void)!unlink(other);
	EXPECT_EQ(rmdir(dir), 0);
}

TEST(a_file_under_its_name_is_fine)
{
	file_make();
	EXPECT_EQ(file_look(handle, path, NULL), FILE_FINE);
	file_end();
}

TEST(a_file_without_a_name_is_removed)
{
	file_make();
	EXPECT_EQ(unlink(path), 0);
	EXPECT_EQ(file_look(handle, path, NULL), FILE_REMOVED);
	file_end();
}

TEST(a_file_that_was_moved_is_removed_until_it_is_back)
{
	file_make();
	EXPECT_EQ(rename(path, other), 0);
	EXPECT_EQ(file_look(handle, path, NULL), FILE_REMOVED);
	EXPECT_EQ(rename(other, path), 0);
	EXPECT_EQ(file_look(handle, path, NULL), FILE_FINE);
	file_end();
}

TEST(a_file_of_which_another_has_the_name_is_removed)
{
	int second;

	file_make();
	EXPECT_EQ(link(path, other), 0); /* it still has a name, but not this */
	EXPECT_EQ(unlink(path), 0);
	second = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	EXPECT(second >= 0);
	EXPECT_EQ(file_look(handle, path, NULL), FILE_REMOVED);
	close(second);
	file_end();
}

TEST(a_file_that_was_cut_off_is_no_longer_fine_however_long_it_is_later)
{
	enum { BYTES = 10000 };
	char text[SHARED_TEXT_BYTES];
	struct map_guard *guard;
	struct file_watch w;
	void *memory;

	file_make();
	EXPECT_EQ(ftruncate(handle, BYTES), 0);
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
	EXPECT(memory != MAP_FAILED);
	EXPECT_EQ(map_guard_open(&guard, memory, BYTES, path), 0);
	file_watch_open(&w, "plant", "ring", handle, path, guard, file_look);
	file_watch_look(&w);
	EXPECT_EQ(file_watch_get(&w, text), FILE_FINE);
	EXPECT_EQ(ftruncate(handle, BYTES - 1), 0);
	file_watch_look(&w);
	EXPECT_EQ(file_watch_get(&w, text), FILE_CUT);
	EXPECT(!file_state_survives(FILE_CUT));
	EXPECT_TEXT(
		text,
		"somebody has cut off the ring file: what waits is lost when the daemon ends, which it does "
		"when it needs what is gone; wait until all is sent, then restart it");
	EXPECT_EQ(ftruncate(handle, BYTES), 0);
	file_watch_look(&w);
	EXPECT_EQ(file_watch_get(&w, text), FILE_CUT);
	EXPECT_EQ(munmap(memory, BYTES), 0);
	map_guard_close(guard);
	file_end();
}

TEST(what_is_not_in_a_file_is_not_looked_at)
{
	char text[SHARED_TEXT_BYTES];
	struct file_watch w;

	file_watch_open(&w, "plant", "ring", -1, NULL, NULL, file_look);
	file_watch_look(&w);
	file_watch_synced(&w, -1);
	EXPECT_EQ(file_watch_get(&w, text), FILE_FINE);
	EXPECT_TEXT(text, "");
}
