#!/bin/sh
# build.sh SOURCE ENVIRONMENT [EXTRAS]: driftmap from the folder SOURCE, as a wheel, into a new virtual environment.
# EXTRAS: torch, or nothing. PYTHON names the interpreter.
set -eu
source=$1
environment=$2
extras=${3:-}

"${PYTHON:-python3}" -m venv "$environment"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
"$environment/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$wheels" "$source"
wheel=$(ls "$wheels"/driftmap-*.whl)
"$environment/bin/pip" install --quiet --disable-pip-version-check --constraint "$source/constraints.txt" \
    "$wheel${extras:+[$extras]}"
"$environment/bin/pip" check
