/* tests/unit/ring_file_case.h - a folder with a ring's file in it, for the tests of core/ring_file.c.
 *
 * Purpose:  makes the folder, opens the ring, pushes and expects messages; reopen() is a process that was killed and came back.
 * Owner:    one test program; each test is a process of its own. Errors: a failed expectation ends the test.
 */
#ifndef TESTS_UNIT_RING_FILE_CASE_H
#define TESTS_UNIT_RING_FILE_CASE_H

#include "core/ring_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/carried.h"
#include "core/log.h"
#include "tests/test.h"

#define HEADROOM 40u
#define RECORD   (HEADROOM + 100u)
#define TEXT(t) \
	{ \
		(const uint8_t *)(t), sizeof(t) - 1 \
	}

static const struct ring_file_topic topics[] = {
	{.topic = TEXT("a"), .qos = 1},
	{.topic = TEXT("plant/b"), .props = TEXT("\x26\0\1k\0\1v"), .expiry_s = 60, .qos = 2, .retain = true},
	{.topic = TEXT("c/c"), .qos = 0},
};

static char dir[128];
static char path[160];
static struct ring_file f;
static struct ring_file_config config;
static struct mono now;
static struct wall wall;
static uint64_t next_ns;

static inline void folder_open(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ring_file.XXXXXX");
	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/plant.ring", dir);
	config = (struct ring_file_config){
		.path = path,
		.limits = {.message_count = 1000,
			   .record_bytes_max = RECORD,
			   .lane_count = 3,
			   .inflight_max = 8},
		.topics = topics,
		.topic_count = ARRAY_COUNT(topics),
		.epoch = 1,
		.boot = 7,
	};
	now = (struct mono){.ns = 1000 * NS_PER_S};
	wall = (struct wall){.ns = 5000 * (int64_t)NS_PER_S};
	next_ns = 10;
}

static inline const char *path_of(const char *suffix)
{
	static char paths[2][200];
	static int turn;

	turn = !turn;
	snprintf(paths[turn], sizeof(paths[turn]), "%s%s", path, suffix);
	return paths[turn];
}

static inline bool exists(const char *suffix)
{
	struct stat st;

	return lstat(path_of(suffix), &st) == 0;
}

static inline void folder_close(void)
{
	static const char *const names[] = {"", ".new", ".bad"};

	ring_file_close(&f);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (unlink(path_of(names[i])) == -1)
			(void)!rmdir(path_of(names[i]));
	EXPECT_EQ(rmdir(dir), 0);
}

static inline void open_file(void)
{
	EXPECT_EQ(ring_file_open(&f, &config, NULL, 0, now, wall), 0);
	config.epoch++;
}

/* As if the process had been killed, and started anew. */
static inline void reopen(void)
{
	ring_file_close(&f);
	open_file();
}

static inline void push_at(uint32_t lane_idx, uint32_t channel_idx, const char *text, uint64_t time_ns)
{
	uint8_t *payload = ring_reserve(f.ring, lane_idx, HEADROOM, (uint32_t)strlen(text),
					(struct mono){.ns = time_ns});

	EXPECT(payload);
	memcpy(payload, text, strlen(text));
	ring_commit(f.ring, lane_idx, channel_idx, (uint32_t)strlen(text), (struct mono){.ns = time_ns});
}

static inline void push(uint32_t lane_idx, const char *text)
{
	push_at(lane_idx, lane_idx, text, next_ns++);
}

static inline void push_numbers(uint32_t lane_idx, uint32_t from, uint32_t to)
{
	char text[16];

	for (uint32_t i = from; i <= to; i++) {
		snprintf(text, sizeof(text), "%u", i);
		push(lane_idx, text);
	}
}

static inline struct ring_record *take(void)
{
	struct ring_record *rec = NULL;

	return ring_take(f.ring, &rec, 1, now) == 1 ? rec : NULL;
}

/* The next message is this one, and is released. */
static inline void expect_next(const char *topic, const char *text)
{
	struct ring_record *rec = take();
	struct carried c;

	ck_assert_msg(rec != NULL, "nothing is there, not even %s", text);
	EXPECT_EQ(rec->channel_idx, CHANNEL_CARRIED);
	c = carried_read(rec);
	EXPECT(bytes_equal(c.topic, bytes_of_text(topic)));
	ck_assert_msg(bytes_equal(bytes_of(ring_payload(rec), c.payload_bytes), bytes_of_text(text)),
		      "%.*s, not %s", (int)c.payload_bytes, (const char *)ring_payload(rec), text);
	ring_release(f.ring, rec);
}

static inline void expect_numbers(uint32_t from, uint32_t to)
{
	char text[16];

	for (uint32_t i = from; i <= to; i++) {
		snprintf(text, sizeof(text), "%u", i);
		expect_next("a", text);
	}
}

static inline void expect_nothing(void)
{
	EXPECT(!take());
	EXPECT_EQ(ring_backlog(f.ring), 0);
}

#endif
