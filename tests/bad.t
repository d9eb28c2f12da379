#!/bin/sh
# bad.t -- every way to be wrong: tests/bad/*.lua, each with the exit code and a part of the sentence
# that it must give in its first line. No file may crash the engine or take longer than a moment.
cd "$(dirname "$0")/.." || exit 1
build=${EVLA_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
cd tests/bad || exit 1
evla=$build/evla
[ -x "$evla" ] || { echo "1..0 # SKIP $evla is not built"; exit 0; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0 bad=0
for file in *.lua; do
    n=$((n + 1))
    code=$(sed -n '1s/^-- expect: \([0-9]*\) .*/\1/p' "$file")
    want=$(sed -n '1s/^-- expect: [0-9]* "\(.*\)"$/\1/p' "$file")
    args=$(sed -n 's/^-- args: //p' "$file")
    for plugin in $(sed -n 's/^-- needs: //p' "$file"); do
        [ -e "$build/plugins/$plugin.so" ] || { echo "ok $n - $file # SKIP the plugin $plugin is not built"; continue 2; }
    done
    # shellcheck disable=SC2086
    timeout 30 "$evla" check "$file" --out "$out" $args >"$out/said" 2>&1 </dev/null
    got=$?
    if [ -z "$code" ] || [ -z "$want" ]; then
        echo "not ok $n - $file has no line: -- expect: CODE \"sentence\"" && bad=1
    elif [ "$got" = "$code" ] && grep -qF -- "$want" "$out/said"; then
        echo "ok $n - $file: $want"
    else
        echo "not ok $n - $file: $want" && bad=1
        echo "# want exit code $code, got $got, which said:"
        sed 's/^/#   /' "$out/said"
    fi
done
echo "1..$n"
exit $bad
