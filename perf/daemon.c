#include "perf/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/child.h"
#include "perf/rig.h"
#include "tools/ctl_client.h"

#define READY_MAX_S     120
#define POLL_S          0.0001
#define LOG_TAIL_BYTES  4096
#define CALL_TIMEOUT_MS 30000

static struct daemon *_Atomic running; /* its folder goes with us, whatever ends us */

static void folder_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	(void)rmdir(path);
}

static void put_away_running(void)
{
	const struct daemon *d = atomic_load(&running);

	if (d)
		folder_remove(d->folder);
}

static void remember(struct daemon *d)
{
	static bool is_registered;

	if (!is_registered)
		child_at_end(put_away_running);
	is_registered = true;
	atomic_store(&running, d);
}

static NORETURN void daemon_fail(const struct daemon *d, const char *what)
{
	char text[LOG_TAIL_BYTES];
	FILE *f = fopen(d->log, "re");
	size_t n = 0;

	if (f) {
		if (fseek(f, -(long)sizeof(text), SEEK_END) < 0)
			rewind(f);
		n = fread(text, 1, sizeof(text), f);
		fclose(f);
	}
	fprintf(stderr, "%s: ringmaind: %s; the end of its log:\n%.*s\n", program_invocation_short_name, what,
		(int)n, text);
	exit(1);
}

/* The folder of the benchmarks: ringmaind lies in the one above. */
static void own_folder(char *out, size_t size_bytes)
{
	ssize_t n = readlink("/proc/self/exe", out, size_bytes - 1);
	char *slash;

	out[n > 0 ? n : 0] = 0;
	slash = strrchr(out, '/');
	if (!slash)
		rig_fail("/proc/self/exe", errno);
	*slash = 0;
}

void daemon_prepare(struct daemon *d, const char *config)
{
	const char *parent = getenv("TMPDIR");
	char own[PATH_MAX];
	FILE *f;

	*d = (struct daemon){0};
	own_folder(own, sizeof(own));
	/* The name of a socket has 107 bytes at most: a deep build folder would not do. */
	if (!parent)
		parent = strlen(own) < 60 ? own : "/tmp";
	if (snprintf(d->folder, sizeof(d->folder), "%s/bench.XXXXXX", parent) >= (int)sizeof(d->folder) ||
	    !mkdtemp(d->folder))
		rig_fail(parent, errno);
	remember(d);
	snprintf(d->config, sizeof(d->config), "%s/bench.yaml", d->folder);
	snprintf(d->log, sizeof(d->log), "%s/log", d->folder);
	snprintf(d->control, sizeof(d->control), "%s/control", d->folder);
	f = fopen(d->config, "we");
	if (!f || fputs(config, f) < 0 || fclose(f) != 0)
		rig_fail(d->config, errno);
}

static void program_path(char out[PATH_MAX])
{
	char own[PATH_MAX - 16];

	own_folder(own, sizeof(own));
	snprintf(out, PATH_MAX, "%s/../ringmaind", own);
}

struct daemon_budget daemon_check(const struct daemon *d)
{
	struct daemon_budget b = {0};
	char command[PATH_MAX + 320], program[PATH_MAX], line[512];
	FILE *f;

	program_path(program);
	snprintf(command, sizeof(command), "'%s' -c '%s' --check", program, d->config);
	f = popen(command, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long bytes;

		if (sscanf(line, " total %llu bytes", &bytes) == 1)
			b.total_bytes = bytes;
		if (sscanf(line, " rings %llu bytes", &bytes) == 1)
			b.rings_bytes = bytes;
	}
	if (!f || pclose(f) != 0 || b.total_bytes == 0)
		daemon_fail(d, "--check does not accept the configuration");
	return b;
}

static bool log_says(int fd, const char *word, size_t *at_bytes)
{
	char text[LOG_TAIL_BYTES + 1];
	ssize_t n = pread(fd, text, sizeof(text) - 1, (off_t)*at_bytes);

	if (n <= 0)
		return false;
	text[n] = 0;
	if (strstr(text, word))
		return true;
	/* The word may be cut in two. */
	*at_bytes += n > (ssize_t)strlen(word) ? (size_t)n - strlen(word) : 0;
	return false;
}

void daemon_start(struct daemon *d, int32_t cpu)
{
	char program[PATH_MAX];
	size_t at_bytes = 0;
	int fd = open(d->log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		rig_fail(d->log, errno);
	program_path(program);
	d->started = clock_mono();
	d->pid = child_start_logged((const char *[]){program, "-c", d->config, "--control", d->control,
						     "--state-dir", d->folder, NULL},
				    cpu, fd);
	while (!log_says(fd, " ready ", &at_bytes)) {
		if (child_has_ended(d->pid))
			daemon_fail(d, "it has ended");
		if (mono_since(clock_mono(), d->started) > READY_MAX_S * NS_PER_S)
			daemon_fail(d, "it does not become ready");
		rig_pause_s(POLL_S);
	}
	d->ready = clock_mono();
	close(fd);
}

void daemon_stop(struct daemon *d)
{
	if (d->pid > 0) {
		(void)kill(d->pid, SIGTERM);
		if (child_wait(d->pid) != 0)
			daemon_fail(d, "it did not end in an orderly way");
	}
	d->pid = 0;
	folder_remove(d->folder);
	atomic_store(&running, NULL);
}

/* --- from outside ----------------------------------------------------------------------------------------------------- */

static bool read_text(const char *path, char *out, size_t size_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size_bytes - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = 0;
	return n > 0;
}

static uint64_t field_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* False: the thread has ended meanwhile. */
static bool thread_read(pid_t pid, pid_t tid, struct daemon_thread *out)
{
	char path[96], text[4096];

	*out = (struct daemon_thread){.tid = tid};
	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, tid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	out->cpu_ns = strtoull(text, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	snprintf(out->name, sizeof(out->name), "%.*s", tid == pid ? 7 : (int)strcspn(text, "\n"),
		 tid == pid ? "control" : text);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	out->wakes = field_of(text, "\nvoluntary_ctxt_switches:");
	out->forced = field_of(text, "\nnonvoluntary_ctxt_switches:");
	return true;
}

void daemon_sample(const struct daemon *d, struct daemon_sample *out)
{
	char path[64], text[4096];
	struct dirent *entry;
	DIR *dir;

	*out = (struct daemon_sample){.at = clock_mono(), .cpu_ns = child_cpu_ns(d->pid)};
	snprintf(path, sizeof(path), "/proc/%d/status", d->pid);
	if (child_has_ended(d->pid) || !read_text(path, text, sizeof(text)))
		daemon_fail(d, "it has ended");
	out->resident_bytes = field_of(text, "\nVmRSS:") << 10;
	snprintf(path, sizeof(path), "/proc/%d/task", d->pid);
	dir = opendir(path);
	while (dir && out->thread_count < DAEMON_THREADS_MAX && (entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid > 0 && thread_read(d->pid, tid, &out->threads[out->thread_count]))
			out->thread_count++;
	}
	if (dir)
		closedir(dir);
}

static json_t *call(const struct daemon *d, const char *method, json_t *params)
{
	struct ctl_client client;
	struct jsonrpc_error why = {0};
	json_t *result = NULL;

	if (ctl_open(&client, d->control, CALL_TIMEOUT_MS) < 0 ||
	    ctl_call(&client, method, params, &result, &why) < 0)
		daemon_fail(d, method);
	ctl_close(&client);
	return result;
}

uint64_t daemon_metric(const struct daemon *d, const char *name)
{
	json_t *result = call(d, "metrics", json_pack("{s:s}", "prefix", name)), *row;
	uint64_t sum = 0;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(result, "metrics"), i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "name")), name) != 0)
			continue;
		sum += (uint64_t)json_integer_value(json_object_get(row, "value"));
		found = true;
	}
	json_decref(result);
	if (!found)
		daemon_fail(d, name);
	return sum;
}

uint64_t daemon_allocated_bytes(const struct daemon *d)
{
	return daemon_metric(d, "sampler_allocated_bytes") + daemon_metric(d, "publisher_allocated_bytes");
}

void daemon_wait_connected(const struct daemon *d, uint32_t timeout_s)
{
	for (uint32_t i = 0; i < timeout_s * 20; i++) {
		json_t *result = call(d, "targets.list", json_pack("{s:i}", "limit", 1));
		bool is_ok = json_is_true(json_object_get(result, "ok"));

		json_decref(result);
		if (is_ok)
			return;
		rig_pause_s(0.05);
	}
	daemon_fail(d, "not all targets are connected");
}

void daemon_wait_metric(const struct daemon *d, const char *name, uint64_t least, uint32_t timeout_s)
{
	for (uint32_t i = 0; daemon_metric(d, name) < least; i++) {
		if (i == timeout_s * 20)
			daemon_fail(d, name);
		rig_pause_s(0.05);
	}
}
