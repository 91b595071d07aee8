//! ringstone: a Redis-protocol server for data that must not be lost.
//!
//! Clients speak RESP to it as they would to Redis. It keeps nothing of its own: it is a proxy in
//! front of an ordered transactional store: embedded in the process on one machine, a FoundationDB
//! cluster past that, with any number of ringstone processes before it. A reply to a write leaves the
//! process only when the write is durable; every command, and every `MULTI`/`EXEC` block, takes effect
//! atomically at one point between its arrival and its reply.
//!
//! This page is the architecture.
//!
//! # The problem
//!
//! A durable commit costs a disk's or a cluster's round trip, however small it is. A server that
//! commits once per command is as slow as that round trip; one that answers before the commit loses
//! data. ringstone commits once per *group*: all pipeline batches, of all connections, that arrived
//! while the previous group was being committed. Nobody waits for a timer, a hot key is read and
//! written once per group however many clients increment it, and the cost of durability is divided by
//! the number of commands in flight.
//!
//! # Layers
//!
//! Each uses only those below it (`tests/tidy.rs` checks that):
//!
//! | module | owns |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`server`] | the process from start to stop, and its background work |
//! | [`net`] | sockets, buffers registered with io_uring, one event loop per worker thread |
//! | [`session`] | whether a request may run: names, arity, tokens, the `MULTI` queue |
//! | [`batch`] | which requests share a transaction, and running them |
//! | [`command`] | what each command means: one table row and one function each |
//! | [`data`] | how keys and values become ordered records |
//! | [`store`] | keeping records: the contract, and the stores that fulfil it |
//!
//! Leaves that all may use: [`resp`] (the wire format), [`config`], [`limits`] (every bound), [`clock`]
//! (the only source of time), [`num`] and [`glob`] (Redis's numbers and patterns), [`json`] (documents
//! and paths), [`auth`] (tokens), [`error`], [`logging`], [`metrics`].
//!
//! # Life of a `GET`
//!
//! The connection's task receives into a registered buffer ([`net`]). [`resp::Parser`] marks the
//! arguments of all complete commands in place; [`session::Session`] looks up names and checks arity,
//! which makes a [`batch::Batch`]. No command of it writes, so the worker itself runs it at once
//! ([`batch::Reader`]): it takes one snapshot of the store and calls each command's handler with the
//! arguments, a [`data::View`] of the snapshot and the reply buffer. The handler of `GET` looks up the
//! key's meta record and copies its value into the reply. All replies of the batch leave in one write,
//! while the next request may already be coming in.
//!
//! # Life of a `SET`
//!
//! As above, but the batch writes, so it goes whole and in order to the single [`batch::Writer`], with
//! all others that became ready in the same turn of the event loop. The holder of the writer role
//! executes everything that waits as one group: handlers read through the view and write into its
//! overlay, where later commands of the group see it. A handler that fails is undone alone. Then the
//! overlay is committed; on the embedded store that is one append to the log and one `fdatasync`, by a
//! thread of its own, while the workers go on serving reads (a few commands on a disk that syncs
//! quickly are committed by the worker itself). Only then are the records visible to
//! snapshots, and only then do the batches return to their workers and the replies to the clients.
//!
//! Handlers are synchronous and have no effect beside the view, the reply and the client's state, all
//! of which can be rolled back. So a group can be executed again from its start: when a store has to
//! fetch a record first, when a commit conflicts with another process, or when its outcome was unknown
//! and the commit marker shows that it did not happen.
//!
//! # Across a network
//!
//! A store that lives in another process ([`store::Store::local`] is `None`) is used through
//! transactions that are polled ([`store::Transaction`]). Then batches that only read form groups too,
//! on their worker, and batches that write form groups of the whole process, in a task of the first
//! worker ([`batch::Groups`]). Several groups of each kind are in flight at once.
//!
//! A group is executed when it starts. Reads that the transaction has no answer for are noted, and the
//! handlers of all its commands go on as far as they come; then all that was noted is fetched together
//! and the group is executed again, until nothing is missing. So a pipeline of `GET`s costs one read
//! version and one round of reads, and a plain `SET`, which looks at nothing, costs one commit and
//! nothing else. The record that says which keyspace a database shows is assumed to be what it was a
//! moment ago; the store makes sure of that with the group's other reads, or with its commit.
//!
//! What a group's commit conflicts with, by the class of command:
//!
//! | commands | reads that are checked | conflicts with other processes that |
//! | --- | --- | --- |
//! | `GET`, `MGET`, `SCAN`, ... alone in a batch | none: a snapshot | never |
//! | `SET`, `MSET`, `SETEX`, `PSETEX` without options that look | the database's keyspace | flush or swap the database |
//! | `INCR`, `APPEND`, `SETNX`, `GETSET`, `EXPIRE`, `DEL`, ... | the metas of their keys | write the same key |
//! | `SETRANGE`, `SETBIT`, `BITFIELD` on a long string | the meta and the chunks they touch | write the same key |
//! | `LPUSH`, `LPOP`, `LSET`, `LREM`, `LMOVE`, ... | the metas of their lists, and the items they look at | write the same list |
//! | `HSET`, `HDEL`, `SADD`, `SREM`, `HINCRBY`, ... | the meta and the elements they name; what removes, one that stays | change the same elements, or the key |
//! | `SPOP` | the meta and a run of neighbours from a random position | change one of these |
//! | `ZADD`, `ZREM`, `ZINCRBY`, ... | as `HSET` and `HDEL`; in a large set also one index entry a level | change the same members, or one in 64 of the others near by |
//! | `ZPOPMIN`, `ZREMRANGEBYSCORE`, ... | the meta, and the range they remove | change members in that range |
//! | `SUNIONSTORE`, `ZUNIONSTORE`, ... | what they read of their sources | change that |
//! | `JSON.SET` and others that change a document | the meta, and the value unless all of it is replaced | write the same key |
//! | `RENAME`, `COPY`, `BITOP`, `RESTORE`, `SORT ... STORE` | the metas and values they move or look up | write one of the keys |
//! | `EXEC` | all of the above, and the watched keys | write any of them |
//! | reads beside writes in one batch | all they read | write what they read |
//! | `FLUSHDB`, `SWAPDB` | the database's keyspace | flush or swap it too |
//! | the first key of a tenant's database | the database's keyspace | write another first key there |
//! | `TENANT DROP` | the tenant's record, its databases' keyspaces | write there for the first time, or drop it |
//!
//! Every command of a tenant also checks the tenant's record, which changes with its settings and when
//! it is dropped. Those that write for a tenant whose storage is bounded read what they change, also where
//! others write blindly: the group has to know by how much it grows.
//!
//! Within a process nobody conflicts: two groups in flight have no key of a tenant in common, and what is wanted
//! by a batch while another group has it waits for that group, in order of arrival. The clients of a
//! contended key send their next commands when the replies have reached them; the next group on that key
//! waits a moment for them, or each would carry half of them. Removing a key
//! leaves its stamp in one of 1024 traces, for `WATCH`; these are written blindly.
//!
//! A group that writes reads at the newest version this process knows, without asking for one: its
//! commit finds out whether that was recent enough. If nothing is committed in the end, or after a
//! conflict, it is executed again at a version of its own.
//!
//! A conflict executes the group again; after a few it is tried in halves that have no key in common, so
//! that one contended key does not hold up its neighbours. A commit that ends unknown is looked up: each group writes a marker
//! of its own with its changes. What takes longer than the deadline is answered with `-TIMEOUT`.
//!
//! Processes know of each other by a record each of them keeps changing ([`data::members`]), and share
//! out background work by that. Expiry is judged by the clock of the process that executes a command;
//! no clocks are compared otherwise. So a key expires first for the process whose clock is ahead, which
//! may remove it for all.
//!
//! # The embedded store
//!
//! [`store::embedded`] is a write-ahead log, a write buffer and a cache in memory, and an LSM tree
//! (fjall's `lsm-tree`). The tree is written only by checkpoints: putting each command's record through it costs
//! several times what Redis spends on a whole command, while a record that is overwritten a thousand
//! times between checkpoints reaches the tree once.
//!
//! # The FoundationDB store
//!
//! `store::foundationdb` (feature `fdb`) is one directory of a cluster. All reads that a group is
//! known to need leave together and end with one wake-up; the values stay in the client library's
//! memory until they have become a reply. Reading groups use snapshot reads at one version, obtained
//! by the first of them; writing groups read with conflict checks. Records that hardly ever change
//! (which keyspace a database has) are assumed to be what they were up to two seconds ago, and made
//! sure of before the group ends: by reading them with the rest, or, where a group reads nothing
//! else, by the commit, which checks that they have not changed since the version at which they were
//! known. That is why a plain `SET` takes one round trip, the commit.
//!
//! # Data model
//!
//! See [`data::keys`] for the records and [`data::meta`] for their layout. Keys are ordered by a hash,
//! so a `SCAN` cursor is a position that needs no state, and sequential names spread over the whole
//! keyspace. A key's meta record holds type, expiry, modification stamp and a short string's value;
//! longer strings are chunks under an incarnation id, which are left to a collector when a key is
//! deleted or overwritten. A removed record leaves a trace by which `WATCH` notices that a key which
//! is not there was there in between.
//!
//! The elements of collections live under an incarnation as well, so `RENAME` and `DEL` cost the same
//! whatever their number. Fields of hashes and members of sets lie in hash order; the meta says only
//! which incarnation it is, so whoever changes an element changes no record that others need, but for a
//! counter that is added to without being read ([`data::collection`]). A sorted set has its members
//! once more in the order of their scores and, when it is large, numbers of how many lie between some
//! of them, which make ranks logarithmic ([`data::sorted_set`]). The items of a list have positions,
//! consecutive ones until a long list is changed in its middle ([`data::list`]). JSON documents are
//! plain strings ([`json`]).
//!
//! # Tokens
//!
//! Where keys are configured, a connection may do what its token permits ([`auth`]). The session verifies a
//! token when `AUTH` or `HELLO` brings it, on the connection's worker, and admits nothing that came behind it
//! before the login has been executed, which finds the token's tenant in the store. Each command is asked
//! about before it is queued or executed, and those of a transaction once more by `EXEC`: the decision is a
//! load where it has been made before, the keys are looked at only for tokens whose checks name them, and only what
//! no plain form covers goes to the Datalog engine, whose cost is bounded before it runs. Handlers know
//! nothing of all this but whose data they work on. A quota of connections, commands or bytes of a request is
//! kept where these come in ([`command::allowance`]).
//!
//! # Tenants
//!
//! A connection belongs to a tenant, which has 16 databases of its own ([`data::tenants`]). A keyspace
//! id says whose a record is, and a command gets one only from the view, for its client's tenant. The
//! keyspaces that the databases of a tenant have at first follow from its id, so a tenant that is new
//! costs two records; a database has one more from its first key on, by which background work finds it.
//! That goes on to so many databases at a time, however many there are. A dropped tenant's keyspaces are
//! left to the collector like flushed ones. Its record and those of its databases go with it, and
//! whatever a client of it asks for reads one of them or assumes that it is there, which the commit checks: so
//! it fails, in every process. Where a process compares keys, to keep groups apart or to find who waits for one, those of
//! different tenants are different.
//!
//! While more than one tenant is active ([`limits::RIVALRY`]), each has its share of every turn of a
//! worker's loop and of every group of a local store's writer, and what it sends beyond that waits behind
//! its own: the others wait for a share, not for the flood ([`batch::Lanes`]).
//!
//! What concerns the process or all tenants has a class of its own ([`auth::Class`]), and a client
//! that is no operator is told of no connection but those of its tenant, and by `INFO` no figure of the
//! process. `tests/tenants.rs` sends every command of the table as one tenant, with and without another
//! one there: the replies have to be the same.
//!
//! # Monitors
//!
//! While somebody monitors ([`command::monitor`]), executions note which commands ran; like all that an
//! execution changes, the notes are undone with it. What counts is turned into lines when the batch is back
//! with its connection, before its replies leave, and put into a bounded queue of each monitor that may see
//! them, whose connection sends it while it waits for input.
//!
//! # Measuring
//!
//! What a client waits for is measured from the arrival of a command to its written reply, by batch, for
//! its commands share that time ([`metrics::Timeline`]). What a ring has completed is all there when a worker's
//! tasks begin to run, so a look at the clock once a turn of the event loop tells when all of that arrived,
//! and which replies had left (`net::tick`). What arrives while its client's earlier requests are being answered
//! is remembered with that moment (`net::arrivals`). In between every moment belongs to a stage: authorization, queue,
//! execution, read version, reads, commit, retry, flush. One more look at the clock ends each of them; those of a
//! group are measured once and given to all its members. While a batch waits for data that others are to
//! bring it is on nobody's account.
//!
//! Each worker counts in a shard of its own, once per batch, with plain loads and stores
//! ([`command::stats::Shard`]), and so does who executes groups ([`command::stats::GroupShard`]); what happens
//! seldom is counted in atomics that all share. `INFO` and the endpoint for Prometheus, which has a thread
//! of its own ([`metrics::serve`]), sum them up when they are asked. Every metric is a row of [`metrics::ALL`] and a
//! sample of `server::figures`.
//!
//! A batch that took long is noted with the command that took most of it and its stages
//! ([`command::slowlog`]), events that took long by kind ([`command::latency_monitor`]); from when on, `CONFIG
//! SET` says ([`command::observing`]). Groups are spans at debug level ([`logging`]). Whatever repeats a
//! command to others gets its arguments from [`command::redaction`].
//!
//! # TLS
//!
//! Below the session a connection is bytes, encrypted or not. A TLS connection has one buffer more: records
//! are received into a registered buffer and decrypted there, their data goes to where the parser reads, and
//! replies are encrypted into the buffer that is sent ([`net`]). Everything above sees no difference, but
//! for [`command::state::ClientShared::tls`].
//!
//! # Storage quotas
//!
//! What a tenant stores is counted only if it has a quota for it ([`data::usage`]): the bytes of the keys
//! and values of its records that hold keys, values and elements, which includes 17 to 51 bytes a record
//! that are not the user's; not the entries of the expiry index and other records that follow from those.
//! They are counted by keyspace and change in the commit that changes the records, so they are
//! exact, whatever crashes. A database that is flushed counts nothing at once; a large value that is
//! deleted or overwritten counts until the collector has removed its elements. A quota for a tenant that
//! has data begins with a census in the background, during which nothing is refused.
//!
//! Past the quota, commands with the flag `denyoom`, and transactions that have one, are answered as Redis
//! answers them when its memory is full. A local store asks for each group what the last commit
//! left. Elsewhere a thread looks once a second at what those tenants store that write, so a tenant
//! may exceed its quota by what it writes in about a second, and anywhere by what one group holds.
//!
//! A group that does not write for such a tenant does nothing for all this: that there is a quota is
//! said by the records that tell which keyspace a database shows.
//!
//! # Waiting for data
//!
//! A command such as `BLPOP` that finds nothing to take ends its batch there; what came before it is
//! answered, and the batch is parked with its place in the order of all that wait (`batch::parked`).
//! A group whose commands give a key a list or a sorted set takes those who wait for it in as members
//! and executes them after its own, the longest waiting first: they share its commit, and a newcomer
//! that finds others waiting goes behind them. The connection meanwhile listens for its client to go
//! away, and for the time to be over; either takes the batch back, unless it is just being served.
//! On a shared store the metas of the keys that are waited for are watched ([`store::Watch`]), so what
//! another process pushes is noticed within milliseconds.
//!
//! # Guarantees
//!
//! 1. Acknowledged means durable (unless `--durability` says otherwise).
//! 2. Strictly serializable: reads see only what is durable; commands of one connection take effect in
//!    order; a pipeline without writes is one consistent snapshot, as far as it arrives in one receive and its
//!    replies leave in one send ([`limits::BATCH_COMMANDS_MAX`], [`limits::BATCH_REPLY_BYTES`]).
//! 3. Exactly once: an unknown commit is resolved, never blindly retried.
//! 4. Nothing unbounded: every queue, buffer, frame and reply has a limit in [`limits`].

pub mod auth;
pub mod batch;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod data;
pub mod error;
pub mod glob;
pub mod json;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod num;
pub mod resp;
pub mod server;
pub mod session;
pub mod store;
