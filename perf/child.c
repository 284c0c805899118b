#include "perf/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "perf/rig.h"

extern char **environ;

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

void child_end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
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
