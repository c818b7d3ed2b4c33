#!/usr/bin/env bash
# Installs the Debian packages that the tests need and that are missing, if it may: kcat and a PostgreSQL server.
# Where it may not (not root, no apt), it says so; the suite then skips what needs them, and says that too.
set -euo pipefail

missing=()
command -v kcat >/dev/null || missing+=(kcat)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; install them to run the tests that need them" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# No cluster of the package's own: the tests start their servers themselves.
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/runnel-tests.conf
apt-get install -y -qq --no-install-recommends "${missing[@]}"
