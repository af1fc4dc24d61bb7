// SPDX-License-Identifier: GPL-2.0

//! Combinations of damage that follow from a seed: some fields at once, with values from the
//! lists or by chance, and bytes anywhere in metadata; the checksums are mended, so that the
//! damage gets past the first look.

use super::fields::{clean_places, dirty_places, hex, push, Place};
use super::image::{Image, BLOCK};
use anyhow::{Context, Result};
use guest::chance::Chance;
use guest::Case;

/// Adds `count` cases.
pub fn add(
    clean: &Image,
    dirty: &Image,
    seed: u64,
    count: usize,
    all: &mut Vec<Case>,
) -> Result<()> {
    let mut chance = Chance::new(seed ^ 0x6461_6d61_6765);
    let clean_places = clean_places(clean)?;
    let dirty_places = dirty_places(dirty)?;
    let end = all.len() + count;
    // now and then one turns out to be there already
    for _ in 0..count * 4 {
        if all.len() == end {
            break;
        }
        match chance.below(6) {
            0 => one(1, dirty, &dirty_places, &mut chance, all)?,
            _ => one(0, clean, &clean_places, &mut chance, all)?,
        }
    }
    Ok(())
}

fn one(
    base: usize,
    image: &Image,
    places: &[Place],
    chance: &mut Chance,
    all: &mut Vec<Case>,
) -> Result<()> {
    let mut changed = image.clone();
    let mut names = Vec::new();
    let mut sums = Vec::new();
    for _ in 0..1 + chance.below(4) {
        let place = chance.pick(places).context("no structure")?;
        match chance.below(4) {
            0 => {
                // a byte of the structure, or of what follows it in its block
                let room = BLOCK - place.at % BLOCK;
                let at = place.at + chance.below(room.min(256) as u64) as usize;
                let byte = chance.word() as u8;
                changed.put(at, &[byte])?;
                names.push(format!("{} byte {at:#x} = {byte:02x}", place.name));
            }
            _ => {
                let field = chance.pick(&place.fields).context("no field")?;
                let &(name, offset, size, values) = field;
                let value = match chance.below(3) {
                    0 => chance.word(),
                    1 => chance.below(300),
                    _ => chance.pick(values).copied().unwrap_or_default(),
                };
                let bytes = place.bytes(value, size);
                changed.put(place.at + offset, &bytes)?;
                names.push(format!("{} {name} = {}", place.name, hex(&bytes)));
            }
        }
        sums.push(place.sum);
    }
    // inner ones first: the sum of a bitmap is in its group's descriptor. Damage may hide the
    // structure that a sum is of; it stays wrong then.
    for sum in sums.into_iter().rev() {
        let _ = changed.mend(sum);
    }
    let patches = image.patches(&changed);
    if !patches.is_empty() {
        push(
            all,
            base,
            format!("random: {}", names.join(", ")),
            patches,
            false,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::{Bases, Scratch};

    #[test]
    fn a_seed_repeats() -> Result<()> {
        let scratch = Scratch::new("random")?;
        let bases = Bases::read(&scratch.paths)?;
        let draw = |seed| -> Result<Vec<_>> {
            let mut cases = Vec::new();
            add(&bases.clean, &bases.dirty, seed, 50, &mut cases)?;
            Ok(cases.into_iter().map(|c| c.patches).collect())
        };
        let one = draw(1)?;
        assert_eq!(one.len(), 50);
        assert_eq!(one, draw(1)?);
        assert_ne!(one, draw(2)?);
        Ok(())
    }

    /// Sums are mended as far as the damage lets one find what they are of; this seed has groups
    /// without inodes.
    #[test]
    fn thousands_are_drawn() -> Result<()> {
        let scratch = Scratch::new("thousands")?;
        let bases = Bases::read(&scratch.paths)?;
        let mut cases = Vec::new();
        add(&bases.clean, &bases.dirty, 1_795_752_260, 3000, &mut cases)?;
        assert_eq!(cases.len(), 3000);
        Ok(())
    }
}
