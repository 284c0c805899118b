#!/bin/bash
# Values from Modbus registers to a subscriber over MQTT 5.
. "${0%/*}/lib.sh"
protocol=5 client_version=5
. "${0%/*}/values.inc"
