//! Who gets which machine, so that nobody lacks one that somebody else could do without.
//!
//! Each takes what fits it best, the first first; who finds nothing takes from one who took before and finds another. So who
//! came first never gets less for who came later, and as many are served as can be.

/// How many machines one wants, and which fit, the best first.
pub(super) struct Need {
    /// How many.
    pub count: usize,
    /// Which, by their numbers.
    pub fits: Vec<usize>,
}

/// What each gets, in the order of the needs.
pub(super) fn assign(needs: Vec<Need>) -> Vec<Vec<usize>> {
    let mut market = Market {
        seen: vec![0; needs.len()],
        taken: vec![false; needs.iter().flat_map(|n| &n.fits).max().map_or(0, |most| most + 1)],
        got: needs.iter().map(|_| Vec::new()).collect(),
        fit: needs.iter().map(|need| need.fits.iter().copied().collect()).collect(),
        needs,
    };
    for who in 0..market.needs.len() {
        while market.got[who].len() < market.needs[who].count && market.serve(who) {}
    }
    market.got
}

struct Market {
    needs: Vec<Need>,
    /// The same as sets.
    fit: Vec<std::collections::HashSet<usize>>,
    /// How far each has looked for free machines: what is taken never becomes free again, it only changes hands.
    seen: Vec<usize>,
    taken: Vec<bool>,
    got: Vec<Vec<usize>>,
}

impl Market {
    /// The next free machine that fits.
    fn free(&mut self, who: usize) -> Option<usize> {
        while let Some(&machine) = self.needs[who].fits.get(self.seen[who]) {
            if !self.taken[machine] {
                return Some(machine);
            }
            self.seen[who] += 1;
        }
        None
    }

    /// One machine more for somebody, if others can move up.
    fn serve(&mut self, who: usize) -> bool {
        // From whom each would take, and what.
        let mut from: Vec<Option<(usize, usize)>> = vec![None; self.needs.len()];
        let mut queue = std::collections::VecDeque::from([who]);
        while let Some(asking) = queue.pop_front() {
            if let Some(machine) = self.free(asking) {
                self.taken[machine] = true;
                self.hand_over(asking, machine, &from);
                return true;
            }
            let fit = &self.fit[asking];
            for (other, (from, got)) in from.iter_mut().zip(&self.got).enumerate() {
                if other == who || from.is_some() {
                    continue;
                }
                if let Some(&machine) = got.iter().find(|machine| fit.contains(machine)) {
                    *from = Some((asking, machine));
                    queue.push_back(other);
                }
            }
        }
        false
    }

    /// Who found a machine gives the one it had to who asked for it, and so on back to the first.
    fn hand_over(&mut self, mut finder: usize, mut machine: usize, from: &[Option<(usize, usize)>]) {
        loop {
            let given = from[finder];
            match given {
                Some((_, old)) => {
                    if let Some(place) = self.got[finder].iter_mut().find(|have| **have == old) {
                        *place = machine;
                    }
                }
                None => self.got[finder].push(machine),
            }
            let Some((asking, old)) = given else { return };
            (finder, machine) = (asking, old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(needs: &[(usize, &[usize])]) -> Vec<Vec<usize>> {
        assign(needs.iter().map(|(count, fits)| Need { count: *count, fits: fits.to_vec() }).collect())
    }

    #[test]
    fn the_first_is_served_first_and_moves_up_for_others() {
        assert_eq!(served(&[(2, &[0, 1]), (1, &[0, 1])]), [vec![0, 1], vec![]]);
        assert_eq!(served(&[(1, &[0, 1]), (1, &[0])]), [vec![1], vec![0]], "the first finds another");
        assert_eq!(served(&[(1, &[0, 1]), (1, &[1, 2]), (1, &[0])]), [vec![1], vec![2], vec![0]], "a chain of them");
        assert_eq!(served(&[(1, &[]), (0, &[0]), (5, &[0])]), [vec![], vec![], vec![0]]);
        assert_eq!(served(&[]), Vec::<Vec<usize>>::new());
    }
}
