/* What a target puts into its flight recorder: whole packets, no password, at most `snap` of a message; and what a line does. */
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "hw/line.h"
#include "io/target_priv.h"
#include "proto/mqtt_encode.h"
#include "tests/test.h"

#define SNAP 64u

struct world {
	struct trace_switch shared;
	struct publisher publisher;
	struct cfg_target config;
	struct target target;
	struct iovec iov[101];
	uint8_t buffer[64 << 10];
	uint64_t from, lost_bytes;
	struct bytes input;
	struct trace_record head;
	struct bytes endpoints, kept, notes;
	struct ring_record *batch[100];
	struct ring_record records[100];
};

static struct world *world_open(bool record)
{
	struct world *w = memory_alloc(1, sizeof(*w)); /* on a cache line, as a target wants it */
	struct target *t = &w->target;

	EXPECT(w != NULL);
	trace_switch_init(&w->shared, false, 0);
	w->publisher.config.trace = &w->shared;
	w->config.trace = (struct cfg_trace){.memory_bytes = 64 << 10, .snap_bytes = SNAP, .record = record};
	t->publisher = &w->publisher;
	t->config = &w->config;
	t->iov = w->iov;
	t->batch = w->batch;
	for (uint32_t i = 0; i < ARRAY_COUNT(w->batch); i++)
		w->batch[i] = &w->records[i];
	t->cfg_idx = 3;
	EXPECT_EQ(target_trace_open(t), 0);
	return w;
}

static void world_close(struct world *w)
{
	trace_close(w->target.trace.source.ring);
	memory_free(w);
	memory_counts_clear();
}

/* The next record; false: there is none. */
static bool next(struct world *w)
{
	if (w->input.size == 0)
		w->input = bytes_of(w->buffer, trace_read(w->target.trace.source.ring, &w->from, w->buffer,
							  sizeof(w->buffer), &w->lost_bytes));
	return trace_next_noted(&w->input, &w->head, &w->endpoints, &w->kept, &w->notes);
}

/* As target_pump: these go out in one send. */
static void send_all(struct world *w, const struct bytes *parts, uint32_t count)
{
	struct target *t = &w->target;

	t->iov_count = count;
	for (uint32_t i = 0; i < count; i++)
		t->iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)parts[i].ptr,
					   .iov_len = parts[i].size};
	target_trace_sent(t);
	for (uint32_t i = 0; i < count; i++)
		t->stream.sent_bytes += parts[i].size;
}

/* As the stream: `more` bytes of `all` have come in, and what is not consumed is shown again. */
static void come(struct world *w, struct bytes all, size_t consumed, size_t more)
{
	struct target *t = &w->target;

	t->stream.received_bytes += more;
	target_trace_received(t, bytes_of(all.ptr + consumed, t->stream.received_bytes - consumed));
}

/* A PUBLISH of QoS 0 with a topic of one byte: size bytes in all, 130 or less. */
static struct bytes message(uint8_t *out, size_t size)
{
	memset(out, 'p', size);
	out[0] = 0x30;
	out[1] = (uint8_t)(size - 2);
	out[2] = 0;
	out[3] = 1;
	out[4] = 't';
	return bytes_of(out, size);
}

static const uint8_t connect_packet[] = {0x10, 25,  '\0', 4, 'M', 'Q', 'T', 'T', 4,   0xc2, 0,   60,  0,  2,
					 'c',  '1', 0,    1, 'u', 0,   6,   's', 'e', 'c',  'r', 'e', 't'};

TEST(the_password_of_a_connect_is_not_recorded)
{
	struct world *w = world_open(true);
	struct bytes all = bytes_of(connect_packet, sizeof(connect_packet));

	send_all(w, &all, 1);
	EXPECT(next(w));
	EXPECT_EQ(w->head.kind, TRACE_SENT);
	EXPECT_EQ(w->head.channel_idx, 3);
	EXPECT_EQ(w->kept.size, sizeof(connect_packet));
	EXPECT_MEM(w->kept.ptr, connect_packet, sizeof(connect_packet) - 6);
	EXPECT_MEM(w->kept.ptr + sizeof(connect_packet) - 6, "******", 6);
	EXPECT_EQ(memmem(w->target.trace.source.ring->words, 64 << 10, "secret", 6) == NULL, 1);
	EXPECT(memmem(w->target.trace.source.ring->segment, TRACE_SEGMENT_BYTES, "secret", 6) == NULL);
	EXPECT(!next(w));
	world_close(w);
}

TEST(packets_of_a_send_share_a_record_until_one_is_cut)
{
	struct world *w = world_open(true);
	uint8_t a[20], b[100], d[30];
	struct bytes parts[] = {message(a, 20), message(b, 100), message(d, 30)};

	send_all(w, parts, 3);
	EXPECT(next(w));
	EXPECT_EQ(w->head.sequence, 0);
	EXPECT_EQ(w->head.length_bytes, 120);
	EXPECT_EQ(w->kept.size, 20 + SNAP);
	EXPECT_MEM(w->kept.ptr, a, 20);
	EXPECT_MEM(w->kept.ptr + 20, b, SNAP);
	EXPECT(next(w));
	EXPECT_EQ(w->head.sequence, 120);
	EXPECT_EQ(w->head.length_bytes, 30);
	EXPECT_EQ(w->kept.size, 30);
	EXPECT(!next(w));
	world_close(w);
}

/* Above what one record takes, a new one begins: with a whole packet. */
TEST(a_large_send_is_several_records)
{
	struct world *w = world_open(true);
	uint8_t all[60 * 40];
	uint32_t total = 0, count = 0;

	for (size_t i = 0; i < 60; i++)
		(void)message(all + i * 40, 40);
	struct bytes one = bytes_of(all, sizeof(all));

	send_all(w, &one, 1);
	for (; next(w); count++) {
		EXPECT_EQ(w->head.sequence, total);
		EXPECT_EQ(w->head.length_bytes, w->kept.size);
		EXPECT_EQ(w->kept.size % 40, 0);
		total += w->head.length_bytes;
	}
	EXPECT_EQ(count, 2);
	EXPECT_EQ(total, sizeof(all));
	world_close(w);
}

static uint32_t note_of(const struct world *w, uint32_t i)
{
	uint32_t note;

	EXPECT(i * sizeof(note) + sizeof(note) <= w->notes.size);
	memcpy(&note, w->notes.ptr + i * sizeof(note), sizeof(note));
	return note;
}

static const uint8_t only_alias[] = {0x30, 7, 0, 0, 3, 0x23, 0, 1, 'x'};

TEST(gathered_messages_are_each_noted_with_their_channel)
{
	struct world *w = world_open(true);
	uint8_t all[2 * sizeof(only_alias) + 20];
	struct bytes one = bytes_of(all, sizeof(all));

	memcpy(all, only_alias, sizeof(only_alias));
	(void)message(all + sizeof(only_alias), 20);
	memcpy(all + sizeof(only_alias) + 20, only_alias, sizeof(only_alias));
	for (uint32_t i = 0; i < 3; i++)
		w->records[i].channel_idx = 70 + i;
	w->target.batch_count = 3;
	send_all(w, &one, 1);
	EXPECT(next(w));
	EXPECT_EQ(w->kept.size, sizeof(all));
	EXPECT_EQ(w->head.note_count, 2);
	EXPECT_EQ(note_of(w, 0), 70);
	EXPECT_EQ(note_of(w, 1), 72);
	EXPECT(!next(w));
	world_close(w);
}

TEST(a_message_that_has_only_an_alias_is_noted_with_its_channel)
{
	static const uint8_t ping[] = {0xc0, 0};
	struct world *w = world_open(true);
	uint8_t named[20];
	struct bytes parts[] = {bytes_of(ping, 2), bytes_of(only_alias, sizeof(only_alias)),
				message(named, sizeof(named)), bytes_of(only_alias, sizeof(only_alias))};

	for (uint32_t i = 0; i < 3; i++)
		w->records[i].channel_idx = 70 + i;
	w->target.batch_count = 3;
	w->target.control_bytes = 2; /* the first part is what the session says itself */
	send_all(w, parts, 4);
	EXPECT(next(w));
	EXPECT_EQ(w->kept.size, 2 + 2 * sizeof(only_alias) + sizeof(named));
	EXPECT_EQ(w->head.note_count, 2);
	EXPECT_EQ(note_of(w, 0), 70);
	EXPECT_EQ(note_of(w, 1), 72);
	EXPECT(!next(w));
	world_close(w);
}

TEST(more_notes_than_a_record_takes_are_in_the_next)
{
	struct world *w = world_open(true);
	struct bytes parts[TRACE_NOTES_MAX + 1];

	for (uint32_t i = 0; i < ARRAY_COUNT(parts); i++) {
		parts[i] = bytes_of(only_alias, sizeof(only_alias));
		w->records[i].channel_idx = i;
	}
	w->target.batch_count = ARRAY_COUNT(parts);
	send_all(w, parts, ARRAY_COUNT(parts));
	EXPECT(next(w));
	EXPECT_EQ(w->head.note_count, TRACE_NOTES_MAX);
	EXPECT_EQ(w->kept.size, TRACE_NOTES_MAX * sizeof(only_alias));
	EXPECT(next(w));
	EXPECT_EQ(w->head.note_count, 1);
	EXPECT_EQ(note_of(w, 0), TRACE_NOTES_MAX);
	EXPECT_EQ(w->kept.size, sizeof(only_alias));
	EXPECT(!next(w));
	world_close(w);
}

TEST(what_is_noted_while_it_is_frozen_is_forgotten)
{
	struct world *w = world_open(true);
	struct bytes part = bytes_of(only_alias, sizeof(only_alias));

	w->target.batch_count = 1;
	w->publisher.turn = (struct turn){.mono = {.ns = 1000}, .read = true};
	trace_freeze(&w->shared, (struct mono){.ns = 1});
	send_all(w, &part, 1);
	EXPECT(!next(w));
	trace_resume(&w->shared);
	send_all(w, &part, 1);
	EXPECT(next(w));
	EXPECT_EQ(w->head.note_count, 1);
	world_close(w);
}

TEST(a_packet_that_comes_in_pieces_is_recorded_once)
{
	struct world *w = world_open(true);
	uint8_t all[50];
	struct bytes packet = message(all, 50);

	come(w, packet, 0, 1);
	EXPECT(!next(w));
	come(w, packet, 0, 20);
	EXPECT(!next(w));
	come(w, packet, 0, 29);
	EXPECT(next(w));
	EXPECT_EQ(w->head.kind, TRACE_RECEIVED);
	EXPECT_EQ(w->head.sequence, 0);
	EXPECT_EQ(w->head.length_bytes, 50);
	EXPECT_EQ(w->kept.size, 50);
	come(w, packet, 0, 0); /* the session had no room for it: it comes again */
	EXPECT(!next(w));
	world_close(w);
}

TEST(a_message_is_recorded_when_what_is_kept_of_it_is_there)
{
	struct world *w = world_open(true);
	uint8_t all[100 + 4] = {0};
	static const uint8_t ack[] = {0x40, 2, 0, 1};

	(void)message(all, 100);
	memcpy(all + 100, ack, 4);
	come(w, bytes_of(all, sizeof(all)), 0, SNAP);
	EXPECT(next(w));
	EXPECT_EQ(w->head.length_bytes, 100);
	EXPECT_EQ(w->kept.size, SNAP);
	come(w, bytes_of(all, sizeof(all)), 0, 100 - SNAP + 2);
	EXPECT(!next(w));
	come(w, bytes_of(all, sizeof(all)), 100, 2);
	EXPECT(next(w));
	EXPECT_EQ(w->head.sequence, 100);
	EXPECT_MEM(w->kept.ptr, ack, 4);
	world_close(w);
}

TEST(what_is_turned_on_later_begins_with_the_next_packet)
{
	struct world *w = world_open(false);
	uint8_t all[90];

	for (size_t i = 0; i < 3; i++)
		(void)message(all + 30 * i, 30);
	w->target.stream.received_bytes = 60; /* nobody asked while it was off; two packets are consumed */
	EXPECT(!trace_is_on(&w->target.trace.source));
	trace_set(&w->target.trace.source, true);
	come(w, bytes_of(all, sizeof(all)), 60, 30);
	EXPECT(next(w));
	EXPECT_EQ(w->head.sequence, 60);
	EXPECT_EQ(w->kept.size, 30);
	EXPECT(!next(w));
	world_close(w);
}

/* What is no MQTT is recorded as it is: it may say who is at the other end. */
TEST(garbage_is_recorded_as_it_comes)
{
	struct world *w = world_open(true);
	static const uint8_t http[] = "\x00HTTP/1.1 400 Bad Request\r\n";

	come(w, bytes_of(http, sizeof(http)), 0, sizeof(http));
	EXPECT(next(w));
	EXPECT_EQ(w->kept.size, sizeof(http));
	EXPECT_MEM(w->kept.ptr, http, sizeof(http));
	world_close(w);
}

TEST(what_nobody_looks_at_any_more_is_recorded_in_pieces)
{
	struct world *w = world_open(true);
	uint8_t all[30];
	struct bytes packet = message(all, 30);

	come(w, packet, 0, 1);
	EXPECT(!next(w));
	target_trace_discarded(&w->target, bytes_of(packet.ptr, 1));
	EXPECT(next(w));
	EXPECT_EQ(w->kept.size, 1);
	come(w, packet, 1, 29);
	EXPECT(next(w));
	EXPECT_EQ(w->head.sequence, 1);
	EXPECT_EQ(w->kept.size, 29);
	EXPECT(!next(w));
	world_close(w);
}

/* --- a line ------------------------------------------------------------------------------------------------------------ */

TEST(what_a_line_sends_is_recorded_in_segments_with_its_place)
{
	struct sampler sampler = {0};
	struct line l = {.kind = CFG_LINE_MODBUS_TCP, .sampler = &sampler};
	struct trace_switch shared;
	static uint8_t bytes[TRACE_SEGMENT_BYTES + 100], buffer[64 << 10];
	uint64_t from = 0, lost_bytes;
	struct trace_record head;
	struct bytes endpoints, kept, input;

	trace_switch_init(&shared, false, 0);
	EXPECT_EQ(trace_open(&l.trace.ring, TRACE_MEMORY_BYTES_MIN, &shared), 0);
	l.modbus = calloc(1, sizeof(*l.modbus));
	l.modbus->stream.sent_bytes = 1000;
	l.modbus->stream.received_bytes = 50;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	line_trace_sent(&l, bytes_of(bytes, sizeof(bytes)));
	line_trace_received(&l, bytes_of(bytes, 20));
	input = bytes_of(buffer, trace_read(l.trace.ring, &from, buffer, sizeof(buffer), &lost_bytes));
	EXPECT(trace_next(&input, &head, &endpoints, &kept));
	EXPECT_EQ(head.sequence, 1000);
	EXPECT_EQ(head.acknowledged, 50);
	EXPECT_EQ(kept.size, TRACE_SEGMENT_BYTES);
	EXPECT(trace_next(&input, &head, &endpoints, &kept));
	EXPECT_EQ(head.sequence, 1000 + TRACE_SEGMENT_BYTES);
	EXPECT_EQ(kept.size, 100);
	EXPECT_MEM(kept.ptr, bytes + TRACE_SEGMENT_BYTES, 100);
	EXPECT(trace_next(&input, &head, &endpoints, &kept));
	EXPECT_EQ(head.kind, TRACE_RECEIVED);
	EXPECT_EQ(head.sequence, 30);
	EXPECT_EQ(head.acknowledged, 1000);
	EXPECT(!trace_next(&input, &head, &endpoints, &kept));
	trace_close(l.trace.ring);
	free(l.modbus);
	memory_counts_clear();
}
