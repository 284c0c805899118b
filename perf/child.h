/* perf/child.h - another program for a benchmark: a peer, a broker.
 *
 * Purpose:  starts it without a shell, reads its CPU clock, ends it by its process id. What has been started ends with the
 *           benchmark, also where that fails or is ended by SIGINT, SIGTERM or SIGHUP.
 * Owner:    the caller. Threads: one, and one of its own that waits for such a signal. Memory: none.
 * Units:    nanoseconds of CPU, all its threads, user and system.
 * Errors:   what cannot be started ends the program; child_has_ended says that one did not last.
 */
#ifndef PERF_CHILD_H
#define PERF_CHILD_H

#include <sys/types.h>

#include "core/base.h"

/* argv[0] is a path, a name in $PATH, or, beginning with "./", a program that lies beside the calling one. cpu -1: any. */
pid_t child_start(const char *const argv[], int32_t cpu);
/* The same; its standard error goes to log_fd. */
pid_t child_start_logged(const char *const argv[], int32_t cpu, int log_fd);
uint64_t child_cpu_ns(pid_t pid);
bool child_has_ended(pid_t pid);
void child_end(pid_t pid);
/* Waits for one that ends by itself, or has been told to. Returns its status as waitpid gives it, -1: none. */
int child_wait(pid_t pid);
/* What else is to be put away then, after the children have ended; called by any thread, perhaps twice. */
void child_at_end(void (*put_away)(void));
/* A free port of the loopback interface: somebody else's a moment later only by bad luck. */
uint16_t child_free_port(void);

#endif
