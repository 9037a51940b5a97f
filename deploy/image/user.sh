#!/bin/sh
# user.sh [ROOT]: the account that driftmap runs as, and /data, the folder it owns; below ROOT where that is given.
set -eu
root=${1:-}
groupadd ${root:+--prefix "$root"} --gid 10001 driftmap
useradd ${root:+--prefix "$root"} --uid 10001 --gid 10001 --home-dir /data --no-create-home \
    --shell /usr/sbin/nologin driftmap
install -d -o 10001 -g 10001 -m 0750 "$root/data"
