//! The netspace command.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod control;
mod demo;
mod doctor;
mod labfile;
mod output;
mod pages;
mod quantity;
mod report;
mod running;
mod runtime;
mod session;
mod state;
mod terminal;
mod tool;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::BadInput;

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::choose_colors(cli.color);
    match run(&cli.command) {
        Ok(code) => code.into(),
        // Nobody reads on (`netspace trace | head`): no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            if error.downcast_ref::<BadInput>().is_some() {
                2.into()
            } else {
                failure_code(&cli.command).into()
            }
        }
    }
}

/// What netspace's own failure exits with: where a command's code is passed on, one that it will hardly use itself.
fn failure_code(command: &Command) -> u8 {
    match command {
        Command::Exec(_) | Command::Shell(_) => 125,
        Command::Run(run) if run.on.is_some() => 125,
        _ => 1,
    }
}

fn run(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => commands::run::run(args),
        Command::Up(args) => commands::up::run(args),
        Command::Down(args) => commands::down::run(args),
        Command::Ps(args) => commands::ps::run(args),
        Command::Exec(args) => commands::exec::exec(args),
        Command::Shell(args) => commands::exec::shell(args),
        Command::Link(args) => commands::link::run(args),
        Command::Trace(args) => commands::trace::run(args),
        Command::Check(args) => commands::check::check(args),
        Command::Graph(args) => commands::check::graph(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Tool(args) => tool::run(&args.tool),
        Command::Completions(args) => pages::completions(args),
        Command::Man(args) => pages::man(args),
        Command::Daemon(args) => commands::up::daemon(args),
    }
}
