#!/bin/bash
# The whole of MQTT 5 and 3.1.1 with mosquitto.
. "${0%/*}/lib.sh"
broker=mosquitto
. "${0%/*}/brokers.inc"
