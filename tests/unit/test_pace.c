/* When a busy-polling thread stays awake. */
#include "core/pace.h"

#include "tests/test.h"

#define WINDOW 50u

static struct mono at(uint64_t ns)
{
	return (struct mono){.ns = ns};
}

static bool awake(const struct pace *p, uint64_t now, uint64_t *until)
{
	struct mono u;
	bool is_awake = pace_is_awake(p, WINDOW, at(now), &u);

	*until = u.ns;
	return is_awake;
}

TEST(before_anything_came_it_sleeps)
{
	struct pace p = {0};
	uint64_t until;

	EXPECT(!awake(&p, 1000, &until));
	EXPECT_EQ(until, MONO_NEVER.ns);
}

TEST(after_an_arrival_it_stays_awake_for_the_window)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	EXPECT(awake(&p, 1000, &until));
	EXPECT_EQ(until, 1050);
	EXPECT(awake(&p, 1049, &until));
	EXPECT(!awake(&p, 1050, &until));
	EXPECT_EQ(until, MONO_NEVER.ns); /* one arrival says nothing of the next */
}

TEST(what_is_regular_is_met_awake)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	pace_arrived(&p, at(2000));
	EXPECT(!awake(&p, 2050, &until));
	EXPECT_EQ(until, 2950); /* a window before */
	EXPECT(!awake(&p, 2949, &until));
	EXPECT(awake(&p, 2950, &until));
	EXPECT_EQ(until, 3050); /* to a window after */
	EXPECT(awake(&p, 3049, &until));
	EXPECT(!awake(&p, 3050, &until));
	EXPECT_EQ(until, MONO_NEVER.ns); /* it did not come: nothing is expected any more */
}

TEST(what_comes_within_the_window_never_sleeps)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	pace_arrived(&p, at(1040));
	EXPECT(awake(&p, 1089, &until));
	EXPECT(awake(&p, 1090, &until)); /* up to a window after the one that was expected at 1080 */
	EXPECT_EQ(until, 1130);
	EXPECT(!awake(&p, 1130, &until));
}
