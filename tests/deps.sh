#!/bin/sh
# deps.sh run|test -- makes sure that the Debian packages which evla needs are there.
# Installs what is missing when it may (root or sudo), else prints the one line to run.
run="gcc libc6-dev pkg-config libmujoco-dev liblua5.4-dev libhdf5-dev libmimalloc-dev libedit-dev
libspng-dev libjpeg-dev zlib1g-dev libdeflate-dev libcjson-dev"
test="luajit libosmesa6-dev python3-h5py python3-numpy python3-pil hdf5-tools librsvg2-bin perl
binutils lua5.4 python3-regex python3-jinja2 python3-torch
python3-torchvision"
case "$1" in
run) want=$run ;;
test) want="$run $test" ;;
*) echo "usage: deps.sh run|test" >&2; exit 2 ;;
esac
command -v dpkg-query >/dev/null 2>&1 || exit 0 # not Debian: the compiler will say what is missing
missing=
for p in $want; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then sudo=
elif sudo -n true 2>/dev/null; then sudo=sudo
else
    echo "These packages are missing. Please run:" >&2
    echo "  sudo apt-get install -y$missing" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
