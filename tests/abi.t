#!/bin/sh
# abi.t -- the public headers are read by two parsers that agree, and the layout is the recorded one.
cd "$(dirname "$0")/.." || exit 1
command -v luajit >/dev/null || { echo "1..0 # SKIP luajit is not installed"; exit 0; }
exec sh tests/abi_layout.sh check
