//! From the sources to one [`Config`]: command line over file over environment over defaults.
//!
//! Every value of every source is checked, also one that a stronger source replaces: a mistake in
//! the file is reported when it is made, not when a flag is dropped.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{SETTINGS, Setting};
use super::{ClientAuth, Config, StoreKind};

/// What the command line says.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// Path of the configuration file.
    pub config: Option<String>,
    /// Names of settings and their values, each name once; a list is separated by commas.
    pub values: Vec<(&'static str, String)>,
}

/// What is wrong with a setting, in one line, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError { place: place.into(), problem: problem.into() }
    }
}

/// Where the value of each of [`SETTINGS`] was written, in their order; `None` is the default.
#[derive(Debug, Clone)]
pub struct Origins(Vec<Option<String>>);

/// How a file is read: its whole text, or why there is none.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

impl Config {
    /// The configuration the three sources make together, checked, and where each value came from.
    ///
    /// The file is the one the command line or `RINGSTONE_CONFIG` names, read by `read_file`;
    /// without such a name there is none. Of `environment`, names that do not begin with
    /// `RINGSTONE_`, and those that begin with `RINGSTONE_TEST_`, are ignored.
    ///
    /// # Errors
    /// The first mistake found, from the weakest source to the strongest.
    pub fn load(
        command_line: CommandLine,
        environment: impl Iterator<Item = (String, String)>,
        read_file: ReadFile<'_>,
    ) -> Result<(Config, Origins), ConfigError> {
        let mut loading = Loading::default();
        let mut file = None;
        let ours = |name: &str| name.starts_with(PREFIX) && !name.starts_with(PREFIX_OF_TESTS);
        for (variable, value) in environment.filter(|(name, _)| ours(name)) {
            if variable == "RINGSTONE_CONFIG" {
                file = Some((variable, value));
            } else {
                loading.variable(&variable, &value)?;
            }
        }
        if let Some(path) = command_line.config {
            file = Some(("--config".to_owned(), path));
        }
        if let Some((place, path)) = file {
            let text = read_file(Path::new(&path)).map_err(|error| {
                ConfigError::new(place, format!("cannot read {path}: {}", reason(&error)))
            })?;
            loading.file(&path, &text)?;
        }
        for (name, value) in command_line.values {
            let at = position(name).expect("the command line knows only names of the table");
            loading.set(at, &value, format!("--{name}"))?;
        }
        loading.check()?;
        Ok((loading.config, loading.origins))
    }

    /// The configuration as a file that would make it, with where each value came from.
    pub fn to_toml(&self, origins: &Origins) -> String {
        let mut text = String::new();
        for (setting, origin) in SETTINGS.iter().zip(&origins.0) {
            let name = setting.name;
            let line = match (setting.show)(self) {
                Some(value) => {
                    let origin = origin.as_deref().unwrap_or("default");
                    let origin = origin.strip_suffix(&format!(": {name}")).unwrap_or(origin);
                    // A line break in a path would end the comment.
                    let origin = origin.replace(char::is_control, "?");
                    format!("{name} = {value}  # {origin}\n")
                }
                None => format!("# {name} is not set\n"),
            };
            text.push_str(&line);
        }
        text
    }
}

const PREFIX: &str = "RINGSTONE_";
/// Variables of the test suites, which the servers they start inherit. No setting begins so.
const PREFIX_OF_TESTS: &str = "RINGSTONE_TEST_";

struct Loading {
    config: Config,
    origins: Origins,
}

impl Default for Loading {
    fn default() -> Loading {
        Loading { config: Config::default(), origins: Origins(vec![None; SETTINGS.len()]) }
    }
}

impl Loading {
    fn set(&mut self, at: usize, text: &str, place: String) -> Result<(), ConfigError> {
        let setting = &SETTINGS[at];
        if text.is_empty() && !setting.is_list() {
            return Err(ConfigError::new(place, "the value is empty"));
        }
        (setting.read)(&mut self.config, text)
            .map_err(|problem| ConfigError::new(place.clone(), problem))?;
        self.origins.0[at] = Some(place);
        Ok(())
    }

    fn variable(&mut self, variable: &str, value: &str) -> Result<(), ConfigError> {
        match SETTINGS.iter().position(|setting| setting.variable() == variable) {
            Some(at) => self.set(at, value, variable.to_owned()),
            None => {
                let known = SETTINGS.iter().map(Setting::variable);
                let known = known.chain(["RINGSTONE_CONFIG".to_owned()]);
                Err(ConfigError::new(variable, unknown(variable, known)))
            }
        }
    }

    fn file(&mut self, path: &str, text: &str) -> Result<(), ConfigError> {
        let place = |offset: usize| {
            let line = 1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
            format!("{path}:{line}")
        };
        let table = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start.min(text.len()));
            ConfigError::new(place(offset), error.message().replace('\n', ", "))
        })?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        // The table is sorted by name; the first mistake is the one nearest the top.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let place = place(key.span().start);
            let name: &str = key.get_ref();
            let Some(at) = position(name) else {
                return Err(ConfigError::new(place, format!("{name}: {}", unknown_key(name))));
            };
            let place = format!("{place}: {name}");
            let value = file_text(&SETTINGS[at], value)
                .map_err(|problem| ConfigError::new(place.clone(), problem))?;
            self.set(at, &value, place)?;
        }
        Ok(())
    }

    /// How values must fit each other, and this build.
    fn check(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        if config.store == StoreKind::FoundationDb && !cfg!(feature = "fdb") {
            let problem = "this build of ringstone has no FoundationDB support; \
                           build it with `--features fdb`";
            return Err(self.refuse("store", problem.to_owned()));
        }
        if config.listen.is_empty() && config.tls_listen.is_empty() && config.unixsocket.is_none() {
            let problem = "there is nothing to serve: no address, and no unixsocket";
            return Err(self.refuse("listen", problem.to_owned()));
        }
        self.check_tls()?;
        if config.auth_revoked_file.is_some() && !config.has_keys() {
            let problem = "there is no auth-public-key whose tokens could be revoked";
            return Err(self.refuse("auth-revoked-file", problem.to_owned()));
        }
        for (name, bytes) in [
            ("output-buffer-limit", config.output_buffer_limit),
            ("client-memory-max", config.client_memory_max),
        ] {
            if bytes < config.request_bytes_max {
                let shown = |name: &str| {
                    let at = position(name).expect("a name of the table");
                    SETTINGS[at].text(config).unwrap_or_default()
                };
                let (small, large) = (shown(name), shown("request-bytes-max"));
                let problem = format!("{small} is less than request-bytes-max, which is {large}");
                return Err(self.refuse(name, problem));
            }
        }
        Ok(())
    }

    /// How the settings of TLS must fit each other.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        let twice = |addr: &&SocketAddr| addr.port() != 0 && config.listen.contains(addr);
        if let Some(addr) = config.tls_listen.iter().find(twice) {
            let problem = format!("{addr} cannot be served both with and without TLS");
            return Err(self.refuse("tls-listen", problem));
        }
        let serves = !config.tls_listen.is_empty();
        let (cert, key) = (config.tls_cert.is_some(), config.tls_key.is_some());
        let ca = config.tls_client_ca.is_some();
        let asks =
            matches!(config.tls_client_auth, Some(ClientAuth::Optional | ClientAuth::Required));
        for (wrong, name, problem) in [
            (serves && !cert, "tls-listen", "there is no tls-cert to show to clients"),
            (serves && !key, "tls-listen", "there is no tls-key for the certificate"),
            (cert && !serves, "tls-cert", "there is no tls-listen that would use it"),
            (key && !serves, "tls-key", "there is no tls-listen that would use it"),
            (ca && !serves, "tls-client-ca", "there is no tls-listen that would use it"),
            (
                asks && !ca,
                "tls-client-auth",
                "there is no tls-client-ca to check certificates with",
            ),
        ] {
            if wrong {
                return Err(self.refuse(name, problem.to_owned()));
            }
        }
        Ok(())
    }

    fn refuse(&self, name: &str, problem: String) -> ConfigError {
        let at = position(name).expect("a name of the table");
        ConfigError::new(self.origins.0[at].as_deref().unwrap_or(name), problem)
    }
}

fn position(name: &str) -> Option<usize> {
    SETTINGS.iter().position(|setting| setting.name == name)
}

/// A value of the file as the text the other sources would give.
fn file_text(setting: &Setting, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(match number.radix() {
            // The prefix stays: 0o700 is right for permissions and a mistake elsewhere.
            8 => format!("0o{}", number.as_str()),
            16 => format!("0x{}", number.as_str()),
            2 => format!("0b{}", number.as_str()),
            _ => number.as_str().to_owned(),
        }),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Array(elements) if setting.is_list() => {
            let text = |element: &Spanned<DeValue<'_>>| match element.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(format!("the list has {} where text belongs", article(other))),
            };
            Ok(elements.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        other => Err(format!("{} is not a value for this setting", article(other))),
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn unknown_key(name: &str) -> String {
    if name == "config" {
        return "only the command line and the environment name the file".to_owned();
    }
    unknown(name, SETTINGS.iter().map(|setting| setting.name.to_owned()))
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known.min_by_key(|known| distance(name, known));
    match nearest.filter(|nearest| distance(name, nearest) <= 3) {
        Some(nearest) => format!("there is no such setting; did you mean {nearest}?"),
        None => "there is no such setting; see ringstone --help".to_owned(),
    }
}

/// Levenshtein's distance in bytes: insertions, removals and replacements between two names.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, byte) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, other) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// An I/O error without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
