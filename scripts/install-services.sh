#!/bin/sh
# Installs from Debian what tests use and nobody here wrote. What is there already is left alone.
set -eu
wanted=""
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || wanted="$wanted rabbitmq-server"
command -v chromium >/dev/null || wanted="$wanted chromium"
PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null || wanted="$wanted pgbouncer"
command -v systemd-analyze >/dev/null || wanted="$wanted systemd"  # not systemd-sysv: it replaces no init
[ -n "$wanted" ] || exit 0
echo "installing$wanted"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# The packages start services of their own, which would be in the way: tests start theirs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086  # a list of names
apt-get install -y -qq --no-install-recommends $wanted > /dev/null
