#!/bin/sh
# PostgreSQL's restore_command: puts WAL file $1 at path $2, out of barman's own files in /barman (plain, gzip or zstd).
# Exit 1: it is not there (yet). With RS_PARTIAL=1 also what was received of a segment that is not complete.
# Leaves what was asked for last, and how often in a row with the same answer, in $RS_ASKED.
wanted=$1
into=$2
home=/barman

note() { # answer
  [ -n "${RS_ASKED:-}" ] || return 0
  times=0
  if [ -f "$RS_ASKED" ]; then
    read -r old_name old_answer times < "$RS_ASKED"
    [ "$old_name $old_answer" = "$wanted $1" ] || times=0
  fi
  echo "$wanted $1 $((times + 1))" > "$RS_ASKED.new" && mv "$RS_ASKED.new" "$RS_ASKED"
}

unpack() { # from
  case $(head -c 4 "$1" | od -An -tx1 | tr -d ' \n') in
    1f8b*) gzip -dc "$1" > "$into" ;;
    28b52ffd) zstd -qdc "$1" > "$into" ;;
    *) cp "$1" "$into" ;;
  esac
}

case $wanted in
  *.history)
    for place in "$home/wals/$wanted" "$home/streaming/$wanted"; do
      [ -f "$place" ] && unpack "$place" && exit 0
    done
    exit 1
    ;;
esac

for place in "$home/wals/${wanted%????????}/$wanted" "$home/streaming/$wanted"; do
  if [ -f "$place" ] && unpack "$place"; then
    note complete
    exit 0
  fi
done
partial=$home/streaming/$wanted.partial
if [ "${RS_PARTIAL:-0}" = 1 ] && [ -f "$partial" ]; then
  unpack "$partial" && note partial && exit 0
fi
note missing
exit 1
