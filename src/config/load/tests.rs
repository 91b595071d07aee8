//! Precedence, mistakes and their lines, and that what is shown reads back.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::observation::{Observation, Percentiles};
use super::super::{ClientAuth, Durability, LogFormat, LogLevel};
use super::*;

/// Loads from flags, variables and the text of a file named `r.toml`.
fn load(
    flags: &[(&'static str, &str)],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<(Config, Origins), ConfigError> {
    let command_line = CommandLine {
        config: file.map(|_| "r.toml".to_owned()),
        values: flags.iter().map(|(name, value)| (*name, value.to_string())).collect(),
    };
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let read = |_: &Path| Ok(file.unwrap_or_default().to_owned());
    Config::load(command_line, variables, &read)
}

fn flag(name: &'static str, value: &str) -> Result<Config, String> {
    load(&[(name, value)], &[], None).map(|(config, _)| config).map_err(|error| error.to_string())
}

fn file(text: &str) -> Result<Config, String> {
    load(&[], &[], Some(text)).map(|(config, _)| config).map_err(|error| error.to_string())
}

fn variable(name: &str, value: &str) -> Result<Config, String> {
    load(&[], &[(name, value)], None).map(|(config, _)| config).map_err(|error| error.to_string())
}

#[test]
fn command_line_over_file_over_environment_over_default() {
    let environment = [("RINGSTONE_MAXCLIENTS", "2"), ("HOME", "elsewhere")];
    let text = Some("maxclients = 3");
    let flags = [("maxclients", "4")];
    let loaded = |flags, environment, text| {
        let (config, origins) = load(flags, environment, text).unwrap();
        let at = position("maxclients").unwrap();
        (config.maxclients, origins.0[at].clone().unwrap_or_default())
    };
    assert_eq!(loaded(&[], &[], None), (10_000, String::new()));
    assert_eq!(loaded(&[], &environment, None), (2, "RINGSTONE_MAXCLIENTS".into()));
    assert_eq!(loaded(&[], &environment, text), (3, "r.toml:1: maxclients".into()));
    assert_eq!(loaded(&flags, &environment, text), (4, "--maxclients".into()));
}

#[test]
fn a_stronger_source_replaces_a_list_whole() {
    let environment = [("RINGSTONE_LISTEN", "10.0.0.1:1,10.0.0.1:2")];
    let (config, _) = load(&[("listen", "[::1]:3")], &environment, None).unwrap();
    assert_eq!(config.listen, ["[::1]:3".parse::<SocketAddr>().unwrap()]);
}

#[test]
fn a_mistake_counts_even_where_a_stronger_source_replaces_it() {
    let error = load(&[("workers", "2")], &[], Some("workers = 0")).unwrap_err();
    assert_eq!(error.to_string(), "r.toml:1: workers: 0 is not between 1 and 256");
}

#[test]
fn every_setting_is_read_under_its_one_name() {
    let values = [
        ("listen", "127.0.0.1:7000,[::1]:0"),
        ("tls-listen", "[::1]:7001"),
        ("tls-cert", "cert.pem"),
        ("tls-key", "key.pem"),
        ("tls-client-ca", "ca.pem"),
        ("tls-client-auth", "optional"),
        ("tls-handshake-timeout", "2s"),
        ("unixsocket", "/run/ringstone.sock"),
        ("unixsocketperm", "770"),
        ("protected-mode", "no"),
        ("auth-public-key", ROOT_KEY),
        ("auth-public-key-file", "a.key,b.key"),
        ("auth-revoked-file", "revoked"),
        ("workers", "3"),
        ("tcp-backlog", "128"),
        ("tcp-keepalive", "60"),
        ("timeout", "30s"),
        ("metrics-listen", "127.0.0.1:9100"),
        ("metrics-tenants", "yes"),
        ("shutdown-timeout", "1500ms"),
        ("store", "memory"),
        ("data-dir", "elsewhere"),
        ("durability", "interval"),
        ("durability-interval", "250ms"),
        ("cache-bytes", "64mb"),
        ("cluster-file", "fdb.cluster"),
        ("fdb-root", "prod/cache"),
        ("group-commands-max", "1"),
        ("group-bytes-max", "2mb"),
        ("groups-in-flight-max", "8"),
        ("maxclients", "100"),
        ("request-bytes-max", "8mb"),
        ("output-buffer-limit", "16mb"),
        ("client-memory-max", "32mb"),
        ("loglevel", "debug"),
        ("log-format", "json"),
        ("slowlog-log-slower-than", "-1"),
        ("slowlog-max-len", "5"),
        ("latency-monitor-threshold", "25"),
        ("latency-tracking", "no"),
        ("latency-tracking-info-percentiles", "50 99.99"),
    ];
    assert_eq!(values.map(|(name, _)| name).to_vec(), names());
    let expected = all_set();
    let (by_flag, _) = load(&values, &[], None).unwrap();
    assert_eq!(by_flag, expected);
    let upper = |name: &str| format!("RINGSTONE_{}", name.to_uppercase().replace('-', "_"));
    let variables = values.map(|(name, value)| (upper(name), value));
    let variables = variables.each_ref().map(|(name, value)| (name.as_str(), *value));
    assert_eq!(load(&[], &variables, None).unwrap().0, expected);
    let text: String = values.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
    assert_eq!(file(&text).unwrap(), expected);
}

#[test]
fn settings_of_tls_fit_each_other() {
    let served = [("tls-listen", "127.0.0.1:1"), ("tls-cert", "c"), ("tls-key", "k")];
    let with = |more: &[(&'static str, &'static str)]| {
        let flags: Vec<_> = served.iter().chain(more).copied().collect();
        load(&flags, &[], None).map(|(config, _)| config)
    };
    assert_eq!(with(&[]).unwrap().client_auth(), ClientAuth::Off);
    assert_eq!(with(&[("listen", "")]).unwrap().listen, []);
    assert_eq!(with(&[("tls-client-ca", "ca")]).unwrap().client_auth(), ClientAuth::Required);
    let off = [("tls-client-ca", "ca"), ("tls-client-auth", "off")];
    assert_eq!(with(&off).unwrap().client_auth(), ClientAuth::Off);
    for (more, problem) in [
        (
            ("listen", "127.0.0.1:1"),
            "--tls-listen: 127.0.0.1:1 cannot be served both with and without TLS",
        ),
        (
            ("tls-client-auth", "required"),
            "--tls-client-auth: there is no tls-client-ca to check certificates with",
        ),
    ] {
        assert_eq!(with(&[more]).unwrap_err().to_string(), problem);
    }
    for (flags, problem) in [
        (&served[..1], "--tls-listen: there is no tls-cert to show to clients"),
        (&served[..2], "--tls-listen: there is no tls-key for the certificate"),
        (&served[1..2], "--tls-cert: there is no tls-listen that would use it"),
        (&served[2..], "--tls-key: there is no tls-listen that would use it"),
        (&[("tls-client-ca", "ca")], "--tls-client-ca: there is no tls-listen that would use it"),
    ] {
        assert_eq!(load(flags, &[], None).unwrap_err().to_string(), problem);
    }
}

/// A public key of RFC 8032, with the id 7.
const ROOT_KEY: &str = "7:ed25519/d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// What the settings of `every_setting_is_read_under_its_one_name` make.
fn all_set() -> Config {
    Config {
        listen: vec!["127.0.0.1:7000".parse().unwrap(), "[::1]:0".parse().unwrap()],
        tls_listen: vec!["[::1]:7001".parse().unwrap()],
        tls_cert: Some(PathBuf::from("cert.pem")),
        tls_key: Some(PathBuf::from("key.pem")),
        tls_client_ca: Some(PathBuf::from("ca.pem")),
        tls_client_auth: Some(ClientAuth::Optional),
        tls_handshake_timeout: Duration::from_secs(2),
        unixsocket: Some(PathBuf::from("/run/ringstone.sock")),
        unixsocketperm: Some(0o770),
        protected_mode: false,
        auth_public_key: vec![ROOT_KEY.parse().unwrap()],
        auth_public_key_file: vec![PathBuf::from("a.key"), PathBuf::from("b.key")],
        auth_revoked_file: Some(PathBuf::from("revoked")),
        workers: 3,
        tcp_backlog: 128,
        tcp_keepalive: Some(Duration::from_secs(60)),
        timeout: Some(Duration::from_secs(30)),
        metrics_listen: Some("127.0.0.1:9100".parse().unwrap()),
        metrics_tenants: true,
        shutdown_timeout: Duration::from_millis(1_500),
        store: StoreKind::Memory,
        data_dir: PathBuf::from("elsewhere"),
        durability: Durability::Interval,
        durability_interval: Duration::from_millis(250),
        cache_bytes: 64 << 20,
        cluster_file: Some(PathBuf::from("fdb.cluster")),
        fdb_root: vec!["prod".to_owned(), "cache".to_owned()],
        group_commands_max: 1,
        group_bytes_max: 2 << 20,
        groups_in_flight_max: 8,
        maxclients: 100,
        request_bytes_max: 8 << 20,
        output_buffer_limit: 16 << 20,
        client_memory_max: 32 << 20,
        loglevel: LogLevel::Debug,
        log_format: LogFormat::Json,
        observation: Observation {
            slower_than_us: -1,
            slowlog_len_max: 5,
            latency_threshold_ms: 25,
            latency_tracking: false,
            percentiles: Percentiles::read("", "50 99.99").unwrap(),
        },
    }
}

#[test]
fn keys_are_checked_and_revocation_needs_them() {
    let problem = flag("auth-public-key", "ed25519/00").unwrap_err();
    assert_eq!(problem, "--auth-public-key: it is not a public key, [ID:]ed25519/HEX");
    let two = flag("auth-public-key", &format!("{ROOT_KEY}, {ROOT_KEY}")).unwrap();
    assert_eq!(two.auth_public_key.len(), 2);
    assert!(two.has_keys() && two.authenticator(1).unwrap().is_some());
    let none = "--auth-revoked-file: there is no auth-public-key whose tokens could be revoked";
    assert_eq!(flag("auth-revoked-file", "r").unwrap_err(), none);
    assert!(Config::default().authenticator(1).unwrap().is_none());
    let missing = flag("auth-public-key-file", "/nowhere/a.key").unwrap();
    let problem = missing.authenticator(1).unwrap_err().to_string();
    assert!(problem.starts_with("auth-public-key-file: /nowhere/a.key: No such file"), "{problem}");
}

fn names() -> Vec<&'static str> {
    SETTINGS.iter().map(|setting| setting.name).collect()
}

#[test]
fn what_is_shown_reads_back() {
    let flags = [("listen", "127.0.0.1:1,[::1]:2"), ("unixsocket", "a\"b"), ("timeout", "5m")];
    let variables = [("RINGSTONE_UNIXSOCKETPERM", "060"), ("RINGSTONE_GROUP_BYTES_MAX", "1m")];
    let (config, origins) = load(&flags, &variables, Some("log-format = 'json'")).unwrap();
    let shown = config.to_toml(&origins);
    assert_eq!(file(&shown).unwrap(), config);
    for line in [
        "listen = [\"127.0.0.1:1\", \"[::1]:2\"]  # --listen",
        "unixsocketperm = \"060\"  # RINGSTONE_UNIXSOCKETPERM",
        "timeout = \"300s\"  # --timeout",
        "metrics-listen = \"127.0.0.1:9121\"  # default",
        "group-bytes-max = \"1000000\"  # RINGSTONE_GROUP_BYTES_MAX",
        "maxclients = 10000  # default",
        "log-format = \"json\"  # r.toml:1",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\nnot in\n{shown}");
    }
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (name, value, problem) in [
        (
            "listen",
            "localhost:6379",
            "localhost:6379 is not ADDR:PORT, such as 127.0.0.1:6379 or [::1]:6379",
        ),
        ("listen", "127.0.0.1:1,127.0.0.1:1", "127.0.0.1:1 is given twice"),
        ("listen", "", "there is nothing to serve: no address, and no unixsocket"),
        ("unixsocket", "", "the value is empty"),
        ("unixsocketperm", "999", "999 is not an octal mode such as 700"),
        ("protected-mode", "on", "on is not one of yes, no, true, false"),
        ("latency-tracking", "on", "on is not one of yes, no, true, false"),
        ("slowlog-log-slower-than", "1s", "argument couldn't be parsed into an integer"),
        ("workers", "", "the value is empty"),
        ("workers", "0", "0 is not between 1 and 256"),
        ("workers", "257", "257 is not between 1 and 256"),
        ("tcp-backlog", "65536", "65536 is not between 1 and 65535"),
        ("tcp-keepalive", "1500ms", "1500ms is not whole seconds"),
        ("tcp-keepalive", "10h", "10h is not between 1s and 32767s, nor 0 for off"),
        ("timeout", "soon", "soon is not a duration such as 250ms, 10s or 5m"),
        (
            "metrics-listen",
            "9100",
            "9100 is not ADDR:PORT, such as 127.0.0.1:6379 or [::1]:6379, nor off",
        ),
        ("shutdown-timeout", "0", "0 is not between 1ms and 3600s"),
        ("store", "redis", "redis is not one of memory, embedded, foundationdb"),
        ("data-dir", "", "the value is empty"),
        ("fdb-root", "a//b", "a//b is not a path such as ringstone or prod/cache"),
        ("fdb-root", "/a", "/a is not a path such as ringstone or prod/cache"),
        ("durability", "always", "always is not one of sync, interval, none"),
        ("durability-interval", "2h", "2h is not between 1ms and 3600s"),
        ("cache-bytes", "1", "1 is not between 1mb and 1024gb"),
        ("group-commands-max", "65536", "65536 is not between 1 and 65535"),
        ("group-bytes-max", "10mb", "10mb is not between 1kb and 10000000"),
        ("groups-in-flight-max", "0", "0 is not between 1 and 64"),
        ("maxclients", "0", "0 is not between 1 and 1000000"),
        ("request-bytes-max", "9mb", "9mb is not between 64kb and 8mb"),
        ("output-buffer-limit", "0", "0 is not between 64kb and 1024gb"),
        ("output-buffer-limit", "1mb", "1mb is less than request-bytes-max, which is 5mb"),
        ("client-memory-max", "0", "0 is not between 64kb and 1024gb"),
        ("client-memory-max", "4mb", "4mb is less than request-bytes-max, which is 5mb"),
        ("loglevel", "loud", "loud is not one of error, warn, info, debug, trace"),
        ("log-format", "xml", "xml is not one of human, json"),
    ] {
        assert_eq!(flag(name, value), Err(format!("--{name}: {problem}")));
    }
}

#[test]
fn lists_and_paths_are_bounded() {
    let many: Vec<String> = (1..=65).map(|port| format!("127.0.0.1:{port}")).collect();
    assert_eq!(
        flag("listen", &many.join(",")),
        Err("--listen: 65 addresses are more than 64".into())
    );
    assert!(flag("listen", &many[..64].join(",")).is_ok());
    assert!(flag("listen", "127.0.0.1:0,127.0.0.1:0").is_ok());
    let problem = flag("unixsocket", &"x".repeat(108)).unwrap_err();
    assert_eq!(
        problem,
        "--unixsocket: the path is longer than 107 bytes, which a socket's may not be"
    );
    assert!(flag("unixsocket", &"x".repeat(107)).is_ok());
}

#[test]
fn zero_switches_timeouts_off() {
    let (config, _) = load(&[("timeout", "0"), ("tcp-keepalive", "0")], &[], None).unwrap();
    assert_eq!((config.timeout, config.tcp_keepalive), (None, None));
}

#[test]
fn a_unix_socket_alone_is_enough() {
    let (config, _) = load(&[("listen", ""), ("unixsocket", "r.sock")], &[], None).unwrap();
    assert!(config.listen.is_empty());
    assert!(file("listen = []\nunixsocket = 'r.sock'").unwrap().listen.is_empty());
}

#[test]
fn foundationdb_says_how_to_get_it() {
    if cfg!(feature = "fdb") {
        assert_eq!(flag("store", "foundationdb").unwrap().store, StoreKind::FoundationDb);
        return;
    }
    let problem = "this build of ringstone has no FoundationDB support; \
                   build it with `--features fdb`";
    assert_eq!(flag("store", "foundationdb"), Err(format!("--store: {problem}")));
    assert_eq!(file("store = 'foundationdb'"), Err(format!("r.toml:1: store: {problem}")));
    // Another source may still choose a store this build has.
    let loaded = load(&[("store", "memory")], &[("RINGSTONE_STORE", "foundationdb")], None);
    assert_eq!(loaded.unwrap().0.store, StoreKind::Memory);
}

#[test]
fn the_file_takes_toml_values() {
    let config = file(
        "listen = ['127.0.0.1:1', '127.0.0.1:2']\nunixsocketperm = 0o700\nprotected-mode = false\n\
         workers = 1_6\ntimeout = 5\ncache-bytes = 1048576\n",
    )
    .unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.unixsocketperm, Some(0o700));
    assert!(!config.protected_mode);
    assert_eq!(config.workers, 16);
    assert_eq!(config.timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.cache_bytes, 1 << 20);
}

#[test]
fn mistakes_in_the_file_name_their_line() {
    for (text, problem) in [
        ("# first\n\nworkers = 0", "r.toml:3: workers: 0 is not between 1 and 256"),
        ("workers = 0x10", "r.toml:1: workers: 0x10 is not a whole number"),
        ("timeout = 0.5", "r.toml:1: timeout: 0.5 is not a duration such as 250ms, 10s or 5m"),
        (
            "workers = 1\nworkerz = 2",
            "r.toml:2: workerz: there is no such setting; did you mean workers?",
        ),
        ("colour = 2", "r.toml:1: colour: there is no such setting; see ringstone --help"),
        (
            "config = 'x'",
            "r.toml:1: config: only the command line and the environment name the file",
        ),
        ("[server]\nport = 1", "r.toml:1: server: there is no such setting; see ringstone --help"),
        ("workers = [1]", "r.toml:1: workers: a list is not a value for this setting"),
        ("workers = {}", "r.toml:1: workers: a table is not a value for this setting"),
        ("listen = [6379]", "r.toml:1: listen: the list has an integer where text belongs"),
        // The first of several, whatever their names.
        ("workers = 0\nlisten = 'x'", "r.toml:1: workers: 0 is not between 1 and 256"),
    ] {
        assert_eq!(file(text), Err(problem.to_owned()));
    }
}

#[test]
fn malformed_files_name_their_line_in_one_line() {
    for text in ["a = 1\nb =\n", "a = 1\n= 2", "a = 1\n\"b", "a = 1\na = 2"] {
        let problem = file(text).unwrap_err();
        assert!(problem.starts_with("r.toml:2: "), "{problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
}

#[test]
fn unknown_variables_are_refused_and_others_ignored() {
    assert_eq!(
        variable("RINGSTONE_WORKER", "1"),
        Err("RINGSTONE_WORKER: there is no such setting; did you mean RINGSTONE_WORKERS?".into())
    );
    assert_eq!(
        variable("RINGSTONE_GROUP_COMMANDS_MAX", "0"),
        Err("RINGSTONE_GROUP_COMMANDS_MAX: 0 is not between 1 and 65535".into())
    );
    assert_eq!(variable("WORKERS", "0"), Ok(Config::default()));
    assert_eq!(variable("RINGSTONE_TEST_SEED", "7"), Ok(Config::default()));
    assert!(names().iter().all(|name| !name.starts_with("test-")));
}

#[test]
fn the_command_line_names_the_file_before_the_environment_does() {
    let read = |path: &Path| {
        let name = path.to_str().unwrap();
        let error = || io::Error::from_raw_os_error(2);
        name.strip_suffix(".toml").map(|workers| format!("workers = {workers}")).ok_or_else(error)
    };
    let load = |flag: Option<&str>, variable: &str| {
        let command_line = CommandLine { config: flag.map(str::to_owned), values: Vec::new() };
        let variables = [("RINGSTONE_CONFIG".to_owned(), variable.to_owned())].into_iter();
        let loaded = Config::load(command_line, variables, &read);
        loaded.map(|(config, _)| config.workers).map_err(|error| error.to_string())
    };
    assert_eq!(load(None, "5.toml"), Ok(5));
    assert_eq!(load(Some("6.toml"), "5.toml"), Ok(6));
    assert_eq!(load(Some("6.toml"), "missing"), Ok(6));
    let missing = "cannot read missing: No such file or directory";
    assert_eq!(load(None, "missing"), Err(format!("RINGSTONE_CONFIG: {missing}")));
    assert_eq!(load(Some("missing"), "5.toml"), Err(format!("--config: {missing}")));
}

#[test]
fn distance_counts_single_edits() {
    for (from, to, edits) in [
        ("", "", 0),
        ("", "abc", 3),
        ("workers", "workers", 0),
        ("wrokers", "workers", 2),
        ("a", "b", 1),
    ] {
        assert_eq!(distance(from, to), edits);
        assert_eq!(distance(to, from), edits);
    }
}
