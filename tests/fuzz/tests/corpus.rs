// SPDX-License-Identifier: GPL-2.0

//! Every input of the corpus is survived, and every target has some.

use fuzz::{Target, TARGETS};
use std::fs;
use std::path::{Path, PathBuf};

fn inputs((name, _): &Target) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let list = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    list.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn corpus_is_survived() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(
            inputs.len() >= 5,
            "{} has {} inputs",
            target.0,
            inputs.len()
        );
        for path in inputs {
            // should it panic, this is the last line
            println!("{}", path.display());
            (target.1)(&fs::read(&path).unwrap());
        }
    }
}

/// Bytes without a plan, for what the corpus has not.
#[test]
fn noise_is_survived() {
    let mut state = 0x1234_5678_9abc_def0u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (_, target) in TARGETS {
        for len in (0..300).step_by(7) {
            let bytes: Vec<u8> = (0..len).map(|_| word() as u8).collect();
            target(&bytes);
        }
    }
}
