/* What is seen of a file that is in use: that it is there, that it is not, that another one has its name. */
#include "tools/file_watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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
