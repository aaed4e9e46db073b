#!/bin/sh
# Installs PostgreSQL's server programs where they are missing, on Debian and its kin, as root. It makes no database cluster and starts no server. Elsewhere it
# says so and does nothing: the tests of this module then say what they left out.
set -eu
for program in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
	if [ -x "$program" ]; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo 'left out: PostgreSQL is missing, and only root on Debian can install it'
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
	apt-get update &&
		apt-get install -y --no-install-recommends postgresql-common &&
		mkdir -p /etc/postgresql-common/createcluster.d &&
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/none.conf &&
		apt-get install -y --no-install-recommends postgresql
} >"$log" 2>&1 || {
	tail -n 3 "$log"
	echo 'left out: PostgreSQL could not be installed'
}
