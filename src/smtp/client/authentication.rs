//! AUTH as a client does it (RFC 4954): PLAIN (RFC 4616) where it is offered, else LOGIN.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Login;
use super::extensions::Extensions;

/// An exchange that has begun.
#[derive(Debug)]
pub struct Exchange {
    /// What is still to be said, last first.
    answers: Vec<String>,
}

impl Exchange {
    /// Begins with the best mechanism that is offered; `None` where there is none.
    pub fn begin(offers: &Extensions, login: Login, send: &mut Vec<u8>) -> Option<Exchange> {
        let Login { username, password } = login;
        // A NUL would part the name from the password.
        if username.contains('\0') || password.contains('\0') {
            return None;
        }
        if offers.auth_plain {
            let response = STANDARD.encode(format!("\0{username}\0{password}"));
            send.extend_from_slice(format!("AUTH PLAIN {response}\r\n").as_bytes());
            return Some(Exchange { answers: Vec::new() });
        }
        offers.auth_login.then(|| {
            send.extend_from_slice(b"AUTH LOGIN\r\n");
            Exchange { answers: vec![STANDARD.encode(&*password), STANDARD.encode(&*username)] }
        })
    }

    /// Answers the server's next challenge; an asterisk ends an exchange that asks for more than there is to say.
    pub fn go_on(&mut self, send: &mut Vec<u8>) {
        let answer = self.answers.pop().unwrap_or_else(|| "*".to_owned());
        send.extend_from_slice(answer.as_bytes());
        send.extend_from_slice(b"\r\n");
    }
}
