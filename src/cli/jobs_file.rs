//! The file of jobs: TOML whose keys are the long flags, read as if they had been typed.

use std::any::TypeId;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::path::Path;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args as _, Command, FromArgMatches as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::embedded::EMBEDDED;
use super::jobs::Job;
use crate::error::{Error, ErrorKind, Result};

/// Flags that other commands have and that make no sense here, and why.
const REFUSED: [(&str, &str); 3] = [
    (
        "batch-small",
        "contents are stored one by one, so that each can be found by its hash",
    ),
    ("if-none-match", "a backup never replaces anything in any case"),
    (
        "follow-symlinks",
        "links are stored as links; name what they lead to as a source",
    ),
];

/// A file of jobs and what is in it.
pub(super) struct JobsFile<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl JobsFile<'_> {
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

    /// All jobs, in the order of the file.
    ///
    /// # Errors
    /// Something is not what it should be: where, and what.
    pub(super) fn jobs(&self) -> Result<Vec<Job>> {
        let table = DeTable::parse(self.text).map_err(|error| self.wrong(error.span(), error.message()))?;
        let mut jobs: Vec<(Range<usize>, Job)> = Vec::new();
        for (key, value) in table.get_ref() {
            if key.get_ref() != "jobs" {
                let what = format!(
                    "'{}' is nothing that is known here; jobs are [jobs.NAME]",
                    key.get_ref().escape_debug()
                );
                return Err(self.wrong(Some(key.span()), what));
            }
            let DeValue::Table(named) = value.get_ref() else {
                return Err(self.wrong(Some(value.span()), "jobs are tables: [jobs.NAME]"));
            };
            for (name, job) in named {
                jobs.push((name.span(), self.job(name, job)?));
            }
        }
        jobs.sort_by_key(|(place, _)| place.start);
        for (number, (place, job)) in jobs.iter().enumerate() {
            if let Some((_, other)) = jobs[..number].iter().find(|(_, other)| overlap(job, other)) {
                let what = format!(
                    "job '{}' has the target of job '{}', or lies in it",
                    job.name, other.name
                );
                return Err(self
                    .wrong(Some(place.clone()), what)
                    .with_hint("give each job a prefix of its own"));
            }
        }
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }

    fn job(&self, name: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<Job> {
        let text = name.get_ref().as_ref();
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        // In a line of a crontab it stands where flags may, and in names of units.
        let begins = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        if !begins || !text.chars().all(is_name) {
            let what = format!(
                "'{}' is no name of a job: letters, digits, '_', and '-' and '.' behind the first",
                text.escape_debug()
            );
            return Err(self.wrong(Some(name.span()), what));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(Some(value.span()), "a job is a table: [jobs.NAME]"));
        };
        let command = command();
        // In the order of the file: that of patterns counts.
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let mut flags = Vec::new();
        for (key, value) in &keys {
            flags.extend(self.key(&command, key, value)?);
        }
        let matches = command
            .try_get_matches_from(flags)
            .map_err(|error| self.wrong(Some(name.span()), said(&error)))?;
        let mut job =
            Job::from_arg_matches(&matches).map_err(|error| self.wrong(Some(name.span()), said(&error)))?;
        text.clone_into(&mut job.name);
        let place_of = |wanted: &str| {
            let key = keys.iter().find(|(key, _)| key.get_ref() == wanted);
            key.map_or(name.span(), |(_, value)| value.span())
        };
        self.check(&job, place_of)?;
        Ok(job)
    }

    /// What no single key can be wrong about.
    fn check(&self, job: &Job, place_of: impl Fn(&str) -> Range<usize>) -> Result<()> {
        if job.target.key.trim_matches('/').is_empty() {
            let what = format!(
                "the target of job '{}' has no prefix; a job has one of its own",
                job.name
            );
            let error = self.wrong(Some(place_of("target")), what);
            return Err(error.with_hint("write it as s3://BUCKET/PREFIX/"));
        }
        if let Some(source) = job.sources.iter().find(|source| !source.is_absolute()) {
            let what = format!(
                "source '{}' is not an absolute path; jobs run from anywhere",
                source.display()
            );
            return Err(self.wrong(Some(place_of("sources")), what));
        }
        let state = job.state.settings().ok().map(|state| state.base);
        if let Some(state) = state.filter(|state| !state.is_absolute()) {
            let what = format!(
                "state directory '{}' is not an absolute path; jobs run from anywhere",
                state.display()
            );
            return Err(self.wrong(Some(place_of("state-dir")), what));
        }
        if job.sources.iter().any(|source| source.parent().is_none()) {
            let what = "source '/' has no name that its entries could go under";
            let error = self.wrong(Some(place_of("sources")), what);
            return Err(error.with_hint("name its directories: sources = [\"/etc\", \"/home\", ...]"));
        }
        Ok(())
    }

    /// A key and its value as flags.
    fn key(&self, command: &Command, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>> {
        let name = key.get_ref().as_ref();
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(self.wrong(
                Some(key.span()),
                format!("'{name}' is nothing for a backup: {why}"),
            ));
        }
        let known = command.get_arguments().find(|flag| flag.get_long() == Some(name));
        let Some(known) = known else {
            let what = format!("'{}' is nothing that a job can say", name.escape_debug());
            return Err(self.wrong(Some(key.span()), what).with_hint(
                "keys are the long flags of s3haul sync, without '--', and those of s3haul backup --help",
            ));
        };
        let typed = self.typed(name, value, known)?;
        // Each on its own first, so that what is wrong has a place.
        self.check_alone(command, name, value, &typed)?;
        Ok(typed)
    }

    fn typed(&self, key: &str, value: &Spanned<DeValue<'_>>, known: &Arg) -> Result<Vec<String>> {
        let is_switch = !known.get_action().takes_values();
        let is_list = matches!(known.get_action(), ArgAction::Append);
        let is_number = is_number(known);
        let flag = |value: String| format!("--{key}={value}");
        let wrong = |what: &str| Err(self.wrong(Some(value.span()), format!("'{key}' {what}")));
        match value.get_ref() {
            DeValue::Boolean(true) if is_switch => Ok(vec![format!("--{key}")]),
            DeValue::Boolean(false) if is_switch => Ok(Vec::new()),
            _ if is_switch => wrong("is true or false"),
            DeValue::Array(_) if !is_list => wrong("is one value, not a list"),
            DeValue::String(_) if is_number => wrong("is a number, without quotes"),
            DeValue::Float(_) if is_number => wrong("is a whole number"),
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
    fn check_alone(
        &self,
        command: &Command,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        typed: &[String],
    ) -> Result<()> {
        use clap::error::ErrorKind as Clap;
        let needed = ["--sources=/", "--target=s3://bucket/prefix/"].map(str::to_owned);
        let others = needed
            .iter()
            .filter(|flag| !flag.starts_with(&format!("--{name}=")));
        let flags = others.chain(typed).cloned();
        match command.clone().try_get_matches_from(flags) {
            Err(error) if error.kind() != Clap::MissingRequiredArgument => {
                Err(self.wrong(Some(value.span()), said(&error)))
            }
            _ => Ok(()),
        }
    }
}

/// Where the environment counts for what a job does not say: which server and where the state is may be another on each
/// machine. How a job runs is the job's alone.
const FROM_ENVIRONMENT: [&str; 6] = [
    "endpoint-url",
    "embedded-data",
    "profile",
    "region",
    "ca-file",
    "state-dir",
];

/// Whether a flag takes a whole number.
fn is_number(flag: &Arg) -> bool {
    let numbers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<NonZeroU32>(),
        TypeId::of::<NonZeroUsize>(),
    ];
    let taken = flag.get_value_parser().type_id();
    numbers.iter().any(|number| taken == *number)
}

/// What a job can say, as a command.
fn command() -> Command {
    let command = Command::new("job").no_binary_name(true).disable_help_flag(true);
    Job::augment_args(command).mut_args(|argument| {
        let name = argument.get_long().unwrap_or_default();
        if FROM_ENVIRONMENT.contains(&name) {
            argument
        } else {
            argument.env(Resettable::Reset)
        }
    })
}

/// Whether one of the targets lies in the other.
fn overlap(job: &Job, other: &Job) -> bool {
    let server = |job: &Job| match job.store.endpoint_url.as_deref() {
        Some(EMBEDDED) => (Some(EMBEDDED.to_owned()), job.store.embedded_data.clone()),
        url => (url.map(|url| url.trim_end_matches('/').to_owned()), None),
    };
    let (own, others) = (job.target.prefix(), other.target.prefix());
    server(job) == server(other)
        && job.target.bucket == other.target.bucket
        && (own.starts_with(&others) || others.starts_with(&own))
}

/// What clap says, in one line and without the word before it.
fn said(error: &clap::Error) -> String {
    if let (clap::error::ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        let name = |flag: &String| {
            let flag = flag.split(' ').next().unwrap_or_default();
            format!("'{}'", flag.trim_start_matches('-'))
        };
        let names: Vec<String> = missing.iter().map(name).collect();
        return format!("the job does not say {}", names.join(" and "));
    }
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests;
