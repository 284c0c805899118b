/* tests/unit/modbus_world.h - a line with its units in scripted time, for the tests of the master.
 *
 * Purpose:  performs the master's actions, keeps what was sent and said, and answers for units of a described nature.
 * Owner:    one test; static memory, each test is a process of its own.
 */
#ifndef TESTS_UNIT_MODBUS_WORLD_H
#define TESTS_UNIT_MODBUS_WORLD_H

#include "tests/test.h"

#include <string.h>

#include "proto/modbus_master.h"

#define LOG_MAX 4096
#define MS(n)   ((n)*NS_PER_MS)

struct sent {
	struct mono at;
	uint32_t block_idx;
	uint8_t frame[MODBUS_TCP_FRAME_BYTES_MAX];
	size_t size_bytes;
	uint16_t transaction_id; /* TCP */
	uint8_t unit, function;
	uint16_t address, count;
};

struct said {
	struct mono at;
	enum modbus_action_kind kind;
	uint32_t block_idx;
	enum modbus_failure failure;
	uint8_t exception;
	uint16_t first; /* VALUES: the first register */
};

/* How units 0..255 behave in world_run. */
struct nature {
	bool dead;
	uint64_t thinks_ns;
	uint16_t illegal_first, illegal_count; /* reads that touch these: exception 02 */
	uint8_t exception;                     /* always; 0: none */
};

static struct {
	struct modbus_master m;
	struct mono now;
	struct sent sent[LOG_MAX];
	struct said said[LOG_MAX];
	uint32_t sent_count, said_count, answered_count;
	struct nature natures[256];
} world;

static uint8_t world_memory[1 << 18] __attribute__((aligned(64)));

static inline struct modbus_item item_of(uint32_t device_idx, uint16_t address, uint16_t count,
					 uint64_t period_ns)
{
	return (struct modbus_item){.device_idx = device_idx,
				    .space = ADDRESS_HOLDING,
				    .address = address,
				    .count = count,
				    .period_ns = period_ns};
}

static inline void world_init(struct modbus_master_config config)
{
	memset(&world, 0, sizeof(world));
	world.now.ns = NS_PER_S;
	if (config.framing == MODBUS_FRAMING_RTU)
		config.timing = modbus_rtu_timing(19200, 11);
	EXPECT_EQ(modbus_master_init(&world.m, &config, world_memory, sizeof(world_memory), world.now), 0);
}

static inline void world_note(const struct modbus_action *a)
{
	if (a->kind == MODBUS_ACTION_SEND) {
		struct sent *s = &world.sent[world.sent_count++];
		size_t at = world.m.config.framing == MODBUS_FRAMING_TCP ? 6 : 0;

		EXPECT_LE(world.sent_count, LOG_MAX);
		*s = (struct sent){.at = world.now, .block_idx = a->block_idx, .size_bytes = a->bytes.size};
		memcpy(s->frame, a->bytes.ptr, a->bytes.size);
		s->transaction_id = (uint16_t)(s->frame[0] << 8 | s->frame[1]);
		s->unit = s->frame[at];
		s->function = s->frame[at + 1];
		s->address = (uint16_t)(s->frame[at + 2] << 8 | s->frame[at + 3]);
		s->count = (uint16_t)(s->frame[at + 4] << 8 | s->frame[at + 5]);
		return;
	}
	EXPECT_LE(world.said_count + 1, LOG_MAX);
	world.said[world.said_count++] = (struct said){
		.at = world.now,
		.kind = a->kind,
		.block_idx = a->block_idx,
		.failure = a->failure,
		.exception = a->exception,
		.first = a->kind == MODBUS_ACTION_VALUES ? (uint16_t)(a->bytes.ptr[0] << 8 | a->bytes.ptr[1])
							 : 0,
	};
}

static inline void world_tick(void)
{
	struct modbus_action a;
	int rounds = 0;

	while (modbus_master_tick(&world.m, world.now, &a)) {
		world_note(&a);
		EXPECT_LE(++rounds, 10000);
	}
}

static inline void world_at(uint64_t ns_after_start)
{
	world.now.ns = NS_PER_S + ns_after_start;
	world_tick();
}

static inline void world_open(void)
{
	modbus_master_opened(&world.m, world.now);
	world_tick();
	if (world.m.config.framing == MODBUS_FRAMING_RTU) {
		world.now = mono_add(world.now, world.m.config.timing.t35_ns);
		world_tick();
	}
}

static inline void world_receive(const void *ptr, size_t size_bytes)
{
	struct bytes input = bytes_of(ptr, size_bytes);
	struct modbus_action a;

	while (modbus_master_receive(&world.m, &input, world.now, &a))
		world_note(&a);
	EXPECT_EQ(input.size, 0);
	world_tick();
}

/* The answer of a unit to a request: registers that hold their own address, or an exception. */
static inline size_t answer_to(const struct sent *s, uint8_t exception,
			       uint8_t out[MODBUS_TCP_FRAME_BYTES_MAX])
{
	uint8_t pdu_bytes[MODBUS_PDU_BYTES_MAX];
	struct writer pdu = writer_of(pdu_bytes, sizeof(pdu_bytes)),
		      w = writer_of(out, MODBUS_TCP_FRAME_BYTES_MAX);
	struct bytes body;

	write_u8(&pdu, (uint8_t)(s->function | (exception ? 0x80 : 0)));
	write_u8(&pdu, exception ? exception : (uint8_t)(s->count * 2));
	for (uint16_t i = 0; !exception && i < s->count; i++)
		write_u16(&pdu, (uint16_t)(s->address + i));
	body = bytes_of(pdu_bytes, (size_t)(pdu.at - pdu_bytes));
	if (world.m.config.framing == MODBUS_FRAMING_TCP) {
		struct modbus_tcp_frame f = {
			.transaction_id = s->transaction_id, .unit = s->unit, .pdu = body};

		EXPECT_EQ(modbus_tcp_encode(&f, &w), 0);
	} else {
		struct modbus_rtu_frame f = {.unit = s->unit, .pdu = body};

		EXPECT_EQ(modbus_rtu_encode(&f, &w), 0);
	}
	return (size_t)(w.at - out);
}

static inline void world_answer(const struct sent *s, uint8_t exception)
{
	uint8_t frame[MODBUS_TCP_FRAME_BYTES_MAX];

	world_receive(frame, answer_to(s, exception, frame));
}

static inline const struct sent *last_sent(void)
{
	EXPECT(world.sent_count > 0);
	return &world.sent[world.sent_count - 1];
}

static inline uint32_t said_count_of(enum modbus_action_kind kind, enum modbus_failure failure)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < world.said_count; i++)
		count += world.said[i].kind == kind && world.said[i].failure == failure;
	return count;
}

/* Virtual time: jumps from deadline to answer to deadline until the end. For one request on the way at a time. */
static inline void world_run(uint64_t ns_after_start)
{
	struct mono end = {.ns = NS_PER_S + ns_after_start};
	int still = 0;

	for (;;) {
		struct mono next = modbus_master_deadline(&world.m), answer_at = MONO_NEVER;
		const struct sent *s = world.sent_count ? last_sent() : NULL;
		const struct nature *n = s ? &world.natures[s->unit] : NULL;

		if (s && world.answered_count < world.sent_count && !n->dead)
			answer_at = mono_add(s->at, n->thinks_ns);
		next = mono_min(next, answer_at);
		if (next.ns > end.ns)
			break;
		still = next.ns <= world.now.ns ? still + 1 : 0;
		EXPECT_LE(still, 1000); /* time moves on */
		world.now.ns = max_u64(world.now.ns, next.ns);
		if (answer_at.ns == next.ns) {
			bool illegal = n->illegal_count && s->address < n->illegal_first + n->illegal_count &&
				       n->illegal_first < s->address + s->count;

			world.answered_count = world.sent_count;
			world_answer(s, n->exception ? n->exception : illegal ? 2 : 0);
		} else {
			world_tick();
		}
	}
	world.now = end;
	world_tick();
}

#endif
