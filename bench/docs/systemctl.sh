#!/usr/bin/env bash
# systemctl start|stop|restart brokerd, on the host that ssh chose: the unit's ExecStart, its SIGTERM and its log.
set -euo pipefail
host=$DOCS_DIR/host-$DOCS_HOST
verb=$1
running() { [ -s "$host/pid" ] && kill -0 "$(cat "$host/pid")" 2>/dev/null; }
end() {
  running || return 0
  kill -"$1" "$(cat "$host/pid")"
  while running; do sleep 0.05; done
}
begin() {
  running && return 0
  ulimit -n 4096 # less than the unit has, the same on every machine: doctor is to find it
  setsid brokerd --config "$host/etc/brokerd.yaml" < /dev/null >> "$host/log" 2>&1 &
  echo $! > "$host/pid"
}
case $verb in
  start) begin ;;
  stop) end TERM ;;
  restart) end TERM; begin ;;
  reload) kill -HUP "$(cat "$host/pid")" ;;
  is-active) if running; then echo active; else echo inactive; exit 3; fi ;;
  *) echo "systemctl here does not know $verb" >&2; exit 1 ;;
esac
