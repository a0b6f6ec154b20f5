//! The start: the world, setup commands, background programs.

use std::time::Duration;

use netspace_base::{NsId, Seed};
use netspace_door::{Door, ProgramId};

use crate::file::{Program as Planned, Ready};
use crate::plan::Plan;
use crate::world::{Clock, World};

use super::check::status_words;
use super::program::{Spawn, Stdio};
use super::{Lab, LabEvent, RunError, RunOptions, Watcher};

/// How long one setup command may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a background program may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

impl Lab {
    /// Makes the world of a plan with its door; nothing runs on it yet. `door` should have been made early: it forks.
    pub fn start(plan: Plan, door: Door, seed: Option<Seed>, options: RunOptions) -> Result<Self, RunError> {
        Self::start_watched(plan, door, seed, options, |_| Ok(()))
    }

    /// The same; `watch` sees the world before any device is up ([`World::from_plan_watched`]).
    pub fn start_watched<E: From<RunError>>(
        plan: Plan,
        door: Door,
        seed: Option<Seed>,
        options: RunOptions,
        watch: impl FnOnce(&mut World) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut world = build(plan, seed, watch)?;
        world.attach_door(door).map_err(RunError::from)?;
        // Waits end when they should: links have delays of a few microseconds too. Programs, forked earlier, keep the
        // system's own slack.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
        Ok(Self {
            world,
            options,
            programs: Default::default(),
            pipes: Default::default(),
            events: Vec::new(),
            ended: Default::default(),
        })
    }

    /// Runs all setup commands, host by host in the order of the file; the first that fails ends it.
    pub fn setup(&mut self, watcher: &mut dyn Watcher) -> Result<(), RunError> {
        let plan = self.world.plan().clone();
        for node in &plan.nodes {
            for command in &node.setup {
                let id = self.spawn(Spawn::lines(&node.name, &command.argv))?;
                let deadline = self.world.now() + SETUP_TIMEOUT;
                let ended = self.drive(Some(deadline), watcher, |lab| lab.exit_status(id).is_some())?;
                let status = self.exit_status(id);
                if status.is_some_and(|s| s.success()) {
                    continue;
                }
                let words = match status {
                    Some(status) => status_words(status),
                    None => format!("did not end in {} s", SETUP_TIMEOUT.as_secs()),
                };
                debug_assert_eq!(ended, status.is_some());
                let output = self.programs.get(&id).map(super::Program::last_lines).unwrap_or_default();
                let (host, command) = (node.name.clone(), command.text.clone());
                return Err(RunError::Setup { host, command, status: words, output });
            }
        }
        Ok(())
    }

    /// Starts all background programs and waits until each is ready as the file says.
    pub fn start_programs(&mut self, watcher: &mut dyn Watcher) -> Result<(), RunError> {
        let plan = self.world.plan().clone();
        let mut waiting = Vec::new();
        for node in &plan.nodes {
            for planned in &node.run {
                let id = self.start_program(&node.name, planned)?;
                waiting.push((id, node.name.as_str(), planned));
            }
        }
        for (id, host, planned) in waiting {
            self.wait_ready(id, host, planned, watcher)?;
        }
        Ok(())
    }

    fn start_program(&mut self, host: &str, planned: &Planned) -> Result<ProgramId, RunError> {
        let stdio = Stdio::Lines;
        let spawn = Spawn { env: &planned.env, stdio, ..Spawn::lines(host, &planned.command.argv) };
        let id = self.spawn(spawn)?;
        if let Some(program) = self.programs.get_mut(&id) {
            program.background = true;
            program.name = short_name(&planned.command.argv);
            if let Ready::Output(text) = &planned.ready {
                program.wants = Some(text.clone());
            }
            let event = LabEvent::Started { host: host.to_owned(), program: program.name.clone() };
            self.events.push(event);
        }
        Ok(id)
    }

    fn wait_ready(
        &mut self,
        id: ProgramId,
        host: &str,
        planned: &Planned,
        watcher: &mut dyn Watcher,
    ) -> Result<(), RunError> {
        let ns = self.world.host_id(host).unwrap_or_default();
        let now = self.world.now();
        let limit = now + if let Ready::After(time) = planned.ready { time } else { READY_TIMEOUT };
        let ready = self.drive(Some(limit), watcher, |lab| {
            lab.exit_status(id).is_some()
                || match &planned.ready {
                    Ready::AtOnce => true,
                    Ready::Port(port) => lab.listens(ns, *port),
                    Ready::Output(_) => lab.programs.get(&id).is_some_and(|p| p.said),
                    Ready::After(_) => false,
                }
        })?;
        let what = match (self.exit_status(id), &planned.ready) {
            // It may have done its work already, as far as we know.
            (None, Ready::After(_) | Ready::AtOnce) => return Ok(()),
            (None, _) if ready => return Ok(()),
            (Some(status), _) if status.success() && planned.ready == Ready::AtOnce => return Ok(()),
            (Some(status), _) => format!("{} before it was ready", status_words(status)),
            (None, Ready::Port(port)) => {
                format!("does not listen on port {port} after {} s", READY_TIMEOUT.as_secs())
            }
            (None, _) => format!("has not said what was awaited after {} s", READY_TIMEOUT.as_secs()),
        };
        let output = self.programs.get(&id).map(super::Program::last_lines).unwrap_or_default();
        Err(RunError::NotReady { host: host.to_owned(), program: planned.command.text.clone(), what, output })
    }

    /// Whether a TCP socket listens on a port of a host, or a UDP socket is bound to it.
    fn listens(&self, ns: NsId, port: u16) -> bool {
        self.world.listens(ns, port)
    }
}

/// The world in real time; an error of either kind is the caller's.
fn build<E: From<RunError>>(
    plan: Plan,
    seed: Option<Seed>,
    watch: impl FnOnce(&mut World) -> Result<(), E>,
) -> Result<World, E> {
    let mut watched = Ok(());
    let world = World::from_plan_watched(plan, seed, Clock::real(), |world| {
        watched = watch(world);
        Ok::<(), crate::world::BuildError>(())
    });
    watched.and_then(|()| world.map_err(|error| RunError::from(error).into()))
}

/// `http` for `netspace tool http --port 80`, `python3` for `/usr/bin/python3 …`.
fn short_name(argv: &[String]) -> String {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let word = match words.as_slice() {
        ["netspace", "tool", tool, ..] => tool,
        ["sh", "-c", line, ..] => line.split_whitespace().next().unwrap_or("sh"),
        [first, ..] => first,
        [] => "",
    };
    word.rsplit('/').next().unwrap_or(word).to_owned()
}
