#!/bin/sh
# Set an empty PGDATA up, then become the server. While it is set up, the server listens on its socket alone.
set -eu
: "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
SOCKETS=/var/run/postgresql

set_up() {
    : "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD must hold the password of the user $POSTGRES_USER}"
    # Moved into place when whole: what an interrupted start left is thrown away by the next one.
    making="$PGDATA.making"
    rm -rf "$making"
    mkdir -p "$making"
    chmod 700 "$making"
    passwords=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$passwords"
    initdb --pgdata "$making" --username "$POSTGRES_USER" --pwfile "$passwords" --encoding UTF8 \
        --locale C.UTF-8 --auth-local trust --auth-host scram-sha-256
    rm "$passwords"
    echo "host all all all scram-sha-256" >> "$making/pg_hba.conf"
    pg_ctl --pgdata "$making" --wait start --options "-c listen_addresses='' -k $SOCKETS"
    if [ "$POSTGRES_DB" != postgres ]; then
        createdb --host "$SOCKETS" --username "$POSTGRES_USER" "$POSTGRES_DB"
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) psql --host "$SOCKETS" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --no-psqlrc \
                --set ON_ERROR_STOP=1 --quiet --file "$file" ;;
            *.sh) . "$file" ;;
        esac
    done
    pg_ctl --pgdata "$making" --wait --mode fast stop
    rmdir "$PGDATA" 2>/dev/null || true
    mv "$making" "$PGDATA"
}

[ "${1:-}" = postgres ] || exec "$@"
[ -s "$PGDATA/PG_VERSION" ] || set_up
exec "$@" -D "$PGDATA" -k "$SOCKETS" -c listen_addresses='*'
