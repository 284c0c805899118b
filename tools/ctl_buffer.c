/* `ringctl buffer`: what waits for a target, how long its buffer lasts, and what was lost, for people. */
#include <stdio.h>
#include <string.h>

#include "tools/ctl_show.h"

static int64_t number_in(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void print_fill(const json_t *b)
{
	const json_t *bytes = json_object_get(b, "message_bytes");
	char text[CTL_TEXT_BYTES], capacity[CTL_TEXT_BYTES];

	ctl_print_text(ctl_text_in(b, "target"), stdout);
	printf(": %s\n\n", ctl_text_in(b, "state"));
	printf("buffered   %s of %s messages", ctl_count_text(text, number_in(b, "buffered")),
	       ctl_count_text(capacity, number_in(b, "capacity")));
	printf(", %s", ctl_bytes_text(text, number_in(b, "buffered_bytes")));
	if (number_in(b, "bytes"))
		printf(" of %s", ctl_bytes_text(capacity, number_in(b, "bytes")));
	printf(", %.0f %%%s\n", json_number_value(json_object_get(b, "fill_percent")),
	       json_is_true(json_object_get(b, "full")) ? ": full, the oldest give way" : "");
	if (number_in(b, "messages_max") > number_in(b, "capacity") ||
	    number_in(b, "bytes_max") > number_in(b, "bytes")) {
		printf("memory for %s messages", ctl_count_text(text, number_in(b, "messages_max")));
		if (number_in(b, "bytes_max"))
			printf(", %s", ctl_bytes_text(text, number_in(b, "bytes_max")));
		putchar('\n');
	}
	printf("made       %.4g a second, of the last minute\n",
	       json_number_value(json_object_get(b, "rate")));
	printf("sent       %.4g a second", json_number_value(json_object_get(b, "sent_rate")));
	if (json_is_number(bytes))
		printf(", %s a message", ctl_bytes_text(text, (int64_t)json_number_value(bytes)));
	putchar('\n');
}

static void print_forecast(const json_t *b)
{
	const json_t *holds = json_object_get(b, "holds_s");
	const json_t *max_age = json_object_get(b, "max_age_s");
	char text[CTL_TEXT_BYTES];

	if (json_is_number(holds))
		printf("holds      %s at this rate (%.1f h)\n", ctl_holds_text(holds, text),
		       json_number_value(holds) / 3600);
	else
		puts("holds      nothing is made at present");
	if (json_number_value(max_age) > 0)
		printf("max age    %s\n", ctl_holds_text(max_age, text));
	if (*ctl_text_in(b, "full_at"))
		printf("full at    %s\n", ctl_text_in(b, "full_at"));
	printf("memory     %s\n", ctl_bytes_text(text, number_in(b, "memory_bytes")));
}

static void print_file(const json_t *file)
{
	if (!json_is_object(file))
		return;
	fputs("file       ", stdout);
	ctl_print_text(ctl_text_in(file, "path"), stdout);
	printf(", messages taken over: %lld", (long long)number_in(file, "restored"));
	if (number_in(file, "broken"))
		printf(", broken: %lld", (long long)number_in(file, "broken"));
	if (*ctl_text_in(file, "state")) {
		fputs("\n           ", stdout);
		ctl_print_text(ctl_text_in(file, "state"), stdout);
	}
	putchar('\n');
}

/* in file | in memory: what is wrong with that. */
static void print_place(const json_t *result, const char *what)
{
	const json_t *place = json_object_get(result, what);
	const char *state = ctl_text_in(place, "state");

	if (!json_is_object(place))
		return;
	printf("%-11sin %s", what, ctl_text_in(place, "where"));
	if (strcmp(state, "ok") != 0) {
		fputs(": ", stdout);
		ctl_print_text(state, stdout);
	}
	putchar('\n');
}

static void print_lost(const json_t *b)
{
	static const char *const reasons[] = {"overwritten", "expired", "refused",
					      "oversized",   "no_room", "thinned"};
	const json_t *lost = json_object_get(b, "lost");

	fputs("lost       ", stdout);
	for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
		printf("%s%s %lld", i ? ", " : "", i == 4 ? "no room" : reasons[i],
		       (long long)number_in(lost, reasons[i]));
	putchar('\n');
	if (number_in(b, "unlocated"))
		printf("           and %lld more: which they are is known when the target has caught up\n",
		       (long long)number_in(b, "unlocated"));
}

static void print_replay(const json_t *replay)
{
	if (json_is_object(replay) && number_in(replay, "left"))
		printf("replay     %lld left at %s%s\n", (long long)number_in(replay, "left"),
		       ctl_text_in(replay, "rate"),
		       json_is_true(json_object_get(replay, "thinning")) ? ", thinned" : "");
}

static void add_number(struct ctl_table *t, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	char text[CTL_TEXT_BYTES];

	snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	ctl_table_add(t, json_is_integer(value) ? text : "-");
}

static void print_gaps(const json_t *gaps)
{
	static const struct ctl_column columns[] = {
		{"GAP", CTL_RIGHT},   {"REASON", CTL_LEFT}, {"MESSAGES", CTL_RIGHT}, {"SOURCE", CTL_RIGHT},
		{"FIRST", CTL_RIGHT}, {"LAST", CTL_RIGHT},  {"FROM", CTL_LEFT},      {"TO", CTL_LEFT}};
	struct ctl_table t;
	const json_t *one;
	size_t i;

	ctl_table_init(&t, columns, ARRAY_COUNT(columns));
	json_array_foreach(gaps, i, one)
	{
		add_number(&t, one, "gap");
		ctl_table_add(&t, ctl_text_in(one, "reason"));
		add_number(&t, one, "count");
		add_number(&t, one, "source");
		add_number(&t, one, "first");
		add_number(&t, one, "last");
		ctl_table_add(&t, ctl_text_in(one, "from"));
		ctl_table_add(&t, ctl_text_in(one, "to"));
	}
	if (json_array_size(gaps))
		putchar('\n');
	ctl_table_print(&t, stdout);
	if (i > 0 && number_in(json_array_get(gaps, i - 1), "gap") > 1)
		printf("%lld older gaps are counted above, and no longer listed\n",
		       (long long)number_in(json_array_get(gaps, i - 1), "gap") - 1);
}

void ctl_show_buffer(const json_t *result)
{
	print_fill(result);
	print_forecast(result);
	print_file(json_object_get(result, "file"));
	print_place(result, "buffer");
	print_place(result, "session");
	print_replay(json_object_get(result, "replay"));
	print_lost(result);
	print_gaps(json_object_get(result, "gaps"));
}
