#!/bin/sh
# Debian packages that the tests need. As root: installs what is missing. Otherwise: names it, exit 2.
# Each test that needs a program fails without it; nothing is skipped.
set -eu

# cups                the drivers' list, the socket backend, rastertopwg, cupsfilter
# cups-daemon         cupsd, run privately by the tests
# cups-client         lp, lpadmin, cancel, cupsaccept
# cups-ipp-utils      ippeveprinter, a printer that speaks IPP
# cups-filters        filters from PDF and text to rasters and PCL, their PPDs
# dbus                ippeveprinter wants a system bus: the tests run one of their own
# fonts-dejavu-core   a font for texttopdf
# ghostscript         the PCL drivers; PostScript to PDF
# poppler-utils       pdftops, pdfinfo
PACKAGES="cups cups-client cups-daemon cups-filters cups-ipp-utils dbus fonts-dejavu-core ghostscript \
poppler-utils"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "the tests need Debian's packages (or what they hold): $PACKAGES" >&2
    exit 2
fi

missing=""
for package in $PACKAGES; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "the tests need these Debian packages:$missing" >&2
    echo "install them: apt-get install --no-install-recommends$missing" >&2
    exit 2
fi

echo "installing:$missing"
# RUNLEVEL=1: a package brings its programs; no service of the machine's is started.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

install() {
    # shellcheck disable=SC2086  # a list of names
    apt-get install --yes --quiet --no-install-recommends $missing >"$log" 2>&1
}

# The package lists of a fresh machine are missing or old: fetched once, and only if that is so.
if ! install; then
    if ! { apt-get update --quiet >"$log" 2>&1 && install; }; then
        cat "$log" >&2
        echo "these Debian packages could not be installed:$missing" >&2
        exit 2
    fi
fi
