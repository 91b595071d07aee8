//! A Prometheus that scrapes servers under test, with the alerts of `grafana/`, and its tool.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::common::http;

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether there is a Prometheus; if not, one line says so.
pub fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let runs = |program| Command::new(program).arg("--version").output().is_ok();
        let here = runs("prometheus") && runs("promtool");
        if !here {
            // Not eprintln!, which the test harness would swallow.
            let missing = "skipped: Prometheus is not installed; scripts/test.sh installs it";
            let _ = writeln!(std::io::stderr(), "{missing}");
        }
        here
    })
}

/// Runs promtool with this input, in the directory of the rules; it must have nothing to complain about.
pub fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(file("grafana"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "promtool {arguments:?}:\n{told}");
}

/// What the HTTP API of a Prometheus answers, or its error.
pub fn ask(prometheus: SocketAddr, path: &str) -> Result<Value, String> {
    let (_, body) = http::get(prometheus, path).map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    match answer["status"].as_str() {
        Some("success") => Ok(answer["data"].take()),
        _ => Err(answer.to_string()),
    }
}

/// A running Prometheus; dropping it ends it and removes what it collected.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these several times a second.
    pub fn start(targets: &[SocketAddr]) -> Prometheus {
        let directory = tempfile::Builder::new().prefix("ringstone-prometheus").tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::copy(file("grafana/alerts.yml"), path("alerts.yml")).unwrap();
        let config = std::fs::read_to_string(file("grafana/prometheus.yml")).unwrap();
        let targets: Vec<String> = targets.iter().map(|address| format!("\"{address}\"")).collect();
        assert!(config.contains("5s") && config.contains("\"127.0.0.1:9121\""));
        let config = config.replace("5s", "250ms");
        let config = config.replace("\"127.0.0.1:9121\"", &targets.join(", "));
        std::fs::write(path("prometheus.yml"), config).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(path("prometheus.yml"));
        command.arg("--storage.tsdb.path").arg(path("data"));
        command.args(["--web.listen-address", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut address, mut log) = (None, Vec::new());
        // The lines end when the process does.
        for line in lines.by_ref().map_while(Result::ok) {
            if line.contains("msg=\"Listening on\"") {
                let (_, text) = line.split_once("address=").expect("an address");
                address = Some(text.trim().parse().unwrap());
            }
            if line.contains("Server is ready") {
                break;
            }
            log.push(line);
        }
        // What nobody reads would fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let address = address.unwrap_or_else(|| panic!("no Prometheus:\n{}", log.join("\n")));
        Prometheus { child, address, _directory: directory }
    }

    fn ask(&self, path: &str) -> Result<Value, String> {
        ask(self.address, path)
    }

    /// The values of an expression, one for each series.
    pub fn values(&self, expression: &str) -> Result<Vec<f64>, String> {
        let data = self.ask(&format!("/api/v1/query?query={}", http::escaped(expression)))?;
        let number = |point: &Value| point[1].as_str().and_then(|text| text.parse().ok());
        let values = match data["resultType"].as_str() {
            Some("scalar") => vec![number(&data["result"])],
            _ => {
                let series = data["result"].as_array().expect("a vector");
                series.iter().map(|series| number(&series["value"])).collect()
            }
        };
        values.into_iter().collect::<Option<_>>().ok_or_else(|| data.to_string())
    }

    /// Every rule: its name, and its expression.
    pub fn rules(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let rules = self.rules_as_told().into_iter();
        rules.map(|rule| (text(&rule["name"]), text(&rule["query"]))).collect()
    }

    /// Rules that cannot be evaluated, and alerts that cannot say what they mean.
    pub fn complaints(&self) -> Vec<String> {
        let rules = self.rules_as_told().into_iter();
        let failed = rules.filter(|rule| rule["health"] == "err");
        let alerts = self.ask("/api/v1/alerts").unwrap();
        let alerts = alerts["alerts"].as_array().expect("alerts").clone().into_iter();
        // So says a template that does not fit.
        let mute = alerts.filter(|alert| alert["annotations"].to_string().contains("<error"));
        failed.chain(mute).map(|value| value.to_string()).collect()
    }

    fn rules_as_told(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules").unwrap();
        let groups = data["groups"].as_array().expect("groups");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
        rules.cloned().collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
