/* tests/sim/clock_sim.h - virtual time; clock_sim.o takes the place of core/clock_os.o.
 *
 * Purpose:  core/clock.h answers from sim.now_ns. Owner: the seed. Threads: one. Units: nanoseconds.
 */
#ifndef TESTS_SIM_CLOCK_SIM_H
#define TESTS_SIM_CLOCK_SIM_H

#include "core/clock.h"

#define CLOCK_SIM_START_NS      (1000 * NS_PER_S)
#define CLOCK_SIM_WALL_START_NS (1790000000ll * (int64_t)NS_PER_S) /* some day in 2026, at the start */

#endif
