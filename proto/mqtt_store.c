#include "proto/mqtt_store.h"

#include <errno.h>

#include "core/crc32c.h"

#define MAGIC          0x6e6f6973736573ull /* "session" */
#define LAYOUT_VERSION 3u
#define IDS_A_WORD     48u
#define INBOUND_WORDS  (65536u / IDS_A_WORD + 1)
#define STATE_SHIFT    16u
#define SEQUENCE_SHIFT 18u
#define SEQUENCE_MAX   (1ull << 45) /* half of what a word has room for: nobody sends as many */
#define SLOT_BYTES_MAX (1u << 27)   /* what it holds makes a packet */

struct mqtt_store_header {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t mqtt_version;
	uint64_t identity;
	struct mqtt_store_shape shape;
	uint32_t sealed_crc; /* of all before, and of the filters' texts */
	uint32_t assigned_crc;
	_Atomic uint64_t server;
	_Atomic uint64_t unanswered;
	char assigned_id[MQTT_STORE_ID_BYTES];
};

/* Before the message's topic, props and payload. */
struct slot_head {
	uint32_t crc; /* of all that follows in the slot */
	uint32_t payload_bytes;
	uint64_t time_ns;
	uint64_t origin;
	uint32_t props_bytes;
	uint32_t expiry_s;
	uint16_t topic_bytes;
	uint8_t retain;
	uint8_t spare[5];
};

static_assert(sizeof(struct slot_head) == 40, "a slot's head has no padding to be checked");
static_assert(sizeof(struct mqtt_store_header) % 8 == 0, "words follow the header");
static_assert(MQTT_INFLIGHT_RELEASED < 4, "a state takes two bits of a word");

/* A word says where it belongs and carries its own check, in its lowest 16 bits. Zero is a valid word: nothing. */
static uint64_t sealed(uint64_t word, uint32_t place)
{
	uint64_t mixed = ((word >> 16) + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)place * 0xff51afd7ed558ccdull;

	if (word >> 16 == 0)
		return 0;
	return (word & ~0xffffull) | (mixed >> 48);
}

static bool is_sealed(uint64_t word, uint32_t place)
{
	return sealed(word, place) == word;
}

/* Places of words: identifiers, inbound words and filters do not stand for each other. */
enum { INBOUND_PLACE = 1u << 20, FILTER_PLACE = 1u << 21 };

static uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value,
			      memory_order_release); /* after what it vouches for; see the header */
}

/* --- layout --------------------------------------------------------------------------------------------------- */

static uint64_t text_bytes(const struct mqtt_store_shape *shape)
{
	return align_up(shape->filter_count * (uint64_t)sizeof(uint32_t) + shape->filter_text_bytes, 8);
}

uint64_t mqtt_store_bytes(const struct mqtt_store_shape *shape)
{
	return sizeof(struct mqtt_store_header) + (shape->inflight_room + 1ull) * 8 + INBOUND_WORDS * 8ull +
	       shape->filter_count * 8ull + text_bytes(shape) +
	       (shape->inflight_room + 1ull) * shape->slot_bytes;
}

uint32_t mqtt_store_slot_bytes(uint32_t message_bytes)
{
	return (uint32_t)align_up(sizeof(struct slot_head) + (uint64_t)message_bytes, 8);
}

static void lay_out(struct mqtt_store *s, void *memory, const struct mqtt_store_shape *shape)
{
	uint8_t *at = memory;

	*s = (struct mqtt_store){.shape = *shape, .header = memory};
	at += sizeof(struct mqtt_store_header);
	s->words = (_Atomic uint64_t *)(void *)at;
	at += (shape->inflight_room + 1ull) * 8;
	s->inbound = (_Atomic uint64_t *)(void *)at;
	at += INBOUND_WORDS * 8ull;
	s->filter_words = (_Atomic uint64_t *)(void *)at;
	at += shape->filter_count * 8ull;
	s->filter_ends = (uint32_t *)(void *)at;
	s->filter_text = at + shape->filter_count * sizeof(uint32_t);
	s->slots = at + text_bytes(shape);
}

static uint32_t seal_of(const struct mqtt_store *s)
{
	uint32_t crc = crc32c(0, s->header, offsetof(struct mqtt_store_header, sealed_crc));

	return crc32c(crc, s->filter_ends, text_bytes(&s->shape));
}

void mqtt_store_init(struct mqtt_store *s, void *memory, const struct mqtt_store_shape *shape,
		     enum mqtt_version version, uint64_t identity)
{
	ASSERT(shape->inflight_room >= 1);
	ASSERT(shape->inflight_room <= MQTT_STORE_INFLIGHT_MAX);
	ASSERT(shape->slot_bytes <= SLOT_BYTES_MAX);
	lay_out(s, memory, shape);
	s->header->magic = MAGIC;
	s->header->layout_version = LAYOUT_VERSION;
	s->header->mqtt_version = (uint32_t)version;
	s->header->identity = identity;
	s->header->shape = *shape;
	mqtt_store_set_assigned_id(s, bytes_of(NULL, 0));
}

void mqtt_store_add_filter(struct mqtt_store *s, uint32_t filter_idx, struct bytes filter)
{
	uint32_t begin = filter_idx ? s->filter_ends[filter_idx - 1] : 0;

	ASSERT(filter_idx < s->shape.filter_count);
	ASSERT(filter.size <= s->shape.filter_text_bytes - begin);
	memcpy(s->filter_text + begin, filter.ptr, filter.size);
	s->filter_ends[filter_idx] = begin + (uint32_t)filter.size;
}

void mqtt_store_seal(struct mqtt_store *s)
{
	s->header->sealed_crc = seal_of(s);
}

/* --- checking ------------------------------------------------------------------------------------------------- */

static int distrust(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

static int check_header(const struct mqtt_store_header *h, uint64_t memory_bytes, enum mqtt_version version,
			uint64_t identity, const char **why)
{
	if (memory_bytes < sizeof(*h) || h->magic != MAGIC)
		return distrust(why, "it is no session file");
	if (h->layout_version != LAYOUT_VERSION)
		return distrust(why, "another version of ringmain wrote it");
	if (h->mqtt_version != (uint32_t)version || h->identity != identity)
		return distrust(why, "it is of another client or another version of MQTT");
	if (h->shape.inflight_room < 1 || h->shape.inflight_room > MQTT_STORE_INFLIGHT_MAX ||
	    h->shape.slot_bytes > SLOT_BYTES_MAX || h->shape.slot_bytes % 8 != 0 ||
	    h->shape.filter_count > 1u << 24 || mqtt_store_bytes(&h->shape) != memory_bytes)
		return distrust(why, "its size is not what it says");
	return 0;
}

static int check_filters(const struct mqtt_store *s, const char **why)
{
	uint32_t end = 0;

	for (uint32_t i = 0; i < s->shape.filter_count; i++) {
		if (s->filter_ends[i] < end || s->filter_ends[i] > s->shape.filter_text_bytes)
			return distrust(why, "a subscription is not what was written");
		end = s->filter_ends[i];
		if (!is_sealed(load(&s->filter_words[i]), FILTER_PLACE + i))
			return distrust(why, "a subscription's state is not what was written");
	}
	return 0;
}

static int check_ids(struct mqtt_store *s, const char **why)
{
	for (uint32_t id = 0; id <= s->shape.inflight_room; id++) {
		uint64_t word = load(&s->words[id]), sequence;
		struct mqtt_stored m;
		enum mqtt_inflight_state state;

		state = mqtt_store_get(s, (uint16_t)id, &sequence);
		if (!is_sealed(word, id) || (id == 0 && word) || (word && state == MQTT_INFLIGHT_FREE) ||
		    sequence > SEQUENCE_MAX)
			return distrust(why, "a packet identifier's state is not what was written");
		if (sequence > s->sequence)
			s->sequence = sequence;
		if ((state == MQTT_INFLIGHT_PUBLISHED_1 || state == MQTT_INFLIGHT_PUBLISHED_2) &&
		    !mqtt_store_message(s, (uint16_t)id, &m))
			return distrust(why, "a message is not what was written");
	}
	return 0;
}

/* Bits that are no identifier: 0, and those above 65,535. */
static uint64_t inbound_unused(uint32_t i)
{
	if (i == 0)
		return 1ull << 16;
	return i == INBOUND_WORDS - 1 ? UINT64_MAX << (16 + 65536 % IDS_A_WORD) : 0;
}

static int check_inbound(struct mqtt_store *s, const char **why)
{
	for (uint32_t i = 0; i < INBOUND_WORDS; i++) {
		uint64_t word = load(&s->inbound[i]);

		if (!is_sealed(word, INBOUND_PLACE + i) || word & inbound_unused(i))
			return distrust(why, "the identifiers received are not what was written");
		s->inbound_count += (uint32_t)__builtin_popcountll(word >> 16);
	}
	return 0;
}

int mqtt_store_open(struct mqtt_store *s, void *memory, uint64_t memory_bytes, enum mqtt_version version,
		    uint64_t identity, const char **why)
{
	const struct mqtt_store_header *h = memory;
	int rc = check_header(h, memory_bytes, version, identity, why);

	if (rc < 0)
		return rc;
	lay_out(s, memory, &h->shape);
	if (seal_of(s) != h->sealed_crc)
		return distrust(why, "its beginning is not what was written");
	/* It takes more than one store: killed in between, the server's session is not found by its name any more. */
	if (crc32c(0, h->assigned_id, sizeof(h->assigned_id)) != h->assigned_crc ||
	    h->assigned_id[MQTT_STORE_ID_BYTES - 1]) {
		mqtt_store_set_server(s, 0);
		mqtt_store_set_assigned_id(s, bytes_of(NULL, 0));
	}
	rc = check_filters(s, why);
	if (rc == 0)
		rc = check_ids(s, why);
	if (rc == 0)
		rc = check_inbound(s, why);
	return rc;
}

uint32_t mqtt_store_highest_id(const struct mqtt_store *s)
{
	uint32_t id = s->shape.inflight_room;

	while (id > 0 && load(&s->words[id]) == 0)
		id--;
	return id;
}

int mqtt_store_take_over(struct mqtt_store *s, const struct mqtt_store *old)
{
	for (uint32_t id = 1; id <= old->shape.inflight_room; id++) {
		uint64_t sequence;
		enum mqtt_inflight_state state = mqtt_store_get(old, (uint16_t)id, &sequence);
		struct mqtt_stored m;

		if (state == MQTT_INFLIGHT_FREE)
			continue;
		if (id > s->shape.inflight_room)
			return -ENOSPC;
		if (state != MQTT_INFLIGHT_RELEASED) {
			if (!mqtt_store_message(old, (uint16_t)id, &m) ||
			    mqtt_store_slot_bytes((uint32_t)(m.topic.size + m.props.size + m.payload.size)) >
				    s->shape.slot_bytes)
				return -ENOSPC;
			mqtt_store_keep(s, (uint16_t)id, &m);
		}
		store(&s->words[id], load(&old->words[id]));
		s->sequence = max_u64(s->sequence, sequence);
	}
	for (uint32_t i = 0; i < INBOUND_WORDS; i++)
		store(&s->inbound[i], load(&old->inbound[i]));
	s->inbound_count = old->inbound_count;
	mqtt_store_set_assigned_id(s, bytes_of_text(mqtt_store_assigned_id(old)));
	mqtt_store_set_unanswered(s, mqtt_store_unanswered(old));
	mqtt_store_set_server(s, mqtt_store_server(old));
	return 0;
}

/* --- the server ------------------------------------------------------------------------------------------------- */

uint64_t mqtt_store_server(const struct mqtt_store *s)
{
	return load(&s->header->server);
}

void mqtt_store_set_server(struct mqtt_store *s, uint64_t server)
{
	store(&s->header->server, server);
}

uint64_t mqtt_store_server_offset(void)
{
	return offsetof(struct mqtt_store_header, server);
}

bool mqtt_store_unanswered(const struct mqtt_store *s)
{
	return load(&s->header->unanswered) != 0;
}

void mqtt_store_set_unanswered(struct mqtt_store *s, bool is)
{
	store(&s->header->unanswered, is);
}

const char *mqtt_store_assigned_id(const struct mqtt_store *s)
{
	return s->header->assigned_id;
}

void mqtt_store_set_assigned_id(struct mqtt_store *s, struct bytes id)
{
	struct mqtt_store_header *h = s->header;

	memset(h->assigned_id, 0, sizeof(h->assigned_id));
	if (id.size < sizeof(h->assigned_id) && id.size)
		memcpy(h->assigned_id, id.ptr, id.size);
	h->assigned_crc = crc32c(0, h->assigned_id, sizeof(h->assigned_id));
}

/* --- identifiers and messages ------------------------------------------------------------------------------------- */

void mqtt_store_set(struct mqtt_store *s, uint16_t id, enum mqtt_inflight_state state)
{
	uint64_t sequence;

	ASSERT(id >= 1 && id <= s->shape.inflight_room);
	if (state == MQTT_INFLIGHT_FREE) {
		store(&s->words[id], 0);
		return;
	}
	(void)mqtt_store_get(s, id, &sequence);
	if (sequence == 0)
		sequence = ++s->sequence;
	store(&s->words[id], sealed(sequence << SEQUENCE_SHIFT | (uint64_t)state << STATE_SHIFT, id));
}

enum mqtt_inflight_state mqtt_store_get(const struct mqtt_store *s, uint16_t id, uint64_t *sequence)
{
	uint64_t word = load(&s->words[id]);

	*sequence = word >> SEQUENCE_SHIFT;
	return (enum mqtt_inflight_state)(word >> STATE_SHIFT & 3);
}

static uint8_t *slot_of(const struct mqtt_store *s, uint16_t id)
{
	return s->slots + (uint64_t)id * s->shape.slot_bytes;
}

static uint32_t slot_crc(const uint8_t *slot, uint64_t message_bytes)
{
	return crc32c(0, slot + sizeof(uint32_t),
		      sizeof(struct slot_head) - sizeof(uint32_t) + message_bytes);
}

void mqtt_store_keep(struct mqtt_store *s, uint16_t id, const struct mqtt_stored *m)
{
	uint64_t message_bytes = m->topic.size + m->props.size + m->payload.size;
	struct slot_head head = {
		.payload_bytes = (uint32_t)m->payload.size,
		.time_ns = m->time_ns,
		.origin = m->origin,
		.props_bytes = (uint32_t)m->props.size,
		.expiry_s = m->expiry_s,
		.topic_bytes = (uint16_t)m->topic.size,
		.retain = m->retain,
	};
	uint8_t *slot = slot_of(s, id);
	struct writer w = writer_of(slot, s->shape.slot_bytes);

	ASSERT(sizeof(head) + message_bytes <= s->shape.slot_bytes); /* sized from the largest message */
	write_bytes(&w, &head, sizeof(head));
	write_bytes(&w, m->topic.ptr, m->topic.size);
	write_bytes(&w, m->props.ptr, m->props.size);
	write_bytes(&w, m->payload.ptr, m->payload.size);
	head.crc = slot_crc(slot, message_bytes);
	memcpy(slot, &head.crc, sizeof(head.crc));
}

bool mqtt_store_message(const struct mqtt_store *s, uint16_t id, struct mqtt_stored *out)
{
	const uint8_t *slot = slot_of(s, id);
	uint64_t message_bytes;
	struct slot_head head;

	if (s->shape.slot_bytes < sizeof(head))
		return false;
	memcpy(&head, slot, sizeof(head));
	message_bytes = (uint64_t)head.topic_bytes + head.props_bytes + head.payload_bytes;
	if (message_bytes > s->shape.slot_bytes - sizeof(head) || head.topic_bytes == 0 ||
	    slot_crc(slot, message_bytes) != head.crc)
		return false;
	slot += sizeof(head);
	*out = (struct mqtt_stored){
		.topic = bytes_of(slot, head.topic_bytes),
		.props = bytes_of(slot + head.topic_bytes, head.props_bytes),
		.payload = bytes_of(slot + head.topic_bytes + head.props_bytes, head.payload_bytes),
		.time_ns = head.time_ns,
		.origin = head.origin,
		.expiry_s = head.expiry_s,
		.retain = head.retain,
	};
	return true;
}

/* --- inbound ------------------------------------------------------------------------------------------------------- */

bool mqtt_store_inbound_has(const struct mqtt_store *s, uint16_t id)
{
	return load(&s->inbound[id / IDS_A_WORD]) >> 16 >> id % IDS_A_WORD & 1;
}

static void inbound_flip(struct mqtt_store *s, uint16_t id)
{
	uint32_t i = id / IDS_A_WORD;

	store(&s->inbound[i],
	      sealed(load(&s->inbound[i]) ^ 1ull << (16 + id % IDS_A_WORD), INBOUND_PLACE + i));
}

void mqtt_store_inbound_add(struct mqtt_store *s, uint16_t id)
{
	ASSERT(!mqtt_store_inbound_has(s, id));
	inbound_flip(s, id);
	s->inbound_count++;
}

void mqtt_store_inbound_remove(struct mqtt_store *s, uint16_t id)
{
	ASSERT(mqtt_store_inbound_has(s, id));
	inbound_flip(s, id);
	s->inbound_count--;
}

void mqtt_store_inbound_clear(struct mqtt_store *s)
{
	if (s->inbound_count == 0)
		return;
	for (uint32_t i = 0; i < INBOUND_WORDS; i++)
		store(&s->inbound[i], 0);
	s->inbound_count = 0;
}

/* --- filters -------------------------------------------------------------------------------------------------------- */

enum mqtt_store_filter mqtt_store_filter_state(const struct mqtt_store *s, uint32_t filter_idx)
{
	ASSERT(filter_idx < s->shape.filter_count);
	switch (load(&s->filter_words[filter_idx]) >> 16 & 3) {
	case 0: return MQTT_STORE_FILTER_NONE;
	case 1: return MQTT_STORE_FILTER_SUBSCRIBED;
	default: return MQTT_STORE_FILTER_ASKED; /* asked again, at worst */
	}
}

void mqtt_store_set_filter_state(struct mqtt_store *s, uint32_t filter_idx, enum mqtt_store_filter state)
{
	ASSERT(filter_idx < s->shape.filter_count);
	store(&s->filter_words[filter_idx], sealed((uint64_t)state << 16, FILTER_PLACE + filter_idx));
}

uint8_t mqtt_store_granted(const struct mqtt_store *s, uint32_t filter_idx)
{
	ASSERT(filter_idx < s->shape.filter_count);
	return load(&s->filter_words[filter_idx]) >> 18 & 3;
}

void mqtt_store_set_granted(struct mqtt_store *s, uint32_t filter_idx, uint8_t qos)
{
	uint64_t word = ((uint64_t)qos << 2 | MQTT_STORE_FILTER_SUBSCRIBED) << 16;

	ASSERT(filter_idx < s->shape.filter_count);
	ASSERT(qos <= 2);
	store(&s->filter_words[filter_idx], sealed(word, FILTER_PLACE + filter_idx));
}

struct bytes mqtt_store_filter(const struct mqtt_store *s, uint32_t filter_idx)
{
	uint32_t begin = filter_idx ? s->filter_ends[filter_idx - 1] : 0;

	ASSERT(filter_idx < s->shape.filter_count);
	return bytes_of(s->filter_text + begin, s->filter_ends[filter_idx] - begin);
}
