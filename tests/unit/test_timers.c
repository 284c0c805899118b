#include "tests/test.h"

#include "core/prng.h"
#include "core/timers.h"

TEST(timers_expire_in_the_order_of_their_deadlines)
{
	struct timers t;
	struct timer timers[100] = {0};
	struct prng prng = {.state = 1};
	uint64_t last = 0;
	int count = 0;

	EXPECT_EQ(timers_open(&t, 100), 0);
	for (int i = 0; i < 100; i++)
		timer_set(&t, &timers[i], (struct mono){.ns = 1 + prng_below(&prng, 50)});
	for (int i = 0; i < 100; i += 3) /* moved both ways, and some cleared */
		timer_set(&t, &timers[i],
			  i % 2 ? MONO_NEVER : (struct mono){.ns = 1 + prng_below(&prng, 80)});
	for (struct timer *timer; (timer = timers_expire(&t, (struct mono){.ns = 1000})); count++) {
		EXPECT(timer->deadline.ns >= last);
		last = timer->deadline.ns;
	}
	EXPECT_EQ(count, 100 - 17);
	EXPECT_EQ(timers_next(&t).ns, MONO_NEVER.ns);
	timers_close(&t);
}

TEST(a_timer_that_is_not_due_stays)
{
	struct timers t;
	struct timer timer = {0};

	EXPECT_EQ(timers_open(&t, 1), 0);
	timer_set(&t, &timer, (struct mono){.ns = 10});
	EXPECT(timers_expire(&t, (struct mono){.ns = 9}) == NULL);
	EXPECT(timers_expire(&t, (struct mono){.ns = 10}) == &timer);
	EXPECT(timers_expire(&t, (struct mono){.ns = 10}) == NULL);
	timers_close(&t);
}
