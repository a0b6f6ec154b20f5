//! write(2), of which the filter asks where it may be to a setting: see [`crate::settings`].

use super::os;
use crate::door::{Door, World};
use crate::procfs;
use crate::settings::MAX_LEN;
use crate::sys::file;
use crate::trapped::{Answer, Call, Outcome};
use crate::watched::Written;

impl Door {
    /// write(2), by which a program may give a setting its value.
    pub(crate) fn call_write(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let len = call.len(2);
        if self.settings.files.is_empty() || len as u64 > MAX_LEN {
            return Ok(Answer::Proceed);
        }
        let Some(identity) = procfs::identity(call.tid, call.fd(0)) else { return Ok(Answer::Proceed) };
        let is_it = |written: &&mut Written| written.identity == identity;
        if self.settings.files.values_mut().find(is_it).is_none() {
            return Ok(Answer::Proceed);
        }
        let value = self.read(call, call.args[1], len)?;
        let Some(written) = self.settings.files.values_mut().find(is_it) else { return Ok(Answer::Proceed) };
        world.write_file(written.ns, &written.path, &value)?;
        // For those who read it back; and it is no news when the file is found to have changed.
        file::overwrite(&written.file, &value).map_err(os)?;
        written.last = value;
        Ok(Answer::Value(len as i64))
    }
}
