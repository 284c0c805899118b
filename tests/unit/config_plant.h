/* tests/unit/config_plant.h - sections of a small plant, which a test puts before its own: a target, two lines, two devices.
 *
 * Purpose:  what the tests of configuration files refer to by name.
 * Owner:    the including test.
 */
#ifndef TESTS_UNIT_CONFIG_PLANT_H
#define TESTS_UNIT_CONFIG_PLANT_H

#include "tests/unit/config_case.h"

#define TARGET  "targets: [{name: plant, url: 'mqtt://b1'}]\n"
#define LINES   "lines: [{name: plc, modbus_tcp: {address: h}}, {name: rtu, modbus_rtu: {path: /dev/x}}]\n"
#define TAGS    "tags: [{name: power, address: 'input:1', type: int16}, {name: alarm, address: 'coil:1'}]"
#define DEVICES "devices: [{name: m1, line: plc, " TAGS "}, {name: m2, line: rtu, " TAGS "}]\n"
#define PLANT   TARGET LINES DEVICES

#endif
