// SPDX-License-Identifier: GPL-2.0

//! The program of the guest: `init` when it is process 1, else one of the
//! test programs by name.

mod agent;

use anyhow::Result;
use clap::Parser;

/// Programs that run in the test guest.
#[derive(Parser)]
enum Command {
    /// Set the guest up and serve the host's requests (process 1 only).
    Init,
}

fn main() -> Result<()> {
    if std::process::id() == 1 {
        return agent::run();
    }
    match Command::parse() {
        Command::Init => anyhow::bail!("init runs as process 1 only"),
    }
}
