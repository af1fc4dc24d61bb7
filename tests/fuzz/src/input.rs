// SPDX-License-Identifier: GPL-2.0

//! Numbers from an input.

/// What is left of an input. Past its end everything is zero.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | (u32::from(self.u16()) << 16)
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | (u64::from(self.u32()) << 32)
    }

    /// Up to `len` bytes.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        now
    }

    /// Exactly `len` bytes, filled up with zeros.
    pub fn filled(&mut self, len: usize) -> Vec<u8> {
        let mut out = self.bytes(len).to_vec();
        out.resize(len, 0);
        out
    }

    /// Puts one to eight of the input's bytes somewhere into `bytes`.
    pub fn damage(&mut self, bytes: &mut [u8]) {
        let at = usize::from(self.u16()) % bytes.len().max(1);
        let len = usize::from(self.byte() % 8) + 1;
        let new = self.bytes(len);
        if let Some(place) = bytes.get_mut(at..at + new.len()) {
            place.copy_from_slice(new);
        }
    }
}
