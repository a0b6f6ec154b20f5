//! The kernel's face to programs: socket addresses, options, control messages, netlink, ioctls, and the files under
//! `/proc/net`, `/proc/sys/net` and `/sys/class/net`.
//!
//! Everything here maps bytes as programs write them to the words of the stack, and back. No descriptors, no clock, no
//! I/O; whatever bytes come in, nothing panics. Layouts are those of 64-bit Linux in the machine's byte order.
#![forbid(unsafe_code)]

mod bytes_at;
pub mod cmsg;
pub mod errno;
pub mod files;
pub mod fuzz;
pub mod ioctl;
pub mod netlink;
pub mod option;
pub mod packet;
pub mod sockaddr;

pub use errno::Errno;
