/* What it costs to make a PUBLISH of a topic and a payload: on one core, nothing is sent. 31-byte topic, 64-byte payload.
 *
 *   backwards  the publisher's way: the header is written anew, before a payload that stays where it is
 *   general    mqtt_encode_publish, the encoder of any packet: header and payload are written one after the other
 *   prepared   a header that was made once is copied before the payload, its packet identifier set: a floor
 *
 * Each in a buffer that is in the cache, which in the product is another core's: here only the work itself is seen.
 * --count N --how NAME: N messages at QoS 1, no report: for counting instructions. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/thread_memory.h"
#include "perf/machine.h"
#include "perf/report.h"
#include "perf/series.h"
#include "perf/thread.h"
#include "proto/mqtt_encode.h"
#include "proto/mqtt_publish.h"

#define MESSAGES      1000000u
#define TOPIC         "bench/hall-1/line-7/energy/t000"
#define PAYLOAD_BYTES 64u
#define SLOTS         256u /* places that are written in turn: 40 KiB */
#define SLOT_BYTES    160u
#define HEADROOM      64u

enum how { BACKWARDS, GENERAL, PREPARED, HOW_COUNT };

static const char *const how_names[HOW_COUNT] = {"backwards", "general", "prepared"};

struct shape {
	enum mqtt_version version;
	uint8_t qos;
	bool alias; /* known to the server: the topic is not sent */
};

static const struct shape shapes[] = {
	{MQTT_3_1_1, 0, false}, {MQTT_3_1_1, 1, false}, {MQTT_5, 0, false},
	{MQTT_5, 1, false},     {MQTT_5, 0, true},
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static uint8_t slots[SLOTS][SLOT_BYTES];
static uint64_t allocated_bytes; /* while it was measured */
static uint64_t sum;             /* of what was written, so that it has to be */

static uint64_t backwards(const struct shape *s, uint64_t count)
{
	uint64_t first_bytes = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint8_t *payload = slots[i % SLOTS] + HEADROOM;
		const uint8_t *packet = mqtt_publish_header_backwards(
			payload, &(struct mqtt_publish_header){
					 .version = s->version,
					 .qos = s->qos,
					 .packet_id = s->qos ? (uint16_t)(1 + i % 65535) : 0,
					 .topic_alias = s->alias ? 7 : 0,
					 .payload_bytes = PAYLOAD_BYTES,
					 .topic = bytes_of(TOPIC, s->alias ? 0 : sizeof(TOPIC) - 1),
				 });

		first_bytes += (uint64_t)(payload - packet) + packet[1];
	}
	return first_bytes;
}

static uint64_t general(const struct shape *s, uint64_t count)
{
	static const uint8_t payload[PAYLOAD_BYTES] = {1};
	uint64_t first_bytes = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct writer w = writer_of(slots[i % SLOTS], SLOT_BYTES);
		struct mqtt_publish p = {
			.qos = s->qos,
			.packet_id = s->qos ? (uint16_t)(1 + i % 65535) : 0,
			.topic = bytes_of(TOPIC, s->alias ? 0 : sizeof(TOPIC) - 1),
			.payload = bytes_of(payload, sizeof(payload)),
		};
		int rc;

		if (s->alias) {
			mqtt_props_set(&p.props, MQTT_PROP_TOPIC_ALIAS);
			p.props.topic_alias = 7;
		}
		rc = mqtt_encode_publish(&w, s->version, MQTT_CLIENT, &p);
		ASSERT(rc > 0);
		first_bytes += (uint64_t)rc + slots[i % SLOTS][1];
	}
	return first_bytes;
}

static uint64_t prepared(const struct shape *s, uint64_t count)
{
	uint8_t room[HEADROOM], *start;
	uint64_t first_bytes = 0;
	size_t header_bytes;

	start = mqtt_publish_header_backwards(
		room + HEADROOM, &(struct mqtt_publish_header){
					 .version = s->version,
					 .qos = s->qos,
					 .packet_id = s->qos,
					 .topic_alias = s->alias ? 7 : 0,
					 .payload_bytes = PAYLOAD_BYTES,
					 .topic = bytes_of(TOPIC, s->alias ? 0 : sizeof(TOPIC) - 1),
				 });
	header_bytes = (size_t)(room + HEADROOM - start);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *payload = slots[i % SLOTS] + HEADROOM, *packet = payload - header_bytes;
		size_t id_at = header_bytes - 2 -
			       (s->version == MQTT_5 ? 1 : 0); /* no properties: their length */

		memcpy(packet, start, header_bytes);
		if (s->qos) {
			packet[id_at] = (uint8_t)(i >> 8);
			packet[id_at + 1] = (uint8_t)i;
		}
		first_bytes += header_bytes + packet[1];
	}
	return first_bytes;
}

static uint64_t run(enum how how, const struct shape *s, uint64_t count)
{
	switch (how) {
	case BACKWARDS: return backwards(s, count);
	case GENERAL: return general(s, count);
	case PREPARED: return prepared(s, count);
	case HOW_COUNT: break;
	}
	UNREACHABLE();
}

static void print_report(const struct machine *m, struct series of[SHAPES][HOW_COUNT], uint32_t rounds,
			 const char *json_path)
{
	machine_print(m);
	printf("encode: a PUBLISH with a 31-byte topic and 64 bytes of payload, CPU ns/message on one core, "
	       "%u rounds of "
	       "%u\n%-28s %-10s %9s %9s %9s\n",
	       rounds, MESSAGES, "", "", "median", "min", "max");
	for (uint32_t i = 0; i < SHAPES; i++) {
		struct report_figure figures[HOW_COUNT];
		char name[64];

		snprintf(name, sizeof(name), "version=%s qos=%u alias=%s",
			 shapes[i].version == MQTT_5 ? "5" : "3.1.1", shapes[i].qos,
			 shapes[i].alias ? "on" : "off");
		for (uint32_t how = 0; how < HOW_COUNT; how++)
			printf("%-28s %-10s %9.1f %9.1f %9.1f\n", name, how_names[how],
			       series_median(&of[i][how]), series_min(&of[i][how]), series_max(&of[i][how]));
		figures[BACKWARDS] = (struct report_figure){"backwards_ns", &of[i][BACKWARDS]};
		figures[GENERAL] = (struct report_figure){"general_ns", &of[i][GENERAL]};
		figures[PREPARED] = (struct report_figure){"prepared_ns", &of[i][PREPARED]};
		report_append(json_path, m, "encode", name, figures, HOW_COUNT);
	}
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"count", required_argument, NULL, 'c'},
		{"how", required_argument, NULL, 'h'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	static struct series of[SHAPES][HOW_COUNT];
	const char *json_path = NULL;
	uint32_t rounds = 9, how = HOW_COUNT;
	struct machine machine;
	uint64_t count = 0;
	int key;

	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'r': rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'c': count = strtoull(optarg, NULL, 10); break;
		case 'j': json_path = optarg; break;
		case 'h':
			for (how = 0; how < HOW_COUNT && strcmp(optarg, how_names[how]) != 0;)
				how++;
			break;
		default: rounds = 0; break;
		}
	}
	if (optind != argc || rounds < 1 || rounds > SERIES_MAX || (count > 0) != (how < HOW_COUNT)) {
		fprintf(stderr, "usage: bench_encode [--rounds N] [--json FILE]\n"
				"       bench_encode --count MESSAGES --how backwards|general|prepared\n");
		return 2;
	}
	if (count > 0)
		return run((enum how)how, &shapes[1], count) == 0;
	machine_read(&machine);
	thread_pin(0);
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t i = 0; i < SHAPES; i++)
			for (how = 0; how < HOW_COUNT; how++) {
				uint64_t before_bytes = thread_allocated_bytes();
				uint64_t before_ns = thread_cpu_ns(pthread_self());

				sum += run((enum how)how, &shapes[i], MESSAGES);
				series_add(&of[i][how],
					   (double)(thread_cpu_ns(pthread_self()) - before_ns) / MESSAGES);
				allocated_bytes += thread_allocated_bytes() - before_bytes;
			}
	ASSERT(sum > 0);
	print_report(&machine, of, rounds, json_path);
	report_allocations(allocated_bytes);
	return allocated_bytes == 0 ? 0 : 1;
}
