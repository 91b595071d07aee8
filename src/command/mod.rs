//! What each command means: one table row and one function per command, grouped by data type.
//!
//! A handler is a synchronous function of its arguments, the view and the client's state. It may be
//! called again from the start for the same request (a read was pending, a commit conflicted), so it
//! has no effect but on the view, the reply and the client state, which the runner rolls back.

mod absent;
pub mod allowance;
mod bitmap;
pub mod blocking;
mod client;
mod client_list;
pub mod client_memory;
mod cluster;
mod command_info;
mod config;
pub mod connection;
pub mod databases;
mod dump;
mod elements;
mod expiry;
mod generic;
mod hash;
mod help;
mod info;
mod json;
pub mod latency_monitor;
mod list;
mod lolwut;
mod memory;
pub mod monitor;
mod object;
pub mod observing;
pub mod options;
mod pause;
pub mod redaction;
mod scan;
mod server;
mod set;
pub mod slowlog;
pub mod sort;
mod sorted_set;
pub mod state;
pub mod stats;
mod string;
mod table;
mod tenant;
mod transaction;

use crate::auth::Class;
use crate::data::{KeyspaceId, View};
use crate::error::Stop;
use crate::num;
use crate::resp::{Reply, Span};

pub use state::{Client, Server};
pub use table::{Found, lookup, top_level};

/// What a handler ends with; on `Err` the runner undoes its writes and its reply.
pub type Outcome = Result<(), Stop>;
/// The function that executes a command.
pub type Handler = fn(&mut Ctx<'_, '_>) -> Outcome;

/// Arguments of one command, its name first, borrowed from the input they arrived in.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    input: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The arguments that `spans` mark in `input`.
    pub fn new(input: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { input, spans }
    }

    /// Number of arguments, the command's name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; panics past the end, which the arity in the table rules out.
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.input)
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> Args<'a> {
        Args { input: self.input, spans: self.spans.get(index..).unwrap_or_default() }
    }

    /// The first `count` arguments.
    pub fn first(&self, count: usize) -> Args<'a> {
        Args { input: self.input, spans: &self.spans[..count.min(self.spans.len())] }
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + use<'a> {
        let input = self.input;
        self.spans.iter().map(move |span| span.of(input))
    }
}

/// Whether it is a blocking command's turn to take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is, and it has not waited.
    Now,
    /// It is, and it has waited before: keys that others gave values of the wrong type are as good as
    /// empty.
    AfterWaiting,
    /// Others have been waiting for longer: it has to let them go first.
    Later,
}

/// All a handler gets.
pub struct Ctx<'c, 'v> {
    /// The command and its arguments.
    pub args: Args<'c>,
    /// What the group sees and writes.
    pub view: &'c mut View<'v>,
    /// Where the reply goes.
    pub reply: &'c mut Reply,
    /// The connection's state.
    pub client: &'c mut Client,
    /// The process.
    pub server: &'c Server,
    /// Whether it may take what others may be waiting for, if it is one of the commands that wait;
    /// `None` inside `EXEC`, where nothing waits.
    pub turn: Option<Turn>,
    /// Nothing can be stored now: what would have to be is answered with this error.
    pub refusal: Option<&'c str>,
}

impl<'c> Ctx<'c, '_> {
    /// Argument `index`.
    pub fn arg(&self, index: usize) -> &'c [u8] {
        self.args.get(index)
    }

    /// [`Stop::Unread`] if the replies so far end the connection: there is no use in more.
    pub fn check_replies(&self) -> Outcome {
        let limit = self.server.config.output_buffer_limit;
        if self.reply.len() > limit { Err(Stop::Unread) } else { Ok(()) }
    }

    /// The keyspace of the client's database.
    pub fn keyspace(&self) -> Result<KeyspaceId, Stop> {
        self.view.keyspace(self.client.tenant, self.client.database)
    }
}

/// Properties of a command: those of `COMMAND INFO`, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// No property.
    pub const NONE: Flags = Flags(0);

    /// This set and another.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Reads, in constant or logarithmic time.
    pub const READ_FAST: Flags = Flags::READONLY.and(Flags::FAST);
    /// Writes, in constant or logarithmic time.
    pub const WRITE_FAST: Flags = Flags::WRITE.and(Flags::FAST);
    /// Writes and may need more space.
    pub const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
    /// Writes and may need more space, in constant or logarithmic time.
    pub const GROWS_FAST: Flags = Flags::GROWS.and(Flags::FAST);

    /// Whether all of `other` are in this set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Flags {
    /// Opens, closes or bypasses a transaction: handled where commands are admitted. Ours, not shown
    /// by `COMMAND INFO`.
    pub const CONTROL: Flags = Flags(1 << 31);
    /// Concerns the whole process, or all tenants: for those who operate it. Ours, too.
    pub const OPERATOR: Flags = Flags(1 << 30);
    /// Tells about data of all the tenant's databases without reading any. Ours, too.
    pub const TELLS: Flags = Flags(1 << 29);
    /// Not always done in constant time, as [`Spec::complexity`] says. Ours, too.
    pub const LENGTHY: Flags = Flags(1 << 28);
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*
            /// Every flag with the name `COMMAND INFO` gives it, in its order.
            pub const NAMES: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text)),*];
        }
    };
}

flags! {
    /// May change data: goes to the writer.
    WRITE = 0, "write";
    /// Reads data and changes none.
    READONLY = 1, "readonly";
    /// May need more space.
    DENYOOM = 2, "denyoom";
    /// Manages the server.
    ADMIN = 3, "admin";
    /// Publish and subscribe.
    PUBSUB = 4, "pubsub";
    /// Not for scripts.
    NOSCRIPT = 5, "noscript";
    /// Blocks the client.
    BLOCKING = 6, "blocking";
    /// Allowed while loading.
    LOADING = 7, "loading";
    /// Allowed on stale replicas.
    STALE = 8, "stale";
    /// Not shown to `MONITOR`.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Not in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Cluster: asking.
    ASKING = 11, "asking";
    /// Constant or logarithmic time.
    FAST = 12, "fast";
    /// Allowed before authentication.
    NO_AUTH = 13, "no_auth";
    /// May be replicated though it is no write.
    MAY_REPLICATE = 14, "may_replicate";
    /// Not queued by `MULTI`.
    NO_MULTI = 15, "no_multi";
    /// Its keys cannot be found from positions alone.
    MOVABLE_KEYS = 16, "movablekeys";
    /// Allowed while a script is busy.
    ALLOW_BUSY = 17, "allow_busy";
}

/// Where a command's keys are among its arguments: as in `COMMAND INFO`, 0 = no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Position of the first key.
    pub first: i16,
    /// Position of the last key, negative from the end.
    pub last: i16,
    /// Distance from one key to the next.
    pub step: i16,
    /// Others, where positions alone do not tell.
    pub more: MoreKeys,
}

/// Keys that only a look at the arguments finds. Such a command has [`Flags::MOVABLE_KEYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoreKeys {
    /// None.
    None,
    /// As many as the argument at this position says, right behind it.
    Counted(usize),
    /// Behind the last option `STORE` of `SORT`.
    Store,
}

impl MoreKeys {
    /// The first of them and the one behind the last; empty if the arguments make no sense.
    fn range(self, args: Args<'_>) -> std::ops::Range<usize> {
        match self {
            MoreKeys::None => 0..0,
            MoreKeys::Counted(at) if at < args.len() => {
                let count = num::parse_i64(args.get(at)).unwrap_or(0);
                let left = args.len() - at - 1;
                at + 1..at + 1 + usize::try_from(count).unwrap_or(0).min(left)
            }
            MoreKeys::Counted(_) => 0..0,
            MoreKeys::Store => {
                let (mut found, mut at) = (0..0, 2);
                while at < args.len() {
                    let is = |name: &[u8]| args.get(at).eq_ignore_ascii_case(name);
                    if is(b"store") && at + 1 < args.len() {
                        found = at + 1..at + 2;
                    }
                    at += match () {
                        () if is(b"limit") => 3,
                        () if is(b"store") || is(b"by") || is(b"get") => 2,
                        () => 1,
                    };
                }
                found
            }
        }
    }
}

impl Keys {
    /// No keys.
    pub const NONE: Keys = Keys::range(0, 0, 0);
    /// The first argument.
    pub const ONE: Keys = Keys::range(1, 1, 1);
    /// The first two arguments.
    pub const TWO: Keys = Keys::range(1, 2, 1);
    /// All arguments.
    pub const ALL: Keys = Keys::range(1, -1, 1);

    /// Keys at these positions and no others.
    pub const fn range(first: i16, last: i16, step: i16) -> Keys {
        Keys { first, last, step, more: MoreKeys::None }
    }

    /// As many keys as the argument at position `at` says, right behind it.
    pub const fn counted(at: usize) -> Keys {
        Keys::NONE.with(MoreKeys::Counted(at))
    }

    /// These keys and more.
    pub const fn with(self, more: MoreKeys) -> Keys {
        Keys { more, ..self }
    }

    /// Whether there may be any.
    pub fn are_there(&self) -> bool {
        self.first != 0 || self.more != MoreKeys::None
    }

    /// The keys among a command's arguments.
    pub fn of<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let len = args.len();
        let first = self.first.max(0) as usize;
        let last = if self.last < 0 {
            len.saturating_sub(usize::from(self.last.unsigned_abs()))
        } else {
            (self.last as usize).min(len.saturating_sub(1))
        };
        let end = if first == 0 { 0 } else { last + 1 };
        let fixed = (first..end).step_by(self.step.max(1) as usize);
        fixed.chain(self.more.range(args)).map(move |index| args.get(index))
    }
}

/// Whom a command serves: its group in `COMMAND DOCS` and its ACL category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Strings.
    String,
    /// Bits of strings.
    Bitmap,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// JSON documents, which are strings.
    Json,
    /// Keys of any type.
    Generic,
    /// `MULTI` and what belongs to it.
    Transactions,
    /// The connection.
    Connection,
    /// The server.
    Server,
    /// Redis Cluster.
    Cluster,
    /// Publish and subscribe.
    PubSub,
}

/// One row of the table: everything about a command that is not its function.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Lower-case name; a subcommand's is `container|name`.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least so many.
    pub arity: i16,
    /// Properties.
    pub flags: Flags,
    /// Key positions.
    pub keys: Keys,
    /// Group.
    pub group: Group,
    /// Redis version the command appeared in.
    pub since: &'static str,
    /// Cost, in the notation of `COMMAND DOCS`.
    pub complexity: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The function.
    pub run: Handler,
    /// Rows of the subcommands, if this is a container.
    pub subcommands: &'static [Spec],
}

impl Spec {
    /// A command's row, to be completed with [`Spec::doc`].
    pub const fn new(
        name: &'static str,
        arity: i16,
        flags: Flags,
        keys: Keys,
        run: Handler,
    ) -> Spec {
        Spec {
            name,
            arity,
            flags,
            keys,
            group: Group::Generic,
            since: "",
            complexity: "",
            summary: "",
            run,
            subcommands: &[],
        }
    }

    /// Adds what `COMMAND DOCS` says: group, first Redis version, cost, and one sentence.
    pub const fn doc(
        self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Spec {
        let is_constant = matches!(complexity.as_bytes(), b"O(1)");
        let flags = if is_constant { self.flags } else { self.flags.and(Flags::LENGTHY) };
        Spec { flags, group, since, complexity, summary, ..self }
    }

    /// With this summary.
    const fn about(self, summary: &'static str) -> Spec {
        Spec { summary, ..self }
    }

    /// Makes the row a container of these subcommands.
    pub const fn with(self, subcommands: &'static [Spec]) -> Spec {
        Spec { subcommands, ..self }
    }

    /// Whether `count` arguments, the name included, are right.
    pub fn accepts(&self, count: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity >= 0 { count == arity } else { count >= arity }
    }

    /// What the command needs. What names keys and does not write tells something about them.
    pub fn class(&self) -> Class {
        match () {
            () if self.flags.has(Flags::OPERATOR) => Class::Admin,
            () if self.is_write() => Class::Write,
            () if self.flags.has(Flags::READONLY) || self.flags.has(Flags::TELLS) => Class::Read,
            () if self.keys.are_there() => Class::Read,
            () => Class::Connection,
        }
    }

    /// Whether the command may change data.
    pub fn is_write(&self) -> bool {
        self.flags.has(Flags::WRITE)
    }
}
