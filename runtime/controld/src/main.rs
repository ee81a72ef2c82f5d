//! `controld`: checks everything that can be checked, then runs the control cycle until it is asked to stop.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use controld::control;
use controld::cycle::Cycle;
use controld::hal::{self, Hal};
use controld::looping::{self, Looping};
use controld::notify::Notifier;
use controld::options::{self, Options};
use controld::shm::StateWriter;
use controld::sys::{alloc::Guarded, clock, law, rights, signals};
use controld::watchdog::{self, Pulse};
use decide::params::{self, Control, Policy};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

const EXIT_USAGE: u8 = 2;
const EXIT_CONTROL: u8 = 3;
const EXIT_SHM: u8 = 4;
const EXIT_HARDWARE: u8 = 5;
const EXIT_RIGHTS: u8 = 6;

/// A reason not to start, and the exit code that goes with it.
type Refusal = (u8, String);

fn refuse<E: Display>(code: u8) -> impl Fn(E) -> Refusal {
    move |error| (code, error.to_string())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--help" | "-h") => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Some("--version") => {
            println!("controld {} layout {}", env!("CARGO_PKG_VERSION"), layout::layout_hash_hex());
            return ExitCode::SUCCESS;
        }
        Some("--check") => return check(arguments.get(1)),
        _ => {}
    }
    match start(arguments) {
        Ok(code) => code,
        Err((code, problem)) => {
            say(&problem);
            ExitCode::from(code)
        }
    }
}

/// Says whether a control file can be used, and changes nothing.
fn check(path: Option<&String>) -> ExitCode {
    let Some(path) = path else {
        say("--check needs a control file");
        return ExitCode::from(EXIT_USAGE);
    };
    let result = control::load(path.as_ref()).map_err(|e| e.to_string()).and_then(|c| match hal::schedule_of(&c) {
        Some(schedule) => schedule.check().map(|load| format!("bus: {load}")),
        None => Ok("no bus".to_owned()),
    });
    match result {
        Ok(bus) => {
            println!("{path} can be used ({bus})");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            say(&problem);
            ExitCode::from(EXIT_CONTROL)
        }
    }
}

fn say(sentence: &str) {
    eprintln!("controld: {sentence}");
}

fn start(arguments: Vec<String>) -> Result<ExitCode, Refusal> {
    let options =
        options::parse(arguments.into_iter()).map_err(|problem| (EXIT_USAGE, format!("{problem}\n{}", options::USAGE)))?;
    let control = control::load(&options.control).map_err(refuse(EXIT_CONTROL))?;
    if let params::Hal::Sim { slow_motion } = &control.hal {
        clock::slow_down(*slow_motion);
    }
    signals::block_stop_signals();
    signals::install_handlers().map_err(refuse(EXIT_RIGHTS))?;
    let state = StateWriter::open(&options.shm).map_err(refuse(EXIT_SHM))?;
    let hal = Hal::open(&control, &options.shm).map_err(|e| match e {
        hal::OpenError::Shm(e) => (EXIT_SHM, e.to_string()),
        hal::OpenError::Schedule(e) => (EXIT_CONTROL, e),
        hal::OpenError::Hardware(e) => (EXIT_HARDWARE, e),
    })?;
    let gpio = looping::open_gpio(&control).map_err(refuse(EXIT_HARDWARE))?;
    let cycle = Cycle::open(&control, &options.shm, hal, state).map_err(refuse(EXIT_SHM))?;
    cycle.foreign_ranges().into_iter().for_each(signals::survive_truncation_of);
    run(&options, &control, Looping { cycle, gpio, planted: options.planted })
}

/// Starts the three threads: control, watchdog, and this one, which waits for the wish to stop.
fn run(options: &Options, control: &Control, looping: Looping) -> Result<ExitCode, Refusal> {
    let pulse = Arc::new(Pulse::default());
    let (report, reported) = mpsc::sync_channel(1);
    let (go, started) = mpsc::sync_channel::<()>(1);
    let (thread_control, thread_pulse) = (control.clone(), Arc::clone(&pulse));
    thread::Builder::new()
        .name("control".to_owned())
        .stack_size(2 << 20)
        .spawn(move || {
            let obtained = rights::obtain(&thread_control.cycle);
            let _ = report.send(obtained.clone());
            if started.recv().is_ok() {
                looping.run(&thread_control, &obtained, &thread_pulse);
            }
        })
        .map_err(refuse(EXIT_RIGHTS))?;
    let obtained = reported.recv().map_err(refuse(EXIT_RIGHTS))?;
    looping::report_rights(&obtained, control, options.realtime_file.as_deref()).map_err(refuse(EXIT_RIGHTS))?;
    for right in &obtained.missing {
        say(&format!("runs without {right}"));
    }
    law::install_panic_hook();
    go.send(()).map_err(refuse(EXIT_RIGHTS))?;
    let notifier = Notifier::from_environment();
    notifier.send(&format!("READY=1\nSTATUS=real-time rights: {:?}", obtained.realtime()));
    let ended = start_watchdog(control, Arc::clone(&pulse), notifier)?;
    Ok(wait_for_the_end(&pulse, &ended))
}

/// The watchdog's verdict, once it has one.
type Ended = mpsc::Receiver<ExitCode>;

fn start_watchdog(control: &Control, pulse: Arc<Pulse>, notifier: Notifier) -> Result<Ended, Refusal> {
    let (verdict, ended) = mpsc::sync_channel(1);
    let control = control.clone();
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            place_watchdog(&control);
            let _ = verdict.send(watchdog::watch(&pulse, &control.watchdog, &notifier, say));
        })
        .map_err(refuse(EXIT_RIGHTS))?;
    Ok(ended)
}

/// Off the control thread's CPU and below its priority; where that cannot be had, it watches as it is.
fn place_watchdog(control: &Control) {
    let own: Vec<usize> =
        rights::usable_cpus().into_iter().filter(|cpu| Some(*cpu) != control.cycle.cpu.map(|c| c as usize)).collect();
    if !own.is_empty() {
        let _ = rights::pin_to(&own);
    }
    if control.cycle.policy == Policy::Fifo && control.cycle.priority > 1 {
        let _ = rights::set_fifo(control.cycle.priority - 1);
    }
}

/// Until the arm stands after a wish to stop, or the watchdog has seen enough.
fn wait_for_the_end(pulse: &Pulse, ended: &Ended) -> ExitCode {
    loop {
        if signals::wait_for_stop_signal(20) && !pulse.stop_wanted.load(Ordering::Relaxed) {
            say("stops the arm, then ends");
            pulse.stop_wanted.store(true, Ordering::Release);
        }
        if pulse.stopped.load(Ordering::Acquire) {
            Notifier::from_environment().send("STOPPING=1");
            return ExitCode::SUCCESS;
        }
        if let Ok(code) = ended.try_recv() {
            return code;
        }
    }
}
