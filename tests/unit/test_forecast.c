/* tests/unit/test_forecast.c - rates, and how long a buffer lasts. */
#include <math.h>

#include "core/forecast.h"
#include "tests/test.h"

#define EXPECT_NEAR(a, b, within) EXPECT(fabs((a) - (b)) <= (within))

static struct mono at_s(double s)
{
	return (struct mono){.ns = (uint64_t)(s * (double)NS_PER_S)};
}

TEST(a_steady_rate_is_right_from_the_second_sample_on)
{
	struct rate r = {0};

	EXPECT_NEAR(rate_get(&r), 0, 0);
	rate_sample(&r, 1000, at_s(5));
	EXPECT_NEAR(rate_get(&r), 0, 0);
	for (uint32_t i = 1; i <= 300; i++) {
		rate_sample(&r, 1000 + 10 * i, at_s(5 + i));
		EXPECT_NEAR(rate_get(&r), 10, 1e-6);
	}
}

TEST(a_minute_after_a_change_two_thirds_of_it_are_seen)
{
	struct rate r = {0};
	uint64_t count = 0;

	for (uint32_t i = 1; i <= 1000; i++)
		rate_sample(&r, 0, at_s(i));
	for (uint32_t i = 1; i <= 60; i++)
		rate_sample(&r, count += 100, at_s(1000 + i));
	EXPECT_NEAR(rate_get(&r), 63.2, 0.1);
}

TEST(a_late_sample_counts_for_the_time_that_it_covers)
{
	struct rate r = {0};

	rate_sample(&r, 0, at_s(1));
	rate_sample(&r, 100, at_s(2));
	rate_sample(&r, 100, at_s(602));
	EXPECT(rate_get(&r) < 0.1);
	rate_sample(&r, 5000, at_s(602)); /* no time has passed: no rate, and no division by it */
	EXPECT(isfinite(rate_get(&r)));
}

TEST(a_buffer_holds_its_messages_at_the_rate_or_max_age)
{
	struct forecast_input in = {.made_rate = 2, .message_count = 7200};

	EXPECT_NEAR(forecast_holds_s(&in), 3600, 1e-9);
	in.max_age_ns = 60 * NS_PER_S;
	EXPECT_NEAR(forecast_holds_s(&in), 60, 1e-9);
	in.made_rate = 0;
	EXPECT(forecast_holds_s(&in) < 0);
}

TEST(a_buffer_is_full_when_the_rest_is_made_unless_the_oldest_expire_before)
{
	struct forecast_input in = {.made_rate = 2, .message_count = 1000, .buffered_count = 400};

	EXPECT_NEAR(forecast_full_s(&in), 300, 1e-9);
	in.max_age_ns = 499 * NS_PER_S;
	EXPECT(forecast_full_s(&in) < 0);
	in.max_age_ns = 501 * NS_PER_S;
	EXPECT_NEAR(forecast_full_s(&in), 300, 1e-9);
	in.made_rate = 0;
	EXPECT(forecast_full_s(&in) < 0);
	in.buffered_count = 1000;
	EXPECT_NEAR(forecast_full_s(&in), 0, 0);
}

TEST(the_first_limit_that_is_reached_counts_of_messages_bytes_and_age)
{
	struct forecast_input in = {.made_rate = 2,
				    .message_bytes = 100,
				    .message_count = 1000,
				    .byte_count = 50000,
				    .buffered_count = 100,
				    .buffered_bytes = 10000};

	EXPECT_NEAR(forecast_holds_s(&in), 250, 1e-9); /* 500 messages fit */
	EXPECT_NEAR(forecast_full_s(&in), 200, 1e-9);
	EXPECT_NEAR(forecast_fill(&in), 0.2, 1e-9);
	in.message_count = 300;
	EXPECT_NEAR(forecast_holds_s(&in), 150, 1e-9);
	EXPECT_NEAR(forecast_full_s(&in), 100, 1e-9);
	EXPECT_NEAR(forecast_fill(&in), 1.0 / 3, 1e-9);
	in.message_count = 1000;
	in.max_age_ns = 249 * NS_PER_S; /* the oldest expire before the bytes are used up */
	EXPECT_NEAR(forecast_holds_s(&in), 249, 1e-9);
	EXPECT(forecast_full_s(&in) < 0);
	in.max_age_ns = 251 * NS_PER_S;
	EXPECT_NEAR(forecast_full_s(&in), 200, 1e-9);
	in.message_bytes = 0; /* not known: only messages count */
	in.max_age_ns = 0;
	EXPECT_NEAR(forecast_holds_s(&in), 500, 1e-9);
}

TEST(a_buffer_is_full_when_one_more_message_does_not_fit)
{
	struct forecast_input in = {.made_rate = 2,
				    .message_bytes = 100,
				    .message_count = 1000,
				    .byte_count = 50050,
				    .buffered_count = 499,
				    .buffered_bytes = 49900};

	EXPECT(!forecast_is_full(&in));
	EXPECT_NEAR(forecast_full_s(&in), 0.75, 1e-9);
	in.buffered_count = 500;
	in.buffered_bytes = 50000; /* 50 are left, and a message needs 100 */
	EXPECT(forecast_is_full(&in));
	EXPECT_NEAR(forecast_full_s(&in), 0, 0);
	in.byte_count = 0;
	EXPECT(!forecast_is_full(&in));
	in.buffered_count = 1000;
	EXPECT(forecast_is_full(&in));
}
