//! The program answers by itself for its help, its version and its configuration, and refuses every
//! bad setting with exactly one line on standard error and exit code 64.

use std::process::{Command, Output};

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
