//! Clients that load a server until it is killed in the middle of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use super::{Address, DEADLINE, Server};

/// What the clients tell the main thread, and it them.
pub struct Pace {
    acknowledged: AtomicU64,
    target: u64,
    killed: AtomicBool,
}

/// A client's end of it; the load has failed once all of them are gone too early.
pub struct Load {
    pace: Arc<Pace>,
    reached: Sender<()>,
}

impl Load {
    /// One more request was acknowledged.
    pub fn acknowledge(&self) {
        if self.pace.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == self.pace.target {
            let _ = self.reached.send(());
        }
    }

    /// Whether the connection may break.
    pub fn is_killed(&self) -> bool {
        self.pace.killed.load(Ordering::SeqCst)
    }
}

/// Has every client `run` in a thread of its own until `target` requests have been acknowledged, kills
/// the server in the middle of it, and returns what each client then knows.
pub fn kill_under_load<C: Send + 'static>(
    server: &mut Server,
    target: u64,
    clients: Vec<C>,
    run: fn(C, &Address, &Load) -> C,
) -> Vec<C> {
    let (acknowledged, killed) = (AtomicU64::new(0), AtomicBool::new(false));
    let pace = Arc::new(Pace { acknowledged, target, killed });
    let (reached, wait) = channel();
    let mut threads = Vec::new();
    for client in clients {
        let load = Load { pace: pace.clone(), reached: reached.clone() };
        let address = server.address.clone();
        threads.push(std::thread::spawn(move || run(client, &address, &load)));
    }
    drop(reached);
    wait.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        let done = pace.acknowledged.load(Ordering::SeqCst);
        panic!("only {done} of {target} requests were acknowledged\n{}", server.log())
    });
    pace.killed.store(true, Ordering::SeqCst);
    server.kill();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
