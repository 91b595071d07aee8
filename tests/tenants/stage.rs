//! Connections of tenants without sockets: what `net` does with a session and a batch, and no more.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use ringstone::batch::{Batch, Groups, Home, Reader, Stay, Writer};
use ringstone::command::state::{ClientShared, Done, Killer};
use ringstone::command::{Client, Server};
use ringstone::config::Config;
use ringstone::data::Tenant;
use ringstone::session::Session;
use ringstone::store::fault::{FaultPlan, FaultStore};
use ringstone::store::memory::MemoryStore;
use ringstone::store::{Local as _, Mode, Scan, Store};

use super::common::encode;

pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
struct Nobody;

impl Killer for Nobody {
    fn kill(&self, _: u64) {}
    fn unblock(&self, _: u64, _: u64, _: bool) {}
}

/// Where batches come back to.
#[derive(Default)]
struct Desk(Mutex<Vec<Box<Batch>>>);

impl Home for Desk {
    fn parked(&self, _: Stay) {}

    fn deliver(&self, batches: &mut Vec<Box<Batch>>) {
        self.0.lock().append(batches);
    }
}

/// One process, and its connections.
pub struct Stage {
    pub server: Arc<Server>,
    memory: Arc<MemoryStore>,
    desk: Arc<Desk>,
    /// Of a store that answers at once.
    local: Option<(Writer, Reader)>,
}

/// A connection.
pub struct Connection {
    session: Session,
    pub client: Client,
    slot: usize,
}

/// What is behind a connection's last pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Replies(String),
    /// It waits for data, after these replies.
    Waits(String),
}

impl Answer {
    pub fn text(&self) -> &str {
        match self {
            Answer::Replies(text) | Answer::Waits(text) => text,
        }
    }
}

impl Stage {
    /// On a store in memory.
    pub fn local() -> Stage {
        let memory = Arc::new(MemoryStore::new());
        let server =
            Arc::new(Server::new(Config::default(), Arc::clone(&memory) as Arc<dyn Store>));
        let desk = Arc::new(Desk::default());
        let writer = Writer::new(&server, vec![Arc::clone(&desk) as Arc<dyn Home>]);
        Stage { server, memory, desk, local: Some((writer, Reader::default())) }
    }

    /// On a store where reads have to be fetched, commits conflict and outcomes are unknown.
    pub fn faulty(seed: u64) -> Stage {
        let plan = FaultPlan {
            seed,
            pending_1_in: 2,
            retry_1_in: 9,
            conflict_1_in: 5,
            unknown_applied_1_in: 9,
            unknown_not_applied_1_in: 9,
            ..FaultPlan::default()
        };
        let memory = Arc::new(MemoryStore::new());
        let store = Arc::new(FaultStore::new(Arc::clone(&memory) as Arc<dyn Store>, plan));
        let server = Arc::new(Server::new(Config::default(), store));
        Stage { server, memory, desk: Arc::default(), local: None }
    }

    /// A connection of a tenant, with this number.
    pub fn connect(&self, id: u64, address: &str, tenant: Tenant) -> Connection {
        let (addr, laddr) = (address.to_owned(), "127.0.0.1:6379".to_owned());
        let shared = Arc::new(ClientShared::new(id, addr, laddr, 0, Arc::new(Nobody)));
        self.server.add_client(&shared);
        let session = Session::new(&self.server, &shared);
        let mut client = Client::new(shared);
        (client.tenant, client.operator) = (tenant, false);
        let mut connection = Connection { session, client, slot: id as usize };
        self.publish(&mut connection);
        connection
    }

    /// A connection of who operates the server.
    pub fn operator(&self) -> Connection {
        let mut connection = self.connect(99, "127.0.0.1:99", 0);
        connection.client.operator = true;
        connection
    }

    /// Creates a tenant.
    pub fn tenant(&mut self, name: &str) -> Tenant {
        let mut operator = self.operator();
        self.run(&mut operator, &format!("TENANT SETQUOTA {name} commands none"));
        let answer = self.run(&mut operator, &format!("TENANT INFO {name}"));
        self.server.remove_client(99);
        let id = answer.text().split("\r\n").find_map(|line| line.strip_prefix(':'));
        id.unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
    }

    fn publish(&self, connection: &mut Connection) {
        let (protocol, queued) = (ringstone::resp::Protocol::Resp2, connection.session.queued());
        connection.client.publish(Done { at_ms: 0, command: None, protocol, queued });
    }

    /// Has a connection send commands, divided by bars.
    pub fn run(&mut self, connection: &mut Connection, line: &str) -> Answer {
        let commands: Vec<_> = line.split(" | ").map(super::common::words).collect();
        self.send(connection, &commands)
    }

    /// Has a connection send these commands in one pipeline.
    pub fn send(&mut self, connection: &mut Connection, commands: &[Vec<Vec<u8>>]) -> Answer {
        let mut input: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        let mut batch = Box::new(Batch::new(connection.client.clone(), 0, connection.slot));
        connection.session.take(&mut input, &mut batch);
        batch.input = input;
        let mut replies = Vec::new();
        let mut waits = false;
        while !batch.is_done() {
            let Some(next) = self.serve(batch) else {
                // What it changed of the connection, too, waits.
                waits = true;
                batch = Box::new(Batch::new(connection.client.clone(), 0, connection.slot));
                break;
            };
            batch = next;
            replies.extend_from_slice(batch.reply.bytes());
            batch.reply.clear();
        }
        replies.extend_from_slice(batch.reply.bytes());
        connection.client = batch.client.clone();
        connection.client.apply_effects(&self.server);
        self.publish(connection);
        let replies = String::from_utf8_lossy(&replies).into_owned();
        if waits { Answer::Waits(replies) } else { Answer::Replies(replies) }
    }

    /// One turn of a batch; `None` if it is parked.
    fn serve(&mut self, mut batch: Box<Batch>) -> Option<Box<Batch>> {
        let slot = batch.slot;
        match &mut self.local {
            Some((_, reader)) if !batch.writes => {
                let input = std::mem::take(&mut batch.input);
                reader.run(&mut batch, &input, &self.server, &*self.memory);
                batch.input = input;
                return Some(batch);
            }
            Some((writer, _)) => {
                writer.submit(&mut vec![batch]);
            }
            None => {
                let mode = if batch.writes { Mode::Write } else { Mode::Read };
                let homes = vec![Arc::clone(&self.desk) as Arc<dyn Home>];
                let groups = Arc::new(Groups::new(&self.server, homes, mode));
                groups.submit(&mut vec![batch]);
                groups.close();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(groups.serve());
            }
        }
        self.take(slot)
    }

    fn take(&self, slot: usize) -> Option<Box<Batch>> {
        let mut delivered = self.desk.0.lock();
        let at = delivered.iter().position(|batch| batch.slot == slot)?;
        Some(delivered.remove(at))
    }

    /// The replies to one that waited and was served meanwhile.
    pub fn served(&self, connection: &Connection) -> Option<String> {
        let batch = self.take(connection.slot)?;
        Some(String::from_utf8_lossy(batch.reply.bytes()).into_owned())
    }

    /// All records of the store.
    pub fn records(&self) -> Records {
        let mut records = Records::new();
        self.memory.read(&mut |snapshot| {
            let visit = &mut |key: &[u8], value: &[u8]| {
                records.insert(key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            };
            snapshot.scan(Scan::all(b"", &[0xff; 16]), visit).unwrap();
        });
        records
    }
}
