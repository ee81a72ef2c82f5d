//! The command line.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub control: PathBuf,
    pub work: Work,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// As the plant of a robot, on the clock.
    Robot { shm: PathBuf },
    /// Commands from a file, as fast as it goes, for comparison with another plant.
    Offline { commands: PathBuf },
}

pub const USAGE: &str = "usage: dynamics --control FILE --shm FOLDER
       dynamics --control FILE --offline COMMANDS

  --control FILE      the control section of the profile, with its hash: the same file that controld reads
  --shm FOLDER        the robot's shared files
  --offline COMMANDS  a file with one JSON object a millisecond; prints where the joints are after each

exit: 0 stopped when asked, 2 wrong command line, 3 wrong control file, 4 shared memory (or a second plant)";

/// # Errors
/// What is wrong with the command line.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut control, mut shm, mut offline) = (None, None, None);
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--control" => &mut control,
            "--shm" => &mut shm,
            "--offline" => &mut offline,
            _ => return Err(format!("{name} is no option")),
        };
        let value = arguments.next().filter(|v| !v.is_empty()).ok_or_else(|| format!("{name} needs a value"))?;
        if place.replace(PathBuf::from(value)).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let control = control.ok_or("--control is missing: which profile?")?;
    let work = match (shm, offline) {
        (Some(shm), None) => Work::Robot { shm },
        (None, Some(commands)) => Work::Offline { commands },
        (None, None) => return Err("--shm is missing: which robot's shared files?".to_owned()),
        (Some(_), Some(_)) => return Err("--shm and --offline exclude each other".to_owned()),
    };
    Ok(Options { control, work })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Options, String> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_is_guessed_and_nothing_unknown_is_passed_over() {
        assert_eq!(of("--control a --shm b").unwrap().work, Work::Robot { shm: PathBuf::from("b") });
        assert!(of("--control a").unwrap_err().contains("--shm is missing"));
        assert!(of("--control a --shm").unwrap_err().contains("needs a value"));
        assert!(of("--control a --shm b --offline c").unwrap_err().contains("exclude"));
        assert!(of("--control a --shm b --shm c").unwrap_err().contains("given twice"));
        assert!(of("--control a --sim b").unwrap_err().contains("--sim is no option"));
    }
}
