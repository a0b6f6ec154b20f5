//! `netspace demo`.

mod flow;
mod print;
mod story;

#[cfg(test)]
mod tests;
