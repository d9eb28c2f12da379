#!/bin/sh
# pipeline_page.t -- the programs in docs/write-a-pipeline.md check and run as the page says.
cd "$(dirname "$0")/.." || exit 1
build=${EVLA_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
evla=$build/evla
for need in "$evla" "$build/plugins/mujoco.so" "$build/plugins/hdf5.so" "$build/plugins/ops.so"; do
    [ -e "$need" ] || { echo "1..0 # SKIP $need is not built"; exit 0; }
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
page=$PWD/docs/write-a-pipeline.md
cd "$out" || exit 1
n=0 bad=0
block() { awk -v want="$1" '/^```lua/ {k++; on = k == want; next} /^```/ {on = 0} on' "$page"; }
ok() {
    claim=$?
    n=$((n + 1))
    if [ $claim = 0 ]; then echo "ok $n - $1"; else
        echo "not ok $n - $1"
        sed 's/^/#   /' said
        bad=1
    fi
}
mkdir models
block 1 >walk.lua
block 2 >choose.lua
block 3 >models/tiny.lua
block 4 >apply.lua
"$evla" check walk.lua >said 2>&1
ok "the four lines check"
"$evla" run walk.lua >said 2>&1 && [ -s out/walk/demos/demos.hdf5 ]
ok "and run"
"$evla" run walk.lua >said 2>&1 && grep -q "up to date" said
ok "and have nothing to do when run again"
sed 's/path = "demos.hdf5"/path = "demos.hdf5", shard = "two"/' walk.lua >wrong.lua
"$evla" check wrong.lua >said 2>&1
[ $? = 2 ] && grep -qF "$(grep '^evla: .*shard' "$page" | sed 's/^evla: walk/wrong/')" said
ok "the mistake that the page shows is told as it shows it"
sed 's/path = "demos.hdf5"/path = "demos.hdf5", compres = "gzip"/' walk.lua >wrong.lua
"$evla" check wrong.lua >said 2>&1
[ $? = 2 ] && grep -qF "$(grep '^evla: .*compres:' "$page" | sed 's/^evla: walk/wrong/')" said
ok "and so is the other one"
"$evla" run choose.lua --episodes 3 --camera >said 2>&1 && [ -s out/choose/report.html ]
ok "the program with options runs and leaves its report"
"$evla" run choose.lua --help >said 2>&1 && grep -q -- "--camera" said
ok "its help lists the options"
"$evla" run apply.lua >said 2>&1 && grep -q "f32\[4,7\]" said
ok "the model runs"
# the prompt of section 7, without its sign
sed -n '/^## 7/,$p' "$page" | sed -n 's/^> //p' >lines
"$evla" repl <lines >said 2>&1 && [ "$(grep -c "demos" said)" -gt 0 ] && grep -q "min" said
ok "the lines at the prompt work"
echo "1..$n"
exit $bad
