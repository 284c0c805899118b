#include "tests/sim/device.h"

#include <stdlib.h>

#define FRAME_BYTES_MAX   260
#define REQUEST_PDU_BYTES 5 /* function, address, count: all that is asked of us */

struct device_link {
	struct device *device;
	struct device_link *next;
	struct conn *conn;
	uint8_t held[4 * FRAME_BYTES_MAX];
	size_t held_size;
	uint64_t last_ns;
	bool closed;
};

/* An answer on its way. */
struct device_answer {
	struct device_answer *next;
	struct device_link *link;
	uint32_t size;
	uint8_t bytes[FRAME_BYTES_MAX];
};

static uint16_t crc16(const uint8_t *bytes, size_t size_bytes)
{
	uint16_t crc = 0xffff;

	for (size_t i = 0; i < size_bytes; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xa001) : (uint16_t)(crc >> 1);
	}
	return crc;
}

static void answer_now(void *arg, uint64_t value UNUSED)
{
	struct device_answer *a = arg;

	if (!a->link->closed)
		conn_send(a->link->conn, a->bytes, a->size);
}

/* function, byte count, registers; or function with its top bit and a code. */
static void write_pdu(struct device *d, struct writer *w, uint8_t function, uint16_t address, uint16_t count)
{
	if (sim_chance(sim.faults.device_exception)) {
		write_u8(w, function | 0x80);
		write_u8(w, (uint8_t)sim_between(1, 6));
		sim_covered[COVER_MODBUS_FAULTS]++;
		return;
	}
	d->read_count = (d->read_count + 1) & 0xfffff;
	write_u8(w, function);
	write_u8(w, (uint8_t)(2 * count));
	for (uint32_t r = address; r < (uint32_t)address + count; r++) {
		uint32_t value = (r & ~1u) << 20 | d->read_count;

		write_u16(w, (uint16_t)(r & 1 ? value : value >> 16));
	}
	sim_covered[COVER_MODBUS_VALUES]++;
}

static void spoil(struct device_answer *a)
{
	if (!sim_chance(sim.faults.device_garbage))
		return;
	sim_covered[COVER_MODBUS_FAULTS]++;
	if (a->link->device->serial)
		a->bytes[sim_below(a->size)] ^= (uint8_t)(1u << sim_below(8));
	else
		a->bytes[2 + sim_below(4)] ^= (uint8_t)(1u << sim_below(8)); /* protocol, length */
}

static void answer(struct device_link *k, const uint8_t *head, size_t head_bytes, const uint8_t *pdu)
{
	struct device_answer *a = calloc(1, sizeof(*a));
	struct writer w;
	uint64_t think_ns = sim_between(100 * NS_PER_US, 5 * NS_PER_MS);

	ASSERT(a);
	a->link = k;
	a->next = k->device->answers;
	k->device->answers = a;
	w = writer_of(a->bytes, sizeof(a->bytes));
	write_bytes(&w, head, head_bytes);
	write_pdu(k->device, &w, pdu[0], (uint16_t)(pdu[1] << 8 | pdu[2]), (uint16_t)(pdu[3] << 8 | pdu[4]));
	if (k->device->serial) {
		uint16_t crc = crc16(a->bytes, (size_t)(w.at - a->bytes));

		write_u8(&w, (uint8_t)crc);
		write_u8(&w, (uint8_t)(crc >> 8));
	} else {
		size_t length = (size_t)(w.at - a->bytes) - 6;

		a->bytes[4] = (uint8_t)(length >> 8);
		a->bytes[5] = (uint8_t)length;
	}
	ASSERT(!w.failed);
	a->size = (uint32_t)(w.at - a->bytes);
	spoil(a);
	if (sim_chance(sim.faults.device_late)) {
		think_ns += sim_between(0, NS_PER_S);
		sim_covered[COVER_MODBUS_FAULTS]++;
	}
	sim_after(think_ns, answer_now, a, 0);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

static void request(struct device_link *k, const uint8_t *head, size_t head_bytes, const uint8_t *pdu)
{
	uint16_t count = (uint16_t)(pdu[3] << 8 | pdu[4]);

	if ((pdu[0] != 3 && pdu[0] != 4) || count == 0 || count > 125) {
		sim_fail("%s is asked function %u, count %u", k->device->service.name, pdu[0], count);
		return;
	}
	if (sim_chance(sim.faults.device_close)) {
		sim_covered[COVER_MODBUS_FAULTS]++;
		conn_finish(k->conn);
		k->closed = true;
	} else if (sim_chance(sim.faults.device_silent)) {
		sim_covered[COVER_MODBUS_FAULTS]++;
	} else {
		answer(k, head, head_bytes, pdu);
	}
}

static size_t take_tcp(struct device_link *k, const uint8_t *at, size_t size)
{
	const size_t wanted = 7 + REQUEST_PDU_BYTES;

	if (size < wanted)
		return 0;
	if (at[2] || at[3] || at[4] || at[5] != 1 + REQUEST_PDU_BYTES)
		sim_fail("%s: an MBAP header that is none", k->device->service.name);
	request(k, at, 7, at + 7);
	return wanted;
}

static size_t take_rtu(struct device_link *k, const uint8_t *at, size_t size)
{
	const size_t wanted = 1 + REQUEST_PDU_BYTES + 2;

	if (size < wanted)
		return 0;
	if (crc16(at, wanted) != 0) /* the CRC of a frame with its own is 0 */
		sim_fail("%s: a request with a wrong CRC", k->device->service.name);
	request(k, at, 1, at + 1);
	return wanted;
}

static void on_bytes(void *link, const uint8_t *bytes, size_t size_bytes)
{
	struct device_link *k = link;
	size_t n;

	if (k->closed)
		return;
	ASSERT(k->held_size + size_bytes <= sizeof(k->held));
	memcpy(k->held + k->held_size, bytes, size_bytes);
	k->held_size += size_bytes;
	while (!k->closed && !sim.failed &&
	       (n = (k->device->serial ? take_rtu : take_tcp)(k, k->held, k->held_size)) > 0) {
		k->held_size -= n;
		memmove(k->held, k->held + n, k->held_size);
	}
}

static void on_end(void *link, bool in_order UNUSED)
{
	struct device_link *k = link;

	k->closed = true;
	conn_finish(k->conn);
}

static void *on_accept(void *user, struct conn *c)
{
	struct device *d = user;
	struct device_link *k = calloc(1, sizeof(*k));

	ASSERT(k);
	k->device = d;
	k->conn = c;
	k->next = d->links;
	d->links = k;
	return k;
}

void device_begin(struct device *d, const char *name)
{
	*d = (struct device){.serial = name[0] == '/'};
	d->service = (struct service){.name = name,
				      .port = d->serial ? 0 : 502,
				      .user = d,
				      .on_accept = on_accept,
				      .on_bytes = on_bytes,
				      .on_end = on_end};
	net_add(&d->service);
}

void device_end(struct device *d)
{
	while (d->links) {
		struct device_link *k = d->links;

		d->links = k->next;
		free(k);
	}
	while (d->answers) {
		struct device_answer *a = d->answers;

		d->answers = a->next;
		free(a);
	}
}
