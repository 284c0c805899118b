/* Records of a flight recorder as packets: headers of IP and TCP, handshakes and ends, frames of serial lines. */
#include "tools/capture.h"

#include <errno.h>
#include <string.h>

#include "tests/test.h"

#define IP4 12u
#define IP6 36u

static const uint8_t ip4_ends[IP4] = {10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0x22, 0xb3}; /* 40000, 8883 */
static const uint8_t ip6_ends[IP6] = {
	[0] = 0x20, [15] = 1, [16] = 0x20, [31] = 2, [32] = 0x9c, [33] = 0x40, [34] = 0x07, [35] = 0x5b};

struct bench {
	struct capture_stream s;
	uint8_t out[CAPTURE_BYTES_MAX];
	struct writer w;
	struct reader r; /* of what was written */
	struct bytes comment;
};

/* A packet that was read back. */
struct seen {
	uint32_t direction, length_bytes;
	struct bytes packet;
	char comment[PCAPNG_TEXT_BYTES_MAX + 1];
};

static void bench_init(struct bench *b, enum capture_protocol protocol)
{
	capture_stream_init(&b->s, protocol, 5);
	b->s.is_open = true; /* but for where the beginning matters */
	b->comment = (struct bytes){0};
}

static void begin(struct bench *b)
{
	b->w = writer_of(b->out, sizeof(b->out));
}

static void end(struct bench *b)
{
	EXPECT(!b->w.failed);
	b->r = reader_of(bytes_of(b->out, (size_t)(b->w.at - b->out)));
}

/* One record into packets. */
static void put(struct bench *b, struct trace_record head, struct bytes endpoints, struct bytes kept)
{
	begin(b);
	head.endpoint_bytes = (uint8_t)endpoints.size;
	head.kept_bytes = (uint32_t)kept.size;
	if (head.length_bytes == 0)
		head.length_bytes = (uint32_t)kept.size;
	const struct capture_record r = {.head = head,
					 .endpoints = endpoints,
					 .kept = kept,
					 .comment = b->comment,
					 .time = {.ns = 77}};

	EXPECT_EQ(capture_record(&b->s, &r, &b->w), 0);
	end(b);
}

static bool next(struct bench *b, struct seen *out)
{
	*out = (struct seen){0};
	if (reader_left(&b->r) == 0)
		return false;
	EXPECT_EQ(read_u32(&b->r), 6);
	uint32_t size = read_u32(&b->r);
	struct reader block = reader_of(read_bytes(&b->r, size - 8));

	EXPECT_EQ(read_u32(&block), 5); /* the interface */
	EXPECT_EQ(read_u32(&block), 0);
	EXPECT_EQ(read_u32(&block), 77);
	uint32_t kept = read_u32(&block);

	out->length_bytes = read_u32(&block);
	out->packet = read_bytes(&block, kept);
	(void)read_bytes(&block, (4 - kept % 4) % 4);
	for (;;) {
		uint16_t code = read_u16(&block), n = read_u16(&block);
		struct bytes value = read_bytes(&block, n);

		EXPECT(!block.failed);
		if (code == 0)
			break;
		(void)read_bytes(&block, (4 - n % 4) % 4);
		if (code == 1)
			memcpy(out->comment, value.ptr, value.size);
		if (code == 2)
			out->direction = value.ptr[3];
	}
	return true;
}

struct tcp {
	uint16_t from_port, to_port, ip_bytes;
	uint32_t sequence, acknowledged;
	uint8_t flags;
	uint8_t from_last, to_last; /* of the addresses, their last bytes */
	struct bytes payload;
};

static uint32_t ones_sum(struct bytes b)
{
	struct reader r = reader_of(b);
	uint32_t sum = 0;

	while (reader_left(&r) > 0)
		sum += read_u16(&r);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static struct tcp tcp_of(const struct seen *p)
{
	struct reader r = reader_of(p->packet);
	struct tcp t = {0};

	if (*p->packet.ptr == 0x45) {
		EXPECT_EQ(ones_sum(bytes_of(p->packet.ptr, 20)), 0xffff); /* the checksum is right */
		(void)read_u16(&r);
		t.ip_bytes = read_u16(&r);
		(void)read_u32(&r);
		EXPECT_EQ(read_u16(&r) & 0xff, 6);
		(void)read_u16(&r);
		t.from_last = read_bytes(&r, 4).ptr[3];
		t.to_last = read_bytes(&r, 4).ptr[3];
	} else {
		EXPECT_EQ(read_u32(&r), 0x60000000);
		t.ip_bytes = read_u16(&r);
		EXPECT_EQ(read_u16(&r) >> 8, 6);
		t.from_last = read_bytes(&r, 16).ptr[15];
		t.to_last = read_bytes(&r, 16).ptr[15];
	}
	t.from_port = read_u16(&r);
	t.to_port = read_u16(&r);
	t.sequence = read_u32(&r);
	t.acknowledged = read_u32(&r);
	EXPECT_EQ(read_u8(&r), 0x50);
	t.flags = read_u8(&r);
	(void)read_bytes(&r, 6);
	EXPECT(!r.failed);
	t.payload = read_bytes(&r, reader_left(&r));
	return t;
}

static struct tcp next_tcp(struct bench *b, struct seen *p)
{
	EXPECT(next(b, p));
	return tcp_of(p);
}

/* --- connections ------------------------------------------------------------------------------------------------------- */

TEST(what_was_sent_is_a_segment_at_its_place_to_the_port_of_the_protocol)
{
	struct bench b;
	struct seen p;
	struct tcp t;

	bench_init(&b, CAPTURE_MQTT);
	put(&b, (struct trace_record){.kind = TRACE_SENT, .sequence = 100, .acknowledged = 7},
	    bytes_of(ip4_ends, IP4), bytes_of_text("hello"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(p.direction, PCAPNG_OUTBOUND);
	EXPECT_EQ(p.length_bytes, 45);
	EXPECT_EQ(t.ip_bytes, 45);
	EXPECT_EQ(t.from_last, 1);
	EXPECT_EQ(t.to_last, 2);
	EXPECT_EQ(t.from_port, 40000);
	EXPECT_EQ(t.to_port, 1883);
	EXPECT_EQ(t.sequence, 101);
	EXPECT_EQ(t.acknowledged, 8);
	EXPECT_EQ(t.flags, 0x18);
	EXPECT_EQ(t.payload.size, 5);
	EXPECT_MEM(t.payload.ptr, "hello", 5);
	EXPECT(!next(&b, &p));
}

TEST(what_was_received_goes_the_other_way)
{
	struct bench b;
	struct seen p;
	struct tcp t;

	bench_init(&b, CAPTURE_MODBUS_TCP);
	put(&b, (struct trace_record){.kind = TRACE_RECEIVED, .sequence = 9, .acknowledged = 12},
	    bytes_of(ip6_ends, IP6), bytes_of_text("abc"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(p.direction, PCAPNG_INBOUND);
	EXPECT_EQ(p.length_bytes, 63);
	EXPECT_EQ(t.ip_bytes, 23);
	EXPECT_EQ(t.from_last, 2);
	EXPECT_EQ(t.to_last, 1);
	EXPECT_EQ(t.from_port, 502);
	EXPECT_EQ(t.to_port, 40000);
	EXPECT_EQ(t.sequence, 10);
	EXPECT_EQ(t.acknowledged, 13);
	EXPECT_MEM(t.payload.ptr, "abc", 3);
}

TEST(what_was_not_kept_counts_in_the_length)
{
	struct bench b;
	struct seen p;
	struct tcp t;

	bench_init(&b, CAPTURE_MQTT);
	put(&b, (struct trace_record){.kind = TRACE_SENT, .length_bytes = 1000}, bytes_of(ip4_ends, IP4),
	    bytes_of_text("head"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(p.packet.size, 44);
	EXPECT_EQ(p.length_bytes, 1040);
	EXPECT_EQ(t.ip_bytes, 1040);
	put(&b, (struct trace_record){.kind = TRACE_SENT, .length_bytes = 1u << 28}, bytes_of(ip4_ends, IP4),
	    bytes_of_text("head"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(t.ip_bytes, 65535); /* no packet is larger */
	EXPECT_EQ(p.length_bytes, (1u << 28) + 40);
	EXPECT_EQ(p.packet.size, 44);
}

TEST(a_connection_that_opens_is_a_handshake_that_tells_the_true_port)
{
	static const uint8_t flags[] = {0x02, 0x12, 0x10};
	struct bench b;
	struct seen p;

	bench_init(&b, CAPTURE_MQTT);
	put(&b, (struct trace_record){.kind = TRACE_OPENED}, bytes_of(ip4_ends, IP4),
	    bytes_of_text("connected to b1:8883"));
	for (size_t i = 0; i < 3; i++) {
		struct tcp t = next_tcp(&b, &p);

		EXPECT_EQ(t.flags, flags[i]);
		EXPECT_EQ(t.sequence, i == 2);
		EXPECT_EQ(t.acknowledged, i > 0);
		EXPECT_EQ(t.from_port, i == 1 ? 1883 : 40000);
		EXPECT_EQ(t.payload.size, 0);
		if (i == 0) {
			EXPECT(strstr(p.comment, "connected to b1:8883; port 8883 ") == p.comment);
		} else {
			EXPECT_TEXT(p.comment, "");
		}
	}
	EXPECT(!next(&b, &p));
}

TEST(a_connection_ends_with_the_flag_of_who_ended_it)
{
	static const struct {
		enum trace_kind kind;
		uint8_t flags;
		bool is_ours;
	} ends[] = {{TRACE_ENDED_BY_US, 0x11, true},
		    {TRACE_ENDED_BY_PEER, 0x11, false},
		    {TRACE_BROKEN, 0x14, false}};

	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		struct bench b;
		struct seen p;
		struct tcp t;

		bench_init(&b, CAPTURE_MQTT);
		put(&b, (struct trace_record){.kind = ends[i].kind, .sequence = 100, .acknowledged = 50},
		    bytes_of(ip4_ends, IP4), bytes_of_text("why"));
		t = next_tcp(&b, &p);
		EXPECT_EQ(t.flags, ends[i].flags);
		EXPECT_EQ(p.direction, ends[i].is_ours ? PCAPNG_OUTBOUND : PCAPNG_INBOUND);
		EXPECT_EQ(t.from_port, ends[i].is_ours ? 40000 : 1883);
		EXPECT_EQ(t.sequence, ends[i].is_ours ? 101 : 51);
		EXPECT_EQ(t.acknowledged, ends[i].is_ours ? 51 : 101);
		EXPECT_EQ(t.payload.size, 0);
		EXPECT_TEXT(p.comment, "why");
		EXPECT(!next(&b, &p));
	}
}

TEST(a_connection_that_never_was_is_a_syn_and_its_refusal)
{
	struct bench b;
	struct seen p;
	struct tcp t;

	bench_init(&b, CAPTURE_MQTT);
	b.s.is_open = false;
	put(&b, (struct trace_record){.kind = TRACE_BROKEN}, (struct bytes){0},
	    bytes_of_text("no such host"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(t.flags, 0x02);
	t = next_tcp(&b, &p);
	EXPECT_EQ(t.flags, 0x14);
	EXPECT_TEXT(p.comment, "no such host");
	EXPECT(!next(&b, &p));
	/* One that opened, and broke before a byte went, is not that. */
	put(&b, (struct trace_record){.kind = TRACE_OPENED}, bytes_of(ip4_ends, IP4), bytes_of_text(""));
	put(&b, (struct trace_record){.kind = TRACE_BROKEN}, bytes_of(ip4_ends, IP4), bytes_of_text("x"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(t.flags, 0x14);
	EXPECT(!next(&b, &p));
}

/* Wireshark takes what it knows nothing of for 3.1.1, and properties for payload. */
TEST(a_connection_without_its_beginning_has_a_connect_that_says_it_is_made_up)
{
	static const uint8_t golden[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 0};
	static const uint8_t connect[] = {0x10, 0};
	struct bench b;
	struct seen p;
	struct tcp t;

	for (size_t i = 0; i < 2; i++) {
		bench_init(&b, CAPTURE_MQTT);
		b.s.is_open = false;
		b.comment = bytes_of_text("of the message");
		put(&b,
		    (struct trace_record){.kind = i ? TRACE_RECEIVED : TRACE_SENT,
					  .sequence = i ? 30 : 100,
					  .acknowledged = i ? 100 : 30},
		    bytes_of(ip4_ends, IP4), bytes_of_text("xy"));
		t = next_tcp(&b, &p);
		EXPECT_EQ(p.direction, PCAPNG_OUTBOUND);
		EXPECT_EQ(t.sequence + sizeof(golden), 101); /* right before what went out next */
		EXPECT_EQ(t.acknowledged, 31);
		EXPECT_EQ(t.payload.size, sizeof(golden));
		EXPECT_MEM(t.payload.ptr, golden, sizeof(golden));
		EXPECT(strstr(p.comment, "made up") == p.comment);
		t = next_tcp(&b, &p);
		EXPECT_EQ(t.sequence, i ? 31 : 101);
		EXPECT_TEXT(p.comment, "of the message");
		put(&b, (struct trace_record){.kind = TRACE_SENT, .sequence = 102}, bytes_of(ip4_ends, IP4),
		    bytes_of_text("xy"));
		(void)next_tcp(&b, &p);
		EXPECT(!next(&b, &p));
	}
	/* With its beginning, or the CONNECT, none is needed; nor for Modbus. */
	bench_init(&b, CAPTURE_MQTT);
	b.s.is_open = false;
	put(&b, (struct trace_record){.kind = TRACE_SENT}, bytes_of(ip4_ends, IP4), bytes_of(connect, 2));
	(void)next_tcp(&b, &p);
	EXPECT(!next(&b, &p));
	bench_init(&b, CAPTURE_MODBUS_TCP);
	b.s.is_open = false;
	put(&b, (struct trace_record){.kind = TRACE_SENT}, bytes_of(ip4_ends, IP4), bytes_of_text("xy"));
	(void)next_tcp(&b, &p);
	EXPECT(!next(&b, &p));
}

TEST(of_version_3_1_1_the_made_up_connect_has_no_properties)
{
	static const uint8_t golden[] = {0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0};
	struct bench b;
	struct seen p;
	struct tcp t;

	bench_init(&b, CAPTURE_MQTT);
	b.s.is_open = false;
	b.s.mqtt_level = 4;
	put(&b, (struct trace_record){.kind = TRACE_SENT}, bytes_of(ip4_ends, IP4), bytes_of_text("xy"));
	t = next_tcp(&b, &p);
	EXPECT_EQ(t.payload.size, sizeof(golden));
	EXPECT_MEM(t.payload.ptr, golden, sizeof(golden));
}

/* --- serial lines ------------------------------------------------------------------------------------------------------ */

static const uint8_t question[] = {0x03, 0x03, 0, 0, 0, 1, 0x85, 0xe8};
static const uint8_t answer[] = {0x03, 0x03, 0x02, 0x04, 0xd2, 0x43, 0x19};

/* The frame behind the tags, which name the dissector and both sides. */
static struct bytes frame_of(const struct seen *p, const char *dissector, bool is_question)
{
	struct reader r = reader_of(p->packet);
	struct bytes name, frame;

	EXPECT_EQ(read_u16(&r), 12);
	name = read_bytes(&r, read_u16(&r));
	EXPECT_EQ(name.size % 4, 0);
	EXPECT_EQ(strnlen((const char *)name.ptr, name.size), strlen(dissector));
	EXPECT_MEM(name.ptr, dissector, strlen(dissector));
	EXPECT_EQ(read_u32(&r), 24u << 16 | 4);
	EXPECT_EQ(read_u32(&r), 2);
	EXPECT_EQ(read_u32(&r), 25u << 16 | 4);
	EXPECT_EQ(read_u32(&r) == 0, !is_question);
	EXPECT_EQ(read_u32(&r), 26u << 16 | 4);
	EXPECT_EQ(read_u32(&r) == 0, is_question);
	EXPECT_EQ(read_u32(&r), 0);
	frame = read_bytes(&r, reader_left(&r));
	EXPECT(!r.failed);
	return frame;
}

static void expect_frame(struct bench *b, const void *bytes, size_t size, bool is_question)
{
	struct seen p;
	struct bytes frame;

	EXPECT(next(b, &p));
	frame = frame_of(&p, "mbrtu", is_question);
	EXPECT_EQ(p.direction, is_question ? PCAPNG_OUTBOUND : PCAPNG_INBOUND);
	EXPECT_EQ(frame.size, size);
	EXPECT_MEM(frame.ptr, bytes, size);
}

static void put_serial(struct bench *b, enum trace_kind kind, const void *bytes, size_t size)
{
	put(b, (struct trace_record){.kind = (uint8_t)kind}, (struct bytes){0}, bytes_of(bytes, size));
}

TEST(an_answer_in_pieces_is_one_frame)
{
	struct bench b;
	struct seen p;

	bench_init(&b, CAPTURE_MODBUS_RTU);
	put_serial(&b, TRACE_SENT, question, sizeof(question));
	expect_frame(&b, question, sizeof(question), true);
	put_serial(&b, TRACE_RECEIVED, answer, 1);
	EXPECT(!next(&b, &p));
	put_serial(&b, TRACE_RECEIVED, answer + 1, 4);
	EXPECT(!next(&b, &p));
	put_serial(&b, TRACE_RECEIVED, answer + 5, 2);
	expect_frame(&b, answer, sizeof(answer), false);
	EXPECT(!next(&b, &p));
}

TEST(what_never_becomes_a_frame_comes_before_the_next_question_or_at_the_end)
{
	struct bench b;
	struct seen p;

	bench_init(&b, CAPTURE_MODBUS_RTU);
	put_serial(&b, TRACE_RECEIVED, answer, 3);
	put_serial(&b, TRACE_SENT, question, sizeof(question));
	expect_frame(&b, answer, 3, false);
	expect_frame(&b, question, sizeof(question), true);
	put_serial(&b, TRACE_RECEIVED, answer, 2);
	EXPECT(!next(&b, &p));
	begin(&b);
	EXPECT_EQ(capture_end(&b.s, &b.w), 0);
	end(&b);
	expect_frame(&b, answer, 2, false);
	begin(&b);
	EXPECT_EQ(capture_end(&b.s, &b.w), 0);
	end(&b);
	EXPECT(!next(&b, &p));
}

TEST(noise_without_end_is_cut_where_no_frame_is_longer)
{
	static const uint8_t noise[TRACE_SEGMENT_BYTES] = {1, 2, 3};
	struct bench b;

	bench_init(&b, CAPTURE_MODBUS_RTU);
	put_serial(&b, TRACE_RECEIVED, noise, sizeof(noise));
	expect_frame(&b, noise, 256, false);
}

TEST(a_port_that_opens_is_a_line_of_text)
{
	struct bench b;
	struct seen p;
	struct bytes text;

	bench_init(&b, CAPTURE_MODBUS_RTU);
	put_serial(&b, TRACE_OPENED, "opened /dev/ttyS1", 17);
	EXPECT(next(&b, &p));
	text = frame_of(&p, "data-text-lines", true);
	EXPECT_EQ(text.size, 17);
	EXPECT_MEM(text.ptr, "opened /dev/ttyS1", 17);
	EXPECT_TEXT(p.comment, "opened /dev/ttyS1");
}

TEST(a_writer_that_is_full_is_told)
{
	struct bench b;
	const struct capture_record r = {.head = {.kind = TRACE_SENT, .kept_bytes = 5, .length_bytes = 5},
					 .kept = bytes_of_text("hello")};
	uint8_t small[40];
	struct writer w = writer_of(small, sizeof(small));

	bench_init(&b, CAPTURE_MQTT);
	EXPECT_EQ(capture_record(&b.s, &r, &w), -EMSGSIZE);
}
