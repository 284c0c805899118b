/* A ring's file that is not what was written, or cannot be had: what is set aside, what stays, and that there is a ring in any case. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "core/prng.h"
#include "core/ring_layout.h"
#include "tests/unit/ring_file_case.h"

#define NOBODY 65534

/* --- bytes that are not what was written ------------------------------------------------------------------------------------ */

struct image {
	uint8_t *bytes;
	uint64_t size;
};

/* Three segments of lane 0 (full, full, begun) and one of lane 1. */
static struct image image_make(void)
{
	struct image image;
	uint32_t first;

	config.limits.message_count = 60;
	open_file();
	push_numbers(0, 1, 1);
	first = f.ring->samplers[0].segment_idx;
	for (uint32_t i = 2; f.ring->samplers[0].segment_idx != first + 2; i++)
		push_numbers(0, i, i);
	push(1, "other");
	image.size = f.memory_bytes;
	image.bytes = aligned_alloc(4096, align_up(image.size, 4096)); /* as a mapping is */
	EXPECT(image.bytes);
	memcpy(image.bytes, f.memory, image.size);
	return image;
}

/* Messages that a scan finds. Each must be one of those that were made. */
static uint32_t scan_count(struct image image, uint64_t *broken_count)
{
	struct ring_scan_message m;
	struct ring_scan s;
	const char *why = NULL;
	uint32_t count = 0;
	uint64_t last = 0;

	if (ring_scan_open(&s, image.bytes, image.size, &why) < 0) {
		EXPECT(why);
		return UINT32_MAX;
	}
	while (ring_scan_next(&s, true, &m)) {
		char text[16];

		snprintf(text, sizeof(text), "%u", (uint32_t)m.sequence);
		EXPECT(bytes_equal(m.payload, bytes_of_text(m.lane_idx == 0 ? text : "other")));
		EXPECT(bytes_equal(m.topic.topic, topics[m.lane_idx].topic));
		EXPECT(m.lane_idx != 0 || m.sequence > last);
		last = m.lane_idx == 0 ? m.sequence : last;
		count++;
	}
	if (broken_count)
		*broken_count = s.broken_count;
	ring_scan_close(&s);
	return count;
}

TEST(a_flipped_bit_in_the_header_is_noticed)
{
	struct image image;

	folder_open();
	image = image_make();
	EXPECT_NE(scan_count(image, NULL), UINT32_MAX);
	for (uint32_t bit = 0; bit < 8 * sizeof(struct ring_file_header); bit++) {
		image.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		EXPECT_EQ(scan_count(image, NULL), UINT32_MAX);
		image.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(image.bytes);
	folder_close();
}

TEST(a_flipped_bit_in_the_topics_is_noticed)
{
	struct image image;
	uint64_t table_bytes = ring_topics_bytes(topics, ARRAY_COUNT(topics));

	folder_open();
	image = image_make();
	for (uint64_t bit = 8 * (image.size - table_bytes); bit < 8 * image.size; bit++) {
		image.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		EXPECT_EQ(scan_count(image, NULL), UINT32_MAX);
		image.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(image.bytes);
	folder_close();
}

TEST(a_flipped_bit_in_the_words_invents_nothing)
{
	const uint8_t *segments;
	struct image image;
	uint64_t at, whole;

	folder_open();
	image = image_make();
	whole = scan_count(image, NULL);
	segments = (const uint8_t *)f.ring->segments;
	at = (uint64_t)(segments - (const uint8_t *)f.memory);
	for (uint64_t i = 0; i < f.ring->shape.segment_count; i++)
		for (uint32_t bit = 0; bit < 128; bit++) { /* word, committed */
			uint8_t *byte = image.bytes + at + i * sizeof(struct ring_segment) + bit / 8;

			*byte ^= (uint8_t)(1u << bit % 8);
			EXPECT_LE(scan_count(image, NULL), whole); /* scan_count looks at each */
			*byte ^= (uint8_t)(1u << bit % 8);
		}
	EXPECT_EQ(scan_count(image, NULL), whole);
	free(image.bytes);
	folder_close();
}

TEST(a_flipped_bit_in_a_record_costs_what_is_behind_it_in_its_segment)
{
	const struct ring_record *rec;
	uint64_t broken_count, record_at;
	uint32_t whole, in_segment = 0;
	struct image image;
	uint32_t segment_idx;

	folder_open();
	image = image_make();
	whole = scan_count(image, &broken_count);
	EXPECT_EQ(broken_count, 0);
	segment_idx = f.ring->samplers[0].segment_idx - 1; /* the second of three */
	in_segment = (uint32_t)f.ring->segments[segment_idx].record_count;
	EXPECT(in_segment > 3);
	rec = ring_record_at(f.ring, segment_idx, 0);
	record_at = (uint64_t)((const uint8_t *)rec - (const uint8_t *)f.memory);
	for (uint32_t bit = 0; bit < 8 * sizeof(*rec); bit++) {
		uint32_t at = bit / 8;

		if (at >= offsetof(struct ring_record, flags) && at < offsetof(struct ring_record, crc32c))
			continue; /* the publisher's, and its mark */
		image.bytes[record_at + at] ^= (uint8_t)(1u << bit % 8);
		EXPECT_EQ(scan_count(image, &broken_count), whole - in_segment);
		EXPECT_EQ(broken_count, 1);
		image.bytes[record_at + at] ^= (uint8_t)(1u << bit % 8);
	}
	image.bytes[record_at + sizeof(*rec) + HEADROOM] ^= 1; /* its payload */
	EXPECT_EQ(scan_count(image, &broken_count), whole - in_segment);
	EXPECT_EQ(broken_count, 1);
	free(image.bytes);
	folder_close();
}

TEST(a_fill_larger_than_the_segment_is_not_believed)
{
	uint64_t broken_count, at;
	uint32_t whole, segment_idx;
	struct image image;

	folder_open();
	image = image_make();
	whole = scan_count(image, NULL);
	segment_idx = f.ring->samplers[0].segment_idx - 1;
	at = (uint64_t)((const uint8_t *)&f.ring->segments[segment_idx].committed -
			(const uint8_t *)f.memory);
	memset(image.bytes + at, 0xff, 2); /* 65535 units, in the same lap */
	EXPECT_EQ(scan_count(image, &broken_count), whole - f.ring->segments[segment_idx].record_count);
	EXPECT_EQ(broken_count, 1);
	free(image.bytes);
	folder_close();
}

TEST(a_few_bytes_are_not_read_beyond_their_end)
{
	uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t magic = RING_MAGIC;
	struct image image = {.size = sizeof(magic)};

	EXPECT_NE((intptr_t)pages, (intptr_t)MAP_FAILED);
	EXPECT_EQ(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	image.bytes = pages + 4096 - sizeof(magic);
	memcpy(image.bytes, &magic, sizeof(magic));
	EXPECT_EQ(scan_count(image, NULL), UINT32_MAX);
	munmap(pages, 8192);
}

TEST(a_page_that_power_took_costs_its_segments_only)
{
	struct image image;
	uint64_t records_at, broken_count;
	uint32_t whole;

	folder_open();
	image = image_make();
	whole = scan_count(image, NULL);
	records_at = (uint64_t)(f.ring->records - (const uint8_t *)f.memory);
	for (uint64_t page = records_at & ~4095ull; page < image.size - 4096; page += 4096) {
		uint8_t kept[4096];
		uint64_t from = max_u64(page, records_at);
		uint32_t count;

		memcpy(kept, image.bytes + page, sizeof(kept));
		memset(image.bytes + from, 0, page + 4096 - from);
		count = scan_count(image, &broken_count);
		EXPECT(count == whole || broken_count > 0);
		EXPECT(count > 0);
		memcpy(image.bytes + page, kept, sizeof(kept));
	}
	free(image.bytes);
	folder_close();
}

TEST(a_file_cut_off_anywhere_is_noticed)
{
	struct prng prng = {.state = 1};
	struct image image;
	uint64_t whole;

	folder_open();
	image = image_make();
	whole = image.size;
	for (image.size = 0; image.size < whole; image.size += 4096)
		EXPECT_EQ(scan_count(image, NULL), UINT32_MAX);
	for (uint32_t i = 0; i < 1000; i++) {
		image.size = prng_below(&prng, (uint32_t)whole);
		EXPECT_EQ(scan_count(image, NULL), UINT32_MAX);
	}
	image.size = whole - 1;
	EXPECT_EQ(scan_count(image, NULL), UINT32_MAX);
	free(image.bytes);
	folder_close();
}

TEST(a_topic_that_no_server_takes_is_broken)
{
	static const struct ring_file_topic bad[] = {
		{.topic = TEXT("a/#")}, {.topic = TEXT("+")}, {.topic = TEXT("a\0b")}};

	folder_open();
	config.topics = bad;
	open_file();
	push(0, "1");
	push(1, "2");
	push(2, "3");
	reopen();
	EXPECT_EQ(f.broken_count, 3);
	EXPECT_EQ(f.restored_count, 0);
	folder_close();
}

TEST(a_channel_that_never_was_is_broken)
{
	folder_open();
	open_file();
	push_at(0, ARRAY_COUNT(topics), "1", 1);
	push_at(0, CHANNEL_CARRIED - 1, "1", 1);
	push_at(0, 0, "2", 2);
	reopen();
	EXPECT_EQ(f.broken_count, 2);
	expect_numbers(2, 2);
	folder_close();
}

TEST(a_carried_message_whose_own_words_do_not_fit_is_broken)
{
	static const struct carried_end ends[] = {{.topic_bytes = 100, .qos = 1},
						  {.topic_bytes = 1, .props_bytes = UINT32_MAX},
						  {.topic_bytes = 0},
						  {.topic_bytes = 1, .qos = 3}};

	folder_open();
	open_file();
	for (uint32_t i = 0; i < ARRAY_COUNT(ends); i++) {
		uint8_t *payload = ring_reserve(f.ring, 0, HEADROOM, 1 + sizeof(ends[i]), now);

		payload[0] = 't';
		memcpy(payload + 1, &ends[i], sizeof(ends[i]));
		ring_commit(f.ring, 0, CHANNEL_CARRIED, 1 + sizeof(ends[i]), now);
	}
	/* Shorter than its own words, which the headroom seems to complete. */
	uint8_t *payload = ring_reserve(f.ring, 0, HEADROOM, 8, now);

	memcpy(payload - 8, &(struct carried_end){.topic_bytes = 1, .qos = 1}, sizeof(struct carried_end));
	ring_commit(f.ring, 0, CHANNEL_CARRIED, 8, now);
	push_at(0, 0, "1", now.ns);
	reopen();
	EXPECT_EQ(f.broken_count, ARRAY_COUNT(ends) + 1);
	EXPECT_EQ(f.restored_count, 1);
	folder_close();
}

/* --- files that are none ---------------------------------------------------------------------------------------------------- */

static void write_file(const char *suffix, const void *bytes, size_t size)
{
	int handle = open(path_of(suffix), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	EXPECT(handle >= 0);
	EXPECT_EQ(write(handle, bytes, size), size);
	close(handle);
}

/* The file was not ours: it is aside, and there is a ring in a new one. */
static void expect_set_aside(const char *reason)
{
	open_file();
	EXPECT(strstr(f.state, "moved aside"));
	ck_assert_msg(strstr(f.state, reason) != NULL, "%s", f.state);
	EXPECT(exists(".bad"));
	EXPECT_NE(f.handle, -1);
	EXPECT_EQ(f.restored_count, 0);
	push_numbers(0, 1, 1);
	reopen();
	EXPECT_TEXT(f.state, "");
	expect_numbers(1, 1);
	folder_close();
}

TEST(a_file_of_somebody_else_is_set_aside)
{
	char text[8192];

	folder_open();
	memset(text, 'x', sizeof(text));
	write_file("", text, sizeof(text));
	expect_set_aside("no ring file");
}

TEST(a_file_too_short_for_a_header_is_set_aside)
{
	folder_open();
	write_file("", "short", 5);
	expect_set_aside("no ring file");
}

TEST(an_empty_file_is_set_aside)
{
	folder_open();
	write_file("", "", 0);
	expect_set_aside("no ring file");
}

TEST(a_file_that_was_cut_off_is_set_aside)
{
	folder_open();
	open_file();
	push_numbers(0, 1, 3);
	ring_file_close(&f);
	EXPECT_EQ(truncate(path, (off_t)f.memory_bytes - 1), 0);
	expect_set_aside("its size");
}

TEST(a_file_of_another_version_is_set_aside)
{
	struct ring_file_header *h;

	folder_open();
	open_file();
	h = f.memory;
	h->layout_version++;
	h->header_crc = ring_file_header_crc(h);
	ring_file_close(&f);
	expect_set_aside("another version");
}

TEST(a_symbolic_link_is_set_aside_and_not_followed)
{
	struct stat st;
	char where[200];

	folder_open();
	snprintf(where, sizeof(where), "%s/precious", dir);
	EXPECT_EQ(close(open(where, O_WRONLY | O_CREAT, 0600)), 0);
	EXPECT_EQ(symlink(where, path), 0);
	open_file();
	EXPECT(exists(".bad"));
	EXPECT_EQ(stat(where, &st), 0);
	EXPECT_EQ(st.st_size, 0);
	EXPECT_EQ(lstat(path, &st), 0);
	EXPECT(S_ISREG(st.st_mode));
	EXPECT_EQ(unlink(where), 0);
	folder_close();
}

TEST(half_a_file_of_an_earlier_start_is_begun_anew)
{
	char text[100000];

	folder_open();
	open_file();
	push_numbers(0, 1, 3);
	ring_file_close(&f);
	memset(text, 'x', sizeof(text));
	write_file(".new", text, sizeof(text));
	open_file();
	EXPECT(!exists(".new"));
	expect_numbers(1, 3);
	expect_nothing();
	folder_close();
}

/* --- what we are short of ------------------------------------------------------------------------------------------------------ */

static void expect_in_memory(void)
{
	open_file();
	EXPECT(strstr(f.state, "in memory"));
	EXPECT_EQ(f.handle, -1);
	EXPECT_EQ(ring_file_sync(&f), 0);
	push(0, "x");
	EXPECT_EQ(ring_file_origin(&f, take()), 0);
	ring_file_close(&f);
}

/* The old file stayed, for a start with better luck. */
static void expect_all_there(void)
{
	EXPECT(!exists(".new"));
	EXPECT(!exists(".bad"));
	open_file();
	EXPECT_TEXT(f.state, "");
	expect_numbers(1, 3);
	folder_close();
}

static void leave_three(void)
{
	open_file();
	push_numbers(0, 1, 3);
	ring_file_close(&f);
}

TEST(without_its_folder_the_ring_is_in_memory)
{
	folder_open();
	snprintf(path, sizeof(path), "%s/none/plant.ring", dir);
	expect_in_memory();
	snprintf(path, sizeof(path), "/dev/null/plant.ring"); /* its folder is none */
	expect_in_memory();
	EXPECT_EQ(rmdir(dir), 0);
}

TEST(with_a_name_that_is_too_long_the_ring_is_in_memory)
{
	static char name[5000];

	folder_open();
	memset(name, 'x', sizeof(name) - 1);
	config.path = name;
	expect_in_memory();
	EXPECT_EQ(rmdir(dir), 0);
}

TEST(in_a_folder_that_may_not_be_written_the_ring_is_in_memory_and_the_file_stays)
{
	folder_open();
	leave_three();
	EXPECT_EQ(chmod(dir, 0555), 0);
	EXPECT_EQ(chmod(path, 0666), 0);
	if (geteuid() == 0)
		EXPECT_EQ(seteuid(NOBODY), 0);
	expect_in_memory();
	if (getuid() == 0)
		EXPECT_EQ(seteuid(0), 0);
	EXPECT_EQ(chmod(dir, 0700), 0);
	expect_all_there();
}

TEST(a_file_that_may_not_be_read_stays)
{
	folder_open();
	leave_three();
	if (geteuid() == 0) {
		EXPECT_EQ(chown(dir, NOBODY, (gid_t)-1), 0);
		EXPECT_EQ(seteuid(NOBODY), 0);
	} else {
		EXPECT_EQ(chmod(path, 0), 0);
	}
	expect_in_memory();
	if (getuid() == 0)
		EXPECT_EQ(seteuid(0), 0);
	EXPECT_EQ(chmod(path, 0600), 0);
	expect_all_there();
}

TEST(without_descriptors_the_file_stays)
{
	struct rlimit limit, none;
	int highest;

	folder_open();
	leave_three();
	EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	highest = dup(0);
	close(highest);
	none = limit;
	none.rlim_cur = (rlim_t)highest;
	EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	expect_in_memory();
	EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	expect_all_there();
}

TEST(a_file_larger_than_is_allowed_is_not_begun_and_the_old_one_stays)
{
	struct rlimit limit = {.rlim_cur = 8192, .rlim_max = RLIM_INFINITY};

	folder_open();
	leave_three();
	signal(SIGXFSZ, SIG_IGN);
	EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect_in_memory();
	limit.rlim_cur = RLIM_INFINITY;
	EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect_all_there();
}

/* A disk of its own, where that is allowed: not everybody may mount. */
TEST(on_a_full_disk_the_ring_is_in_memory_and_the_old_file_stays)
{
	char options[64];

	folder_open();
	open_file(); /* to know how large it is */
	ring_file_close(&f);
	EXPECT_EQ(unlink(path), 0);
	if (unshare(CLONE_NEWNS) == -1 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1) {
		folder_close();
		return;
	}
	/* One and a half, so the new one has no room beside the old one. */
	snprintf(options, sizeof(options), "size=%llu", (unsigned long long)f.memory_bytes * 3 / 2);
	EXPECT_EQ(mount("none", dir, "tmpfs", 0, options), 0);
	leave_three();
	expect_in_memory();
	EXPECT(!exists(".new"));
	EXPECT(!exists(".bad"));
	EXPECT_EQ(mount("none", dir, "tmpfs", MS_REMOUNT, "size=64m"), 0);
	open_file();
	expect_numbers(1, 3);
	ring_file_close(&f);
	EXPECT_EQ(umount(dir), 0);
	folder_close();
}

TEST(limits_out_of_range_are_refused_and_the_file_stays)
{
	folder_open();
	leave_three();
	config.limits.message_count = 0;
	EXPECT_EQ(ring_file_open(&f, &config, NULL, 0, now, wall), -EINVAL);
	config.limits.message_count = 1000;
	expect_all_there();
}

TEST(a_fifo_where_the_new_file_goes_does_not_stop_the_start)
{
	folder_open();
	leave_three();
	EXPECT_EQ(mkfifo(path_of(".new"), 0600), 0);
	expect_in_memory();
	expect_all_there();
}

TEST(a_folder_where_the_new_file_goes_does_not_stop_the_start)
{
	folder_open();
	leave_three();
	EXPECT_EQ(mkdir(path_of(".new"), 0700), 0);
	expect_in_memory();
	EXPECT_EQ(rmdir(path_of(".new")), 0);
	expect_all_there();
}

/* Others need it under its name: it is not moved out of the way. */
static void expect_left_alone(const char *why, mode_t type)
{
	struct stat st;

	expect_in_memory();
	EXPECT(strstr(f.state, why));
	EXPECT_EQ(lstat(path, &st), 0);
	EXPECT_EQ(st.st_mode & S_IFMT, type);
	EXPECT(!exists(".bad"));
	EXPECT(!exists(".new"));
	folder_close();
}

TEST(a_folder_of_that_name_is_left_alone)
{
	folder_open();
	EXPECT_EQ(mkdir(path, 0700), 0);
	expect_left_alone("a folder in its way", S_IFDIR);
}

TEST(a_fifo_of_that_name_is_left_alone)
{
	folder_open();
	EXPECT_EQ(mkfifo(path, 0600), 0);
	expect_left_alone("no file", S_IFIFO);
}

TEST(a_folder_that_cannot_be_renamed_is_no_other_process)
{
	folder_open();
	config.path = "/";
	expect_in_memory();
	EXPECT(strstr(f.state, "a folder in its way"));
	config.path = path;
	folder_close();
}

TEST(a_bad_file_that_cannot_be_moved_aside_is_not_written_over)
{
	char inside[240];
	struct stat st;

	folder_open();
	write_file("", "short", 5);
	EXPECT_EQ(mkdir(path_of(".bad"), 0700), 0);
	snprintf(inside, sizeof(inside), "%s/inside", path_of(".bad"));
	EXPECT_EQ(mkdir(inside, 0700), 0);
	expect_in_memory();
	EXPECT_EQ(stat(path, &st), 0);
	EXPECT_EQ(st.st_size, 5);
	EXPECT_EQ(rmdir(inside), 0);
	folder_close();
}

/* --- others ---------------------------------------------------------------------------------------------------------------------- */

TEST(a_second_process_is_told_that_the_file_is_in_use)
{
	struct ring_file second;

	folder_open();
	open_file();
	push_numbers(0, 1, 2);
	EXPECT_EQ(ring_file_open(&second, &config, NULL, 0, now, wall), -EBUSY);
	EXPECT(!second.ring);
	push_numbers(0, 3, 3);
	reopen();
	expect_numbers(1, 3);
	folder_close();
}

TEST(a_second_process_that_is_just_making_its_file_is_left_alone)
{
	struct stat st;
	int handle;

	folder_open();
	leave_three();
	write_file(".new", "half", 4);
	handle = open(path_of(".new"), O_RDWR);
	EXPECT_EQ(flock(handle, LOCK_EX | LOCK_NB), 0);
	EXPECT_EQ(ring_file_open(&f, &config, NULL, 0, now, wall), -EBUSY);
	EXPECT_EQ(stat(path_of(".new"), &st), 0);
	EXPECT_EQ(st.st_size, 4);
	close(handle);
	open_file();
	expect_numbers(1, 3);
	folder_close();
}

TEST(a_ring_in_a_file_can_be_synced)
{
	folder_open();
	open_file();
	push_numbers(0, 1, 1);
	EXPECT_EQ(ring_file_sync(&f), 0);
	folder_close();
}
