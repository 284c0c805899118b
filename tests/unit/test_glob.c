/* Patterns of names. */
#include "core/glob.h"

#include "tests/test.h"

static bool matches(const char *pattern, const char *text)
{
	return glob_matches(bytes_of_text(pattern), bytes_of_text(text));
}

TEST(pattern_without_a_star_is_the_name_itself)
{
	EXPECT(matches("a.b", "a.b"));
	EXPECT(!matches("a.b", "a.c"));
	EXPECT(!matches("a.b", "a.bc"));
	EXPECT(!matches("a.bc", "a.b"));
	EXPECT(!matches("A", "a"));
	EXPECT(matches("", ""));
	EXPECT(!matches("", "a"));
}

TEST(star_is_any_run_even_an_empty_one)
{
	EXPECT(matches("*", ""));
	EXPECT(matches("*", "abc"));
	EXPECT(matches("a*", "a"));
	EXPECT(matches("*.power", "m1.power"));
	EXPECT(matches("m*.p*r", "m1.power"));
	EXPECT(matches("*a*b*", "xxaxxbxx"));
	EXPECT(matches("**", "x"));
	EXPECT(!matches("*a*b*", "xxbxxaxx"));
	EXPECT(!matches("*.power", "m1.powers"));
}

TEST(earlier_guess_of_a_star_is_taken_back)
{
	EXPECT(matches("*ab", "aaab"));
	EXPECT(matches("*aab*c", "aaaabxaabyc"));
	EXPECT(!matches("*ab", "aaaba"));
}

TEST(question_marks_and_brackets_are_plain_characters)
{
	EXPECT(matches("a?", "a?"));
	EXPECT(!matches("a?", "ab"));
	EXPECT(!matches("[a]", "a"));
}
