//! Which cell comes when: every block has each cell once, in an order of its own that follows from the seed.

use fastrand::Rng;

/// Position of the baseline among the cells of a group.
pub(super) const BASELINE: usize = 0;
/// Position of the first cell that is compared with it: the headline.
const HEADLINE: usize = 2;

/// The order of `cells` cells in block number `block`. The baseline and the headline stand side by side, so that what
/// disturbs one of them disturbs the other.
pub(super) fn order(seed: u64, block: usize, cells: usize) -> Vec<usize> {
    let mut rng = Rng::with_seed(seed ^ (block as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut order: Vec<usize> = (0..cells).collect();
    rng.shuffle(&mut order);
    if cells > HEADLINE {
        order.retain(|cell| *cell != HEADLINE);
        let baseline = order.iter().position(|cell| *cell == BASELINE).unwrap_or(0);
        order.insert(baseline + usize::from(rng.bool()), HEADLINE);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_each_cell_once_and_the_headline_beside_the_baseline() {
        let mut orders = std::collections::BTreeSet::new();
        let mut before = 0;
        for block in 1..=200 {
            let order = order(7, block, 6);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
            let place = |cell| order.iter().position(|other| *other == cell).expect("in it");
            assert_eq!(place(BASELINE).abs_diff(place(HEADLINE)), 1, "{order:?}");
            before += usize::from(place(HEADLINE) < place(BASELINE));
            orders.insert(order);
        }
        assert!(orders.len() > 100, "{} different ones", orders.len());
        assert!(
            (70..=130).contains(&before),
            "{before} of 200 before the baseline"
        );
        assert_eq!(order(7, 3, 6), order(7, 3, 6), "the same seed");
        assert_eq!(order(7, 1, 1), [0]);
    }
}
