//! "Did you mean …": the known word that is nearest to a mistyped one.

/// The candidate nearest to `word`, if one is near enough to be a typing error.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // Of one or two letters any other word would be near.
    let limit = match word.chars().count() {
        0..=2 => 0,
        n => (n / 3).max(1),
    };
    candidates
        .into_iter()
        .map(|c| (distance(&lower, &c.to_lowercase()), c))
        .filter(|&(d, c)| d <= limit || is_form_of(&lower, c))
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

/// A sentence that suggests the nearest candidate, or lists them all if there are few.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = nearest(word, all.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    (!all.is_empty() && all.len() <= 24).then(|| format!("known here: {}", all.join(", ")))
}

/// `latency` for `delay` is beyond typing errors: words that other tools use for the same thing.
fn is_form_of(word: &str, candidate: &str) -> bool {
    const SAME: &[(&str, &str)] = &[
        ("latency", "delay"),
        ("bandwidth", "rate"),
        ("bw", "rate"),
        ("speed", "rate"),
        ("drop", "loss"),
        ("limit", "queue"),
        ("buffer", "queue"),
        ("duplication", "duplicate"),
        ("corruption", "corrupt"),
        ("reordering", "reorder"),
        ("nodes", "hosts"),
        ("edges", "links"),
        ("tests", "checks"),
        ("endpoints", "between"),
        ("command", "run"),
        ("cmd", "run"),
        ("exec", "run"),
        ("host", "on"),
        ("output", "expect"),
        ("contains", "expect"),
        ("ip", "addresses"),
        ("address", "addresses"),
    ];
    SAME.contains(&(word, candidate))
}

/// Edits (insert, delete, replace, swap neighbours) that make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table = vec![0usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let cost = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + cost);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(table[(i - 2) * width + j - 2] + 1);
                }
                best
            };
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_and_other_tools_words_are_understood() {
        let keys = ["delay", "loss", "rate", "queue"];
        assert_eq!(nearest("dealy", keys), Some("delay"));
        assert_eq!(nearest("Loss", keys), Some("loss"));
        assert_eq!(nearest("latency", keys), Some("delay"));
        assert_eq!(nearest("bandwidth", keys), Some("rate"));
        assert_eq!(nearest("colour", keys), None);
    }
}
