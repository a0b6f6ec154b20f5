//! Starting a lab in this process, and ending it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use netspace_base::Seed;
use netspace_door::Door;
use netspace_lab::run::{Lab, RunError, RunOptions};
use netspace_lab::world::{CaptureHandle, World};

use crate::labfile::Loaded;
use crate::output::{BadInput, bad_input, warning};
use crate::report;
use crate::runtime::{LabDir, LabInfo};
use crate::session::Session;

/// How long programs may take to end when they are asked to.
const GRACE: Duration = Duration::from_secs(1);

/// What a lab is started with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) seed: Option<u64>,
    pub(crate) pcap: Option<&'a Path>,
    /// Whether `up` starts it: then the name must be free. In the foreground a taken name gets a number.
    pub(crate) background: bool,
}

/// A lab that runs in this process.
pub(crate) struct Running {
    pub(crate) lab: Lab,
    pub(crate) session: Session,
    capture: Option<CaptureHandle>,
}

impl Running {
    /// Makes the lab's world. No program runs yet.
    pub(crate) fn start(mut loaded: Loaded, options: Options<'_>) -> anyhow::Result<Self> {
        let name = loaded.plan.name.clone();
        let info = LabInfo {
            name,
            file: loaded.path.clone(),
            pid: std::process::id(),
            background: options.background,
        };
        // The door forks: as early as can be, while this process holds little.
        let door = Door::new()?;
        let (info, dir) = claim(info)?;
        // Programs are told the name by which their lab can be reached (`NETSPACE_LAB`).
        loaded.plan.name.clone_from(&info.name);
        let run_options = RunOptions::from_this_process().context("cannot tell where this program lies")?;
        let mut capture = None;
        let mut lab = Lab::start_watched(loaded.plan, door, options.seed.map(Seed), run_options, |world| {
            capture = options.pcap.map(|dir| start_capture(world, dir)).transpose()?;
            anyhow::Ok(())
        })?;
        let session = Session::new(&mut lab, info, dir)?;
        Ok(Self { lab, session, capture })
    }

    /// Runs setup commands, starts the file's programs and waits until they are ready.
    pub(crate) fn start_programs(&mut self) -> Result<(), RunError> {
        self.lab.setup(&mut self.session)?;
        self.lab.start_programs(&mut self.session)
    }

    /// Ends the lab: its programs, its socket, its directory.
    pub(crate) fn end(self) {
        let Self { mut lab, session, capture } = self;
        lab.stop(GRACE);
        report::end(&lab);
        drop(lab);
        if let Some(state) = capture.map(|capture| capture.state())
            && let Some(error) = state.error
        {
            warning(&format!("captures are not whole, {} frames are missing: {error}", state.lost));
        }
        session.close();
    }
}

fn start_capture(world: &mut World, dir: &Path) -> anyhow::Result<CaptureHandle> {
    world.capture(dir).map_err(|error| bad_input(format!("cannot capture into {}: {error}", dir.display())))
}

/// Takes a directory for the lab. A lab in the foreground runs without one where there is none to be had.
fn claim(mut info: LabInfo) -> anyhow::Result<(LabInfo, Option<LabDir>)> {
    let first = match LabDir::claim(&info) {
        Ok(dir) => return Ok((info, Some(dir))),
        Err(error) if info.background => return Err(error),
        Err(error) => error,
    };
    if first.downcast_ref::<BadInput>().is_some() {
        // Another lab has the name: both may run, as long as they can be told apart.
        info.name = format!("{}-{}", info.name, info.pid);
        if let Ok(dir) = LabDir::claim(&info) {
            return Ok((info, Some(dir)));
        }
    }
    warning(&format!("this lab cannot be reached by `exec`, `link` or `trace`: {first:#}"));
    Ok((info, None))
}

/// An error of a lab in the command line's words.
pub(crate) fn lab_error(error: RunError) -> anyhow::Error {
    match error {
        RunError::NoHost { .. } => bad_input(error.to_string()),
        RunError::Launch { .. } => {
            anyhow::Error::new(error).context("a program could not be started (see `netspace doctor`)")
        }
        error => error.into(),
    }
}
