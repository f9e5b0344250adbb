//! The jobs of backups: a TOML file whose keys are the long flags, read as if they had been typed.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::args::{ObjectArgs, RunArgs, StoreArgs, TransferArgs};
use super::filter_args::FilterArgs;
use super::printer;
use super::state_args::StateArgs;
use super::unattended::UnattendedArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::source::S3Url;

/// What is read of a file of jobs at most.
const MOST_BYTES: u64 = 1024 * 1024;

/// Where jobs are.
#[derive(Args, Clone, Debug)]
pub(super) struct JobsArgs {
    /// File of the jobs [default: s3haul/jobs.toml below $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE.toml", env = "S3HAUL_CONFIG")]
    config: Option<PathBuf>,
}

/// What a job says: flags, and what is backed up.
#[derive(Args, Clone, Debug)]
pub(super) struct Job {
    #[arg(skip)]
    pub(super) name: String,
    /// Files and directories
    #[arg(long, required = true)]
    pub(super) sources: Vec<PathBuf>,
    /// Bucket and prefix of the job alone
    #[arg(long)]
    pub(super) target: S3Url,
    /// Make the bucket if it is missing
    #[arg(long)]
    pub(super) create_bucket: bool,
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) transfer: TransferArgs,
    #[command(flatten)]
    pub(super) objects: ObjectArgs,
    #[command(flatten)]
    pub(super) unattended: UnattendedArgs,
}

impl JobsArgs {
    /// All jobs of the file, in its order.
    ///
    /// # Errors
    /// There is no such file, or something in it is not what it should be: where, and what.
    pub(super) fn jobs(&self) -> Result<Vec<Job>> {
        let path = match &self.config {
            Some(path) => path.clone(),
            None => default_path()?,
        };
        let text = read(&path)?;
        File {
            path: &path,
            text: &text,
        }
        .jobs()
    }

    /// The job of that name.
    ///
    /// # Errors
    /// As [`Self::jobs`]; there is none of that name.
    pub(super) fn job(&self, name: &str) -> Result<Job> {
        let mut jobs = self.jobs()?;
        let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
        let position = jobs.iter().position(|job| job.name == name);
        position
            .map(|position| jobs.swap_remove(position))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Usage,
                    format!("there is no job '{}'", name.escape_debug()),
                )
                .with_hint(format!("the jobs are: {}", names.join(", ")))
            })
    }
}

fn default_path() -> Result<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".config")))
        .map(|base| base.join("s3haul/jobs.toml"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "there is no home directory for a file of jobs",
            )
            .with_hint("name one with --config FILE.toml")
        })
}

fn read(path: &Path) -> Result<String> {
    let unreadable = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("the file of jobs '{}' cannot be read", path.display()),
        )
        .with_source(error)
        .with_hint("s3haul backup --help shows what is in one; --config names another")
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MOST_BYTES {
        let error = std::io::Error::other("it is larger than any file of jobs");
        return Err(unreadable(error));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    // A URL to ping may have a secret in it.
    if text.contains("ping-url") && metadata.permissions().mode() & 0o077 != 0 {
        let shown = path.display();
        printer::note(&format!(
            "'{shown}' can be read by others, and may have a secret in it: chmod 600 '{shown}'"
        ));
    }
    Ok(text)
}

/// A file of jobs and what is in it.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    /// What is wrong at a place of the file.
    fn wrong(&self, at: Option<Range<usize>>, what: impl std::fmt::Display) -> Error {
        let before = self.text.get(..at.map_or(0, |at| at.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        let path = self.path.display();
        Error::new(
            ErrorKind::Configuration,
            format!("{path}:{line}:{column}: {what}"),
        )
    }

    fn jobs(&self) -> Result<Vec<Job>> {
        let table = DeTable::parse(self.text).map_err(|error| self.wrong(error.span(), error.message()))?;
        let mut jobs: Vec<(Range<usize>, Job)> = Vec::new();
        for (key, value) in table.get_ref() {
            if key.get_ref() != "jobs" {
                let what = format!(
                    "'{}' is nothing that is known here; jobs are [jobs.NAME]",
                    key.get_ref()
                );
                return Err(self.wrong(Some(key.span()), what));
            }
            let DeValue::Table(named) = value.get_ref() else {
                return Err(self.wrong(Some(value.span()), "jobs are tables: [jobs.NAME]"));
            };
            for (name, job) in named {
                let job = self.job(name, job)?;
                let same = jobs.iter().find(|(_, other)| {
                    other.target.bucket == job.target.bucket && other.target.prefix() == job.target.prefix()
                });
                if let Some((_, other)) = same {
                    let what = format!("job '{}' has the target of job '{}'", job.name, other.name);
                    return Err(self.wrong(Some(name.span()), what));
                }
                jobs.push((name.span(), job));
            }
        }
        jobs.sort_by_key(|(place, _)| place.start);
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }

    fn job(&self, name: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) -> Result<Job> {
        let text = name.get_ref().as_ref();
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if text.is_empty() || !text.chars().all(is_name) {
            let what = format!(
                "'{}' is no name of a job: letters, digits, '-', '_', '.'",
                text.escape_debug()
            );
            return Err(self.wrong(Some(name.span()), what));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(Some(value.span()), "a job is a table: [jobs.NAME]"));
        };
        let command = Job::augment_args(Command::new("job").no_binary_name(true).disable_help_flag(true));
        let mut flags = Vec::new();
        for (key, value) in table {
            let known = command
                .get_arguments()
                .find(|flag| flag.get_long() == Some(key.get_ref()));
            let Some(known) = known else {
                let what = format!("'{}' is nothing that a job can say", key.get_ref());
                return Err(self
                    .wrong(Some(key.span()), what)
                    .with_hint("keys are the long flags of s3haul sync, without '--'"));
            };
            let is_switch = !known.get_action().takes_values();
            let typed = self.typed(key.get_ref(), value, is_switch)?;
            // Each on its own first, so that what is wrong has a place.
            self.check(&command, key, &typed)?;
            flags.extend(typed);
        }
        let matches = command
            .try_get_matches_from(flags)
            .map_err(|error| self.wrong(Some(name.span()), said(&error)))?;
        let mut job =
            Job::from_arg_matches(&matches).map_err(|error| self.wrong(Some(name.span()), said(&error)))?;
        text.clone_into(&mut job.name);
        if job.target.key.is_empty() {
            let what = format!("the target of job '{text}' has no prefix; a job has one of its own");
            return Err(self
                .wrong(Some(name.span()), what)
                .with_hint("write it as s3://BUCKET/PREFIX/"));
        }
        Ok(job)
    }

    /// A key and its value as flags.
    fn typed(&self, key: &str, value: &Spanned<DeValue<'_>>, is_switch: bool) -> Result<Vec<String>> {
        let flag = |value: String| format!("--{key}={value}");
        let wrong = |what: &str| Err(self.wrong(Some(value.span()), format!("'{key}' {what}")));
        match value.get_ref() {
            DeValue::Boolean(true) if is_switch => Ok(vec![format!("--{key}")]),
            DeValue::Boolean(false) if is_switch => Ok(Vec::new()),
            _ if is_switch => wrong("is true or false"),
            DeValue::String(text) => Ok(vec![flag(text.to_string())]),
            DeValue::Integer(number) => Ok(vec![flag(number.to_string())]),
            DeValue::Float(number) => Ok(vec![flag(number.to_string())]),
            DeValue::Array(values) => values
                .iter()
                .map(|value| match value.get_ref() {
                    DeValue::String(text) => Ok(flag(text.to_string())),
                    _ => Err(self.wrong(Some(value.span()), format!("'{key}' is a list of texts"))),
                })
                .collect(),
            DeValue::Boolean(_) => wrong("takes a value, not true or false"),
            _ => wrong("is a text, a number or a list of texts"),
        }
    }

    /// Whether the flags of one key are what they should be, as far as that can be known without the others.
    fn check(&self, command: &Command, key: &Spanned<impl AsRef<str>>, typed: &[String]) -> Result<()> {
        use clap::error::ErrorKind as Clap;
        let needed = ["--sources=/", "--target=s3://bucket/prefix/"].map(str::to_owned);
        let name = key.get_ref().as_ref();
        let others = needed
            .iter()
            .filter(|flag| !flag.starts_with(&format!("--{name}=")));
        let flags = others.chain(typed).cloned();
        match command.clone().try_get_matches_from(flags) {
            Err(error) if error.kind() != Clap::MissingRequiredArgument => {
                Err(self.wrong(Some(key.span()), said(&error)))
            }
            _ => Ok(()),
        }
    }
}

/// What clap says, in one line and without the word before it.
fn said(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(text: &str) -> Result<Vec<Job>, String> {
        let path = Path::new("jobs.toml");
        File { path, text }.jobs().map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_is_what_its_flags_say() {
        let found = jobs(
            "[jobs.home]\nsources = [\"/home\", \"/etc\"]\ntarget = \"s3://backups/home/\"\n\
             endpoint-url = \"http://127.0.0.1:9000\"\nexclude = [\"*.tmp\"]\nretries = 3\ncreate-bucket = true\n",
        )
        .expect("jobs");
        let [job] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (job.name.as_str(), job.sources.len(), job.create_bucket),
            ("home", 2, true)
        );
        assert_eq!(job.store.endpoint_url.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(job.target.prefix(), "home/");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let job = "[jobs.a]\nsources = [\"/a\"]\ntarget = \"s3://bucket/a/\"\n";
        for (text, says) in [
            ("x = 1", "jobs.toml:1:1: 'x' is nothing that is known"),
            ("[jobs.a]\nsources = 1 2", "jobs.toml:2:"),
            (
                &format!("{job}color = 1\n"),
                "jobs.toml:4:1: 'color' is nothing that a job can say",
            ),
            (
                &format!("{job}retries = \"many\"\n"),
                "jobs.toml:4:1: invalid value 'many'",
            ),
            (
                &format!("{job}create-bucket = \"yes\"\n"),
                "jobs.toml:4:17: 'create-bucket' is true or false",
            ),
            (
                &format!("{job}[jobs.\"a/b\"]\n"),
                "jobs.toml:4:7: 'a/b' is no name",
            ),
            (
                "[jobs.a]\nsources = [\"/a\"]\n",
                "jobs.toml:1:7: the following required",
            ),
            (
                "[jobs.a]\nsources = [\"/a\"]\ntarget = \"s3://bucket\"\n",
                "has no prefix",
            ),
            (
                &format!("{job}[jobs.b]\nsources = [\"/b\"]\ntarget = \"s3://bucket/a\"\n"),
                "the target of job 'a'",
            ),
        ] {
            let error = jobs(text).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
