//! The command line.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub control: PathBuf,
    pub shm: PathBuf,
    /// Where to write, as JSON, which real-time rights were obtained.
    pub realtime_file: Option<PathBuf>,
    /// Which law the control thread shall break, and after how many cycles: only in builds made to test the law.
    pub planted: Option<Planted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    Allocation,
    Syscall,
    Panic,
    Stuck,
}

pub const USAGE: &str = "usage: controld --control FILE --shm FOLDER [--realtime-file FILE]
       controld --check FILE

  --control FILE        the control section of the profile, with its hash (bedplate config export)
  --shm FOLDER          the robot's shared files, made where they are missing
  --realtime-file FILE  where to write which real-time rights were obtained
  --check FILE          say whether this control file can be used, bus schedule included, and end
  --version             print the version and the layout's hash

exit: 0 stopped when asked, 2 wrong command line, 3 wrong control file, 4 shared memory (or a second instance),
      5 hardware, 6 a real-time right is missing, 70 the control thread broke its law, 71 the loop was stuck";

/// # Errors
/// What is wrong with the command line.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut control, mut shm, mut realtime_file, mut planted) = (None, None, None, None);
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().filter(|v| !v.is_empty()).ok_or_else(|| format!("{name} needs a value"));
        let previous = match name.as_str() {
            "--control" => control.replace(PathBuf::from(value()?)).map(drop),
            "--shm" => shm.replace(PathBuf::from(value()?)).map(drop),
            "--realtime-file" => realtime_file.replace(PathBuf::from(value()?)).map(drop),
            "--plant" if cfg!(feature = "plant-faults") => planted.replace(planted_of(&value()?)?).map(drop),
            _ => return Err(format!("{name} is no option")),
        };
        if previous.is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let control = control.ok_or("--control is missing: which profile?")?;
    let shm = shm.ok_or("--shm is missing: which robot's shared files?")?;
    Ok(Options { control, shm, realtime_file, planted })
}

fn planted_of(name: &str) -> Result<Planted, String> {
    match name {
        "allocation" => Ok(Planted::Allocation),
        "syscall" => Ok(Planted::Syscall),
        "panic" => Ok(Planted::Panic),
        "stuck" => Ok(Planted::Stuck),
        _ => Err(format!("--plant {name}: allocation, syscall, panic or stuck")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Options, String> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_two_places_are_needed_and_nothing_is_guessed() {
        assert_eq!(of("--control a --shm b").unwrap().shm, PathBuf::from("b"));
        assert!(of("--control a").unwrap_err().contains("--shm is missing"));
        assert!(of("--control a --shm").unwrap_err().contains("needs a value"));
        assert!(of("--control a --shm b --control c").unwrap_err().contains("given twice"));
        assert!(of("--control a --shm b --contrl c").unwrap_err().contains("--contrl is no option"));
    }

    #[cfg(not(feature = "plant-faults"))]
    #[test]
    fn a_release_cannot_be_told_to_break_its_law() {
        assert!(of("--control a --shm b --plant syscall").unwrap_err().contains("no option"));
    }
}
