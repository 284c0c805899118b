#!/bin/bash
# losses_samplers.sh with live messages first after an outage, and a second outage in the middle of the replay.
variants=live
. "${0%/*}/losses_samplers.sh"
