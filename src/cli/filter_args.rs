//! `--include` and `--exclude`: their order over both flags decides, which clap's derive alone cannot tell.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::error::Result;
use crate::source::{Filter, FilterAction};

/// Patterns in the order in which they were typed.
#[derive(Clone, Debug, Default)]
pub(super) struct FilterArgs {
    patterns: Vec<(FilterAction, String)>,
}

const HEADING: &str = "Selection";

fn argument(name: &'static str, help: &'static str, long_help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("GLOB")
        .action(ArgAction::Append)
        .help_heading(HEADING)
        .help(help)
        .long_help(long_help)
}

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        command
            .arg(argument(
                "exclude",
                "Leave out what matches; the last --include or --exclude that matches decides",
                "Leave out what matches. The last --include or --exclude that matches decides; what none matches \
                 is included, unless the first of them is an --include. A pattern without '/' matches a name at any depth, one with '/' starts at the \
                 source; '*' and '?' do not cross '/', '**' does; '/' at the end means directories only. A \
                 pattern that matches a directory covers all below it: an excluded directory is never entered.\n\n\
                 Example: --exclude '*' --include '*.jpg' uploads the jpg files of all directories",
            ))
            .arg(argument("include", "Take in what matches, after an earlier --exclude or nothing else", "Take in what matches; see --exclude"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut patterns: Vec<(usize, FilterAction, String)> = Vec::new();
        for (name, action) in [
            ("include", FilterAction::Include),
            ("exclude", FilterAction::Exclude),
        ] {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let positions = matches.indices_of(name).into_iter().flatten();
            patterns.extend(
                positions
                    .zip(values)
                    .map(|(position, value)| (position, action, value.clone())),
            );
        }
        patterns.sort_by_key(|(position, _, _)| *position);
        Ok(Self {
            patterns: patterns
                .into_iter()
                .map(|(_, action, value)| (action, value))
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl FilterArgs {
    /// The patterns, in their order.
    #[cfg(test)]
    pub(super) fn patterns(&self) -> &[(FilterAction, String)] {
        &self.patterns
    }

    pub(super) fn filter(&self) -> Result<Filter> {
        let patterns = self
            .patterns
            .iter()
            .map(|(action, pattern)| (*action, pattern.as_str()));
        Filter::new(patterns)
    }
}
