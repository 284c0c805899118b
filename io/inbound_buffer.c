#include "io/inbound_buffer.h"

#include <errno.h>
#include <string.h>

#include "core/memory.h"

#define MESSAGE_BYTES_USUAL 256u /* room a message, as telegrams go */
#define WRAP                UINT32_MAX

struct entry {
	uint32_t bytes; /* of the whole entry, a multiple of 8; WRAP: the rest of the block is not used */
	uint32_t props_bytes, payload_bytes;
	uint16_t topic_bytes, packet_id;
	uint8_t qos, retain, spare[6];
};

static_assert(sizeof(struct entry) == 24, "entries stay aligned");

uint64_t inbound_buffer_bytes(uint32_t count_max, uint32_t message_bytes_max)
{
	uint64_t largest = sizeof(struct entry) + (uint64_t)message_bytes_max + 8;

	return count_max ? align_up(max_u64((uint64_t)count_max * MESSAGE_BYTES_USUAL, 2 * largest), 8) : 0;
}

int inbound_buffer_open(struct inbound_buffer *b, uint32_t count_max, uint32_t message_bytes_max)
{
	*b = (struct inbound_buffer){.count_max = count_max,
				     .block_bytes = inbound_buffer_bytes(count_max, message_bytes_max)};
	if (count_max == 0)
		return 0;
	b->block = memory_alloc(b->block_bytes, 1);
	return b->block ? 0 : -ENOMEM;
}

void inbound_buffer_close(struct inbound_buffer *b)
{
	memory_free(b->block);
	*b = (struct inbound_buffer){0};
}

bool inbound_buffer_put(struct inbound_buffer *b, const struct mqtt_publish *p)
{
	struct entry e = {
		.props_bytes = (uint32_t)p->props.raw.size,
		.payload_bytes = (uint32_t)p->payload.size,
		.topic_bytes = (uint16_t)p->topic.size,
		.packet_id = p->packet_id,
		.qos = p->qos,
		.retain = p->retain,
	};
	uint64_t bytes = align_up(sizeof(e) + p->topic.size + p->props.raw.size + p->payload.size, 8);
	uint64_t at = b->block_bytes ? b->head % b->block_bytes : 0;
	uint64_t skip = b->block_bytes - at < bytes ? b->block_bytes - at : 0;
	struct writer w;

	if (b->count >= b->count_max || skip + bytes > b->block_bytes - (b->head - b->tail))
		return false;
	if (skip) {
		memcpy(b->block + at, &(uint32_t){WRAP},
		       sizeof(uint32_t)); /* at is a multiple of 8: there is room */
		b->head += skip;
		at = 0;
	}
	e.bytes = (uint32_t)bytes;
	w = writer_of(b->block + at, bytes);
	write_bytes(&w, &e, sizeof(e));
	write_bytes(&w, p->topic.ptr, p->topic.size);
	write_bytes(&w, p->props.raw.ptr, p->props.raw.size);
	write_bytes(&w, p->payload.ptr, p->payload.size);
	ASSERT(!w.failed);
	b->head += bytes;
	b->count++;
	return true;
}

bool inbound_buffer_take(struct inbound_buffer *b, struct mqtt_publish *out)
{
	struct mqtt_error error;
	struct entry e;
	const uint8_t *at;

	if (b->count == 0)
		return false;
	memcpy(&e.bytes, b->block + b->tail % b->block_bytes, sizeof(e.bytes));
	if (e.bytes == WRAP)
		b->tail += b->block_bytes - b->tail % b->block_bytes;
	at = b->block + b->tail % b->block_bytes;
	memcpy(&e, at, sizeof(e));
	at += sizeof(e);
	*out = (struct mqtt_publish){
		.qos = e.qos,
		.retain = e.retain,
		.packet_id = e.packet_id,
		.topic = bytes_of(at, e.topic_bytes),
		.payload = bytes_of(at + e.topic_bytes + e.props_bytes, e.payload_bytes),
	};
	int rc = mqtt_props_decode(bytes_of(at + e.topic_bytes, e.props_bytes), MQTT_PUBLISH, MQTT_SERVER,
				   &out->props, &error);

	ASSERT(rc == 0); /* it was decoded before it was put in */
	b->tail += e.bytes;
	b->count--;
	return true;
}
