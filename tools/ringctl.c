/* tools/ringctl.c - asks a running ringmaind, and tells it what to do.
 *
 * Purpose:  the methods of the control socket as verbs: tables for people, one JSON object a line for programs (--json).
 * Errors:   exit status 0: done; 1: an enabled target is not connected (status, targets); 2: usage; 3: the daemon cannot be
 *           reached or does not answer; 4: it refused; 5: the output could not be written.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/number_text.h"
#include "tools/ctl_client.h"
#include "tools/ctl_table.h"
#include "tools/version.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_INDICATOR = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_REFUSED = 4,
	EXIT_OUTPUT = 5,
};

#define TIMEOUT_S_MAX 3600u

static const char help[] =
	"usage: ringctl [--socket PATH] [--json] [--timeout SECONDS] VERB ...\n"
	"\n"
	"  status               the daemon, its targets, lines and threads\n"
	"  targets              targets in detail\n"
	"  tags [PATTERN]       what tags there are\n"
	"  read NAME...         present values; or one PATTERN such as 'meter1.*'\n"
	"  watch [PATTERN]      values as they change, until Ctrl-C or --count N of them\n"
	"  metrics [PREFIX]     every counter; --describe: what they mean\n"
	"  log-level [LEVEL]    shows the level, or sets it: error, warn, info, debug\n"
	"  stop                 ends the daemon in good order\n"
	"  version, help\n"
	"\n"
	"  -s, --socket PATH    control socket (default /run/ringmain/control.sock)\n"
	"  -j, --json           one JSON object a line\n"
	"  -t, --timeout S      how long an answer may take (default 5)\n"
	"\n"
	"exit: 0 done, 1 an enabled target is not connected (status, targets), 2 usage,\n"
	"      3 the daemon cannot be reached, 4 it refused, 5 the output cannot be written\n";

struct options {
	const char *socket;
	bool json;
	bool describe;
	uint32_t timeout_s;
	uint64_t count; /* 0: no end */
	char **args;
	int arg_count;
};

/* --- looking into answers ------------------------------------------------------------------------------------------- */

static const char *text_in(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static int64_t number_in(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void add_text(struct ctl_table *t, const json_t *object, const char *name)
{
	ctl_table_add(t, text_in(object, name));
}

static void add_count(struct ctl_table *t, const json_t *object, const char *name)
{
	char text[CTL_TEXT_BYTES];

	ctl_table_add(t, ctl_count_text(text, number_in(object, name)));
}

static void add_bytes(struct ctl_table *t, const json_t *object, const char *name)
{
	char text[CTL_TEXT_BYTES];

	ctl_table_add(t, ctl_bytes_text(text, number_in(object, name)));
}

static void add_us(struct ctl_table *t, const json_t *object, const char *name)
{
	char text[CTL_TEXT_BYTES];

	ctl_table_add(t, ctl_us_text(text, number_in(object, name)));
}

/* A tag's value: shortest, "-" where there is none. */
static const char *value_text(const json_t *value, char out[CTL_TEXT_BYTES])
{
	switch (json_typeof(value)) {
	case JSON_TRUE: return "true";
	case JSON_FALSE: return "false";
	case JSON_INTEGER: out[number_text_i64(json_integer_value(value), out)] = '\0'; return out;
	case JSON_REAL: out[number_text_f64(json_real_value(value), out)] = '\0'; return out;
	case JSON_NULL:
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT: return "-";
	}
	return "-";
}

/* good; or bad, and why. */
static const char *quality_text(const json_t *sample, char out[CTL_TEXT_BYTES])
{
	const char *reason = text_in(sample, "reason");

	snprintf(out, CTL_TEXT_BYTES, "%s%s%s", text_in(sample, "quality"), *reason ? ": " : "", reason);
	return out;
}

/* --- tables --------------------------------------------------------------------------------------------------------- */

#define TABLE(t, columns) ctl_table_init(&(t), columns, ARRAY_COUNT(columns))

static void print_targets(const json_t *targets)
{
	static const struct ctl_column columns[] = {
		{"TARGET", CTL_LEFT},    {"STATE", CTL_LEFT},     {"SENT", CTL_RIGHT},
		{"BYTES", CTL_RIGHT},    {"RECEIVED", CTL_RIGHT}, {"BYTES", CTL_RIGHT},
		{"BUFFERED", CTL_RIGHT}, {"INFLIGHT", CTL_RIGHT}, {"LOST", CTL_RIGHT},
		{"REFUSED", CTL_RIGHT},  {"URL", CTL_LEFT},       {"REASON", CTL_LEFT},
	};
	struct ctl_table t;
	const json_t *one;
	char text[CTL_TEXT_BYTES];
	size_t i;

	TABLE(t, columns);
	json_array_foreach(targets, i, one)
	{
		add_text(&t, one, "name");
		add_text(&t, one, "state");
		add_count(&t, one, "sent");
		add_bytes(&t, one, "sent_bytes");
		add_count(&t, one, "received");
		add_bytes(&t, one, "received_bytes");
		add_count(&t, one, "buffered");
		add_count(&t, one, "inflight");
		ctl_table_add(&t,
			      ctl_count_text(text, number_in(one, "overwritten") + number_in(one, "expired") +
							   number_in(one, "dropped")));
		add_count(&t, one, "refused");
		add_text(&t, one, "url");
		add_text(&t, one, "reason");
	}
	ctl_table_print(&t, stdout);
}

static void print_lines(const json_t *lines)
{
	static const struct ctl_column columns[] = {
		{"LINE", CTL_LEFT},    {"KIND", CTL_LEFT},       {"STATE", CTL_LEFT},
		{"VALUES", CTL_RIGHT}, {"REQUESTS", CTL_RIGHT},  {"FAILED", CTL_RIGHT},
		{"MISSED", CTL_RIGHT}, {"SUSPENDED", CTL_RIGHT}, {"LATE P50", CTL_RIGHT},
		{"P99", CTL_RIGHT},    {"MAX", CTL_RIGHT},       {"REASON", CTL_LEFT},
	};
	struct ctl_table t;
	const json_t *one;
	char text[CTL_TEXT_BYTES];
	size_t i;

	TABLE(t, columns);
	json_array_foreach(lines, i, one)
	{
		add_text(&t, one, "name");
		add_text(&t, one, "kind");
		add_text(&t, one, "state");
		add_count(&t, one, "values");
		add_count(&t, one, "requests");
		ctl_table_add(&t,
			      ctl_count_text(text, number_in(one, "timeouts") + number_in(one, "exceptions") +
							   number_in(one, "crc_errors") +
							   number_in(one, "protocol_errors")));
		add_count(&t, one, "missed");
		add_count(&t, one, "suspended_devices");
		add_us(&t, one, "lateness_p50_us");
		add_us(&t, one, "lateness_p99_us");
		add_us(&t, one, "lateness_max_us");
		add_text(&t, one, "reason");
	}
	ctl_table_print(&t, stdout);
}

static void print_samplers(const json_t *samplers)
{
	static const struct ctl_column columns[] = {
		{"SAMPLER", CTL_LEFT},   {"LINES", CTL_RIGHT},     {"VALUES", CTL_RIGHT},
		{"MESSAGES", CTL_RIGHT}, {"LATE P50", CTL_RIGHT},  {"P99", CTL_RIGHT},
		{"MAX", CTL_RIGHT},      {"ALLOCATED", CTL_RIGHT},
	};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(samplers, i, one)
	{
		add_text(&t, one, "name");
		add_count(&t, one, "lines");
		add_count(&t, one, "values");
		add_count(&t, one, "messages");
		add_us(&t, one, "lateness_p50_us");
		add_us(&t, one, "lateness_p99_us");
		add_us(&t, one, "lateness_max_us");
		add_bytes(&t, one, "allocated_bytes");
	}
	ctl_table_print(&t, stdout);
}

static void print_publishers(const json_t *publishers)
{
	static const struct ctl_column columns[] = {{"PUBLISHER", CTL_LEFT},
						    {"TARGETS", CTL_RIGHT},
						    {"STEPS", CTL_RIGHT},
						    {"ALLOCATED", CTL_RIGHT}};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(publishers, i, one)
	{
		add_text(&t, one, "name");
		add_count(&t, one, "targets");
		add_count(&t, one, "steps");
		add_bytes(&t, one, "allocated_bytes");
	}
	ctl_table_print(&t, stdout);
}

static void print_status(const json_t *result)
{
	char text[CTL_TEXT_BYTES];

	printf("%s: ringmain %s on ", json_is_true(json_object_get(result, "ok")) ? "ok" : "NOT OK",
	       text_in(result, "version"));
	ctl_print_text(text_in(result, "node"), stdout);
	printf(", up %s, licence %s\n\n", ctl_duration_text(text, number_in(result, "uptime_s")),
	       text_in(result, "licence"));
	print_targets(json_object_get(result, "targets"));
	putchar('\n');
	print_lines(json_object_get(result, "lines"));
	putchar('\n');
	print_samplers(json_object_get(result, "samplers"));
	putchar('\n');
	print_publishers(json_object_get(result, "publishers"));
}

static void print_target_list(const json_t *result)
{
	print_targets(json_object_get(result, "targets"));
}

static void print_tags(const json_t *result)
{
	static const struct ctl_column columns[] = {{"TAG", CTL_LEFT},
						    {"LINE", CTL_LEFT},
						    {"TYPE", CTL_LEFT},
						    {"EVERY", CTL_RIGHT},
						    {"UNIT", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(json_object_get(result, "tags"), i, one)
	{
		add_text(&t, one, "tag");
		add_text(&t, one, "line");
		add_text(&t, one, "type");
		add_us(&t, one, "every_us");
		add_text(&t, one, "unit");
	}
	ctl_table_print(&t, stdout);
}

static void print_samples(const json_t *result)
{
	static const struct ctl_column columns[] = {{"TAG", CTL_LEFT},
						    {"VALUE", CTL_RIGHT},
						    {"UNIT", CTL_LEFT},
						    {"TIME", CTL_LEFT},
						    {"QUALITY", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	char text[CTL_TEXT_BYTES];
	size_t i;

	TABLE(t, columns);
	json_array_foreach(json_object_get(result, "tags"), i, one)
	{
		add_text(&t, one, "tag");
		ctl_table_add(&t, value_text(json_object_get(one, "value"), text));
		add_text(&t, one, "unit");
		add_text(&t, one, "ts");
		ctl_table_add(&t, quality_text(one, text));
	}
	ctl_table_print(&t, stdout);
}

static void print_metrics(const json_t *result)
{
	static const struct ctl_column columns[] = {
		{"METRIC", CTL_LEFT}, {"OF", CTL_LEFT}, {"VALUE", CTL_RIGHT}};
	struct ctl_table t;
	const json_t *one, *label;
	char text[CTL_TEXT_BYTES];
	const char *kind;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(json_object_get(result, "metrics"), i, one)
	{
		add_text(&t, one, "name");
		json_object_foreach(json_object_get(one, "labels"), kind, label)
			ctl_table_add(&t, json_string_value(label) ? json_string_value(label) : "");
		snprintf(text, sizeof(text), "%lld", (long long)number_in(one, "value"));
		ctl_table_add(&t, text);
	}
	ctl_table_print(&t, stdout);
}

static void print_descriptions(const json_t *result)
{
	static const struct ctl_column columns[] = {
		{"METRIC", CTL_LEFT}, {"KIND", CTL_LEFT}, {"UNIT", CTL_LEFT}, {"MEANING", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(json_object_get(result, "describe"), i, one)
	{
		add_text(&t, one, "name");
		add_text(&t, one, "kind");
		add_text(&t, one, "unit");
		add_text(&t, one, "help");
	}
	ctl_table_print(&t, stdout);
}

static void print_version(const json_t *result)
{
	printf("ringctl %s, ringmaind %s\n", RINGMAIN_VERSION, text_in(result, "version"));
}

static void print_level(const json_t *result)
{
	puts(text_in(result, "level"));
}

static void print_stop(const json_t *result UNUSED)
{
	puts("stopping");
}

/* --- errors --------------------------------------------------------------------------------------------------------- */

static enum exit_code complain(const char *what, const char *detail)
{
	fprintf(stderr, "ringctl: %s%s\nTry ringctl help.\n", what, detail);
	return EXIT_USAGE;
}

static enum exit_code unreachable(const struct options *o, int error)
{
	const char *advice = "see the daemon's log";

	switch (-error) {
	case ENOENT:
		advice = "is ringmaind running? Its --control PATH and this --socket must be the same";
		break;
	case ECONNREFUSED: advice = "the socket is there, but ringmaind is not: start it"; break;
	case EACCES:
	case EPERM:
		advice = "you may not use this socket: be root, its owner, or a member of its group";
		break;
	case ETIMEDOUT: advice = "it does not answer in time: try --timeout, or see its log"; break;
	case ECONNRESET:
	case EPIPE: advice = "it closed the connection: too many clients, or it is stopping"; break;
	default: break;
	}
	fprintf(stderr, "ringctl: cannot reach the daemon at %s: %s\nringctl: %s\n", o->socket,
		strerror(-error), advice);
	return EXIT_UNREACHABLE;
}

static enum exit_code failed(const struct options *o, int error, const struct jsonrpc_error *why)
{
	if (error != -EPROTO)
		return unreachable(o, error);
	fputs("ringctl: ", stderr);
	ctl_print_text(why->text, stderr);
	fputc('\n', stderr);
	return EXIT_REFUSED;
}

static enum exit_code flushed(enum exit_code code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "ringctl: cannot write: %s\n", strerror(errno));
	return EXIT_OUTPUT;
}

static void print_json(const json_t *value)
{
	if (json_dumpf(value, stdout, JSON_COMPACT) == 0)
		putchar('\n');
}

/* --- verbs ---------------------------------------------------------------------------------------------------------- */

struct verb {
	const char *name;
	const char *method;
	int arg_min, arg_max;
	const char *param; /* that the only argument becomes; NULL: see params_of */
	const char *list;  /* NULL: the answer is whole; otherwise its list comes in pages */
	void (*print)(const json_t *result);
};

static const struct verb verbs[] = {
	{"status", "status", 0, 0, NULL, NULL, print_status},
	{"targets", "targets.list", 0, 1, "pattern", "targets", print_target_list},
	{"tags", "tags.list", 0, 1, "pattern", "tags", print_tags},
	{"read", "tags.read", 1, INT16_MAX, NULL, "tags", print_samples},
	{"watch", "tags.watch", 0, 1, "pattern", NULL, NULL},
	{"metrics", "metrics", 0, 1, "prefix", "metrics", print_metrics},
	{"log-level", "log.level", 0, 1, "level", NULL, print_level},
	{"stop", "stop", 0, 0, NULL, NULL, print_stop},
	{"version", "version", 0, 0, NULL, NULL, print_version},
};

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

/* Of `read`: one pattern, or names. */
static json_t *names_of(const struct options *o)
{
	json_t *names;

	if (o->arg_count == 1 && strchr(o->args[0], '*'))
		return json_pack("{s:s, s:i}", "pattern", o->args[0], "limit", 1000);
	names = json_array();
	for (int i = 0; i < o->arg_count; i++)
		if (json_array_append_new(names, json_string(o->args[i]))) {
			json_decref(names);
			return NULL;
		}
	return json_pack("{s:o}", "names", names);
}

/* NULL: an argument is not UTF-8. */
static json_t *params_of(const struct verb *verb, const struct options *o)
{
	if (!strcmp(verb->name, "read"))
		return names_of(o);
	if (o->describe)
		return json_pack("{s:b}", "describe", 1);
	if (verb->param && o->arg_count == 1)
		return json_pack("{s:s}", verb->param, o->args[0]);
	return json_object();
}

static enum exit_code watch(struct ctl_client *c, const struct options *o)
{
	uint64_t seen_count = 0;

	for (;;) {
		json_t *params = NULL, *one;
		char value[CTL_TEXT_BYTES], quality[CTL_TEXT_BYTES];
		size_t i;
		int rc = ctl_wait(c, "tags.update", &params);

		if (rc < 0)
			return unreachable(o, rc);
		json_array_foreach(json_object_get(params, "tags"), i, one)
		{
			if (o->json) {
				print_json(one);
			} else {
				printf("%-27s ", text_in(one, "ts"));
				ctl_print_text(text_in(one, "tag"), stdout);
				printf(" %s ", value_text(json_object_get(one, "value"), value));
				ctl_print_text(text_in(one, "unit"), stdout);
				printf("%s%s\n", *text_in(one, "unit") ? " " : "",
				       quality_text(one, quality));
			}
			if (++seen_count == o->count)
				break;
		}
		json_decref(params);
		if (flushed(EXIT_DONE) != EXIT_DONE)
			return EXIT_OUTPUT;
		if (o->count && seen_count >= o->count)
			return EXIT_DONE;
	}
}

static enum exit_code show(const struct verb *verb, const struct options *o, const json_t *result)
{
	const json_t *ok = json_object_get(result, "ok");

	if (o->json)
		print_json(result);
	else if (o->describe)
		print_descriptions(result);
	else
		verb->print(result);
	return flushed(json_is_false(ok) ? EXIT_INDICATOR : EXIT_DONE);
}

static enum exit_code run(const struct verb *verb, const struct options *o)
{
	json_t *params = params_of(verb, o), *result = NULL;
	struct jsonrpc_error why = {0};
	struct ctl_client c;
	enum exit_code code;
	int rc;

	if (!params)
		return complain("an argument is not UTF-8", "");
	rc = ctl_open(&c, o->socket, o->timeout_s * 1000);
	if (rc < 0) {
		json_decref(params);
		return unreachable(o, rc);
	}
	if (verb->list)
		rc = ctl_call_all(&c, verb->method, params, verb->list, &result, &why);
	else
		rc = ctl_call(&c, verb->method, params, &result, &why);
	if (rc < 0)
		code = failed(o, rc, &why);
	else if (verb->print)
		code = show(verb, o, result);
	else
		code = watch(&c, o);
	json_decref(result);
	ctl_close(&c);
	return code;
}

/* --- arguments ------------------------------------------------------------------------------------------------------ */

/* A number from 1 to max. */
static bool number_of(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out >= 1 && *out <= max;
}

/* The exit code + 1, or 0: go on. */
static int options_parse(int argc, char **argv, struct options *o)
{
	enum { COUNT = 256, DESCRIBE, VERSION };
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},  {"json", no_argument, NULL, 'j'},
		{"timeout", required_argument, NULL, 't'}, {"count", required_argument, NULL, COUNT},
		{"describe", no_argument, NULL, DESCRIBE}, {"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, 'h'},          {0},
	};
	uint64_t number;
	int option;

	*o = (struct options){.socket = "/run/ringmain/control.sock", .timeout_s = 5};
	while ((option = getopt_long(argc, argv, "s:jt:h", longs, NULL)) != -1) {
		switch (option) {
		case 's': o->socket = optarg; break;
		case 'j': o->json = true; break;
		case 't':
			if (!number_of(optarg, TIMEOUT_S_MAX, &number))
				return complain("--timeout is a whole number of seconds, 1 to 3600, not ",
						optarg) +
				       1;
			o->timeout_s = (uint32_t)number;
			break;
		case COUNT:
			if (!number_of(optarg, UINT64_MAX, &o->count))
				return complain("--count is a whole number from 1, not ", optarg) + 1;
			break;
		case DESCRIBE: o->describe = true; break;
		case VERSION: puts("ringctl " RINGMAIN_VERSION); return EXIT_DONE + 1;
		case 'h': fputs(help, stdout); return EXIT_DONE + 1;
		default: fputs("Try ringctl help.\n", stderr); return EXIT_USAGE + 1;
		}
	}
	o->args = argv + optind;
	o->arg_count = argc - optind;
	return 0;
}

int main(int argc, char **argv)
{
	const struct verb *verb;
	struct options o;
	int code = options_parse(argc, argv, &o);

	if (code)
		return code - 1;
	if (o.arg_count == 0)
		return complain("which verb?", "");
	if (!strcmp(o.args[0], "help")) {
		fputs(help, stdout);
		return flushed(EXIT_DONE);
	}
	verb = verb_find(o.args[0]);
	if (!verb)
		return complain("there is no verb ", o.args[0]);
	o.args++;
	o.arg_count--;
	if (o.arg_count < verb->arg_min)
		return complain("read what? Name tags, or give a pattern such as 'meter1.*'", "");
	if (o.arg_count > verb->arg_max)
		return complain("too many arguments for ", verb->name);
	if (o.describe && strcmp(verb->name, "metrics") != 0)
		return complain("--describe goes with metrics, not with ", verb->name);
	if (o.count && strcmp(verb->name, "watch") != 0)
		return complain("--count goes with watch, not with ", verb->name);
	return run(verb, &o);
}
