#!/bin/sh
# What some tests need beside Python: installed where it is missing and may be; otherwise those tests are skipped by name.
set -u
missing=""
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed, and not mine to install:$missing; the tests that need it are skipped"
    exit 0
fi
echo "installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{ apt-get -qq update && apt-get -qq install --no-install-recommends --yes $missing; } >/dev/null 2>&1 ||
    echo "could not install:$missing; the tests that need it are skipped"
exit 0
