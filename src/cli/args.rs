//! Flags, in groups that commands share. They never leave `cli`: each command turns them into a `Config`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::choices::{BatchArg, ClientArg, ConcurrencyArg, EngineArg, SigningArg, StrategyArg};
use crate::config::{
    Attention, ChecksumAlgorithm, Config, DEFAULT_MEMORY, DEFAULT_MULTIPART_THRESHOLD, DEFAULT_PART_SIZE,
    DEFAULT_RETRIES, ObjectAttributes, RetrySettings, RunSettings, StoreSettings, TransferSettings,
    VerifyMode,
};
use crate::units::{ByteSize, Rate};

/// A default as it would be typed.
fn typed(size: ByteSize) -> String {
    size.to_string().replace(' ', "")
}

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct StoreArgs {
    /// Address of the server, or 'embedded'
    ///
    /// http:// or https:// and a host. 'embedded' runs s3haul's own server for the life of the command, on the
    /// directory of --embedded-data. Without the flag: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's
    /// endpoint_url, S3_ENDPOINT_URL, then Amazon S3. Path style is used for every server that is not AWS.
    #[arg(long, value_name = "URL", env = "S3HAUL_ENDPOINT_URL", hide_env_values = true)]
    pub(super) endpoint_url: Option<String>,

    /// Directory of the embedded server's data
    ///
    /// Default: s3haul/embedded below $XDG_DATA_HOME, else below ~/.local/share.
    #[arg(long, value_name = "DIR", env = "S3HAUL_EMBEDDED_DATA")]
    pub(super) embedded_data: Option<PathBuf>,

    /// Profile of the AWS configuration files
    #[arg(long, value_name = "NAME", env = "S3HAUL_PROFILE")]
    pub(super) profile: Option<String>,

    /// Region to sign for [default: from environment or profile, else us-east-1]
    #[arg(long, value_name = "REGION", env = "S3HAUL_REGION")]
    pub(super) region: Option<String>,

    /// Do not sign requests, for buckets that anybody may write to
    #[arg(long, env = "S3HAUL_NO_SIGN_REQUEST")]
    pub(super) no_sign_request: bool,

    /// PEM file of certificates to trust beside the system's [default: AWS_CA_BUNDLE]
    #[arg(long, value_name = "FILE", env = "S3HAUL_CA_FILE")]
    pub(super) ca_file: Option<PathBuf>,
}

impl StoreArgs {
    /// These, and where they say nothing what `others` say.
    pub(super) fn over(&self, others: &Self) -> Self {
        fn either<T: Clone>(own: &Option<T>, other: &Option<T>) -> Option<T> {
            own.as_ref().or(other.as_ref()).cloned()
        }
        Self {
            endpoint_url: either(&self.endpoint_url, &others.endpoint_url),
            embedded_data: either(&self.embedded_data, &others.embedded_data),
            profile: either(&self.profile, &others.profile),
            region: either(&self.region, &others.region),
            no_sign_request: self.no_sign_request || others.no_sign_request,
            ca_file: either(&self.ca_file, &others.ca_file),
        }
    }

    /// The settings as far as they can be known without starting a server.
    pub(super) fn settings_without_server(&self) -> StoreSettings {
        let settings = self.settings();
        let endpoint_url = settings
            .endpoint_url
            .filter(|url| url != super::embedded::EMBEDDED);
        StoreSettings {
            endpoint_url,
            ..settings
        }
    }

    pub(super) fn settings(&self) -> StoreSettings {
        let bundle = || {
            std::env::var_os("AWS_CA_BUNDLE")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        StoreSettings {
            endpoint_url: self.endpoint_url.clone(),
            profile: self.profile.clone(),
            region: self.region.clone(),
            anonymous: self.no_sign_request,
            ca_file: self.ca_file.clone().or_else(bundle),
            credentials: None,
            ..StoreSettings::default()
        }
    }
}

/// Who works, and how many.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Strategy")]
pub(super) struct RunArgs {
    /// Who uploads
    #[arg(long, value_enum, default_value_t = StrategyArg::Auto, env = "S3HAUL_STRATEGY")]
    pub(super) strategy: StrategyArg,

    /// How many S3 clients, and so connection pools, there are
    #[arg(long, value_enum, default_value_t = ClientArg::Auto, env = "S3HAUL_CLIENT")]
    pub(super) client: ClientArg,

    /// Who makes the requests that carry bytes
    #[arg(long, value_enum, default_value_t = EngineArg::Auto, env = "S3HAUL_ENGINE")]
    pub(super) engine: EngineArg,

    /// Whether bodies are part of a request's signature
    ///
    /// A checksum goes with every body in any case. Signing costs about 0.5 s of CPU per GiB here and 0.75 s more on
    /// a MinIO; it protects the bytes on the way where nothing else does.
    #[arg(long, value_enum, default_value_t = SigningArg::Auto, env = "S3HAUL_PAYLOAD_SIGNING")]
    pub(super) payload_signing: SigningArg,

    /// Requests in flight over the whole run, files and parts alike: a number, or 'auto'
    ///
    /// 'auto' begins with 64, or with 8 parts of large files, doubles while the server gives more for it (up to
    /// 1,024), and halves when it asks for less. Strategies with a fixed number of workers take 32.
    #[arg(long, visible_aliases = ["numworkers", "transfers"], value_name = "N|auto",
          default_value = "auto", env = "S3HAUL_CONCURRENCY")]
    pub(super) concurrency: ConcurrencyArg,

    /// Threads that run event loops, for --strategy async [default: one a core, at most 16]
    #[arg(long, value_name = "K", env = "S3HAUL_EVENT_LOOPS")]
    pub(super) event_loops: Option<usize>,

    /// Child processes, for --strategy hybrid [default: the cores]
    #[arg(long, value_name = "P", env = "S3HAUL_PROCESSES")]
    pub(super) processes: Option<usize>,

    /// Allow more than 1,024 threads for --strategy thread-per-file
    #[arg(long, env = "S3HAUL_FORCE")]
    pub(super) force: bool,
}

impl RunArgs {
    /// How requests are made is asked for with who works, and set where the server is.
    pub(super) fn with_engine(&self, store: StoreSettings) -> StoreSettings {
        StoreSettings {
            engine: self.engine.into(),
            payload_signing: self.payload_signing.into(),
            ..store
        }
    }
}

impl RunArgs {
    pub(super) fn settings(&self) -> RunSettings {
        RunSettings {
            strategy: self.strategy.kind(),
            client: self.client.mode(),
            concurrency: self.concurrency.0,
            event_loops: self.event_loops,
            processes: self.processes,
            force: self.force,
            worker_program: None,
        }
    }
}

/// `--checksum-algorithm` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ChecksumArg {
    Crc64nvme,
    Crc32c,
    Crc32,
    Sha256,
}

impl From<ChecksumArg> for ChecksumAlgorithm {
    fn from(typed: ChecksumArg) -> Self {
        match typed {
            ChecksumArg::Crc64nvme => Self::Crc64Nvme,
            ChecksumArg::Crc32c => Self::Crc32C,
            ChecksumArg::Crc32 => Self::Crc32,
            ChecksumArg::Sha256 => Self::Sha256,
        }
    }
}

/// `--verify` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum VerifyArg {
    /// 'head' for servers whose behaviour is unknown, 'none' for AWS, MinIO, the embedded one, and what 'doctor' has proven
    Auto,
    /// Only what the answer itself shows: ETag and checksum
    None,
    /// A HEAD for each object: size, ETag, checksum
    Head,
    /// Read each object back and compare
    Read,
}

/// How bytes go up.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transfer")]
pub(super) struct TransferArgs {
    /// Size of a part; grows for files that would need more than 10,000
    #[arg(long, value_name = "SIZE", default_value_t = typed(DEFAULT_PART_SIZE), env = "S3HAUL_PART_SIZE")]
    part_size: String,

    /// Files larger than this go up in parts
    #[arg(long, value_name = "SIZE", default_value_t = typed(DEFAULT_MULTIPART_THRESHOLD), env = "S3HAUL_MULTIPART_THRESHOLD")]
    multipart_threshold: String,

    #[arg(long, value_name = "SIZE", env = "S3HAUL_MEMORY",
          help = format!("Budget for bytes of content held at once [default: {}]", typed(DEFAULT_MEMORY)),
          long_help = format!("Budget for bytes of content held at once. It must hold one part; when it is not \
                               given, it grows with --part-size and --multipart-threshold.\n\n\
                               [default: {}]", typed(DEFAULT_MEMORY)))]
    memory: Option<String>,

    /// Limit of bytes a second over the whole run, such as 50MiB/s [default: no limit]
    #[arg(long, value_name = "RATE", env = "S3HAUL_BWLIMIT")]
    bwlimit: Option<Rate>,

    /// Tries after the first; lost connections are tried for at least 75 s unless this is 0
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RETRIES, env = "S3HAUL_RETRIES")]
    retries: u32,

    /// Checksum that is computed here, sent, and checked by the server
    #[arg(long, value_enum, default_value_t = ChecksumArg::Crc64nvme, env = "S3HAUL_CHECKSUM_ALGORITHM")]
    checksum_algorithm: ChecksumArg,

    /// What is checked after the server said yes
    #[arg(long, value_enum, default_value_t = VerifyArg::Auto, env = "S3HAUL_VERIFY")]
    verify: VerifyArg,

    /// Send files up to SIZE (64KiB for 'auto') together, to servers that take archives apart
    ///
    /// MinIO unpacks tar archives ("Snowball auto-extract"): 500 small files are one request and cost it about half of
    /// what 500 requests do. A probe below the target, removed afterwards, proves that the server does it; else, and
    /// whenever something is missing, files go one by one. Every batch is verified by listing: size, and MD5 as ETag.
    /// Objects from a batch carry no checksum beside that. 'auto' gives way to flags that cannot be combined with it
    /// (--if-none-match, --tags, --storage-class, --sse, --verify head or read, --strategy thread-per-file).
    #[arg(
        long,
        value_name = "SIZE|auto|off",
        default_value = "off",
        env = "S3HAUL_BATCH_SMALL"
    )]
    batch_small: BatchArg,

    /// Never replace an object: one that exists is skipped
    #[arg(long, env = "S3HAUL_IF_NONE_MATCH")]
    if_none_match: bool,
}

/// What is stored with every object.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Objects")]
pub(super) struct ObjectArgs {
    /// Content type of all objects [default: guessed from the extension]
    #[arg(long, value_name = "TYPE", env = "S3HAUL_CONTENT_TYPE")]
    content_type: Option<String>,

    /// Storage class, as the server names it [default: the server's]
    #[arg(long, value_name = "CLASS", env = "S3HAUL_STORAGE_CLASS")]
    storage_class: Option<String>,

    /// User metadata, printable ASCII; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,

    /// Object tags, at most 10; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,

    /// Server-side encryption: AES256, aws:kms or aws:kms:dsse [default: the bucket's]
    #[arg(long, value_name = "ALGORITHM", env = "S3HAUL_SSE")]
    sse: Option<String>,
}

/// `name=value`. What either may hold differs between metadata and tags; see `ObjectAttributes`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is missing".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn size(flag: &'static str, text: &str) -> crate::error::Result<ByteSize> {
    text.parse().map_err(|error| {
        crate::error::Error::new(
            crate::error::ErrorKind::Usage,
            format!("'{flag} {text}' is not a size"),
        )
        .with_source(error)
    })
}

impl TransferArgs {
    pub(super) fn settings(
        &self,
        objects: &ObjectArgs,
        follow_symlinks: bool,
    ) -> crate::error::Result<TransferSettings> {
        let part_size = size("--part-size", &self.part_size)?;
        let multipart_threshold = size("--multipart-threshold", &self.multipart_threshold)?;
        let memory = match &self.memory {
            Some(text) => size("--memory", text)?,
            None => DEFAULT_MEMORY.max(part_size).max(multipart_threshold),
        };
        Ok(TransferSettings {
            part_size,
            multipart_threshold,
            memory,
            checksum: self.checksum_algorithm.into(),
            verify: match self.verify {
                VerifyArg::Auto => VerifyMode::Auto,
                VerifyArg::None => VerifyMode::None,
                VerifyArg::Head => VerifyMode::Head,
                VerifyArg::Read => VerifyMode::Read,
            },
            batch_small: self.batch_small.0,
            attributes: ObjectAttributes {
                content_type: objects.content_type.clone(),
                storage_class: objects.storage_class.clone(),
                metadata: objects.metadata.iter().cloned().collect(),
                tags: objects.tags.iter().cloned().collect(),
                server_side_encryption: objects.sse.clone(),
            },
            if_none_match: self.if_none_match,
            bandwidth: self.bwlimit,
            follow_symlinks,
            retry: RetrySettings {
                retries: self.retries,
                ..RetrySettings::default()
            },
            extra_rounds: 0,
            keeps_identities: false,
            attention: Attention::Files,
        })
    }
}

/// One configuration from the groups.
pub(super) fn config(store: StoreSettings, transfer: TransferSettings, run: &RunArgs) -> Config {
    Config {
        store,
        transfer,
        run: run.settings(),
    }
}
