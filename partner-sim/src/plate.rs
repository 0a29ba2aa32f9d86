//! How cameras spell plates.

use rand::{Rng, RngExt};

const LATIN: &str = "ABEKMHOPCTYX";
const CYRILLIC: &str = "АВЕКМНОРСТУХ";

/// One camera's spelling of a Russian plate: case, look-alikes, spaces and
/// dashes vary; the plate does not.
pub fn reading(plate: &str, rng: &mut impl Rng) -> String {
    let mut spelled = String::new();
    for letter in plate.chars() {
        if rng.random_bool(0.2) && !spelled.is_empty() {
            spelled.push(if rng.random_bool(0.5) { ' ' } else { '-' });
        }
        let looks_alike = LATIN
            .chars()
            .zip(CYRILLIC.chars())
            .find(|(latin, _)| *latin == letter)
            .filter(|_| rng.random_bool(0.5))
            .map_or(letter, |(_, cyrillic)| cyrillic);
        if rng.random_bool(0.5) {
            spelled.extend(looks_alike.to_lowercase());
        } else {
            spelled.push(looks_alike);
        }
    }
    if rng.random_bool(0.3) {
        spelled.push_str(" RUS");
    }
    spelled
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn spellings_differ_and_keep_the_digits() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let spellings: std::collections::HashSet<_> =
            (0..50).map(|_| reading("A123BC77", &mut rng)).collect();
        assert!(spellings.len() > 20);
        for spelling in spellings {
            let digits: String = spelling.chars().filter(char::is_ascii_digit).collect();
            assert_eq!(digits, "12377");
        }
    }
}
