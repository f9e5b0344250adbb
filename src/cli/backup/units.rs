//! `s3haul backup schedule`: what makes a system run a job by its schedule.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::base_directory::base_directory;
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::{Job, JobsArgs};
use crate::cli::printer;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::Schedule;

/// Check a job's schedule, and print a crontab line and a systemd service and timer for it
#[derive(Args, Clone, Debug)]
pub(super) struct ScheduleArgs {
    /// Name of the job
    pub(super) job: String,
    /// Write the service and the timer where systemd looks for them, after asking: for all of the machine as root, else for
    /// this user
    #[arg(long)]
    install: bool,
    /// Do not ask
    #[arg(long, requires = "install")]
    yes: bool,
}

/// A file for systemd.
struct Unit {
    name: String,
    text: String,
}

pub(super) fn schedule(job: &Job, args: &ScheduleArgs, jobs: &JobsArgs) -> Result<ExitCode> {
    let Some(schedule) = &job.schedule else {
        let message = format!("job '{}' has no schedule", job.name);
        return Err(Error::new(ErrorKind::Usage, message)
            .with_hint("give it one in the file of jobs, such as schedule = \"15 2 * * *\""));
    };
    let program =
        std::env::current_exe().map_or_else(|_| "s3haul".to_owned(), |path| path.display().to_string());
    let config = std::path::absolute(jobs.path()?).map_err(|error| {
        Error::new(ErrorKind::Configuration, "the file of jobs has no path").with_source(error)
    })?;
    let words = words(job, &program, &config);
    let units = units(job, schedule, &words);
    if args.install {
        return install(&units, args.yes);
    }
    printer::data(&format!(
        "# crontab -e, for the user who runs it{}:\n{schedule} {}",
        of_zone(job),
        crontab(&words)
    ));
    for unit in units {
        printer::data(&format!("\n# {}\n{}", unit.name, unit.text.trim_end()));
    }
    Ok(ExitCode::Done)
}

/// What a crontab cannot say everywhere.
fn of_zone(job: &Job) -> String {
    match job.zone_name() {
        Some(zone) => {
            format!(" (cron goes by the system's time zone, and this is {zone}; cronie knows CRON_TZ={zone})")
        }
        None => String::new(),
    }
}

/// The command that runs a job.
fn words(job: &Job, program: &str, config: &Path) -> Vec<String> {
    let mut words = vec![program.to_owned(), "backup".to_owned(), "run".to_owned()];
    words.extend([
        job.name.clone(),
        "--config".to_owned(),
        config.display().to_string(),
    ]);
    if !job.keep.keep().is_nothing() {
        words.push("--forget".to_owned());
    }
    words
}

fn is_plain(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=@+,".contains(&byte))
}

/// The words as a crontab has them: quoted for the shell, and with percent signs that are none to cron.
fn crontab(words: &[String]) -> String {
    let quoted = |word: &String| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words: Vec<String> = words.iter().map(quoted).collect();
    words.join(" ").replace('%', "\\%")
}

/// The words as systemd has them.
fn exec_start(words: &[String]) -> String {
    let quoted = |word: &String| {
        let word = word.replace('%', "%%").replace('$', "$$");
        match is_plain(&word) {
            true => word,
            false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    };
    let words: Vec<String> = words.iter().map(quoted).collect();
    words.join(" ")
}

fn units(job: &Job, schedule: &Schedule, words: &[String]) -> [Unit; 2] {
    let name = format!("s3haul-backup-{}", job.name);
    let service = format!(
        "[Unit]\n\
         Description=s3haul backup of {job}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         # A unit of yours that tells somebody; systemd only notes that there is none.\n\
         OnFailure=s3haul-failed@%n.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={command}\n\
         # Files that could not be read are in the log and in the exit code 3.\n\
         Nice=10\n\
         IOSchedulingClass=idle\n\
         # Time to stop in order: open uploads are aborted or left to the next run.\n\
         TimeoutStopSec=30s\n",
        job = job.name,
        command = exec_start(words),
    );
    let times: String = schedule
        .on_calendar()
        .iter()
        .map(|time| match job.zone_name() {
            Some(zone) => format!("OnCalendar={time} {zone}\n"),
            None => format!("OnCalendar={time}\n"),
        })
        .collect();
    let delay = job.jitter.unwrap_or_default().as_secs();
    let timer = format!(
        "[Unit]\n\
         Description=Times of {name}.service\n\
         \n\
         [Timer]\n\
         {times}\
         # What was missed while the machine was off is made up for once.\n\
         Persistent=true\n\
         RandomizedDelaySec={delay}s\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n"
    );
    [
        Unit {
            name: format!("{name}.service"),
            text: service,
        },
        Unit {
            name: format!("{name}.timer"),
            text: timer,
        },
    ]
}

/// Where units go: those of root are the machine's.
fn unit_directory() -> Result<(PathBuf, &'static str)> {
    if rustix::process::geteuid().is_root() {
        return Ok((PathBuf::from("/etc/systemd/system"), "systemctl"));
    }
    base_directory("XDG_CONFIG_HOME", ".config")
        .map(|base| (base.join("systemd/user"), "systemctl --user"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "there is no home directory for units of systemd",
            )
        })
}

fn install(units: &[Unit; 2], is_asked: bool) -> Result<ExitCode> {
    let (directory, systemctl) = unit_directory()?;
    let paths: Vec<PathBuf> = units.iter().map(|unit| directory.join(&unit.name)).collect();
    for (path, unit) in paths.iter().zip(units) {
        let there = match fs::read_to_string(path) {
            Ok(text) if text == unit.text => "is this already",
            Ok(_) => "is there and would be replaced",
            Err(_) => "would be made",
        };
        printer::note(&format!("{} {there}", path.display()));
    }
    if !is_asked && !agrees()? {
        printer::note("nothing is written");
        return Ok(ExitCode::Failed);
    }
    for (path, unit) in paths.iter().zip(units) {
        write(&directory, path, &unit.text).map_err(|error| {
            Error::new(
                ErrorKind::Output,
                format!("'{}' cannot be written", path.display()),
            )
            .with_source(error)
        })?;
    }
    printer::data(&format!(
        "{systemctl} daemon-reload && {systemctl} enable --now {}",
        units[1].name
    ));
    Ok(ExitCode::Done)
}

fn write(directory: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether somebody at the terminal says yes.
fn agrees() -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::new(ErrorKind::Usage, "nobody is there who could be asked")
            .with_hint("--yes writes without asking"));
    }
    printer::note("write them? [y/N]");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}
