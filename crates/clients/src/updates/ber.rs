//! Makes one encoding of what may have many. A signer that streams (`openssl smime -sign -nodetach -stream`) leaves
//! lengths open and cuts the content into pieces, which a reader of DER refuses.

/// Deepest nesting. A certificate's deepest part lies at about 12.
const DEPTH_LIMIT: usize = 32;

/// Why bytes are no BER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// Ends within an element.
    #[error("it breaks off")]
    BrokenOff,
    /// Goes on after its end.
    #[error("something follows after its end")]
    Trailing,
    /// Deeper than anything real.
    #[error("it is nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep,
    /// A tag or length that has no place in a signature.
    #[error("it has a tag or length that is not possible")]
    Element,
}

/// Rewrites one BER element as DER: definite lengths in their shortest form, strings in one piece. Sets keep their order.
pub(super) fn to_der(ber: &[u8]) -> Result<Vec<u8>, BerError> {
    let mut reader = Reader { rest: ber };
    let mut out = Vec::with_capacity(ber.len());
    reader.element(&mut out, 0)?;
    if reader.rest.is_empty() { Ok(out) } else { Err(BerError::Trailing) }
}

const CONSTRUCTED: u8 = 0x20;
const OCTET_STRING: u8 = 0x04;
const HIGH_TAG: u8 = 0x1f;

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, BerError> {
        let (first, rest) = self.rest.split_first().ok_or(BerError::BrokenOff)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BerError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BerError::BrokenOff)?;
        self.rest = rest;
        Ok(taken)
    }

    /// `None`: open, ended by two zero bytes.
    fn length(&mut self) -> Result<Option<usize>, BerError> {
        let first = self.byte()?;
        match first {
            0..0x80 => Ok(Some(usize::from(first))),
            0x80 => Ok(None),
            // No document is so large that its length has more than four bytes.
            0x81..=0x84 => {
                let bytes = self.take(usize::from(first & 0x7f))?;
                Ok(Some(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))))
            }
            _ => Err(BerError::Element),
        }
    }

    fn element(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
        let tag = self.byte()?;
        if tag & HIGH_TAG == HIGH_TAG || tag == 0 {
            return Err(BerError::Element);
        }
        match (self.length()?, tag & CONSTRUCTED != 0) {
            (Some(length), false) => put(out, tag, self.take(length)?),
            (None, false) => return Err(BerError::Element),
            (length, true) => {
                let depth = depth + 1;
                if depth > DEPTH_LIMIT {
                    return Err(BerError::TooDeep);
                }
                let joined = tag == OCTET_STRING | CONSTRUCTED;
                let mut inner = Vec::new();
                match length {
                    Some(length) => {
                        let mut within = Reader { rest: self.take(length)? };
                        while !within.rest.is_empty() {
                            within.child(&mut inner, depth, joined)?;
                        }
                    }
                    None => {
                        while !self.rest.starts_with(&[0, 0]) {
                            self.child(&mut inner, depth, joined)?;
                        }
                        self.rest = &self.rest[2..];
                    }
                }
                put(out, if joined { OCTET_STRING } else { tag }, &inner);
            }
        }
        Ok(())
    }

    /// One element within another; of the pieces of a string only their content.
    fn child(&mut self, out: &mut Vec<u8>, depth: usize, joined: bool) -> Result<(), BerError> {
        if !joined {
            return self.element(out, depth);
        }
        let mut piece = Vec::new();
        self.element(&mut piece, depth)?;
        let mut piece = Reader { rest: &piece };
        if piece.byte()? != OCTET_STRING {
            return Err(BerError::Element);
        }
        piece.length()?;
        out.extend_from_slice(piece.rest);
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len().to_be_bytes();
    let short = &length[content.len().leading_zeros() as usize / 8..];
    match content.len() {
        0..0x80 => out.push(length[length.len() - 1]),
        _ => {
            // At most eight.
            out.push(0x80 | u8::try_from(short.len()).unwrap_or(8));
            out.extend_from_slice(short);
        }
    }
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_lengths_and_pieces_become_der() {
        // SEQUENCE { [0] { OCTET STRING in pieces "ab" "c", one of them in pieces } INTEGER 1 }
        let ber = [
            0x30, 0x80, 0xa0, 0x80, 0x24, 0x80, 0x04, 0x02, b'a', b'b', 0x24, 0x03, 0x04, 0x01, b'c', 0, 0, 0, 0, 0x02,
            0x81, 0x01, 0x01, 0, 0,
        ];
        let der = [0x30, 0x0a, 0xa0, 0x05, 0x04, 0x03, b'a', b'b', b'c', 0x02, 0x01, 0x01];
        assert_eq!(to_der(&ber).unwrap(), der);
        assert_eq!(to_der(&der).unwrap(), der);
        let mut long = vec![0x04, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        assert_eq!(to_der(&long).unwrap(), long);
    }

    #[test]
    fn broken_and_hostile_bytes_are_refused() {
        for (ber, expected) in [
            (vec![], BerError::BrokenOff),
            (vec![0x30], BerError::BrokenOff),
            (vec![0x30, 0x05, 0x02], BerError::BrokenOff),
            (vec![0x30, 0x80, 0x02, 0x01, 0x01], BerError::BrokenOff),
            (vec![0x04, 0x84, 0xff, 0xff, 0xff, 0xff], BerError::BrokenOff),
            (vec![0x04, 0x85, 0, 0, 0, 0, 1, 1], BerError::Element),
            (vec![0x04, 0x80, 0, 0], BerError::Element),
            (vec![0x1f, 0x81, 0x01, 0x00], BerError::Element),
            (vec![0x24, 0x03, 0x02, 0x01, 0x01], BerError::Element),
            (vec![0x30, 0x02, 0, 0], BerError::Element),
            (vec![0x30, 0x00, 0x00], BerError::Trailing),
            ([0x30, 0x80].repeat(100_000), BerError::TooDeep),
        ] {
            assert_eq!(to_der(&ber), Err(expected), "{ber:x?}");
        }
    }
}
