#!/bin/sh
# rooms.t -- who may know whom: no proper names in core, no core internals in plugins, a stair of
# floors inside core, and a library that exports evla_* only.
cd "$(dirname "$0")/.." || exit 1
build=${EVLA_BUILD:-build}
n=0 bad=0
found=$(mktemp)
trap 'rm -f "$found"' EXIT
ok() { # title; offending lines are in the file
    lines=$(cat "$found")
    n=$((n + 1))
    if [ -z "$lines" ]; then echo "ok $n - $1"; else
        echo "not ok $n - $1"
        echo "$lines" | sed 's/^/#   /'
        bad=1
    fi
}

# In comments a name may serve as an example or a source; in code, texts and file names it may not.
proper='gguf|hdf5|mujoco|llama|avx[0-9]*|neon|sse[0-9]+|vnni|onnx|tflite|numpy|torch|tensorflow|robomimic'
proper="$proper|smolvla|openvla|safetensors|protobuf|grpc|duckdb|parquet|nf4|gptq|awq|opencv|spng|franka"
# The command line's examples are for people too.
for file in core/*.[ch] core/*/*.[ch]; do
    [ "$file" = core/main.c ] && continue
    ${CC:-cc} -fpreprocessed -dD -E -P "$file" 2>/dev/null | grep -niE "(^|[^a-z])($proper)([^a-z]|\$)" | sed "s|^|$file: |"
    echo "$file" | grep -iE "$proper"
done >"$found"
ok "nothing with a proper name lives in core"

grep -nE '^#include "' plugins/*/*.[ch] | grep -vE '#include "evla/(abi|ops)\.h"' |
    while IFS= read -r line; do
        file=${line%%:*}
        head=$(echo "$line" | sed 's/.*#include "\([^"]*\)".*/\1/')
        [ -e "$(dirname "$file")/$head" ] || echo "$line"
        case $head in */*) echo "$line" ;; esac
    done >"$found"
ok "a plugin includes evla/abi.h, evla/ops.h and its own headers only"

grep -nE '^#include [<"](lua|lauxlib|lualib|editline|histedit)' core/*.c core/*.h core/[a-km-z]*/*.[ch] 2>/dev/null |
    grep -vE '^core/main\.c' >"$found"
ok "Lua and line editing stay in core/lua and main.c"

# Floors, lowest first; a file may include its own floor and those below.
floor() {
    case $1 in
    core/evla/*) echo 0 ;;
    core/mem.* | core/mix.* | core/malloc.c) echo 1 ;;
    core/arena.*) echo 2 ;;
    core/ctx.*) echo 3 ;;
    core/file.* | core/value.* | core/words.* | core/tensor.* | core/param.* | core/registry.* | core/near.* | core/plugin.*) echo 4 ;;
    core/data/* | core/host.* | core/machine.*) echo 5 ;;
    core/graph/* | core/scene/* | core/run/*) echo 6 ;;
    core/job/*) echo 7 ;;
    core/engine.*) echo 7 ;;
    core/lua/*) echo 8 ;;
    core/main.c) echo 9 ;;
    *) echo none ;;
    esac
}
for file in core/*.[ch] core/*/*.[ch]; do
    mine=$(floor "$file")
    [ "$mine" = none ] && echo "$file: has no floor yet; give it one in tests/rooms.t" && continue
    grep -oE '^#include "[^"]+"' "$file" | sed 's/.*"\(.*\)"/\1/' | while IFS= read -r head; do
        for at in "$(dirname "$file")/$head" "core/$head"; do
            [ -e "$at" ] || continue
            below=$(floor "$(realpath --relative-to=. "$at")")
            [ "$below" = none ] || [ "$below" -le "$mine" ] || echo "$file (floor $mine) includes $head (floor $below)"
            break
        done
    done
done >"$found"
ok "core's floors include only what is below them"

if [ -e "$build/libevla.so" ] && [ -z "${EVLA_SAN:-}" ]; then
    nm -D --defined-only "$build/libevla.so" | awk '{print $3}' | sed 's/@.*//' |
        grep -vE '^(evla_|EVLA|_init$|_fini$|$)' >"$found"
ok "libevla.so exports evla_* only"
    nm -D "$build/libevla.so" | grep -E ' lua[L_]' >"$found"
ok "libevla.so contains no Lua and asks for none"
    sed 's|/\*.*\*/||' core/evla/evla.h | grep -oE '\bevla_[a-z_]+\(' | tr -d '(' | sort -u | while read -r f; do
        nm -D --defined-only "$build/libevla.so" | grep -qE " T $f(@|\$)" || echo "$f"
    done >"$found"
ok "every function of evla.h is exported"
    for so in "$build"/plugins/*.so; do
        nm -D --defined-only "$so" | awk '$2 ~ /[TDBR]/ {print $3}' | sed 's/@.*//' |
            grep -vE '^(evla_plugin_entry|_init|_fini|__bss_start|_edata|_end)$' | sed "s|^|$(basename "$so") |"
        nm -D --undefined-only "$so" | grep -E ' (evla_|mi_)' | sed "s|^|$(basename "$so") |"
    done >"$found"
ok "a plugin exports its entry only and needs no symbol of ours"
else
    for i in 1 2 3 4; do n=$((n + 1)); echo "ok $n # SKIP no plain build of libevla.so"; done
fi
echo "1..$n"
exit $bad
