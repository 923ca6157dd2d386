//! `disabledFeatures`: words that EHLO and LHLO leave out.

use super::super::near::nearest;
use super::super::problem::Severity;
use super::super::section::{Section, Written};
use crate::smtp::server::settings::Feature;

/// Words that hold together: without the first there is no second (RFC 3030 §3, RFC 6531 §3.1).
const DEPENDENT: [(Feature, Feature); 2] =
    [(Feature::Chunking, Feature::BinaryMime), (Feature::EightBitMime, Feature::SmtpUtf8)];

/// Words that protect.
const KEPT: [&str; 2] = ["AUTH", "STARTTLS"];

/// Reads every `disabledFeatures`.
pub fn disabled(section: &mut Section<'_>) -> Vec<Feature> {
    let written: Vec<Written<'_>> = section
        .element
        .children
        .iter()
        .filter(|child| child.name == "disabledFeatures")
        .map(Written::text_of)
        .collect();
    let mut features = Vec::new();
    for one in written {
        features.extend(feature(section, one));
        for (first, second) in DEPENDENT {
            if features.contains(&first) && !features.contains(&second) {
                let found = format!("without {} there is no {}", first.keyword(), second.keyword());
                let advice =
                    format!("it is left out too; write <disabledFeatures>{}</disabledFeatures>", second.keyword());
                section.say(one.position, Severity::Note, found, advice);
                features.push(second);
            }
        }
    }
    features.sort_unstable();
    features.dedup();
    features
}

fn feature(section: &mut Section<'_>, written: Written<'_>) -> Option<Feature> {
    let word = written.text.to_ascii_uppercase();
    if let Some(feature) = Feature::ALL.into_iter().find(|feature| feature.keyword() == word) {
        return Some(feature);
    }
    let found = format!("disabledFeatures names {:?}", written.text);
    let known = Feature::ALL.into_iter().map(Feature::keyword);
    let advice = match nearest(&word, known.clone()) {
        _ if KEPT.contains(&word.as_str()) => {
            "what protects is not left out, in James neither; see <tls> and <auth>".to_owned()
        }
        Some(near) => format!("did you mean {near}?"),
        None => format!("one word each, of {}", known.collect::<Vec<_>>().join(", ")),
    };
    section.say(written.position, Severity::Warning, found, advice);
    None
}
