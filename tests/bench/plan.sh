#!/bin/sh
# plan.sh BUILD FOLDER -- rows of `make bench` about memory: the arena of every graph there is, beside its lower bound.
build=$1 work=$2
try() { # try NAME PROGRAM OPTIONS...
    name=$1 program=$2
    shift 2
    ratio=$("$build/evla" run "pipelines/$program.lua" --out "$work/plan" --runs 1 --json "$@" 2>/dev/null |
        lua5.4 tests/bench/figure.lua - 's.jobs[2].figures.arena_bytes / s.jobs[2].figures.lower_bound_bytes')
    printf '%-58s %14s   %s\n' "arena / lower bound, $name" "$ratio" "<= 1.05"
}
try "mlp, batch 1" mlp --batch 1
try "mlp 5 x 100, batch 32" mlp --layers 5 --width 100 --batch 32
try "transformer, 4 blocks, 1 x 32" transformer
try "transformer, 12 blocks, 8 x 64" transformer --layers 12 --batch 8 --steps 64
