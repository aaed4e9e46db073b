#!/bin/sh
# Installs the servers that this module rotates passwords of, where they are missing, on Debian and
# its kin, as root: PostgreSQL, MariaDB, Redis, RabbitMQ, NATS. It starts none of them. Elsewhere it
# says so and does nothing: the tests of this module then say what they left out.
set -eu
missing=
need() { # package, program
	for program in $2 "$(command -v "${2##*/}" || true)"; do
		if [ -x "$program" ]; then return; fi
	done
	missing="$missing $1"
}
PATH=$PATH:/usr/sbin
need postgresql '/usr/lib/postgresql/*/bin/initdb'
need mariadb-server mariadbd
need redis-server redis-server
need rabbitmq-server rabbitmq-server
need nats-server nats-server
if [ -z "$missing" ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "left out: these servers are missing, and only root on Debian can install them:$missing"
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
# Packages start their services, unless this program says no.
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f "$log" $policy' EXIT
else
	trap 'rm -f "$log"' EXIT
fi
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/none.conf
apt-get update >"$log" 2>&1 || true
for package in $missing; do
	apt-get install -y --no-install-recommends "$package" >"$log" 2>&1 || {
		tail -n 3 "$log"
		echo "left out: $package could not be installed"
	}
done
