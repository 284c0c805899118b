#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>

#define TEST_MAX 512

static const TTest *tests[TEST_MAX];
static int test_count;

void test_add(const TTest *test)
{
	if (test_count == TEST_MAX) {
		fprintf(stderr, "tests/test_main.c: more than %d tests in one program\n", TEST_MAX);
		exit(1);
	}
	tests[test_count++] = test;
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL; /* a test's name: run that one */
	Suite *suite = suite_create(argv[0]);
	TCase *tcase = tcase_create("all");
	int failed_count;

	for (int i = 0; i < test_count; i++)
		if (!only || !strcmp(only, tests[i]->name))
			tcase_add_test(tcase, tests[i]);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed_count = srunner_ntests_failed(runner);
	if (srunner_ntests_run(runner) == 0)
		failed_count = 1; /* nothing ran: that is not a pass */
	srunner_free(runner);
	return failed_count ? 1 : 0;
}
