#include "perf/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void first_line(FILE *f, char *out, size_t size_bytes)
{
	if (f && fgets(out, (int)size_bytes, f))
		out[strcspn(out, "\n")] = 0;
}

static void cpu_model_read(struct machine *m)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		const char *value = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !value)
			continue;
		snprintf(m->cpu_model, sizeof(m->cpu_model), "%.*s", (int)strcspn(value + 2, "\n"),
			 value + 2);
		break;
	}
	if (f)
		fclose(f);
}

void machine_read(struct machine *m)
{
	struct utsname names;
	FILE *f;

	*m = (struct machine){.revision = "unknown", .kernel = "unknown", .cpu_model = "unknown"};
	f = popen("git describe --always --dirty --exclude='*' 2>/dev/null", "r");
	first_line(f, m->revision, sizeof(m->revision));
	if (f)
		pclose(f);
	if (uname(&names) == 0)
		snprintf(m->kernel, sizeof(m->kernel), "%s %s", names.sysname, names.release);
	cpu_model_read(m);
	m->cpu_count = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (getloadavg(&m->load, 1) != 1)
		m->load = -1;
}

void machine_print(const struct machine *m)
{
	printf("machine: %s, %u CPUs, %s, revision %s, load %.2f at the start\n", m->cpu_model, m->cpu_count,
	       m->kernel, m->revision, m->load);
}
