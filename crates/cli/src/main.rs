//! The netspace command.

fn main() {}
