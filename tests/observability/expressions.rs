//! The expressions of the dashboard and the alerts, and the metrics they use.

use std::collections::BTreeSet;

use serde_json::Value;

/// The dashboard's expressions as they are written, each with the title of its panel; those of its
/// variables and annotations among them.
pub fn of_dashboard(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(dashboard, "dashboard", &mut found);
    found
}

fn collect(value: &Value, title: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            let title = members.get("title").and_then(Value::as_str).unwrap_or(title);
            if let Some(expression) = members.get("expr").and_then(Value::as_str) {
                found.push((title.to_owned(), expression.to_owned()));
            }
            let variable = members.get("query").and_then(Value::as_str).and_then(label_values);
            found.extend(variable.map(|selector| (title.to_owned(), selector)));
            members.values().for_each(|member| collect(member, title, found));
        }
        Value::Array(elements) => elements.iter().for_each(|one| collect(one, title, found)),
        _ => {}
    }
}

/// The selector of a variable's `label_values(selector, label)`.
fn label_values(query: &str) -> Option<String> {
    let (selector, _) = query.strip_prefix("label_values(")?.rsplit_once(',')?;
    Some(selector.to_owned())
}

/// As Grafana would send it, with everything selected.
pub fn substituted(expression: &str) -> String {
    let text = expression.replace("$__rate_interval", "1m").replace("$__range", "5m");
    let text = text.replace("$instance", ".+").replace("$command", ".*");
    assert!(!text.contains('$'), "an unknown variable in {expression}");
    text
}

/// What an alert compares: an alert that does not fire has no data, but these must have.
pub fn operands(expression: &str) -> Vec<String> {
    let expression = unwrapped(expression);
    let parts = split(expression, &["and", "or", "unless"]);
    if parts.len() > 1 {
        return parts.into_iter().flat_map(operands).collect();
    }
    let compared = split(expression, &["==", "!=", ">=", "<=", ">", "<"]);
    let compared = compared.into_iter().filter(|side| side.contains(char::is_alphabetic));
    compared.map(|side| unwrapped(side).to_owned()).collect()
}

/// Without parentheses around all of it.
fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    match inside {
        Some(inside) if outside_parentheses(text).iter().all(|at| *at == 0) => unwrapped(inside),
        _ => text,
    }
}

/// Where in the text no parenthesis, bracket or quotation is open; an opening one is outside still.
fn outside_parentheses(text: &str) -> Vec<usize> {
    let (mut open, mut quoted, mut outside) = (0, false, Vec::new());
    for (at, character) in text.char_indices() {
        if open == 0 && !quoted {
            outside.push(at);
        }
        match character {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => open += 1,
            ')' | ']' | '}' if !quoted => open -= 1,
            _ => {}
        }
    }
    outside
}

/// Splits at operators outside parentheses, and drops what says how to match (`on (job)`).
fn split<'a>(text: &'a str, operators: &[&str]) -> Vec<&'a str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    for at in outside_parentheses(text) {
        if at < from {
            continue;
        }
        let operator = operators.iter().find(|operator| {
            let rest = &text[at..];
            let is_name = operator.chars().all(is_word);
            let whole = !text[..at].ends_with(is_word) && {
                let after = rest.strip_prefix(*operator).unwrap_or_default();
                !after.starts_with(is_word)
            };
            rest.starts_with(*operator) && (!is_name || whole)
        });
        let Some(operator) = operator else { continue };
        parts.push(text[from..at].trim());
        from = at + operator.len();
        let rest = text[from..].trim_start();
        if rest.starts_with("on ") || rest.starts_with("on(") || rest.starts_with("ignoring") {
            let end = rest.find(')').expect("a list of labels");
            from = text.len() - rest.len() + end + 1;
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// The metrics that a text names: those of ringstone and of its process, without the suffixes that
/// Prometheus adds to a histogram's.
pub fn metrics(text: &str, histograms: &BTreeSet<String>) -> BTreeSet<String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let words = text.split(|character: char| !is_word(character));
    let names = words.filter(|word| {
        !word.contains(':') && (word.starts_with("ringstone_") || word.starts_with("process_"))
    });
    names
        .map(|name| {
            let suffixes = ["_bucket", "_sum", "_count"];
            let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
            base.filter(|base| histograms.contains(*base)).unwrap_or(name).to_owned()
        })
        .collect()
}
