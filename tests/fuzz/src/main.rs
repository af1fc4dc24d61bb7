// SPDX-License-Identifier: GPL-2.0

//! libFuzzer over the target that `FUZZ_TARGET` names (`make fuzz`).

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let run = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        match fuzz::target(&name) {
            Some(target) => target,
            None => panic!("there is no target `{name}`"),
        }
    });
    run(data);
});
