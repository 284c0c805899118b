/* tests/unit/config_case.h - a configuration file as a test writes it: right, or with exactly one mistake.
 *
 * Purpose:  what the tests of configuration files share.
 * Owner:    the including test; c and errors are its own. Memory: the test frees c where parse_good made it.
 */
#ifndef TESTS_UNIT_CONFIG_CASE_H
#define TESTS_UNIT_CONFIG_CASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/config.h"
#include "tests/test.h"

static struct cfg *c;
static struct cfg_errors errors;

static inline int parse(const char *yaml)
{
	return config_parse("f.yaml", bytes_of_text(yaml), &c, &errors);
}

/* Parses what must be right, and shows what it was if not. */
static inline void parse_good(const char *yaml)
{
	int rc = parse(yaml);

	ck_assert_msg(rc == 0, "%d: %s", rc, errors.count ? errors.lines[0] : "");
}

static inline void parse_good_format(const char *format, ...) PRINTF(1, 2);
static inline void parse_good_format(const char *format, ...)
{
	char yaml[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(yaml, sizeof(yaml), format, args);
	va_end(args);
	parse_good(yaml);
}

/* The file has exactly one mistake, and the words are in its message. */
static inline void expect_mistake(const char *yaml, const char *words)
{
	int rc = parse(yaml);

	ck_assert_msg(rc == -EINVAL && errors.total == 1, "%d, %u mistakes: %s", rc, errors.total,
		      errors.count ? errors.lines[errors.count - 1] : yaml);
	ck_assert_msg(strstr(errors.lines[0], words) != NULL, "`%s` is not in: %s", words, errors.lines[0]);
	EXPECT(c == NULL);
	config_errors_free(&errors);
}

/* The same of a file with a value in its one hole, which is written %s. */
static inline void expect_mistake_in(const char *file, const char *value, const char *words)
{
	const char *hole = strstr(file, "%s");
	char yaml[4096];

	EXPECT(hole != NULL);
	snprintf(yaml, sizeof(yaml), "%.*s%s%s", (int)(hole - file), file, value, hole + 2);
	expect_mistake(yaml, words);
}

/* A file with a value in its one hole, which is written %s: is it accepted? */
static inline bool accepts(const char *file, const char *value)
{
	const char *hole = strstr(file, "%s");
	char yaml[4096];
	bool is_good;

	EXPECT(hole != NULL);
	snprintf(yaml, sizeof(yaml), "%.*s%s%s", (int)(hole - file), file, value, hole + 2);
	is_good = parse(yaml) == 0;
	if (!is_good)
		EXPECT_EQ(errors.total, 1);
	config_errors_free(&errors);
	config_free(c);
	return is_good;
}

#endif
