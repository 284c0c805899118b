#include "perf/plain.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/rig.h"
#include "proto/mqtt_publish.h"

static void *plain_main(void *arg)
{
	struct plain *p = arg;
	static uint8_t acks[PLAIN_BYTES];

	prctl(PR_SET_NAME, "plain");
	thread_pin(p->cpu);
	while (!atomic_load_explicit(&p->stopping, memory_order_relaxed)) {
		for (size_t sent = 0; sent < p->used_bytes;) {
			ssize_t n = send(p->fd, p->bytes + sent, p->used_bytes - sent, MSG_NOSIGNAL);

			if (n < 0 && errno != EINTR)
				rig_fail("send", errno);
			sent += n > 0 ? (size_t)n : 0;
		}
		/* Acknowledgements of QoS 1 and 2: read, so that the sink can go on, and not looked at. */
		while (recv(p->fd, acks, sizeof(acks), MSG_DONTWAIT) == (ssize_t)sizeof(acks))
			;
	}
	return NULL;
}

void plain_fill_same(struct plain *p, uint8_t qos, const char *topic, uint32_t payload_bytes)
{
	uint8_t buffer[256 + 4096], *payload = buffer + 256;

	ASSERT(payload_bytes <= 4096);
	memset(payload, 'x', payload_bytes);
	p->used_bytes = 0;
	for (uint16_t id = 1;; id++) {
		uint8_t *packet = mqtt_publish_header_backwards(
			payload, &(struct mqtt_publish_header){.version = MQTT_3_1_1,
							       .qos = qos,
							       .packet_id = qos ? id : 0,
							       .payload_bytes = payload_bytes,
							       .topic = bytes_of(topic, strlen(topic))});
		size_t size_bytes = (size_t)(payload + payload_bytes - packet);

		p->packet_bytes = size_bytes;
		if (p->used_bytes + size_bytes > PLAIN_BYTES)
			return;
		memcpy(p->bytes + p->used_bytes, packet, size_bytes);
		p->used_bytes += size_bytes;
	}
}

void plain_connect(struct plain *p, uint16_t port)
{
	const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};

	p->stopping = false;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)&peer, sizeof(peer)) < 0)
		rig_fail("connect", errno);
}

void plain_disconnect(struct plain *p)
{
	close(p->fd);
}

void plain_start(struct plain *p, uint16_t port, int32_t cpu)
{
	int rc;

	p->cpu = cpu;
	plain_connect(p, port);
	rc = pthread_create(&p->thread, NULL, plain_main, p);
	if (rc != 0)
		rig_fail("thread", rc);
}

void plain_stop(struct plain *p)
{
	atomic_store_explicit(&p->stopping, true, memory_order_relaxed);
	pthread_join(p->thread, NULL);
	plain_disconnect(p);
}
