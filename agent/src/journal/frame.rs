//! The form of a file that holds a protocol message: a line with a word, length and checksum, then the bytes.

const MAGIC: &str = "berth-journal 1";

/// The bytes of the file. The word has no space and no line break in it.
pub(super) fn seal(word: &str, body: &[u8]) -> Vec<u8> {
    let sum = crc32c::crc32c_append(crc32c::crc32c(word.as_bytes()), body);
    let mut bytes = format!("{MAGIC} {word} {} {sum:08x}\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The word and the message in a file; `None` when it is torn or something else.
pub(super) fn open(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(MAGIC)?.strip_prefix(' ')?;
    let body = &bytes[end + 1..];
    let mut parts = head.split(' ');
    let (word, length, sum) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = length.parse() == Ok(body.len())
        && u32::from_str_radix(sum, 16) == Ok(crc32c::crc32c_append(crc32c::crc32c(word.as_bytes()), body));
    whole.then_some((word, body))
}
