//! From bytes to text: size and encoding, before anything is parsed.

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::limits::TEXT_BYTES_MAX;
use crate::quote::grouped;
use crate::source::{Source, Span};

/// The text under its name, or what keeps it from being read.
pub(crate) fn decode(bytes: &[u8], name: &str) -> Result<Source, Box<(Source, Diagnostic)>> {
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(Box::new((Source::new(name, ""), too_long(Some(bytes.len() as u64)))));
    }
    if let Some(kind) = utf16(bytes) {
        let refused =
            Diagnostic::new(Code::Encoding, Span::START, format!("the text looks like UTF-16 ({kind})"))
                .why("specs are read as UTF-8")
                .help(format!("save it as UTF-8, or: iconv -f UTF-16 -t UTF-8 {name}"));
        return Err(Box::new((Source::new(name, ""), refused)));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) => {
            let at = error.valid_up_to();
            let source = Source::new(name, String::from_utf8_lossy(bytes));
            let message = format!("byte 0x{:02X} at offset {at} is not UTF-8", bytes[at]);
            let refused = Diagnostic::new(Code::Encoding, source.span_at(at), message)
                .why("specs are read as UTF-8")
                .help(format!("save it as UTF-8; if it is Latin-1: iconv -f LATIN1 -t UTF-8 {name}"));
            Err(Box::new((source, refused)))
        }
    }
}

/// The mistake of a text of so many bytes; `None` when only the first ones were looked at.
pub(crate) fn too_long(bytes: Option<u64>) -> Diagnostic {
    let most = grouped(TEXT_BYTES_MAX as u64);
    let message = match bytes {
        Some(bytes) => format!("the spec is {} bytes long; at most {most} are read", grouped(bytes)),
        None => format!("the spec is more than {most} bytes long, which is the most that is read"),
    };
    Diagnostic::new(Code::TooLarge, Span::START, message)
        .why("nothing of it was parsed: a spec names work and its inputs, it does not carry data")
        .help("split the job, use `count` in place of many equal tasks, and keep data in files")
}

/// How the bytes show that they are UTF-16: by their mark, or by a zero beside each of the first letters.
fn utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, ..] => Some("it begins with the byte order mark FF FE"),
        [0xFE, 0xFF, ..] => Some("it begins with the byte order mark FE FF"),
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Some("every second byte is 0"),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Some("every second byte is 0"),
        _ => None,
    }
}
