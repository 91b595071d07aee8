//! Property: documents survive `JSON.SET` and `JSON.GET` unchanged, whoever wrote them, and changes at
//! random places give what the same changes to a plain tree give.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Conn, Options, Reply, Rng, Server, Subject, fdb};
use serde_json::{Value, json};

#[test]
fn memory_changes_documents_like_the_model() {
    run(Subject::Memory, 3000);
}

#[test]
fn fault_injection_changes_no_document() {
    run(Subject::Faulty, 500);
}

#[test]
fn foundationdb_changes_documents_like_the_model() {
    if fdb::is_here() {
        run(Subject::FoundationDb, 200);
    }
}

fn run(subject: Subject, documents: u64) {
    let seed = common::env_number("RINGSTONE_TEST_FUZZ_SEED", 1);
    let server = Server::start_with(subject, &Options { unix: true, ..Options::default() });
    let mut conn = server.connect();
    for number in 0..documents {
        let mut dice = Dice(Rng::new(seed + number));
        let mut model = dice.value(4);
        let written = dice.written(&model);
        // One of them goes by a way that checks nothing.
        let set: &[&str] = if dice.below(4) == 0 { &["SET", "k"] } else { &["JSON.SET", "k", "$"] };
        assert_eq!(conn.call(&[set, &[&written]].concat()), Reply::Simple(b"OK".into()));
        check(&mut conn, &model, &written);
        for _ in 0..8 {
            let change = dice.change(&mut model);
            let reply = conn.call(&change);
            assert!(!reply.is_error(), "seed {seed}: document {number}: {change:?}: {reply:?}");
            check(&mut conn, &model, &format!("seed {seed}: document {number}: {change:?}"));
        }
    }
}

fn check(conn: &mut Conn, model: &Value, what: &str) {
    let reply = conn.call(&["JSON.GET", "k"]);
    assert_eq!(reply.bulk().map(String::from_utf8_lossy), Some(model.to_string().into()), "{what}");
}

/// What random documents and changes are made of.
struct Dice(Rng);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    fn name(&mut self) -> &'static str {
        self.0.pick(&["a", "b", "c d", "", "é", "..", "*", "[?(", "'", "\"", "\\", "\n", "0", "😀"])
    }

    fn value(&mut self, levels: usize) -> Value {
        match self.below(if levels == 0 { 4 } else { 8 }) {
            0 => [Value::Null, true.into(), false.into()][self.below(3)].clone(),
            1 | 2 => {
                let text = self.0.pick(&["0", "-7", "1.0", "2.50", "9007199254740993", "-0.0"]);
                serde_json::from_str(text).unwrap()
            }
            3 => self.name().repeat(self.below(3)).into(),
            4 | 5 => (0..self.below(4)).map(|_| self.value(levels - 1)).collect(),
            _ => {
                let members = (0..self.below(5)).map(|_| (self.name(), self.value(levels - 1)));
                members.map(|(name, value)| (name.to_owned(), value)).collect()
            }
        }
    }

    /// The document's text, with spaces and escapes that are not needed.
    fn written(&mut self, value: &Value) -> String {
        let space = *self.0.pick(&[&"", &"", &" ", &"\n\t"]);
        let text = match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.written(item)).collect();
                format!("[{space}{}]", items.join(","))
            }
            Value::Object(members) => {
                let member = |(name, item): (&String, &Value)| {
                    format!("{}:{}", self.written(&name.as_str().into()), self.written(item))
                };
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{space}{}}}", members.join(","))
            }
            Value::String(text) if self.below(2) == 0 => {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
                format!("\"{}\"", units.collect::<String>())
            }
            other => other.to_string(),
        };
        format!("{space}{text}{space}")
    }

    /// A random value of the document, and a path that leads to it alone.
    fn place<'d>(&mut self, root: &'d mut Value) -> (String, &'d mut Value) {
        let (mut path, mut here) = ("$".to_owned(), root);
        loop {
            let len =
                here.as_array().map(Vec::len).or(here.as_object().map(|members| members.len()));
            let Some(len @ 1..) = len else { return (path, here) };
            if self.below(4) == 0 {
                return (path, here);
            }
            let index = self.below(len);
            here = match here {
                Value::Array(items) => {
                    let from_end = if self.below(2) == 0 { len as i64 } else { 0 };
                    path += &format!("[{}]", index as i64 - from_end);
                    &mut items[index]
                }
                Value::Object(members) => {
                    let (name, value) = members.iter_mut().nth(index).unwrap();
                    path += &format!("[{}]", self.written(&name.as_str().into()).trim());
                    value
                }
                _ => unreachable!("it has elements"),
            };
        }
    }

    /// A command that fits a random place of the document, which is changed the same way.
    fn change(&mut self, root: &mut Value) -> Vec<String> {
        let new = self.value(2);
        let text = self.written(&new);
        let name = self.name();
        let number = self.below(9) as i64 - 4;
        let which = self.below(6);
        let (path, value) = self.place(root);
        let command = |name: &str, args: &[&str]| {
            let all = [&[name, "k", &path], args].concat();
            all.into_iter().map(str::to_owned).collect()
        };
        match value {
            Value::Array(items) if which < 4 => {
                change_array(items, which, number, new, &text, command)
            }
            Value::Object(members) if which < 2 && !members.contains_key(name) => {
                members.insert(name.to_owned(), new);
                let path = format!("{path}[{}]", Value::from(name));
                ["JSON.SET", "k", &path, &text, "NX"].map(str::to_owned).into()
            }
            Value::Object(members) if which < 3 => {
                members.insert(name.to_owned(), json!([number]));
                command("JSON.MERGE", &[&json!({ name: [number] }).to_string()])
            }
            Value::Object(members) if which < 4 => {
                members.shift_remove(name);
                let path = format!("{path}[{}]", Value::from(name));
                ["JSON.DEL", "k", &path].map(str::to_owned).into()
            }
            Value::Number(old) if which < 4 => {
                let sum = old.as_i64().map(|old| old + number);
                let Some(sum) = sum else {
                    *value = json!(0);
                    return command("JSON.SET", &["0"]);
                };
                *value = json!(sum);
                command("JSON.NUMINCRBY", &[&number.to_string()])
            }
            Value::String(old) if which < 4 => {
                old.push_str(name);
                command("JSON.STRAPPEND", &[&Value::from(name).to_string()])
            }
            Value::Bool(old) if which < 4 => {
                *old = !*old;
                command("JSON.TOGGLE", &[])
            }
            value => {
                *value = new;
                command("JSON.SET", &[&text])
            }
        }
    }
}

fn change_array(
    items: &mut Vec<Value>,
    which: usize,
    number: i64,
    new: Value,
    text: &str,
    command: impl Fn(&str, &[&str]) -> Vec<String>,
) -> Vec<String> {
    let at = number.rem_euclid(items.len() as i64 + 1) as usize;
    match which {
        0 => {
            items.push(new);
            command("JSON.ARRAPPEND", &[text])
        }
        1 => {
            items.insert(at, new);
            command("JSON.ARRINSERT", &[&at.to_string(), text])
        }
        2 => {
            items.truncate(at + 1);
            command("JSON.ARRTRIM", &["0", &at.to_string()])
        }
        _ => {
            if at < items.len() {
                items.remove(at);
            } else {
                items.pop();
            }
            command("JSON.ARRPOP", &[&at.to_string()])
        }
    }
}
