//! Watching frames at devices, for captures.

use netspace_base::DevId;
use netspace_stack::Tap;

use super::World;

/// Somebody who wants to see every frame at every device.
pub trait FrameSink: Send {
    /// A frame leaves or has arrived at a device. A packet that stands for several frames comes whole, its checksum
    /// perhaps still to be filled in.
    fn frame(&mut self, tap: &Tap);

    /// The world is about to wait: time to write out what is buffered.
    fn idle(&mut self) {}
}

impl World {
    /// Adds somebody who sees every frame from now on, at every device of every host (loopback included).
    pub fn add_tap(&mut self, sink: Box<dyn FrameSink>) {
        self.taps.push(sink);
        for host in &mut self.hosts {
            let devices: Vec<DevId> = host.netns.dev.iter().map(|d| d.id).collect();
            for dev in devices {
                host.netns.dev.set_capture(dev, true);
            }
        }
    }

    /// Hands captured frames to those who watch.
    pub(super) fn hand_out_taps(&mut self) {
        if self.turn.taps.is_empty() {
            return;
        }
        for tap in std::mem::take(&mut self.turn.taps) {
            for sink in &mut self.taps {
                sink.frame(&tap);
            }
        }
    }
}
