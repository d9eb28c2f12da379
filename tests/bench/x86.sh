#!/bin/sh
# x86.sh BUILD -- rows of `make bench` about plugins/cpu-x86: one run of bench_x86, and one more in
# which OpenBLAS is told to use AVX-512, since it does not choose it on every processor that has it.
build=$1
export EVLA_BUILD="$build"
seconds=${BENCH_X86_SECONDS:-3}
row() { printf '%-58s %14s   %s\n' "$1" "$2" "$3"; }
all=$("$build/bench/bench_x86" "$seconds") || exit 1
number() { echo "$all" | lua5.4 tests/bench/figure.lua - "$1"; }
text() { echo "$all" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
row "peak of one core, f32 multiply-adds in registers, GFLOP/s" "$(number s.peak_gflops)" "$(text machine)"
for w in 1 2; do
    case $all in *"\"linear_$w\""*) ;; *) continue ;; esac
    row "f32 linear 256 x 1024 x 1024, $w threads, GFLOP/s" "$(number s.linear_$w.gflops)" "$(text linear_kernel)"
    row "  beside OpenBLAS as it chooses ($(text openblas))" "$(number s.linear_$w.ratio)" ">= 0.9"
    row "  int8 over our f32 there" "$(number s.linear_$w.int8_over_f32)" ">= 2"
    row "128 MiB of f32 weights at one row, $w threads, GB/s" "$(number s.row_$w.f32_gbs)" "reading them: $(number s.row_$w.read_gbs)"
    row "  of the same run's read bandwidth: f32" "$(number s.row_$w.f32_share)" ">= 0.85"
    row "  of the same run's read bandwidth: int8" "$(number s.row_$w.int8_share)" ">= 0.85"
done
grep -q avx512f /proc/cpuinfo || exit 0
all=$(OPENBLAS_CORETYPE=SkylakeX "$build/bench/bench_x86" "$seconds") || exit 1
for w in 1 2; do
    case $all in *"\"linear_$w\""*) ;; *) continue ;; esac
    row "f32 linear beside OpenBLAS told to use $(text openblas), $w threads" "$(number s.linear_$w.ratio)" ">= 0.9"
done
