#!/bin/sh
# The sample configurations show every key and its default: each program, asked what is in effect,
# prints its sample. And a wrong one ends with 2, naming the file, the line and the key.
set -u
: "${srcdir:=.}"
failed=0
wrong=test_conf.tmp.json
trap 'rm -f "$wrong"' EXIT

for name in proxy logsvc; do
    sample=$srcdir/conf/$name.json
    if ! ./holdfast-$name --config "$sample" --check-config --verbose | diff "$sample" -; then
        echo "FAILED: conf/$name.json is not what holdfast-$name --check-config --verbose prints"
        failed=1
    fi
    sed 's/"port": [0-9]*/"port": "x"/' "$sample" >"$wrong"
    line=$(grep -n '"port"' "$wrong" | head -n 1 | cut -d : -f 1)
    said=$(./holdfast-$name --config "$wrong" 2>&1)
    status=$?
    case "$status $said" in
    "2 $wrong:$line: port: is a string, expected "*) ;;
    *)
        echo "FAILED: holdfast-$name with a wrong port: status $status, \"$said\""
        failed=1
        ;;
    esac
done
exit $failed
