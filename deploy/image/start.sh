#!/bin/sh
# start.sh [OPTION...]: serve what is in the working folder; the first start writes a driftmap.yaml there.
set -eu
[ -e driftmap.yaml ] || driftmap init .
exec driftmap serve "$@"
