/* A session's file between two processes: what comes back, what is set aside, and that sending goes on whatever is there. */
#include "io/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/prng.h"
#include "tests/test.h"

#define FILTER(text, q) \
	{ \
		.options = {.filter = {(const uint8_t *)(text), sizeof(text) - 1}, .qos = (q) } \
	}

static char dir[64];
static struct session_file f;
static struct session_file_config config;

static const struct mqtt_session_filter filters[] = {FILTER("a/b", 0), FILTER("c/+", 1), FILTER("d/#", 2)};
static const struct mqtt_stored message = {
	.topic = {(const uint8_t *)"t/1", 3}, .payload = {(const uint8_t *)"payload", 7}, .time_ns = 5};

static void folder_open(void)
{
	snprintf(dir, sizeof(dir), "/tmp/session_file.XXXXXX");
	EXPECT(mkdtemp(dir));
	config = (struct session_file_config){
		.state_dir = dir,
		.target = "plant",
		.client_id = "c1",
		.version = MQTT_5,
		.shape = {.inflight_room = 4,
			  .slot_bytes = mqtt_store_slot_bytes(32),
			  .filter_count = ARRAY_COUNT(filters)},
		.filters = filters,
	};
}

static const char *path_of(const char *suffix)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/plant.session%s", dir, suffix);
	return path[turn];
}

static bool exists(const char *suffix)
{
	struct stat st;

	return lstat(path_of(suffix), &st) == 0;
}

static void folder_close(void)
{
	static const char *const names[] = {"", ".new", ".bad", ".bad.1"};

	session_file_close(&f);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (unlink(path_of(names[i])) == -1)
			(void)!rmdir(path_of(names[i]));
	EXPECT_EQ(rmdir(dir), 0);
}

static void open_file(void)
{
	EXPECT_EQ(session_file_open(&f, &config), 0);
}

static void reopen(void)
{
	session_file_close(&f);
	open_file();
}

static void keep(uint16_t id, enum mqtt_inflight_state state)
{
	mqtt_store_keep(&f.store, id, &message);
	mqtt_store_set(&f.store, id, state);
}

static enum mqtt_inflight_state state_of(uint16_t id)
{
	uint64_t sequence;

	return mqtt_store_get(&f.store, id, &sequence);
}

static void expect_empty(void)
{
	for (uint16_t id = 1; id <= f.store.shape.inflight_room; id++)
		EXPECT_EQ(state_of(id), MQTT_INFLIGHT_FREE);
	EXPECT_EQ(mqtt_store_server(&f.store), 0);
	EXPECT_EQ(f.store.inbound_count, 0);
}

static void expect_kept(const char *filter, uint32_t filter_idx, enum mqtt_store_filter state)
{
	struct bytes kept = mqtt_store_filter(&f.store, filter_idx);

	EXPECT(bytes_equal(bytes_of(kept.ptr + MQTT_SESSION_FILTER_HEAD_BYTES,
				    kept.size - MQTT_SESSION_FILTER_HEAD_BYTES),
			   bytes_of_text(filter)));
	EXPECT_EQ(mqtt_store_filter_state(&f.store, filter_idx), state);
}

/* --- what comes back -------------------------------------------------------------------------------------------------- */

TEST(a_new_session_has_a_file_of_its_targets_name_for_nobody_else)
{
	struct stat st;

	folder_open();
	open_file();
	expect_empty();
	EXPECT_EQ(f.store.shape.filter_count, 3);
	expect_kept("c/+", 1, MQTT_STORE_FILTER_NONE);
	EXPECT_EQ(stat(path_of(""), &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0600);
	EXPECT_EQ(st.st_size, (off_t)f.memory_bytes);
	EXPECT(!exists(".new"));
	EXPECT(!exists(".bad"));
	folder_close();
}

TEST(the_next_process_goes_on_where_this_one_was_killed)
{
	struct mqtt_stored m;
	pid_t child;
	int status;

	folder_open();
	child = fork();
	if (child == 0) {
		open_file();
		keep(3, MQTT_INFLIGHT_PUBLISHED_1);
		keep(1, MQTT_INFLIGHT_PUBLISHED_2);
		mqtt_store_set(&f.store, 1, MQTT_INFLIGHT_RELEASED);
		mqtt_store_inbound_add(&f.store, 777);
		mqtt_store_set_subscribed(&f.store, 2, true);
		mqtt_store_set_server(&f.store, 9);
		mqtt_store_set_assigned_id(&f.store, bytes_of_text("you"));
		mqtt_store_set_unanswered(&f.store, true);
		kill(getpid(), SIGKILL);
	}
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT(WIFSIGNALED(status));
	for (int round = 0; round < 2; round++) { /* and the one after it */
		open_file();
		EXPECT_EQ(state_of(3), MQTT_INFLIGHT_PUBLISHED_1);
		EXPECT_EQ(state_of(1), MQTT_INFLIGHT_RELEASED);
		EXPECT_EQ(state_of(2), MQTT_INFLIGHT_FREE);
		EXPECT(mqtt_store_message(&f.store, 3, &m));
		EXPECT(bytes_equal(m.payload, message.payload));
		EXPECT(mqtt_store_inbound_has(&f.store, 777));
		EXPECT(!mqtt_store_subscribed(&f.store, 1));
		EXPECT(mqtt_store_subscribed(&f.store, 2));
		EXPECT_EQ(mqtt_store_server(&f.store), 9);
		EXPECT_TEXT(mqtt_store_assigned_id(&f.store), "you");
		EXPECT(mqtt_store_unanswered(&f.store));
		session_file_close(&f);
	}
	folder_close();
}

TEST(filters_that_nothing_wants_any_more_come_behind_those_that_are_wanted)
{
	static const struct mqtt_session_filter now[] = {FILTER("new", 0), FILTER("c/+", 1)};

	folder_open();
	open_file();
	mqtt_store_set_subscribed(&f.store, 0, true);                      /* a/b */
	mqtt_store_set_subscribed(&f.store, 1, true);                      /* c/+ */
	mqtt_store_set_filter_state(&f.store, 2, MQTT_STORE_FILTER_ASKED); /* d/#: the server may have it */
	config.filters = now;
	config.shape.filter_count = 2;
	reopen();
	EXPECT_EQ(f.store.shape.filter_count, 4);
	expect_kept("new", 0, MQTT_STORE_FILTER_NONE);
	expect_kept("c/+", 1, MQTT_STORE_FILTER_SUBSCRIBED);
	expect_kept("a/b", 2, MQTT_STORE_FILTER_SUBSCRIBED);
	expect_kept("d/#", 3, MQTT_STORE_FILTER_ASKED);
	mqtt_store_set_subscribed(&f.store, 2, false); /* left */
	reopen();
	EXPECT_EQ(f.store.shape.filter_count, 3);
	expect_kept("d/#", 2, MQTT_STORE_FILTER_ASKED); /* not left yet: not forgotten either */
	config.filters = filters;
	config.shape.filter_count = 3;
	reopen();
	EXPECT_EQ(f.store.shape.filter_count, 3);
	expect_kept("d/#", 2, MQTT_STORE_FILTER_ASKED); /* wanted again */
	folder_close();
}

TEST(a_filter_with_other_options_is_to_be_asked_for_again_and_not_to_be_left)
{
	struct mqtt_session_filter changed[3];

	for (int i = 0; i < 4; i++) {
		folder_open();
		memcpy(changed, filters, sizeof(changed));
		changed[0].options.qos = i == 0;
		changed[0].options.no_local = i == 1;
		changed[0].options.retain_handling = i == 2;
		changed[0].id = i == 3;
		open_file();
		mqtt_store_set_subscribed(&f.store, 0, true);
		config.filters = changed;
		reopen();
		EXPECT_EQ(f.store.shape.filter_count, 3);
		expect_kept("a/b", 0, MQTT_STORE_FILTER_NONE);
		folder_close();
	}
}

TEST(a_smaller_configuration_has_room_for_what_is_in_flight)
{
	struct mqtt_stored m;

	folder_open();
	open_file();
	keep(4, MQTT_INFLIGHT_PUBLISHED_1);
	config.shape.inflight_room = 2;
	config.shape.slot_bytes = mqtt_store_slot_bytes(1);
	reopen();
	EXPECT_EQ(f.store.shape.inflight_room, 4);
	EXPECT_EQ(state_of(4), MQTT_INFLIGHT_PUBLISHED_1);
	EXPECT(mqtt_store_message(&f.store, 4, &m));
	config.shape.inflight_room = 8;
	config.shape.slot_bytes = mqtt_store_slot_bytes(100);
	reopen();
	EXPECT_EQ(f.store.shape.inflight_room, 8);
	EXPECT_EQ(f.store.shape.slot_bytes, mqtt_store_slot_bytes(100));
	EXPECT(mqtt_store_message(&f.store, 4, &m));
	EXPECT(bytes_equal(m.topic, message.topic));
	folder_close();
}

TEST(a_target_that_begins_anew_leaves_no_file)
{
	folder_open();
	open_file();
	session_file_close(&f);
	EXPECT(exists(""));
	session_file_forget(&config);
	EXPECT(!exists(""));
	session_file_forget(&config); /* there is none: nothing to do */
	folder_close();
}

/* --- what is set aside ------------------------------------------------------------------------------------------------ */

static void used_file(void)
{
	folder_open();
	open_file();
	keep(1, MQTT_INFLIGHT_PUBLISHED_1);
	keep(2, MQTT_INFLIGHT_PUBLISHED_2);
	mqtt_store_inbound_add(&f.store, 1);
	mqtt_store_set_subscribed(&f.store, 0, true);
	mqtt_store_set_server(&f.store, 9);
	session_file_close(&f);
}

static void expect_set_aside(void)
{
	open_file();
	expect_empty();
	EXPECT_EQ(f.store.shape.filter_count, 3);
	EXPECT(!mqtt_store_subscribed(&f.store, 0));
	EXPECT(exists(".bad"));
	keep(1, MQTT_INFLIGHT_PUBLISHED_1);
	reopen(); /* what was made in its place is sound */
	EXPECT_EQ(state_of(1), MQTT_INFLIGHT_PUBLISHED_1);
	session_file_close(&f);
}

TEST(the_file_of_another_client_or_version_is_set_aside)
{
	used_file();
	config.client_id = "c2";
	expect_set_aside();
	folder_close();
	used_file();
	config.version = MQTT_3_1_1;
	expect_set_aside();
	folder_close();
}

TEST(what_was_set_aside_first_stays)
{
	struct stat first, later;

	used_file();
	config.client_id = "c2";
	open_file();
	EXPECT_EQ(stat(path_of(".bad"), &first), 0);
	config.client_id = "c3";
	reopen();
	EXPECT_EQ(stat(path_of(".bad"), &later), 0);
	EXPECT_EQ(first.st_ino, later.st_ino);
	EXPECT(exists(".bad.1"));
	folder_close();
}

TEST(a_file_of_another_length_is_set_aside)
{
	static const off_t lengths[] = {0, 1, 8, 63, 64, 343, 344, 4096, 11000, -8, -1, 1, 4096};

	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
		used_file();
		bool relative = i >= ARRAY_COUNT(lengths) - 4;

		EXPECT_EQ(truncate(path_of(""), (relative ? (off_t)f.memory_bytes : 0) + lengths[i]), 0);
		expect_set_aside();
		folder_close();
	}
}

TEST(a_bit_that_has_flipped_is_noticed_or_means_nothing)
{
	struct prng prng = {.state = 3};
	uint32_t aside = 0;

	for (int round = 0; round < 400; round++) {
		uint8_t byte;
		int handle;

		used_file();
		/* half of them where most is: the header and the words of identifiers */
		uint64_t at = prng_below(&prng, round % 2 ? f.memory_bytes : 400);

		handle = open(path_of(""), O_RDWR);
		EXPECT_EQ(pread(handle, &byte, 1, (off_t)at), 1);
		byte ^= (uint8_t)(1u << prng_below(&prng, 8));
		EXPECT_EQ(pwrite(handle, &byte, 1, (off_t)at), 1);
		close(handle);
		open_file();
		if (exists(".bad")) {
			aside++;
			expect_empty();
		} else {
			EXPECT_EQ(state_of(1), MQTT_INFLIGHT_PUBLISHED_1);
			EXPECT_EQ(state_of(2), MQTT_INFLIGHT_PUBLISHED_2);
			EXPECT_EQ(f.store.inbound_count, 1);
		}
		folder_close();
	}
	EXPECT(aside > 200);
}

TEST(bytes_that_are_no_session_are_set_aside)
{
	struct prng prng = {.state = 4};

	for (int round = 0; round < 20; round++) {
		uint8_t bytes[3000];
		int handle;

		folder_open();
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)prng_below(&prng, 256);
		handle = open(path_of(""), O_RDWR | O_CREAT, 0600);
		EXPECT_EQ(write(handle, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
		close(handle);
		expect_set_aside();
		folder_close();
	}
}

TEST(what_is_no_file_is_set_aside)
{
	for (int kind = 0; kind < 3; kind++) {
		folder_open();
		if (kind == 0)
			EXPECT_EQ(mkdir(path_of(""), 0700), 0);
		if (kind == 1)
			EXPECT_EQ(mkfifo(path_of(""), 0600), 0);
		if (kind == 2)
			EXPECT_EQ(symlink("/dev/zero", path_of("")), 0);
		expect_set_aside();
		folder_close();
	}
}

/* --- when there can be no file ----------------------------------------------------------------------------------------- */

static void expect_plain(void)
{
	open_file();
	EXPECT_EQ(f.handle, -1);
	EXPECT_EQ(f.store.shape.slot_bytes, 0); /* no use: they end with the process */
	EXPECT_EQ(f.store.shape.filter_count, 3);
	expect_empty();
	mqtt_store_set(&f.store, 4, MQTT_INFLIGHT_PUBLISHED_1);
	mqtt_store_set_subscribed(&f.store, 2, true);
	session_file_close(&f);
}

TEST(without_a_folder_the_session_is_in_plain_memory)
{
	folder_open();
	config.state_dir = NULL;
	expect_plain();
	session_file_forget(&config);
	folder_close();
}

TEST(a_folder_that_cannot_be_used_costs_the_file_only)
{
	char long_name[5000];

	folder_open();
	config.state_dir = "/dev/null";
	expect_plain();
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	config.state_dir = long_name;
	expect_plain();
	session_file_forget(&config);
	folder_close();
}

TEST(a_name_that_cannot_be_taken_costs_the_file_only_and_leaves_nothing_behind)
{
	char inside[128];

	folder_open();
	EXPECT_EQ(mkdir(path_of(""), 0700), 0);
	EXPECT_EQ(mkdir(path_of(".bad"), 0700), 0);
	snprintf(inside, sizeof(inside), "%s/x", path_of(".bad"));
	EXPECT_EQ(mkdir(inside, 0700), 0); /* not empty: nothing can take its place */
	expect_plain();
	EXPECT(!exists(".new"));
	EXPECT_EQ(rmdir(inside), 0);
	folder_close();
}

TEST(a_link_in_the_place_of_the_new_file_is_not_followed)
{
	struct stat st;
	char victim[128];
	int handle;

	folder_open();
	snprintf(victim, sizeof(victim), "%s/victim", dir);
	handle = open(victim, O_RDWR | O_CREAT, 0600);
	EXPECT_EQ(write(handle, "12345", 5), 5);
	close(handle);
	EXPECT_EQ(symlink(victim, path_of(".new")), 0);
	expect_plain();
	EXPECT_EQ(stat(victim, &st), 0);
	EXPECT_EQ(st.st_size, 5);
	EXPECT_EQ(unlink(victim), 0);
	folder_close();
}

TEST(what_a_killed_process_left_half_made_is_in_nobodys_way)
{
	int handle;

	used_file();
	handle = open(path_of(".new"), O_RDWR | O_CREAT, 0600);
	EXPECT_EQ(ftruncate(handle, 100000), 0);
	EXPECT_EQ(pwrite(handle, "rubbish", 7, 500), 7);
	close(handle);
	open_file();
	EXPECT_EQ(state_of(1), MQTT_INFLIGHT_PUBLISHED_1);
	EXPECT_EQ(state_of(3), MQTT_INFLIGHT_FREE);
	EXPECT(!exists(".new"));
	reopen();
	EXPECT(!exists(".bad"));
	folder_close();
}

TEST(a_file_that_another_process_has_is_left_alone)
{
	struct session_file second;

	folder_open();
	open_file();
	keep(1, MQTT_INFLIGHT_PUBLISHED_1);
	EXPECT_EQ(session_file_open(&second, &config), -EBUSY);
	session_file_close(&second);
	EXPECT(!exists(".bad"));
	reopen();
	EXPECT_EQ(state_of(1), MQTT_INFLIGHT_PUBLISHED_1);
	folder_close();
}

TEST(a_file_that_another_process_is_making_is_left_alone)
{
	struct stat st;
	int handle;

	folder_open();
	handle = open(path_of(".new"), O_RDWR | O_CREAT, 0600);
	EXPECT_EQ(flock(handle, LOCK_EX), 0);
	EXPECT_EQ(ftruncate(handle, 5000), 0);
	EXPECT_EQ(session_file_open(&f, &config), -EBUSY);
	EXPECT_EQ(fstat(handle, &st), 0);
	EXPECT_EQ(st.st_size, 5000); /* it is mapped there: a byte less, and that process ends */
	EXPECT(exists(".new"));
	close(handle);
	folder_close();
}
TEST(the_qos_that_was_granted_comes_back_with_its_filter)
{
	folder_open();
	open_file();
	mqtt_store_set_granted(&f.store, 1, 1);
	mqtt_store_set_granted(&f.store, 2, 2);
	reopen();
	expect_kept("c/+", 1, MQTT_STORE_FILTER_SUBSCRIBED);
	EXPECT_EQ(mqtt_store_granted(&f.store, 1), 1);
	EXPECT_EQ(mqtt_store_granted(&f.store, 2), 2);
	folder_close();
}
