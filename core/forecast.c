#include "core/forecast.h"

#include <math.h>

#define MEAN_S 60.0

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

void rate_sample(struct rate *r, uint64_t count, struct mono now)
{
	uint64_t since_ns = mono_since(now, r->last);

	if (r->last.ns != 0 && since_ns > 0 && count >= r->last_count) {
		double keep = exp(-seconds(since_ns) / MEAN_S);

		r->sum = r->sum * keep + (double)(count - r->last_count) / seconds(since_ns) * (1 - keep);
		r->weight = r->weight * keep + (1 - keep);
	}
	r->last_count = count;
	r->last = now;
}

double rate_get(const struct rate *r)
{
	return r->weight > 0 ? r->sum / r->weight : 0;
}

/* Fewer than one in eleven years. */
static bool is_still(double rate)
{
	return rate < 3e-9;
}

double forecast_holds_s(const struct forecast_input *in)
{
	if (is_still(in->made_rate))
		return -1;
	double holds_s = (double)in->message_count / in->made_rate;

	return in->max_age_ns ? fmin(holds_s, seconds(in->max_age_ns)) : holds_s;
}

double forecast_full_s(const struct forecast_input *in)
{
	if (in->buffered_count >= in->message_count)
		return 0;
	if (is_still(in->made_rate))
		return -1;
	/* At this rate the oldest expire before the last place is taken. */
	if (in->max_age_ns && (double)in->message_count / in->made_rate > seconds(in->max_age_ns))
		return -1;
	return (double)(in->message_count - in->buffered_count) / in->made_rate;
}
