/* Where a packet ends, and the password in a CONNECT. */
#include "proto/mqtt_frame.h"

#include <errno.h>
#include <string.h>

#include "proto/mqtt_encode.h"
#include "tests/test.h"

#define SECRET "top-secret"

/* With everything that may stand before the password. */
static size_t connect_make(uint8_t *out, size_t room, enum mqtt_version version, bool has_password)
{
	struct mqtt_connect c = {
		.clean_start = true,
		.keep_alive_s = 60,
		.client_id = bytes_of_text("client"),
		.has_will = true,
		.will = {.topic = bytes_of_text("will/topic"), .payload = bytes_of_text("will-payload")},
		.has_user_name = true,
		.user_name = bytes_of_text("user-name"),
		.has_password = has_password,
		.password = bytes_of_text(SECRET),
	};
	struct writer w = writer_of(out, room);

	if (version == MQTT_5) {
		mqtt_props_set(&c.props, MQTT_PROP_SESSION_EXPIRY_INTERVAL);
		mqtt_props_set(&c.will.props, MQTT_PROP_WILL_DELAY_INTERVAL);
	}
	EXPECT_LE(1, mqtt_encode_connect(&w, version, &c));
	return (size_t)(w.at - out);
}

static bool has(const uint8_t *packet, size_t size, const char *text)
{
	return memmem(packet, size, text, strlen(text)) != NULL;
}

TEST(the_password_is_covered_and_nothing_else)
{
	uint8_t packet[256], masked[256];

	for (int version = MQTT_3_1_1; version <= MQTT_5; version++) {
		size_t size = connect_make(packet, sizeof(packet), (enum mqtt_version)version, true);

		EXPECT(has(packet, size, SECRET));
		memcpy(masked, packet, size);
		mqtt_frame_mask(masked, size);
		EXPECT_MEM(masked, packet, size - strlen(SECRET));
		EXPECT_MEM(masked + size - strlen(SECRET), "**********", strlen(SECRET));
	}
}

TEST(without_a_password_a_packet_stays_as_it_is)
{
	uint8_t packet[256], masked[256];
	size_t size = connect_make(packet, sizeof(packet), MQTT_5, false);

	memcpy(masked, packet, size);
	mqtt_frame_mask(masked, size);
	EXPECT_MEM(masked, packet, size);
	(void)connect_make(packet, sizeof(packet), MQTT_5, true);
	packet[0] = 0x30; /* PUBLISH */
	memcpy(masked, packet, sizeof(masked));
	mqtt_frame_mask(masked, sizeof(masked));
	EXPECT_MEM(masked, packet, sizeof(masked));
}

TEST(of_a_packet_that_is_cut_off_no_byte_of_the_password_stays)
{
	uint8_t packet[256];

	for (int version = MQTT_3_1_1; version <= MQTT_5; version++) {
		size_t whole = connect_make(packet, sizeof(packet), (enum mqtt_version)version, true);

		for (size_t size = 0; size <= whole; size++) {
			uint8_t cut[256];

			memcpy(cut, packet, sizeof(cut));
			mqtt_frame_mask(cut, size);
			EXPECT_MEM(cut + size, packet + size, sizeof(cut) - size);
			for (size_t i = whole - strlen(SECRET); i < size; i++)
				EXPECT_EQ(cut[i], '*');
		}
	}
}

TEST(what_cannot_be_followed_is_covered)
{
	uint8_t packet[256];
	size_t size = connect_make(packet, sizeof(packet), MQTT_5, true);
	size_t props = 2 + 6 + 1 + 1 + 2;

	memset(packet + props, 0xff, 4); /* a length that is none */
	mqtt_frame_mask(packet, size);
	EXPECT(!has(packet, size, SECRET));
	size = connect_make(packet, sizeof(packet), MQTT_5, true);
	packet[props + 6] = 0xff; /* a client identifier that is larger than the packet */
	mqtt_frame_mask(packet, size);
	EXPECT(!has(packet, size, SECRET));
}

TEST(nothing_is_looked_for_behind_a_length_that_is_none)
{
	uint8_t packet[] = "\x10\x1d\0\4MQTT\5\x40\0\0\xff\xff\xff\xff\0\x0atop-secret\0\1x";

	mqtt_frame_mask(packet, sizeof(packet) - 1);
	EXPECT(!has(packet, sizeof(packet) - 1, SECRET));
}

TEST(a_packet_ends_where_its_length_says)
{
	static const uint8_t ping[] = {0xc0, 0}, large[] = {0x30, 0x80, 0x01, 1}, cut[] = {0x30, 0x80, 0x80};
	static const uint8_t five[] = {0x30, 0x80, 0x80, 0x80, 0x80, 1}, none[] = {0x00, 0};

	EXPECT_EQ(mqtt_frame_bytes(bytes_of(ping, 2)), 2);
	EXPECT_EQ(mqtt_frame_bytes(bytes_of(large, sizeof(large))), 3 + 128);
	for (size_t size = 0; size <= sizeof(cut); size++)
		EXPECT_EQ(mqtt_frame_bytes(bytes_of(cut, size)), 0);
	EXPECT_EQ(mqtt_frame_bytes(bytes_of(five, sizeof(five))), -EPROTO);
	EXPECT_EQ(mqtt_frame_bytes(bytes_of(none, sizeof(none))), -EPROTO);
}
