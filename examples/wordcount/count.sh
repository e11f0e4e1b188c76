#!/bin/sh
# count.sh RUN_DIR PART: counts the words of one part; lines of "word count" go to RUN_DIR/counts/PART.
set -eu
run=$1
part=$2
. "$(dirname "$0")/words.sh"

# Moved into place when complete: an attempt that is cut off leaves no half result.
words < "$run/parts/$part" |
    awk '{ n[$1]++ } END { for (word in n) print word, n[word] }' > "$run/counts/$part.new.$$"
mv "$run/counts/$part.new.$$" "$run/counts/$part"
echo "part $part: $(wc -l < "$run/counts/$part") different words"
