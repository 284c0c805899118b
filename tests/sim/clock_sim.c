#include "tests/sim/clock_sim.h"

#include "tests/sim/sim.h"

struct mono clock_mono(void)
{
	return (struct mono){.ns = sim.now_ns};
}

struct wall clock_wall(void)
{
	return (struct wall){.ns = CLOCK_SIM_WALL_START_NS + (int64_t)(sim.now_ns - CLOCK_SIM_START_NS)};
}
