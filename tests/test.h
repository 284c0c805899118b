/* tests/test.h - how a unit test looks: one sentence a name, one behaviour a test.
 *
 * Purpose:  TEST(what_holds_when) { ... EXPECT_EQ(...) ... } on top of Check; tests register themselves and
 *           tests/test_main.c runs them, each in a process of its own.
 * Owner:    the test program; tests share nothing. Errors: a failed expectation ends the test.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <check.h>

#include "core/base.h"

void test_add(const TTest *test);

#define TEST(name) \
	static void name##_run(int); \
	static const TTest name##_test = {#name, name##_run, __FILE__, __LINE__}; \
	__attribute__((constructor)) static void name##_add(void) \
	{ \
		test_add(&name##_test); \
	} \
	static void name##_run(int loop_idx UNUSED)

#define EXPECT(x)           ck_assert(x)
#define EXPECT_EQ(a, b)     ck_assert_int_eq((intmax_t)(a), (intmax_t)(b))
#define EXPECT_NE(a, b)     ck_assert_int_ne((intmax_t)(a), (intmax_t)(b))
#define EXPECT_LE(a, b)     ck_assert_int_le((intmax_t)(a), (intmax_t)(b))
#define EXPECT_TEXT(a, b)   ck_assert_str_eq(a, b)
#define EXPECT_MEM(a, b, n) ck_assert_mem_eq(a, b, n)

#endif
