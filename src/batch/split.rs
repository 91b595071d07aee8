//! Dividing a group that keeps conflicting.

use std::collections::HashMap;

use super::waitlist::Waiting;

/// Reorders the members of a group so that those connected by keys stand together, and says where to
/// cut it in two; `None` if all of it is connected, so that two groups would only wait for each other.
pub(super) fn halve(members: &mut Vec<Waiting>) -> Option<usize> {
    let families = families(members);
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&number| families[number]);
    let cut = (1..order.len())
        .filter(|&at| families[order[at - 1]] != families[order[at]])
        .min_by_key(|at| at.abs_diff(order.len() / 2))?;
    let mut slots: Vec<Option<Waiting>> = members.drain(..).map(Some).collect();
    members.extend(order.into_iter().filter_map(|number| slots[number].take()));
    Some(cut)
}

/// For each member the number of the first one it is connected with.
fn families(members: &[Waiting]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..members.len()).collect();
    let mut owners = HashMap::new();
    for (number, member) in members.iter().enumerate() {
        for key in &member.footprint {
            let other = *owners.entry(*key).or_insert(number);
            let (one, other) = (root(&mut parents, number), root(&mut parents, other));
            parents[one.max(other)] = one.min(other);
        }
    }
    (0..members.len()).map(|number| root(&mut parents, number)).collect()
}

fn root(parents: &mut [usize], mut number: usize) -> usize {
    while parents[number] != number {
        parents[number] = parents[parents[number]];
        number = parents[number];
    }
    number
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::batch::Chores;
    use crate::batch::group::Item;
    use crate::clock;

    fn member(footprint: &[u64]) -> Waiting {
        let chores = Chores { chores: Vec::new(), done: channel().0 };
        let (item, since) = (Item::Chores(chores, None), clock::monotonic());
        Waiting { item, since, footprint: footprint.to_vec(), company_max: 9 }
    }

    fn halves(footprints: &[&[u64]]) -> Option<[Vec<Vec<u64>>; 2]> {
        let mut members: Vec<_> = footprints.iter().map(|keys| member(keys)).collect();
        let cut = halve(&mut members)?;
        let second = members.split_off(cut);
        Some([members, second].map(|half| half.into_iter().map(|one| one.footprint).collect()))
    }

    #[test]
    fn what_shares_a_key_stays_together() {
        assert_eq!(halves(&[&[1], &[1], &[1]]), None);
        assert_eq!(halves(&[&[1], &[2, 3], &[3, 1]]), None);
        let halved = halves(&[&[1], &[2], &[1], &[2]]).unwrap();
        assert_eq!(halved, [vec![vec![1], vec![1]], vec![vec![2], vec![2]]]);
        let [one, other] = halves(&[&[1], &[], &[1, 2], &[2], &[5]]).unwrap();
        assert_eq!((one.len(), other), (3, vec![vec![], vec![5]]));
    }
}
