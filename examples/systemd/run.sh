#!/usr/bin/env bash
# Has systemd check the units, and plays what they start with a real S3 server: stopped, disk lost, started, gone on.
# usage: BUILD_DIR=build examples/systemd/run.sh
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD_DIR=$(realpath "${BUILD_DIR:-$top/build}")
export BUILD_DIR
exec "$top/tests/support/s3server/with-s3.sh" "$top/tests/deploy/systemd_test.py" "$@"
