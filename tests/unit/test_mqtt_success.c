/* The acknowledgement of four bytes, which has ways of its own through decoder and encoder: they say what the others say. */
#include "tests/test.h"

#include <errno.h>

#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"

static const enum mqtt_version versions[] = {MQTT_3_1_1, MQTT_5};

/* Both decoders on these bytes. */
static void expect_agreement(struct bytes in, enum mqtt_version version)
{
	struct mqtt_packet packet;
	struct mqtt_error error;
	enum mqtt_type type;
	uint16_t packet_id;
	int n = mqtt_decode(in, version, MQTT_SERVER, 0, &packet, &error);
	bool is_ack = n == MQTT_SUCCESS_BYTES && packet.type >= MQTT_PUBACK && packet.type <= MQTT_PUBCOMP;

	EXPECT_EQ(mqtt_decode_success(in, &type, &packet_id), is_ack);
	if (!is_ack)
		return;
	EXPECT_EQ(type, packet.type);
	EXPECT_EQ(packet_id, packet.ack.packet_id);
	EXPECT_EQ(packet.ack.code, MQTT_SUCCESS);
	EXPECT(!packet.ack.props.present);
}

TEST(four_bytes_are_a_success_just_where_the_decoder_says_so)
{
	static const uint16_t ids[] = {0, 1, 0x100, 0xff, UINT16_MAX};

	for (uint32_t first = 0; first < 256; first++)
		for (uint8_t length = 0; length < 5; length++)
			for (uint32_t i = 0; i < ARRAY_COUNT(ids); i++) {
				const uint8_t in[] = {(uint8_t)first, length, (uint8_t)(ids[i] >> 8),
						      (uint8_t)ids[i]};

				for (uint32_t v = 0; v < ARRAY_COUNT(versions); v++)
					expect_agreement(bytes_of(in, sizeof(in)), versions[v]);
			}
}

TEST(a_success_is_not_seen_before_all_of_it_is_there)
{
	static const uint8_t in[] = {0x40, 2, 0, 7, 0x40};

	for (size_t size = 0; size <= sizeof(in); size++)
		expect_agreement(bytes_of(in, size), MQTT_5);
}

TEST(a_success_is_written_as_the_decoder_reads_it)
{
	for (enum mqtt_type t = MQTT_PUBACK; t <= MQTT_PUBCOMP; t++) {
		uint8_t out[MQTT_SUCCESS_BYTES];
		struct writer w = writer_of(out, sizeof(out)), small = writer_of(out, sizeof(out) - 1);
		enum mqtt_type type;
		uint16_t packet_id;

		EXPECT_EQ(mqtt_encode_success(&w, t, 0), -EINVAL);
		EXPECT_EQ(mqtt_encode_success(&small, t, 0x1234), -ENOSPC);
		EXPECT_EQ(mqtt_encode_success(&w, t, 0x1234), MQTT_SUCCESS_BYTES);
		EXPECT(mqtt_decode_success(bytes_of(out, sizeof(out)), &type, &packet_id));
		EXPECT_EQ(type, t);
		EXPECT_EQ(packet_id, 0x1234);
	}
}
