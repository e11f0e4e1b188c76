#!/bin/sh
# split.sh RUN_DIR: cuts the files of $TEXTS into parts of $LINES_PER_PART lines and names the parts in its output.
set -eu
LC_ALL=C
export LC_ALL
run=$1

# Beginning anew leaves nothing of an earlier attempt.
rm -rf "$run/parts" "$run/counts"
mkdir -p "$run/parts" "$run/counts"
cat "$TEXTS"/*.txt | split -a 3 -l "$LINES_PER_PART" - "$run/parts/"

parts=0
for file in "$run"/parts/*; do
    printf 'parts=%s\n' "$(basename "$file")" >> "$BERTH_OUTPUT"
    parts=$((parts + 1))
done
echo "$(cat "$TEXTS"/*.txt | wc -l) lines in $parts parts"
