#!/bin/sh
# ffi.t -- LuaJIT reads a plugin's table and runs operators through libevla.so.
cd "$(dirname "$0")/.." || exit 1
build=${EVLA_BUILD:-build}
command -v luajit >/dev/null || { echo "1..0 # SKIP luajit is not installed"; exit 0; }
[ -n "${EVLA_SAN:-}" ] && { echo "1..0 # SKIP a sanitizer's library needs its own program"; exit 0; }
[ -e "$build/libevla.so" ] || { echo "1..0 # SKIP libevla.so is not built"; exit 0; }
exec luajit tests/abi_ffi.lua "$build"
