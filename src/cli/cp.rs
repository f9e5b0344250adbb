//! `s3haul cp`: flags to a request, one call of the library, its outcome to lines and an exit code.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::args::{ObjectArgs, RunArgs, StoreArgs, TransferArgs, config};
use super::exit_code::ExitCode;
use super::filter_args::FilterArgs;
use super::output_args::{OutputArgs, OutputFormat};
use super::report_file::ReportFile;
use super::restore::RestoringArgs;
use super::run_output::{Deed, RunMonitor, print_summary};
use super::state_args::{StateArgs, with_profile};
use super::unattended::{Came, UnattendedArgs, figures};
use super::{dry_run, embedded, json, logging, restore, signals};
use crate::config::BucketPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{Effect, Home, Input, UPLOADING, UploadRequest, find_server, upload, upload_to};
use crate::restore::RestoreRequest;
use crate::source::S3Url;
use crate::store::Connector;

const KEY_RULE: &str = "\
Keys: a '/' at the end of the target means \"into\"; a target without it is, for a single file, the key itself.
  s3haul cp a.txt s3://bucket/p/      gives p/a.txt
  s3haul cp a.txt s3://bucket/p       gives p
  s3haul cp photos s3://bucket/p/     gives p/a.jpg for photos/a.jpg: the contents go under the prefix
A directory or several sources always go below the target, as if the '/' were there; several sources each under
its own name, as with cp -r. Hidden files are uploaded. Names that are not UTF-8 or hold control characters are
encoded reversibly (%XX) and reported. '-' uploads standard input.
  s3haul cp s3://bucket/p/ photos     is s3haul restore s3://bucket/p/ photos";

/// Upload files and directories; with an s3:// source and a local target, the way back: see restore
#[derive(Args, Clone, Debug)]
#[command(after_help = KEY_RULE, after_long_help = KEY_RULE)]
pub(super) struct CpArgs {
    /// Files and directories (or '-' for standard input), then the target s3://BUCKET[/PREFIX/]
    #[arg(value_name = "SRC... s3://BUCKET[/PREFIX/]", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,

    /// Accepted for habit's sake: directories are always recursive
    #[arg(short, long, help_heading = "Selection")]
    recursive: bool,

    #[command(flatten)]
    filter: FilterArgs,

    /// Upload the paths listed in this file ('-': standard input), one a line, relative to SRC
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "files_from0",
        help_heading = "Selection"
    )]
    files_from: Option<PathBuf>,

    /// The same with NUL between the paths, as find -print0 writes them
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    files_from0: Option<PathBuf>,

    /// Follow symbolic links found in directories; loops are found
    #[arg(long, help_heading = "Selection", env = "S3HAUL_FOLLOW_SYMLINKS")]
    follow_symlinks: bool,

    /// Print what would be uploaded (file, key, reason, parts) and send nothing
    #[arg(short = 'n', long, visible_alias = "dryrun")]
    dry_run: bool,

    /// Go on with large files of a run with --resume that was stopped or killed, and leave them so that the next one can
    ///
    /// What is begun is written down below the state directory. Parts that are stored are read here again and compared
    /// before they count. Uploads whose files are not what they were are aborted.
    #[arg(long, conflicts_with = "dry_run", env = "S3HAUL_RESUME")]
    resume: bool,

    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    restoring: RestoringArgs,
    #[command(flatten)]
    unattended: UnattendedArgs,

    /// Make the bucket if it is missing
    #[arg(long, help_heading = "Server", env = "S3HAUL_CREATE_BUCKET")]
    create_bucket: bool,

    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    objects: ObjectArgs,

    /// Write the whole run as JSON: settings, totals, service times, each failure
    #[arg(
        long,
        value_name = "FILE.json",
        help_heading = "Output",
        env = "S3HAUL_REPORT"
    )]
    report: Option<PathBuf>,
}

impl CpArgs {
    /// The request, but for a server that is yet to be started.
    fn request(&self, output: &OutputArgs) -> Result<UploadRequest> {
        let (target, sources) = self.paths.split_last().expect("clap requires at least one");
        let Some(text) = target.to_str() else {
            return Err(usage(format!("the target '{}' is not UTF-8", target.display())));
        };
        let target: S3Url = text.parse().map_err(|error| {
            Error::new(ErrorKind::Usage, "the target cannot be used")
                .with_source(error)
                .with_hint("the last argument is the target: s3haul cp SRC... s3://BUCKET/PREFIX/")
        })?;
        let transfer = self.transfer.settings(&self.objects, self.follow_symlinks)?;
        Ok(UploadRequest {
            input: self.input(sources)?,
            target,
            filter: Arc::new(self.filter.filter()?),
            own_outputs: self.own_outputs(output),
            bucket_policy: if self.create_bucket {
                BucketPolicy::Create
            } else {
                BucketPolicy::MustExist
            },
            resume: None,
            deadline: None,
            config: config(
                self.run.with_engine(self.store.settings_without_server()),
                transfer,
                &self.run,
            ),
        })
    }

    /// The way back, if the source is an object or a prefix and the target is none.
    fn restore_request(&self) -> Result<Option<RestoreRequest>> {
        let is_remote = |path: &PathBuf| path.as_os_str().as_encoded_bytes().starts_with(b"s3://");
        let [source, dest] = &self.paths[..] else {
            return Ok(None);
        };
        if !is_remote(source) || is_remote(dest) {
            return Ok(None);
        }
        let source = source.to_string_lossy();
        let source = source
            .parse()
            .map_err(|error| usage("the source cannot be used").with_source(error))?;
        let transfer = self.transfer.settings(&self.objects, false)?;
        Ok(Some(RestoreRequest {
            source,
            dest: dest.clone(),
            filter: Arc::new(self.filter.filter()?),
            overwrite: self.restoring.overwrite(),
            effect: if self.dry_run { Effect::Plan } else { Effect::Apply },
            config: config(
                self.run.with_engine(self.store.settings_without_server()),
                transfer,
                &self.run,
            ),
            state: self.state.settings().ok(),
            deadline: None,
        }))
    }

    /// What the command itself writes, also by redirection.
    fn own_outputs(&self, output: &OutputArgs) -> Vec<PathBuf> {
        let streams = ["/dev/stdout", "/dev/stderr"].map(PathBuf::from);
        let files = self.report.iter().chain(&output.log_file).cloned();
        files.chain(streams).collect()
    }

    /// The books of this target, which nobody else has meanwhile.
    fn home(&self, endpoint: &str, target: &S3Url, cancel: &CancellationToken) -> Result<Home> {
        Home::open(&self.state.settings()?, UPLOADING, (endpoint, target), cancel)
    }

    fn input(&self, sources: &[PathBuf]) -> Result<Input> {
        let dash = PathBuf::from("-");
        let list = self
            .files_from
            .as_ref()
            .map(|list| (list, b'\n'))
            .or(self.files_from0.as_ref().map(|list| (list, 0)));
        if let Some((list, separator)) = list {
            let base = match sources {
                [] => PathBuf::from("."),
                [base] if *base != dash => base.clone(),
                _ => {
                    return Err(usage(
                        "with --files-from, give one directory as SRC, or none for the current one",
                    ));
                }
            };
            let list = (*list != dash).then(|| list.clone());
            return Ok(Input::List {
                base,
                list,
                separator,
            });
        }
        if sources.is_empty() {
            return Err(usage("no source is given").with_hint("s3haul cp SRC... s3://BUCKET/PREFIX/"));
        }
        if sources.contains(&dash) {
            if sources.len() > 1 {
                return Err(usage("'-' (standard input) must be the only source"));
            }
            return Ok(Input::Stdin);
        }
        if let Some(url) = sources
            .iter()
            .find(|source| source.to_string_lossy().starts_with("s3://"))
        {
            return Err(usage(format!(
                "'{}' is an S3 address, but sources are local files",
                url.display()
            ))
            .with_hint("only the last argument is the target"));
        }
        Ok(Input::Paths(sources.to_vec()))
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Runs the command.
pub(super) fn run(args: &CpArgs, output: &OutputArgs) -> Result<ExitCode> {
    if let Some(request) = args.restore_request()? {
        let report = args.report.as_deref();
        return restore::run_request(
            (request, report),
            (&args.store, &args.run),
            &args.unattended,
            output,
        );
    }
    let request = args.request(output)?;
    if args.dry_run {
        return dry_run::run(&request, output);
    }
    let job = request.target.to_string();
    args.unattended.attend(&job, |deadline| {
        upload_all(args, UploadRequest { deadline, ..request }, output)
    })
}

fn upload_all(args: &CpArgs, mut request: UploadRequest, output: &OutputArgs) -> Result<Came> {
    // Everything that can be said without a server is said before one is started.
    request.config.validate()?;
    if let Input::Paths(sources) = &request.input {
        embedded::refuse_data_inside(&args.store, sources, &request.filter)?;
    }
    let (store, _server) = embedded::settings(&args.store)?;
    let state = args.state.settings().ok();
    let store = with_profile(store, state.as_ref(), &request.target.bucket);
    request.config.store = args.run.with_engine(store);
    let report = args.report.as_deref().map(ReportFile::create).transpose()?;
    request
        .own_outputs
        .extend(report.as_ref().and_then(ReportFile::temporary));
    let cancel = signals::cancel_on_signals();
    let find = || find_server(&request.config, &cancel);
    let connector = args.resume.then(find).transpose()?;
    let open = |connector: &Connector| args.home(&connector.endpoint(), &request.target, &cancel);
    let home = connector.as_ref().map(open).transpose()?;
    if let Some(home) = &home {
        request.resume = Some(home.resume());
        request.own_outputs.extend(home.files());
    }
    let mut monitor = RunMonitor::new(Deed::Uploads, output);
    if output.output == OutputFormat::Json {
        json::start(&request);
    }
    tracing::info!(target: logging::RUN, target = %request.target, "begins");
    let outcome = match &connector {
        Some(connector) => upload_to(connector, &request, &cancel, &mut monitor),
        None => upload(&request, &cancel, &mut monitor),
    };
    monitor.finish();
    let summary = outcome?;
    tracing::info!(target: logging::RUN, totals = ?summary.totals, elapsed = ?summary.elapsed, "ends");
    let code = ReportFile::conclude(report, &request.config, &summary, ExitCode::of_summary(&summary));
    let text = summary.text();
    print_summary(&summary, &text, code, output);
    Ok(Came {
        code,
        figures: figures(&summary, "uploaded", (0, 0)),
        headline: text.lines().next().unwrap_or_default().to_owned(),
        stamp: None,
    })
}
