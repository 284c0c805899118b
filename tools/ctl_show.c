#include "tools/ctl_show.h"

#include <stdio.h>
#include <string.h>

#include "core/number_text.h"
#include "tools/version.h"

#define NAMES_BYTES 256u

/* --- looking into answers ------------------------------------------------------------------------------------------- */

const char *ctl_text_in(const json_t *object, const char *name)
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
	ctl_table_add(t, ctl_text_in(object, name));
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

const char *ctl_value_text(const json_t *value, char out[CTL_TEXT_BYTES])
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

const char *ctl_holds_text(const json_t *seconds, char out[CTL_TEXT_BYTES])
{
	double s = json_number_value(seconds);

	if (!json_is_number(seconds))
		return "-";
	if (s > 0 && s < 1)
		return ctl_us_text(out, (int64_t)(s * 1e6));
	return ctl_duration_text(out, s < 1e15 ? (int64_t)s : (int64_t)1e15);
}

const char *ctl_quality_text(const json_t *sample, char out[CTL_TEXT_BYTES])
{
	const char *reason = ctl_text_in(sample, "reason");

	snprintf(out, CTL_TEXT_BYTES, "%s%s%s", ctl_text_in(sample, "quality"), *reason ? ": " : "", reason);
	return out;
}

/* --- tables --------------------------------------------------------------------------------------------------------- */

#define TABLE(t, columns) ctl_table_init(&(t), columns, ARRAY_COUNT(columns))

static bool is_false(const json_t *object, const char *name)
{
	return json_is_false(json_object_get(object, name));
}

/* A target that is off has no reason of its own. */
static const char *why_not(const json_t *target)
{
	return is_false(target, "package_enabled") && is_false(target, "enabled")
		       ? "its package is disabled"
		       : ctl_text_in(target, "reason");
}

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
		ctl_table_add(&t, why_not(one));
	}
	ctl_table_print(&t, stdout);
}

static void print_place(const json_t *target, const char *what)
{
	const char *state = ctl_text_in(json_object_get(target, what), "state");

	if (!*state || !strcmp(state, "ok"))
		return;
	ctl_print_text(ctl_text_in(target, "name"), stdout);
	fputs(": ", stdout);
	ctl_print_text(state, stdout);
	putchar('\n');
}

/* What is not where it should be; a column of its own would be empty nearly always. */
static void print_places(const json_t *targets)
{
	const json_t *one;
	size_t i;

	json_array_foreach(targets, i, one)
	{
		print_place(one, "buffer");
		print_place(one, "session");
	}
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

void ctl_show_status(const json_t *result)
{
	char text[CTL_TEXT_BYTES];

	printf("%s: ringmain %s on ", json_is_true(json_object_get(result, "ok")) ? "ok" : "NOT OK",
	       ctl_text_in(result, "version"));
	ctl_print_text(ctl_text_in(result, "node"), stdout);
	printf(", up %s, licence %s\n\n", ctl_duration_text(text, number_in(result, "uptime_s")),
	       ctl_text_in(result, "licence"));
	print_targets(json_object_get(result, "targets"));
	print_places(json_object_get(result, "targets"));
	putchar('\n');
	print_lines(json_object_get(result, "lines"));
	putchar('\n');
	print_samplers(json_object_get(result, "samplers"));
	putchar('\n');
	print_publishers(json_object_get(result, "publishers"));
}

/* What they are, and what comes to them. */
static void print_target_details(const json_t *targets)
{
	static const struct ctl_column columns[] = {
		{"TARGET", CTL_LEFT},     {"PACKAGE", CTL_LEFT},     {"MQTT", CTL_LEFT},
		{"CONNECTS", CTL_RIGHT},  {"FAILURES", CTL_RIGHT},   {"REDIRECTS", CTL_RIGHT},
		{"SUBSCRIBED", CTL_LEFT}, {"DUPLICATES", CTL_RIGHT}, {"UNMATCHED", CTL_RIGHT},
		{"HELD", CTL_RIGHT},      {"ROOM FOR", CTL_RIGHT},   {"DESCRIPTION", CTL_LEFT},
	};
	struct ctl_table t;
	const json_t *one;
	char text[CTL_TEXT_BYTES];
	size_t i;

	TABLE(t, columns);
	json_array_foreach(targets, i, one)
	{
		add_text(&t, one, "name");
		add_text(&t, one, "package");
		add_text(&t, one, "protocol");
		add_count(&t, one, "connects");
		add_count(&t, one, "connect_failures");
		add_count(&t, one, "redirects");
		snprintf(text, sizeof(text), "%lld of %lld", (long long)number_in(one, "subscribed"),
			 (long long)number_in(one, "subscriptions_total"));
		ctl_table_add(&t, text);
		add_count(&t, one, "duplicates");
		add_count(&t, one, "unmatched");
		add_count(&t, one, "held");
		ctl_table_add(&t, ctl_holds_text(json_object_get(one, "holds_s"), text));
		add_text(&t, one, "description");
	}
	ctl_table_print(&t, stdout);
}

void ctl_show_target_list(const json_t *result)
{
	const json_t *targets = json_object_get(result, "targets");

	print_targets(targets);
	print_places(targets);
	putchar('\n');
	print_target_details(targets);
}

static const char *on_or_off(const json_t *object)
{
	return is_false(object, "enabled") ? "disabled" : "enabled";
}

static void print_switched(const json_t *object, const char *state)
{
	ctl_print_text(ctl_text_in(object, "name"), stdout);
	fputs(": ", stdout);
	fputs(state, stdout);
}

void ctl_show_target_enabled(const json_t *result)
{
	print_switched(result, "enabled");
	if (is_false(result, "package_enabled")) {
		fputs(", but not connected: its package is disabled: ", stdout);
		ctl_print_text(ctl_text_in(result, "package"), stdout);
	}
	putchar('\n');
}

void ctl_show_target_disabled(const json_t *result)
{
	print_switched(result, "disabled\n");
}

void ctl_show_packages(const json_t *result)
{
	static const struct ctl_column columns[] = {{"PACKAGE", CTL_LEFT},    {"STATE", CTL_LEFT},
						    {"TARGETS", CTL_RIGHT},   {"ENABLED", CTL_RIGHT},
						    {"CONNECTED", CTL_RIGHT}, {"DESCRIPTION", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(json_object_get(result, "packages"), i, one)
	{
		add_text(&t, one, "name");
		ctl_table_add(&t, on_or_off(one));
		add_count(&t, one, "targets");
		add_count(&t, one, "targets_enabled");
		add_count(&t, one, "targets_connected");
		add_text(&t, one, "description");
	}
	ctl_table_print(&t, stdout);
}

void ctl_show_package_switched(const json_t *result)
{
	print_switched(result, on_or_off(result));
	printf("; enabled targets: %lld of %lld\n", (long long)number_in(result, "targets_enabled"),
	       (long long)number_in(result, "targets"));
}

/* The names of an array with blanks between them, as far as there is room. */
static const char *names_text(const json_t *names, char out[NAMES_BYTES])
{
	const json_t *one;
	size_t i, used = 0;

	out[0] = '\0';
	json_array_foreach(names, i, one)
	{
		const char *name = json_string_value(one) ? json_string_value(one) : "?";

		if (used + strlen(name) + sizeof(" ...") > NAMES_BYTES) {
			snprintf(out + used, NAMES_BYTES - used, " ...");
			break;
		}
		used += (size_t)snprintf(out + used, NAMES_BYTES - used, "%s%s", i ? " " : "", name);
	}
	return out;
}

void ctl_show_subscriptions(const json_t *result)
{
	static const struct ctl_column columns[] = {{"TARGET", CTL_LEFT}, {"FILTER", CTL_LEFT},
						    {"STATE", CTL_LEFT},  {"QOS", CTL_RIGHT},
						    {"FOR", CTL_LEFT},    {"ANSWER", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	char value[CTL_TEXT_BYTES], names[NAMES_BYTES];
	size_t i;

	TABLE(t, columns);
	json_array_foreach(json_object_get(result, "subscriptions"), i, one)
	{
		add_text(&t, one, "target");
		add_text(&t, one, "filter");
		add_text(&t, one, "state");
		ctl_table_add(&t, ctl_value_text(json_object_get(one, "qos"), value));
		ctl_table_add(&t, names_text(json_object_get(one, "definitions"), names));
		add_text(&t, one, "reason");
	}
	ctl_table_print(&t, stdout);
}

static bool is_subscription(const json_t *definition)
{
	return !strcmp(ctl_text_in(definition, "mode"), "subscribe");
}

/* One table of what is published, one of what is subscribed to: they have few columns in common. */
static void print_published(const json_t *definitions)
{
	static const struct ctl_column columns[] = {
		{"DEFINITION", CTL_LEFT}, {"TARGET", CTL_LEFT}, {"MODE", CTL_LEFT},     {"TAGS", CTL_RIGHT},
		{"QOS", CTL_RIGHT},       {"RETAIN", CTL_LEFT}, {"REFUSED", CTL_RIGHT}, {"TOPIC", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(definitions, i, one)
	{
		if (is_subscription(one))
			continue;
		add_text(&t, one, "name");
		add_text(&t, one, "target");
		add_text(&t, one, "mode");
		add_count(&t, one, "tags");
		add_count(&t, one, "qos");
		ctl_table_add(&t, is_false(one, "retain") ? "no" : "yes");
		add_count(&t, one, "refused");
		add_text(&t, one, "topic");
	}
	ctl_table_print(&t, stdout);
}

static void print_subscribed(const json_t *definitions)
{
	static const struct ctl_column columns[] = {
		{"SUBSCRIPTION", CTL_LEFT}, {"TARGET", CTL_LEFT},  {"QOS", CTL_RIGHT},
		{"RECEIVED", CTL_RIGHT},    {"TAGS", CTL_RIGHT},   {"VALUES", CTL_RIGHT},
		{"REJECTED", CTL_RIGHT},    {"FORWARD", CTL_LEFT}, {"FORWARDED", CTL_RIGHT},
		{"UNFORWARDED", CTL_RIGHT}, {"FILTER", CTL_LEFT},
	};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	TABLE(t, columns);
	json_array_foreach(definitions, i, one)
	{
		if (!is_subscription(one))
			continue;
		add_text(&t, one, "name");
		add_text(&t, one, "target");
		add_count(&t, one, "qos");
		add_count(&t, one, "received");
		add_count(&t, one, "tags");
		add_count(&t, one, "values");
		add_count(&t, one, "rejected");
		add_text(&t, one, "forward");
		add_count(&t, one, "forwarded");
		add_count(&t, one, "unforwarded");
		add_text(&t, one, "topic");
	}
	ctl_table_print(&t, stdout);
}

void ctl_show_definitions(const json_t *result)
{
	const json_t *definitions = json_object_get(result, "definitions");

	print_published(definitions);
	putchar('\n');
	print_subscribed(definitions);
}

void ctl_show_tags(const json_t *result)
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

void ctl_show_samples(const json_t *result)
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
		ctl_table_add(&t, ctl_value_text(json_object_get(one, "value"), text));
		add_text(&t, one, "unit");
		add_text(&t, one, "ts");
		ctl_table_add(&t, ctl_quality_text(one, text));
	}
	ctl_table_print(&t, stdout);
}

void ctl_show_metrics(const json_t *result)
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

void ctl_show_descriptions(const json_t *result)
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

void ctl_show_version(const json_t *result)
{
	printf("ringctl %s, ringmaind %s\n", RINGMAIN_VERSION, ctl_text_in(result, "version"));
}

void ctl_show_level(const json_t *result)
{
	puts(ctl_text_in(result, "level"));
}

void ctl_show_stop(const json_t *result UNUSED)
{
	puts("stopping");
}
