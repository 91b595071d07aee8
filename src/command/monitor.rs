//! `MONITOR`: connections that are shown the commands of others as these are executed.
//!
//! A monitor is shown what connections of its tenant do, an operator's what all do. What it is shown waits
//! in a queue of its own until its connection has sent it; who lets that grow past
//! [`limits::MONITOR_QUEUE_BYTES_MAX`] is disconnected, so nobody ever waits for a monitor. Commands are
//! looked at by the layer above, and only while somebody monitors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::client_memory::{Budget, Charge};
use super::state::{Client, ClientShared, Effect};
use super::stats::Ending;
use super::{Args, Ctx, Flags, Group, Keys, Outcome, Spec, redaction};
use crate::data::Tenant;
use crate::limits::{self, MONITOR_QUEUE_BYTES_MAX, MONITORS_MAX, MONITORS_OF_ONE_MAX};
use crate::resp::Reply;

const MONITOR: Flags =
    Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::TELLS);

/// The row of `MONITOR`.
pub const TABLE: &[Spec] = &[Spec::new("monitor", 1, MONITOR, Keys::NONE, monitor).doc(
    Group::Server,
    "1.0.0",
    "O(1)",
    "Shows the commands of the tenant's connections as they are executed.",
)];

fn monitor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.turn.is_none() {
        return Err("ERR MONITOR isn't allowed for DENY BLOCKING client".into());
    }
    if ctx.client.monitor.is_some() {
        // As Redis: not even a reply.
        return Ok(());
    }
    if !ctx.server.monitors.has_room(ctx.client) {
        return Err("ERR too many connections monitor already".into());
    }
    ctx.client.effects.push(Effect::Monitor);
    ctx.reply.ok();
    Ok(())
}

/// A command that was executed: where its batch has it, and how things were behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// Which of the batch's ops.
    pub op: u32,
    /// The database selected.
    pub database: u8,
    /// Whose connection it was.
    pub tenant: Tenant,
}

/// All connections that monitor.
#[derive(Debug, Default)]
pub struct Monitors {
    /// How many there are, to be read without the lock.
    len: AtomicUsize,
    watchers: Mutex<Vec<Arc<Watcher>>>,
}

impl Monitors {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the client may be one more. As many more as there are workers may be let in at once.
    fn has_room(&self, client: &Client) -> bool {
        let watchers = self.watchers.lock();
        let equals = watchers.iter().filter(|watcher| match client.is_operator() {
            true => watcher.operator,
            false => !watcher.operator && watcher.tenant == client.tenant,
        });
        let is_few = equals.count() < MONITORS_OF_ONE_MAX;
        is_few && (client.is_operator() || watchers.len() < MONITORS_MAX)
    }

    /// Begins to show a connection what others of the tenant do, or all of them its `operator`.
    pub(super) fn enter(
        self: &Arc<Monitors>,
        client: &Arc<ClientShared>,
        tenant: Tenant,
        operator: bool,
        memory: &Arc<Budget>,
    ) -> Monitor {
        let watcher = Arc::new(Watcher {
            client: Arc::clone(client),
            tenant,
            operator,
            queue: Mutex::default(),
            memory: Arc::clone(memory),
            arrived: Notify::new(),
        });
        let mut watchers = self.watchers.lock();
        watchers.push(Arc::clone(&watcher));
        self.len.store(watchers.len(), Ordering::Relaxed);
        Monitor { watcher, monitors: Arc::clone(self) }
    }

    fn leave(&self, watcher: &Arc<Watcher>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|other| !Arc::ptr_eq(other, watcher));
        self.len.store(watchers.len(), Ordering::Relaxed);
    }

    /// Those who are shown what connections of the tenant do.
    fn of(&self, tenant: Tenant) -> Vec<Arc<Watcher>> {
        let watchers = self.watchers.lock();
        let may_see = |watcher: &&Arc<Watcher>| watcher.operator || watcher.tenant == tenant;
        watchers.iter().filter(may_see).cloned().collect()
    }
}

/// Who monitors, as seen by those who are monitored.
#[derive(Debug)]
struct Watcher {
    client: Arc<ClientShared>,
    tenant: Tenant,
    operator: bool,
    queue: Mutex<Queue>,
    memory: Arc<Budget>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// What they take of the memory for connections.
    charge: Option<Charge>,
    /// There is no more to come: it monitors no longer, or there was more than it may have.
    closed: bool,
}

impl Watcher {
    fn show(&self, lines: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        let mut charge = queue.charge.take().or_else(|| self.memory.charge(0));
        let is_there = charge.as_mut().is_some_and(|charge| charge.grow(lines.len()));
        if !is_there || queue.lines.len() + lines.len() > MONITOR_QUEUE_BYTES_MAX {
            self.close(&mut queue);
            drop(queue);
            let client = self.client.id;
            tracing::warn!(client, "closing a monitor that falls behind with what it is shown");
            self.client.kill(if is_there { Ending::OutputLimit } else { Ending::ClientMemory });
            return;
        }
        queue.lines.extend_from_slice(lines);
        self.client.buffers.to_show(queue.lines.len());
        queue.charge = charge;
        drop(queue);
        self.arrived.notify_one();
    }

    /// Forgets the lines, and takes no more.
    fn close(&self, queue: &mut Queue) {
        *queue = Queue { closed: true, ..Queue::default() };
        self.client.buffers.to_show(0);
    }
}

/// What makes a connection a monitor; it is none any more when this is dropped.
#[derive(Debug)]
pub struct Monitor {
    watcher: Arc<Watcher>,
    monitors: Arc<Monitors>,
}

impl Monitor {
    /// Returns when there is something to show that has not been taken.
    pub async fn arrived(&self) {
        self.watcher.arrived.notified().await;
    }

    /// Takes what is to be shown; returns how many bytes that is.
    pub fn take(&self, reply: &mut Reply) -> usize {
        let mut queue = self.watcher.queue.lock();
        let (lines, charge) = (std::mem::take(&mut queue.lines), queue.charge.take());
        self.watcher.client.buffers.to_show(0);
        drop((queue, charge));
        reply.raw(&lines);
        lines.len()
    }

    /// Forgets what was to be shown.
    pub fn skip(&self) {
        let mut queue = self.watcher.queue.lock();
        (queue.lines, queue.charge) = (Vec::new(), None);
        self.watcher.client.buffers.to_show(0);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.monitors.leave(&self.watcher);
        self.watcher.close(&mut self.watcher.queue.lock());
    }
}

/// Shows commands of one connection, in the order in which they are given.
pub struct Show<'s> {
    monitors: &'s Monitors,
    client: &'s ClientShared,
    now_us: u64,
    /// Whose the lines are, and who is shown them.
    tenant: Option<Tenant>,
    watchers: Vec<Arc<Watcher>>,
    lines: Vec<u8>,
}

impl<'s> Show<'s> {
    /// Commands of `client` that were executed at `now_us`, Unix microseconds.
    pub fn new(monitors: &'s Monitors, client: &'s ClientShared, now_us: u64) -> Show<'s> {
        Show { monitors, client, now_us, tenant: None, watchers: Vec::new(), lines: Vec::new() }
    }

    /// Shows a command to who may see it, unless it is one that nobody is shown.
    pub fn command(&mut self, spec: &'static Spec, args: Args<'_>, ran: Ran) {
        if spec.flags.has(Flags::ADMIN) || spec.flags.has(Flags::SKIP_MONITOR) {
            return;
        }
        if self.tenant != Some(ran.tenant) {
            self.flush();
            self.tenant = Some(ran.tenant);
            self.watchers = self.monitors.of(ran.tenant);
        }
        if self.watchers.is_empty() {
            return;
        }
        let arguments = redaction::shown(spec, args);
        line(&mut self.lines, self.now_us, ran.database, &self.client.addr, arguments);
        if self.lines.len() > limits::BATCH_REPLY_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.watchers.iter().for_each(|watcher| watcher.show(&self.lines));
            self.lines.clear();
        }
    }
}

impl Drop for Show<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Appends what a monitor is shown of one command, as Redis writes it.
fn line<'a>(
    lines: &mut Vec<u8>,
    now_us: u64,
    database: u8,
    addr: &str,
    args: impl Iterator<Item = &'a [u8]>,
) {
    // A client of the Unix socket has the socket's address, with a port of 0.
    let (kind, addr) = match addr.strip_prefix('/') {
        Some(_) => ("unix:", addr.strip_suffix(":0").unwrap_or(addr)),
        None => ("", addr),
    };
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    lines.extend_from_slice(format!("+{seconds}.{micros:06} [{database} {kind}{addr}]").as_bytes());
    for arg in args {
        lines.extend_from_slice(b" \"");
        quote(lines, arg);
        lines.push(b'"');
    }
    lines.extend_from_slice(b"\r\n");
}

/// Appends bytes so that only printable ASCII is left, in the escapes that Redis uses.
fn quote(text: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    text.reserve(bytes.len());
    for &byte in bytes {
        let escaped = match byte {
            b'\\' | b'"' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x07 => b'a',
            0x08 => b'b',
            b' '..=b'~' => {
                text.push(byte);
                continue;
            }
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                text.extend_from_slice(&[b'\\', b'x', digits[0], digits[1]]);
                continue;
            }
        };
        text.extend_from_slice(&[b'\\', escaped]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(addr: &str, args: &[&[u8]]) -> String {
        let mut lines = Vec::new();
        line(&mut lines, 1_795_217_803_000_042, 3, addr, args.iter().copied());
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn lines_are_those_of_redis() {
        assert_eq!(
            shown("127.0.0.1:4", &[b"set", b"K", b"v\0\n\r\t\x07\x08\"\\\x7f\xff ~"]),
            "+1795217803.000042 [3 127.0.0.1:4] \"set\" \"K\" \
             \"v\\x00\\n\\r\\t\\a\\b\\\"\\\\\\x7f\\xff ~\"\r\n"
        );
        assert_eq!(
            shown("/run/a:0:0", &[b"ping", b""]),
            "+1795217803.000042 [3 unix:/run/a:0] \"ping\" \"\"\r\n"
        );
    }
}
