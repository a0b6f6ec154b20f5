//! Why a call failed, in words; the `uapi` crate gives each its errno.

macro_rules! sock_errors {
    ($($variant:ident, $text:literal;)*) => {
        /// Why a socket call failed; each variant is one errno (the `uapi` crate holds the table).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
        pub enum SockError { $(#[doc = $text] #[error($text)] $variant,)* }
        impl SockError {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

sock_errors! {
    WouldBlock, "the call would block (EAGAIN)";
    InProgress, "the connection is being made (EINPROGRESS)";
    Already, "a connection is being made already (EALREADY)";
    IsConnected, "the socket is connected (EISCONN)";
    NotConnected, "the socket is not connected (ENOTCONN)";
    DestinationRequired, "a destination address is required (EDESTADDRREQ)";
    ConnectionRefused, "connection refused (ECONNREFUSED)";
    ConnectionReset, "connection reset by peer (ECONNRESET)";
    ConnectionAborted, "connection aborted (ECONNABORTED)";
    BrokenPipe, "the socket is shut down for sending (EPIPE)";
    TimedOut, "connection timed out (ETIMEDOUT)";
    HostUnreachable, "no route to host (EHOSTUNREACH)";
    NetworkUnreachable, "network is unreachable (ENETUNREACH)";
    NetworkDown, "network is down (ENETDOWN)";
    AddressInUse, "address in use (EADDRINUSE)";
    AddressNotAvailable, "cannot assign requested address (EADDRNOTAVAIL)";
    AddressFamily, "address family not supported (EAFNOSUPPORT)";
    ProtocolUnsupported, "protocol not supported (EPROTONOSUPPORT)";
    TypeUnsupported, "socket type not supported (ESOCKTNOSUPPORT)";
    OperationUnsupported, "operation not supported (EOPNOTSUPP)";
    NoSuchOption, "no such option (ENOPROTOOPT)";
    ProtocolError, "protocol error (EPROTO)";
    HostDown, "host is down (EHOSTDOWN)";
    MessageSize, "message too long (EMSGSIZE)";
    Invalid, "invalid argument (EINVAL)";
    NotPermitted, "operation not permitted (EPERM)";
    Access, "permission denied (EACCES)";
    NoBuffers, "no buffer space (ENOBUFS)";
    NoMemory, "out of memory (ENOMEM)";
    NoDevice, "no such device (ENODEV)";
    NoSuchAddress, "no such device or address (ENXIO)";
    NoSuchSocket, "no such socket (EBADF)";
    Domain, "argument out of domain (EDOM)";
    Exists, "it exists already (EEXIST)";
    NoEntry, "no such entry (ENOENT)";
    NoProcess, "no such entry (ESRCH)";
    InputOutput, "input/output error (EIO)";
    TooManyReferences, "too many (ETOOMANYREFS)";
}
