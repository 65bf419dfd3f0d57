#!/bin/sh
# Stands in for Firecracker's jailer. A program checks the arguments, makes the jail and prints the command that goes on in this
# process: its pid stays the same until the server runs, as the real jailer's does.
exec 3>&1
plan=$(JAILER_PID=$$ '@NODE@' "$(dirname "$(readlink -f "$0")")/prepare-jail.cjs" "$@") || exit
exec 3>&-
eval "$plan"
