//! The page that `INFO` gives, taken apart.

use super::common::{Conn, Server};

/// Sections in their order, each with its fields in theirs.
pub struct Page(Vec<(String, Vec<(String, String)>)>);

impl Page {
    /// Asks over a new connection.
    pub fn read(server: &Server, sections: &str) -> Page {
        Page::ask(&mut server.connect(), sections)
    }

    /// Asks for some sections.
    pub fn ask(conn: &mut Conn, sections: &str) -> Page {
        let reply = conn.command(&format!("INFO {sections}"));
        Page::parse(std::str::from_utf8(reply.bulk().unwrap()).unwrap())
    }

    fn parse(text: &str) -> Page {
        let mut page = Vec::new();
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            assert!(!line.contains(['\r', '\n']), "{line:?}");
            match (line.strip_prefix("# "), page.last_mut()) {
                (Some(name), _) => page.push((name.to_owned(), Vec::new())),
                (None, Some((_, fields))) => {
                    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
                    fields.push((name.to_owned(), value.to_owned()));
                }
                (None, None) => panic!("{line} is in no section"),
            }
        }
        Page(page)
    }

    /// The names of the sections.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The names of a section's fields.
    pub fn names(&self, section: &str) -> Vec<String> {
        let found = self.0.iter().find(|(name, _)| name == section);
        let fields = found.map_or(&[][..], |(_, fields)| fields);
        fields.iter().map(|(name, _)| name.clone()).collect()
    }

    fn find(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter().flat_map(|(_, fields)| fields);
        fields.find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A field's value.
    pub fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("INFO has no {name}"))
    }

    /// A field's value that is a number.
    pub fn number(&self, name: &str) -> f64 {
        let text = self.text(name);
        text.trim_end_matches('%').parse().unwrap_or_else(|_| panic!("{name}:{text}"))
    }

    /// A value within a field such as `db0:keys=1,expires=0`; 0 if there is no such field.
    pub fn part(&self, name: &str, part: &str) -> f64 {
        let Some(text) = self.find(name) else { return 0.0 };
        let mut parts = text.split(',').filter_map(|part| part.split_once('='));
        let value =
            parts.find(|(name, _)| *name == part).unwrap_or_else(|| panic!("{name}:{text}"));
        value.1.parse().unwrap()
    }
}
