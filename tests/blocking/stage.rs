//! A server with clients of which the test knows how many wait for data.

use std::time::{Duration, Instant};

use super::common::text::{self, Now};
use super::common::{Conn, DEADLINE, Reply, Server, flush, words};

/// See the module.
pub struct Stage<'s> {
    /// Where the clients are.
    pub server: &'s Server,
    control: Conn,
    /// Clients that wait, if the server does what it should.
    waiting: usize,
}

impl<'s> Stage<'s> {
    /// Nobody waits, and there are no data.
    pub fn new(server: &'s Server) -> Stage<'s> {
        let mut stage = Stage { server, control: server.connect(), waiting: 0 };
        flush(&mut stage.control);
        stage.settle();
        stage
    }

    /// One more client.
    pub fn client(&self) -> Conn {
        self.server.connect()
    }

    /// Has a client that does not wait send a command.
    pub fn does(&mut self, line: &str, reply: &str) {
        expect(&mut self.control, line, reply);
    }

    /// Has a client that does not wait send a command whose reply does not matter.
    pub fn ask(&mut self, line: &str) -> Reply {
        self.control.command(line)
    }

    /// A new client that waits with this command.
    pub fn waiter(&mut self, line: &str) -> Conn {
        let mut conn = self.client();
        self.block(&mut conn, line);
        conn
    }

    /// Has a client wait with this command; returns when it does.
    pub fn block(&mut self, conn: &mut Conn, line: &str) {
        conn.send(&words(line));
        self.came(1);
    }

    /// So many more wait, or are about to; returns when they do.
    pub fn came(&mut self, count: usize) {
        self.waiting += count;
        self.settle();
    }

    /// So many wait no more, or soon will not; returns when that is so.
    pub fn left(&mut self, count: usize) {
        self.waiting -= count;
        self.settle();
    }

    /// A client that waited is answered.
    pub fn served(&mut self, conn: &mut Conn, reply: &str) {
        self.waiting -= 1;
        heard(conn, reply);
    }

    /// Waits until as many clients wait as should.
    pub fn settle(&mut self) {
        let wanted = format!("blocked_clients:{}\r", self.waiting);
        let started = Instant::now();
        loop {
            let info = self.control.command("INFO clients");
            let info = String::from_utf8_lossy(info.bulk().unwrap()).into_owned();
            if info.contains(&wanted) {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "never {wanted}, but\n{info}");
            pause();
        }
    }

    /// The id of a client, which must not be waiting.
    pub fn id(&self, conn: &mut Conn) -> i64 {
        conn.command("CLIENT ID").int()
    }

    /// The end: as many wait as should, and they go.
    pub fn clear(mut self) {
        self.settle();
        self.ask("CLIENT KILL TYPE normal");
        self.waiting = 0;
        self.settle();
    }
}

/// Between two looks at what is not so yet: the server needs the processor more.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// The next reply of a client.
pub fn heard(conn: &mut Conn, reply: &str) {
    assert_eq!(text::render(&conn.read_reply(), Now::NEVER), reply);
}

/// Sends a command and compares its reply.
pub fn expect(conn: &mut Conn, line: &str, reply: &str) {
    assert_eq!(text::render(&conn.command(line), Now::NEVER), reply, "{line}");
}
