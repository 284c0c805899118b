/* What the flight recorder costs the thread that sends and receives: on one core, nothing is sent. Messages with a 31-byte topic and
 * 64 bytes of payload, QoS 1; recorders of 64 KiB.
 *
 *   off     the branch that is there without a recorder
 *   batch   64 messages in one send
 *   single  one message a send
 *   alias   64 messages in one send that have an alias in the place of their topic, each noted with its channel
 *   acks    64 PUBACKs in one read
 *   frames  a Modbus frame of 25 bytes
 *
 * --count N --how NAME: N messages or frames, no report: for counting instructions. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/thread_memory.h"
#include "io/target_priv.h"
#include "perf/machine.h"
#include "perf/report.h"
#include "perf/series.h"
#include "perf/thread.h"
#include "proto/mqtt_publish.h"

#define MESSAGES      1000000u
#define BATCH         64u
#define TOPIC         "bench/hall-1/line-7/energy/t000"
#define PAYLOAD_BYTES 64u
#define HEADROOM      64u
#define FRAME_BYTES   25u

enum how { OFF, IN_BATCH, SINGLE, ALIAS, ACKS, FRAMES, HOW_COUNT };

static const char *const how_names[HOW_COUNT] = {"off", "batch", "single", "alias", "acks", "frames"};

static struct trace_switch shared;
static struct publisher publisher;
static struct cfg_target config;
static struct target target;
static struct iovec iov[BATCH];
static struct ring_record records[BATCH], *batch[BATCH];
static uint8_t packets[BATCH][HEADROOM + PAYLOAD_BYTES];
static uint8_t acks[BATCH][4];

static void target_make(bool record)
{
	int rc;

	trace_switch_init(&shared, false, 0);
	publisher.config.trace = &shared;
	publisher.turn = (struct turn){.mono = {.ns = 1}, .read = true};
	config.trace = (struct cfg_trace){.memory_bytes = 64u << 10, .snap_bytes = 256, .record = record};
	target = (struct target){.publisher = &publisher, .config = &config, .iov = iov, .batch = batch};
	rc = target_trace_open(&target);
	ASSERT(rc == 0);
	target.trace.source.endpoint_bytes = 12;
}

static void packets_make(bool alias)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t *payload = packets[i] + HEADROOM;
		uint8_t *start = mqtt_publish_header_backwards(
			payload, &(struct mqtt_publish_header){
					 .version = MQTT_5,
					 .qos = 1,
					 .packet_id = (uint16_t)(1 + i),
					 .topic_alias = alias ? 7 : 0,
					 .payload_bytes = PAYLOAD_BYTES,
					 .topic = bytes_of(TOPIC, alias ? 0 : sizeof(TOPIC) - 1),
				 });

		iov[i] = (struct iovec){.iov_base = start,
					.iov_len = (size_t)(payload + PAYLOAD_BYTES - start)};
		batch[i] = &records[i];
		memcpy(acks[i], (const uint8_t[]){0x40, 2, 0, (uint8_t)(1 + i)}, 4);
	}
}

/* As target_pump. */
static void sent(uint64_t count, uint32_t a_send)
{
	target.iov_count = target.batch_count = a_send;
	for (uint64_t i = 0; i < count; i += a_send) {
		if (trace_is_on(&target.trace.source))
			target_trace_sent(&target);
		target.stream.sent_bytes += 100;
	}
}

static void received(uint64_t count)
{
	for (uint64_t i = 0; i < count; i += BATCH) {
		target.stream.received_bytes += sizeof(acks);
		if (trace_is_on(&target.trace.source))
			target_trace_received(&target, bytes_of(acks, sizeof(acks)));
	}
}

static void framed(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (trace_is_on(&target.trace.source))
			trace_bytes(&target.trace.source, TRACE_RECEIVED, (struct mono){.ns = 1}, (uint32_t)i,
				    0, bytes_of(packets, FRAME_BYTES), FRAME_BYTES);
}

static uint64_t allocated_bytes; /* while it records */

static void run(enum how how, uint64_t count)
{
	uint64_t before_bytes;

	target_make(how != OFF);
	packets_make(how == ALIAS);
	before_bytes = thread_allocated_bytes();
	switch (how) {
	case OFF:
	case SINGLE: sent(count, 1); break;
	case IN_BATCH:
	case ALIAS: sent(count, BATCH); break;
	case ACKS: received(count); break;
	case FRAMES: framed(count); break;
	case HOW_COUNT: UNREACHABLE();
	}
	allocated_bytes += thread_allocated_bytes() - before_bytes;
	trace_close(target.trace.source.ring);
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
	static struct series of[HOW_COUNT];
	struct report_figure figures[HOW_COUNT];
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
		fprintf(stderr, "usage: bench_trace [--rounds N] [--json FILE]\n"
				"       bench_trace --count N --how off|batch|single|alias|acks|frames\n");
		return 2;
	}
	if (count > 0) {
		run((enum how)how, count);
		return 0;
	}
	machine_read(&machine);
	thread_pin(0);
	for (uint32_t round = 0; round < rounds; round++)
		for (how = 0; how < HOW_COUNT; how++) {
			uint64_t before_ns = thread_cpu_ns(pthread_self());

			run((enum how)how, MESSAGES);
			series_add(&of[how], (double)(thread_cpu_ns(pthread_self()) - before_ns) / MESSAGES);
		}
	machine_print(&machine);
	printf("trace: CPU ns/message or frame on one core, %u rounds of %u\n%-10s %9s %9s %9s\n", rounds,
	       MESSAGES, "", "median", "min", "max");
	for (how = 0; how < HOW_COUNT; how++) {
		printf("%-10s %9.1f %9.1f %9.1f\n", how_names[how], series_median(&of[how]),
		       series_min(&of[how]), series_max(&of[how]));
		figures[how] = (struct report_figure){how_names[how], &of[how]};
	}
	report_append(json_path, &machine, "trace", "recorder", figures, HOW_COUNT);
	report_allocations(allocated_bytes);
	return allocated_bytes == 0 ? 0 : 1;
}
