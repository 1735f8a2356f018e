#!/bin/sh
# Puts one base backup into the recover volume (/recover), ready to be replayed. Runs in the barman image as its user.
#
#   RS_SERVER   barman's name of the server          RS_OWNER   which request, item and point this is for
#   RS_BACKUP   the backup's id                      RS_VOLUME  the recover volume's name
#   RS_METHOD   full | incremental                   RS_BYTES   what will be written; empty: not known
#
# A mark in barman's data volume says whose the recover volume is. Only what that mark proves to be ours is built upon;
# everything else is emptied first: a delta restore compares whole seconds, over another backup stale pages could stay.
# Prints {"progress":...} lines and one last {"result":...} line. May be run again at any time.
set -u
export LC_ALL=C

recover=/recover
marks=/var/lib/barman/.roadstead/recover
mark=$marks/$RS_VOLUME.json
out=/tmp/restore.out

json_text() { printf '%s' "$*" | tr '\n\t' '  ' | tr -d '\000-\037\\' | tr '"' "'" | cut -c1-800; }
result() { # ok reason message next data
  printf '{"result":{"ok":%s,"reason":"%s","message":"%s","next":"%s","data":%s}}\n' \
    "$1" "$2" "$(json_text "$3")" "$(json_text "$4")" "${5:-{\}}"
}
refuse() { result false "$@"; exit 1; }

used_bytes() { du -sb "$recover" 2> /dev/null | cut -f1; }
free_bytes() { df -B1 --output=avail "$recover" | tail -n 1 | tr -d ' '; }

# The root's inode tells a volume that was made anew from the one the mark was written for.
mark_line() {
  printf '{"request":"%s","server":"%s","backupID":"%s","inode":%s,"state":"%s"}' \
    "$RS_OWNER" "$RS_SERVER" "$RS_BACKUP" "$(stat -c %i "$recover")" "$1"
}
is_marked() { [ "$(cat "$mark" 2> /dev/null)" = "$(mark_line "$1")" ]; }
write_mark() {
  mkdir -p "$marks" && mark_line "$1" > "$mark.new" && sync "$mark.new" && mv "$mark.new" "$mark" && sync "$marks" ||
    refuse MarkNotWritten "the mark $mark cannot be written" "free space in barman's data volume"
}

progress() {
  total=${RS_BYTES:+,\"bytesTotal\":$RS_BYTES}
  now=$(used_bytes)
  # Temporary files count too, for a moment more than the whole.
  if [ -n "${RS_BYTES:-}" ] && [ "${now:-0}" -gt "$RS_BYTES" ]; then now=$RS_BYTES; fi
  printf '{"progress":{"phase":"Restoring","bytesDone":%s%s,"filesDone":0}}\n' "${now:-0}" "$total"
}

empty_recover() {
  rm -f "$mark" && sync "$marks" 2> /dev/null
  find "$recover" -mindepth 1 -delete || refuse RecoverVolumeBusy "the recover volume $RS_VOLUME cannot be emptied" \
    "look for what uses volume $RS_VOLUME and stop it"
  sync -f "$recover"
}

barman_pid=
stop() {
  [ -z "$barman_pid" ] || kill -TERM "$barman_pid" 2> /dev/null
  result false Cancelled "the restore of backup $RS_BACKUP was stopped" ""
  exit 143
}
trap stop TERM INT

restore() { # extra arguments of barman restore
  barman -f json restore --jobs 4 --standby-mode --get-wal "$@" "$RS_SERVER" "$RS_BACKUP" "$recover" > "$out" 2>&1 &
  barman_pid=$!
  while kill -0 "$barman_pid" 2> /dev/null; do
    progress
    sleep 2 &
    wait $!
  done
  wait "$barman_pid"
}

explain() {
  words=$(tr -d '\n' < "$out" | sed 's/.*"_ERROR": *\[//; s/.*"_EXCEPTION": *\[//' | cut -c1-600)
  cat "$out" >&2
  if grep -q 'No space left on device' "$out"; then
    free=$(free_bytes)
    refuse NoSpace "the disk of recover volume $RS_VOLUME is full: $free bytes free, backup $RS_BACKUP needs ${RS_BYTES:-more}" \
      "free space on the backup host; it goes on by itself" "{\"freeBytes\":$free,\"neededBytes\":${RS_BYTES:-0}}"
  fi
  if grep -q 'Unknown backup' "$out"; then
    refuse BackupGone "barman does not know backup $RS_BACKUP of $RS_SERVER any more" "choose another backup in a new request"
  fi
  refuse RestoreFailed "barman restore of $RS_BACKUP failed: $words" "run \`barman check $RS_SERVER\` and look at barman's log"
}

if is_marked Prepared && [ -f "$recover/PG_VERSION" ]; then
  result true AlreadyPrepared "backup $RS_BACKUP is in the recover volume already" "" "{\"bytes\":$(used_bytes)}"
  exit 0
fi
if is_marked Preparing && [ "$RS_METHOD" = full ]; then
  # What an interrupted rsync leaves behind.
  find "$recover" -type f -name '.*.??????' -delete
  restore --delta-restore || explain
else
  empty_recover
  write_mark Preparing
  restore || explain
fi

# The database's own settings, without barman's restore_command and without targets of past recoveries.
cd "$recover" || exit 1
if [ -f postgresql.auto.conf.origin ]; then
  sed '/^[[:space:]]*recovery_target/d; /^[[:space:]]*restore_command/d; /^[[:space:]]*recovery_end_command/d' \
    postgresql.auto.conf.origin > postgresql.auto.conf || refuse RestoreFailed "postgresql.auto.conf cannot be written" ""
fi
rm -f recovery.signal
sync -f "$recover"
write_mark Prepared
progress
result true Prepared "backup $RS_BACKUP is restored, ready for replay" "" "{\"bytes\":$(used_bytes)}"
