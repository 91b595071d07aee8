//! The process from start to stop: store, listeners, workers, and back.
//!
//! Read top to bottom: open the store, bind, start the writer and the workers, accept, wait for a
//! reason to stop, and take everything down in the opposite order within a deadline.

mod background;
mod doctor;
mod figures;
mod open;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::background::Background;
use crate::batch::{Home, Writer};
use crate::clock;
use crate::command::Server;
use crate::command::stats::registry;
use crate::config::{Config, Durability, METRICS_LISTEN, StoreKind};
use crate::limits::{CLOSE_GRACE_MIN, REGISTERED_BUFFER_BYTES, REGISTERED_BUFFERS_MAX, STOP_CHECK};
use crate::metrics;
use crate::net::{Acceptor, Certificates, Control, Inbox, Listener, Workers};

pub use doctor::run as doctor;

/// Serves until SIGTERM, SIGINT or `SHUTDOWN`.
pub fn run(config: Config) -> ExitCode {
    let code = match start(config) {
        Ok(running) => running.wait(),
        Err(problem) => {
            eprintln!("ringstone: {problem}");
            ExitCode::FAILURE
        }
    };
    open::end();
    code
}

/// A running server.
struct Running {
    server: Arc<Server>,
    writer: Arc<Writer>,
    writer_thread: Option<JoinHandle<()>>,
    background: Background,
    workers: Workers,
    inboxes: Vec<Arc<Inbox>>,
    accepting: JoinHandle<()>,
    control: Arc<Control>,
    stopped: Receiver<()>,
}

fn start(config: Config) -> Result<Running, String> {
    open::skew_clock()?;
    raise_descriptor_limit(config.maxclients);
    let (stop, stopped) = channel();
    let control = Control::new().map(Arc::new).map_err(|error| format!("cannot start: {error}"))?;
    heed_signals(stop.clone(), Arc::clone(&control))
        .map_err(|error| format!("cannot handle signals: {error}"))?;
    let auth = config.authenticator(registry().specs().len()).map_err(|error| error.to_string())?;
    let certificates = Certificates::load(&config).map_err(|error| format!("TLS: {error}"))?;
    let listeners = bind(&config)?;
    let store = open::open(&config)?;
    let mut server = Server::new(config, store);
    server.auth = auth.map(Arc::new);
    let server = Arc::new(server);
    server.on_shutdown(stop);
    for (port, is_tls) in [(&server.port, false), (&server.tls_port, true)] {
        let first = listeners.iter().find(|one| one.port() != 0 && one.is_tls() == is_tls);
        port.store(first.map_or(0, Listener::port), Ordering::Relaxed);
    }
    let metrics = serve_metrics(&server)?;
    let inboxes: Vec<Arc<Inbox>> =
        (0..server.config.workers).map(|_| Arc::new(Inbox::default())).collect();
    let homes = inboxes.iter().map(|inbox| Arc::clone(inbox) as Arc<dyn Home>).collect();
    let writer = Arc::new(Writer::new(&server, homes));
    let writer_thread = writer.start().map_err(|error| format!("cannot start: {error}"))?;
    let background = Background::start(&server, Arc::clone(&writer))
        .map_err(|error| format!("cannot start: {error}"))?;
    let buffers = registered_buffers(server.config.workers);
    let workers = Workers::start(&inboxes, buffers, &server, &writer).map_err(no_ring)?;
    let banner = banner(&server.config, &listeners, metrics);
    let (taken, shared) = (inboxes.clone(), Arc::clone(&server));
    let acceptor = Acceptor::new(listeners, taken, shared, Arc::clone(&control), certificates);
    let accepting = std::thread::Builder::new()
        .name("acceptor".to_owned())
        .spawn(move || acceptor.run())
        .map_err(|error| format!("cannot start: {error}"))?;
    // Standard output may be closed; serving matters more than saying so.
    let _ = io::stdout().write_all(banner.as_bytes()).and_then(|()| io::stdout().flush());
    Ok(Running {
        server,
        writer,
        writer_thread,
        background,
        workers,
        inboxes,
        accepting,
        control,
        stopped,
    })
}

impl Running {
    /// Serves until there is a reason to stop; then stops accepting, finishes what is in flight and
    /// closes the store, each within the shutdown timeout.
    fn wait(self) -> ExitCode {
        // An error means that nobody can ask any more, which is a reason too.
        let _ = self.stopped.recv();
        tracing::info!("stopping");
        self.server.stopping.store(true, Ordering::Relaxed);
        let deadline = clock::monotonic() + self.server.config.shutdown_timeout;
        // What is held back finishes too.
        self.server.pause.finish();
        self.control.stop();
        let _ = self.accepting.join();
        self.inboxes.iter().for_each(|inbox| inbox.stop());
        while !self.workers.are_drained() && clock::monotonic() < deadline {
            std::thread::sleep(STOP_CHECK);
        }
        if !self.workers.are_drained() {
            tracing::warn!("connections are still open at the shutdown deadline; closing them");
        }
        let grace = self.server.config.shutdown_timeout.max(CLOSE_GRACE_MIN);
        let (done, closed) = channel();
        let (server, writer) = (self.server, self.writer);
        let (background, writer_thread) = (self.background, self.writer_thread);
        let workers = self.workers.are_drained().then_some(self.workers);
        let closing = std::thread::Builder::new().name("closing".to_owned()).spawn(move || {
            background.stop();
            writer.close();
            if let Some(thread) = writer_thread {
                let _ = thread.join();
            }
            if let Some(workers) = workers {
                workers.join();
            }
            // Nobody listens any more if it took too long.
            let _ = done.send(server.store.close());
        });
        let closing = match closing {
            Ok(closing) => closing,
            Err(error) => {
                tracing::error!(%error, "cannot close the store");
                return ExitCode::FAILURE;
            }
        };
        let closed = closed.recv_timeout(grace);
        if closed.is_ok() {
            // What is left to it is to drop what it used.
            let _ = closing.join();
        }
        match closed {
            Ok(Ok(())) => {
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Ok(Err(cause)) => {
                tracing::error!(%cause, "the store did not close cleanly");
                ExitCode::FAILURE
            }
            Err(_) => {
                tracing::error!(?grace, "giving up on closing the store, which takes too long");
                ExitCode::FAILURE
            }
        }
    }
}

/// SIGTERM and SIGINT stop; SIGHUP has files read again.
fn heed_signals(stop: Sender<()>, control: Arc<Control>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                control.reload();
            } else if stop.send(()).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn bind(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    let plain = config.listen.iter().map(|addr| (addr, Listener::tcp as fn(_, _) -> _));
    let tls = config.tls_listen.iter().map(|addr| (addr, Listener::tls as fn(_, _) -> _));
    for (&addr, listen) in plain.chain(tls) {
        let listener: io::Result<Listener> = listen(addr, config.tcp_backlog);
        listeners.push(listener.map_err(|error| format!("cannot listen on {addr}: {error}"))?);
    }
    if let Some(path) = &config.unixsocket {
        let listener = Listener::unix(path.clone(), config.unixsocketperm)
            .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves metrics, if that is wanted; where. Another process may have the usual address: then there are none,
/// for serving clients matters more.
fn serve_metrics(server: &Arc<Server>) -> Result<Option<SocketAddr>, String> {
    let Some(wanted) = server.config.metrics_listen else { return Ok(None) };
    let bound = match metrics::Bound::new(wanted) {
        Ok(bound) => bound,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && wanted == METRICS_LISTEN => {
            tracing::warn!(addr = %wanted, "no metrics: the address is in use; set metrics-listen");
            return Ok(None);
        }
        Err(error) => return Err(format!("cannot serve metrics on {wanted}: {error}")),
    };
    let addr = bound.address().unwrap_or(wanted);
    metrics::serve(bound, Arc::clone(server))
        .map_err(|error| format!("cannot serve metrics on {addr}: {error}"))?;
    Ok(Some(addr))
}

/// Buffers each worker may register: together they take at most half of `RLIMIT_MEMLOCK`.
fn registered_buffers(workers: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let bytes = limit.map_or(usize::MAX, |bytes| bytes as usize) / 2;
    (bytes / workers / REGISTERED_BUFFER_BYTES).min(REGISTERED_BUFFERS_MAX)
}

/// Connections need descriptors; the soft limit is often lower than what the system would allow.
fn raise_descriptor_limit(maxclients: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const OTHERS: u64 = 256;
    let limit = getrlimit(Resource::Nofile);
    let wanted = maxclients as u64 + OTHERS;
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let current = Some(limit.maximum.map_or(wanted, |maximum| wanted.min(maximum)));
    if setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_err()
        || current.is_some_and(|current| current < wanted)
    {
        tracing::warn!(maxclients, "the limit on open files is too low for maxclients; raise it");
    }
}

/// Says why there is no ring, naming the likely cause.
fn no_ring(error: io::Error) -> String {
    let hint = match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::PERM.raw_os_error() => {
            "; io_uring is not permitted here: set sysctl kernel.io_uring_disabled=0, or allow the \
             io_uring_* system calls in the container's seccomp profile"
        }
        Some(code) if code == rustix::io::Errno::NOSYS.raw_os_error() => {
            "; this kernel has no io_uring: Linux 5.19 or later is needed"
        }
        Some(code) if code == rustix::io::Errno::INVAL.raw_os_error() => {
            "; this kernel's io_uring is too old: Linux 6.0 or later is needed"
        }
        Some(code) if code == rustix::io::Errno::NOMEM.raw_os_error() => {
            "; raise the limit on locked memory (ulimit -l)"
        }
        _ => "",
    };
    format!("cannot set up io_uring: {error}{hint}")
}

/// What is served, in one block.
fn banner(config: &Config, listeners: &[Listener], metrics: Option<SocketAddr>) -> String {
    let mut text = format!("ringstone {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11} {value}");
    };
    for listener in listeners {
        line("listening", listener.address());
    }
    if let Some(addr) = metrics {
        line("metrics", format!("http://{addr}/metrics"));
    }
    let access = match () {
        () if config.has_keys() => "with a token",
        () if config.protected_mode => "from this machine only, as there is no auth-public-key",
        () => "for everybody: there is no auth-public-key, and protected-mode is off",
    };
    line("access", access.to_owned());
    line("store", store_line(config));
    line("workers", config.workers.to_string());
    line(
        "groups",
        format!("at most {} commands, {} bytes", config.group_commands_max, config.group_bytes_max),
    );
    line(
        "limits",
        format!(
            "{} clients, {} byte requests, {} byte replies",
            config.maxclients, config.request_bytes_max, config.output_buffer_limit
        ),
    );
    line("ready", "for connections".to_owned());
    text
}

fn store_line(config: &Config) -> String {
    match config.store {
        StoreKind::Memory => "memory; nothing survives the process".to_owned(),
        StoreKind::FoundationDb => {
            let file = config.cluster_file.as_ref();
            let cluster = file.map_or(String::new(), |file| format!(" of {}", file.display()));
            format!("foundationdb{cluster}, directory {}", config.fdb_root.join("/"))
        }
        StoreKind::Embedded => {
            let durability = match config.durability {
                Durability::Sync => "every reply to a write waits for fdatasync".to_owned(),
                Durability::Interval => {
                    format!("synced every {}", show_seconds(config.durability_interval))
                }
                Durability::None => "never synced".to_owned(),
            };
            format!("embedded in {}; {durability}", config.data_dir.display())
        }
    }
}

fn show_seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
