#!/bin/sh
# Runs a command as 999:999, or, without one, barman's minute work: `barman cron` at once and then every minute.
#
# Each run leaves /var/lib/barman/.roadstead/cron.json (replaced in one step) and prints the same line on stdout:
#   {"event":"cron","started":"2026-11-22T09:41:00Z","finished":"2026-11-22T09:41:01Z","exitCode":0}
# barman's own log goes to stderr. SIGTERM ends everything started here, the WAL receivers first of all.
set -u

home=/var/lib/barman
log=/var/log/barman/barman.log
log_limit_bytes=16777216
period_seconds=60
stop_seconds=8 # below the 10 s an engine waits before it kills

# The password file may have been put there before the first start.
is_empty() { [ -z "$(find "$1" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name .pgpass -print -quit)" ]; }

# A new volume belongs to root. One that holds something is left alone: it may be somebody else's.
claim_empty_roots() {
  for root in "$home" ${ROADSTEAD_ROOTS:-/recover}; do
    if [ -d "$root" ] && is_empty "$root"; then
      chown 999:999 "$root" && chmod 0700 "$root" || return 1
    fi
  done
}

if [ "$(id -u)" = 0 ]; then
  claim_empty_roots || exit 1
  export HOME=$home
  exec setpriv --reuid=999 --regid=999 --clear-groups -- "$0" "$@"
fi
[ $# -eq 0 ] || exec "$@"

utc_now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

run_cron() {
  started=$(utc_now)
  barman -q cron > /dev/null &
  wait $!
  code=$?
  line=$(printf '{"event":"cron","started":"%s","finished":"%s","exitCode":%d}' "$started" "$(utc_now)" "$code")
  echo "$line"
  mkdir -p "$home/.roadstead" && echo "$line" > "$home/.roadstead/cron.json.new" &&
    mv "$home/.roadstead/cron.json.new" "$home/.roadstead/cron.json"
}

# Every program of this container that is ours to signal, this shell excepted. PID 1 is root's.
stop_all() {
  trap '' TERM INT
  kill -TERM -1 2> /dev/null
  waited=0
  while [ "$waited" -lt "$stop_seconds" ] && others_alive; do
    sleep 1
    waited=$((waited + 1))
  done
  exit 0
}

others_alive() {
  for status in /proc/[0-9]*/status; do
    pid=${status#/proc/}
    pid=${pid%/status}
    [ "$pid" != $$ ] && [ -O "/proc/$pid" ] && grep -qs '^State:[[:space:]]*[^Z]' "$status" && return 0
  done
  return 1
}

keep_log_short() {
  if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt "$log_limit_bytes" ]; then
    mv "$log" "$log.1"
  fi
}

seconds_to_next_run() { echo $((period_seconds - $(date +%s) % period_seconds)); }

trap stop_all TERM INT
touch "$log" && tail -n 0 -F "$log" >&2 2> /dev/null &
while :; do
  keep_log_short
  run_cron
  sleep "$(seconds_to_next_run)" &
  wait $!
done
