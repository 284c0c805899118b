#!/bin/bash
# Values from Modbus registers to a subscriber over MQTT 3.1.1.
. "${0%/*}/lib.sh"
protocol=3.1.1 client_version=mqttv311
. "${0%/*}/values.inc"
