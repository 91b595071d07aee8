//! `ringstone env`: the variables by which applications find a server and show their token.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Environment, token};

/// The subcommand's name.
pub(super) const NAME: &str = "env";

const AFTER_HELP: &str = "\
In a shell: source <(ringstone env --token-file FILE), then
redis-cli -h $KV_HOST -p $KV_PORT --tls, which takes the token from REDISCLI_AUTH.
REDIS_CLI_URL has the token in it, for clients that are configured by one URL; as
an argument of a command it is visible to other users of the machine.";

/// What the subcommand understands.
pub(super) fn command() -> Command {
    let host = Arg::new("host").long("host").value_name("HOST").default_value("localhost");
    let port = Arg::new("port").long("port").value_name("PORT").default_value("6379");
    let tls = Arg::new("tls").long("tls").action(ArgAction::SetTrue).conflicts_with("no-tls");
    let no_tls = Arg::new("no-tls").long("no-tls").action(ArgAction::SetTrue);
    let format = Arg::new("format").long("format").value_name("FORMAT").default_value("sh");
    Command::new(NAME)
        .about("Print the variables with which applications find the server and show their token")
        .after_help(AFTER_HELP)
        .args(token::token_arguments())
        .arg(host.help("Where the server is, as its clients call it"))
        .arg(port.value_parser(value_parser!(u16).range(1..)).help("Its port"))
        .arg(tls.help("The port is one of --tls-listen [default]"))
        .arg(no_tls.help("The port has no TLS"))
        .arg(
            format
                .value_parser(PossibleValuesParser::new(["sh", "fish", "json", "env"]))
                .help("For which reader: a shell, or a file of JSON or of NAME=VALUE lines"),
        )
}

/// Runs the subcommand.
pub(super) fn run(matches: &ArgMatches, environment: &Environment) -> Result<String, String> {
    let token = token::token(matches, environment)?;
    // Tokens have no other characters, and all readers take these as they are.
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)) {
        return Err("token: it is not a token".to_owned());
    }
    let host: &String = matches.get_one("host").expect("it has a default");
    if !is_host(host) {
        return Err(format!("--host: {host} is not a host name or an IP address"));
    }
    let port = matches.get_one::<u16>("port").expect("it has a default").to_string();
    let scheme = if matches.get_flag("no-tls") { "redis" } else { "rediss" };
    // The colons of an IPv6 address are not the one before the port.
    let url = match host.contains(':') {
        true => format!("{scheme}://default:{token}@[{host}]:{port}"),
        false => format!("{scheme}://default:{token}@{host}:{port}"),
    };
    let variables = [
        ("KV_HOST", host),
        ("REDIS_HOST", host),
        ("KV_PORT", &port),
        ("REDIS_PORT", &port),
        ("KV_TOKEN", &token),
        ("REDIS_PASSWORD", &token),
        ("REDIS_CLI_URL", &url),
        ("REDISCLI_AUTH", &token),
    ];
    let format: &String = matches.get_one("format").expect("it has a default");
    if format == "json" {
        let object = variables.map(|(name, value)| (name.to_owned(), value.as_str().into()));
        let object = serde_json::Value::Object(object.into_iter().collect());
        return Ok(format!("{object:#}\n"));
    }
    let line = |(name, value): (&str, &String)| match format.as_str() {
        "fish" => format!("set -gx {name} '{value}';\n"),
        "env" => format!("{name}={value}\n"),
        _ => format!("export {name}='{value}'\n"),
    };
    Ok(variables.into_iter().map(line).collect())
}

/// A host name or an IP address; nothing that a shell or a URL could take for something else.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}
