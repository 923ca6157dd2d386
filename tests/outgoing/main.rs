//! Mail that leaves, in simulated worlds: next hops that put off, refuse, break off, are slow, are dead; crashes; many seeds.

mod here;
mod hop;
mod ends;
mod hops;
mod reports;
mod tls;
