#include "perf/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/thread_memory.h"

void report_append(const char *path, const struct machine *m, const char *bench, const char *name,
		   const struct report_figure *figures, uint32_t count)
{
	const char *before = "";
	bool has_any = false;
	FILE *f;

	for (uint32_t i = 0; i < count; i++)
		has_any |= figures[i].series->count > 0;
	if (!path || !has_any)
		return; /* a case that was not measured */
	f = fopen(path, "ae");
	if (!f) {
		fprintf(stderr, "bench_%s: %s: %s\n", bench, path, strerror(errno));
		exit(1);
	}
	fprintf(f,
		"{\"bench\":\"%s\",\"case\":\"%s\",\"time\":%lld,\"revision\":\"%s\",\"kernel\":\"%s\","
		"\"cpu\":\"%s\",\"cpus\":%u,\"load\":%.2f,\"figures\":{",
		bench, name, (long long)(clock_wall().ns / (int64_t)NS_PER_S), m->revision, m->kernel,
		m->cpu_model, m->cpu_count, m->load);
	for (uint32_t i = 0; i < count; i++) {
		const struct series *s = figures[i].series;

		if (s->count == 0)
			continue;
		fprintf(f, "%s\"%s\":[%.6g,%.6g,%.6g]", before, figures[i].key, series_median(s),
			series_min(s), series_max(s));
		before = ",";
	}
	fprintf(f, "}}\n");
	fclose(f);
}

void report_allocations(uint64_t bytes)
{
	printf("allocated by the data threads since ready: %llu bytes%s\n", (unsigned long long)bytes,
	       thread_memory_is_counted() ? "" : " (not counted: no jemalloc)");
}
