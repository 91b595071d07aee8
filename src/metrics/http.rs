//! The endpoint: `/metrics`, `/live` and `/ready` over HTTP/1.1, from a thread of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, LocalSet};

use super::Source;
use super::exposition::render;
use crate::clock;
use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_REQUEST_TIMEOUT, READINESS_KEPT};

/// A bound address that nobody serves yet.
pub struct Bound(TcpListener);

impl Bound {
    /// Binds `addr`.
    pub fn new(addr: SocketAddr) -> io::Result<Bound> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        Ok(Bound(listener))
    }

    /// The address, with the port that was given if none was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves `source` on what was bound, from a thread that ends with the process.
pub fn serve<S: Source + 'static>(bound: Bound, source: Arc<S>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    thread.spawn(move || LocalSet::new().block_on(&runtime, accept(bound.0, source)))?;
    Ok(())
}

async fn accept<S: Source + 'static>(listener: TcpListener, source: Arc<S>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve metrics"),
    };
    let endpoint = Rc::new(Endpoint { source, readiness: Mutex::default() });
    let connections = Rc::new(Connections::default());
    for id in 0_u64.. {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a scrape");
                tokio::time::sleep(HTTP_REQUEST_TIMEOUT / 10).await;
                continue;
            }
        };
        let (endpoint, open) = (Rc::clone(&endpoint), Rc::clone(&connections));
        let task = tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                open.asked(id);
                let endpoint = Rc::clone(&endpoint);
                async move { Ok::<_, Infallible>(endpoint.answer(&request).await) }
            });
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HTTP_REQUEST_TIMEOUT);
            if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a scrape failed");
            }
            open.ended(id);
        });
        connections.accepted(id, task.abort_handle());
    }
}

/// Who is connected; who has asked for nothing for the longest time is in front.
#[derive(Default)]
struct Connections(RefCell<VecDeque<(u64, AbortHandle)>>);

impl Connections {
    /// Nobody is kept waiting by those who send nothing, or read nothing: they make room.
    fn accepted(&self, id: u64, task: AbortHandle) {
        let mut open = self.0.borrow_mut();
        if open.len() >= HTTP_CONNECTIONS_MAX
            && let Some((_, silent)) = open.pop_front()
        {
            silent.abort();
        }
        open.push_back((id, task));
    }

    fn asked(&self, id: u64) {
        let connection = self.ended(id);
        self.0.borrow_mut().extend(connection);
    }

    fn ended(&self, id: u64) -> Option<(u64, AbortHandle)> {
        let mut open = self.0.borrow_mut();
        let place = open.iter().position(|(other, _)| *other == id)?;
        open.remove(place)
    }
}

struct Endpoint<S> {
    source: Arc<S>,
    /// What the last look at the store said, and when: many probes are one look.
    readiness: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl<S: Source> Endpoint<S> {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => {
                let mut response = text(StatusCode::OK, render(&self.source.samples()));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            "/live" => state("live", self.source.live()),
            "/ready" => state("ready", self.ready().await),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /live and /ready\n".to_owned()),
        }
    }

    async fn ready(&self) -> Result<(), String> {
        let mut known = self.readiness.lock().await;
        if let Some((at, readiness)) = &*known
            && at.elapsed() < READINESS_KEPT
        {
            return readiness.clone();
        }
        let readiness = self.source.ready().await;
        *known = Some((clock::monotonic(), readiness.clone()));
        readiness
    }
}

fn state(name: &str, state: Result<(), String>) -> Response<Full<Bytes>> {
    match state {
        Ok(()) => text(StatusCode::OK, format!("{name}\n")),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not {name}: {why}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
