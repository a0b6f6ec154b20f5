//! What programs see, from outside: recorded requests, files, ioctls, noise.

mod common;
mod corpus;
mod files;
mod ioctl;
mod no_panic;
mod rtnetlink;
