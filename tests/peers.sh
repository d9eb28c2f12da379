#!/bin/sh
# peers.sh BUILD [bench] -- puts node-llama-cpp, which is llama.cpp with its binaries as an npm package, into
# BUILD/peers, for tests/llama_peer.t and `make bench-peers`; with "bench" onnxruntime-node as well, for `make bench-vla`. Never
# fails: where there is no node, no npm or no registry it says so in a line, and what needs the packages skips.
llama=3.22.1 onnx=1.30.0
peers=$1/peers
no() { echo "peers: $*; what compares with other engines is left out"; exit 0; }
has() { grep -qs "\"version\": \"$2\"" "$peers/node_modules/$1/package.json"; }
major() { sed -n 's/^[^0-9]*\([0-9][0-9]*\)\..*/\1/p' | head -1; }
node_is() { [ "$(node --version 2>/dev/null | major)" -ge 20 ] 2>/dev/null; }

# The binaries of llama.cpp are an optional package among thirteen for other machines, so they are named
# and the others left out; its install script would compile where a binary is missing.
want="node-llama-cpp@$llama @node-llama-cpp/linux-x64@$llama"
if [ "$2" = bench ]; then
    has node-llama-cpp "$llama" && has onnxruntime-node "$onnx" && exit 0
    want="$want onnxruntime-node@$onnx"
else
    has node-llama-cpp "$llama" && exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] || no "its binaries are for Linux on x86-64"

# The package wants node 20. Debian 12 has 18, which is no help; a later Debian has enough.
if ! node_is || ! command -v npm >/dev/null 2>&1; then
    found=$(node --version 2>/dev/null || echo absent)
    [ "$(apt-cache policy nodejs 2>/dev/null | sed -n 's/.*Candidate: //p' | major)" -ge 20 ] 2>/dev/null ||
        no "node is $found, want 20 or newer with npm, and this system's packages have none"
    if [ "$(id -u)" = 0 ]; then sudo=
    elif sudo -n true 2>/dev/null; then sudo=sudo
    else no "node is $found; \`sudo apt-get install nodejs npm\` brings it"
    fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null 2>&1
    node_is && command -v npm >/dev/null 2>&1 || no "nodejs and npm could not be installed"
fi

# A registry that does not answer costs ten seconds, and not again for an hour.
[ -n "$(find "$peers/unreachable" -mmin -60 2>/dev/null)" ] && no "no registry answered within the last hour"
mkdir -p "$peers" || no "$peers cannot be written"
quiet="--no-audit --no-fund --loglevel=error --fetch-retries=0"
if ! timeout 10 npm view "node-llama-cpp@$llama" version $quiet >/dev/null 2>&1; then
    touch "$peers/unreachable"
    no "no registry answers"
fi
echo "installing: $want into $peers"
# shellcheck disable=SC2086
timeout 300 npm install --prefix "$peers" $quiet --omit=optional --ignore-scripts --no-save --no-package-lock \
    $want >"$peers/npm.log" 2>&1 && rm -f "$peers/unreachable" ||
    { rm -rf "$peers/node_modules"; touch "$peers/unreachable"; no "npm could not install it ($peers/npm.log)"; }
rm -rf "$peers"/node_modules/onnxruntime-node/bin/*/darwin "$peers"/node_modules/onnxruntime-node/bin/*/win32
