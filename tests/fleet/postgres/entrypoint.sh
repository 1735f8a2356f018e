#!/bin/sh
# First start: makes the cluster, the roles and the database `montagu`, with a server that only answers on the socket.
# Then the command, `postgres ...`, takes this process's place. Passwords come from the environment:
# POSTGRES_PASSWORD, MONTAGU_PASSWORD (role vimc, owner of the tables), BARMAN_PASSWORD, STREAMING_BARMAN_PASSWORD.
set -eu

data=${PGDATA:-/pgdata}

if [ "$(id -u)" = 0 ]; then
  chown 999:999 "$data" && chmod 0700 "$data"
  exec setpriv --reuid=999 --regid=999 --clear-groups -- "$0" "$@"
fi

need() { eval "[ -n \"\${$1:-}\" ]" || { echo "montagu-db: set $1 for the first start" >&2; exit 1; }; }

# Function grants are per database; barman connects to `postgres`.
first_start_sql() {
  cat << 'SQL'
\set ON_ERROR_STOP on
\getenv montagu_password MONTAGU_PASSWORD
\getenv barman_password BARMAN_PASSWORD
\getenv streaming_password STREAMING_BARMAN_PASSWORD
CREATE ROLE vimc LOGIN PASSWORD :'montagu_password';
CREATE DATABASE montagu OWNER vimc;
CREATE ROLE barman LOGIN PASSWORD :'barman_password';
CREATE ROLE streaming_barman LOGIN REPLICATION PASSWORD :'streaming_password';
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_switch_wal(),
  pg_create_restore_point(text) TO barman;
GRANT pg_read_all_settings, pg_read_all_stats, pg_checkpoint TO barman;
\connect montagu vimc
CREATE TABLE api_access_log (id bigint PRIMARY KEY, timestamp timestamptz NOT NULL DEFAULT clock_timestamp(), payload text NOT NULL);
CREATE TABLE site (name text NOT NULL, made timestamptz NOT NULL DEFAULT now());
SQL
}

if [ "${1:-}" = postgres ] && [ ! -s "$data/PG_VERSION" ]; then
  for name in POSTGRES_PASSWORD MONTAGU_PASSWORD BARMAN_PASSWORD STREAMING_BARMAN_PASSWORD; do need "$name"; done
  password_file=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" > "$password_file"
  initdb -D "$data" --username=postgres --pwfile="$password_file" --auth=scram-sha-256 --encoding=UTF8 --data-checksums \
    --no-instructions
  rm "$password_file"
  # /tmp, so that nobody takes this server for the real one
  pg_ctl -D "$data" -w -s -o "-c listen_addresses='' -c unix_socket_directories=/tmp -c hba_file=/etc/montagu/pg_hba.conf" start
  first_start_sql | psql -X -q -v ON_ERROR_STOP=1 -h /tmp -U postgres -d postgres
  pg_ctl -D "$data" -w -s -m fast stop
fi

unset POSTGRES_PASSWORD MONTAGU_PASSWORD BARMAN_PASSWORD STREAMING_BARMAN_PASSWORD
exec "$@"
