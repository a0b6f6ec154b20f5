//! The commands, a file each.

pub(crate) mod check;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod link;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod trace;
pub(crate) mod up;
