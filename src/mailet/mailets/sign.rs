//! `DKIMSign`: a signature before the header of what goes on from here.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{Next, Run};
use crate::mailet::dkim::{FIELD, Signer, body};
use crate::mailet::edit::{EDITS_MAX, Edit};
use crate::mailet::header;
use crate::mailet::mail::Body;
use crate::mailet::matchers::Stop;
use crate::mailet::question::Question;

/// With its key and its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign(pub Arc<Signer>);

impl Sign {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let how = self.0.body();
        let hash = match &run.branch.form.body {
            Body::Changed(content) => body::hash(how, header::split(content).1),
            Body::Original => match run.known.body_hashes.iter().find(|(known, _)| *known == how) {
                Some((_, hash)) => *hash,
                // It is computed while the content is read, so a mail of any size can be signed.
                None => return Err(Stop::Ask(Question::BodyHash(how))),
            },
        };
        let header = run.view().header()?;
        let signed = self.0.sign(&header, &hash, run.facts.now);
        let value = signed.map_err(|error| Stop::Fail(Rc::from(error.to_string())))?;
        let edits = Rc::make_mut(&mut run.branch.form.edits);
        if edits.0.len() >= EDITS_MAX {
            return Err(Stop::Fail(format!("the header was changed {EDITS_MAX} times already").into()));
        }
        edits.0.push(Edit::Prepend { name: FIELD.into(), value: value.into() });
        Ok(Next::On)
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DKIMSign {}", self.0)
    }
}
