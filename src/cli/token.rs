//! `ringstone token`: makes keys and tokens, weakens and shows tokens. Nothing here talks to a server.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Environment, read_file};
use crate::auth::issue::{self, Attenuation, Inspection, Mint, SigningKey};
use crate::auth::{Class, RootKey, keys_of_file};
use crate::{clock, limits};

/// The subcommand's name.
pub(super) const NAME: &str = "token";

const PRIVATE_KEY: &str = "RINGSTONE_PRIVATE_KEY";
const TOKEN: &str = "KV_TOKEN";

const AFTER_HELP: &str = "\
Other users of a machine can see the arguments of its processes. Give tokens and
keys in files or in the environment: KV_TOKEN for a token, RINGSTONE_PRIVATE_KEY
for the private key. A token is otherwise read from standard input.

TIME is seconds, or a number with s, m, h or d.";

/// What the subcommand understands.
pub(super) fn command() -> Command {
    let out = Arg::new("out").long("out").value_name("DIR").required(true);
    let keygen = Command::new("keygen")
        .about(
            "Make a root key: ringstone-private.key, which signs tokens, and ringstone-public.key",
        )
        .arg(out.value_parser(value_parser!(PathBuf)).help("Directory for the two files"));
    let revoke_id = Command::new("revoke-id")
        .about("Print what revokes a token, as a line for the file of --auth-revoked-file")
        .args(token_arguments())
        .arg(
            Arg::new("block")
                .long("block")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help(
                    "Which block: 0 revokes all tokens made from the same minted one \
                 [default: the last, which revokes this token and those made from it]",
                ),
        );
    Command::new(NAME)
        .about("Make keys and tokens, weaken, show and revoke tokens")
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .subcommand(keygen)
        .subcommand(mint_command().after_help(AFTER_HELP))
        .subcommand(attenuate_command().after_help(AFTER_HELP))
        .subcommand(inspect_command().after_help(AFTER_HELP))
        .subcommand(revoke_id.after_help(AFTER_HELP))
}

fn mint_command() -> Command {
    Command::new("mint")
        .about("Make a token with the private key")
        .arg(
            option("private-key-file", "FILE", "Private key [default: RINGSTONE_PRIVATE_KEY]")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(option("tenant", "NAME", "Whose data it is about").required(true))
        .arg(
            option("rights", "LIST", "Of read, write and admin, separated by commas")
                .default_value("read,write"),
        )
        .arg(option("ttl", "TIME", "How long it is valid [default: until it is revoked]"))
        .arg(
            option("key-id", "ID", "Id of the key in the server's --auth-public-key")
                .value_parser(value_parser!(u32)),
        )
}

fn attenuate_command() -> Command {
    Command::new("attenuate")
        .about("Make a weaker token out of a token, which takes no key")
        .args(token_arguments())
        .arg(
            Arg::new("read-only")
                .long("read-only")
                .action(ArgAction::SetTrue)
                .help("Only commands that read"),
        )
        .arg(
            option("key-prefix", "TEXT", "Only keys that begin so; may be given several times")
                .action(ArgAction::Append),
        )
        .arg(option(
            "commands",
            "LIST",
            "Only these, and those about the connection: get,client|list",
        ))
        .arg(
            option("database", "N", "Only this database")
                .value_parser(value_parser!(u8).range(..i64::from(limits::DATABASES))),
        )
        .arg(option("ttl", "TIME", "How long it is valid, at most"))
        .arg(option("address", "RANGE", "Only clients from there: 10.1.2.3, 10.1.0.0/16, unix"))
}

fn inspect_command() -> Command {
    Command::new("inspect")
        .about("Show what a token says")
        .args(token_arguments())
        .arg(option("public-key", "KEY", "Also check that this key signed it"))
        .arg(
            option("public-key-file", "FILE", "Also check that a key of this file signed it")
                .value_parser(value_parser!(PathBuf)),
        )
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// Where a token may come from.
pub(super) fn token_arguments() -> [Arg; 2] {
    [
        option("token", "TOKEN", "The token, visible to other users of this machine"),
        option("token-file", "FILE", "File with the token, - for standard input")
            .conflicts_with("token"),
    ]
}

/// Runs the subcommand.
pub(super) fn run(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    match matches.subcommand() {
        Some(("keygen", matches)) => keygen(matches),
        Some(("mint", matches)) => mint(matches, environment),
        Some(("attenuate", matches)) => attenuate(matches, environment),
        Some(("inspect", matches)) => inspect(matches, environment),
        Some(("revoke-id", matches)) => revoke_id(matches, environment),
        _ => Err("token: the command is missing; see ringstone token --help".to_owned()),
    }
}

fn keygen(matches: &ArgMatches) -> Result<String, String> {
    let out: &PathBuf = matches.get_one("out").expect("clap requires it");
    let private = out.join("ringstone-private.key");
    let public = out.join("ringstone-public.key");
    if let Some(there) =
        [&private, &public].into_iter().find(|path| path.symlink_metadata().is_ok())
    {
        return Err(format!("{} is there already", there.display()));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(out)
        .map_err(|error| format!("{}: {error}", out.display()))?;
    let key = SigningKey::random();
    write_new(&private, 0o600, &key.to_text())?;
    write_new(&public, 0o644, &key.public().to_string())?;
    Ok(format!(
        "{}\n{}\n\nThe first signs tokens: keep it from the server and from everybody else.\n\
         The second is for the server: --auth-public-key-file {}\n",
        private.display(),
        public.display(),
        public.display()
    ))
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| writeln!(file, "{text}"))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn mint(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    let key: SigningKey = match matches.get_one::<PathBuf>("private-key-file") {
        Some(path) => {
            let shown = path.display();
            let text = read_file(path).map_err(|error| format!("{shown}: {error}"))?;
            text.parse().map_err(|problem| format!("{shown}: {problem}"))?
        }
        None => variable(environment, PRIVATE_KEY)?
            .ok_or(format!("there is no private key: give --private-key-file or {PRIVATE_KEY}"))?
            .parse()
            .map_err(|problem| format!("{PRIVATE_KEY}: {problem}"))?,
    };
    let rights: Vec<Class> = text(matches, "rights")
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(right)
        .collect::<Result<_, _>>()?;
    let token = issue::mint(
        &key,
        &Mint {
            tenant: text(matches, "tenant").expect("clap requires it"),
            rights: &rights,
            expires: expires(matches)?,
            key_id: matches.get_one("key-id").copied(),
        },
    )?;
    Ok(format!("{token}\n"))
}

fn right(name: &str) -> Result<Class, String> {
    let all = [Class::Read, Class::Write, Class::Admin];
    let found = all.into_iter().find(|class| class.name() == name.trim());
    found.ok_or_else(|| format!("--rights: {name} is not one of read, write, admin"))
}

fn attenuate(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    let names = text(matches, "commands").unwrap_or_default().split(',').map(str::trim);
    let prefixes = matches.get_many::<String>("key-prefix").unwrap_or_default();
    let address = text(matches, "address").map(str::parse).transpose();
    let limits = Attenuation {
        read_only: matches.get_flag("read-only"),
        key_prefixes: prefixes.cloned().collect(),
        commands: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        database: matches.get_one("database").copied(),
        expires: expires(matches)?,
        address: address.map_err(|problem: String| format!("--address: {problem}"))?,
    };
    let token = token(matches, environment)?;
    let token = issue::attenuate(&token, &limits).map_err(|problem| format!("token: {problem}"))?;
    Ok(format!("{token}\n"))
}

fn inspect(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    let mut keys: Vec<RootKey> = Vec::new();
    if let Some(key) = text(matches, "public-key") {
        keys.push(key.parse().map_err(|problem| format!("--public-key: {problem}"))?);
    }
    if let Some(path) = matches.get_one::<PathBuf>("public-key-file") {
        keys.extend(keys_of_file(path)?);
    }
    let token = token(matches, environment)?;
    let inspect = |key| issue::inspect(&token, key).map_err(|problem| format!("token: {problem}"));
    let signature = match keys.as_slice() {
        [] => "not checked; give --public-key-file",
        keys => {
            let mut is_signed = false;
            for key in keys {
                is_signed |= inspect(Some(key))?.is_signed == Some(true);
            }
            if is_signed { "right" } else { "wrong: another key signed it, or it was changed" }
        }
    };
    Ok(shown(&inspect(None)?, signature))
}

fn shown(token: &Inspection, signature: &str) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let expires = match &token.expires {
        None => "never".to_owned(),
        Some((at, date)) if *at <= clock::unix_ms() / 1000 => format!("{date}, it has expired"),
        Some((_, date)) => date.clone(),
    };
    let key_id = token.key_id.map_or("none".to_owned(), |id| id.to_string());
    let mut text = format!(
        "tenant: {}\nrights: {}\nexpires: {expires}\nkey id: {key_id}\nsignature: {signature}\n",
        list(&token.tenants),
        list(&token.rights),
    );
    for (place, block) in token.blocks.iter().enumerate() {
        let kind = if place == 0 { "as minted" } else { "added by a holder" };
        text.push_str(&format!("\nblock {place}, {kind}\n"));
        text.push_str(&format!("  revocation id: {}\n", block.revocation_id));
        block.lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn revoke_id(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    let token = token(matches, environment)?;
    let token = issue::inspect(&token, None).map_err(|problem| format!("token: {problem}"))?;
    let last = token.blocks.len() - 1;
    let place = matches.get_one("block").copied().unwrap_or(last);
    let Some(block) = token.blocks.get(place) else {
        return Err(format!("--block: the token's last block is {last}"));
    };
    let tenant = token.tenants.first().map_or("?", String::as_str);
    Ok(format!("{}  # block {place} of {last}, tenant {tenant}\n", block.revocation_id))
}

/// The token that the arguments, the environment or standard input name.
pub(super) fn token(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    if let Some(token) = text(matches, "token") {
        return Ok(token.to_owned());
    }
    let token = match text(matches, "token-file") {
        Some("-") => standard_input()?,
        Some(path) => read_file(Path::new(path)).map_err(|error| format!("{path}: {error}"))?,
        None => match variable(environment, TOKEN)? {
            Some(token) => token,
            None if !io::stdin().is_terminal() => standard_input()?,
            None => String::new(),
        },
    };
    match token.trim() {
        "" => Err(format!("there is no token: give --token-file, {TOKEN} or standard input")),
        token => Ok(token.to_owned()),
    }
}

fn standard_input() -> Result<String, String> {
    let mut token = String::new();
    let bytes_max = limits::TOKEN_BYTES_MAX as u64 + 2;
    let read = io::stdin().take(bytes_max).read_to_string(&mut token);
    read.map(|_| token).map_err(|error| format!("standard input: {error}"))
}

fn variable(environment: &Environment, name: &str) -> Result<Option<String>, String> {
    let value = environment.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty());
    let value = value.map(|value| value.to_str().map(str::to_owned));
    match value {
        Some(None) => Err(format!("{name}: the value is not UTF-8")),
        Some(value) => Ok(value),
        None => Ok(None),
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

/// When `--ttl` is over, in Unix seconds.
fn expires(matches: &ArgMatches) -> Result<Option<u64>, String> {
    let Some(text) = text(matches, "ttl") else { return Ok(None) };
    let seconds = lifetime(text).ok_or_else(|| {
        format!("--ttl: {text} is not a time such as 90s, 12h or 30d, up to 100 years")
    })?;
    Ok(Some(clock::unix_ms() / 1000 + seconds))
}

/// Seconds, or a number and a unit.
fn lifetime(text: &str) -> Option<u64> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 24 * 3_600,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=limits::TOKEN_LIFETIME_S_MAX).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::lifetime;

    #[test]
    fn lifetimes_take_a_unit_or_are_seconds() {
        let day = 24 * 3_600;
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3_600), ("30d", 30 * day)]
        {
            assert_eq!(lifetime(text), Some(seconds), "{text}");
        }
        for text in ["", "0", "d", "-1d", "1.5h", "1w", "36501d", "99999999999999999999"] {
            assert_eq!(lifetime(text), None, "{text}");
        }
    }
}
