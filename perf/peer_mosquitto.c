/* libmosquitto as a publisher, in a process of its own: sends one message over and over, until it is ended.
 *
 * peer_mosquitto PORT QOS TOPIC PAYLOAD_BYTES THREADS WINDOW
 * THREADS 1: the calling thread writes and reads; 2: the library's own thread does. WINDOW: messages under way at most;
 * the library keeps a list of them. bench_peers starts it, and counts at the sink and by the process's CPU clock. */
#include <mosquitto.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define LOOP_MS         100
#define QOS_0_QUEUE_MAX 1000 /* packets that the library may have queued before we wait */

static _Atomic bool connected;
static _Atomic uint64_t finished; /* sent at QoS 0, acknowledged at 1 and 2 */

static void on_connect(struct mosquitto *m, void *context, int rc)
{
	(void)m, (void)context;
	if (rc == 0)
		atomic_store(&connected, true);
}

static void on_publish(struct mosquitto *m, void *context, int id)
{
	(void)m, (void)context, (void)id;
	atomic_fetch_add_explicit(&finished, 1, memory_order_relaxed);
}

static void must(int rc, const char *what)
{
	if (rc == MOSQ_ERR_SUCCESS)
		return;
	fprintf(stderr, "peer_mosquitto: %s: %s\n", what, mosquitto_strerror(rc));
	exit(1);
}

static void pause_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

int main(int argc, char **argv)
{
	struct mosquitto *m;
	int port, qos, payload_bytes, threads;
	uint64_t window, made = 0;
	char *payload;

	if (argc != 7) {
		fprintf(stderr, "usage: peer_mosquitto PORT QOS TOPIC PAYLOAD_BYTES THREADS WINDOW\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	port = atoi(argv[1]);
	qos = atoi(argv[2]);
	payload_bytes = atoi(argv[4]);
	threads = atoi(argv[5]);
	window = strtoull(argv[6], NULL, 10);
	payload = malloc((size_t)payload_bytes + 1);
	mosquitto_lib_init();
	m = mosquitto_new("peer", true, NULL);
	if (!payload || !m)
		return 1;
	memset(payload, 'x', (size_t)payload_bytes);
	mosquitto_connect_callback_set(m, on_connect);
	mosquitto_publish_callback_set(m, on_publish);
	must(mosquitto_max_inflight_messages_set(m, qos ? (unsigned)window : 0), "window");
	must(mosquitto_connect(m, "127.0.0.1", port, 60), "connect");
	if (threads == 2)
		must(mosquitto_loop_start(m), "thread");
	while (!atomic_load(&connected))
		if (threads == 2)
			pause_us(1000);
		else
			must(mosquitto_loop(m, LOOP_MS, 1), "loop");
	if (qos == 0)
		window = QOS_0_QUEUE_MAX;
	for (;; made++) {
		while (made - atomic_load_explicit(&finished, memory_order_relaxed) >= window)
			if (threads == 2)
				pause_us(20);
			else
				must(mosquitto_loop(m, LOOP_MS, 1), "loop");
		must(mosquitto_publish(m, NULL, argv[3], payload_bytes, payload, qos, false), "publish");
	}
}
