//! The program answers by itself for its help, its version and its configuration, and refuses every
//! bad setting with exactly one line on standard error and exit code 64.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// Runs the program with nothing in its environment but `variables`.
fn ringstone(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringstone"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

/// What a successful run prints.
fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = ringstone(arguments, variables);
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The line of a refused run, without the program's name.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = ringstone(arguments, variables);
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    let line = errors.strip_suffix('\n').expect("a line");
    assert!(!line.contains('\n'), "{errors}");
    line.strip_prefix("ringstone: ").expect("the program's name").to_owned()
}

#[test]
fn help_groups_every_setting_and_states_the_precedence() {
    let help = printed(&["--help"], &[]);
    for heading in ["Serving:", "Store:", "Grouping:", "Limits:", "Logging:"] {
        assert!(help.lines().any(|line| line == heading), "{heading}");
    }
    for setting in ringstone::config::SETTINGS {
        assert!(help.contains(&format!("--{} <{}>", setting.name, setting.value)));
    }
    assert!(help.contains("The command line wins over the file, the file over the environment"));
    assert!(help.contains("check-config"));
    assert!(help.lines().all(|line| line.chars().count() <= 100));
    assert_eq!(printed(&["-h"], &[]), help);
}

#[test]
fn version_is_the_package_version() {
    assert_eq!(printed(&["--version"], &[]), format!("ringstone {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn check_config_shows_the_outcome_of_all_sources() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ringstone.toml");
    std::fs::write(&file, "# ours\nmaxclients = 3\nworkers = 3\ngroup-bytes-max = '2mb'\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let variables = [("RINGSTONE_WORKERS", "2"), ("RINGSTONE_LOG_FORMAT", "json")];
    let arguments = ["--maxclients", "4", "check-config", "--config", file];
    let shown = printed(&arguments, &variables);
    for line in [
        "maxclients = 4  # --maxclients".to_owned(),
        format!("workers = 3  # {file}:3"),
        format!("group-bytes-max = \"2mb\"  # {file}:4"),
        "log-format = \"json\"  # RINGSTONE_LOG_FORMAT".to_owned(),
        "listen = [\"127.0.0.1:6379\"]  # default".to_owned(),
        "# unixsocket is not set".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\nnot in\n{shown}");
    }
    let by_variable = printed(&["check-config"], &[("RINGSTONE_CONFIG", file)]);
    assert!(by_variable.contains("maxclients = 3  # "), "{by_variable}");
}

#[test]
fn what_check_config_prints_is_a_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("again.toml");
    let listen = ["check-config", "--listen", "[::1]:0", "--listen", "127.0.0.1:7000"];
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    let first = printed(&listen, &[]);
    std::fs::write(&file, &first).unwrap();
    let again = printed(&["check-config", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(values(&again), values(&first));
}

#[test]
fn bad_settings_are_one_line_whether_checked_or_served() {
    for first in [&["check-config"][..], &[]] {
        let refused = |rest: &[&str]| refused(&[first, rest].concat(), &[]);
        assert_eq!(refused(&["--workers", "0"]), "--workers: 0 is not between 1 and 256");
        assert_eq!(refused(&["--workers", "-1"]), "--workers: -1 is not between 1 and 256");
        assert_eq!(refused(&["--workers="]), "--workers: the value is empty");
        assert_eq!(refused(&["--workers"]), "--workers: the value is missing");
        let twice = ["--workers", "1", "--workers", "2"];
        assert_eq!(refused(&twice), "--workers: given more than once");
        let listen = "--listen: 6379 is not ADDR:PORT, such as 127.0.0.1:6379 or [::1]:6379";
        assert_eq!(refused(&["--listen", "6379"]), listen);
        let store = "--store: this build of ringstone has no FoundationDB support; \
                     build it with `--features fdb`";
        if !cfg!(feature = "fdb") {
            assert_eq!(refused(&["--store", "foundationdb"]), store);
        }
        // A line break of the user's stays inside the one line.
        let broken = refused(&["--loglevel", "in\nfo"]);
        assert_eq!(broken, "--loglevel: in?fo is not one of error, warn, info, debug, trace");
    }
}

#[test]
fn bad_usage_is_one_line() {
    let unknown = "--wrokers: there is no such option; did you mean --workers?";
    assert_eq!(refused(&["--wrokers", "2"], &[]), unknown);
    assert_eq!(refused(&["-x"], &[]), "-x: there is no such option; see ringstone --help");
    let unknown = "check-confg: there is no such command; did you mean check-config?";
    assert_eq!(refused(&["check-confg"], &[]), unknown);
    assert_eq!(refused(&["token"], &[]), "the command is missing; see ringstone token --help");
    assert_eq!(refused(&["token", "mint"], &[]), "--tenant: it is missing");
    assert_eq!(refused(&["serve"], &[]), "serve: there is no such command; see ringstone --help");
    refused(&["check-config", "extra"], &[]);
    refused(&["--help=3"], &[]);
    refused(&["--a\nb"], &[]);
    refused(&["--"], &[("RINGSTONE_WORKERS", "none")]);
}

#[test]
fn bad_variables_are_one_line() {
    let refused = |name, value| refused(&["check-config"], &[(name, value)]);
    let problem = "RINGSTONE_MAXCLIENTS: many is not a whole number";
    assert_eq!(refused("RINGSTONE_MAXCLIENTS", "many"), problem);
    let problem =
        "RINGSTONE_MAXCLIENT: there is no such setting; did you mean RINGSTONE_MAXCLIENTS?";
    assert_eq!(refused("RINGSTONE_MAXCLIENT", "1"), problem);
    let problem = "RINGSTONE_CONFIG: cannot read missing.toml: No such file or directory";
    assert_eq!(refused("RINGSTONE_CONFIG", "missing.toml"), problem);
}

#[test]
fn text_that_is_not_utf8_is_one_line() {
    use std::os::unix::ffi::OsStrExt;
    let garbage = std::ffi::OsStr::from_bytes(b"a\xff");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), errors.lines().count()), (Some(64), 1), "{errors}");
        errors
    };
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringstone"));
        command.arg("check-config").env_clear();
        command
    };
    run(program().arg("--data-dir").arg(garbage));
    let errors = run(program().env("RINGSTONE_DATA_DIR", garbage));
    assert_eq!(errors, "ringstone: RINGSTONE_DATA_DIR: the value is not UTF-8\n");
    // What is not a setting may be anything.
    let output = program().env("OTHER", garbage).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn bad_files_are_one_line_with_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringstone.toml");
    let file = path.to_str().unwrap();
    let refused_text = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        refused(&["check-config", "--config", file], &[])
    };
    let workers = refused_text(b"# ours\n\nworkers = 0\n");
    assert_eq!(workers, format!("{file}:3: workers: 0 is not between 1 and 256"));
    let unknown = refused_text(b"worker = 1\n");
    let problem = "worker: there is no such setting; did you mean workers?";
    assert_eq!(unknown, format!("{file}:1: {problem}"));
    let malformed = refused_text(b"workers = 1\nlisten = [\n");
    assert!(malformed.starts_with(&format!("{file}:")), "{malformed}");
    let place = format!("--config: cannot read {file}: ");
    assert!(refused_text(b"workers = '\xff'").starts_with(&place));
    let long = vec![b'#'; 1024 * 1024 + 1];
    assert_eq!(refused_text(&long), format!("{place}it is longer than 1048576 bytes"));
    let directory = directory.path().to_str().unwrap();
    let unreadable = format!("--config: cannot read {directory}: Is a directory");
    assert_eq!(refused(&["--config", directory], &[]), unreadable);
}

/// Runs `ringstone` with text on its standard input.
fn printed_from(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringstone"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn keys_and_tokens_are_made_weakened_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("keys");
    let out = out.to_str().unwrap();
    assert!(printed(&["token", "keygen", "--out", out], &[]).contains("--auth-public-key-file"));
    let (private, public) =
        (format!("{out}/ringstone-private.key"), format!("{out}/ringstone-public.key"));
    let mode = std::fs::metadata(&private).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = refused(&["token", "keygen", "--out", out], &[]);
    assert_eq!(again, format!("{private} is there already"));

    let mint = ["token", "mint", "--tenant", "acme", "--rights", "read", "--ttl", "30d"];
    let by_file = [&mint[..], &["--private-key-file", &private]].concat();
    let token = printed(&by_file, &[]);
    let secret = std::fs::read_to_string(&private).unwrap();
    let by_variable = printed(&mint, &[("RINGSTONE_PRIVATE_KEY", secret.trim())]);
    assert_eq!(token.lines().count() + by_variable.lines().count(), 2);

    let weaken = ["token", "attenuate", "--key-prefix", "a:", "--database", "3", "--read-only"];
    let weaker = printed_from(&weaken, &token);
    let inspect = ["token", "inspect", "--public-key-file", &public];
    let shown = printed(&inspect, &[("KV_TOKEN", weaker.trim())]);
    for line in [
        "tenant: acme",
        "rights: read",
        "signature: right",
        "block 1, added by a holder",
        "  check all key($k), $k.starts_with(\"a:\") or class(\"connection\");",
        "  check if database(3) or class(\"connection\");",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\nnot in\n{shown}");
    }
    let file = directory.path().join("token");
    std::fs::write(&file, &weaker).unwrap();
    let file = file.to_str().unwrap();
    let id = printed(&["token", "revoke-id", "--token-file", file], &[]);
    let (hex, rest) = id.split_once("  # ").unwrap();
    assert!(shown.contains(&format!("revocation id: {hex}\n")));
    assert_eq!(rest, "block 1 of 1, tenant acme\n");
    let root = printed(&["token", "revoke-id", "--token", token.trim()], &[]);
    let first = printed(&["token", "revoke-id", "--token-file", file, "--block", "0"], &[]);
    assert_eq!(root.split(' ').next(), first.split(' ').next());
}

#[test]
fn bad_tokens_and_keys_are_one_line() {
    let no_token = "there is no token: give --token-file, KV_TOKEN or standard input";
    assert_eq!(refused(&["token", "inspect"], &[("KV_TOKEN", " ")]), no_token);
    assert_eq!(refused(&["token", "inspect", "--token", "x"], &[]), "token: it is not a token");
    let mint = ["token", "mint", "--tenant", "acme"];
    let no_key = "there is no private key: give --private-key-file or RINGSTONE_PRIVATE_KEY";
    assert_eq!(refused(&mint, &[]), no_key);
    let secret = [("RINGSTONE_PRIVATE_KEY", "ed25519-private/0123secret")];
    let problem = "RINGSTONE_PRIVATE_KEY: it is not a private key, ed25519-private/HEX or PEM";
    assert_eq!(refused(&mint, &secret), problem);
    let key = [("RINGSTONE_PRIVATE_KEY", &*"1".repeat(64))];
    let with = |more: [&str; 2]| refused(&[&mint[..], &more].concat(), &key);
    assert!(with(["--ttl", "5x"]).starts_with("--ttl: 5x is not a time such as 90s"));
    let rights = with(["--rights", "read,all"]);
    assert_eq!(rights, "--rights: all is not one of read, write, admin");
    let token = printed(&mint, &key);
    let attenuate = ["token", "attenuate", "--token", token.trim()];
    assert_eq!(refused(&attenuate, &[]), "token: nothing is to be limited");
    let address = [&attenuate[..], &["--address", "10.1"]].concat();
    assert!(refused(&address, &[]).starts_with("--address: 10.1 is not an address"));
    assert!(refused(&["token", "min"], &[]).starts_with("min: there is no such command"));
}

#[test]
fn the_environment_of_applications_is_printed_in_every_format() {
    let key = [("RINGSTONE_PRIVATE_KEY", &*"1".repeat(64))];
    let token = printed(&["token", "mint", "--tenant", "acme"], &key);
    let token = token.trim();
    let variables = [("KV_TOKEN", token)];
    let env =
        |more: &[&str]| printed(&[&["env", "--host", "kv.example"], more].concat(), &variables);
    let names = [
        "KV_HOST",
        "REDIS_HOST",
        "KV_PORT",
        "REDIS_PORT",
        "KV_TOKEN",
        "REDIS_PASSWORD",
        "REDIS_CLI_URL",
        "REDISCLI_AUTH",
    ];
    let url = format!("rediss://default:{token}@kv.example:6379");
    let values = ["kv.example", "kv.example", "6379", "6379", token, token, &url, token];
    let lines = |before: &str, between: &str, after: &str| -> String {
        let each = names.iter().zip(values);
        each.map(|(name, value)| format!("{before}{name}{between}{value}{after}\n")).collect()
    };
    assert_eq!(env(&[]), lines("export ", "='", "'"));
    assert_eq!(env(&["--format", "fish"]), lines("set -gx ", " '", "';"));
    assert_eq!(env(&["--format", "env"]), lines("", "=", ""));
    let json: serde_json::Value = serde_json::from_str(&env(&["--format", "json"])).unwrap();
    for (name, value) in names.iter().zip(values) {
        assert_eq!(json[name], value, "{name}");
    }
    let shell = format!("{}printf '%s' \"$REDIS_CLI_URL\"", env(&["--no-tls", "--port", "6378"]));
    let output = Command::new("bash").arg("-c").arg(shell).output().unwrap();
    let url = format!("redis://default:{token}@kv.example:6378");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), url);
    let refused = |more: &[&str]| refused(&[&["env"], more].concat(), &variables);
    assert!(refused(&["--host", "a';reboot"]).contains("is not a host name"));
    assert_eq!(refused(&["--token", "$(reboot)"]), "token: it is not a token");
    let formats = "--format: bash is not one of sh, fish, json, env";
    assert_eq!(refused(&["--format", "bash"]), formats);
    assert_eq!(refused(&["--format"]), "--format: the value is missing");
    assert_eq!(refused(&["--tls", "--no-tls"]), "--tls: it cannot be given with --no-tls");
}

#[test]
fn keys_of_the_server_are_checked_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.key");
    let path = file.to_str().unwrap();
    let check = ["check-config", "--auth-public-key-file", path];
    let missing = refused(&check, &[]);
    assert!(
        missing.starts_with(&format!("auth-public-key-file: {path}: No such file")),
        "{missing}"
    );
    std::fs::write(&file, format!("ed25519-private/{}\n", "1".repeat(64))).unwrap();
    let private = refused(&check, &[]);
    assert!(private.ends_with("it is a private key; the server needs the public one"), "{private}");
    assert!(!private.contains("1111"));
    let swapped = format!("ed25519-private/{}:1", "1".repeat(64));
    let swapped = refused(&["check-config", "--auth-public-key", &swapped], &[]);
    assert_eq!(swapped, "--auth-public-key: it is not a public key, [ID:]ed25519/HEX");
    let key = "ed25519/d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    std::fs::write(&file, format!("# ours\n3:{key}\n")).unwrap();
    assert!(printed(&check, &[]).contains(&format!("auth-public-key-file = [\"{path}\"]")));
    let list = directory.path().join("revoked");
    std::fs::write(&list, "00ff\nnonsense\n").unwrap();
    let revoked = ["check-config", "--auth-public-key", key, "--auth-revoked-file"];
    let revoked = [&revoked[..], &[list.to_str().unwrap()]].concat();
    assert!(refused(&revoked, &[]).ends_with("revoked:2: it is not a revocation id in hex"));
}
