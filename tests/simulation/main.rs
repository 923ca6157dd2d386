//! A whole core in a simulated machine: sessions, spool and delivery together, while power fails and the disk goes wrong.
//!
//! Every test keeps what was promised, as functions: what was answered with 250 is in its recipients' Maildirs whole, byte for
//! byte and once; nothing else there is damaged (P1, P2); what a client can make the core hold is bounded (P6). A seed that
//! fails is printed with the last events of its world, and RINGPOST_SEED makes the test try that one alone.

mod brim;
mod campaign;
mod client;
mod container;
mod cores;
mod crashes;
mod damage;
mod disk_faults;
mod early;
mod explore;
mod held;
mod host;
mod ledger;
mod mail;
mod moving;
mod names;
mod recycling;
mod sessions;
mod week;
