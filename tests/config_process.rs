//! What only the running process shows of the configuration: several servers, their names, values that were filled in, and
//! domains that are addresses.

mod common;

use std::fs;

use common::client::Client;
use common::process::{Conf, Home, Server};

#[test]
fn several_servers_listen_each_with_its_own_settings() {
    let servers = vec![
        Server::smtp().with("smtpGreeting", "one").with("maxmessagesize", "1K"),
        Server::smtp().with("smtpGreeting", "two"),
        Server::lmtp().with("lmtpGreeting", "three"),
    ];
    let home = Home::new(&Conf::new().servers(servers));
    let process = home.start();
    for (number, greeting) in [(0, "220 one"), (1, "220 two"), (2, "220 three")] {
        let mut client = Client::dial(process.address(number)).expect("it listens");
        assert_eq!(client.reply(), greeting);
        let hello = client.say(if number == 2 { "LHLO client" } else { "EHLO client" });
        assert_eq!(hello.contains("SIZE 1024"), number == 0, "{hello}");
        process.wait_for_log("connect", &[&format!("server=server-{number}")]);
    }
    process.stop();
}

#[test]
fn the_addresses_of_domains_are_domains_with_autodetect_ip() {
    let home = Home::new(&Conf::new());
    let domains = "<domainlist><autodetectIP>true</autodetectIP></domainlist>";
    fs::write(home.conf().join("domainlist.xml"), domains).expect("it can be written");
    let process = home.start();
    home.run(&["user", "add", "--no-password", "me@[127.0.0.1]"]);
    let mut client = process.smtp();
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<me@[127.0.0.1]>", "250");
    client.expect("RCPT TO:<nobody@[127.0.0.1]>", "550 5.1.1");
    client.expect("RCPT TO:<me@[192.0.2.1]>", "550 5.7.1");
    process.stop();
}
