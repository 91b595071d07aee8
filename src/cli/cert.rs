//! `ringstone cert`: certificates for development.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::Environment;
use crate::clock;

/// The subcommand's name.
pub(super) const NAME: &str = "cert";
const SELF_SIGNED: &str = "self-signed";
/// Names a certificate has if none are given.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Clocks of other machines may be behind by so much.
const BACKDATED_S: u64 = 3600;
const DAY_S: u64 = 24 * 3600;

/// What the subcommand understands.
pub(super) fn command() -> Command {
    let out = Arg::new("out").long("out").value_name("DIR").required(true);
    let name = Arg::new("name").long("name").value_name("HOST").action(ArgAction::Append);
    let days = Arg::new("days").long("days").value_name("N").default_value("365");
    let force = Arg::new("force").long("force").action(ArgAction::SetTrue);
    let self_signed = Command::new(SELF_SIGNED)
        .about("Write cert.pem and key.pem, a certificate that signs itself")
        .arg(out.value_parser(value_parser!(PathBuf)).help("Directory for the two files"))
        .arg(name.help(
            "Host name or IP address that clients connect to; may be given several times \
             [default: localhost, 127.0.0.1, ::1]",
        ))
        .arg(
            days.value_parser(value_parser!(u64).range(1..=36_500))
                .help("For how many days it is valid"),
        )
        .arg(force.help("Replace files that are there"));
    Command::new(NAME)
        .about("Make certificates for development")
        .subcommand_required(true)
        .subcommand(self_signed)
}

/// Runs the subcommand.
pub(super) fn run(matches: &ArgMatches, _: &Environment) -> Result<String, String> {
    let (_, matches) = matches.subcommand().expect("clap requires one");
    self_signed(matches)
}

/// Makes the files; returns how to use them.
fn self_signed(matches: &ArgMatches) -> Result<String, String> {
    let out = matches.get_one::<PathBuf>("out").expect("clap requires it");
    let days = *matches.get_one::<u64>("days").expect("it has a default");
    let names: Vec<String> = match matches.get_many::<String>("name") {
        Some(names) => names.cloned().collect(),
        None => LOCAL_NAMES.map(str::to_owned).to_vec(),
    };
    if let Some(wrong) = names.iter().find(|name| !is_host(name)) {
        return Err(format!("{wrong} is not a host name or an IP address"));
    }
    let (cert, key) = (out.join("cert.pem"), out.join("key.pem"));
    if !matches.get_flag("force")
        && let Some(there) = [&cert, &key].into_iter().find(|path| path.symlink_metadata().is_ok())
    {
        return Err(format!("{} is there already; --force replaces it", there.display()));
    }
    let (cert_text, key_text) = make(&names, days)
        .map_err(|error| format!("cannot make a certificate for {}: {error}", names.join(", ")))?;
    fs::create_dir_all(out).map_err(|error| format!("cannot make {}: {error}", out.display()))?;
    for (path, text, mode) in [(&key, key_text, 0o600), (&cert, cert_text, 0o644)] {
        write(path, &text, mode)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let (cert, key) = (cert.display(), key.display());
    let host = &names[0];
    Ok(format!(
        "{cert} and {key} are valid for {} for {days} days. For development only: nobody but those \
         who are given {cert} trusts it.\n\n\
         ringstone --tls-listen 127.0.0.1:6379 --tls-cert {cert} --tls-key {key} --listen ''\n\
         redis-cli --tls --cacert {cert} -h {host} -p 6379\n",
        names.join(", ")
    ))
}

fn is_host(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.chars().all(fits))
}

fn make(names: &[String], days: u64) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    let now_s = clock::unix_ms() / 1000;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now_s.saturating_sub(BACKDATED_S));
    params.not_after = epoch + Duration::from_secs(now_s + days * DAY_S);
    params.distinguished_name.push(DnType::CommonName, names[0].as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Puts a file in its place as a whole: a server may be watching it.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("pem.new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
