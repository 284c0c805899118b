#!/bin/bash
# memory.sh without the right to lock memory: as much is there from the start, only that it may be taken away is said.
locked=0
. "${0%/*}/memory.sh"
