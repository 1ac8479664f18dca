//! Bytes in compressed frames, each of which proves all bytes up to its end.
//!
//! The form is that of Zstandard (RFC 8878), so that `zstd -d` gives the bytes back. It begins with a skippable frame
//! (magic number `0x184D2A5C`) that holds a head of the caller's. Then comes for each stretch of at most
//! [`FRAME_BYTES`]: a skippable frame of 36 bytes, the SHA-256 of all bytes up to the stretch's end and, in 4 bytes,
//! little endian, the length of what follows; and the stretch itself as a frame of Zstandard. The SHA-256 of the last one
//! is that of the whole. Nothing has one stretch without bytes.

use longshore_domain::artifact::Digest;
use sha2::{Digest as _, Sha256};

/// Most bytes of one stretch.
pub(crate) const FRAME_BYTES: usize = 1024 * 1024;
/// One of the magic numbers that decoders of Zstandard pass over. Source: RFC 8878, section 3.1.2.
const SKIPPABLE: u32 = 0x184D_2A5C;
const SKIPPABLE_HEADER: usize = 8;
const LENGTH_BYTES: usize = 4;
const SEAL_BYTES: usize = SKIPPABLE_HEADER + Digest::BYTES + LENGTH_BYTES;
/// No frame of ours is longer: what cannot be compressed grows by less than a hundredth.
const COMPRESSED_MAX: usize = FRAME_BYTES + FRAME_BYTES / 64;
/// Longest head.
const HEAD_MAX: usize = 256;
const LEVEL: i32 = 3;

/// Why bytes are not those that were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damage(pub(crate) &'static str);

const FOREIGN: Damage = Damage("it does not have the form that Longshore writes");
const CUT: Damage = Damage("it ends too early");
const CHANGED: Damage = Damage("a part of it has another SHA-256 than it should");

/// Packs bytes.
pub(crate) struct Packer {
    hash: Sha256,
    bytes: u64,
    stretch: Vec<u8>,
    any: bool,
}

impl Packer {
    /// Begins, with a head of the caller's.
    pub(crate) fn new(head: &[u8], out: &mut Vec<u8>) -> Self {
        skippable(head.len(), out);
        out.extend_from_slice(head);
        Self { hash: Sha256::new(), bytes: 0, stretch: Vec::with_capacity(FRAME_BYTES), any: false }
    }

    /// Takes some bytes, and gives whatever of the packed form is ready.
    ///
    /// # Errors
    /// If they cannot be compressed, which takes memory.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_BYTES - self.stretch.len()));
            self.stretch.extend_from_slice(now);
            bytes = later;
            if self.stretch.len() == FRAME_BYTES {
                self.seal(out)?;
            }
        }
        Ok(())
    }

    /// Packs what is left; what all bytes are, and how many.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> std::io::Result<(Digest, u64)> {
        if !self.any || !self.stretch.is_empty() {
            self.seal(out)?;
        }
        Ok((Digest::new(self.hash.finalize().into()), self.bytes))
    }

    fn seal(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.hash.update(&self.stretch);
        let packed = zstd::bulk::compress(&self.stretch, LEVEL)?;
        skippable(Digest::BYTES + LENGTH_BYTES, out);
        out.extend_from_slice(&self.hash.clone().finalize());
        out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        out.extend_from_slice(&packed);
        self.bytes += self.stretch.len() as u64;
        self.stretch.clear();
        self.any = true;
        Ok(())
    }
}

fn skippable(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&SKIPPABLE.to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

/// Unpacks bytes, and gives none that are not proved.
pub(crate) struct Unpacker {
    hash: Sha256,
    packed: Vec<u8>,
    head: Option<Vec<u8>>,
    sealed: Option<Digest>,
}

impl Unpacker {
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), packed: vec![], head: None, sealed: None }
    }

    /// Takes some of the packed form.
    pub(crate) fn push(&mut self, packed: &[u8]) {
        self.packed.extend_from_slice(packed);
    }

    /// The head, once it is there.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn head(&mut self) -> Result<Option<&[u8]>, Damage> {
        if self.head.is_none() {
            let Some(length) = read_skippable(&self.packed)? else { return Ok(None) };
            if length > HEAD_MAX {
                return Err(FOREIGN);
            }
            if self.packed.len() < SKIPPABLE_HEADER + length {
                return Ok(None);
            }
            let rest = self.packed.split_off(SKIPPABLE_HEADER + length);
            let head = std::mem::replace(&mut self.packed, rest);
            self.head = Some(head[SKIPPABLE_HEADER..].to_vec());
        }
        Ok(self.head.as_deref())
    }

    /// The next stretch, once all of it is there.
    ///
    /// # Errors
    /// If it is not what was packed.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Damage> {
        if self.head()?.is_none() {
            return Ok(None);
        }
        let Some(length) = read_skippable(&self.packed)? else { return Ok(None) };
        if length != SEAL_BYTES - SKIPPABLE_HEADER {
            return Err(FOREIGN);
        }
        let Some((seal, rest)) = self.packed.split_first_chunk::<SEAL_BYTES>() else { return Ok(None) };
        let (digest, length) = seal[SKIPPABLE_HEADER..].split_at(Digest::BYTES);
        let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > COMPRESSED_MAX {
            return Err(FOREIGN);
        }
        let Some(packed) = rest.get(..length) else { return Ok(None) };
        let stretch = zstd::bulk::decompress(packed, FRAME_BYTES).map_err(|_| CHANGED)?;
        self.hash.update(&stretch);
        let proved: [u8; Digest::BYTES] = self.hash.clone().finalize().into();
        if proved[..] != *digest {
            return Err(CHANGED);
        }
        self.sealed = Some(Digest::new(proved));
        self.packed.drain(..SEAL_BYTES + length);
        Ok(Some(stretch))
    }

    /// What all bytes so far are, if the packed form may end here.
    ///
    /// # Errors
    /// If something is missing.
    pub(crate) fn finish(&self) -> Result<Digest, Damage> {
        match self.sealed {
            Some(digest) if self.packed.is_empty() => Ok(digest),
            _ => Err(CUT),
        }
    }
}

/// Length of the skippable frame that `packed` begins with, once that can be told.
fn read_skippable(packed: &[u8]) -> Result<Option<usize>, Damage> {
    let Some((header, _)) = packed.split_first_chunk::<SKIPPABLE_HEADER>() else {
        return match SKIPPABLE.to_le_bytes().starts_with(&packed[..packed.len().min(4)]) {
            true => Ok(None),
            false => Err(FOREIGN),
        };
    };
    let word = |at: usize| header[at..at + 4].iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    if word(0) != SKIPPABLE {
        return Err(FOREIGN);
    }
    Ok(Some(word(4) as usize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] = b"test";

    fn pack(bytes: &[u8]) -> (Vec<u8>, Digest) {
        let mut out = vec![];
        let mut packer = Packer::new(HEAD, &mut out);
        for part in bytes.chunks(300_001) {
            packer.push(part, &mut out).unwrap();
        }
        let (digest, length) = packer.finish(&mut out).unwrap();
        assert_eq!(length, bytes.len() as u64);
        assert_eq!(digest, Digest::new(Sha256::digest(bytes).into()));
        (out, digest)
    }

    /// What comes out, and how it ends.
    fn unpack(packed: &[u8], at_once: usize) -> (Vec<u8>, Result<Digest, Damage>) {
        let (mut unpacker, mut bytes) = (Unpacker::new(), vec![]);
        for part in packed.chunks(at_once) {
            unpacker.push(part);
            loop {
                match unpacker.next() {
                    Ok(Some(stretch)) => bytes.extend(stretch),
                    Ok(None) => break,
                    Err(damage) => return (bytes, Err(damage)),
                }
            }
        }
        let end = unpacker.finish();
        (bytes, end)
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * at % 251) as u8).collect()
    }

    #[test]
    fn what_was_packed_comes_out_however_it_arrives() {
        for length in [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 17] {
            let whole = bytes(length);
            let (packed, digest) = pack(&whole);
            for at_once in [997, 1 << 20, usize::MAX] {
                assert_eq!(unpack(&packed, at_once), (whole.clone(), Ok(digest)), "{length} by {at_once}");
            }
            assert_eq!(zstd::decode_all(&*packed).unwrap(), whole, "any decoder reads it");
        }
    }

    #[test]
    fn nothing_comes_out_of_something_else() {
        for foreign in [&b"hello, world"[..], b"{}", &[0; 100], &SKIPPABLE.to_le_bytes(), b""] {
            let (bytes, end) = unpack(foreign, 3);
            assert_eq!(bytes, b"");
            assert!(end.is_err(), "{foreign:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damage_never_gives_other_bytes(at in 0_usize..1 << 24, flip in 1_u8.., cut in any::<bool>()) {
            let whole = bytes(2 * FRAME_BYTES + 5);
            let (mut packed, _) = pack(&whole);
            let at = at % packed.len();
            match cut {
                true => packed.truncate(at),
                false => packed[at] ^= flip,
            }
            let (out, end) = unpack(&packed, 1 << 16);
            prop_assert!(whole.starts_with(&out));
            // Compressed forms of the same bytes differ in bits that say nothing; and a form that is cut between two
            // stretches is that of the shorter bytes, whose SHA-256 is another.
            if let Ok(proved) = end {
                prop_assert_eq!(proved, Digest::new(Sha256::digest(&out).into()));
                prop_assert!(cut || out == whole);
            }
        }
    }
}
