#!/bin/sh
# abi_layout.sh write|check [HEADERS [LAYOUT]] -- sizes and offsets of everything a plugin sees.
#
# check: TAP; C and LuaJIT agree, and the layout is the recorded one. write: records it, unless a
# kind at /1 changed other than by growing at its end.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
verb=${1:-check}
headers=${2:-$here/../core/evla}
layout=${3:-$here/../docs/abi.layout}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
luajit "$here/abi.lua" program "$headers" >"$work/layout.c"
mkdir "$work/include"
ln -s "$(cd "$headers" && pwd)" "$work/include/evla"
${CC:-cc} -std=c11 -I"$work/include" -o "$work/layout" "$work/layout.c"
"$work/layout" >"$work/layout.txt"
case $verb in
check) luajit "$here/abi.lua" compare "$headers" "$layout" <"$work/layout.txt" ;;
write) luajit "$here/abi.lua" update "$headers" "$layout" <"$work/layout.txt" && echo "wrote $layout" ;;
*) echo "usage: abi_layout.sh write|check [HEADERS [LAYOUT]]" >&2; exit 2 ;;
esac
