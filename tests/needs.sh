#!/bin/sh
# What some tests need beside Python: installed where it is missing and may be; otherwise those tests are skipped by name.
set -u
missing=""
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed, and not mine to install:$missing; the tests that need it are skipped"
    exit 0
fi
echo "installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
# The tests start servers of their own: Debian's package shall neither make one nor start any.
case "$missing" in
*postgresql*)
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/tests.conf
    ;;
esac
# shellcheck disable=SC2086
{ apt-get -qq update && apt-get -qq install --no-install-recommends --yes $missing; } >/dev/null 2>&1 ||
    echo "could not install:$missing; the tests that need it are skipped"
exit 0
