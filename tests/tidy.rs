//! The repository's own rules: layers point downward, files and functions stay short, every command
//! is documented, tested and listed in the README, and so is every metric.

#![allow(clippy::unwrap_used)]

#[path = "observability/expressions.rs"]
#[allow(dead_code)]
mod expressions;
#[path = "tidy/metrics.rs"]
mod metrics;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ringstone::command;

/// From the top down; a module may use those to its right and the leaves.
const LAYERS: &[&str] =
    &["main", "cli", "server", "net", "session", "batch", "command", "data", "store"];
/// Usable by all, using only other leaves.
const LEAVES: &[&str] = &[
    "limits", "clock", "metrics", "resp", "auth", "config", "error", "num", "glob", "json",
    "logging",
];
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// Files that may contain unsafe code, each block with its reason beside it.
const UNSAFE_FILES: &[&str] =
    &["src/store/foundationdb/raw.rs", "tests/allocations.rs", "benches/foundationdb/bare_fdb.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn all_files() -> Vec<PathBuf> {
    ["src", "tests", "benches"].into_iter().flat_map(rust_files).collect()
}

/// The top-level module a source file belongs to.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn layers_point_downward() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let module = module_of(&path);
        let own_rank = LAYERS.iter().position(|layer| *layer == module);
        let text = fs::read_to_string(&path).unwrap();
        // Unit tests, at the end of a file or in one of their own, may stand on anything.
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            for (at, _) in line.match_indices("crate::") {
                let used: String = line[at + 7..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let is_fine = used == module
                    || LEAVES.contains(&used.as_str())
                    || match (own_rank, LAYERS.iter().position(|layer| *layer == used)) {
                        (Some(own), Some(used)) => used > own,
                        _ => module == "lib" || used.is_empty(),
                    };
                if !is_fine {
                    wrong.push(format!("{}:{}: uses {used}", shown(&path), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "layers point upward:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    let modules: BTreeSet<String> = rust_files("src").iter().map(|path| module_of(path)).collect();
    for module in modules.iter().filter(|module| *module != "lib") {
        let known = LAYERS.contains(&module.as_str()) || LEAVES.contains(&module.as_str());
        assert!(known, "{module} is neither a layer nor a leaf");
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for path in all_files() {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", shown(&path)));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for path in all_files() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_function = line.trim_start().starts_with("fn ")
                || ["pub fn ", "async fn ", "const fn "].iter().any(|kind| line.contains(kind))
                    && !line.trim_start().starts_with("//")
                    && !line.contains('"');
            if !is_function || line.trim_end().ends_with(';') || line.trim_end().ends_with('}') {
                continue;
            }
            let closing = format!("{}}}", " ".repeat(indent));
            let end = lines[start..].iter().position(|line| *line == closing).unwrap_or(0);
            if end > FUNCTION_LINES_MAX {
                wrong.push(format!("{}:{}: {end} lines", shown(&path), start + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "functions are too long:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelled in two halves so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]];
    let mut wrong = Vec::new();
    for path in all_files() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|halves| line.contains(&halves.concat())) {
                wrong.push(format!("{}:{}: {line}", shown(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_is_where_it_is_allowed() {
    let allow = ["allow(", "unsafe_code)"].concat();
    for path in all_files() {
        let name = shown(&path);
        let text = fs::read_to_string(&path).unwrap();
        let allowed = UNSAFE_FILES.contains(&name.as_str());
        assert!(allowed || !text.contains(&allow), "{name} allows unsafe code");
    }
}

/// Names as a user writes them: `client id` for a subcommand.
fn command_names() -> Vec<String> {
    command::top_level()
        .flat_map(|spec| match spec.subcommands {
            [] => vec![spec.name.to_owned()],
            subcommands => subcommands.iter().map(|sub| sub.name.replace('|', " ")).collect(),
        })
        .collect()
}

#[test]
fn every_command_is_documented() {
    for spec in command::top_level() {
        for row in std::iter::once(spec).chain(spec.subcommands) {
            assert!(row.summary.ends_with('.'), "{}: the summary is a sentence", row.name);
            assert!(!row.since.is_empty(), "{}: no version", row.name);
            assert!(!row.complexity.is_empty(), "{}: no complexity", row.name);
        }
    }
}

#[test]
fn every_command_has_a_scenario() {
    let mut text = String::new();
    for entry in fs::read_dir(root().join("tests/scenarios")).unwrap().flatten() {
        if entry.path().is_file() {
            text.push_str(
                &String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).to_lowercase(),
            );
        }
    }
    for path in rust_files("tests") {
        text.push_str(&fs::read_to_string(path).unwrap().to_lowercase());
    }
    let untested: Vec<String> =
        command_names().into_iter().filter(|name| !text.contains(name.as_str())).collect();
    assert!(untested.is_empty(), "no test mentions {untested:?}");
}

/// The README's table, made from the command table.
fn command_list() -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for spec in command::top_level() {
        let group = format!("{:?}", spec.group).to_lowercase();
        let name = match spec.subcommands {
            [] => format!("`{}`", spec.name.to_uppercase()),
            subcommands => {
                let names: Vec<String> = subcommands
                    .iter()
                    .map(|sub| sub.name[spec.name.len() + 1..].to_uppercase())
                    .collect();
                format!("`{}` ({})", spec.name.to_uppercase(), names.join(" "))
            }
        };
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, names)) => names.push(name),
            None => groups.push((group, vec![name])),
        }
    }
    let mut text = "| group | commands |\n| --- | --- |\n".to_owned();
    for (group, mut names) in groups {
        names.sort();
        text.push_str(&format!("| {group} | {} |\n", names.join(" ")));
    }
    text
}

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The README has this between its marks of that name; RINGSTONE_TEST_BLESS has it put there.
fn check_readme(name: &str, list: &str) {
    // Tests run side by side, and each renews the file as a whole.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let readme = read("README.md");
    let (first, last) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let begin = readme.find(&first).expect("the list's first mark") + first.len();
    let end = readme.find(&last).expect("the list's last mark");
    if std::env::var_os("RINGSTONE_TEST_BLESS").is_some() {
        let new = format!("{}{list}{}", &readme[..begin], &readme[end..]);
        fs::write(root().join("README.md"), new).unwrap();
        return;
    }
    assert!(
        readme[begin..end] == *list,
        "README.md's {name} are old; RINGSTONE_TEST_BLESS=1 cargo test --test tidy renews them"
    );
}

#[test]
fn the_readme_lists_the_commands() {
    check_readme("commands", &command_list());
}
