//! Reading and writing one field of a fixed-size header. The offset is a constant of the type, so that a field outside
//! its header does not compile.

/// The 16-bit big-endian field at octet `AT`.
#[inline]
pub(crate) const fn be16<const AT: usize, const N: usize>(header: &[u8; N]) -> u16 {
    const { assert!(AT + 2 <= N) };
    u16::from_be_bytes([header[AT], header[AT + 1]])
}

/// The 32-bit big-endian field at octet `AT`.
#[inline]
pub(crate) const fn be32<const AT: usize, const N: usize>(header: &[u8; N]) -> u32 {
    const { assert!(AT + 4 <= N) };
    u32::from_be_bytes([header[AT], header[AT + 1], header[AT + 2], header[AT + 3]])
}

/// The `LEN` octets at octet `AT`.
#[inline]
pub(crate) fn octets<const AT: usize, const LEN: usize, const N: usize>(header: &[u8; N]) -> [u8; LEN] {
    const { assert!(AT + LEN <= N) };
    let mut field = [0; LEN];
    field.copy_from_slice(&header[AT..AT + LEN]);
    field
}

/// Writes `value` at octet `AT`.
#[inline]
pub(crate) fn put<const AT: usize, const LEN: usize, const N: usize>(header: &mut [u8; N], value: [u8; LEN]) {
    const { assert!(AT + LEN <= N) };
    header[AT..AT + LEN].copy_from_slice(&value);
}
