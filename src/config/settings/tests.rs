//! Property: every setting has one name, and a value that is shown as it is read.

use super::super::{ClientAuth, Durability, LogFormat, LogLevel, StoreKind};
use super::*;

#[test]
fn names_are_unique_and_spelled_alike() {
    for (at, setting) in SETTINGS.iter().enumerate() {
        let spelled = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(setting.name.chars().all(spelled), "{}", setting.name);
        assert!(SETTINGS[..at].iter().all(|other| other.name != setting.name));
        assert!(!setting.help.ends_with('.') && !setting.help.is_empty(), "{}", setting.name);
    }
}

#[test]
fn every_default_reads_back_from_its_text() {
    let defaults = Config::default();
    for setting in SETTINGS {
        let Some(text) = setting.text(&defaults) else { continue };
        let mut config = defaults.clone();
        (setting.read)(&mut config, &text).unwrap();
        assert_eq!(config, defaults, "{}", setting.name);
    }
}

#[test]
fn help_lists_the_words_that_are_read() {
    fn check<T: Word>(name: &str) {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
        assert!(words.join("|").starts_with(setting.value), "{name}");
    }
    check::<bool>("protected-mode");
    check::<ClientAuth>("tls-client-auth");
    check::<StoreKind>("store");
    check::<Durability>("durability");
    check::<LogLevel>("loglevel");
    check::<LogFormat>("log-format");
    check::<bool>("latency-tracking");
}
