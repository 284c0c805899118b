#include "tests/test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"

static char text[256 << 10];

/* What a drain writes, as one text. */
static uint32_t drain(void)
{
	int fd = memfd_create("log", 0);
	uint32_t count = log_drain(fd);
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	close(fd);
	return count;
}

TEST(a_line_is_drained_once_with_level_thread_and_module)
{
	EXPECT_EQ(log_thread_open("worker"), 0);
	LOG_INFO("link", "name=%s state=up", "a");
	LOG_DEBUG("link", "not at this level");
	EXPECT_EQ(drain(), 1);
	EXPECT(strstr(text, " info worker link name=a state=up\n"));
	EXPECT_EQ(drain(), 0);
}

TEST(a_site_that_never_stops_is_bounded_and_the_rest_counted)
{
	EXPECT_EQ(log_thread_open("worker"), 0);
	for (int i = 0; i < 1000; i++)
		LOG_WARN("link", "again");
	uint32_t count = drain();

	EXPECT(count >= LOG_SITE_BURST);
	EXPECT_LE(count, 3 * LOG_SITE_BURST); /* the test may run across a second's end */
}

TEST(transitions_are_not_limited_and_a_full_ring_tells_what_it_lost)
{
	EXPECT_EQ(log_thread_open("worker"), 0);
	for (int i = 0; i < LOG_LINES_MAX + 7; i++)
		LOG_STATE(LOG_LEVEL_INFO, "link", "state=up");
	EXPECT_EQ(drain(), LOG_LINES_MAX);
	EXPECT(strstr(text, "worker: 7 log lines lost"));
	EXPECT_EQ(drain(), 0);
	EXPECT(!strstr(text, "lost"));
}

TEST(bytes_of_a_peer_cannot_forge_a_line)
{
	EXPECT_EQ(log_thread_open("worker"), 0);
	LOG_INFO("link", "said=\"%s\"", "x\n2026 error forged\x1b[2J");
	EXPECT_EQ(drain(), 1);
	EXPECT(strstr(text, "said=\"x?2026 error forged?[2J\"\n"));
}

TEST(a_line_that_is_too_long_is_cut_and_still_ends)
{
	static char longer[2000];

	memset(longer, 'x', sizeof(longer) - 1);
	EXPECT_EQ(log_thread_open("worker"), 0);
	LOG_INFO("link", "%s", longer);
	EXPECT_EQ(drain(), 1);
	EXPECT_LE(strlen(text), LOG_LINE_BYTES);
	EXPECT_EQ(text[strlen(text) - 1], '\n');
}

TEST(the_lines_of_a_thread_that_has_ended_are_not_lost)
{
	EXPECT_EQ(log_thread_open("worker"), 0);
	LOG_INFO("link", "last words");
	log_thread_close();
	EXPECT_EQ(drain(), 1);
}

TEST(levels_are_known_by_name_only)
{
	enum log_level level = LOG_LEVEL_ERROR;

	EXPECT_EQ(log_level_parse("debug", &level), 0);
	EXPECT_EQ(level, LOG_LEVEL_DEBUG);
	EXPECT(log_level_parse("verbose", &level) < 0);
}
