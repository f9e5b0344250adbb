//! Keys that are not plain: files have such names.

use super::basics::random;
use super::place::keys_below;
use super::{Examiner, Found, is_refusal};
use crate::store::{StoreErrorKind, StoreResult};

/// What may happen to a name on its way: decoded twice, cut, joined, normalised, taken for markup.
const NAMES: [&str; 8] = [
    "a b+c%2F~\u{e9}",
    "e\u{301} decomposed",
    "\u{1f4f7} \u{65e5}\u{672c}",
    "<&>'\"?#[]{}|^`",
    "back\\slash",
    "control \u{1}",
    " spaces ",
    "trailing.",
];

impl Examiner<'_> {
    /// Each is stored, found and listed under exactly its name.
    pub(super) async fn names(&mut self) -> StoreResult<Found> {
        let (mut stored, mut refused) = (Vec::new(), Vec::new());
        for name in NAMES {
            match self.put(&format!("names/{name}"), &random(10)).await {
                Ok((key, _)) => stored.push((name, key)),
                Err(error) if is_refusal(&error) => refused.push(name),
                Err(error) => return Err(error),
            }
        }
        let prefix = format!("{}names/", self.place.prefix());
        let listed = keys_below(self.store.as_ref(), &prefix).await?;
        let mut changed = Vec::new();
        for (name, key) in &stored {
            let is_away = match self.store.head_object(key).await {
                Err(error) => error.kind == StoreErrorKind::NoSuchKey,
                Ok(_) => false,
            };
            if is_away || !listed.contains(key) {
                changed.push(*name);
            }
        }
        if !changed.is_empty() {
            return Ok(Found::fails(format!(
                "{changed:?} cannot be found under the key that it was stored under"
            )));
        }
        if refused.is_empty() {
            let count = NAMES.len();
            return Ok(Found::works(format!("{count} odd names come back as they are")));
        }
        Ok(Found::unsupported(format!("refuses {refused:?}")))
    }
}
