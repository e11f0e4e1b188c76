#!/bin/sh
# check.sh RUN_DIR: counts all texts at once with sort and uniq, and fails unless the result is the same, byte for byte.
set -eu
run=$1
. "$(dirname "$0")/words.sh"

cat "$TEXTS"/*.txt | words | sort | uniq -c |
    awk '{ print $1, $2 }' | sort -k1,1nr -k2,2 > "$run/expected"
if ! cmp "$run/result" "$run/expected" >&2; then
    echo "the result differs from sort | uniq -c:" >&2
    diff "$run/result" "$run/expected" | head -n 20 >&2
    exit 1
fi
echo "$(awk '{ n += $1 } END { print n }' "$run/result") words, $(wc -l < "$run/result") different ones; equal to sort | uniq -c"
echo "the most frequent:"
head -n 10 "$run/result"
