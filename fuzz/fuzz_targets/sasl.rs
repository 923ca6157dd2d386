//! Whatever a client responds, an exchange goes on or ends, and proves nobody who does not know the password.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mail::{ScramCredentials, Username};
use ringpost::smtp::sasl::{ChannelBinding, Exchange, Mechanism, Move, base64};

fuzz_target!(|input: (u8, bool, Vec<Vec<u8>>)| {
    let (which, bound, responses) = input;
    let mechanism = Mechanism::ALL[usize::from(which) % Mechanism::ALL.len()];
    let binding = bound.then(|| ChannelBinding { exporter: Some([7; 32].into()), server_end_point: Some([8; 32].into()) });
    let mut exchange = Exchange::new(mechanism, binding, bound);
    let mut responses = responses.into_iter();
    let mut next = exchange.begin(responses.next().as_deref());
    loop {
        next = match next {
            Ok(Move::Challenge(octets)) => {
                assert_eq!(base64::decode(base64::encode(&octets).as_bytes()), Ok(octets));
                let Some(response) = responses.next() else { break };
                exchange.respond(&response)
            }
            Ok(Move::Keys(name)) => {
                assert!(!name.is_empty());
                let user = Username::parse("user").expect("a name");
                exchange.keys(user, ScramCredentials::derive("secret", b"salt", 1), "server")
            }
            Ok(Move::Proved(..)) => panic!("nobody knows the password"),
            Ok(Move::Password(..) | Move::Disproved { .. }) | Err(_) => break,
        };
    }
});
