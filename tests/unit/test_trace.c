/* The flight recorder's ring: what survives, what is pushed out, and what a reader beside the writer may see. */
#include "core/trace.h"

#include <pthread.h>
#include <string.h>

#include "tests/test.h"

#define ROOM (64u << 10)

struct recorder {
	struct trace_switch shared;
	struct trace_source source;
	uint8_t buffer[ROOM];
	struct bytes input; /* what read_all has given and no record_next has taken */
	uint64_t from, lost_bytes;
};

static void recorder_open(struct recorder *t, uint64_t memory_bytes)
{
	memset(t, 0, sizeof(*t));
	trace_switch_init(&t->shared, false, 0);
	EXPECT_EQ(trace_open(&t->source.ring, memory_bytes, &t->shared), 0);
	t->source.channel_idx = 7;
	t->source.endpoint_bytes = 12;
	memcpy(t->source.endpoints, "llllppppabcd", 12);
}

static void put(struct recorder *t, uint64_t time_ns, const void *bytes, size_t size_bytes)
{
	trace_bytes(&t->source, TRACE_SENT, (struct mono){.ns = time_ns}, (uint32_t)time_ns, 5,
		    bytes_of(bytes, size_bytes), (uint32_t)size_bytes + 3);
}

static size_t read_all(struct recorder *t)
{
	size_t size = trace_read(t->source.ring, &t->from, t->buffer, sizeof(t->buffer), &t->lost_bytes);

	t->input = bytes_of(t->buffer, size);
	return size;
}

/* The payload of a record that says by itself what it is: size and content from its number. */
static size_t filled(uint64_t number, uint8_t out[TRACE_SEGMENT_BYTES])
{
	size_t size = number * 131 % (TRACE_SEGMENT_BYTES + 1);

	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(number * 7 + i);
	return size;
}

static bool is_whole(const struct trace_record *head, struct bytes kept)
{
	uint8_t wanted[TRACE_SEGMENT_BYTES];
	size_t size = filled(head->time_ns, wanted);

	return kept.size == size && memcmp(kept.ptr, wanted, size) == 0 &&
	       head->sequence == (uint32_t)head->time_ns;
}

TEST(notes_come_with_the_record_that_follows_them)
{
	struct recorder t;
	struct trace_record head;
	struct bytes endpoints, kept, notes;
	uint32_t wanted[TRACE_NOTES_MAX];

	recorder_open(&t, TRACE_MEMORY_BYTES_MIN);
	for (uint32_t i = 0; i < TRACE_NOTES_MAX; i++) {
		wanted[i] = i * 1000 + 1;
		EXPECT(trace_note(&t.source, wanted[i]));
	}
	EXPECT(!trace_note(&t.source, 5));
	put(&t, 100, "hello", 5);
	EXPECT(trace_note(&t.source, 6));
	put(&t, 101, "x", 1);
	put(&t, 102, "y", 1);
	(void)read_all(&t);
	EXPECT(trace_next_noted(&t.input, &head, &endpoints, &kept, &notes));
	EXPECT_MEM(kept.ptr, "hello", 5);
	EXPECT_EQ(head.note_count, TRACE_NOTES_MAX);
	EXPECT_EQ(notes.size, sizeof(wanted));
	EXPECT_MEM(notes.ptr, wanted, sizeof(wanted));
	EXPECT(trace_next_noted(&t.input, &head, &endpoints, &kept, &notes));
	EXPECT_EQ(notes.size, sizeof(uint32_t));
	EXPECT_EQ(*notes.ptr, 6);
	EXPECT(trace_next_noted(&t.input, &head, &endpoints, &kept, &notes));
	EXPECT_EQ(notes.size, 0);
	EXPECT(!trace_next_noted(&t.input, &head, &endpoints, &kept, &notes));
	trace_close(t.source.ring);
}

TEST(what_was_written_is_read_as_it_was)
{
	struct recorder t;
	struct trace_record head;
	struct bytes endpoints, kept;

	recorder_open(&t, TRACE_MEMORY_BYTES_MIN);
	put(&t, 100, "hello", 5);
	t.source.endpoint_bytes = 0;
	trace_text(&t.source, TRACE_BROKEN, (struct mono){.ns = 200}, 1, 2, "gone");
	EXPECT_EQ(read_all(&t), (32 + 16 + 8) + (32 + 8));
	EXPECT(trace_next(&t.input, &head, &endpoints, &kept));
	EXPECT_EQ(head.kind, TRACE_SENT);
	EXPECT_EQ(head.channel_idx, 7);
	EXPECT_EQ(head.time_ns, 100);
	EXPECT_EQ(head.acknowledged, 5);
	EXPECT_EQ(head.length_bytes, 8);
	EXPECT_EQ(endpoints.size, 12);
	EXPECT_MEM(endpoints.ptr, "llllppppabcd", 12);
	EXPECT_EQ(kept.size, 5);
	EXPECT_MEM(kept.ptr, "hello", 5);
	EXPECT(trace_next(&t.input, &head, &endpoints, &kept));
	EXPECT_EQ(head.kind, TRACE_BROKEN);
	EXPECT_EQ(endpoints.size, 0);
	EXPECT_MEM(kept.ptr, "gone", 4);
	EXPECT(!trace_next(&t.input, &head, &endpoints, &kept));
	EXPECT_EQ(read_all(&t), 0); /* all of it was read */
	EXPECT_EQ(t.lost_bytes, 0);
	trace_close(t.source.ring);
}

TEST(the_newest_records_survive_whole_over_many_laps)
{
	uint8_t payload[TRACE_SEGMENT_BYTES];
	struct recorder t;
	struct trace_record head;
	struct bytes endpoints, kept;
	uint64_t last = 0, count = 0;

	recorder_open(&t, TRACE_MEMORY_BYTES_MIN + 8 * 3); /* no power of two */
	for (uint64_t number = 1; number <= 5000; number++) {
		put(&t, number, payload, filled(number, payload));
		if (number % 500)
			continue;
		t.from = 0;
		(void)read_all(&t);
		for (last = 0, count = 0; trace_next(&t.input, &head, &endpoints, &kept); count++) {
			EXPECT(is_whole(&head, kept));
			EXPECT(last == 0 || head.time_ns == last + 1);
			last = head.time_ns;
		}
		EXPECT_EQ(last, number);
		EXPECT_LE(10, count); /* of at most 1448 bytes each */
	}
	struct trace_counts counts = trace_counts(t.source.ring);

	EXPECT_EQ(counts.records, 5000);
	EXPECT_EQ(counts.overwritten, 5000 - count);
	EXPECT_LE(counts.used_bytes, counts.memory_bytes);
	EXPECT_LE(counts.memory_bytes - counts.used_bytes, TRACE_RECORD_BYTES_MAX);
	trace_close(t.source.ring);
}

TEST(a_ring_is_filled_to_its_last_byte)
{
	struct recorder t;
	uint8_t payload[TRACE_SEGMENT_BYTES] = {0};

	recorder_open(&t, 16u << 10);
	for (uint32_t i = 0; i < 16; i++)
		put(&t, i + 1, payload, 1024 - 32 - 16);
	EXPECT_EQ(trace_counts(t.source.ring).used_bytes, 16u << 10);
	EXPECT_EQ(trace_counts(t.source.ring).overwritten, 0);
	put(&t, 17, payload, 1);
	EXPECT_EQ(trace_counts(t.source.ring).overwritten, 1);
	trace_close(t.source.ring);
}

TEST(a_reader_that_is_too_late_is_told_what_it_missed)
{
	struct recorder t;
	uint8_t payload[TRACE_SEGMENT_BYTES] = {0};
	struct trace_record head;
	struct bytes endpoints, kept;

	recorder_open(&t, 16u << 10);
	put(&t, 1, payload, 1024 - 32 - 16);
	(void)read_all(&t);
	for (uint32_t i = 0; i < 20; i++)
		put(&t, i + 2, payload, 1024 - 32 - 16);
	EXPECT_EQ(read_all(&t), 16u << 10);
	EXPECT_EQ(t.lost_bytes, 4 * 1024);
	EXPECT(trace_next(&t.input, &head, &endpoints, &kept));
	EXPECT_EQ(head.time_ns, 6);
	trace_close(t.source.ring);
}

TEST(pages_end_with_whole_records)
{
	struct recorder t;
	uint8_t payload[TRACE_SEGMENT_BYTES], page[TRACE_RECORD_BYTES_MAX];
	struct trace_record head;
	struct bytes endpoints, kept;
	uint64_t last = 0, lost_bytes;
	size_t size;

	recorder_open(&t, 64u << 10);
	for (uint64_t number = 1; number <= 30; number++)
		put(&t, number, payload, filled(number, payload));
	while ((size = trace_read(t.source.ring, &t.from, page, sizeof(page), &lost_bytes)) > 0) {
		struct bytes input = bytes_of(page, size);

		while (trace_next(&input, &head, &endpoints, &kept)) {
			EXPECT(is_whole(&head, kept));
			EXPECT_EQ(head.time_ns, last + 1);
			last = head.time_ns;
		}
		EXPECT_EQ(input.size, 0);
	}
	EXPECT_EQ(last, 30);
	trace_close(t.source.ring);
}

TEST(a_position_that_is_none_reads_nothing_wrong)
{
	struct recorder t;
	uint8_t zeroes[64] = {0};

	recorder_open(&t, 16u << 10);
	put(&t, 1, zeroes, sizeof(zeroes));
	t.from = UINT64_MAX;
	EXPECT_EQ(read_all(&t), 0);
	t.from = 8; /* in the middle of what is kept: no size */
	EXPECT_EQ(read_all(&t), 0);
	zeroes[0] = 64; /* looks like a record, but it would end behind all that was written */
	trace_bytes(&t.source, TRACE_SENT, (struct mono){.ns = 1}, 0, 0, bytes_of(zeroes, 40), 40);
	t.from = 4 + 2 + 8 + 4 + 2;
	EXPECT_EQ(read_all(&t), 0);
	trace_close(t.source.ring);
}

TEST(what_is_no_record_is_refused)
{
	struct recorder t;
	struct trace_record head;
	struct bytes endpoints, kept, cut;

	recorder_open(&t, 16u << 10);
	put(&t, 1, "hello", 5);
	(void)read_all(&t);
	for (size_t size = 0; size < t.input.size; size++) {
		cut = bytes_of(t.input.ptr, size);
		EXPECT(!trace_next(&cut, &head, &endpoints, &kept));
	}
	t.buffer[28] = 0xff; /* more is kept than the record has */
	EXPECT(!trace_next(&t.input, &head, &endpoints, &kept));
	t.buffer[28] = 5;
	t.buffer[4] = TRACE_KIND_COUNT;
	EXPECT(!trace_next(&t.input, &head, &endpoints, &kept));
	t.buffer[4] = 0;
	t.buffer[5] = 13; /* no endpoints have that size */
	EXPECT(!trace_next(&t.input, &head, &endpoints, &kept));
	t.buffer[5] = 12;
	EXPECT(trace_next(&t.input, &head, &endpoints, &kept));
	trace_close(t.source.ring);
}

TEST(frozen_it_keeps_what_it_has_until_it_is_resumed)
{
	struct recorder t;

	recorder_open(&t, 16u << 10);
	put(&t, 100, "a", 1);
	trace_freeze(&t.shared, (struct mono){.ns = 150});
	put(&t, 150, "b", 1); /* of the same turn */
	put(&t, 151, "c", 1);
	EXPECT_EQ(trace_counts(t.source.ring).records, 2);
	trace_resume(&t.shared);
	put(&t, 152, "d", 1);
	EXPECT_EQ(trace_counts(t.source.ring).records, 3);
	trace_close(t.source.ring);
}

TEST(the_first_incident_ends_recording_after_its_time)
{
	struct recorder t;
	struct trace_source other;

	recorder_open(&t, 16u << 10);
	other = t.source;
	other.channel_idx = 8;
	EXPECT(!trace_incident(&t.source, (struct mono){.ns = 100})); /* not asked for */
	EXPECT_EQ(trace_until(&t.shared).ns, UINT64_MAX);
	trace_switch_init(&t.shared, true, 50);
	EXPECT(trace_incident(&t.source, (struct mono){.ns = 100}));
	EXPECT(!trace_incident(&other, (struct mono){.ns = 120}));
	EXPECT_EQ(atomic_load(&t.shared.cause), 7);
	EXPECT_EQ(trace_until(&t.shared).ns, 150);
	put(&t, 150, "a", 1);
	put(&t, 151, "b", 1);
	EXPECT_EQ(trace_counts(t.source.ring).records, 1);
	trace_resume(&t.shared);
	EXPECT_EQ(atomic_load(&t.shared.cause), TRACE_NO_CHANNEL);
	EXPECT(trace_incident(&other, (struct mono){.ns = 200})); /* and again */
	trace_close(t.source.ring);
}

/* --- a reader beside the writer; `make tsan` runs it under ThreadSanitizer ------------------------------------------------ */

#define RACE_RECORDS 60000u

static void *race_write(void *arg)
{
	struct recorder *t = arg;
	uint8_t payload[TRACE_SEGMENT_BYTES];

	for (uint64_t number = 1; number <= RACE_RECORDS; number++)
		put(t, number, payload, filled(number, payload) % 200);
	return NULL;
}

TEST(a_reader_never_sees_half_a_record_and_never_goes_back)
{
	struct recorder t;
	struct trace_record head;
	struct bytes endpoints, kept;
	uint8_t wanted[TRACE_SEGMENT_BYTES];
	uint64_t last = 0;
	pthread_t thread;

	recorder_open(&t, 16u << 10);
	EXPECT_EQ(pthread_create(&thread, NULL, race_write, &t), 0);
	while (last < RACE_RECORDS) { /* the last record stays, so this ends */
		(void)read_all(&t);
		while (trace_next(&t.input, &head, &endpoints, &kept)) {
			EXPECT_LE(last + 1, head.time_ns);
			last = head.time_ns;
			EXPECT_EQ(head.sequence, (uint32_t)last);
			EXPECT_EQ(kept.size, filled(last, wanted) % 200);
			EXPECT_MEM(kept.ptr, wanted, kept.size);
		}
		EXPECT_EQ(t.input.size, 0);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(trace_counts(t.source.ring).records, RACE_RECORDS);
	trace_close(t.source.ring);
}
