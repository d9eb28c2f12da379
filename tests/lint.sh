#!/bin/sh
# lint.sh -- formatting, static analysis, and both compilers without warnings. Prints what it did.
set -u
fail=0
files=$(git ls-files 'core/*.c' 'core/*.h' 'plugins/*.c' 'plugins/*.h' 'tests/*.c' 'tests/*.h' 'docs/*.c')
# The public headers are hand-aligned tables; clang-format keeps its hands off them.
format=$(echo "$files" | grep -v '^core/evla/')
if command -v clang-format >/dev/null; then
    clang-format --dry-run -Werror $format 2>&1 | head -40 | grep . && fail=1
    echo "format: $(echo "$format" | wc -l) files"
else echo "format: skipped, clang-format is not installed"; fi
for cc in ${LINT_COMPILERS:-gcc clang}; do
    if command -v $cc >/dev/null; then
        if make -s -j"$(nproc)" CC=$cc B=build/lint-$cc OPT=-O1 all tests; then
            echo "$cc: no warnings in the build"
        else fail=1; fi
    else echo "$cc: skipped, not installed"; fi
done
if command -v cppcheck >/dev/null; then
    cppcheck -q -j"$(nproc)" --std=c11 --error-exitcode=1 --inline-suppr --enable=warning \
        --suppressions-list=tests/cppcheck.txt -Icore -D_GNU_SOURCE -DEVLA_VERSION='"x"' \
        $(echo "$files" | grep '\.c$' | grep -v '^tests/') || fail=1
    echo "cppcheck: done"
else echo "cppcheck: skipped, not installed"; fi
if command -v clang-tidy >/dev/null; then
    flags="-std=c11 -D_GNU_SOURCE -Icore -DEVLA_VERSION=\"x\" $(pkg-config --cflags lua5.4 hdf5-serial libedit 2>/dev/null)"
    others='^tests/' # files with instructions of another machine
    [ "$(uname -m)" = x86_64 ] || others='^tests/|^plugins/cpu-x86/with_'
    echo "$files" | grep '\.c$' | grep -vE "$others" |
        xargs -P "$(nproc)" -n 1 sh -c 'flags=$1; shift
            case $1 in plugins/cpu-x86/with_*) flags="$flags -mavx2 -mfma -mf16c -mavxvnni -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16" ;; esac
            clang-tidy --quiet "$@" -- $flags 2>/dev/null' sh "$flags" >/tmp/evla-tidy.$$ || fail=1
    cat /tmp/evla-tidy.$$; rm -f /tmp/evla-tidy.$$
    echo "clang-tidy: done"
else echo "clang-tidy: skipped, not installed"; fi
[ $fail = 0 ] && echo "lint: clean"
exit $fail
