#!/bin/sh
# Debian packages that the tests need. As root what is missing is installed; otherwise it is
# named, and the exit code is 2. Nothing of them is started: the tests start their own.
set -eu

# chromium          the HTTPS port as a browser sees it
# cups              the list of drivers, the socket backend, cupsfilter
# cups-daemon       cupsd, run privately by the tests
# cups-client       lp, lpadmin, cancel
# cups-ipp-utils    ippeveprinter, a printer that speaks IPP
# cups-filters      filters from PDF, text and images to rasters and PCL, and their PPDs
# dbus              ippeveprinter wants a system bus: the tests run one of their own
# fonts-dejavu-core a font for texts
# ghostscript       PCL drivers; PostScript to PDF
# iproute2          links that are cut
# libnss3-tools     certutil: what is in the store of a browser
# openssh-client    the administrator's shell
# openssl           a TLS client that shows every message
# poppler-utils     pdfinfo, which counts apart from us
# postgresql        its server, run privately by the tests: installing makes no cluster
PACKAGES="chromium cups cups-client cups-daemon cups-filters cups-ipp-utils dbus fonts-dejavu-core
ghostscript iproute2 libnss3-tools openssh-client openssl poppler-utils
postgresql"

missing=""
for package in $PACKAGES; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    [ "$(id -u)" -eq 0 ] && exit 0
    echo "the tests need root: they mount small disks, cut links of their own and run a CUPS" >&2
    echo "run them as root, or without these: make unit" >&2
    exit 2
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "the tests need these Debian packages:$missing" >&2
    echo "install them, as root: apt-get install --no-install-recommends$missing" >&2
    exit 2
fi

echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
made=""
log=$(mktemp)
clean() {
    rm -f "$log"
    [ -z "$made" ] || rm -f "$policy"
}
trap clean EXIT
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=yes
fi

install() {
    # shellcheck disable=SC2086  # a list of names
    apt-get install -qq -y --no-install-recommends $missing >>"$log" 2>&1
}

# The package lists of a fresh machine are missing or old: fetched once, and only if that is so.
if ! install && ! { apt-get update -qq >>"$log" 2>&1 && install; }; then
    tail -20 "$log" >&2
    echo "these Debian packages could not be installed:$missing" >&2
    exit 2
fi
