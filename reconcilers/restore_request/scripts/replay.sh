#!/bin/sh
# Replays WAL onto the restored base backup in RS_DATA up to one point, then shuts the database down. Runs in the
# database's own image, as the data's owner, without a network.
#
#   RS_DATA     the data directory                     RS_CONFIG   its configuration file; empty: the one in RS_DATA
#   RS_TARGET   Name | Immediate | EndOfWal            RS_NAME     the restore point's name (Name)
#   RS_LSN      where it ends (Name; else a guess for the percent, or empty)
#   RS_BEGIN    where the base backup begins           "$@"        more arguments of postgres: -c name=value
#
# PostgreSQL's exit code proves nothing: an engine that stops it gives 0 too. What counts is pg_controldata: `shut down in
# recovery`, and far enough. Prints {"progress":...} lines and one last {"result":...} line. May be run again at any time.
set -u
export LC_ALL=C
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -n 1)

data=$RS_DATA
log=/tmp/postgres.log
RS_ASKED=/tmp/wal-asked
export RS_ASKED
retry_seconds=1
patience=30 # times that a missing segment is asked for before it counts as lost
still=3     # times with the same answer: the location stood still for two retry intervals

json_text() { printf '%s' "$*" | tr '\n\t' '  ' | tr -d '\000-\037\\' | tr '"' "'" | cut -c1-800; }

control() { pg_controldata -D "$data" 2> /dev/null; }
field() { control | sed -n "s/^$1: *//p"; }
state() { field 'Database cluster state'; }
location() { field 'Minimum recovery ending location'; }

lsn_number() { echo $((0x${1%/*} * 4294967296 + 0x${1#*/})); }
is_lsn() { case $1 in */*) return 0 ;; *) return 1 ;; esac }

facts() {
  control | awk -F': +' '
    /^Database cluster state/ { print "\"state\":\"" $2 "\"," }
    /^Minimum recovery ending location/ { print "\"minRecoveryLSN\":\"" $2 "\"," }
    /^Min recovery ending loc.s timeline/ { print "\"minRecoveryTimeline\":" $2 "," }
    /^Backup start location/ { print "\"backupStartLSN\":\"" $2 "\"," }
    /^Latest checkpoint.s REDO location/ { print "\"redoLSN\":\"" $2 "\"," }
    /^Latest checkpoint.s REDO WAL file/ { print "\"redoWalFile\":\"" $2 "\"," }
    /^Database system identifier/ { print "\"systemID\":\"" $2 "\"," }
    /^Bytes per WAL segment/ { print "\"walSegmentBytes\":" $2 "," }' | tr -d '\n'
}
result() { # ok reason message next
  last=null
  newest=$(ls -t /barman/streaming 2> /dev/null | head -n 1)
  [ -z "$newest" ] || last=$(stat -c %Y "/barman/streaming/$newest" 2> /dev/null || echo null)
  printf '{"result":{"ok":%s,"reason":"%s","message":"%s","next":"%s","data":{%s"lastReceivedAt":%s}}}\n' \
    "$1" "$2" "$(json_text "$3")" "$(json_text "${4:-}")" "$(facts)" "$last"
}
refuse() { result false "$@"; exit 1; }

# Beyond the point by more than the rounding of a position at a page's end.
passed() { [ "$RS_TARGET" = Name ] && [ "$(lsn_number "$(location)")" -gt $(($(lsn_number "$RS_LSN") + 8192)) ]; }

# Done is what the volume says, never what a run of ours remembers.
reached() {
  [ "$(state)" = 'shut down in recovery' ] && [ ! -f "$data/backup_label" ] || return 1
  case $RS_TARGET in
    Name) [ "$(lsn_number "$(location)")" -ge "$(lsn_number "$RS_LSN")" ] && ! passed ;;
    Immediate) [ "$(field 'Backup start location')" = 0/0 ] ;;
    EndOfWal) [ "${stood_still:-0}" = 1 ] ;;
  esac
}

may_replay() {
  [ -f "$data/backup_label" ] && return 0
  case $(state) in 'in archive recovery' | 'shut down in recovery') return 0 ;; *) return 1 ;; esac
}

# Where the segment asked for last begins, as a number.
asked_position() {
  segment=$(cut -d' ' -f1 "$RS_ASKED" 2> /dev/null) || return 1
  [ ${#segment} -eq 24 ] || return 1
  tail8=${segment#????????????????}
  high=${segment%????????}
  echo $((0x${high#????????} * 4294967296 + 0x$tail8 * $(field 'Bytes per WAL segment')))
}

progress() {
  is_lsn "$RS_BEGIN" || return 0
  begin=$(lsn_number "$RS_BEGIN")
  now=$(asked_position) || now=$begin
  done_bytes=$((now > begin ? now - begin : 0))
  total=
  if is_lsn "${RS_LSN:-}"; then
    whole=$(($(lsn_number "$RS_LSN") - begin))
    [ "$done_bytes" -le "$whole" ] || done_bytes=$whole
    total=",\"bytesTotal\":$whole"
  fi
  printf '{"progress":{"phase":"Replaying","bytesDone":%s%s,"filesDone":0}}\n' "$done_bytes" "$total"
}

# The name of the newest segment there is, complete or not, whatever its timeline.
newest_segment() {
  { ls /barman/streaming; ls "/barman/wals/$(ls /barman/wals | grep -E '^[0-9A-F]{16}$' | tail -n 1)"; } 2> /dev/null |
    sed -n 's/^\([0-9A-F]\{24\}\)\(\.partial\)\{0,1\}$/\1/p' | sort | tail -n 1
}

# Prints why replay must be ended from here: "lost SEGMENT", "still"; nothing while all is well.
judge_waiting() {
  [ -f "$RS_ASKED" ] || return 0
  read -r segment answer times < "$RS_ASKED" || return 0
  # A receiver that still gets WAL would keep this going for ever: what was there at the beginning is enough.
  if [ "$RS_TARGET" = EndOfWal ] && [ "$segment" \> "$newest_received" ]; then echo still; return; fi
  case $answer in
    # Newer ones are there, or the point is behind it: this is a hole, not the end.
    missing) [ "$times" -lt "$patience" ] || echo "lost $segment" ;;
    partial) [ "$RS_TARGET" != EndOfWal ] || [ "$times" -lt "$still" ] || echo still ;;
  esac
}

child=
stopping=
stop() {
  stopping=1
  [ -z "$child" ] || kill -INT "$child" 2> /dev/null
}
trap stop TERM INT

# Production's limits, which a standby may not fall below; then what the caller wants; then what replay needs.
run_postgres() {
  case $RS_TARGET in
    Name) aim="recovery_target_name=$RS_NAME" ;;
    Immediate) aim=recovery_target=immediate ;;
    EndOfWal) aim=recovery_target= && export RS_PARTIAL=1 ;;
  esac
  rm -f "$RS_ASKED" "$data/recovery.signal" "$data/postmaster.pid"
  touch "$data/standby.signal"
  postgres ${RS_CONFIG:+-c "config_file=$RS_CONFIG"} -D "$data" \
    -c "max_connections=$(field 'max_connections setting')" \
    -c "max_worker_processes=$(field 'max_worker_processes setting')" \
    -c "max_wal_senders=$(field 'max_wal_senders setting')" \
    -c "max_prepared_transactions=$(field 'max_prepared_xacts setting')" \
    -c "max_locks_per_transaction=$(field 'max_locks_per_xact setting')" \
    "$@" \
    -c hot_standby=off -c archive_mode=off -c ssl=off -c listen_addresses= -c unix_socket_directories=/tmp \
    -c primary_conninfo= -c primary_slot_name= -c synchronous_standby_names= -c recovery_min_apply_delay=0 \
    -c logging_collector=off -c log_destination=stderr -c log_min_messages=info -c lc_messages=C \
    -c wal_retrieve_retry_interval=${retry_seconds}s -c recovery_target_action=shutdown -c "$aim" \
    -c 'restore_command=/bin/sh /roadstead/walrestore.sh "%f" "%p"' > "$log" 2>&1 &
  child=$!
  verdict=
  newest_received=$(newest_segment)
  while kill -0 "$child" 2> /dev/null; do
    progress
    sleep 1 &
    wait $!
    if [ -z "$verdict" ] && [ -z "$stopping" ]; then
      verdict=$(judge_waiting)
      [ -z "$verdict" ] || kill -INT "$child" 2> /dev/null
    fi
  done
  wait "$child"
  child=
  case $verdict in still) stood_still=1 ;; esac
}

explain() {
  grep -v 'restored log file' "$log" | tail -n 40 >&2
  if [ -n "$stopping" ]; then
    result false Cancelled "replay was stopped at $(location)"
    exit 143
  fi
  case $verdict in
    lost*) refuse WalMissing "replay waits for WAL segment ${verdict#lost }, which is neither in barman's archive nor received, or cannot be read" \
      "look for the segment with \`barman get-wal\`; without it only points before it can be restored" ;;
  esac
  cause=$(grep -E 'FATAL|PANIC' "$log" | tail -n 1 | sed -E 's/.*(FATAL|PANIC): *//')
  if grep -q 'No space left on device' "$log"; then
    free=$(df -B1 --output=avail "$data" | tail -n 1 | tr -d ' ')
    refuse NoSpace "the disk of the recover volume is full: $free bytes free" "free space on the backup host; it goes on by itself"
  fi
  refuse ReplayFailed "replay ended as '$(state)' at $(location), not at its target: ${cause:-postgres says nothing}" \
    "read the log of this worker; a new request begins with an emptied recover volume"
}

[ -f "$data/PG_VERSION" ] || refuse NotPrepared "there is no database in the recover volume" "apply a new request"
if reached; then
  result true AlreadyReplayed "the recover volume is at its point already"
  exit 0
fi
may_replay || refuse NotReplayable "the recover volume is '$(state)', not a standby: somebody started it" \
  "apply a new request: it begins with an emptied recover volume"

! passed || refuse TargetPassed "the recover volume was replayed to $(location), beyond $RS_LSN" \
  "apply a new request: it begins with an emptied recover volume"

# A restart point taken at the shutdown may leave the recorded location behind the point that was reached; the next run
# begins there, reads the little that is left and records it.
for pass in 1 2 3; do
  run_postgres "$@"
  reached && break
  [ -z "$stopping" ] && grep -q 'recovery stopping at restore point' "$log" || explain
  echo "pass $pass ended at $(location), before $RS_LSN; once more" >&2
done
reached || explain
grep -v 'restored log file' "$log" | tail -n 20 >&2
sync -f "$data"
result true Replayed "replayed to $(location)"
