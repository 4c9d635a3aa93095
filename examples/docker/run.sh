#!/usr/bin/env bash
# Makes the images' roots as the Dockerfiles do, and plays compose.yaml with them and a real S3 server: the disk is
# lost and comes back. Without a daemon; needs root, for the namespaces (exit status 77 says so).
# usage: BUILD_DIR=build examples/docker/run.sh
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD_DIR=$(realpath "${BUILD_DIR:-$top/build}")
export BUILD_DIR
[[ $(id -u) -eq 0 ]] || exit 77
exec "$top/tests/support/s3server/with-s3.sh" /usr/bin/python3 "$top/tests/deploy/docker_test.py" "$@"
