//! The form of a file that holds a protocol message: a line with the id of the boot in which it was written, length and
//! checksum, then the bytes.

const MAGIC: &str = "berth-journal";
const VERSION: &str = "1";

/// Why there is no message in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// It is torn, or something else altogether.
    Torn,
    /// It has a form of another release.
    Version(String),
}

/// The bytes of the file. The boot's id has no space and no line break in it.
pub(super) fn seal(boot_id: &str, body: &[u8]) -> Vec<u8> {
    let sum = checksum(boot_id, body);
    let mut bytes = format!("{MAGIC} {VERSION} {boot_id} {} {sum:08x}\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The boot's id and the message in a file.
pub(super) fn open(bytes: &[u8]) -> Result<(&str, &[u8]), Error> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or(Error::Torn)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| Error::Torn)?;
    let mut parts = head.split(' ');
    let mut part = || parts.next().ok_or(Error::Torn);
    if part()? != MAGIC {
        return Err(Error::Torn);
    }
    let version = part()?;
    match version.parse::<u32>() {
        Ok(_) if version == VERSION => {}
        Ok(_) => return Err(Error::Version(version.to_owned())),
        Err(_) => return Err(Error::Torn),
    }
    let (boot_id, length, sum) = (part()?, part()?, part()?);
    let body = &bytes[end + 1..];
    let whole =
        length.parse() == Ok(body.len()) && u32::from_str_radix(sum, 16) == Ok(checksum(boot_id, body));
    if whole { Ok((boot_id, body)) } else { Err(Error::Torn) }
}

fn checksum(boot_id: &str, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(boot_id.as_bytes()), body)
}
