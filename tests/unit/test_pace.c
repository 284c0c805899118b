/* When a thread that waits for something that comes again and again stays awake. */
#include "core/pace.h"

#include "tests/test.h"

#define WINDOW_US 50u

static struct mono at(uint64_t us)
{
	return (struct mono){.ns = us * NS_PER_US};
}

/* In microseconds; 0: nothing is expected. */
static bool awake(struct pace *p, uint64_t window_us, uint64_t now_us, uint64_t *until_us)
{
	struct mono until;
	bool is_awake = pace_is_awake(p, window_us * NS_PER_US, at(now_us), &until);

	*until_us = until.ns == MONO_NEVER.ns ? 0 : until.ns / NS_PER_US;
	return is_awake;
}

TEST(before_anything_came_it_sleeps)
{
	struct pace p = {0};
	uint64_t until;

	EXPECT(!awake(&p, WINDOW_US, 1000, &until));
	EXPECT_EQ(until, 0);
}

TEST(after_an_arrival_it_stays_awake_for_the_window)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	EXPECT(awake(&p, WINDOW_US, 1000, &until));
	EXPECT_EQ(until, 1050);
	EXPECT(awake(&p, WINDOW_US, 1049, &until));
	EXPECT(!awake(&p, WINDOW_US, 1050, &until));
	EXPECT_EQ(until, 0); /* one arrival says nothing of the next */
}

TEST(what_is_regular_is_met_awake)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	pace_arrived(&p, at(2000));
	EXPECT(!awake(&p, WINDOW_US, 2050, &until));
	EXPECT_EQ(until, 2950); /* a window before */
	EXPECT(!awake(&p, WINDOW_US, 2949, &until));
	EXPECT_EQ(until, 2950);
	EXPECT(awake(&p, WINDOW_US, 2950, &until));
	EXPECT_EQ(until, 3050); /* to a window after */
	EXPECT(awake(&p, WINDOW_US, 3049, &until));
	EXPECT(!awake(&p, WINDOW_US, 3050, &until));
	EXPECT_EQ(until, 0); /* it did not come: nothing is expected any more */
}

TEST(what_comes_within_the_window_never_sleeps)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	pace_arrived(&p, at(1045));
	EXPECT(awake(&p, WINDOW_US, 1094, &until));
	EXPECT(awake(&p, WINDOW_US, 1095,
		     &until)); /* up to a window after the one that was expected at 1090 */
	EXPECT_EQ(until, 1140);
	EXPECT(!awake(&p, WINDOW_US, 1140, &until));
}

/* Sleeps as it is told after the last arrival, and wakes that late; until when it was told to. */
static uint64_t sleep_once(struct pace *p, uint64_t window_us, uint64_t late_us)
{
	struct mono alarm, until;

	EXPECT(!pace_is_awake(p, window_us * NS_PER_US, mono_add(p->last, window_us * NS_PER_US), &alarm));
	if (!pace_is_awake(p, window_us * NS_PER_US, mono_add(alarm, late_us * NS_PER_US), &until))
		EXPECT(late_us > 2 * window_us);
	return alarm.ns / NS_PER_US;
}

/* Arrivals that are regular but for a spread of 60: the guess is never outside of it. */
TEST(a_spread_is_averaged_out)
{
	static const uint64_t late_us[] = {0, 40, 20, 60, 10, 50, 30};
	struct pace p = {0};

	for (uint64_t i = 1; i <= 400; i++) {
		uint64_t due_us = (i + 1) * 10000, expected_us;

		pace_arrived(&p, at(i * 10000 + late_us[i % ARRAY_COUNT(late_us)]));
		if (i < 8)
			continue;
		expected_us = sleep_once(&p, 1, 0) + 1;
		EXPECT(expected_us >= due_us && expected_us <= due_us + 60);
	}
}

TEST(what_comes_at_another_time_is_expected_anew_from_there)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(1000));
	pace_arrived(&p, at(2000));
	pace_arrived(&p, at(2500));
	EXPECT(!awake(&p, WINDOW_US, 2600, &until));
	EXPECT_EQ(until, 2950); /* 500 behind the last, less the window */
}

TEST(who_wakes_late_asks_to_be_woken_earlier)
{
	struct pace p = {0};
	uint64_t until;

	pace_arrived(&p, at(10000));
	pace_arrived(&p, at(20000));
	EXPECT(!awake(&p, WINDOW_US, 21000, &until));
	EXPECT_EQ(until, 29950);
	EXPECT(awake(&p, WINDOW_US, 30030, &until)); /* 80 late */
	pace_arrived(&p, at(30040));
	EXPECT(!awake(&p, WINDOW_US, 31000, &until));
	EXPECT(until >= 40000 - 50 - 80 && until <= 40060 - 50 - 80);

	/* What wakes it before that tells nothing. */
	EXPECT(!awake(&p, WINDOW_US, 35000, &until));
	EXPECT(until >= 40000 - 50 - 80 && until <= 40060 - 50 - 80);
}

TEST(lateness_is_forgotten_again_and_never_believed_beyond_its_limit)
{
	struct pace p = {0};

	pace_arrived(&p, at(10000));
	pace_arrived(&p, at(20000));
	(void)sleep_once(&p, WINDOW_US, 4000);
	EXPECT_EQ(p.late_ns, PACE_LATE_NS_MAX);
	for (uint64_t i = 3; i < 40; i++) {
		pace_arrived(&p, at(i * 10000));
		(void)sleep_once(&p, WINDOW_US, 0);
	}
	EXPECT(p.late_ns < 5 * NS_PER_US);
}

TEST(what_comes_as_fast_as_a_wake_up_is_waited_for_without_being_asked)
{
	const uint64_t fast_us = PACE_WAKE_UP_NS / NS_PER_US;
	struct pace p = {0};
	uint64_t until;

	EXPECT(!pace_is_fast(&p));
	pace_arrived(&p, at(1000));
	EXPECT(!pace_is_fast(&p));
	EXPECT(!awake(&p, 0, 1000, &until));
	pace_arrived(&p, at(1000 + fast_us));
	EXPECT(pace_is_fast(&p));
	EXPECT(awake(&p, 0, 1000 + fast_us, &until));
	EXPECT_EQ(until, 1000 + 2 * fast_us);
	EXPECT(!awake(&p, 0, 1000 + 2 * fast_us, &until));
	EXPECT_EQ(until, 0);
	pace_arrived(&p, at(1000 + 4 * fast_us + 1)); /* slower */
	EXPECT(!pace_is_fast(&p));
	EXPECT(!awake(&p, 0, 1000 + 4 * fast_us + 1, &until));
	EXPECT_EQ(until, 0); /* and no alarm for the next one */
}
