//! Accepts connections on all listeners and gives each to the worker with the fewest.
//!
//! One thread accepts for all: `SO_REUSEPORT` would spread connections by a hash of their addresses,
//! which leaves 50 connections on two workers as uneven as 32 and 18, and knows no Unix sockets.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::Mode;
use rustix::process::umask;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket as RawSocket, TcpKeepalive, Type};

use super::certificates::Certificates;
use super::files::Files;
use super::worker::Inbox;
use crate::clock;
use crate::command::Server;
use crate::command::stats::Rejection;
use crate::config::Config;
use crate::limits::{ACCEPT_COMPLAINT_INTERVAL, ACCEPT_PAUSE, FILES_INTERVAL};

/// A socket that connections arrive on.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// TCP, for TLS.
    Tls(TcpListener),
    /// A Unix socket, with the path that is removed at the end.
    Unix(UnixListener, SocketPath),
}

/// Where a Unix socket lies; removed on drop, if it is still that socket.
pub struct SocketPath {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl SocketPath {
    fn file(path: &Path) -> io::Result<(u64, u64)> {
        std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Another process may have put its own there since.
        if SocketPath::file(&self.path).is_ok_and(|file| file == self.file) {
            // Somebody may have removed it just now.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A new connection on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// The peer, as `CLIENT LIST` shows it.
    pub addr: String,
    /// Our end.
    pub laddr: String,
    /// What its handshake is done with; `None` without TLS.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A connected socket not yet on a ring.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Socket {
    /// Its number among the open files.
    pub fn descriptor(&self) -> RawFd {
        match self {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

impl Accepted {
    /// A last word to a connection that is not taken, unless that would be in the middle of a handshake.
    fn refuse(mut self, line: &[u8]) {
        if self.tls.is_some() {
            let reason = String::from_utf8_lossy(line);
            return tracing::debug!(addr = self.addr, %reason, "a TLS connection is not taken");
        }
        // The peer may be gone already; there is nobody else to tell.
        let _ = match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(line),
            Socket::Unix(socket) => socket.write_all(line),
        };
    }
}

impl Listener {
    /// Listens on a TCP address.
    pub fn tcp(addr: SocketAddr, backlog: u16) -> io::Result<Listener> {
        listen(addr, backlog).map(Listener::Tcp)
    }

    /// Listens on a TCP address for TLS.
    pub fn tls(addr: SocketAddr, backlog: u16) -> io::Result<Listener> {
        listen(addr, backlog).map(Listener::Tls)
    }
    /// Listens on a Unix socket; one left behind by a dead process is replaced.
    ///
    /// Changes the umask of the process for a moment: no other thread may be creating files.
    pub fn unix(path: PathBuf, mode: Option<u32>) -> io::Result<Listener> {
        let is_socket = std::fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
        if is_socket && UnixStream::connect(&path).is_err() {
            std::fs::remove_file(&path)?;
        }
        // Created with its mode: with another one, somebody could connect before it is changed.
        let before = mode.map(|mode| umask(Mode::from_raw_mode(!mode & 0o777)));
        let listener = UnixListener::bind(&path);
        before.map(umask);
        let listener = listener?;
        let file = SocketPath::file(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Listener::Unix(listener, SocketPath { path, file }))
    }

    /// What is listened on, as a user would write it.
    pub fn address(&self) -> String {
        let shown = |listener: &TcpListener| match listener.local_addr() {
            Ok(addr) => addr.to_string(),
            Err(error) => error.to_string(),
        };
        match self {
            Listener::Tcp(listener) => shown(listener),
            Listener::Tls(listener) => format!("{} (TLS)", shown(listener)),
            Listener::Unix(_, at) => format!("unix:{}", at.path.display()),
        }
    }

    /// Whether what is accepted speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Listener::Tls(_))
    }

    /// The TCP port, 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => {
                listener.local_addr().map_or(0, |addr| addr.port())
            }
            Listener::Unix(..) => 0,
        }
    }

    fn accept(&self) -> io::Result<(Accepted, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => {
                let (socket, peer) = listener.accept()?;
                let laddr = socket.local_addr().map(|addr| addr.to_string()).unwrap_or_default();
                let addr = peer.to_string();
                Ok((
                    Accepted { socket: Socket::Tcp(socket), addr, laddr, tls: None },
                    Some(peer.ip()),
                ))
            }
            Listener::Unix(listener, at) => {
                let (socket, _) = listener.accept()?;
                let addr = format!("{}:0", at.path.display());
                let laddr = addr.clone();
                Ok((Accepted { socket: Socket::Unix(socket), addr, laddr, tls: None }, None))
            }
        }
    }
}

fn listen(addr: SocketAddr, backlog: u16) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(i32::from(backlog))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The accepting thread's own.
pub struct Acceptor {
    listeners: Vec<Listener>,
    inboxes: Vec<Arc<Inbox>>,
    server: Arc<Server>,
    control: Arc<Control>,
    /// What TLS connections are accepted with.
    certificates: RefCell<Option<Certificates>>,
    /// The revocation list.
    revoked: RefCell<Option<Files>>,
    /// When it was last said that a connection could not be accepted.
    complained: Cell<Option<Instant>>,
}

/// What other threads ask of an [`Acceptor`].
pub struct Control {
    stop: AtomicBool,
    reload: AtomicBool,
    wake: OwnedFd,
}

impl Control {
    /// Nothing is asked yet.
    pub fn new() -> io::Result<Control> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Control { stop: AtomicBool::new(false), reload: AtomicBool::new(false), wake })
    }

    /// Makes the acceptor close its listeners and end.
    pub fn stop(&self) {
        self.ask(&self.stop);
    }

    /// Makes the acceptor read the files of TLS again.
    pub fn reload(&self) {
        self.ask(&self.reload);
    }

    fn ask(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        // The eventfd's counter cannot overflow from so few writes.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Whether the acceptor was woken for a reload; it can be woken again then.
    fn takes_reload(&self) -> bool {
        let reload = self.reload.swap(false, Ordering::AcqRel);
        if reload {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        reload
    }
}

impl Acceptor {
    /// An acceptor for `listeners` that spreads connections over `inboxes`.
    pub fn new(
        listeners: Vec<Listener>,
        inboxes: Vec<Arc<Inbox>>,
        server: Arc<Server>,
        control: Arc<Control>,
        certificates: Option<Certificates>,
    ) -> Acceptor {
        let revoked = server.config.auth_revoked_file.clone().map(|path| Files::new(vec![path]));
        // It was read long ago, when the process began to start.
        server.end_revoked();
        let (certificates, revoked) = (RefCell::new(certificates), RefCell::new(revoked));
        let complained = Cell::new(None);
        Acceptor { listeners, inboxes, server, control, certificates, revoked, complained }
    }

    /// Accepts until stopped.
    pub fn run(self) {
        // A look at the files of TLS and at the revocation list now and then.
        let has_files = self.certificates.borrow().is_some() || self.revoked.borrow().is_some();
        let interval = has_files.then_some(Timespec {
            tv_sec: FILES_INTERVAL.as_secs() as i64,
            tv_nsec: FILES_INTERVAL.subsec_nanos().into(),
        });
        while !self.control.stop.load(Ordering::Acquire) {
            self.look_after_files();
            let mut fds: Vec<PollFd<'_>> = self
                .listeners
                .iter()
                .map(|listener| match listener {
                    Listener::Tcp(listener) | Listener::Tls(listener) => listener.as_fd(),
                    Listener::Unix(listener, _) => listener.as_fd(),
                })
                .chain([self.control.wake.as_fd()])
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            if let Err(error) = poll(&mut fds, interval.as_ref())
                && error != rustix::io::Errno::INTR
            {
                tracing::error!(%error, "cannot wait for connections");
                return;
            }
            for (listener, fd) in self.listeners.iter().zip(&fds) {
                if !fd.revents().is_empty() {
                    self.accept_all(listener);
                }
            }
        }
    }

    fn look_after_files(&self) {
        let asked = self.control.takes_reload();
        if let Some(certificates) = &mut *self.certificates.borrow_mut() {
            certificates.reload(asked);
        }
        if let Some(list) = &mut *self.revoked.borrow_mut()
            && list.is_due(asked)
        {
            self.server.end_revoked();
        }
    }

    fn accept_all(&self, listener: &Listener) {
        let tls = match (listener, &*self.certificates.borrow()) {
            (Listener::Tls(_), Some(certificates)) => Some(certificates.current()),
            _ => None,
        };
        loop {
            match listener.accept() {
                Ok((accepted, peer)) => self.place(Accepted { tls: tls.clone(), ..accepted }, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.complain(&error);
                    // Out of descriptors, most likely: let some close rather than spin.
                    std::thread::sleep(ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn complain(&self, error: &io::Error) {
        let now = clock::monotonic();
        let recently = |at: Instant| now.duration_since(at) < ACCEPT_COMPLAINT_INTERVAL;
        if !self.complained.get().is_some_and(recently) {
            self.complained.set(Some(now));
            tracing::warn!(%error, "cannot accept connections");
        }
    }

    /// Gives a connection to the least loaded worker, unless it may not be taken.
    fn place(&self, accepted: Accepted, peer: Option<IpAddr>) {
        let config = &self.server.config;
        let load: usize = self.inboxes.iter().map(|inbox| inbox.load()).sum();
        if load >= config.maxclients {
            self.server.stats.connection_rejected(Rejection::MaxClients);
            accepted.refuse(b"-ERR max number of clients reached\r\n");
            return;
        }
        let open = self.server.auth.is_none() && config.protected_mode;
        if open && peer.is_some_and(|ip| !ip.to_canonical().is_loopback()) {
            self.server.stats.connection_rejected(Rejection::ProtectedMode);
            accepted.refuse(PROTECTED);
            return;
        }
        if let Socket::Tcp(socket) = &accepted.socket
            && let Err(error) = prepare(socket, config)
        {
            tracing::debug!(%error, "a connection ended before it began");
            return;
        }
        self.server.stats.connection_received();
        let least = self.inboxes.iter().min_by_key(|inbox| inbox.load());
        least.expect("there is at least one worker").accept(accepted);
    }
}

/// The answer to connections from elsewhere while there is no authentication.
const PROTECTED: &[u8] =
    b"-DENIED ringstone is running in protected mode because no authentication \
is configured. In this mode connections are only accepted from the loopback interface. To accept \
them from elsewhere, configure authentication or start ringstone with --protected-mode no.\r\n";

fn prepare(socket: &TcpStream, config: &Config) -> io::Result<()> {
    socket.set_nodelay(true)?;
    if let Some(idle) = config.tcp_keepalive {
        // As Redis: three probes within the configured time again.
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval((idle / 3).max(Duration::from_secs(1)))
            .with_retries(3);
        socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}
