/* Frames from a hostile line, in pieces of any size, through the master on both transports.
 *
 * The input is a script: a byte of framing and pipelining, then steps. A step is a byte: its lowest two bits choose
 * between time that passes, raw bytes, an answer to the last request (with a byte changed or not), and the loss of the
 * line; the rest is how much.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/modbus_master.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS 24u

static uint8_t memory[1 << 16] __attribute__((aligned(64)));
static struct modbus_item items[ITEMS];
static struct modbus_master m;
static struct mono now;
static uint8_t last_frame[MODBUS_TCP_FRAME_BYTES_MAX];
static size_t last_frame_bytes;

static void perform(const struct modbus_action *a)
{
	uint32_t sum = 0;

	switch (a->kind) {
	case MODBUS_ACTION_SEND:
		memcpy(last_frame, a->bytes.ptr, a->bytes.size);
		last_frame_bytes = a->bytes.size;
		break;
	case MODBUS_ACTION_VALUES: {
		const struct modbus_block *b = modbus_master_block(&m, a->block_idx);

		ASSERT(a->bytes.size == (address_is_bits(b->space) ? (b->count + 7u) / 8 : b->count * 2u));
		for (size_t i = 0; i < a->bytes.size; i++)
			sum += a->bytes.ptr[i]; /* reads them all under the sanitizer */
		break;
	}
	case MODBUS_ACTION_FAILED: ASSERT(a->failure != MODBUS_FAIL_NONE); break;
	case MODBUS_ACTION_RESET: ASSERT(!m.open); break;
	}
	ASSERT(sum <= 255u * 260u);
}

static void settle(void)
{
	struct modbus_action a;
	int rounds = 0;

	while (modbus_master_tick(&m, now, &a)) {
		perform(&a);
		ASSERT(++rounds < 10000);
	}
	ASSERT(m.block_count <= ITEMS);
	ASSERT(m.queue.count + m.outstanding == m.block_count);
}

static void receive(const uint8_t *ptr, size_t size)
{
	/* A copy of exactly this size: a read past it is seen. */
	uint8_t *copy = malloc(size ? size : 1);
	struct bytes input;
	struct modbus_action a;

	memcpy(copy, ptr, size);
	input = bytes_of(copy, size);
	while (modbus_master_receive(&m, &input, now, &a))
		perform(&a);
	ASSERT(input.size == 0);
	free(copy);
	settle();
}

/* A right answer to the last request, then perhaps spoilt. */
static void answer(uint8_t amount, uint8_t change)
{
	uint8_t pdu[MODBUS_PDU_BYTES_MAX] = {0}, frame[MODBUS_TCP_FRAME_BYTES_MAX];
	bool tcp = m.config.framing == MODBUS_FRAMING_TCP;
	const uint8_t *request = last_frame + (tcp ? 7 : 1);
	struct writer w = writer_of(frame, sizeof(frame));
	size_t count = (size_t)request[3] << 8 | request[4], data_bytes, frame_bytes;
	int rc;

	if (last_frame_bytes == 0)
		return;
	data_bytes = request[0] <= 2 ? (count + 7) / 8 : count * 2;
	pdu[0] = request[0];
	pdu[1] = (uint8_t)data_bytes;
	if (change & 1) {
		pdu[0] |= MODBUS_EXCEPTION_FLAG;
		pdu[1] = change >> 4;
		data_bytes = 0;
	}
	if (tcp) {
		struct modbus_tcp_frame f = {.transaction_id = (uint16_t)(last_frame[0] << 8 | last_frame[1]),
					     .unit = last_frame[6],
					     .pdu = bytes_of(pdu, 2 + data_bytes)};
		rc = modbus_tcp_encode(&f, &w);
	} else {
		struct modbus_rtu_frame f = {.unit = last_frame[0], .pdu = bytes_of(pdu, 2 + data_bytes)};

		rc = modbus_rtu_encode(&f, &w);
	}
	ASSERT(rc == 0);
	frame_bytes = (size_t)(w.at - frame);
	if (change & 2)
		frame[change % frame_bytes] ^= amount | 1;
	receive(frame, change & 4 ? min_size(amount, frame_bytes) : frame_bytes);
	if (change & 4)
		receive(frame + min_size(amount, frame_bytes), frame_bytes - min_size(amount, frame_bytes));
}

static void start(uint8_t how)
{
	struct modbus_device_config devices[3];
	struct modbus_master_config config = {
		.framing = how & 1 ? MODBUS_FRAMING_RTU : MODBUS_FRAMING_TCP,
		.outstanding_max = how & 1 ? 1 : 1 + (how >> 1) % MODBUS_OUTSTANDING_MAX,
		.timing = modbus_rtu_timing(19200, 11),
		.limits = {.gap_registers = how >> 5},
		.devices = devices,
		.device_count = 3,
		.items = items,
		.item_count = ITEMS,
	};
	int rc;

	for (uint32_t i = 0; i < 3; i++)
		devices[i] = (struct modbus_device_config){.unit = (uint8_t)(i + 1),
							   .timeout_ns = 50 * NS_PER_MS};
	for (uint32_t i = 0; i < ITEMS; i++)
		items[i] = (struct modbus_item){.device_idx = i % 3,
						.space = (enum address_space)(i / 3 % 4),
						.address = (uint16_t)(i * i),
						.count = i / 3 % 4 < 2 ? 1 : (uint16_t)(1 + i % 4),
						.period_ns = (i % 2 ? 100 : 250) * NS_PER_MS};
	now.ns = NS_PER_S;
	last_frame_bytes = 0;
	rc = modbus_master_init(&m, &config, memory, sizeof(memory), now);
	ASSERT(rc == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 1;

	if (size == 0 || size > 4096)
		return 0;
	start(data[0]);
	while (at < size) {
		uint8_t step = data[at++], amount = step >> 2;
		size_t take;

		if (!m.open)
			modbus_master_opened(&m, now);
		settle();
		switch (step & 3) {
		case 0: now.ns += (uint64_t)amount * amount * NS_PER_MS / 2; break;
		case 1:
			take = min_size(amount, size - at);
			receive(data + at, take);
			at += take;
			break;
		case 2:
			if (at < size)
				answer(amount, data[at++]);
			break;
		case 3:
			if (amount == 7)
				modbus_master_closed(&m, now);
			else
				now = modbus_master_deadline(&m).ns < UINT64_MAX / 2
					      ? (struct mono){max_u64(now.ns, modbus_master_deadline(&m).ns)}
					      : now;
			break;
		}
		settle();
	}
	return 0;
}
