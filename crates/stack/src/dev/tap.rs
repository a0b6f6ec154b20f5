//! Frames are copied for whoever captures.

use netspace_base::{DevId, NsId, Pkt};

use crate::{Tap, Turn};

/// Copies a frame for whoever captures on the device.
pub(crate) fn tap(t: &mut Turn, ns: NsId, dev: DevId, outgoing: bool, pkt: &Pkt) {
    t.taps.push(Tap { at: t.now, ns, dev, outgoing, frame: Box::new(pkt.clone()) });
}
