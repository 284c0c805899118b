#include "tools/ctl_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

#define COLUMN_GAP "  "

static void out_of_memory(void)
{
	fputs("ringctl: out of memory\n", stderr);
	exit(5);
}

void ctl_table_init(struct ctl_table *t, const struct ctl_column *columns, uint32_t column_count)
{
	ASSERT(column_count > 0);
	ASSERT(column_count <= CTL_COLUMNS_MAX);
	*t = (struct ctl_table){.columns = columns, .column_count = column_count};
}

void ctl_table_add(struct ctl_table *t, const char *text)
{
	if (t->cell_count == t->cell_room) {
		size_t room = t->cell_room ? 2 * t->cell_room : 64;
		char **cells = realloc(t->cells, room * sizeof(cells[0]));

		if (!cells)
			out_of_memory();
		t->cells = cells;
		t->cell_room = room;
	}
	t->cells[t->cell_count] = strdup(text);
	if (!t->cells[t->cell_count++])
		out_of_memory();
}

static bool is_continuation(char c)
{
	return ((uint8_t)c & 0xc0) == 0x80;
}

/* In characters, which for our texts is columns. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += !is_continuation(*text);
	return width;
}

void ctl_print_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		uint8_t c = (uint8_t)*text;

		/* Control characters of ASCII, and those of U+0080..U+009F, which are C2 80 .. C2 9F. */
		if (c < 0x20 || c == 0x7f) {
			fputc('?', out);
		} else if (c == 0xc2 && (uint8_t)text[1] >= 0x80 && (uint8_t)text[1] <= 0x9f) {
			fputc('?', out);
			text++;
		} else {
			fputc(*text, out);
		}
	}
}

static void print_cell(const char *text, size_t width, enum ctl_align align, FILE *out)
{
	int pad = (int)(width - min_size(width, width_of(text)));

	if (align == CTL_RIGHT)
		fprintf(out, "%*s", pad, "");
	ctl_print_text(text, out);
	if (align == CTL_LEFT)
		fprintf(out, "%*s", pad, "");
}

/* The last column is not padded: no blanks at the end of a line. */
static void print_row(const struct ctl_table *t, char *const *cells, const size_t *widths, FILE *out)
{
	for (uint32_t i = 0; i < t->column_count; i++) {
		const struct ctl_column *column = &t->columns[i];
		bool last = i + 1 == t->column_count;

		print_cell(cells ? cells[i] : column->title,
			   last && column->align == CTL_LEFT ? 0 : widths[i], column->align, out);
		fputs(last ? "\n" : COLUMN_GAP, out);
	}
}

void ctl_table_print(struct ctl_table *t, FILE *out)
{
	size_t widths[CTL_COLUMNS_MAX];

	ASSERT(t->cell_count % t->column_count == 0);
	for (uint32_t i = 0; i < t->column_count; i++)
		widths[i] = width_of(t->columns[i].title);
	for (size_t i = 0; i < t->cell_count; i++) {
		size_t *width = &widths[i % t->column_count];

		*width = max_u64(*width, width_of(t->cells[i]));
	}
	if (t->cell_count > 0)
		print_row(t, NULL, widths, out);
	for (size_t i = 0; i < t->cell_count; i += t->column_count)
		print_row(t, t->cells + i, widths, out);
	for (size_t i = 0; i < t->cell_count; i++)
		free(t->cells[i]);
	free(t->cells);
	ctl_table_init(t, t->columns, t->column_count);
}

/* --- numbers -------------------------------------------------------------------------------------------------------- */

static const char *scaled(char out[CTL_TEXT_BYTES], double value, const char *const units[],
			  uint32_t unit_count)
{
	uint32_t unit = 0;

	while (value >= 999.95 && unit + 1 < unit_count) {
		value /= 1000;
		unit++;
	}
	snprintf(out, CTL_TEXT_BYTES, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

const char *ctl_count_text(char out[CTL_TEXT_BYTES], int64_t value)
{
	static const char *const units[] = {"", "k", "M", "G", "T"};

	if (value < 1000000)
		snprintf(out, CTL_TEXT_BYTES, "%lld", (long long)value);
	else
		return scaled(out, (double)value, units, ARRAY_COUNT(units));
	return out;
}

const char *ctl_bytes_text(char out[CTL_TEXT_BYTES], int64_t value)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};

	return scaled(out, (double)value, units, ARRAY_COUNT(units));
}

const char *ctl_us_text(char out[CTL_TEXT_BYTES], int64_t us)
{
	static const char *const units[] = {"us", "ms", "s"};

	return scaled(out, (double)us, units, ARRAY_COUNT(units));
}

const char *ctl_duration_text(char out[CTL_TEXT_BYTES], int64_t s)
{
	if (s < 60)
		snprintf(out, CTL_TEXT_BYTES, "%llds", (long long)s);
	else if (s < 3600)
		snprintf(out, CTL_TEXT_BYTES, "%lldm %llds", (long long)s / 60, (long long)s % 60);
	else if (s < 86400)
		snprintf(out, CTL_TEXT_BYTES, "%lldh %lldm", (long long)s / 3600, (long long)s / 60 % 60);
	else
		snprintf(out, CTL_TEXT_BYTES, "%lldd %lldh", (long long)s / 86400, (long long)s / 3600 % 24);
	return out;
}
