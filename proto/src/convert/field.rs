//! Checks of single fields.

use berth_core::name::{NAME_MAX, Named};
use prost::bytes::Bytes;

use super::{Error, Fault};

/// A field that is needed.
pub(super) fn required<T>(value: Option<T>, field: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::at(field, Fault::Missing))
}

/// A number in a smaller type.
pub(super) fn narrow<T: TryFrom<u32>>(value: u32, max: u32, field: &str) -> Result<T, Error> {
    let fault = Fault::OutOfRange { value: u64::from(value), min: 0, max: u64::from(max) };
    if value > max {
        return Err(Error::at(field, fault));
    }
    T::try_from(value).map_err(|_| Error::at(field, fault))
}

/// A number within bounds.
pub(super) fn within(value: u64, min: u64, max: u64, field: &str) -> Result<u64, Error> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(Error::at(field, Fault::OutOfRange { value, min, max }))
    }
}

/// An id of 16 bytes, big endian.
pub(super) fn id(bytes: &[u8], field: &str) -> Result<u128, Error> {
    let bytes = <[u8; 16]>::try_from(bytes)
        .map_err(|_| Error::at(field, Fault::WrongLength { is: bytes.len(), want: 16 }))?;
    Ok(u128::from_be_bytes(bytes))
}

/// An id of 16 bytes, or none.
pub(super) fn optional_id(bytes: &[u8], field: &str) -> Result<Option<u128>, Error> {
    if bytes.is_empty() { Ok(None) } else { id(bytes, field).map(Some) }
}

/// The bytes of an id.
pub(super) fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// The bytes of an id, none for none.
pub(super) fn optional_id_bytes(id: Option<u128>) -> Bytes {
    id.map_or_else(Bytes::new, id_bytes)
}

/// A value of a generated enum, other than "unspecified".
pub(super) fn choice<E: TryFrom<i32> + Default + PartialEq>(value: i32, field: &str) -> Result<E, Error> {
    let known = E::try_from(value).map_err(|_| Error::at(field, Fault::UnknownValue(value)))?;
    if known == E::default() { Err(Error::at(field, Fault::Unspecified)) } else { Ok(known) }
}

/// A name of something.
pub(super) fn name(text: &str, named: Named, field: &str) -> Result<(), Error> {
    if named.fits(text) {
        return Ok(());
    }
    let text = text.chars().take(NAME_MAX + 1).collect();
    Err(Error::at(field, Fault::NotAName { text, rule: named.rule() }))
}

/// Text that is not too long.
pub(super) fn text(text: &str, max: usize, field: &str) -> Result<(), Error> {
    length(text.len(), max, field)
}

/// A length that is not too long.
pub(super) fn length(is: usize, max: usize, field: &str) -> Result<(), Error> {
    if is <= max { Ok(()) } else { Err(Error::at(field, Fault::TooLong { is, max })) }
}

/// Two lists that belong together.
pub(super) fn same_length(is: usize, want: usize, field: &str) -> Result<(), Error> {
    if is == want { Ok(()) } else { Err(Error::at(field, Fault::WrongLength { is, want })) }
}

/// Numbers as differences to the one before, modulo 2^64.
pub(super) fn differences(numbers: impl Iterator<Item = u64>) -> Vec<i64> {
    let mut before = 0u64;
    numbers
        .map(|number| {
            let difference = number.wrapping_sub(before).cast_signed();
            before = number;
            difference
        })
        .collect()
}

/// The numbers that [`differences`] were taken of.
pub(super) fn sums(differences: &[i64]) -> impl Iterator<Item = u64> + '_ {
    differences.iter().scan(0u64, |sum, difference| {
        *sum = sum.wrapping_add(difference.cast_unsigned());
        Some(*sum)
    })
}

/// Converts a list; faults name the element.
pub(super) fn each<T, U>(
    list: Vec<T>,
    field: &str,
    convert: impl Fn(T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    list.into_iter()
        .enumerate()
        .map(|(place, item)| convert(item).map_err(|error| error.element(place).inside(field)))
        .collect()
}
