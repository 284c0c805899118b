#!/bin/bash
# The whole of MQTT 5 and 3.1.1 with ejabberd's mod_mqtt.
. "${0%/*}/lib.sh"
broker=ejabberd
. "${0%/*}/brokers.inc"
