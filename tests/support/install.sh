#!/bin/sh
# Debian packages that the tests need. As root what is missing is installed; otherwise it is
# named, and the exit code is 2.
set -eu

# program:package
NEEDED="
ippeveprinter:cups-ipp-utils
dbus-daemon:dbus
cupsd:cups-daemon
lpadmin:cups-client
gs:ghostscript
ip:iproute2
ssh:openssh-client
"
PATH="$PATH:/usr/sbin:/sbin:/usr/bin:/bin"
missing=""
for pair in $NEEDED; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -d /usr/lib/cups/filter ] && [ -e /usr/lib/cups/filter/pdftopdf ] || missing="$missing cups-filters"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "the tests need these Debian packages:$missing" >&2
    echo "install them, as root: apt-get install --no-install-recommends$missing" >&2
    exit 2
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Services are not started: the tests start their own.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=yes
fi
log=$(mktemp)
# shellcheck disable=SC2086
if ! { apt-get install -qq -y --no-install-recommends $missing >"$log" 2>&1 ||
    { apt-get update -qq >>"$log" 2>&1 &&
        apt-get install -qq -y --no-install-recommends $missing >>"$log" 2>&1; }; }; then
    tail -20 "$log" >&2
    [ -z "$made" ] || rm -f "$policy"
    exit 1
fi
[ -z "$made" ] || rm -f "$policy"
rm -f "$log"
