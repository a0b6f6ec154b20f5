//! Labs: a file that describes a network, the plan made of it, and the world that runs it.
//!
//! ```text
//! text ──file──▶ LabFile ──plan──▶ Plan ──world──▶ World (hosts, links, clock) ──run──▶ programs and checks
//! ```
//! Nothing here prints or reads a terminal: that is for the command line.
#![forbid(unsafe_code)]

pub mod builder;
pub mod dns;
pub mod file;
pub mod names;
pub mod plan;
pub mod run;
pub mod views;
pub mod world;
