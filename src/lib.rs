//! ringpost: a thread-per-core SMTP and LMTP front end that reads Apache James' configuration.
//!
//! The way of a message, left to right; one core does all of it, and shares nothing with another but counters:
//!
//! ```text
//!            mta::accept      mta::connection                                  mta::spooler
//!  TCP ──▶ [ Listener ] ──▶ [ converse() ── smtp::server::Session ]          ┌─▶ [ mailet::Container ] ──▶ Effects
//!                               │   Ask ▲ Verdict       │ Store ▲ Committed  │                                │
//!                               ▼       │               ▼       │            │                                ▼
//!                            [ hook::Chain ]      [ spool::Incoming ── GroupCommit ] ◀── Outcomes ── [ delivery::maildir ]
//!                               │
//!                               ▼ what may block, by message
//!                            [ control: directory · log · watchdog · signals ]
//! ```
//!
//! **The session decides, the loop obeys; the group commit decides, the writer obeys; the container decides, the spooler
//! obeys.** The deciders are pure: no I/O, no clock, no randomness. docs/ARCHITECTURE.md says why.
//!
//! The order below is that way. Modules import from floors below theirs only: floor 0 `mail`, `io`; floor 1 `smtp`,
//! `directory`; floor 2 `hook`, `spool`, `mailet`, `delivery`; floor 3 `config`; floor 4 `control`, and the roof `mta`.

// Floor 0: the nouns of mail, and the seam to the machine.
pub mod mail;
pub mod io;

// Floor 1: the protocol, and who is known here.
pub mod smtp;
pub mod directory;

// Floor 2: policy, keeping, routing, bringing.
pub mod hook;
pub mod spool;
pub mod mailet;
pub mod delivery;

// Floor 3: what the operator wrote.
pub mod config;

// Floor 4: what may block, and the process that joins it all.
pub mod control;
pub mod mta;
