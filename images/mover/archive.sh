#!/bin/sh
# Packs the static program roadstead-mover as the root file system of an image: what the operator carries and imports into
# a host's engine (`docker import`, or POST /images/create?fromSrc=-), so that a host needs no registry.
#
#   images/mover/archive.sh PROGRAM ARCHIVE.tar
#
# The same program gives the same archive, byte for byte: the image's name can be derived from its digest.
# In it: /roadstead-mover, /tmp (1777), /data and /run as mount points, and a user database with root alone.
set -eu

[ $# -eq 2 ] || { echo "usage: $0 PROGRAM ARCHIVE.tar" >&2; exit 2; }
program=$1 archive=$2
if [ "$(head -c 4 "$program" | od -An -tx1 | tr -d ' \n')" != 7f454c46 ]; then
  echo "archive.sh: $program is not a program of this system; build the target roadstead-mover first" >&2
  exit 1
fi
if command -v readelf > /dev/null && readelf -lW "$program" | grep -q INTERP; then
  echo "archive.sh: $program needs shared libraries; link it with -static" >&2
  exit 1
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
mkdir -p "$root/data" "$root/etc" "$root/proc" "$root/run" "$root/tmp"
chmod 0755 "$root" "$root/data" "$root/etc" "$root/proc" "$root/run"
chmod 1777 "$root/tmp"
echo 'root:x:0:0:root:/:/roadstead-mover' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
chmod 0644 "$root/etc/passwd" "$root/etc/group"
install -m 0755 "$program" "$root/roadstead-mover"
tar -C "$root" --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$archive.part" .
mv "$archive.part" "$archive"
