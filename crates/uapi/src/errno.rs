//! The one table between the stack's errors and the numbers that programs see.

use netspace_stack::sock::SockError;

/// An error number as `errno` holds it (positive).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("errno {0}")]
pub struct Errno(pub i32);

impl From<SockError> for Errno {
    fn from(error: SockError) -> Self {
        Self(of(error))
    }
}

/// The argument is invalid.
pub const EINVAL: Errno = Errno(libc::EINVAL);
/// No such file.
pub const ENOENT: Errno = Errno(libc::ENOENT);
/// The option does not exist.
pub const ENOPROTOOPT: Errno = Errno(libc::ENOPROTOOPT);
/// The address family is not one for this socket.
pub const EAFNOSUPPORT: Errno = Errno(libc::EAFNOSUPPORT);
/// The device does not exist.
pub const ENODEV: Errno = Errno(libc::ENODEV);
/// The operation is not one for this object.
pub const EOPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);

macro_rules! table {
    ($($error:ident $errno:ident)*) => {
        /// The number for an error.
        pub const fn of(error: SockError) -> i32 {
            match error { $(SockError::$error => libc::$errno,)* }
        }

        /// The error for a number, if the stack has one.
        pub const fn from_number(errno: i32) -> Option<SockError> {
            match errno { $(libc::$errno => Some(SockError::$error),)* _ => None }
        }
    };
}

table! {
    WouldBlock EAGAIN
    InProgress EINPROGRESS
    Already EALREADY
    IsConnected EISCONN
    NotConnected ENOTCONN
    DestinationRequired EDESTADDRREQ
    ConnectionRefused ECONNREFUSED
    ConnectionReset ECONNRESET
    ConnectionAborted ECONNABORTED
    BrokenPipe EPIPE
    TimedOut ETIMEDOUT
    HostUnreachable EHOSTUNREACH
    NetworkUnreachable ENETUNREACH
    NetworkDown ENETDOWN
    AddressInUse EADDRINUSE
    AddressNotAvailable EADDRNOTAVAIL
    AddressFamily EAFNOSUPPORT
    ProtocolUnsupported EPROTONOSUPPORT
    TypeUnsupported ESOCKTNOSUPPORT
    OperationUnsupported EOPNOTSUPP
    NoSuchOption ENOPROTOOPT
    ProtocolError EPROTO
    HostDown EHOSTDOWN
    MessageSize EMSGSIZE
    Invalid EINVAL
    NotPermitted EPERM
    Access EACCES
    NoBuffers ENOBUFS
    NoMemory ENOMEM
    NoDevice ENODEV
    NoSuchAddress ENXIO
    NoSuchSocket EBADF
    Domain EDOM
    Exists EEXIST
    NoEntry ENOENT
    NoProcess ESRCH
    InputOutput EIO
    TooManyReferences ETOOMANYREFS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_number_of_its_own() {
        for &error in SockError::ALL {
            assert_eq!(from_number(of(error)), Some(error));
        }
    }
}
