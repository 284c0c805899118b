/* Any bytes, both versions, both sides: the decoder never reads past them, and what it accepts can be encoded
 * and says the same again. The first byte chooses version, side and a size limit. */
#include <stdlib.h>

#include "core/assert.h"
#include "proto/mqtt_decode.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_topic.h"
#include "tests/mqtt_equal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Walks the lists that a receiver would walk. */
static void use(const struct mqtt_packet *p, enum mqtt_version v)
{
	struct mqtt_subscription s;
	uint32_t count = 0;

	if (p->type == MQTT_SUBSCRIBE) {
		struct reader it = reader_of(p->subscribe.filters);

		for (; mqtt_next_subscription(&it, v, &s); count++)
			ASSERT(mqtt_topic_filter_check(v, s.filter) == MQTT_TOPIC_OK);
		ASSERT(count == p->subscribe.filter_count);
	}
	if (p->type == MQTT_PUBLISH)
		(void)!mqtt_topic_match(bytes_of_text("+/a/#"), p->publish.topic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mqtt_version v, named;
	enum mqtt_side from;
	struct mqtt_packet packet, again;
	struct mqtt_error err;
	struct writer w;
	uint8_t *buffer;
	int result;

	if (size == 0)
		return 0;
	v = data[0] & 1 ? MQTT_5 : MQTT_3_1_1;
	from = data[0] & 2 ? MQTT_SERVER : MQTT_CLIENT;
	result = mqtt_decode(bytes_of(data + 1, size - 1), v, from, data[0] >> 2, &packet, &err);
	(void)!mqtt_connect_version(bytes_of(data + 1, size - 1), &named, &err);
	if (result <= 0)
		return 0;
	ASSERT((size_t)result <= size - 1);
	use(&packet, v);
	buffer = malloc(size);
	w = writer_of(buffer, size);
	result = mqtt_encode(&w, v, from, &packet);
	ASSERT(result > 0);
	ASSERT(mqtt_decode(bytes_of(buffer, (size_t)result), v, from, 0, &again, &err) == result);
	ASSERT(mqtt_packet_equal(&packet, &again));
	free(buffer);
	return 0;
}
