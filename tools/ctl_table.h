/* tools/ctl_table.h - tables for people: aligned columns, numbers with units.
 *
 * Purpose:  rows are collected, then printed as wide as their widest cell. Texts may come from servers and devices: what is
 *           not printable in them is shown as '?', so that nobody can play with the terminal.
 * Owner:    the caller. Threads: one. Memory: the cells, until ctl_table_print.
 * Errors:   out of memory ends the program.
 */
#ifndef TOOLS_CTL_TABLE_H
#define TOOLS_CTL_TABLE_H

#include <stdio.h>

#include "core/base.h"

#define CTL_COLUMNS_MAX 12u

enum ctl_align { CTL_LEFT, CTL_RIGHT };

struct ctl_column {
	const char *title;
	enum ctl_align align;
};

struct ctl_table {
	const struct ctl_column *columns;
	uint32_t column_count;
	char **cells; /* row by row */
	size_t cell_count, cell_room;
};

void ctl_table_init(struct ctl_table *t, const struct ctl_column *columns, uint32_t column_count);
/* The next cell of the present row; copied. */
void ctl_table_add(struct ctl_table *t, const char *text);
/* Nothing where there is no row. Then it is empty again. */
void ctl_table_print(struct ctl_table *t, FILE *out);

/* Each writes at out, CTL_TEXT_BYTES, and returns it. */
#define CTL_TEXT_BYTES 64u
const char *ctl_count_text(char out[CTL_TEXT_BYTES], int64_t value); /* 123456, 1.23 M */
const char *ctl_bytes_text(char out[CTL_TEXT_BYTES], int64_t value); /* 512 B, 1.2 kB */
const char *ctl_us_text(char out[CTL_TEXT_BYTES], int64_t us);       /* 85 us, 1.2 ms, 3.0 s */
const char *ctl_duration_text(char out[CTL_TEXT_BYTES], int64_t s);  /* 3d 4h, 5m 12s */

/* Prints with everything that is not printable as '?'. */
void ctl_print_text(const char *text, FILE *out);

#endif
