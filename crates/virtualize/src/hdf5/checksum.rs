//! Bob Jenkins' lookup3 hash, the checksum of every structure that HDF5 1.8 and later added.

/// Whether `stored` is the checksum of `bytes`.
pub(super) fn matches(bytes: &[u8], stored: u32) -> bool {
    #[cfg(test)]
    if IGNORED.get() {
        return true;
    }
    lookup3(bytes) == stored
}

#[cfg(test)]
thread_local! {
    static IGNORED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Takes every checksum of this thread for right until the answer is dropped.
#[cfg(test)]
pub(super) fn ignore() -> impl Drop {
    struct Ignored;
    impl Drop for Ignored {
        fn drop(&mut self) {
            IGNORED.set(false);
        }
    }
    IGNORED.set(true);
    Ignored
}

/// The checksum of `bytes`, with 0 as the initial value.
pub(super) fn lookup3(bytes: &[u8]) -> u32 {
    let len = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    let start = 0xdead_beef_u32.wrapping_add(len);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = bytes;
    while let Some((block, tail)) = rest.split_first_chunk::<12>() {
        if tail.is_empty() {
            break;
        }
        let [x, y, z] = words(*block);
        a = a.wrapping_add(x);
        b = b.wrapping_add(y);
        c = c.wrapping_add(z);
        (a, b, c) = mix(a, b, c);
        rest = tail;
    }
    if rest.is_empty() {
        return c;
    }
    let mut last = [0; 12];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let [x, y, z] = words(last);
    finish(a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z))
}

/// Twelve bytes as three little-endian words.
fn words(bytes: [u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes)
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

fn finish(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The driver in Jenkins' lookup3.c prints these.
    #[rstest]
    #[case::nothing(b"", 0xdead_beef)]
    #[case::thirty_bytes(b"Four score and seven years ago", 0x1777_0551)]
    fn agrees_with_the_author(#[case] bytes: &[u8], #[case] hash: u32) {
        assert_eq!(lookup3(bytes), hash);
    }
}
