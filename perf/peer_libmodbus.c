/* libmodbus as a master, in a process of its own: reads all devices in turn, until it is ended.
 *
 * peer_libmodbus PORT DEVICES READS REGISTERS EVERY_US
 * Each device is a context, and so a connection, of its own: a context blocks until its answer is there. In each turn every device
 * is read READS times; EVERY_US 0: turn after turn, else one each so many microseconds, by absolute deadlines. bench_field starts
 * it, and counts at the slave and by the process's CPU clock. */
#include <errno.h>
#include <modbus/modbus.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define DEVICES_MAX   1000 /* it waits in select(), which ends at descriptor 1023 */
#define REGISTERS_MAX 125
#define BLOCK         20 /* registers from the beginning of one read to that of the next */
#define NS_PER_SECOND 1000000000L

static modbus_t *devices[DEVICES_MAX];

static void must(int rc, const char *what)
{
	if (rc != -1)
		return;
	fprintf(stderr, "peer_libmodbus: %s: %s\n", what, modbus_strerror(errno));
	exit(1);
}

static void read_all(int device_count, int reads, int registers)
{
	uint16_t values[REGISTERS_MAX];

	for (int device = 0; device < device_count; device++)
		for (int i = 0; i < reads; i++)
			must(modbus_read_registers(devices[device], i * BLOCK, registers, values), "read");
}

static void wait_until(struct timespec *due, long step_us)
{
	struct timespec now;

	due->tv_nsec += step_us * 1000;
	due->tv_sec += due->tv_nsec / NS_PER_SECOND;
	due->tv_nsec %= NS_PER_SECOND;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > due->tv_sec + 1)
		*due = now; /* a turn that is missed is left out */
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL) == EINTR)
		;
}

int main(int argc, char **argv)
{
	int device_count, reads, registers;
	struct timespec due;
	long every_us;

	if (argc != 6) {
		fprintf(stderr, "usage: peer_libmodbus PORT DEVICES READS REGISTERS EVERY_US\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	device_count = atoi(argv[2]);
	reads = atoi(argv[3]);
	registers = atoi(argv[4]);
	every_us = atol(argv[5]);
	if (device_count < 1 || device_count > DEVICES_MAX || registers < 1 || registers > REGISTERS_MAX ||
	    every_us < 0 || every_us >= NS_PER_SECOND / 1000)
		return 2;
	for (int i = 0; i < device_count; i++) {
		devices[i] = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
		must(devices[i] ? 0 : -1, "context");
		must(modbus_set_slave(devices[i], 1), "unit");
		must(modbus_connect(devices[i]), "connect");
	}
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (;;) {
		read_all(device_count, reads, registers);
		if (every_us > 0)
			wait_until(&due, every_us);
	}
}
