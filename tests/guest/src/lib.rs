// SPDX-License-Identifier: GPL-2.0

//! What host and guest say to each other.
//!
//! The host drives the guest through one virtio-serial port. It sends one
//! [`Request`] at a time, as a line of JSON; the guest answers with any number
//! of [`Event::Output`] and then one event that ends the request. A guest that
//! is up says [`Event::Ready`] once, unasked.

pub mod chance;
pub mod direct;
pub mod world;

use serde::{Deserialize, Serialize};

/// Host to guest.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Run `script` with `/bin/sh`; kill it after `seconds`.
    Shell { script: String, seconds: u64 },
    /// Hand the console to an interactive shell; ends when the shell does.
    Interactive,
    /// Sync and power off. Not answered.
    PowerOff,
}

/// Guest to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The agent waits for requests.
    Ready,
    /// A piece of the standard output and error of the running script.
    Output(String),
    /// The script ended with this status (128 + signal when it was killed).
    Exit(i32),
    /// The script ran into its time limit. What blocked it is in the kernel
    /// log: the guest has dumped all blocked tasks there.
    TimedOut,
}

/// Where the guest's kernel modules are, in the order of [`MODULE_LIST`].
pub const MODULE_DIR: &str = "/modules";

/// File names of the modules that are loaded at boot, one a line.
pub const MODULE_LIST: &str = "/modules/list";

/// An image to mount, made by damaging a good one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    pub number: usize,
    /// What was damaged, and how.
    pub name: String,
    /// Index of the undamaged image.
    pub base: usize,
    /// Bytes to put at offsets.
    pub patches: Vec<(u64, Vec<u8>)>,
    /// Cut the image to this length.
    pub length: Option<u64>,
    /// The `errors=` option to mount with.
    pub answer: String,
    /// The damage must be noticed: the mount is refused, or a call fails, or
    /// the kernel log complains.
    pub must_notice: bool,
}

/// What became of a [`Case`], as error numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it was not mounted.
    pub mount: Option<i32>,
    /// All errors that calls returned while it was.
    pub errors: Vec<i32>,
    /// Why it could not be unmounted.
    pub unmount: Option<i32>,
}

/// How long a number of like operations took (`guest bench`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Storm {
    /// Which operation.
    pub name: String,
    /// How often.
    pub operations: u64,
    /// All of them together.
    pub nanoseconds: u64,
}

/// What became of a crash state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    pub slot: usize,
    pub result: Result<(), String>,
}

/// The head of a batch of crash states on the disk that lists them. The list, JSON, is behind
/// the first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Counted from 1.
    pub number: u64,
    /// Bytes of the list.
    pub length: u64,
}

impl Batch {
    pub fn bytes(self) -> Vec<u8> {
        [self.number.to_le_bytes(), self.length.to_le_bytes()].concat()
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            number: word(0)?,
            length: word(8)?,
        })
    }
}
