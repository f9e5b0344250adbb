//! `--include` and `--exclude`: the last pattern that matches decides; what none matches is included, unless the first one
//! is to include.
//!
//! A pattern without `/` matches a name at any depth, one with `/` is anchored at the source; `*` and `?` do
//! not cross `/`, `**` does; a pattern that matches a directory covers everything below it; a `/` at the end
//! matches directories only. An excluded directory is never entered. Pure; the walk asks it.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, ErrorKind, Result};

/// What a pattern does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterAction {
    /// Upload it.
    Include,
    /// Leave it out.
    Exclude,
}

impl FilterAction {
    fn flag(self) -> &'static str {
        match self {
            Self::Include => "--include",
            Self::Exclude => "--exclude",
        }
    }
}

#[derive(Clone, Debug)]
struct Rule {
    action: FilterAction,
    /// Matches an entry by its own path.
    own: GlobMatcher,
    /// Matches an entry below a directory that the pattern names.
    below: GlobMatcher,
    directories_only: bool,
    /// `*` and its like name no directory in particular, so they do not keep the walk out of any when a
    /// later include may want something from there.
    catch_all: bool,
}

/// The patterns of one run, in the order given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    rules: Vec<Rule>,
}

fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()?;
    Ok(glob.compile_matcher())
}

impl Rule {
    fn new(action: FilterAction, pattern: &str) -> Result<Self> {
        let directories_only = pattern.ends_with('/');
        let trimmed = pattern.trim_end_matches('/');
        if trimmed.is_empty() {
            // As a glob it would match everything; an unset variable in a script means nothing of the kind.
            return Err(Error::new(
                ErrorKind::Usage,
                format!("'{} {pattern}' names no file or directory", action.flag()),
            )
            .with_hint("'*' matches everything; '/name' matches what stands directly in the source"));
        }
        let anchored = trimmed.contains('/');
        let base = trimmed.trim_start_matches('/');
        let base = if anchored {
            base.to_owned()
        } else {
            format!("**/{base}")
        };
        let not_a_pattern = |error: globset::Error| {
            Error::new(ErrorKind::Usage, format!("'{pattern}' is not a pattern"))
                .with_source(error)
                .with_hint("'\\' in front of a character takes it as it is")
        };
        let own = glob(&base).map_err(not_a_pattern)?;
        let below = glob(&format!("{base}/**")).map_err(not_a_pattern)?;
        let catch_all = matches!(trimmed, "*" | "**" | "**/*" | "*.*");
        Ok(Self {
            action,
            own,
            below,
            directories_only,
            catch_all,
        })
    }

    fn matches(&self, path: &std::path::Path, is_directory: bool) -> bool {
        (self.own.is_match(path) && (is_directory || !self.directories_only)) || self.below.is_match(path)
    }
}

impl Filter {
    /// Builds a filter from patterns in the order in which they were given.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the pattern that cannot be understood or names nothing, and the reason.
    pub fn new<'a>(patterns: impl IntoIterator<Item = (FilterAction, &'a str)>) -> Result<Self> {
        let mut rules = patterns
            .into_iter()
            .map(|(action, pattern)| Rule::new(action, pattern))
            .collect::<Result<Vec<_>, _>>()?;
        if rules
            .first()
            .is_some_and(|first| first.action == FilterAction::Include)
        {
            // Or it would say nothing.
            rules.insert(0, Rule::new(FilterAction::Exclude, "*")?);
        }
        Ok(Self { rules })
    }

    /// Whether it leaves nothing out.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the file at `path`, relative to its source, is to be uploaded.
    pub fn includes_file(&self, path: &std::path::Path) -> bool {
        let last = self.rules.iter().rev().find(|rule| rule.matches(path, false));
        last.is_none_or(|rule| rule.action == FilterAction::Include)
    }

    /// Whether a file at `path`, relative to its source, is in, and all directories on the way to it are.
    pub(crate) fn wants(&self, path: &std::path::Path) -> bool {
        let mut directories = path
            .ancestors()
            .skip(1)
            .filter(|directory| !directory.as_os_str().is_empty());
        directories.all(|directory| self.enters_directory(directory)) && self.includes_file(path)
    }

    /// Whether the directory at `path`, relative to its source, is to be entered.
    pub fn enters_directory(&self, path: &std::path::Path) -> bool {
        let Some(position) = self.rules.iter().rposition(|rule| rule.matches(path, true)) else {
            return true;
        };
        let rule = &self.rules[position];
        let later_include = self.rules[position..]
            .iter()
            .any(|rule| rule.action == FilterAction::Include);
        rule.action == FilterAction::Include || (rule.catch_all && later_include)
    }
}

#[cfg(test)]
mod tests {
    use super::FilterAction::{Exclude, Include};
    use super::*;
    use std::path::Path;

    fn filter(patterns: &[(FilterAction, &str)]) -> Filter {
        Filter::new(patterns.iter().copied()).expect("valid patterns")
    }

    #[test]
    fn the_last_match_wins() {
        let filter = filter(&[
            (Exclude, "*.log"),
            (Include, "keep.log"),
            (Exclude, "old/keep.log"),
        ]);
        for (path, included) in [
            ("a.txt", true),
            ("x/y.log", false),
            ("x/keep.log", true),
            ("old/keep.log", false),
            ("keep.log", true),
        ] {
            assert_eq!(filter.includes_file(Path::new(path)), included, "{path}");
        }
    }

    #[test]
    fn a_pattern_that_names_a_directory_covers_what_is_below() {
        let filter = filter(&[
            (Exclude, "node_modules"),
            (Exclude, "/build/*"),
            (Exclude, "tmp/"),
        ]);
        for (path, entered) in [
            ("node_modules", false),
            ("a/node_modules", false),
            ("build", true),
            ("build/x", false),
        ] {
            assert_eq!(filter.enters_directory(Path::new(path)), entered, "{path}");
        }
        assert!(!filter.enters_directory(Path::new("a/tmp")));
        assert!(
            filter.includes_file(Path::new("a/tmp")),
            "a file of that name is not a directory"
        );
        assert!(!filter.includes_file(Path::new("build/x")));
        assert!(
            filter.includes_file(Path::new("a/build/x")),
            "anchored patterns start at the source"
        );
    }

    #[test]
    fn excluding_everything_but_some_names_still_walks() {
        let filter = filter(&[(Exclude, "*"), (Include, "*.jpg")]);
        assert!(filter.enters_directory(Path::new("photos")));
        assert!(filter.includes_file(Path::new("photos/2024/a.jpg")));
        assert!(!filter.includes_file(Path::new("photos/a.txt")));
        assert!(
            !super::Filter::new([(Exclude, "*")])
                .expect("valid")
                .enters_directory(Path::new("x"))
        );
    }

    #[test]
    fn what_begins_with_an_include_leaves_out_all_else() {
        let filter = filter(&[(Include, "*.jpg"), (Include, "/docs/")]);
        assert!(filter.enters_directory(Path::new("photos")));
        assert!(filter.includes_file(Path::new("photos/2024/a.jpg")));
        assert!(filter.includes_file(Path::new("docs/a.txt")));
        assert!(!filter.includes_file(Path::new("photos/a.txt")));
        let filter = self::filter(&[(Include, "/docs/"), (Exclude, "*.tmp")]);
        for (path, included) in [("docs/a", true), ("docs/a.tmp", false), ("other", false)] {
            assert_eq!(filter.includes_file(Path::new(path)), included, "{path}");
        }
        assert!(Filter::default().includes_file(Path::new("a.txt")));
    }

    #[test]
    fn an_include_after_an_excluded_directory_does_not_open_it() {
        let filter = filter(&[(Exclude, "cache"), (Include, "*.jpg")]);
        assert!(!filter.enters_directory(Path::new("cache")));
    }

    #[test]
    fn a_pattern_that_makes_no_sense_is_named() {
        let error = Filter::new([(Exclude, "a[")]).expect_err("unclosed");
        assert_eq!(error.to_string(), "'a[' is not a pattern");
    }

    #[test]
    fn a_pattern_without_a_name_is_refused_and_does_not_match_everything() {
        for (action, pattern, says) in [
            (Exclude, "", "'--exclude ' names no"),
            (Exclude, "/", "'--exclude /' names no"),
            (Include, "", "'--include ' names no"),
            (Include, "//", "'--include //' names no"),
        ] {
            let error = Filter::new([(Include, "a"), (action, pattern)]).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }
}
