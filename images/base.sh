#!/bin/sh
# Makes debian:<suite>-slim in a Docker Engine where no registry can be reached.
#
#   images/base.sh [-H ENGINE] [bookworm|trixie]...      (default: both; ENGINE: as `docker -H`, default $DOCKER_HOST)
#
# An image that is there, or can be pulled, is left as it is. Otherwise the suite is bootstrapped and imported, and takes
# along what this machine needs to reach packages: its apt sources and transport settings, its certificates, its pip and
# proxy environment. So the Dockerfiles need to know nothing of the machine they are built on.
# Finished archives are kept in ${ROADSTEAD_CACHE:-$HOME/.cache/roadstead}/base; delete them to begin anew.
set -eu

cache=${ROADSTEAD_CACHE:-$HOME/.cache/roadstead}/base
# Where this machine has its Debian from: the first source that does not carry security updates alone.
mirror_of_this_machine() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2> /dev/null |
    grep -Ev '^[[:space:]]*#' | grep -Eo 'https?://[^] ]+' | grep -v -e security | head -n 1
}
mirror=${ROADSTEAD_DEBIAN_MIRROR:-$(mirror_of_this_machine)}
bundle=/etc/ssl/certs/ca-certificates.crt
this_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

say() { echo "base.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# The Debian sources of this machine, rewritten for another suite. Other vendors' sources stay here.
carry_apt_sources() { # root suite
  rm -f "$1/etc/apt/sources.list"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] && [ -n "$this_suite" ] || continue
    grep -Eqs "^[^#]*(^|[[:space:]])$this_suite(-updates|-security)?([[:space:]]|\$)" "$file" || continue
    install -D -m 644 "$file" "$1$file"
    sed -i -E "s/(^|[[:space:]])$this_suite(-updates|-security)?([[:space:]]|\$)/\1$2\2\3/g" "$1$file"
    sed -i -E "s/(^|[[:space:]])$this_suite(-updates|-security)?([[:space:]]|\$)/\1$2\2\3/g" "$1$file" # neighbours share a space
    for key in $(grep -Eo '(Signed-By: *|signed-by=)/[^] ]+' "$file" | sed -E 's/^[^/]*//' | sort -u); do
      [ -e "$1$key" ] || install -D -m 644 "$key" "$1$key"
    done
  done
  find "$1/etc/apt" -name '*.list' -o -name '*.sources' | grep -q . ||
    echo "deb $mirror $2 main" > "$1/etc/apt/sources.list"
  apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' > "$1/etc/apt/apt.conf.d/90machine" || true
}

# Certificates that a later `update-ca-certificates` keeps: every one of the bundle, each in a file of its own.
carry_certificates() { # root
  [ -s "$bundle" ] || return 0
  install -D -m 644 "$bundle" "$1$bundle"
  mkdir -p "$1/usr/local/share/ca-certificates/machine"
  awk -v dir="$1/usr/local/share/ca-certificates/machine" '
    /-----BEGIN CERTIFICATE-----/ { file = sprintf("%s/%04d.crt", dir, ++n) }
    file { print > file }
    /-----END CERTIFICATE-----/ { close(file); file = "" }' "$bundle"
  [ ! -e /etc/pip.conf ] || install -m 644 /etc/pip.conf "$1/etc/pip.conf"
}

# One `ENV name=value` a line: how this machine reaches packages. A value that names a file only this machine has is left out.
environment() { # root
  env | grep -E '^(PIP_[A-Z_]+|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(HTTPS?|NO|https?|no)_(PROXY|proxy))=' |
    while IFS='=' read -r name value; do
      case $value in /*) [ -e "$1$value" ] || continue ;; esac
      printf 'ENV %s=%s\n' "$name" "$value"
    done
}

bootstrap() { # suite
  command -v debootstrap > /dev/null || fail "debootstrap is missing; install it (images/deps.sh does) and run this again"
  work=$(mktemp -d "$cache/$1.XXXXXX")
  trap 'rm -rf "$work"' EXIT INT TERM
  say "bootstrapping $1 from $mirror"
  debootstrap --variant=minbase --include=ca-certificates "$1" "$work/root" "$mirror" > "$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; fail "debootstrap of $1 failed; is $mirror reachable? ROADSTEAD_DEBIAN_MIRROR names another"; }
  carry_apt_sources "$work/root" "$1"
  carry_certificates "$work/root"
  chroot "$work/root" update-ca-certificates > /dev/null 2>&1
  rm -rf "$work/root"/var/cache/apt/* "$work/root"/var/lib/apt/lists/* "$work/root"/var/log/*.log \
    "$work/root"/usr/share/doc/* "$work/root"/usr/share/man/* "$work/root"/usr/share/locale/*
  environment "$work/root" > "$cache/$1.env"
  tar -C "$work/root" --numeric-owner --xattrs -cf "$work/root.tar" .
  mv "$work/root.tar" "$cache/$1.tar" # last: an archive that is there is whole
  rm -rf "$work"
  trap - EXIT INT TERM
}

while getopts H: option; do
  case $option in H) export DOCKER_HOST="$OPTARG" ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- bookworm trixie

mkdir -p "$cache"
for suite; do
  image=debian:$suite-slim
  if docker image inspect "$image" > /dev/null 2>&1; then
    continue
  fi
  if [ ! -s "$cache/$suite.tar" ]; then
    if timeout 60 docker pull -q "$image" > /dev/null 2>&1; then
      say "pulled $image"
      continue
    fi
    bootstrap "$suite"
  fi
  set -f
  changes=$(sed 's/^/--change=/' "$cache/$suite.env")
  IFS='
'
  # shellcheck disable=SC2086  # one word a line
  docker import $changes --change='CMD ["bash"]' "$cache/$suite.tar" "$image" > /dev/null
  unset IFS
  set +f
  say "imported $image"
done
