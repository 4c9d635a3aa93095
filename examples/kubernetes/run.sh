#!/usr/bin/env bash
# Checks manifests.yaml and terraform/, and plays the pods of manifests.yaml with a real S3 server in place of the NAS:
# the node is lost and the next one goes on. Without a cluster; the pods need root, for namespaces (else exit status 77).
# usage: BUILD_DIR=build examples/kubernetes/run.sh
#        TERRAFORM, TERRAFORM_PLUGINS, KUBERNETES_VALIDATE: see tests/deploy/terraform_test.py and manifests_test.py
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD_DIR=$(realpath "${BUILD_DIR:-$top/build}")
export BUILD_DIR
"$top/tests/deploy/manifests_test.py"
"$top/tests/deploy/terraform_test.py"
[[ $(id -u) -eq 0 ]] || exit 77
"$top/tests/support/s3server/with-s3.sh" "$top/tests/deploy/kubernetes_test.py" "$@"
