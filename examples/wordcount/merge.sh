#!/bin/sh
# merge.sh RUN_DIR: adds up the counts of all parts to RUN_DIR/result, lines of "count word", the most frequent first.
set -eu
run=$1
LC_ALL=C
export LC_ALL

for part in "$run"/parts/*; do
    cat "$run/counts/$(basename "$part")"
done | awk '{ n[$1] += $2 } END { for (word in n) print n[word], word }' |
    sort -k1,1nr -k2,2 > "$run/result.new"
mv "$run/result.new" "$run/result"
echo "$(wc -l < "$run/result") different words"
