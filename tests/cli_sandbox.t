#!/bin/sh
# cli_sandbox.t -- which files a script may touch: its own folder, what the user names, the output folder;
# links and --trust.
cd "$(dirname "$0")/.." || exit 1
here=$PWD
build=${EVLA_BUILD:-build}
case $build in /*) ;; *) build=$here/$build ;; esac
evla=$build/evla
[ -x "$evla" ] || { echo "1..0 # SKIP $evla is not built"; exit 0; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0 bad=0
mkdir -p "$out/mine/lib" "$out/else/where"
cd "$out" || exit 1
echo "told" >else/secret.txt
echo "told" >else/where/data.txt
echo "mine" >mine/notes.txt
echo 'return { answer = 42 }' >mine/lib/deep.lua
echo 'return { answer = 43 }' >else/outside.lua
ln -s ../else/secret.txt mine/link.txt
ln -s ../else mine/linked
ln -s notes.txt mine/inner.txt
ln -s ../else/outside.lua mine/outside.lua
ln -s /nowhere/at/all mine/dangling.txt
# try TITLE WANT CODE-OF-LUA [WORDS]: WANT is "works" or a part of the sentence
try() {
    title=$1 want=$2
    printf '%s\n%s\n' "$3" 'print "reached the end"' >mine/s.lua
    shift 3
    "$evla" check mine/s.lua --out "$out/o" "$@" >said 2>&1 </dev/null
    n=$((n + 1))
    if [ "$want" = works ]; then grep -q "reached the end" said; else ! grep -q "reached the end" said && grep -qF -- "$want" said; fi
    if [ $? = 0 ]; then echo "ok $n - $title"; else
        echo "not ok $n - $title"
        sed 's/^/#   /' said
        bad=1
    fi
}
outside="lies outside the script's folder"
try "reads beside the script, whatever the current folder is" works 'assert(io.open("notes.txt"):read() == "mine")'
try "reads lines beside the script" works 'for l in io.lines("notes.txt") do assert(l == "mine") end'
try "follows a link that stays inside" works 'assert(io.open("inner.txt"):read() == "mine")'
try "does not follow a link to a file outside" "$outside" 'io.open("link.txt")'
try "does not follow a link to a folder outside" "$outside" 'io.open("linked/secret.txt")'
try "does not go up through a folder inside" "$outside" 'io.open("lib/../../else/secret.txt")'
try "does not open an absolute path outside" "$outside" "io.open('$out/else/secret.txt')"
try "does not open a path through the process's own files" "$outside" 'io.open("/proc/self/cwd/else/secret.txt")'
try "says that a file is not there as Lua does" works 'local f, why = io.open("none.txt") assert(not f and why:find("No such file"))'
try "a link to nowhere leads nowhere" "dangling.txt" 'io.open("dangling.txt")'
try "a folder is no file" works 'local f, why = io.open("lib") assert(not f and why:find("folder"))'
try "does not write beside the script" "below the output folder only" 'io.open("new.txt", "w")'
try "does not append, nor read and write, beside the script" "below the output folder only" 'io.open("notes.txt", "r+")'
try "writes below the output folder" works 'local evla = require "evla" local f = io.open(evla.out .. "/a/note.txt", "w") f:write("x") f:close() assert(io.open(evla.out .. "/a/note.txt"):read() == "x")'
try "does not climb out of the output folder" "below the output folder only" 'local evla = require "evla" io.open(evla.out .. "/../../else/x", "w")'
try "requires beside the script and deeper" works 'assert(require("lib.deep").answer == 42)'
try "does not require through a link to outside" "$outside" 'require "outside"'
try "does not run a file outside" "$outside" 'dofile("../else/outside.lua")'
try "loadfile reads text beside the script, with an environment" works 'local e = {} assert(loadfile("lib/deep.lua", "t", e)().answer == 42)'
printf '\033Lua' >mine/binary.lua
try "loadfile refuses a binary chunk whatever it was asked" "binary chunk" 'loadfile("binary.lua", "b")'
try "load refuses a binary chunk whatever it was asked" works 'assert(not load("\27Lua", "x", "b"))'
try "load still takes text, functions and environments" works 'assert(load("return 1")() == 1) assert(load("return x", "x", "t", {x = 2})() == 2) local i = 0 assert(load(function() i = i + 1 return ({"return ", "3"})[i] end)() == 3)'
opt='local o = require("evla").options { data = { type = "path", doc = "a file" } } assert(io.open(o.data):read() == "told")'
try "reads what the user names" works "$opt" --data else/secret.txt
try "and nothing beside it" "$outside" "${opt}io.open('$out/else/outside.lua')" --data else/secret.txt
try "reads below a folder that the user names" works 'local o = require("evla").options { data = { type = "path", doc = "a folder" } } assert(io.open(o.data .. "/where/data.txt"):read() == "told")' --data else
try "does not write what the user names for reading" "below the output folder only" 'local o = require("evla").options { data = { type = "path", doc = "a file" } } io.open(o.data, "w")' --data else/secret.txt
try "a preset in the script grants nothing" "$outside" "local o = require('evla').options { data = { type = 'path', default = '$out/else/secret.txt' } } io.open(o.data)"
try "--trust lifts all of it" works "assert(io.open('$out/else/secret.txt'):read() == 'told') io.open('$out/else/new.txt', 'w'):close()" --trust
try "and still runs no programs" "attempt to call a nil value" 'os.execute("true")' --trust
try "standard output, error and input are there" works 'io.write("") io.stdout:write("") io.stderr:write("") assert(io.type(io.stdin) == "file")'
try "what loads libraries is absent" works 'assert(package.loadlib == nil and package.cpath == nil and package.searchers == nil and debug == nil)'
try "what runs, removes or leaves is absent" works 'assert(not (os.execute or os.exit or os.remove or os.rename or os.tmpname or os.getenv or os.setlocale or io.popen or io.tmpfile or io.input or io.output or string.dump))'
try "random numbers are the same in every run" works 'assert(math.random(1000000) == (function() math.randomseed(1) return math.random(1000000) end)())'
try "metatables of the engine's objects are closed" works 'local evla = require "evla" assert(getmetatable(evla.stage.rollout) == false and getmetatable(evla.stage) == false)'
echo "1..$n"
exit $bad
