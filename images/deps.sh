#!/bin/sh
# Installs what building, testing and the demo need and this Debian 12 lacks, and says what. Root.
#
#   images/deps.sh [--dry-run] [--build | --check]
#
#   --build: only what compiling needs (the Dockerfiles use it)     --check: also clang-format and clang-tidy, for `make check`
#
# What is already there is taken as it is: a compiler, or a Docker Engine, of another package or of none.
set -eu

dry_run= only_build= with_check=
for argument; do
  case $argument in
    --dry-run) dry_run=yes ;;
    --build) only_build=yes ;;
    --check) with_check=yes ;;
    *) echo "usage: $0 [--dry-run] [--build | --check]" >&2; exit 2 ;;
  esac
done

missing=
want() { missing="$missing $1"; }
program() { command -v "$1" > /dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || want "$2"; }
package() { dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q ' installed$' || want "$1"; }

# compiling: program, and the package that brings it
program c++ g++
program cmake cmake
program ninja ninja-build
program pkg-config pkg-config
# libraries (docs/dependencies.md says what each is for)
for name in libarchive-dev libboost-dev libcli11-dev libcpprest-dev libexpected-dev libfmt-dev \
  libhowardhinnant-date-dev librust-blake3-dev libre2-dev libsqlite3-dev libssh-dev libssl-dev libyaml-cpp-dev libzstd-dev nlohmann-json3-dev \
  prometheus-cpp-dev zlib1g-dev ca-certificates tzdata; do
  package "$name"
done

# tests, demo, benchmarks
if [ -z "$only_build" ]; then
  program ccache ccache
  package libgmock-dev
  package libgtest-dev
  program curl curl
  program debootstrap debootstrap
  program docker docker.io
  program dockerd docker.io
  program git git
  program ip iproute2
  program iptables iptables
  program jq jq
  program losetup mount
  program mkfs.ext4 e2fsprogs
  program nsenter util-linux
  program openssl openssl
  program prometheus prometheus
  program promtool prometheus
  program psql postgresql-client
  program python3 python3
  program restic restic            # the benchmarks compare with both
  program rsync rsync
  package openssh-sftp-server      # what restic speaks to
  program sqlite3 sqlite3
  program ssh openssh-client
  program sshd openssh-server
  program busybox busybox-static  # the one program in the containers of the engine tests
  program tini tini
  python3 -c 'import pytest' 2> /dev/null || want python3-pytest
fi
if [ -n "$with_check" ]; then
  program clang-format clang-format
  program clang-tidy clang-tidy
fi

missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
if [ -z "$(echo "$missing" | tr -d ' ')" ]; then
  echo "deps: nothing is missing"
  exit 0
fi
echo "deps: installing $missing"
[ -z "$dry_run" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "deps: run this as root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # one word a package
apt-get install -y -qq --no-install-recommends $missing > /dev/null
echo "deps: installed"
