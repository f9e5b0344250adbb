//! Conditional writes: what exists must not be replaced by a request that says so.

use super::basics::random;
use super::{Examiner, Found, is_refusal};
use crate::store::{CompleteUpload, PutObject, StoreErrorKind, StoreResult};

/// The sizes differ, so that HEAD tells which content is there.
const FIRST_BYTES: usize = 100;
const SECOND_BYTES: usize = 200;

/// What a server did with a write to a key that exists.
enum Answer {
    Refused,
    Replaced,
    Unknown(String),
}

impl Examiner<'_> {
    pub(super) async fn condition(&mut self) -> StoreResult<Found> {
        let first = PutObject {
            if_none_match: true,
            ..self.object("condition", &random(FIRST_BYTES))
        };
        match self.blunt.put_object(&first).await {
            Err(error) if is_refusal(&error) => {
                return Ok(Found::unsupported(format!("refused for a new key: {error}")));
            }
            outcome => _ = outcome?,
        }
        let Some(size_bytes) = self.size_of(&first.key).await? else {
            return Ok(Found::skipped("no right to read"));
        };
        if size_bytes != FIRST_BYTES as u64 {
            return Ok(Found::fails("what was stored on condition is something else"));
        }
        let second = PutObject {
            if_none_match: true,
            ..self.object("condition", &random(SECOND_BYTES))
        };
        let outcome = self.blunt.put_object(&second).await;
        let by_put = self.answer(&first.key, outcome.map(|_| ())).await?;
        let by_parts = match by_put {
            Answer::Refused => self.condition_of_parts(&first.key).await?,
            Answer::Replaced => return Ok(Found::unsupported("an object that exists is replaced")),
            Answer::Unknown(why) => return Ok(Found::unsupported(why)),
        };
        Ok(match by_parts {
            Answer::Refused => {
                self.proven.honours_conditions = true;
                Found::works("an object that exists stays, also from parts")
            }
            Answer::Replaced => Found::unsupported("an object that exists is replaced by one of parts"),
            Answer::Unknown(why) => Found::unsupported(format!("for an object of parts: {why}")),
        })
    }

    async fn condition_of_parts(&mut self, key: &str) -> StoreResult<Answer> {
        let upload = self.begin("condition", self.algorithm).await?;
        let request = CompleteUpload {
            if_none_match: true,
            ..self.send_parts(&upload, &[random(SECOND_BYTES)]).await?
        };
        let outcome = self.blunt.complete_multipart_upload(&request).await;
        let answer = self.answer(key, outcome.map(|_| ())).await?;
        self.give_up(&upload).await?;
        Ok(answer)
    }

    /// What was said, and what is there.
    async fn answer(&self, key: &str, outcome: StoreResult<()>) -> StoreResult<Answer> {
        let is_replaced = self.size_of(key).await? != Some(FIRST_BYTES as u64);
        Ok(match outcome {
            _ if is_replaced => Answer::Replaced,
            Ok(()) => Answer::Unknown("the server says yes and does nothing".to_owned()),
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => Answer::Refused,
            Err(error) if is_refusal(&error) => Answer::Unknown(format!("refused: {error}")),
            Err(error) => return Err(error),
        })
    }
}
