//! Which step of which direction this process does by what.

use async_trait::async_trait;

use super::local::LocalSteps;
use super::step::{Step, StepDone, StepError, Steps};
use super::temporary::remove_temporary;
use crate::store::StoreError;

#[async_trait]
impl Steps for LocalSteps {
    async fn run(&self, step: Step) -> Result<StepDone, StepError> {
        match step {
            Step::Look { object, look } => match object.place() {
                Some(place) => self.look_at_place(&object, place).await,
                None => self.look(&object, &look).await,
            },
            Step::Put { object, at_once } => match object.place() {
                Some(place) => self.fetch(&object, place).await,
                None => self.put(&object, at_once).await,
            },
            Step::Batch { objects } => self.batch(&objects).await,
            Step::Begin { object, earlier } => match object.place() {
                Some(place) => self.begin_fetch(&object, place, earlier),
                None => self.begin(&object, earlier).await,
            },
            Step::Part {
                object,
                begun,
                number,
                offset,
                length,
                sent,
            } => {
                let range = (offset, length);
                match object.place() {
                    Some(place) => self.fetch_part((&object, place), number, range, sent).await,
                    None => self.part(&object, &begun, number, range, sent).await,
                }
            }
            Step::Finish { object, begun, parts } => match object.place() {
                Some(place) => self.finish_fetch(&object, place, &parts).await,
                None => self.finish(&object, &begun, parts).await,
            },
            Step::Abort { object, upload_id } => {
                match object.place() {
                    Some(_) => {
                        remove_temporary(&upload_id).map_err(|error| StoreError::local_write(&error))?
                    }
                    None => self.store.abort_multipart_upload(&object.key, &upload_id).await?,
                }
                Ok(StepDone::Aborted)
            }
        }
    }
}
