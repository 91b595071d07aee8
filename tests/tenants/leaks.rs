//! Property: whatever command a tenant sends, it gets the same replies as if the other tenant were not
//! there, and the other tenant's records stay what they are, byte for byte.

use std::collections::BTreeSet;

use ringstone::auth::Class;
use ringstone::command::Args;
use ringstone::command::{Found, Spec, lookup, top_level};
use ringstone::data::{Tenant, keys};
use ringstone::resp::Span;

use super::common::arguments::{self, GIVEN, OWN, REQUESTS, SECRET_ADDRESS, SECRETS};
use super::stage::{Answer, Connection, Records, Stage};

/// Tells the time, or takes its chances.
const NEVER_THE_SAME: [&str; 3] = ["time", "randomkey", "lolwut"];
/// What begins so in `INFO` and `CLIENT LIST` changes with time, or with the process.
const CHANGING: [&str; 10] = [
    "$",
    "=",
    "age",
    "idle",
    "uptime_in_",
    "server_time_usec",
    "lru_clock",
    "run_id",
    "master_replid",
    "rdb_last_save_time",
];

type Commands = Vec<Vec<Vec<u8>>>;

/// Two tenants; the first has secrets.
struct Neighbours {
    stage: Stage,
    ids: [Tenant; 2],
    first: Connection,
    second: Connection,
}

impl Neighbours {
    fn new(mut stage: Stage, second_has_keys: bool) -> Neighbours {
        let ids = ["acme", "other"].map(|name| stage.tenant(name));
        let second = stage.connect(1, "127.0.0.1:1", ids[1]);
        let first = stage.connect(2, SECRET_ADDRESS, ids[0]);
        let mut pair = Neighbours { stage, ids, first, second };
        if second_has_keys {
            arguments::lines(OWN).for_each(|line| drop(pair.second(&line.commands)));
        }
        pair
    }

    fn with_secrets(stage: Stage, second_has_keys: bool) -> Neighbours {
        let mut pair = Neighbours::new(stage, second_has_keys);
        for line in arguments::lines(GIVEN) {
            let answer = pair.first(&line.commands);
            assert!(!answer.text().contains('-') || answer.text().contains("OK"), "{answer:?}");
        }
        pair
    }

    /// As if the first had never been there.
    fn without(stage: Stage, second_has_keys: bool) -> Neighbours {
        let pair = Neighbours::new(stage, second_has_keys);
        pair.stage.server.remove_client(2);
        pair
    }

    fn first(&mut self, commands: &Commands) -> Answer {
        self.stage.send(&mut self.first, commands)
    }

    fn second(&mut self, commands: &Commands) -> Answer {
        self.stage.send(&mut self.second, commands)
    }

    /// Everything that is the first one's.
    fn of_first(&self) -> Records {
        let tenant = self.ids[0];
        let own: BTreeSet<u32> = (0..16).map(|at| keys::initial_keyspace(tenant, at)).collect();
        let mut records = self.stage.records();
        let system = [keys::tenant(tenant), keys::tenant_name(b"acme")];
        let is_own = |key: &[u8]| match keys::be_u32(&key[..4]) {
            0 if key[4] == b'd' => keys::split_catalog_key(key).0 == tenant,
            0 => system.iter().any(|record| record[..] == *key),
            keyspace => own.contains(&keyspace),
        };
        records.retain(|key, _| is_own(key));
        records
    }
}

fn spec_of(command: &[Vec<u8>]) -> Option<&'static Spec> {
    let (mut input, mut spans) = (Vec::new(), Vec::new());
    for word in command {
        spans.push(Span { start: input.len() as u32, len: word.len() as u32 });
        input.extend_from_slice(word);
    }
    match lookup(Args::new(&input, &spans)) {
        Found::Command(spec) => Some(spec),
        _ => None,
    }
}

/// Every command that can be sent.
fn specs() -> impl Iterator<Item = &'static Spec> {
    let all = top_level().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    all.filter(|spec| spec.subcommands.is_empty() || spec.accepts(1))
}

/// What the session does not let a tenant send.
fn is_refused(commands: &Commands) -> bool {
    let classes = commands.iter().filter_map(|command| spec_of(command)).map(Spec::class);
    classes.into_iter().any(|class| class == Class::Admin)
}

/// The replies without what is another each time.
fn comparable(answer: &Answer) -> (bool, Vec<String>) {
    let words = answer.text().split(['\r', '\n', ' ']);
    let kept = words.filter(|word| !CHANGING.iter().any(|start| word.starts_with(start)));
    (matches!(answer, Answer::Waits(_)), kept.map(str::to_owned).collect())
}

/// Has the second tenant send this, with and without the first one there.
fn check(stage: &dyn Fn() -> Stage, commands: &Commands, has_keys: bool) {
    let shown: Vec<_> = commands
        .iter()
        .map(|command| String::from_utf8_lossy(&command.join(&b' ')).into_owned())
        .collect();
    let shown = shown.join(" | ");
    let mut pair = Neighbours::with_secrets(stage(), has_keys);
    let before = pair.of_first();
    let answer = pair.second(commands);
    for secret in SECRETS {
        assert!(!answer.text().contains(secret), "{shown}: {answer:?}");
    }
    assert!(pair.of_first() == before, "{shown} changed what is another tenant's");
    assert!(!pair.first.client.shared.is_killed(), "{shown} killed another tenant's connection");
    assert_eq!(pair.first.client.shared.tenant(), pair.ids[0]);
    let spec = commands.last().and_then(|command| spec_of(command));
    if spec.is_some_and(|spec| NEVER_THE_SAME.contains(&spec.name)) {
        return;
    }
    let alone = Neighbours::without(stage(), has_keys).second(commands);
    assert_eq!(comparable(&answer), comparable(&alone), "{shown} tells of another tenant");
}

#[test]
fn every_command_has_a_request() {
    let mut covered = BTreeSet::new();
    for line in arguments::lines(REQUESTS) {
        for secret in SECRETS {
            assert!(!line.text.contains(secret), "{}", line.text);
        }
        for command in &line.commands {
            let spec = spec_of(command).unwrap_or_else(|| panic!("{}: no such command", line.text));
            assert!(spec.accepts(command.len()), "{}: wrong number of arguments", line.text);
            covered.insert(spec.name);
        }
    }
    let missing: Vec<_> =
        specs().map(|spec| spec.name).filter(|name| !covered.contains(name)).collect();
    assert!(missing.is_empty(), "tests/common/arguments.rs has no request for {missing:?}");
}

#[test]
fn the_requests_do_something_where_the_keys_are() {
    for line in arguments::lines(REQUESTS) {
        let mut pair = Neighbours::with_secrets(Stage::local(), false);
        // For those who operate the server the rest is as for others.
        pair.first.client.operator = true;
        let answer = pair.first(&line.commands);
        // Negative numbers begin so, too.
        let is_error = |reply: &str| {
            reply.strip_prefix('-').is_some_and(|text| text.starts_with(char::is_uppercase))
        };
        let failed = answer.text().split("\r\n").any(is_error);
        assert!(!failed || line.may_fail, "{}: {answer:?}", line.text);
        assert!(matches!(answer, Answer::Replies(_)), "{} waits", line.text);
    }
}

#[test]
fn commands_about_the_process_are_for_its_operators() {
    let admin: Vec<_> =
        specs().filter(|spec| spec.class() == Class::Admin).map(|spec| spec.name).collect();
    let expected = [
        "memory|doctor",
        "memory|malloc-stats",
        "memory|purge",
        "memory|stats",
        "client|pause",
        "client|unpause",
        "shutdown",
        "config|get",
        "config|set",
        "config|resetstat",
        "config|rewrite",
        "latency|doctor",
        "latency|graph",
        "latency|histogram",
        "latency|history",
        "latency|latest",
        "latency|reset",
        "tenant|list",
        "tenant|info",
        "tenant|setquota",
        "tenant|drop",
        "tenant|help",
    ];
    let sorted = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&admin), sorted(&expected));
    for spec in specs().filter(|spec| spec.keys.are_there()) {
        assert!(matches!(spec.class(), Class::Read | Class::Write), "{}", spec.name);
    }
}

#[test]
fn no_request_tells_or_changes_what_is_another_tenants() {
    for line in arguments::lines(REQUESTS).filter(|line| !is_refused(&line.commands)) {
        check(&Stage::local, &line.commands, false);
        check(&Stage::local, &line.commands, true);
    }
}

#[test]
fn nor_does_it_where_reads_are_fetched_and_commits_conflict() {
    for (seed, line) in (0..).zip(arguments::lines(REQUESTS)) {
        if !is_refused(&line.commands) {
            check(&|| Stage::faulty(seed), &line.commands, seed % 2 == 0);
        }
    }
}

#[test]
fn nor_does_any_command_with_keys_in_all_places() {
    for spec in specs().filter(|spec| spec.class() != Class::Admin) {
        let least = usize::from(spec.arity.unsigned_abs());
        for count in least..=least + 2 {
            for command in arguments::generic(spec.name, count) {
                check(&Stage::local, &vec![command], false);
            }
        }
    }
}
