//! What a connection keeps while it searches for the path's MTU.

use netspace_base::Instant;

/// The search: sizes are segments without options, as the path's MSS is.
#[derive(Debug)]
pub(crate) struct MtuSearch {
    /// The largest size known to pass.
    pub(super) low: u16,
    /// The largest size worth a probe.
    pub(super) high: u16,
    /// The probe under way.
    pub(super) probe: Option<u16>,
    /// When the search last began.
    pub(super) since: Instant,
}
