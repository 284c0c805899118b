#include "tests/test.h"

#include "core/histogram.h"

TEST(a_percentile_is_never_below_the_value_and_at_most_an_eighth_above)
{
	for (uint64_t v = 1; v < 1ull << 40; v = v * 3 / 2 + 1) {
		struct histogram h = {0};

		histogram_add(&h, v);
		histogram_add(&h, v * 100);
		uint64_t p = histogram_permille(&h, 500);

		EXPECT(p >= v);
		EXPECT(p <= v + v / 8);
	}
}

TEST(the_last_percentile_is_the_largest_value)
{
	struct histogram h = {0};

	for (uint64_t v = 1; v <= 1000; v++)
		histogram_add(&h, v);
	EXPECT_EQ(histogram_permille(&h, 1000), 1000);
	EXPECT_EQ(counter_get(&h.max), 1000);
	EXPECT_EQ(histogram_permille(&(struct histogram){0}, 500), 0);
}

TEST(buckets_rise_with_the_value_up_to_the_largest)
{
	uint32_t last = 0;

	for (int bit = 0; bit < 64; bit++) {
		uint32_t bucket = histogram_bucket(1ull << bit);

		EXPECT(bit == 0 || bucket > last);
		EXPECT(bucket < HISTOGRAM_BUCKETS);
		last = bucket;
	}
	EXPECT(histogram_bucket(UINT64_MAX) < HISTOGRAM_BUCKETS);
}
