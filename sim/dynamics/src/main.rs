//! `dynamics`: the arm of a robot that has none, until it is asked to stop.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use controld::control;
use controld::notify::Notifier;
use controld::sys::{alloc::Guarded, clock, law, signals};
use decide::params::{self, Control};
use dynamics::offline;
use dynamics::options::{self, Work};
use dynamics::plant::{Plant, Process};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

const EXIT_USAGE: u8 = 2;
const EXIT_CONTROL: u8 = 3;
const EXIT_SHM: u8 = 4;
const EXIT_LAW: u8 = 70;
const LOOK_MS: i64 = 200;

/// Milliseconds of simulated time that were never made up for.
static GIVEN_UP: AtomicI64 = AtomicI64::new(0);
/// How often the loop went round.
static TURNS: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => return refuse(EXIT_USAGE, &format!("{problem}\n{}", options::USAGE)),
    };
    let control = match control::load(&options.control) {
        Ok(control) => control,
        Err(problem) => return refuse(EXIT_CONTROL, &problem.to_string()),
    };
    match options.work {
        Work::Offline { commands } => compare(&control, &commands),
        Work::Robot { shm } => serve(&control, &shm),
    }
}

fn refuse(code: u8, problem: &str) -> ExitCode {
    eprintln!("dynamics: {problem}");
    ExitCode::from(code)
}

fn compare(control: &Control, commands: &Path) -> ExitCode {
    let file = match File::open(commands) {
        Ok(file) => BufReader::new(file),
        Err(problem) => return refuse(EXIT_USAGE, &format!("{}: {problem}", commands.display())),
    };
    match offline::run(control, file, BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => refuse(EXIT_USAGE, &format!("{}: {problem}", commands.display())),
    }
}

fn serve(control: &Control, shm: &Path) -> ExitCode {
    let params::Hal::Sim { slow_motion } = control.hal else {
        return refuse(EXIT_CONTROL, "this profile has a real arm; simulated sensors beside it would be believed");
    };
    clock::slow_down(slow_motion);
    signals::block_stop_signals();
    if let Err(problem) = signals::install_handlers() {
        return refuse(EXIT_SHM, &problem.to_string());
    }
    let plant = match Plant::new(control) {
        Ok(plant) => plant,
        Err(problem) => return refuse(EXIT_CONTROL, &problem),
    };
    let mut process = match Process::open(plant, shm) {
        Ok(process) => process,
        Err(problem) => return refuse(EXIT_SHM, &problem.to_string()),
    };
    process.foreign_ranges().into_iter().for_each(signals::survive_truncation_of);
    law::install_panic_hook();
    let turning = thread::Builder::new().name("plant".to_owned()).spawn(move || {
        law::bind_this_thread();
        loop {
            process.turn();
            GIVEN_UP.store(process.given_up, Ordering::Relaxed);
            TURNS.fetch_add(1, Ordering::Relaxed);
        }
    });
    if let Err(problem) = turning {
        return refuse(EXIT_SHM, &format!("cannot start its thread: {problem}"));
    }
    let notifier = Notifier::from_environment();
    notifier.send("READY=1");
    let mut seen = 0;
    while !signals::wait_for_stop_signal(LOOK_MS) {
        if let Some(broken) = law::broken() {
            return refuse(EXIT_LAW, &format!("its loop broke the law: {broken:?}"));
        }
        // Only a loop that turns is told to be alive.
        let turns = TURNS.load(Ordering::Relaxed);
        if turns != seen {
            notifier.send("WATCHDOG=1");
        }
        seen = turns;
    }
    notifier.send("STOPPING=1");
    let given_up = GIVEN_UP.load(Ordering::Relaxed);
    if given_up > 0 {
        eprintln!("dynamics: {given_up} ms of simulated time were given up: the machine was too slow for it");
    }
    // The thread under the law ends with the process: letting go of what it holds would already break it.
    ExitCode::SUCCESS
}
