/* Files that outlive their process: one process at a time, and the first ones that were set aside stay. */
#include "core/kept_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "tests/unit/ring_file_case.h"

static struct kept_file k;

static void put_text(const char *suffix, const char *text)
{
	FILE *out = fopen(path_of(suffix), "w");

	EXPECT(out);
	fputs(text, out);
	EXPECT_EQ(fclose(out), 0);
}

static void expect_text(const char *suffix, const char *text)
{
	char is[64] = "";
	FILE *in = fopen(path_of(suffix), "r");

	ck_assert_msg(in != NULL, "there is no %s", suffix);
	(void)!fread(is, 1, sizeof(is) - 1, in);
	fclose(in);
	EXPECT_TEXT(is, text);
}

static void names_open(void)
{
	folder_open();
	EXPECT_EQ(kept_file_name(&k, "%s/plant.%s", dir, "ring"), 0);
	EXPECT_TEXT(k.file, path);
	EXPECT_TEXT(k.made, path_of(".new"));
}

static void names_close(void)
{
	(void)unlink(path_of(".bad.1"));
	(void)unlink(path_of(".bad.2"));
	folder_close();
}

static void set_aside(const char *text, const char *suffix, bool replaced)
{
	put_text("", text);
	EXPECT_EQ(kept_file_set_aside(&k), 0);
	EXPECT_TEXT(k.suffix, suffix);
	EXPECT_TEXT(k.bad, path_of(suffix));
	EXPECT_EQ(k.replaced, replaced);
	EXPECT(!exists(""));
	expect_text(suffix, text);
}

TEST(the_first_files_that_were_set_aside_stay_and_of_the_others_the_newest)
{
	names_open();
	set_aside("a", ".bad", false);
	set_aside("b", ".bad.1", false);
	set_aside("c", ".bad.2", false);
	set_aside("d", ".bad.2", true);
	set_aside("e", ".bad.2", true);
	expect_text(".bad", "a");
	expect_text(".bad.1", "b");
	EXPECT_EQ(unlink(path_of(".bad")), 0); /* somebody has looked at it */
	set_aside("f", ".bad", false);
	expect_text(".bad.1", "b");
	expect_text(".bad.2", "e");
	names_close();
}

TEST(a_dangling_link_that_was_set_aside_stays_too)
{
	names_open();
	EXPECT_EQ(symlink("/nowhere", path_of("")), 0);
	EXPECT_EQ(kept_file_set_aside(&k), 0);
	set_aside("b", ".bad.1", false);
	EXPECT(exists(".bad"));
	names_close();
}

TEST(a_folder_in_the_way_of_what_is_set_aside_is_told)
{
	names_open();
	put_text("", "a");
	EXPECT_EQ(mkdir(path_of(".bad"), 0700), 0);
	EXPECT_EQ(kept_file_set_aside(&k), -EISDIR);
	expect_text("", "a");
	names_close();
}

TEST(a_ring_says_where_its_old_file_is_and_what_that_has_replaced)
{
	static const char *const states[] = {"moved aside as .bad, and", "moved aside as .bad.1, and",
					     "moved aside as .bad.2, and",
					     "moved aside as .bad.2 in place of an older one, and"};

	names_open();
	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		put_text("", "no ring");
		open_file();
		ck_assert_msg(strstr(f.state, states[i]) != NULL, "%s", f.state);
		EXPECT_NE(f.handle, -1);
		ring_file_close(&f);
	}
	names_close();
}

TEST(a_name_has_room_for_what_is_put_behind_it)
{
	char name[KEPT_FILE_PATH_BYTES] = "";

	memset(name, 'a', sizeof(name) - 1);
	EXPECT_EQ(kept_file_name(&k, "%s", name), -ENAMETOOLONG);
	EXPECT_EQ(kept_file_name(&k, "%s/%s", name, name), -ENAMETOOLONG);
	name[sizeof(name) - sizeof(".bad.2") + 1] = 0;
	EXPECT_EQ(kept_file_name(&k, "%s", name), -ENAMETOOLONG);
	name[sizeof(name) - sizeof(".bad.2")] = 0;
	EXPECT_EQ(kept_file_name(&k, "%s", name), 0);
	EXPECT_EQ(kept_file_set_aside(&k), -ENAMETOOLONG); /* one level has 255 bytes at most */
	EXPECT_EQ(strlen(k.bad) + 2, sizeof(name) - 1);
}

TEST(a_new_file_is_empty_has_its_blocks_and_belongs_to_one_process)
{
	void *memory = NULL, *other = NULL;
	int handle, second;
	struct stat st;

	names_open();
	put_text(".new", "half of what another process has left");
	EXPECT_EQ(kept_file_make(&k, 10000, &handle, &memory), 0);
	EXPECT_EQ(fstat(handle, &st), 0);
	EXPECT_EQ(st.st_size, 10000);
	EXPECT(st.st_blocks * 512 >= 10000);
	EXPECT_EQ(*(char *)memory, 0);
	memcpy(memory, "kept", 5);
	EXPECT_EQ(kept_file_make(&k, 500, &second, &other), -EBUSY);
	EXPECT(!other);
	EXPECT_EQ(close(second), 0);
	expect_text(".new", "kept");
	EXPECT_EQ(munmap(memory, 10000), 0);
	EXPECT_EQ(close(handle), 0);
	names_close();
}

TEST(a_lock_on_a_file_that_has_lost_its_name_is_none)
{
	int handle;

	names_open();
	put_text("", "old");
	handle = open(path, O_RDWR | O_CLOEXEC);
	put_text(".new", "new");
	EXPECT_EQ(rename(path_of(".new"), path), 0);
	EXPECT_EQ(kept_file_lock(handle, path), -EBUSY);
	EXPECT_EQ(close(handle), 0);
	handle = open(path, O_RDWR | O_CLOEXEC);
	EXPECT_EQ(kept_file_lock(handle, path), 0);
	EXPECT_EQ(unlink(path), 0);
	EXPECT_EQ(kept_file_lock(handle, path), -EBUSY);
	EXPECT_EQ(close(handle), 0);
	names_close();
}
