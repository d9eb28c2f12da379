#!/bin/sh
# abi_frozen.t -- recording a layout refuses what a kind at /1 may not do.
cd "$(dirname "$0")/.." || exit 1
command -v luajit >/dev/null || { echo "1..0 # SKIP luajit is not installed"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0 bad=0
ok() { # status title
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi
}
headers() { # SED: a copy of the headers with one kind frozen and one change
    rm -rf "$work/evla"
    cp -r core/evla "$work/evla"
    sed -i -e 's|"evla.body/0"|"evla.body/1"|' -e "$1" "$work/evla/abi.h"
}
record() { sh tests/abi_layout.sh write "$work/evla" "$work/layout" >"$work/out" 2>&1; }
says() { grep -qF "$1" "$work/out" || { sed 's/^/# /' "$work/out"; return 1; }; }

headers ''
record; ok $? "a layout is recorded"
cp "$work/layout" "$work/first"
headers 's|int32_t (\*expert)(.*|&\n    void (*later)(void);|'
record; ok $? "a frozen table may grow at its end"
cp "$work/first" "$work/layout"
headers 's|    int32_t (\*open)(const evla_host \*h, const void \*params, void \*\*self);|    void (*first)(void);\n&|'
record; [ $? != 0 ] && says 'abi: evla.body/1 is frozen: evla_body had "evla_body.open'; ok $? "but not in its middle"
headers 's|^    double reward;|    float reward, penalty;|'
record; [ $? != 0 ] && says 'evla.body/1 is frozen: evla_tick'; ok $? "nor may a struct that it reaches change"
headers 's|    int32_t (\*put)(.*|&\n    void (*later)(void);|'
record; ok $? "a kind at /0 may change anywhere"
cp "$work/first" "$work/layout"
sed -i 's|"evla.body/1"|"evla.body/0"|' "$work/evla/abi.h"
record; [ $? != 0 ] && says 'abi: evla.body/1 is frozen and may not go away'; ok $? "a frozen kind may not thaw"
headers 's|EVLA_E_IO      = -6|EVLA_E_IO      = -66|'
record; [ $? != 0 ] && says 'abi: EVLA_E_IO was -6, now -66; statuses are never renumbered'; ok $? "a status keeps its number"
headers 's|^    double time;  .*|&\n    double pause;|'
sh tests/abi_layout.sh check "$work/evla" "$work/first" >"$work/out" 2>&1
[ $? != 0 ] && says 'not ok 8 - the layout is the recorded one' && says '# now    evla_tick.pause 16 8'; ok $? "a change that nobody recorded fails the check, and is shown"
headers 's|^    uint64_t events;  |    int32_t events;  |'
sh tests/abi_layout.sh check "$work/evla" "$work/first" >"$work/out" 2>&1
[ $? != 0 ] && says 'fields follow each other without padding evla_tick.time'; ok $? "padding is found"
echo "1..$n"
exit $bad
