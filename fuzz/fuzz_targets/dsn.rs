//! What senders ask for: the values of NOTIFY, RET, ENVID, ORCPT and HOLDUNTIL, by themselves. In a dialogue `session` has them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mail::date::{Date, micros_of_rfc3339};
use ringpost::mail::dsn::{readable, xtext};
use ringpost::mail::{Notify, Ret};

fuzz_target!(|text: &str| {
    if let Some(notify) = Notify::parse(text) {
        assert_eq!(Notify::parse(&notify.to_string()), Some(notify));
    }
    if let Some(ret) = Ret::parse(text) {
        assert_eq!(Ret::parse(ret.as_str()), Some(ret));
    }
    assert!(xtext(text).is_none_or(|decoded| decoded.len() <= text.len()));
    assert!(readable(text).len() <= text.len());
    if let Some(micros) = micros_of_rfc3339(text) {
        let written = Date::from_micros(micros / 1000 * 1000).rfc3339().to_string();
        assert_eq!(micros_of_rfc3339(&written), Some(micros / 1000 * 1000));
    }
});
