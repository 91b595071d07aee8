//! The command line: what `ringstone` understands, and what it answers by itself.
//!
//! `main` calls [`run`] with the arguments, the environment and the server to start. Usage and
//! configuration mistakes are one line on standard error and exit code [`EX_USAGE`].

mod cert;
mod env;
mod token;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{CommandLine, Config, Group, SETTINGS, Setting};
use crate::{limits, logging};

/// Exit code of a usage or configuration mistake, after `sysexits.h`.
pub const EX_USAGE: u8 = 64;

/// What the command line can start, once the configuration is known to be right and the log is open.
pub struct Program {
    /// The server.
    pub serve: fn(Config) -> ExitCode,
    /// `ringstone doctor`.
    pub doctor: fn(Config) -> ExitCode,
}

/// Runs the program: `arguments` with the program's own name first, and all of `environment`.
pub fn run(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    program: &Program,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // The tools have options of their own instead of the settings.
    if let Some(tool) =
        arguments.get(1).and_then(|name| TOOLS.iter().find(|tool| tool.name == name))
    {
        return tool.run(arguments, environment.collect());
    }
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            // A reader that went away, such as `head`, has seen what it wanted; so below.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&usage_problem(&error)),
    };
    let environment = match readable(environment) {
        Ok(environment) => environment,
        Err(problem) => return refuse(&problem),
    };
    let loaded = Config::load(command_line(&matches), environment.into_iter(), &read_file);
    let (config, origins) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error.to_string()),
    };
    // The server reads keys again when it starts; a mistake in them is one of the configuration.
    if let Err(error) = config.authenticator(0) {
        return refuse(&error.to_string());
    }
    if matches.subcommand_name() == Some(CHECK_CONFIG) {
        let _ = io::stdout().write_all(config.to_toml(&origins).as_bytes());
        return ExitCode::SUCCESS;
    }
    let _logging = logging::init(config.loglevel, config.log_format);
    match matches.subcommand_name() {
        Some(DOCTOR) => (program.doctor)(config),
        _ => (program.serve)(config),
    }
}

/// A subcommand that needs no configuration.
struct Tool {
    name: &'static str,
    command: fn() -> Command,
    /// Returns what goes to standard output.
    run: fn(&ArgMatches, &Environment) -> Result<String, String>,
}

/// All variables.
type Environment = HashMap<OsString, OsString>;

const TOOLS: &[Tool] = &[
    Tool { name: cert::NAME, command: cert::command, run: cert::run },
    Tool { name: token::NAME, command: token::command, run: token::run },
    Tool { name: env::NAME, command: env::command, run: env::run },
];

impl Tool {
    fn run(&self, arguments: Vec<OsString>, environment: Environment) -> ExitCode {
        let command = Command::new("ringstone")
            .max_term_width(100)
            .disable_help_subcommand(true)
            .subcommand((self.command)());
        let matches = match command.try_get_matches_from(arguments) {
            Ok(matches) => matches,
            Err(error) if !error.use_stderr() => {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            Err(error) => return refuse(&usage_problem(&error)),
        };
        let (_, matches) = matches.subcommand().expect("its name was the first argument");
        match (self.run)(matches, &environment) {
            Ok(text) => {
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(problem) => refuse(&problem),
        }
    }
}

const CHECK_CONFIG: &str = "check-config";
const DOCTOR: &str = "doctor";

const AFTER_HELP: &str = "\
A setting has the same name everywhere: --group-commands-max on the command line,
group-commands-max in the file, RINGSTONE_GROUP_COMMANDS_MAX in the environment.
The command line wins over the file, the file over the environment, and the
environment over the defaults. `ringstone check-config` shows the outcome.

SIZE is bytes, or a number with k, m, g (thousands) or kb, mb, gb (1024s).
TIME is seconds, or a number with ms, s, m or h.";

fn command() -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("PATH")
        .help("Configuration file in TOML; its keys are the names of these options")
        .help_heading(Group::Serving.heading())
        .global(true);
    Command::new("ringstone")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A durable, strictly serializable server for Redis clients")
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new(CHECK_CONFIG)
                .about("Print the configuration and where each value comes from, and exit"),
        )
        .subcommand(
            Command::new(DOCTOR)
                .about("Check what the server needs, measure the store, say what to fix, and exit"),
        )
        .subcommands(TOOLS.iter().map(|tool| (tool.command)()))
        .args(SETTINGS.iter().map(argument))
        .arg(file)
}

fn argument(setting: &'static Setting) -> Arg {
    let default = setting.text(&Config::default());
    let help = match default {
        Some(default) => format!("{} [default: {default}]", setting.help),
        None => setting.help.to_owned(),
    };
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(help)
        .help_heading(setting.group.heading())
        .action(if setting.is_list() { ArgAction::Append } else { ArgAction::Set })
        // A negative number is a value out of bounds, not an unknown flag.
        .allow_negative_numbers(true)
        .global(true)
}

fn command_line(matches: &ArgMatches) -> CommandLine {
    let value = |setting: &Setting| {
        let values: Vec<&str> =
            matches.get_many::<String>(setting.name)?.map(String::as_str).collect();
        Some((setting.name, values.join(",")))
    };
    CommandLine {
        config: matches.get_one::<String>("config").cloned(),
        values: SETTINGS.iter().filter_map(value).collect(),
    }
}

/// The variables that may be settings, as text.
fn readable(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, String> {
    let ours = environment.filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RINGSTONE_"));
    ours.map(|(name, value)| {
        let name = name.to_string_lossy().into_owned();
        match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(format!("{name}: the value is not UTF-8")),
        }
    })
    .collect()
}

/// The text of a configuration file, which is bounded.
fn read_file(path: &Path) -> io::Result<String> {
    let bytes_max = limits::CONFIG_FILE_BYTES_MAX;
    let mut text = String::new();
    let mut file = File::open(path)?.take(bytes_max as u64 + 1);
    file.read_to_string(&mut text)?;
    if text.len() > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    Ok(text)
}

/// What is wrong with the usage, in one line and without clap's page around it.
fn usage_problem(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let hint = |suggested: Option<String>| match suggested {
        Some(name) => format!("did you mean {name}?"),
        None => "see ringstone --help".to_owned(),
    };
    match (error.kind(), context(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(argument)) => {
            let hint = hint(context(ContextKind::SuggestedArg));
            format!("{argument}: there is no such option; {hint}")
        }
        (ErrorKind::InvalidSubcommand, _) => {
            let subcommand = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let hint = hint(context(ContextKind::SuggestedSubcommand));
            format!("{subcommand}: there is no such command; {hint}")
        }
        (ErrorKind::ArgumentConflict, Some(argument)) => match context(ContextKind::PriorArg) {
            Some(prior) if prior != argument => {
                format!("{}: it cannot be given with {}", flag(&argument), flag(&prior))
            }
            _ => format!("{}: given more than once", flag(&argument)),
        },
        (ErrorKind::MissingRequiredArgument, Some(argument)) => {
            format!("{}: it is missing", flag(&argument))
        }
        (ErrorKind::MissingSubcommand, _) => {
            let command = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("the command is missing; see {command} --help")
        }
        (ErrorKind::InvalidValue, Some(argument)) => match context(ContextKind::InvalidValue) {
            // clap calls a flag without its value an invalid value that is empty.
            None => format!("{}: the value is missing", flag(&argument)),
            Some(value) if value.is_empty() => {
                format!("{}: the value is missing", flag(&argument))
            }
            Some(value) => {
                let valid = match error.get(ContextKind::ValidValue) {
                    Some(ContextValue::Strings(texts)) => texts.join(", "),
                    _ => String::new(),
                };
                format!("{}: {value} is not one of {valid}", flag(&argument))
            }
        },
        _ => {
            let page = error.render().to_string();
            let line = page.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

/// `--flag` out of `--flag <VALUE>`.
fn flag(argument: &str) -> &str {
    argument.split(' ').next().unwrap_or(argument)
}

fn refuse(problem: &str) -> ExitCode {
    // Names and values are the user's: a line break in one must not make two lines.
    let line = problem.replace(char::is_control, "?");
    let _ = writeln!(io::stderr(), "ringstone: {line}");
    ExitCode::from(EX_USAGE)
}
