//! The numbers of all commands: indices of the counters about them.

use std::sync::OnceLock;

use crate::command::Spec;
use crate::command::table::top_level;

/// The numbers of all commands and subcommands: indices of the counters about them.
pub struct Registry {
    specs: Vec<&'static Spec>,
    /// Rows that lie side by side: their first address, and the first one's number.
    runs: Vec<(usize, usize)>,
}

/// Every command and subcommand, numbered.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut specs: Vec<&'static Spec> =
            top_level().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect();
        specs.sort_unstable_by_key(|&spec| address(spec));
        let mut runs = Vec::new();
        let mut expected = 0;
        for (number, &spec) in specs.iter().enumerate() {
            if address(spec) != expected {
                runs.push((address(spec), number));
            }
            expected = address(spec) + size_of::<Spec>();
        }
        Registry { specs, runs }
    })
}

fn address(spec: &'static Spec) -> usize {
    std::ptr::from_ref(spec).addr()
}

impl Registry {
    /// The command's number.
    #[inline]
    pub fn number(&self, spec: &'static Spec) -> usize {
        let address = address(spec);
        let run = self.runs.partition_point(|&(first, _)| first <= address);
        let (first, number) = self.runs[run - 1];
        number + (address - first) / size_of::<Spec>()
    }

    /// All commands, by number.
    pub fn specs(&self) -> &[&'static Spec] {
        &self.specs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_own_number() {
        let registry = registry();
        for (number, &spec) in registry.specs().iter().enumerate() {
            assert_eq!(registry.number(spec), number, "{}", spec.name);
        }
    }
}
