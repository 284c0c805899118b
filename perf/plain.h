/* perf/plain.h - the plain-send limit: a loop that sends one prepared buffer over and over.
 *
 * Purpose:  what the kernel alone costs for the same packets to the same sink.
 * Owner:    the caller, who fills bytes[] with whole packets before plain_start. Threads: its own, pinned.
 * Memory:   the struct. Errors: a connection that fails ends the program.
 */
#ifndef PERF_PLAIN_H
#define PERF_PLAIN_H

#include <pthread.h>

#include "core/base.h"

#define PLAIN_BYTES (64u << 10)

struct plain {
	uint8_t bytes[PLAIN_BYTES];
	size_t used_bytes;
	size_t packet_bytes; /* of each */
	int fd;
	int32_t cpu;
	_Atomic bool stopping;
	pthread_t thread;
};

/* Fills it with PUBLISH packets of MQTT 3.1.1: this topic, so many bytes, packet identifiers from 1. */
void plain_fill_same(struct plain *p, uint8_t qos, const char *topic, uint32_t payload_bytes);
/* Connects, without a thread; and the other way. */
void plain_connect(struct plain *p, uint16_t port);
void plain_disconnect(struct plain *p);

void plain_start(struct plain *p, uint16_t port, int32_t cpu);
void plain_stop(struct plain *p);

#endif
