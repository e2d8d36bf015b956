//! The bundle for whoever supports this gateway from afar: made here, fetched in parts, as reports are too.

use std::sync::{Arc, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::Hands;
use crate::{
    bundle::{self, Bundle, Given},
    command::{Order, args, results},
    doctor::{self, Examination},
    remote::{self, Failed, Progress},
};

/// Bytes of one part: in two envelopes it grows to nearly twice that.
const PART: usize = 24 << 10;

impl Hands {
    /// Makes one, or tells again of the one that was made.
    pub(super) async fn bundle(&self, order: &Order, progress: &Progress) -> Result<Value, Failed> {
        let args::Bundle { bundle } = remote::args(order)?;
        let bundle = match bundle {
            Some(id) => self.kept(&id)?,
            None => {
                let config = self.reloader.path().to_path_buf();
                progress.tell("the doctor looks");
                let report = doctor::examine(&Examination { config: config.clone(), terminal: None }).await;
                progress.tell("the journal is verified, and all is packed");
                let given = Given { doctor: json!(report), ..Given::default() };
                let made = bundle::make(&config, given).await;
                let made = Arc::new(made.map_err(|error| Failed::Plainly(format!("it cannot be made: {error}")))?);
                *self.bundle.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
                made
            }
        };
        let Bundle { id, bytes, sha256 } = &*bundle;
        Ok(json!(results::Bundle { bundle: id.clone(), bytes: bytes.len() as u64, sha256: sha256.clone() }))
    }

    pub(super) fn bundle_part(&self, order: &Order) -> Result<Value, Failed> {
        let args::BundlePart { bundle, offset } = remote::args(order)?;
        let kept = self.kept(&bundle)?;
        let from = usize::try_from(offset).ok().filter(|from| *from <= kept.bytes.len());
        let from = from.ok_or_else(|| Failed::Plainly(format!("it has {} bytes", kept.bytes.len())))?;
        let to = kept.bytes.len().min(from + PART);
        let data = BASE64URL_NOPAD.encode(&kept.bytes[from..to]);
        let next = (to < kept.bytes.len()).then_some(to as u64);
        Ok(json!(results::BundlePart { bundle, offset, data, next }))
    }

    pub(super) fn kept(&self, id: &str) -> Result<Arc<Bundle>, Failed> {
        let mut both = [&self.bundle, &self.report].into_iter();
        let kept = both.find_map(|place| {
            let kept = place.lock().unwrap_or_else(PoisonError::into_inner);
            kept.as_ref().filter(|kept| kept.id == id).cloned()
        });
        kept.ok_or_else(|| Failed::Plainly("there is no such bundle any more: make one".into()))
    }
}
