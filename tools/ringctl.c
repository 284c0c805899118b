/* tools/ringctl.c - asks a running ringmaind, and tells it what to do.
 *
 * Purpose:  the methods of the control socket as verbs: tables for people, one JSON object a line for programs (--json).
 * Errors:   exit status 0: done; 1: an enabled target is not connected (status, targets); 2: usage; 3: the daemon cannot be
 *           reached or does not answer; 4: it refused; 5: the output could not be written.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/units.h"
#include "tools/ctl_client.h"
#include "tools/ctl_show.h"
#include "tools/ctl_table.h"
#include "tools/ctl_trace.h"
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
#define UNSET         UINT64_MAX

static const char help[] =
	"usage: ringctl [--socket PATH] [--json] [--timeout SECONDS] VERB ...\n"
	"\n"
	"  status                  the daemon, its targets, lines and threads\n"
	"  targets [PATTERN]       targets in detail\n"
	"  buffer TARGET           what waits for it, how long there is room, what was lost and why\n"
	"  subscriptions [TARGET]  what its server has said to each filter\n"
	"  definitions [PATTERN]   what is published and subscribed to, and what became of it\n"
	"  tags [PATTERN]          what tags there are\n"
	"  read NAME...            present values; or one PATTERN such as 'meter1.*'\n"
	"  watch [PATTERN]         values as they change, until Ctrl-C or --count N of them\n"
	"  metrics [PREFIX]        every counter; --describe: what they mean\n"
	"  log-level               error, warn, info or debug\n"
	"  trace                   the flight recorders: what is recorded, how much there is\n"
	"  version, help\n"
	"\n"
	"for root and the daemon's own user:\n"
	"  enable TARGET           connects it; messages that have waited are sent\n"
	"  disable TARGET          says good-bye to its server; messages are still collected\n"
	"  packages [PATTERN]      targets that are enabled and disabled as one\n"
	"  enable --package NAME   connects those of its targets that are enabled themselves\n"
	"  disable --package NAME  none of its targets is connected\n"
	"    enabling and disabling hold until the next start; `enabled: false` in the file stays\n"
	"  buffer TARGET --messages N --bytes SIZE --max-age TIME\n"
	"                          any of them: other limits for what waits; the newest that fit stay. SIZE "
	"as\n"
	"                          10MiB, TIME as 2h, 0 for no limit; until the next start\n"
	"  log-level LEVEL         sets it\n"
	"  trace NAME...           the last packets and frames of these targets and lines, or of a PATTERN\n"
	"    --out FILE            as pcapng, for Wireshark; - is standard output; what is cut is\n"
	"                          marked so: its captured length is less than its length\n"
	"    --seconds N           only of the last N seconds\n"
	"  trace --start NAME...   records them from now on, until the next start; --stop: no longer\n"
	"  trace --freeze          stops all recorders; --resume: they go on\n"
	"  stop                    ends the daemon in good order\n"
	"\n"
	"  -s, --socket PATH       control socket (default /run/ringmain/control.sock)\n"
	"  -j, --json              one JSON object a line\n"
	"  -t, --timeout S         how long an answer may take (default 5)\n"
	"\n"
	"exit: 0 done, 1 an enabled target is not connected (status, targets), 2 usage,\n"
	"      3 the daemon cannot be reached, 4 it refused, 5 the output cannot be written\n";

/* Options without a letter. */
enum {
	COUNT = 256,
	DESCRIBE,
	PACKAGE,
	VERSION,
	MESSAGES,
	BYTES,
	MAX_AGE,
	OUT,
	LAST_SECONDS,
	START,
	STOP,
	FREEZE,
	RESUME,
};

struct options {
	const char *socket;
	bool json;
	bool describe;
	bool package;
	uint64_t messages, bytes, max_age_ns; /* UNSET */
	uint32_t timeout_s;
	uint64_t count; /* 0: no end */
	const char *out;
	uint64_t seconds; /* 0: all */
	int trace;        /* START, STOP, FREEZE or RESUME; 0: none */
	char **args;
	int arg_count;
};

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
	{"status", "status", 0, 0, NULL, NULL, ctl_show_status},
	{"targets", "targets.list", 0, 1, "pattern", "targets", ctl_show_target_list},
	{"definitions", "definitions.list", 0, 1, "pattern", "definitions", ctl_show_definitions},
	{"subscriptions", "subscriptions.list", 0, 1, "target", "subscriptions", ctl_show_subscriptions},
	{"buffer", "buffer.read", 1, 1, "target", NULL, ctl_show_buffer},
	{"packages", "packages.list", 0, 1, "pattern", "packages", ctl_show_packages},
	{"enable", "targets.enable", 1, 1, "name", NULL, ctl_show_target_enabled},
	{"disable", "targets.disable", 1, 1, "name", NULL, ctl_show_target_disabled},
	{"tags", "tags.list", 0, 1, "pattern", "tags", ctl_show_tags},
	{"read", "tags.read", 1, INT16_MAX, NULL, "tags", ctl_show_samples},
	{"watch", "tags.watch", 0, 1, "pattern", NULL, NULL},
	{"metrics", "metrics", 0, 1, "prefix", "metrics", ctl_show_metrics},
	{"log-level", "log.level", 0, 1, "level", NULL, ctl_show_level},
	{"trace", "trace.list", 0, INT16_MAX, NULL, "sources", ctl_trace_show_list},
	{"stop", "stop", 0, 0, NULL, NULL, ctl_show_stop},
	{"version", "version", 0, 0, NULL, NULL, ctl_show_version},
};

/* What a verb does with --package. */
static const struct verb package_verbs[] = {
	{"enable", "packages.enable", 1, 1, "name", NULL, ctl_show_package_switched},
	{"disable", "packages.disable", 1, 1, "name", NULL, ctl_show_package_switched},
};

/* What `buffer` does with limits. */
static const struct verb buffer_set_verb = {"buffer", "buffer.set", 1, 1, "target", NULL, ctl_show_buffer};

/* What `trace` does with one of its options. */
static const struct {
	int option;
	struct verb verb;
} trace_verbs[] = {
	{START, {"trace", "trace.start", 1, INT16_MAX, NULL, NULL, ctl_trace_show_switched}},
	{STOP, {"trace", "trace.stop", 1, INT16_MAX, NULL, NULL, ctl_trace_show_switched}},
	{FREEZE, {"trace", "trace.freeze", 0, 0, NULL, NULL, ctl_trace_show_frozen}},
	{RESUME, {"trace", "trace.resume", 0, 0, NULL, NULL, ctl_trace_show_frozen}},
};

static const struct verb *verb_find(const struct verb *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

static json_t *list_of(const struct options *o)
{
	json_t *names = json_array();

	for (int i = 0; i < o->arg_count; i++)
		if (json_array_append_new(names, json_string(o->args[i]))) {
			json_decref(names);
			return NULL;
		}
	return names;
}

/* Of `read`: one pattern, or names. */
static json_t *names_of(const struct options *o)
{
	json_t *names;

	if (o->arg_count == 1 && strchr(o->args[0], '*'))
		return json_pack("{s:s, s:i}", "pattern", o->args[0], "limit", 1000);
	names = list_of(o);
	return names ? json_pack("{s:o}", "names", names) : NULL;
}

/* Of `buffer` with limits. */
static json_t *limits_of(const struct options *o)
{
	json_t *params = json_pack("{s:s}", "target", o->args[0]);

	if (o->messages != UNSET)
		json_object_set_new(params, "messages", json_integer((json_int_t)o->messages));
	if (o->bytes != UNSET)
		json_object_set_new(params, "bytes", json_integer((json_int_t)o->bytes));
	if (o->max_age_ns != UNSET)
		json_object_set_new(params, "max_age_s", json_real((double)o->max_age_ns / (double)NS_PER_S));
	return params;
}

/* NULL: an argument is not UTF-8. */
static json_t *params_of(const struct verb *verb, const struct options *o)
{
	json_t *names;

	if (!strcmp(verb->name, "read"))
		return names_of(o);
	if (!strcmp(verb->name, "trace") && o->arg_count) {
		names = list_of(o);
		return names ? json_pack("{s:o}", "names", names) : NULL;
	}
	if (verb == &buffer_set_verb)
		return limits_of(o);
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
				printf("%-27s ", ctl_text_in(one, "ts"));
				ctl_print_text(ctl_text_in(one, "tag"), stdout);
				printf(" %s ", ctl_value_text(json_object_get(one, "value"), value));
				ctl_print_text(ctl_text_in(one, "unit"), stdout);
				printf("%s%s\n", *ctl_text_in(one, "unit") ? " " : "",
				       ctl_quality_text(one, quality));
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
		ctl_show_descriptions(result);
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

/* `trace NAME...`: records, to a file or as lines. */
static enum exit_code trace_show(struct ctl_trace *t, const struct options *o)
{
	int rc;

	ctl_trace_warn(t);
	if (!o->out) {
		ctl_trace_print(t, o->json);
		return flushed(EXIT_DONE);
	}
	rc = ctl_trace_save(t, o->out);
	if (rc < 0) {
		fprintf(stderr, "ringctl: cannot write %s: %s\n", o->out, strerror(-rc));
		return EXIT_OUTPUT;
	}
	if (strcmp(o->out, "-") != 0)
		ctl_trace_print_saved(t, o->out, o->json);
	return flushed(EXIT_DONE);
}

static enum exit_code trace(const struct options *o)
{
	json_t *names = list_of(o);
	struct jsonrpc_error why = {0};
	struct ctl_client c;
	struct ctl_trace t;
	enum exit_code code;
	int rc;

	if (!names)
		return complain("an argument is not UTF-8", "");
	if (o->out && !strcmp(o->out, "-") && isatty(STDOUT_FILENO)) {
		json_decref(names);
		return complain("a pcapng file is nothing for a terminal; name a file after --out", "");
	}
	rc = ctl_open(&c, o->socket, o->timeout_s * 1000);
	if (rc < 0) {
		json_decref(names);
		return unreachable(o, rc);
	}
	rc = ctl_trace_fetch(&t, &c, names, o->seconds, &why);
	code = rc < 0 ? failed(o, rc, &why) : trace_show(&t, o);
	ctl_trace_free(&t);
	ctl_close(&c);
	json_decref(names);
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

static bool has_limits(const struct options *o)
{
	return o->messages != UNSET || o->bytes != UNSET || o->max_age_ns != UNSET;
}

/* One of `buffer`. False: it is none, which has been said. */
static bool limit_parse(struct options *o, int option)
{
	struct bytes text = bytes_of_text(optarg);
	const char *why = "a whole number from 1";
	int rc = 0;

	if (option == MESSAGES && !number_of(optarg, INT64_MAX, &o->messages))
		rc = -EINVAL;
	else if (option == BYTES)
		rc = units_parse_size(text, &o->bytes, &why);
	else if (option == MAX_AGE)
		rc = units_parse_duration(text, &o->max_age_ns, &why);
	if (rc == 0 && option == BYTES && o->bytes > INT64_MAX)
		rc = -ERANGE;
	if (rc < 0)
		fprintf(stderr, "ringctl: %s is no limit: %s\nTry ringctl help.\n", optarg, why);
	return rc == 0;
}

/* The exit code + 1, or 0: go on. */
static int options_parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},  {"json", no_argument, NULL, 'j'},
		{"timeout", required_argument, NULL, 't'}, {"count", required_argument, NULL, COUNT},
		{"describe", no_argument, NULL, DESCRIBE}, {"version", no_argument, NULL, VERSION},
		{"package", no_argument, NULL, PACKAGE},   {"messages", required_argument, NULL, MESSAGES},
		{"bytes", required_argument, NULL, BYTES}, {"max-age", required_argument, NULL, MAX_AGE},
		{"out", required_argument, NULL, OUT},     {"seconds", required_argument, NULL, LAST_SECONDS},
		{"start", no_argument, NULL, START},       {"stop", no_argument, NULL, STOP},
		{"freeze", no_argument, NULL, FREEZE},     {"resume", no_argument, NULL, RESUME},
		{"help", no_argument, NULL, 'h'},          {0},
	};
	uint64_t number;
	int option;

	*o = (struct options){.socket = "/run/ringmain/control.sock",
			      .timeout_s = 5,
			      .messages = UNSET,
			      .bytes = UNSET,
			      .max_age_ns = UNSET};
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
		case MESSAGES:
		case BYTES:
		case MAX_AGE:
			if (!limit_parse(o, option))
				return EXIT_USAGE + 1;
			break;
		case OUT: o->out = optarg; break;
		case LAST_SECONDS:
			if (!number_of(optarg, INT32_MAX, &o->seconds))
				return complain("--seconds is a whole number from 1, not ", optarg) + 1;
			break;
		case START:
		case STOP:
		case FREEZE:
		case RESUME:
			if (o->trace && o->trace != option)
				return complain("--start, --stop, --freeze and --resume go one by one", "") +
				       1;
			o->trace = option;
			break;
		case DESCRIBE: o->describe = true; break;
		case PACKAGE: o->package = true; break;
		case VERSION: puts("ringctl " RINGMAIN_VERSION); return EXIT_DONE + 1;
		case 'h': fputs(help, stdout); return EXIT_DONE + 1;
		default: fputs("Try ringctl help.\n", stderr); return EXIT_USAGE + 1;
		}
	}
	o->args = argv + optind;
	o->arg_count = argc - optind;
	return 0;
}

/* What `trace` does with these options; NULL: that has been said. Sets *fetches: it is trace(). */
static const struct verb *trace_verb(const struct verb *verb, const struct options *o, bool *fetches)
{
	bool is_trace = !strcmp(verb->name, "trace");

	if (!is_trace && (o->trace || o->out || o->seconds)) {
		(void)complain("--out, --seconds, --start, --stop, --freeze and --resume go with trace, not "
			       "with ",
			       verb->name);
		return NULL;
	}
	*fetches = is_trace && o->arg_count && !o->trace;
	if ((o->out || o->seconds) && !*fetches) {
		(void)complain("--out and --seconds go with the names of targets and lines: ",
			       "trace NAME...");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_COUNT(trace_verbs); i++)
		if (o->trace == trace_verbs[i].option)
			return &trace_verbs[i].verb;
	return verb;
}

int main(int argc, char **argv)
{
	const struct verb *verb;
	struct options o;
	bool fetches;
	int code = options_parse(argc, argv, &o);

	if (code)
		return code - 1;
	if (o.arg_count == 0)
		return complain("which verb?", "");
	if (!strcmp(o.args[0], "help")) {
		fputs(help, stdout);
		return flushed(EXIT_DONE);
	}
	verb = verb_find(verbs, ARRAY_COUNT(verbs), o.args[0]);
	if (!verb)
		return complain("there is no verb ", o.args[0]);
	if (o.package) {
		verb = verb_find(package_verbs, ARRAY_COUNT(package_verbs), o.args[0]);
		if (!verb)
			return complain("--package goes with enable and disable, not with ", o.args[0]);
	}
	if (has_limits(&o)) {
		if (strcmp(o.args[0], "buffer") != 0)
			return complain("--messages, --bytes and --max-age go with buffer, not with ",
					o.args[0]);
		verb = &buffer_set_verb;
	}
	o.args++;
	o.arg_count--;
	verb = trace_verb(verb, &o, &fetches);
	if (!verb)
		return EXIT_USAGE;
	if (o.arg_count < verb->arg_min)
		return complain(verb->name,
				" what? Give a name; for tags, a pattern such as 'meter1.*' will do");
	if (o.arg_count > verb->arg_max)
		return complain("too many arguments for ", verb->name);
	if (o.describe && strcmp(verb->name, "metrics") != 0)
		return complain("--describe goes with metrics, not with ", verb->name);
	if (o.count && strcmp(verb->name, "watch") != 0)
		return complain("--count goes with watch, not with ", verb->name);
	return fetches ? trace(&o) : run(verb, &o);
}
