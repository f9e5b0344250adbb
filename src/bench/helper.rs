//! The processes that a comparison runs on: arms, the relay, the server. Each is this program again, told by one line
//! what it is to be, and ends when its standard input does, also when the bench itself is killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::arm::{ArmSpec, serve_arm};
use crate::error::{Error, ErrorKind, Result};
use crate::server::{
    DiscardConfig, DiscardServer, EmbeddedServer, FaultPlan, Relay, RelayConfig, RelayCounters, ServerConfig,
};

/// Time that a server may take to start.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
/// Time that one may take to end in order when its input does: an arm aborts what it has begun.
const END_LIMIT: Duration = Duration::from_secs(4);
/// How often somebody who waits looks whether the run was stopped.
const TICK: Duration = Duration::from_millis(50);

/// What a helper is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// One arm. It says [`super::arm::FromArm`].
    Arm(Box<ArmSpec>),
    /// A relay. It says [`Serving`], and its counters whenever it is reset.
    Relay(RelayConfig),
    /// An embedded server. It says [`Serving`].
    Embedded {
        data: PathBuf,
        access_key: String,
        secret_key: String,
        faults: Option<FaultPlan>,
    },
    /// A null sink. It says [`Serving`].
    Sink,
    /// Another program. It says its [`Pid`].
    Program {
        program: PathBuf,
        arguments: Vec<String>,
        environment: BTreeMap<String, String>,
        log: PathBuf,
    },
}

/// A relay or server is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Serving {
    /// `ADDRESS:PORT`.
    pub(super) address: String,
}

/// A program was started.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Pid {
    pub(super) pid: u32,
}

/// What a relay is asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToRelay {
    /// Say what was counted, and count anew.
    Reset,
}

fn internal(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, what)
}

/// The helper's side: is what the first line of `input` says, until `input` ends.
///
/// # Errors
/// Input that is not that of a bench; a server that cannot start.
pub fn helper_main(mut input: impl BufRead + Send + 'static, mut output: impl Write) -> Result<()> {
    // A relay has two for each connection.
    crate::usage::raise_open_file_limit();
    let mut line = String::new();
    input
        .read_line(&mut line)
        .map_err(|error| internal("bench helper: no input").with_source(error))?;
    let role = serde_json::from_str(&line).map_err(|error| {
        internal("bench helper: no role")
            .with_source(error)
            .with_hint("'__bench' is started by 's3haul bench' and is of no use otherwise")
    })?;
    match role {
        Role::Arm(spec) => {
            serve_arm(&spec, input, &mut output);
            Ok(())
        }
        Role::Relay(config) => serve_relay(&config, input, &mut output),
        Role::Embedded {
            data,
            access_key,
            secret_key,
            faults,
        } => {
            let server = EmbeddedServer::start(ServerConfig {
                data_directory: data,
                port: 0,
                access_key,
                secret_key,
            })
            .map_err(|error| internal("the embedded server cannot start").with_source(error))?;
            if let Some(faults) = faults {
                server.set_fault_plan(faults);
            }
            let address = server.endpoint_url().trim_start_matches("http://").to_owned();
            say(&mut output, &Serving { address });
            wait_for_end(input);
            server.shutdown();
            Ok(())
        }
        Role::Sink => {
            let sink = DiscardServer::start(&DiscardConfig::default())
                .map_err(|error| internal("the sink cannot start").with_source(error))?;
            let address = sink.address().to_string();
            say(&mut output, &Serving { address });
            wait_for_end(input);
            sink.shutdown();
            Ok(())
        }
        Role::Program {
            program,
            arguments,
            environment,
            log,
        } => supervise((&program, &arguments, environment, &log), input, &mut output),
    }
}

/// One line to whoever listens.
pub(super) fn say(output: &mut impl Write, message: &impl Serialize) {
    let mut line = serde_json::to_vec(message).expect("our own messages serialise");
    line.push(b'\n');
    // A parent that is gone hears nothing; the end of input will tell.
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

fn wait_for_end(input: impl BufRead) {
    input.lines().for_each(drop);
}

fn serve_relay(config: &RelayConfig, input: impl BufRead, output: &mut impl Write) -> Result<()> {
    let relay =
        Relay::start(config).map_err(|error| internal("the relay cannot start").with_source(error))?;
    say(
        output,
        &Serving {
            address: relay.address().to_string(),
        },
    );
    for line in input.lines() {
        let Ok(line) = line else { break };
        let Ok(ToRelay::Reset) = serde_json::from_str(&line) else {
            return Err(internal("bench helper: a relay was asked what it does not know"));
        };
        let counters: RelayCounters = relay.counters();
        relay.reset();
        say(output, &counters);
    }
    Ok(())
}

type Started<'a> = (&'a Path, &'a [String], BTreeMap<String, String>, &'a Path);

/// Runs another program, and kills it when `input` ends.
fn supervise(
    (program, arguments, environment, log): Started<'_>,
    input: impl BufRead,
    output: &mut impl Write,
) -> Result<()> {
    let cannot = |error: std::io::Error| {
        internal(format!("'{}' cannot be started", program.display())).with_source(error)
    };
    let log = std::fs::File::create(log).map_err(cannot)?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(cannot)?)
        .stderr(log)
        .spawn()
        .map_err(cannot)?;
    say(output, &Pid { pid: child.id() });
    wait_for_end(input);
    let _ = child.kill();
    let _ = child.wait();
    Ok(())
}

/// The bench's side: a helper that runs. Dropping it ends it.
pub(super) struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Helper {
    /// Starts `program` as a helper with this role.
    pub(super) fn start(program: &Path, role: &Role) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            internal(format!("'{}' cannot be started as a helper", program.display())).with_source(error)
        };
        let mut command = Command::new(program);
        // What the user has set for other runs is not part of a comparison.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("S3HAUL_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("__bench")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at a terminal reaches the bench only, which then ends its helpers in order.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        std::thread::Builder::new()
            .name(format!("helper-{}", child.id()))
            .spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    let Ok(line) = line else { return };
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            })
            .map_err(cannot)?;
        let mut helper = Self {
            stdin: child.stdin.take(),
            child,
            lines,
        };
        helper.send(role);
        Ok(helper)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says something to it. Whether it heard shows in its answer.
    pub(super) fn send(&mut self, message: &impl Serialize) {
        if let Some(stdin) = &mut self.stdin {
            say(stdin, message);
        }
    }

    /// Its next answer.
    ///
    /// # Errors
    /// It has ended, says something else, or takes longer than `limit`; the run was stopped.
    pub(super) fn receive<T: DeserializeOwned>(
        &mut self,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Interrupted, "the bench was stopped"));
            }
            match self.lines.recv_timeout(TICK) {
                Ok(line) => {
                    return serde_json::from_str(&line).map_err(|error| {
                        internal("a helper process said something else").with_source(error)
                    });
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(internal(format!(
                        "a helper process gave no answer within {} s",
                        limit.as_secs()
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(internal("a helper process ended without an answer"));
                }
            }
        }
    }

    /// Waits for its end, after its last answer, and reaps it. True when it ended well.
    pub(super) fn join(&mut self, limit: Duration) -> bool {
        self.stdin.take();
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return false,
            }
        }
        false
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Most end by themselves when their input does; those in the middle of something are killed.
        if !self.join(END_LIMIT) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
