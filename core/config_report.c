#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/config_build.h"
#include "core/grow.h"

#define MESSAGE_BYTES_MAX 512u

const char *config_echo(struct config_echo *e, struct bytes text)
{
	size_t room = sizeof(e->text) - sizeof("`...`");
	size_t size = min_size(text.size, room);
	char *at = e->text;

	*at++ = '`';
	for (size_t i = 0; i < size; i++) /* nothing that could drive a terminal */
		*at++ = text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f ? (char)text.ptr[i] : '?';
	memcpy(at, text.size > room ? "...`" : "`", text.size > room ? 5 : 2);
	return e->text;
}

const char *config_hint(char buffer[static CONFIG_HINT_BYTES], const struct suggest *s, const char *otherwise)
{
	struct config_echo e;

	if (suggest_found(s))
		snprintf(buffer, CONFIG_HINT_BYTES, "; did you mean %s?", config_echo(&e, s->best));
	else
		snprintf(buffer, CONFIG_HINT_BYTES, "; %s", otherwise);
	return buffer;
}

PRINTF(4, 0)
static void complain(struct config_build *b, uint32_t line, uint32_t column, const char *format, va_list args)
{
	char text[MESSAGE_BYTES_MAX];

	if (b->message_count == CFG_ERRORS_MAX) {
		b->message_total++;
		return;
	}
	vsnprintf(text, sizeof(text), format, args);
	for (uint32_t i = 0; i < b->message_count;
	     i++) { /* an alias brings the same mistake more than once */
		const struct config_message *m = &b->messages[i];

		if (m->line == line && m->column == column && !strcmp(m->text, text))
			return;
	}
	b->message_total++;
	b->messages[b->message_count] = (struct config_message){
		.line = line, .column = column, .order = b->message_count, .text = strdup(text)};
	if (b->messages[b->message_count].text)
		b->message_count++;
	else
		b->rc = -ENOMEM;
}

void config_complain(struct config_build *b, uint32_t node, const char *format, ...)
{
	va_list args;

	b->tree.nodes[node].bad = true;
	va_start(args, format);
	complain(b, b->tree.nodes[node].line, b->tree.nodes[node].column, format, args);
	va_end(args);
}

void config_complain_at(struct config_build *b, uint32_t line, uint32_t column, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(b, line, column, format, args);
	va_end(args);
}

static int by_place(const void *left, const void *right)
{
	const struct config_message *a = left, *b = right;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

int config_report(struct config_build *b, struct cfg_errors *errors)
{
	qsort(b->messages, b->message_count, sizeof(b->messages[0]), by_place);
	errors->total = b->message_total;
	if (b->message_count == 0)
		return 0;
	errors->lines = calloc(b->message_count, sizeof(*errors->lines));
	if (!errors->lines)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->message_count; i++) {
		const struct config_message *m = &b->messages[i];

		if (asprintf(&errors->lines[i], "%s:%u:%u: %s", b->file, m->line, m->column, m->text) == -1)
			return -ENOMEM;
		errors->count++;
	}
	return 0;
}

void config_errors_free(struct cfg_errors *errors)
{
	for (uint32_t i = 0; i < errors->count; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct cfg_errors){0};
}

uint32_t config_text_add(struct config_build *b, struct bytes text)
{
	struct cfg *c = b->cfg;
	uint32_t at = c->text_bytes;

	if (text.size == 0)
		return 0;
	if (text.size >= UINT32_MAX / 2 ||
	    grow(&c->text, &b->text_capacity, at, (uint32_t)text.size + 1, 1) < 0) {
		b->rc = -ENOMEM;
		return 0;
	}
	memcpy(c->text + at, text.ptr, text.size);
	c->text[at + text.size] = 0;
	c->text_bytes += (uint32_t)text.size + 1;
	return at;
}
