/* tests/sim/device.h - Modbus devices behind a TCP port and behind a serial port.
 *
 * Purpose:  answers reads with numbers that tell when and where they were read; late, wrong or not at all as the faults
 *           say. Owner: the world. Memory: links live until device_end.
 * Source:   MODBUS Application Protocol V1.1b3; MODBUS over Serial Line V1.02.
 */
#ifndef TESTS_SIM_DEVICE_H
#define TESTS_SIM_DEVICE_H

#include "tests/sim/net.h"

struct device_link;
struct device_answer;

struct device {
	struct service service;
	bool serial;
	uint32_t read_count; /* in the lower 20 bits of each value */
	struct device_link *links;
	struct device_answer *answers; /* given, or on their way */
};

void device_begin(struct device *d, const char *name);
void device_end(struct device *d);

#endif
