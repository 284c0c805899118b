#include "proto/mqtt_inflight.h"

void mqtt_inflight_init(struct mqtt_inflight *t, struct mqtt_inflight_entry *entries, uint32_t room)
{
	ASSERT(room >= 1);
	ASSERT(room <= UINT16_MAX);
	*t = (struct mqtt_inflight){
		.entries = entries, .room = room, .free_first = 1, .free_last = (uint16_t)room};
	for (uint32_t id = 0; id <= room; id++)
		entries[id] = (struct mqtt_inflight_entry){.newer = (uint16_t)(id < room ? id + 1 : 0)};
}

uint16_t mqtt_inflight_add(struct mqtt_inflight *t, void *token, uint8_t qos)
{
	uint16_t id = t->free_first;

	ASSERT(qos == 1 || qos == 2);
	if (id == 0)
		return 0;
	t->free_first = t->entries[id].newer;
	if (t->free_first == 0)
		t->free_last = 0;
	t->entries[id] = (struct mqtt_inflight_entry){
		.token = token,
		.state = qos == 1 ? MQTT_INFLIGHT_PUBLISHED_1 : MQTT_INFLIGHT_PUBLISHED_2,
		.older = t->newest,
	};
	if (t->newest)
		t->entries[t->newest].newer = id;
	else
		t->oldest = id;
	t->newest = id; /* FREE -> PUBLISHED_1 or PUBLISHED_2 */
	t->count++;
	return id;
}

/* Takes it out of the free list, which is in order of the identifiers still: on from the last time, if it stands behind. */
static void free_list_remove(struct mqtt_inflight *t, uint16_t id)
{
	uint16_t before = t->free_before < id ? t->free_before : 0;
	uint16_t at = before ? t->entries[before].newer : t->free_first;

	while (at != id) {
		ASSERT(at);
		before = at;
		at = t->entries[at].newer;
	}
	if (before)
		t->entries[before].newer = t->entries[id].newer;
	else
		t->free_first = t->entries[id].newer;
	if (t->free_last == id)
		t->free_last = before;
	t->free_before = before;
}

/* The one that was sent before that sequence, looked for around the last one restored; 0: none was. */
static uint16_t older_than(const struct mqtt_inflight *t, uint64_t sequence)
{
	uint16_t at = t->restored;

	while (at && t->entries[at].sequence > sequence)
		at = t->entries[at].older;
	if (at == 0)
		return 0;
	for (uint16_t next = t->entries[at].newer; next && t->entries[next].sequence <= sequence;
	     next = t->entries[next].newer)
		at = next;
	return at;
}

void mqtt_inflight_restore(struct mqtt_inflight *t, uint16_t id, enum mqtt_inflight_state state,
			   uint64_t sequence)
{
	uint16_t older = older_than(t, sequence), newer = older ? t->entries[older].newer : t->oldest;

	ASSERT(id >= 1 && id <= t->room);
	ASSERT(t->entries[id].state == MQTT_INFLIGHT_FREE);
	free_list_remove(t, id);
	t->entries[id] = (struct mqtt_inflight_entry){
		.state = (uint8_t)state, .older = older, .newer = newer, .sequence = sequence};
	if (older)
		t->entries[older].newer = id;
	else
		t->oldest = id;
	if (newer)
		t->entries[newer].older = id;
	else
		t->newest = id;
	t->restored = id;
	t->count++;
}

void mqtt_inflight_free(struct mqtt_inflight *t, uint16_t id)
{
	struct mqtt_inflight_entry *e = mqtt_inflight_find(t, id);

	ASSERT(e);
	if (e->older)
		t->entries[e->older].newer = e->newer;
	else
		t->oldest = e->newer;
	if (e->newer)
		t->entries[e->newer].older = e->older;
	else
		t->newest = e->older;
	*e = (struct mqtt_inflight_entry){.state = MQTT_INFLIGHT_FREE};
	if (t->free_last)
		t->entries[t->free_last].newer = id;
	else
		t->free_first = id;
	t->free_last = id;
	t->count--;
}
