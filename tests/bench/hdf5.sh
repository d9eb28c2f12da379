#!/bin/sh
# hdf5.sh BUILD FOLDER -- rows of `make bench` about datasets: see bench_hdf5.py.
set -u
build=$1 work=$2
[ -f "$build/plugins/hdf5.so" ] || exit 0
/usr/bin/python3 -c 'import h5py' 2>/dev/null || { echo "hdf5: skipped, python3-h5py is not installed"; exit 0; }
EVLA_BUILD=$build /usr/bin/python3 tests/bench/bench_hdf5.py "$build/bench/bench_hdf5" "$work"
