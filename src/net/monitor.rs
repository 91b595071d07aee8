//! What a connection does between its batches while it monitors: it sends what it is shown.

use std::io;

use super::conn::passed;
use super::link::Link;
use super::worker::Worker;
use crate::batch::Batch;
use crate::error;
use crate::session::Session;

/// Sends the replies, calling `sent` when they have left, and what the client is shown if it monitors, until
/// there is more input; whether there is any. Monitoring ends when the token does that permitted it.
pub async fn exchange(
    worker: &Worker,
    link: &mut Link<'_>,
    batch: &mut Batch,
    session: &Session,
    sent: impl Fn(),
) -> io::Result<bool> {
    if batch.client.monitor.is_some() {
        let slot = batch.slot;
        worker.slots.borrow_mut()[slot].held = true;
        let came = send_lines(worker, link, batch, session, &sent).await;
        worker.slots.borrow_mut()[slot].held = false;
        if let Some(came) = came? {
            return Ok(came);
        }
        batch.client.monitor = None;
        batch.reply.error(error::TOKEN_EXPIRED);
    }
    link.exchange(&mut batch.reply, sent).await
}

/// As [`exchange`] for one that monitors; `None` when its token expires.
async fn send_lines(
    worker: &Worker,
    link: &mut Link<'_>,
    batch: &mut Batch,
    session: &Session,
    sent: &impl Fn(),
) -> io::Result<Option<bool>> {
    let expiry = session.expiry();
    let Some(monitor) = batch.client.monitor.clone() else { return Ok(None) };
    loop {
        worker.stats.bytes_out.add(batch.take_shown() as u64);
        link.flush(&mut batch.reply, sent).await?;
        let lines_came = async {
            tokio::select! {
                biased;
                () = passed(expiry) => false,
                () = monitor.arrived() => true,
            }
        };
        match link.receive_or(lines_came).await? {
            Ok(input) => return Ok(Some(input)),
            Err(true) => {}
            Err(false) => return Ok(None),
        }
    }
}
