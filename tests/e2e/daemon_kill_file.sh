#!/bin/bash
# daemon_kill.sh with the rings in files: nothing that was made is missing after a kill.
ring=file
. "${0%/*}/daemon_kill.sh"
