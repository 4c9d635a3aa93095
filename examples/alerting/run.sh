#!/usr/bin/env bash
# Sends the real output of an application whose replica goes away and comes back through the pipeline.
# usage: BUILD_DIR=build examples/alerting/run.sh      FLUENT_BIT names a Fluent Bit; without one its rules are played
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD_DIR=$(realpath "${BUILD_DIR:-$top/build}")
export BUILD_DIR
exec "$top/tests/deploy/alerting_test.py" "$@"
