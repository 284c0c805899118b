/* The table of identifiers: what an earlier process had in flight, in its order. */
#include <string.h>

#include "core/prng.h"
#include "proto/mqtt_inflight.h"
#include "tests/test.h"

#define ROOM 40

static struct mqtt_inflight_entry entries[65536];
static struct mqtt_inflight t;

/* Both lists are whole: each identifier is in one of them, once, and the order of sending is that of the sequences. */
static void expect_whole(uint32_t room, uint32_t count)
{
	static bool seen[65536];
	uint32_t used = 0, unused = 0;
	uint16_t last = 0;

	memset(seen, 0, sizeof(seen));
	for (uint16_t id = t.oldest; id; last = id, id = entries[id].newer, used++) {
		EXPECT(!seen[id]);
		seen[id] = true;
		EXPECT_EQ(entries[id].older, last);
		EXPECT(last == 0 || entries[last].sequence <= entries[id].sequence);
		EXPECT_NE(entries[id].state, MQTT_INFLIGHT_FREE);
	}
	EXPECT_EQ(t.newest, last);
	last = 0;
	for (uint16_t id = t.free_first; id; last = id, id = entries[id].newer, unused++) {
		EXPECT(!seen[id]);
		seen[id] = true;
		EXPECT_EQ(entries[id].state, MQTT_INFLIGHT_FREE);
	}
	EXPECT_EQ(t.free_last, last);
	EXPECT_EQ(used, count);
	EXPECT_EQ(t.count, count);
	EXPECT_EQ(used + unused, room);
}

TEST(any_identifiers_in_any_order_are_restored_by_their_sequence)
{
	struct prng prng = {.state = 9};

	for (int round = 0; round < 3000; round++) {
		uint32_t room = 1 + (uint32_t)prng_below(&prng, ROOM), count = 0;
		bool rising = prng_below(&prng, 2);

		mqtt_inflight_init(&t, entries, room);
		for (uint32_t i = 1; i <= room; i++) {
			uint16_t id = rising ? (uint16_t)i : (uint16_t)(1 + prng_below(&prng, room));

			if (entries[id].state != MQTT_INFLIGHT_FREE || prng_below(&prng, 3) == 0)
				continue;
			mqtt_inflight_restore(&t, id, MQTT_INFLIGHT_PUBLISHED_1, prng_below(&prng, 50));
			count++;
		}
		expect_whole(room, count);
		if (count < room)
			EXPECT(mqtt_inflight_find(&t, mqtt_inflight_add(&t, NULL, 1)));
		else
			EXPECT_EQ(mqtt_inflight_add(&t, NULL, 1), 0);
	}
}

TEST(the_largest_table_that_began_again_in_its_middle_is_restored)
{
	const uint32_t room = 65279;

	mqtt_inflight_init(&t, entries, room);
	for (uint32_t id = 1; id <= room; id++)
		mqtt_inflight_restore(&t, (uint16_t)id, MQTT_INFLIGHT_RELEASED, (id + room / 2) % room);
	expect_whole(room, room);
	EXPECT_EQ(mqtt_inflight_add(&t, NULL, 1), 0);
	while (t.oldest)
		mqtt_inflight_free(&t, t.oldest);
	expect_whole(room, 0);
}

TEST(what_is_new_follows_what_was_restored)
{
	mqtt_inflight_init(&t, entries, 5);
	mqtt_inflight_restore(&t, 2, MQTT_INFLIGHT_PUBLISHED_2, 9);
	mqtt_inflight_restore(&t, 4, MQTT_INFLIGHT_PUBLISHED_1, 3);
	EXPECT_EQ(mqtt_inflight_add(&t, &t, 1), 1);
	EXPECT_EQ(mqtt_inflight_add(&t, &t, 1), 3);
	EXPECT_EQ(t.oldest, 4);
	EXPECT_EQ(entries[4].newer, 2);
	EXPECT_EQ(entries[2].newer, 1);
	EXPECT_EQ(t.newest, 3);
	mqtt_inflight_free(&t, 2);
	mqtt_inflight_free(&t, 4);
	EXPECT_EQ(mqtt_inflight_add(&t, &t, 1), 5);
	EXPECT_EQ(mqtt_inflight_add(&t, &t, 1), 2); /* in the order in which they were given back */
	EXPECT_EQ(mqtt_inflight_add(&t, &t, 1), 4);
	EXPECT_EQ(mqtt_inflight_add(&t, &t, 1), 0);
}
