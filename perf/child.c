#include "perf/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "perf/rig.h"

#define CHILDREN_MAX  16u
#define PUT_AWAYS_MAX 4u

extern char **environ;

static _Atomic pid_t children[CHILDREN_MAX]; /* 0: none */
static void (*put_aways[PUT_AWAYS_MAX])(void);
static _Atomic uint32_t put_away_count;
static _Atomic bool signalled;
static int signal_pipe[2] = {-1, -1};
static pid_t owner_pid; /* a process that is forked off has nothing to put away */

/* --- the end of it all ---------------------------------------------------------------------------------------------- */

static void end_all(void)
{
	for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
		pid_t pid = atomic_exchange(&children[i], 0);

		if (pid > 0)
			child_end(pid);
	}
	for (uint32_t i = atomic_load(&put_away_count); i > 0; i--)
		put_aways[i - 1]();
}

static void at_exit(void)
{
	if (getpid() != owner_pid)
		return;
	while (atomic_load(&signalled))
		pause(); /* what failed, failed because of the signal: the other thread ends us */
	end_all();
}

static void on_signal(int number)
{
	uint8_t byte = (uint8_t)number;
	int saved = errno;
	ssize_t written = write(signal_pipe[1], &byte, 1);

	(void)written; /* full: one waits already */
	errno = saved;
}

/* A handler may neither read a folder nor wait for a process, so this thread does. It ends by the signal itself: a shell
 * that runs benchmarks one after the other then ends, too. */
static void *signal_main(void *arg)
{
	uint8_t number;

	while (read(signal_pipe[0], &number, 1) != 1)
		;
	atomic_store(&signalled, true);
	end_all();
	(void)signal(number, SIG_DFL);
	(void)kill(getpid(), number);
	return arg;
}

/* Once, with the first thing that has to be put away. */
static void watch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t thread;
	int rc;

	if (owner_pid)
		return;
	owner_pid = getpid();
	if (pipe2(signal_pipe, O_CLOEXEC) < 0)
		rig_fail("pipe", errno);
	if (atexit(at_exit) != 0)
		rig_fail("atexit", ENOMEM);
	rc = pthread_create(&thread, NULL, signal_main, NULL);
	if (rc != 0)
		rig_fail("thread", rc);
	(void)pthread_detach(thread);
	for (uint32_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		struct sigaction before;

		/* What nohup has it ignore stays ignored. */
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			(void)sigaction(numbers[i], &action, NULL);
	}
}

void child_at_end(void (*put_away)(void))
{
	uint32_t count = atomic_load(&put_away_count);

	watch_signals();
	ASSERT(count < PUT_AWAYS_MAX);
	put_aways[count] = put_away;
	atomic_store(&put_away_count, count + 1);
}

static void remember(pid_t pid)
{
	for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
		pid_t none = 0;

		if (atomic_compare_exchange_strong(&children[i], &none, pid))
			return;
	}
}

static void forget(pid_t pid)
{
	for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
		pid_t expected = pid;

		(void)atomic_compare_exchange_strong(&children[i], &expected, 0);
	}
}

/* --- children ------------------------------------------------------------------------------------------------------- */

static void beside_us(const char *name, char *out, size_t size_bytes)
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	own[n > 0 ? n : 0] = 0;
	slash = strrchr(own, '/');
	if (!slash || snprintf(out, size_bytes, "%.*s/%s", (int)(slash - own), own, name) >= (int)size_bytes)
		rig_fail(name, ENOENT);
}

pid_t child_start_logged(const char *const argv[], int32_t cpu, int log_fd)
{
	posix_spawn_file_actions_t actions;
	char path[PATH_MAX];
	pid_t pid;
	int rc;

	watch_signals();
	if (strncmp(argv[0], "./", 2) == 0)
		beside_us(argv[0] + 2, path, sizeof(path));
	else
		snprintf(path, sizeof(path), "%s", argv[0]);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc == 0 && log_fd != STDERR_FILENO)
		rc = posix_spawn_file_actions_adddup2(&actions, log_fd, STDERR_FILENO);
	if (rc == 0)
		rc = posix_spawnp(&pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		rig_fail(path, rc);
	remember(pid);
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((size_t)cpu, &set);
		(void)sched_setaffinity(pid, sizeof(set), &set); /* before it has threads */
	}
	return pid;
}

pid_t child_start(const char *const argv[], int32_t cpu)
{
	return child_start_logged(argv, cpu, STDERR_FILENO);
}

uint64_t child_cpu_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

bool child_has_ended(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

int child_wait(pid_t pid)
{
	int status = -1;

	if (waitpid(pid, &status, 0) != pid)
		status = -1;
	forget(pid);
	return status;
}

void child_end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)child_wait(pid);
}

uint16_t child_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t address_bytes = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &address_bytes) < 0)
		rig_fail("port", errno);
	close(fd);
	return ntohs(address.sin_port);
}
