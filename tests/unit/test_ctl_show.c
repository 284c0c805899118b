/* How ringctl shows what it is told to people. */
#include "tests/test.h"
#include "tools/ctl_show.h"

static const char *holds(double seconds)
{
	static char text[CTL_TEXT_BYTES];
	json_t *number = json_real(seconds);

	EXPECT(number);
	const char *shown = ctl_holds_text(number, text);

	json_decref(number);
	return shown;
}

TEST(less_than_a_second_is_not_shown_as_none)
{
	EXPECT_TEXT(holds(0), "0s");
	EXPECT_TEXT(holds(0.2), "200.0 ms");
	EXPECT_TEXT(holds(1), "1s");
	EXPECT_TEXT(holds(90061), "1d 1h");
}

TEST(a_time_that_is_not_known_is_a_dash)
{
	char text[CTL_TEXT_BYTES];

	EXPECT_TEXT(ctl_holds_text(json_null(), text), "-");
	EXPECT_TEXT(ctl_holds_text(NULL, text), "-");
}
