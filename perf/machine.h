/* perf/machine.h - on what a figure was measured: without that it says nothing.
 *
 * Purpose:  revision, kernel, processor and load, for the first line of a report and for its JSON record.
 * Owner:    the caller's struct. Threads: none shared. Errors: what cannot be had is "unknown".
 */
#ifndef PERF_MACHINE_H
#define PERF_MACHINE_H

#include "core/base.h"

struct machine {
	char revision[64]; /* of the source tree we run in; "-dirty" where it has changes */
	char kernel[160];
	char cpu_model[128];
	uint32_t cpu_count;
	double load; /* average of the last minute: others on the machine */
};

void machine_read(struct machine *m);
/* One line for people, to standard output. */
void machine_print(const struct machine *m);

#endif
