//! Everybody who speaks to a running lab: the control socket's clients and signals, served between two turns of its loop.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::Context;
use netspace_base::{DevId, Event, NsId};
use netspace_door::{LaunchError, ProgramId, Session as ProgramSession};
use netspace_lab::run::{Lab, RunError, Spawn, Stdio, Watcher};
use netspace_lab::world::World;
use netspace_observe::{Filter, Layout, Storyteller};

use crate::control::{ClientId, Exec, Incoming, Reply, Request, Server, Text};
use crate::output::{did_you_mean, warning};
use crate::report;
use crate::runtime::{LabDir, LabInfo};
use crate::state;
use crate::terminal::{self, Signals};

/// What the loop watches besides programs.
const CONTROL: u64 = 1;
const SIGNALS: u64 = 2;

/// The signals that a lab's loop takes.
const CAUGHT: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// What signals mean to the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnSignal {
    /// They end it.
    Stop,
    /// They are for this program; one that the terminal sends (`SIGINT`, `SIGQUIT`) has reached it already.
    PassOn(ProgramId),
}

/// The clients of a running lab, and what they have asked for.
pub(crate) struct Session {
    info: LabInfo,
    control: Option<Control>,
    signals: Signals,
    pub(crate) on_signal: OnSignal,
    execs: BTreeMap<ProgramId, ClientId>,
    traces: Vec<Trace>,
    names: Names,
    down: Vec<ClientId>,
    /// The signal that ends the lab.
    stopped_by: Option<i32>,
    /// All events, if somebody wants them afterwards.
    pub(crate) recorded: Option<Vec<Event>>,
    /// Whether the file's programs' lines are shown.
    pub(crate) show_output: bool,
    /// Whether checks are shown as they end.
    pub(crate) show_checks: bool,
}

/// The control socket and the directory it lies in.
struct Control {
    server: Server,
    dir: LabDir,
}

/// Somebody who follows packets.
struct Trace {
    client: ClientId,
    filter: Filter,
    storyteller: Storyteller,
    json: bool,
}

impl Session {
    /// Serves a lab; with `dir`, offers a control socket in it.
    pub(crate) fn new(lab: &mut Lab, info: LabInfo, dir: Option<LabDir>) -> anyhow::Result<Self> {
        let signals = Signals::catch(&CAUGHT).context("cannot catch signals")?;
        lab.world.watch(signals.fd(), SIGNALS, false)?;
        let control = match dir {
            None => None,
            Some(dir) => {
                let server = Server::new(dir.listen()?)?;
                lab.world.watch(server.fd(), CONTROL, false)?;
                Some(Control { server, dir })
            }
        };
        Ok(Self {
            info,
            control,
            signals,
            on_signal: OnSignal::Stop,
            execs: BTreeMap::new(),
            traces: Vec::new(),
            names: Names::of(&lab.world),
            down: Vec::new(),
            stopped_by: None,
            recorded: None,
            show_output: true,
            show_checks: false,
        })
    }

    /// The lab's directory, if it offers a control socket.
    pub(crate) fn dir(&self) -> Option<&LabDir> {
        self.control.as_ref().map(|control| &control.dir)
    }

    /// The signal that asked the lab to end, if one did.
    pub(crate) const fn stopped_by(&self) -> Option<i32> {
        self.stopped_by
    }

    /// The names of hosts and devices.
    pub(crate) const fn names(&self) -> &Names {
        &self.names
    }

    /// After the lab has ended: its socket and its directory go, and whoever asked for the end is told.
    pub(crate) fn close(mut self) {
        for client in std::mem::take(&mut self.down) {
            self.reply(client, &Reply::Done);
        }
        if let Some(Control { server, dir }) = self.control.take() {
            server.close();
            drop(dir);
        }
    }

    fn reply(&mut self, client: ClientId, reply: &Reply) {
        if let Some(control) = &mut self.control {
            control.server.reply(client, reply);
        }
    }

    fn take_signals(&mut self, lab: &Lab) {
        for signal in self.signals.take() {
            match self.on_signal {
                OnSignal::Stop => self.stopped_by = Some(signal),
                OnSignal::PassOn(program) => {
                    // Ctrl-C and Ctrl-\ go to the whole foreground group: the program has had them.
                    let from_terminal = matches!(signal, libc::SIGINT | libc::SIGQUIT);
                    if !(from_terminal && terminal::is_foreground()) {
                        let _ = lab.world.signal(program, signal, false);
                    }
                }
            }
        }
    }

    fn serve(&mut self, lab: &mut Lab) {
        let Some(control) = &mut self.control else { return };
        let incoming = match control.server.poll() {
            Ok(incoming) => incoming,
            Err(error) => {
                warning(&format!("the control socket: {error}"));
                return;
            }
        };
        for incoming in incoming {
            match incoming {
                Incoming::Request(client, request, fds) => self.answer(lab, client, request, fds),
                Incoming::Gone(client) => self.gone(lab, client),
            }
        }
    }

    /// A client has gone: what it started is hung up on, as when a terminal goes.
    fn gone(&mut self, lab: &mut Lab, client: ClientId) {
        self.traces.retain(|trace| trace.client != client);
        self.update_tracing(lab);
        self.down.retain(|waiting| *waiting != client);
        for program in self.programs_of(client) {
            self.execs.remove(&program);
            let _ = lab.world.signal(program, libc::SIGHUP, true);
            let _ = lab.world.signal(program, libc::SIGCONT, true);
        }
    }

    fn programs_of(&self, client: ClientId) -> Vec<ProgramId> {
        self.execs.iter().filter(|(_, owner)| **owner == client).map(|(program, _)| *program).collect()
    }

    fn answer(&mut self, lab: &mut Lab, client: ClientId, request: Request, fds: Vec<OwnedFd>) {
        let result = match request {
            Request::Ps => Ok(Some(Reply::Lab(state::lab(lab, &self.info)))),
            Request::Exec(exec) => {
                Ok(Some(self.exec(lab, client, exec, fds).unwrap_or_else(|refusal| refusal)))
            }
            Request::Signal { signal } => {
                let passed = self
                    .programs_of(client)
                    .into_iter()
                    .try_for_each(|id| lab.world.signal(id, signal, true));
                passed.map(|()| None).map_err(|error| error.to_string())
            }
            Request::Links { link } => {
                state::links(&lab.world, link.as_deref()).map(|links| Some(Reply::Links { links }))
            }
            Request::Link { link, from, change } => {
                state::change_link(&mut lab.world, &link, from.as_deref(), &change)
                    .map(|()| Some(Reply::Done))
            }
            Request::Trace { words, json } => {
                self.subscribe(lab, client, &words, json).map(|()| Some(Reply::Done))
            }
            Request::Down => {
                // Answered when everything has ended.
                self.down.push(client);
                Ok(None)
            }
        };
        match result {
            Ok(Some(reply)) => self.reply(client, &reply),
            Ok(None) => {}
            Err(message) => self.reply(client, &Reply::Error { message, code: 2 }),
        }
    }

    fn exec(
        &mut self,
        lab: &mut Lab,
        client: ClientId,
        exec: Exec,
        fds: Vec<OwnedFd>,
    ) -> Result<Reply, Reply> {
        let refuse = |message: String| Reply::Error { message, code: 2 };
        if !self.programs_of(client).is_empty() {
            return Err(refuse("this connection has a program already".to_owned()));
        }
        find_host(&lab.world, &exec.host).map_err(refuse)?;
        let argv: Vec<String> = exec.argv.into_iter().map(utf8).collect::<Result<_, _>>().map_err(refuse)?;
        let spawn = Spawn {
            host: &exec.host,
            argv: &argv,
            env: &environment(exec.env),
            stdio: stdio(fds, exec.tty).map_err(refuse)?,
            session: ProgramSession::Own,
            cwd: Some(PathBuf::from(OsString::from(exec.cwd))),
        };
        match lab.spawn(spawn) {
            Ok(id) => {
                self.execs.insert(id, client);
                let programs = lab.world.programs();
                let pid = programs.iter().find(|(other, ..)| *other == id).map_or(0, |(_, pid, _)| *pid);
                Ok(Reply::Started { pid })
            }
            Err(error) => Err(Reply::Error { code: exit_code_of(&error), message: error.to_string() }),
        }
    }

    fn subscribe(
        &mut self,
        lab: &mut Lab,
        client: ClientId,
        words: &[String],
        json: bool,
    ) -> Result<(), String> {
        // `trace HOST FILTER…`: a host's name first means events on that host.
        let text = match words.split_first() {
            Some((host, rest)) if lab.world.host_id(host).is_some() => {
                let rest = rest.join(" ");
                if rest.trim().is_empty() { format!("on {host}") } else { format!("on {host} and ({rest})") }
            }
            _ => words.join(" "),
        };
        let filter = Filter::parse(&text).map_err(|error| explain(&lab.world, words, &error.to_string()))?;
        self.traces.push(Trace { client, filter, storyteller: Storyteller::default(), json });
        self.update_tracing(lab);
        Ok(())
    }

    fn update_tracing(&self, lab: &mut Lab) {
        lab.world.set_trace(!self.traces.is_empty() || self.recorded.is_some());
    }

    /// Sends new events to whoever follows them.
    fn follow(&mut self, lab: &mut Lab) {
        // Packets that were under way when the last follower left still leave events: they are for nobody.
        let events = lab.world.take_events();
        if let Some(recorded) = &mut self.recorded {
            recorded.extend_from_slice(&events);
        }
        if self.traces.is_empty() || events.is_empty() {
            return;
        }
        let Some(control) = &mut self.control else { return };
        for trace in &mut self.traces {
            trace.send(&events, &self.names, &mut control.server);
        }
    }

    /// Tells clients whose programs have ended.
    fn tell_exits(&mut self, lab: &Lab) {
        let ended: Vec<(ProgramId, ExitStatus)> =
            self.execs.keys().filter_map(|id| Some((*id, lab.exit_status(*id)?))).collect();
        for (program, status) in ended {
            if let Some(client) = self.execs.remove(&program) {
                self.reply(client, &Reply::Exited { code: status.code(), signal: status.signal() });
            }
        }
    }
}

impl Watcher for Session {
    fn on_step(&mut self, lab: &mut Lab, ready: &[u64]) {
        if ready.contains(&SIGNALS) {
            self.take_signals(lab);
        }
        if ready.contains(&CONTROL) {
            self.serve(lab);
        }
        self.follow(lab);
        self.tell_exits(lab);
        for event in lab.take_events() {
            report::event(&event, self.show_output, self.show_checks);
        }
    }

    fn stop(&self) -> bool {
        self.stopped_by.is_some() || !self.down.is_empty()
    }
}

/// A first word that is neither a filter's nor a host's may be a host's name misspelt.
fn explain(world: &World, words: &[String], error: &str) -> String {
    let hosts = world.hosts().iter().map(|host| host.name.as_str());
    let hint = words.first().map(|word| did_you_mean(word, hosts)).unwrap_or_default();
    if hint.is_empty() { error.to_owned() } else { format!("{error}\nno host has that name either{hint}") }
}

/// Finds a host; an unknown one gets a message with what may have been meant.
fn find_host(world: &World, name: &str) -> Result<(), String> {
    find_host_in(world.hosts().iter().map(|host| host.name.as_str()), name)
}

/// The same among these names.
pub(crate) fn find_host_in<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Result<(), String> {
    let names: Vec<&str> = names.collect();
    if names.contains(&name) {
        return Ok(());
    }
    let hint = did_you_mean(name, names.iter().copied());
    Err(format!("there is no host {name:?}{hint}; the lab has {}", names.join(", ")))
}

impl Trace {
    fn send(&mut self, events: &[Event], names: &Names, server: &mut Server) {
        for event in events {
            if !self.filter.matches(event, names) {
                continue;
            }
            let record = self.storyteller.record(event, names);
            let line = if self.json { record.to_json() } else { record.line(&names.layout) };
            server.queue(self.client, &Reply::Event { line });
        }
        server.flush(self.client);
    }
}

/// Names of hosts and devices, as the trace prints them.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    hosts: Vec<String>,
    devices: BTreeMap<(NsId, DevId), String>,
    layout: Layout,
}

impl Names {
    fn of(world: &World) -> Self {
        let hosts: Vec<String> = world.hosts().iter().map(|host| host.name.clone()).collect();
        let mut devices = BTreeMap::new();
        for number in 0..hosts.len() {
            let ns = NsId(number as u32);
            devices.extend(world.netns(ns).dev.iter().map(|device| ((ns, device.id), device.name.clone())));
        }
        let dev_width = devices.values().map(|name| name.chars().count()).max().unwrap_or(4);
        let layout = Layout { dev_width, ..Layout::for_hosts(hosts.iter().map(String::as_str)) };
        Self { hosts, devices, layout }
    }

    /// All hosts, with their numbers.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (NsId, &str)> {
        (0..).map(NsId).zip(self.hosts.iter().map(String::as_str))
    }

    /// All devices.
    pub(crate) fn devices(&self) -> &BTreeMap<(NsId, DevId), String> {
        &self.devices
    }
}

impl netspace_observe::Names for Names {
    fn host(&self, ns: NsId) -> std::borrow::Cow<'_, str> {
        self.hosts
            .get(ns.0 as usize)
            .map_or_else(|| format!("host {}", ns.0).into(), |name| name.as_str().into())
    }

    fn device(&self, ns: NsId, dev: DevId) -> std::borrow::Cow<'_, str> {
        self.devices
            .get(&(ns, dev))
            .map_or_else(|| format!("if{}", dev.0).into(), |name| name.as_str().into())
    }
}

/// The descriptors of a request as a program's own.
fn stdio(fds: Vec<OwnedFd>, tty: bool) -> Result<Stdio, String> {
    let count = fds.len();
    let wrong = |wanted: u32| format!("{count} descriptors instead of {wanted}");
    if !tty {
        let [stdin, stdout, stderr]: [OwnedFd; 3] = fds.try_into().map_err(|_| wrong(3))?;
        return Ok(Stdio::Fds { stdin, stdout, stderr, tty: None });
    }
    let [terminal]: [OwnedFd; 1] = fds.try_into().map_err(|_| wrong(1))?;
    let copy = || terminal.try_clone().map_err(|error| error.to_string());
    Ok(Stdio::Fds { stdin: copy()?, stdout: copy()?, stderr: copy()?, tty: Some(terminal) })
}

fn utf8(text: Text) -> Result<String, String> {
    match text {
        Text::Utf8(text) => Ok(text),
        Text::Bytes(bytes) => Err(format!("{:?} is not UTF-8", String::from_utf8_lossy(&bytes))),
    }
}

/// The caller's environment, but for what the lab sets itself; its `PATH` keeps what the lab adds at the end.
fn environment(env: Vec<(Text, Text)>) -> Vec<(String, String)> {
    const THE_LABS: [&str; 3] = ["HOSTNAME", "NETSPACE_HOST", "NETSPACE_LAB"];
    let text = |(name, value)| Some((utf8(name).ok()?, utf8(value).ok()?));
    let mut env: Vec<(String, String)> =
        env.into_iter().filter_map(text).filter(|(name, _)| !THE_LABS.contains(&name.as_str())).collect();
    let here = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_str()?.to_owned()));
    if let Some((_, path)) = env.iter_mut().find(|(name, _)| name == "PATH") {
        let known: Vec<String> = path.split(':').map(str::to_owned).collect();
        let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(str::to_owned).into_iter().chain(here);
        for dir in more.filter(|dir| !known.contains(dir)) {
            path.push(':');
            path.push_str(&dir);
        }
    }
    env
}

/// As shells give it: 127 if there is no such program, 126 if it cannot be run, 125 for netspace's own trouble.
pub(crate) fn exit_code_of(error: &RunError) -> u8 {
    match error {
        RunError::Launch { error: LaunchError::Exec { error, .. }, .. } => {
            if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
        }
        _ => 125,
    }
}
