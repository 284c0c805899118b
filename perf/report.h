/* perf/report.h - what a benchmark has found, as a JSON line that bench-compare can put beside another one.
 *
 * Purpose:  one form for all of them: which benchmark, which case, on what, and of each figure [median, min, max] of the
 *           rounds. A figure's key ends in its unit; perf/compare reads from that whether more is better.
 * Owner:    the caller. Threads: one. Memory: none. Units: as the key's end says: _ns _us _ms _bytes _kib _instr: less is
 *           better; _per_s: more is better; anything else is shown and not judged.
 * Errors:   a file that cannot be written ends the program with status 1.
 */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include "perf/machine.h"
#include "perf/series.h"

struct report_figure {
	const char *key;
	const struct series *series;
};

/* Appends a line; does nothing where there is no path. `name` says the options: two lines compare where it is the same.
 * Figures without a value are left out. */
void report_append(const char *path, const struct machine *m, const char *bench, const char *name,
		   const struct report_figure *figures, uint32_t count);

/* What the data threads, or whoever runs their code here, have allocated while they were measured: a line for people. A
 * benchmark ends with status 1 where that is not 0. */
void report_allocations(uint64_t bytes);

#endif
