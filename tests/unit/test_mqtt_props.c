/* The property table against table 2-4 of MQTT 5.0, written down once more; and the reason codes' texts. */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>

#include "proto/mqtt_props.h"

static const struct {
	unsigned id;
	const char *name;
	enum mqtt_prop_kind kind;
	const char *where; /* packet types; W is the will */
} table_2_4[] = {
	{1, "Payload Format Indicator", MQTT_KIND_BYTE, "PUBLISH W"},
	{2, "Message Expiry Interval", MQTT_KIND_U32, "PUBLISH W"},
	{3, "Content Type", MQTT_KIND_STRING, "PUBLISH W"},
	{8, "Response Topic", MQTT_KIND_STRING, "PUBLISH W"},
	{9, "Correlation Data", MQTT_KIND_BINARY, "PUBLISH W"},
	{11, "Subscription Identifier", MQTT_KIND_VARINT, "PUBLISH SUBSCRIBE"},
	{17, "Session Expiry Interval", MQTT_KIND_U32, "CONNECT CONNACK DISCONNECT"},
	{18, "Assigned Client Identifier", MQTT_KIND_STRING, "CONNACK"},
	{19, "Server Keep Alive", MQTT_KIND_U16, "CONNACK"},
	{21, "Authentication Method", MQTT_KIND_STRING, "CONNECT CONNACK AUTH"},
	{22, "Authentication Data", MQTT_KIND_BINARY, "CONNECT CONNACK AUTH"},
	{23, "Request Problem Information", MQTT_KIND_BYTE, "CONNECT"},
	{24, "Will Delay Interval", MQTT_KIND_U32, "W"},
	{25, "Request Response Information", MQTT_KIND_BYTE, "CONNECT"},
	{26, "Response Information", MQTT_KIND_STRING, "CONNACK"},
	{28, "Server Reference", MQTT_KIND_STRING, "CONNACK DISCONNECT"},
	{31, "Reason String", MQTT_KIND_STRING,
	 "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"},
	{33, "Receive Maximum", MQTT_KIND_U16, "CONNECT CONNACK"},
	{34, "Topic Alias Maximum", MQTT_KIND_U16, "CONNECT CONNACK"},
	{35, "Topic Alias", MQTT_KIND_U16, "PUBLISH"},
	{36, "Maximum QoS", MQTT_KIND_BYTE, "CONNACK"},
	{37, "Retain Available", MQTT_KIND_BYTE, "CONNACK"},
	{38, "User Property", MQTT_KIND_STRING_PAIR,
	 "CONNECT CONNACK PUBLISH W PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
	 "DISCONNECT AUTH"},
	{39, "Maximum Packet Size", MQTT_KIND_U32, "CONNECT CONNACK"},
	{40, "Wildcard Subscription Available", MQTT_KIND_BYTE, "CONNACK"},
	{41, "Subscription Identifier Available", MQTT_KIND_BYTE, "CONNACK"},
	{42, "Shared Subscription Available", MQTT_KIND_BYTE, "CONNACK"},
};

/* Is the word one of those in the list? */
static bool lists(const char *list, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at++)
		if ((at == list || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
			return true;
	return false;
}

TEST(the_table_has_the_properties_of_the_specification_in_their_places)
{
	size_t count = 0;

	for (uint32_t id = 0; id < 300; id++)
		count += mqtt_prop_info(id) != NULL;
	EXPECT_EQ(count, ARRAY_COUNT(table_2_4));
	for (size_t i = 0; i < ARRAY_COUNT(table_2_4); i++) {
		const struct mqtt_prop_info *info = mqtt_prop_info(table_2_4[i].id);

		EXPECT(info != NULL);
		EXPECT_TEXT(info->name, table_2_4[i].name);
		EXPECT_EQ(info->kind, table_2_4[i].kind);
		EXPECT_EQ(info->places & 1, lists(table_2_4[i].where, "W"));
		for (unsigned type = 1; type <= 15; type++)
			EXPECT_EQ(info->places >> type & 1, lists(table_2_4[i].where, mqtt_type_name(type)));
	}
}

TEST(user_properties_are_unbounded_and_keep_their_order)
{
	static uint8_t run[200000];
	struct writer w = writer_of(run, sizeof(run));
	struct mqtt_props props;
	struct mqtt_error err;
	struct bytes key, value;
	struct reader it;
	char text[16];
	int count = 0;

	for (int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		mqtt_write_user_property(&w, bytes_of_text("key"), bytes_of_text(text));
	}
	EXPECT(!w.failed);
	EXPECT_EQ(mqtt_props_decode(bytes_of(run, (size_t)(w.at - run)), MQTT_PUBLISH, MQTT_SERVER, &props,
				    &err),
		  0);
	it = reader_of(props.raw);
	while (mqtt_next_user_property(&it, &key, &value)) {
		snprintf(text, sizeof(text), "%d", count++);
		EXPECT(bytes_equal(value, bytes_of_text(text)));
	}
	EXPECT_EQ(count, 10000);
}

TEST(a_prepared_run_is_what_a_publish_takes)
{
	uint8_t run[64];
	struct writer w = writer_of(run, sizeof(run));
	struct mqtt_props props = {.message_expiry_interval_s = 60,
				   .content_type = bytes_of_text("text/plain")},
			  again;
	struct mqtt_error err;
	struct bytes raw;

	mqtt_props_set(&props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
	mqtt_props_set(&props, MQTT_PROP_CONTENT_TYPE);
	EXPECT_EQ(mqtt_props_size_bytes(&props), 5 + 13);
	EXPECT_EQ(mqtt_props_write(&w, &props), 0);
	raw = bytes_of(run, (size_t)(w.at - run));
	EXPECT_EQ(raw.size, 5 + 13);
	EXPECT_EQ(mqtt_props_decode(raw, MQTT_PUBLISH, MQTT_CLIENT, &again, &err), 0);
	EXPECT_EQ(again.message_expiry_interval_s, 60);
	EXPECT(bytes_equal(again.content_type, bytes_of_text("text/plain")));
	w = writer_of(run, 17);
	EXPECT_EQ(mqtt_props_write(&w, &props), -ENOSPC);
}

TEST(a_run_that_is_no_run_of_properties_has_no_size)
{
	struct mqtt_props props = {.raw = bytes_of_text("\x26\x01")};
	struct bytes key, value;
	struct reader it = reader_of(props.raw);

	EXPECT(mqtt_props_size_bytes(&props) == SIZE_MAX);
	EXPECT(!mqtt_next_user_property(&it, &key, &value));
}

TEST(reason_codes_speak_the_words_of_their_version_and_packet)
{
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_CONNACK, 0), "Success");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_DISCONNECT, 0), "Normal disconnection");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_SUBACK, 0), "Granted QoS 0");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_SUBACK, 2), "Granted QoS 2");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_UNSUBACK, 0x11), "No subscription existed");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_PUBACK, 0x10), "No matching subscribers");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_CONNACK, 0x87), "Not authorized");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_DISCONNECT, 0x8E), "Session taken over");
	EXPECT_TEXT(mqtt_reason_text(MQTT_5, MQTT_PUBACK, 0x8E), "reserved");
	EXPECT_TEXT(mqtt_reason_text(MQTT_3_1_1, MQTT_CONNACK, 0), "Connection Accepted");
	EXPECT_TEXT(mqtt_reason_text(MQTT_3_1_1, MQTT_CONNACK, 1),
		    "Connection Refused, unacceptable protocol version");
	EXPECT_TEXT(mqtt_reason_text(MQTT_3_1_1, MQTT_CONNACK, 5), "Connection Refused, not authorized");
	EXPECT_TEXT(mqtt_reason_text(MQTT_3_1_1, MQTT_CONNACK, 6), "reserved");
	EXPECT_TEXT(mqtt_reason_text(MQTT_3_1_1, MQTT_SUBACK, 0x80), "Failure");
	EXPECT_TEXT(mqtt_type_name(3), "PUBLISH");
	EXPECT_TEXT(mqtt_type_name(99), "reserved");
	EXPECT_TEXT(mqtt_version_name(MQTT_5), "5.0");
	EXPECT_TEXT(mqtt_version_name(MQTT_3_1_1), "3.1.1");
}
