//! Whether a connection's token permits what it asks for.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::auth::{Authenticator, Denied, Grant, Origin, Request};
use crate::batch::{Op, Transaction};
use crate::clock;
use crate::command::state::{ClientShared, Tally};
use crate::command::stats::registry;
use crate::command::{Args, Client, Flags, Spec, connection, databases, sort};
use crate::limits::DATABASES;

/// Redis's answer to whoever has not authenticated.
const NO_AUTH: &[u8] = b"NOAUTH Authentication required.";

/// Asks the token of one connection.
pub(super) struct Gate {
    auth: Arc<Authenticator>,
    origin: Origin,
    /// Unix seconds, of the commands being admitted.
    now: u64,
    /// The database that the next command will see.
    database: u8,
    /// The one that the first command of the open transaction will see.
    outside: u8,
    /// Unix seconds at which the connection's token expires, if that is known.
    expires: Option<u64>,
    /// A command that was permitted among those being admitted, and would be with any other arguments:
    /// pipelines repeat themselves.
    passed: Option<&'static Spec>,
    /// Commands that the token was asked about, and those that it denied, since they were last counted.
    asked: (u64, u64),
    /// A `SELECT` is queued: whether it takes effect is known when the transaction is over.
    selects: bool,
}

impl Gate {
    /// The gate of a connection whose token `auth` has to verify.
    pub(super) fn new(auth: &Arc<Authenticator>, shared: &ClientShared) -> Gate {
        Gate {
            auth: Arc::clone(auth),
            origin: Origin { address: shared.ip(), tls: shared.tls },
            now: 0,
            expires: None,
            database: 0,
            outside: 0,
            passed: None,
            asked: (0, 0),
            selects: false,
        }
    }

    /// Notes what the token was asked about while commands were admitted.
    pub(super) fn end(&mut self, tally: &mut Tally) {
        let (asked, denied) = std::mem::take(&mut self.asked);
        tally.allowed += asked - denied;
        tally.denied += denied;
    }

    /// More commands of a connection are admitted: what came before them has been executed.
    pub(super) fn begin(&mut self, client: &mut Client, in_transaction: bool) {
        self.now = clock::unix_ms() / 1000;
        client.login = None;
        self.passed = None;
        self.expires = client.grant.as_ref().and_then(|grant| grant.expires());
        if !in_transaction {
            (self.database, self.selects) = (client.database, false);
        }
        client.operator = client.grant.as_ref().is_some_and(|grant| self.operates(grant));
    }

    /// Whether a token's holder is told of all tenants: if it may list them. The right alone does not
    /// say so, for it may have been given away again.
    fn operates(&self, grant: &Grant) -> bool {
        static LIST: LazyLock<&Spec> = LazyLock::new(|| {
            let mut specs = registry().specs().iter();
            specs.find(|spec| spec.name == "tenant|list").expect("it is in the table")
        });
        grant.is_admin() && self.permit(grant, &LIST, Args::new(&[], &[])).is_ok()
    }

    /// Whether the token has expired since the last command was admitted.
    pub(super) fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| clock::unix_ms() / 1000 >= expires)
    }

    /// When the token expires that was asked last.
    pub(super) fn expiry(&self) -> Option<Instant> {
        let left_ms = self.expires?.saturating_mul(1000).saturating_sub(clock::unix_ms());
        clock::monotonic().checked_add(Duration::from_millis(left_ms))
    }

    /// Whether a command may run, or be queued; otherwise the error it is answered with.
    pub(super) fn ask(
        &mut self,
        spec: &'static Spec,
        args: Args<'_>,
        client: &mut Client,
        in_transaction: bool,
    ) -> Result<(), Vec<u8>> {
        if self.passed.is_some_and(|passed| std::ptr::eq(passed, spec)) {
            self.asked.0 += 1;
            return Ok(());
        }
        if let Some((user, password)) = connection::credentials(spec, args) {
            if in_transaction {
                return Err(b"ERR Command not allowed inside a transaction".to_vec());
            }
            client.login = Some(self.verify(user, password)?);
        }
        if spec.flags.has(Flags::NO_AUTH) {
            return Ok(());
        }
        let Some(grant) = &client.grant else { return Err(NO_AUTH.to_vec()) };
        self.permit_and_count(grant, spec, args)?;
        self.passed = None;
        match spec.name {
            "select" => {
                let selected = databases::selected(args).unwrap_or(self.database);
                self.selects |= in_transaction;
                self.database = selected;
            }
            "multi" if !in_transaction => (self.outside, self.selects) = (self.database, false),
            _ if databases::are_named(spec) || grant.depends_on_keys() => {}
            _ => self.passed = Some(spec),
        }
        Ok(())
    }

    /// Whether the commands of a transaction may still run: their token may have expired since they were
    /// queued.
    pub(super) fn ask_again(
        &mut self,
        queued: &Transaction,
        client: &Client,
    ) -> Result<(), Vec<u8>> {
        let Some(grant) = &client.grant else { return Err(NO_AUTH.to_vec()) };
        (self.database, self.passed) = (self.outside, None);
        for (spec, args) in queued.iter() {
            self.permit_and_count(grant, spec, args)?;
            if spec.name == "select" {
                self.database = databases::selected(args).unwrap_or(self.database);
            }
        }
        Ok(())
    }

    /// Whether the right to do what follows `op` depends on its outcome.
    pub(super) fn is_decided_by(&self, op: &Op) -> bool {
        op.runs("reset") || matches!(op, Op::Exec(_) | Op::Discard(_)) && self.selects
    }

    fn verify(&self, user: &[u8], password: &[u8]) -> Result<Arc<Grant>, Vec<u8>> {
        // A token says by itself whose it is.
        if !matches!(user, b"default" | b"") {
            return Err(connection::WRONG_PASS.into());
        }
        self.auth.verify(password, &self.origin, self.now).map_err(|refused| {
            tracing::debug!(%refused, client = self.origin.address, "a token was not accepted");
            connection::WRONG_PASS.into()
        })
    }

    fn permit_and_count(
        &mut self,
        grant: &Grant,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<(), Vec<u8>> {
        let permitted = self.permit(grant, spec, args);
        self.asked.0 += 1;
        self.asked.1 += u64::from(permitted.is_err());
        permitted
    }

    fn permit(&self, grant: &Grant, spec: &'static Spec, args: Args<'_>) -> Result<(), Vec<u8>> {
        let number = registry().number(spec);
        let touched = databases::touched(spec, args, self.database);
        for database in (0..DATABASES).filter(|database| touched & 1 << database != 0) {
            let request = Request {
                number,
                command: spec.name,
                class: spec.class(),
                database,
                now: self.now,
            };
            grant.permits(&request, spec.keys.of(args)).map_err(|denied| refusal(spec, &denied))?;
        }
        if sort::reads_other_keys(spec, args) && grant.depends_on_keys() {
            let missing =
                Denied("BY and GET read keys that the token cannot be asked about".into());
            return Err(refusal(spec, &missing));
        }
        Ok(())
    }
}

fn refusal(spec: &Spec, denied: &Denied) -> Vec<u8> {
    let Denied(missing) = denied;
    let name = spec.name;
    format!("NOPERM this user has no permissions to run the '{name}' command: {missing}")
        .into_bytes()
}
