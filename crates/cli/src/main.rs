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
mod runtime;
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
            if error.downcast_ref::<BadInput>().is_some() { 2.into() } else { failure_code(&cli.command).into() }
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
        Command::Check(args) => commands::check::check(args),
        Command::Graph(args) => commands::check::graph(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Tool(args) => tool::run(&args.tool),
        Command::Completions(args) => pages::completions(args),
        Command::Man(args) => pages::man(args),
        _ => todo!(),
    }
}
