#!/bin/sh
# cli_run.t -- evla run and check as a person uses them: options, skipping, --only, --json, Ctrl-C and
# going on, exit codes, and the same words from an installed place.
cd "$(dirname "$0")/.." || exit 1
here=$PWD
build=${EVLA_BUILD:-build}
case $build in /*) ;; *) build=$here/$build ;; esac
evla=$build/evla
for need in "$evla" "$build/plugins/ops.so" "$build/tests/plugins/body_point.so"; do
    [ -e "$need" ] || { echo "1..0 # SKIP $need is not built"; exit 0; }
done
unset EVLA_PLUGINS EVLA_SCRIPTS NO_COLOR
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0 bad=0
ok() { # title; the claim is the last command's status
    claim=$?
    n=$((n + 1))
    if [ $claim = 0 ]; then echo "ok $n - $1"; else
        echo "not ok $n - $1"
        sed 's/^/#   /' "$out/said" | head -20
        bad=1
    fi
}
# run WORDS: stdout to printed, stderr to said as well; the exit code to $code
run() {
    "$evla" "$@" >"$out/printed" 2>"$out/errors" </dev/null
    code=$?
    cat "$out/printed" "$out/errors" >"$out/said"
}
says() { grep -qF -- "$1" "$out/said"; }

# ---- words ----
run
[ $code = 2 ] && says "usage: evla VERB"
ok "without words it prints its help and fails"
run --help
[ $code = 0 ] && [ "$(wc -l <"$out/printed")" -le 24 ] && [ "$(wc -L <"$out/printed")" -le 100 ]
ok "--help fits one screen"
run --version
[ $code = 0 ] && says "evla 0." && says ABI
ok "--version names the version and the ABI"
run rnu
[ $code = 2 ] && says 'there is no verb "rnu"; did you mean "run"?'
ok "a verb that does not exist: the nearest is named"
all=0
for verb in run check repl plugins ops show inspect new doctor; do
    run $verb --help
    { [ $code = 0 ] && says "usage: evla $verb" && says "example"; } || all=1
done
[ $all = 0 ]
ok "each verb's help has its usage and an example"
run run
[ $code = 2 ] && says "for example: evla run"
ok "run without a file says what it wants"
run run "$out/none.lua"
[ $code = 2 ] && says "there is no such file"
ok "a script that is not there"
run run pipelines/mlp.lua --workers many
[ $code = 2 ] && says '--workers: want 0 to 64, got "many"'
ok "--workers takes a number"
run check pipelines/mlp.lua --plugins "$out/nothing"
[ $code = 3 ] && says "$out/nothing"
ok "a folder of plugins that is not there is refused with 3"

# ---- a program ----
cp pipelines/mlp.lua "$out/mlp.lua"
cd "$out" || exit 1
run check mlp.lua
[ $code = 0 ] && says "no mistakes" && [ ! -e out ]
ok "check makes nothing"
run run mlp.lua --help
[ $code = 0 ] && says "--width" && says "default 64" && [ ! -e out ]
ok "run FILE --help lists the program's options and runs nothing"
cat >list.lua <<'END'
local evla = require "evla"
local o = evla.options { n = { type = "list", of = "float", doc = "numbers" }, w = { type = "list", of = "string", doc = "words" }, s = { type = "shape", default = "{1}", doc = "extents" } }
print(#o.n, o.n[1], #o.w, o.w[1], #o.s, o.s[1])
return evla.program { evla.model "mlp" {} }
END
run check list.lua --n 0.5 --w true --s 96
[ $code = 0 ] && says "1	0.5	1	true	1	96"
ok "a list of one number, one word or one extent is that alone"
run check list.lua --n 0.5,-2 --w 1,b --s 96,8
[ $code = 0 ] && says "2	0.5	2	1	2	96"
ok "a list of several has commas"
run check list.lua --n 0.5,x --w a
[ $code = 2 ] && says 'n[2]: want a number, got "x"'
ok "each of them is checked"
run run mlp.lua --only mlp
[ $code = 0 ] && [ -e out/mlp/mlp/mlp.evla ] && [ ! -e out/mlp/run/job.json ]
ok "--only runs a job and what it needs"
run run mlp.lua
[ $code = 0 ] && says "mlp: up to date" && says "run: done" && [ -s out/mlp/summary.json ] && [ -s out/mlp/manifest.json ]
ok "a run does what is missing, and leaves summary and manifest"
run run mlp.lua
[ $code = 0 ] && says "mlp: up to date" && says "run: up to date"
ok "a second run has nothing to do"
digest=$(sha256sum <out/mlp/run/outputs.evla)
run run mlp.lua --workers 3 --out elsewhere
[ $code = 0 ] && [ "$(sha256sum <elsewhere/mlp/run/outputs.evla)" = "$digest" ]
ok "--out chooses the folder; outputs do not depend on the number of workers"
run run mlp.lua --width 32
[ $code = 0 ] && says "mlp: done" && [ -e out/mlp/mlp.old/mlp.evla ]
ok "another option makes another job; the old one is set aside"
run run mlp.lua --width 32 -q
[ $code = 0 ] && [ ! -s said ]
ok "-q says nothing when nothing is wrong"
run run mlp.lua --width 32 --json
[ $code = 0 ] && [ ! -s errors ] && /usr/bin/python3 -c '
import json, sys
s = json.load(sys.stdin)
assert s["program"] == "mlp" and len(s["jobs"]) == 2 and s["jobs"][0]["state"] == "skipped"' <printed 2>>said
ok "--json prints the summary and nothing else"
run run mlp.lua --only rn
[ $code = 2 ] && says 'declares no job "rn"; did you mean "run"?'
ok "--only with a job that does not exist: the nearest is named"
printf 'local m = ...\nreturn { width = 16 }\n' >shapes.lua
printf 'local evla, shapes = require "evla", require "shapes"\nreturn evla.model "mlp" { width = shapes.width }\n' >uses.lua
run run uses.lua
first=$(cat out/uses/mlp/key)
printf -- '-- a remark\nreturn { width = 16 }\n' >shapes.lua
run run uses.lua
[ $code = 0 ] && [ "$(cat out/uses/mlp/key)" != "$first" ]
ok "a module's text is part of a job's key"

# ---- a terminal ----
cat >rollout.lua <<'LUA'
local evla = require "evla"
local body = evla.body.point { }
return evla.pipeline "walks" { evla.rollout { body = body, episodes = 20000 } }
LUA
points="--plugins $build/tests/plugins/body_point.so"
# shellcheck disable=SC2086
"$evla" run rollout.lua $points >printed 2>errors </dev/null &
pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -e out/rollout/walks/records.jsonl ] && [ "$(wc -l <out/rollout/walks/records.jsonl)" -gt 20 ] && break
    sleep 0.1
done
kill -INT $pid
wait $pid
code=$?
cat printed errors >said
[ $code = 130 ] && says "walks: stopped after" && says "run the same command to go on"
ok "Ctrl-C stops with 130 and says what is safe and how to go on"
# shellcheck disable=SC2086
run run rollout.lua $points
[ $code = 0 ] && says "were settled by an earlier run"
ok "the same command goes on where it was"
[ "$(wc -l <out/rollout/walks/records.jsonl)" = 20000 ] && [ "$(sed 's/.*"index":\([0-9]*\).*/\1/' out/rollout/walks/records.jsonl | sort -un | wc -l)" = 20000 ]
ok "every record stands in the journal once"
printf 'while true do end\n' >forever.lua
"$evla" run forever.lua >printed 2>errors </dev/null &
pid=$!
sleep 0.3
kill -INT $pid
wait $pid
code=$?
cat errors >said
[ $code = 130 ] && says "stopped while declaring"
ok "Ctrl-C while declaring leaves at once"
if command -v script >/dev/null; then
    sed -i 's/20000/3000/; s/"walks"/"bar"/' rollout.lua
    script -qec "$evla run rollout.lua $points" /dev/null >said 2>&1 </dev/null
    grep -q 'bar .*\[=*>* *\] [0-9]*/3000' said
    ok "on a terminal a bar shows how far the job is"
    run run rollout.lua --out plain --plugins "$build/tests/plugins/body_point.so"
    ! says "[==" && [ $code = 0 ]
    ok "without a terminal there is no bar"
fi

# ---- somewhere else ----
mkdir -p inst/bin inst/lib/evla inst/share/evla
cp "$evla" inst/bin/
ln -s "$build/plugins" inst/lib/evla/plugins
ln -s "$here/scripts" inst/share/evla/scripts
inst/bin/evla check mlp.lua >said 2>&1
ok "an installed evla finds its plugins and scripts"
cp "$evla" lonely
EVLA_PLUGINS=$build/plugins EVLA_SCRIPTS=$here/scripts ./lonely check mlp.lua >said 2>&1
ok "EVLA_PLUGINS and EVLA_SCRIPTS say where they are"
./lonely check mlp.lua >said 2>&1
[ $? = 3 ] && says "plugin folder"
ok "an evla without plugins says so"
echo "1..$n"
exit $bad
