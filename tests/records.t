#!/bin/sh
# records.t -- records and tensors as scripts see them; the claims stand in records.lua.
cd "$(dirname "$0")/.." || exit 1
build=${EVLA_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
point=$build/tests/plugins/body_point.so
[ -x "$build/evla" ] && [ -e "$point" ] || { echo "1..0 # SKIP $build/evla or $point is not built"; exit 0; }
said=$("$build/evla" check tests/records.lua --plugins "$point" 2>&1)
case $said in
*"reached the end"*) echo "ok 1 - sets, records, tensors and their mistakes" ;;
*) echo "not ok 1 - sets, records, tensors and their mistakes" && echo "# $said" ;;
esac
echo "1..1"
