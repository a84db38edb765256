#!/usr/bin/env bash
# ssh HOST COMMAND: runs it on this machine, with the paths of the host's folder.
n=${1#host-}; shift
export DOCS_HOST=$n
unset "${!RUNNEL_@}" # they stay on the operator's machine
command="$*"
command=${command//\/etc\/runnel/$DOCS_DIR/host-$n/etc}
command=${command//\/var\/lib\/runnel/$DOCS_DIR/host-$n/var}
exec bash -eu -c "$command"
