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

static bool has_byte_limit(const struct forecast_input *in)
{
	return in->byte_count > 0 && in->message_bytes > 0;
}

/* Messages that there is room for where nothing is in it yet. */
static double room_count(const struct forecast_input *in)
{
	double count = (double)in->message_count;

	return has_byte_limit(in) ? fmin(count, (double)in->byte_count / in->message_bytes) : count;
}

/* Messages that there is room for now, more or less. */
static double left_count(const struct forecast_input *in)
{
	double count = (double)in->message_count - (double)in->buffered_count;
	double bytes = (double)in->byte_count - (double)in->buffered_bytes;

	return has_byte_limit(in) ? fmin(count, bytes / in->message_bytes) : count;
}

bool forecast_is_full(const struct forecast_input *in)
{
	return left_count(in) < 1;
}

double forecast_fill(const struct forecast_input *in)
{
	double fill = (double)in->buffered_count / (double)in->message_count;

	return in->byte_count ? fmax(fill, (double)in->buffered_bytes / (double)in->byte_count) : fill;
}

double forecast_holds_s(const struct forecast_input *in)
{
	if (is_still(in->made_rate))
		return -1;
	double holds_s = room_count(in) / in->made_rate;

	return in->max_age_ns ? fmin(holds_s, seconds(in->max_age_ns)) : holds_s;
}

double forecast_full_s(const struct forecast_input *in)
{
	if (forecast_is_full(in))
		return 0;
	if (is_still(in->made_rate))
		return -1;
	/* At this rate the oldest expire before the last place is taken. */
	if (in->max_age_ns && room_count(in) / in->made_rate > seconds(in->max_age_ns))
		return -1;
	return left_count(in) / in->made_rate;
}
