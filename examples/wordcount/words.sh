# words: standard input as one word a line: runs of letters in lower case, nothing else.
LC_ALL=C
export LC_ALL
words() {
    tr 'A-Z' 'a-z' | tr -cs 'a-z' '\n' | sed '/^$/d'
}
