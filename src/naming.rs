//! Names of files and directories that people recognise and that nothing else has.

use sha2::{Digest as _, Sha256};

/// Letters that people recognise it by.
const READABLE_LETTERS: usize = 60;

/// A name that begins with what is readable of `readable`, and is another one for other `pieces`.
pub fn unique_name(readable: &str, pieces: &[&str]) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let begins: String = readable
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .take(READABLE_LETTERS)
        .collect();
    let mut digest = Sha256::new();
    for piece in pieces {
        // Or pieces that are split elsewhere would be the same.
        digest.update(piece.len().to_le_bytes());
        digest.update(piece);
    }
    let unique: String = digest.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{unique}", begins.trim_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_of_one_thing_each() {
        let name = unique_name("backups-../home/ä/", &["backups", "home"]);
        assert!(name.starts_with("backups-..-home-"), "{name}");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        );
        assert_eq!(name, unique_name("backups-../home/ä/", &["backups", "home"]));
        assert_ne!(name, unique_name("backups-../home/ä/", &["backup", "shome"]));
        let hidden = unique_name("../../x", &[]);
        assert!(hidden.starts_with('x'), "{hidden}");
        assert!(unique_name(&"x".repeat(1_000), &[]).len() < 100);
    }
}
