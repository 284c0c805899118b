/* Paho's C client as a publisher, in a process of its own: sends one message over and over, until it is ended.
 *
 * peer_paho PORT QOS TOPIC PAYLOAD_BYTES WINDOW
 * WINDOW: messages under way at most. The library and this program are linked to nothing of ours: their licence and ours
 * do not go together. bench_peers starts it, and counts at the sink and by the process's CPU clock. */
#include <MQTTClient.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define WINDOW_MAX 65000 /* the library's own waiting at its limit takes 100 ms */

static _Atomic uint64_t delivered;

static void must(int rc, const char *what)
{
	if (rc == MQTTCLIENT_SUCCESS)
		return;
	fprintf(stderr, "peer_paho: %s: %d\n", what, rc);
	exit(1);
}

static int on_message(void *context, char *topic, int topic_bytes, MQTTClient_message *message)
{
	(void)context, (void)topic, (void)topic_bytes, (void)message;
	return 1;
}

static void on_delivered(void *context, MQTTClient_deliveryToken token)
{
	(void)context, (void)token;
	atomic_fetch_add_explicit(&delivered, 1, memory_order_relaxed);
}

int main(int argc, char **argv)
{
	MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
	MQTTClient client;
	char url[64];
	char *payload;
	int qos, payload_bytes;
	uint64_t window;

	if (argc != 6) {
		fprintf(stderr, "usage: peer_paho PORT QOS TOPIC PAYLOAD_BYTES WINDOW\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", atoi(argv[1]));
	qos = atoi(argv[2]);
	payload_bytes = atoi(argv[4]);
	window = strtoull(argv[5], NULL, 10);
	payload = malloc((size_t)payload_bytes + 1);
	if (!payload)
		return 1;
	memset(payload, 'x', (size_t)payload_bytes);
	must(MQTTClient_create(&client, url, "peer", MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");
	/* With a callback the library reads in a thread of its own, and publishing does not stop for each answer. */
	must(MQTTClient_setCallbacks(client, NULL, NULL, on_message, on_delivered), "callbacks");
	options.reliable = 0;
	options.maxInflightMessages = WINDOW_MAX;
	options.keepAliveInterval = 60;
	options.cleansession = 1;
	options.MQTTVersion = MQTTVERSION_3_1_1;
	must(MQTTClient_connect(client, &options), "connect");
	for (uint64_t made = 0;; made++) {
		while (qos && made - atomic_load_explicit(&delivered, memory_order_relaxed) >= window)
			nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
		must(MQTTClient_publish(client, argv[3], payload_bytes, payload, qos, 0, NULL), "publish");
	}
}
