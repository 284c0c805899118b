#include "proto/modbus_master.h"

#include <errno.h>

#define DEFAULT_SUSPEND_AFTER    3u
#define DEFAULT_SUSPEND_BASE_NS  NS_PER_S
#define DEFAULT_SUSPEND_CAP_NS   (30 * NS_PER_S)
#define DEFAULT_RESET_AFTER      4u
#define DEFAULT_ILLEGAL_RETRY_NS (60 * NS_PER_S)
#define ARENA_ALIGN              64u

const char *modbus_failure_text(enum modbus_failure failure)
{
	switch (failure) {
	case MODBUS_FAIL_NONE: return "good";
	case MODBUS_FAIL_NOT_CONNECTED: return "not connected";
	case MODBUS_FAIL_TIMEOUT: return "time-out";
	case MODBUS_FAIL_EXCEPTION: return "exception";
	case MODBUS_FAIL_PROTOCOL: return "protocol error";
	case MODBUS_FAIL_SUSPENDED: return "unit suspended";
	}
	UNREACHABLE();
}

/* Sizes first and pointers later come from the same function: they cannot part. base NULL: only the size. */
static size_t carve(struct modbus_master *m, uint8_t *base, uint32_t device_count, uint32_t item_count)
{
	size_t devices_at = 0;
	size_t blocks_at = align_up(devices_at + device_count * sizeof(struct modbus_device), ARENA_ALIGN);
	size_t polls_at = align_up(blocks_at + item_count * sizeof(struct modbus_block), ARENA_ALIGN);
	size_t order_at = align_up(polls_at + item_count * sizeof(struct modbus_poll), ARENA_ALIGN);
	size_t heap_at = align_up(order_at + item_count * sizeof(uint32_t), ARENA_ALIGN);
	size_t end = align_up(heap_at + item_count * sizeof(uint32_t), ARENA_ALIGN);

	if (base) {
		m->devices = (void *)(base + devices_at);
		m->blocks = (void *)(base + blocks_at);
		m->queue.polls = (void *)(base + polls_at);
		m->order = (void *)(base + order_at);
		m->queue.heap = (void *)(base + heap_at);
	}
	return end;
}

size_t modbus_master_memory_bytes(uint32_t device_count, uint32_t item_count)
{
	return carve(NULL, NULL, device_count, item_count);
}

static void fill_defaults(struct modbus_master_config *c)
{
	if (!c->outstanding_max)
		c->outstanding_max = 1;
	if (!c->suspend_after)
		c->suspend_after = DEFAULT_SUSPEND_AFTER;
	if (!c->suspend_base_ns)
		c->suspend_base_ns = DEFAULT_SUSPEND_BASE_NS;
	if (!c->suspend_cap_ns)
		c->suspend_cap_ns = max_u64(DEFAULT_SUSPEND_CAP_NS, c->suspend_base_ns);
	if (!c->reset_after)
		c->reset_after = DEFAULT_RESET_AFTER;
	if (!c->illegal_retry_ns)
		c->illegal_retry_ns = DEFAULT_ILLEGAL_RETRY_NS;
}

static bool config_ok(const struct modbus_master_config *c)
{
	bool used[256] = {false};

	if (c->outstanding_max > (c->framing == MODBUS_FRAMING_RTU ? 1 : MODBUS_OUTSTANDING_MAX) ||
	    c->device_count > MODBUS_DEVICES_MAX || c->suspend_cap_ns < c->suspend_base_ns)
		return false;
	if (c->framing == MODBUS_FRAMING_RTU && (c->timing.char_ns == 0 || c->timing.t35_ns == 0))
		return false;
	for (uint32_t i = 0; i < c->device_count; i++) {
		const struct modbus_device_config *d = &c->devices[i];

		if (used[d->unit] || d->timeout_ns == 0)
			return false;
		if (c->framing == MODBUS_FRAMING_RTU && (d->unit == 0 || d->unit > MODBUS_UNIT_MAX))
			return false;
		used[d->unit] = true;
	}
	for (uint32_t i = 0; i < c->item_count; i++)
		if (c->items[i].device_idx >= c->device_count)
			return false;
	return true;
}

int modbus_master_init(struct modbus_master *m, const struct modbus_master_config *config, void *memory,
		       size_t memory_bytes, struct mono start)
{
	int rc;

	*m = (struct modbus_master){.config = *config, .next_transaction_id = 1};
	fill_defaults(&m->config);
	if (!config_ok(&m->config))
		return -EINVAL;
	if (memory_bytes < modbus_master_memory_bytes(config->device_count, config->item_count))
		return -ENOSPC;
	ASSERT((uintptr_t)memory % ARENA_ALIGN == 0);
	carve(m, memory, config->device_count, config->item_count);
	rc = modbus_plan(config->items, config->item_count, &config->limits, m->order, m->blocks,
			 config->item_count);
	if (rc < 0)
		return rc;
	m->block_count = (uint32_t)rc;
	for (uint32_t i = 0; i < config->device_count; i++)
		m->devices[i] = (struct modbus_device){.config = config->devices[i]};
	m->config.devices = NULL; /* copied: the caller's may go */
	for (uint32_t i = 0; i < m->block_count; i++) {
		const struct modbus_block *b = &m->blocks[i];
		uint64_t phase_ns = m->devices[b->device_idx].config.phase_ns % b->period_ns;

		m->queue.polls[i] = (struct modbus_poll){
			.due = mono_add(start, phase_ns),
			.order = mono_add(start, phase_ns),
			.period_ns = b->period_ns,
			.heap_idx = MODBUS_NOT_QUEUED,
			.to_report = MODBUS_FAIL_NOT_CONNECTED,
		};
		modbus_queue_push(&m->queue, i);
	}
	m->report_count = m->block_count;
	modbus_rtu_reset(&m->rtu, m->config.timing.t35_ns);
	return 0;
}
