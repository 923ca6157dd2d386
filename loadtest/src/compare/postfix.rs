//! Postfix in its private root: own configuration, queue, users, port and log. The system's is never touched.

use super::Mode;
use super::debian::{POSTDROP, POSTFIX, Root};
use crate::process::StopSignal;
use crate::rig::log::LogCount;
use crate::rig::process::{Server, free_port, greets};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

/// The settings that both modes have. Whoever compares wants to know them, so they are few and all here.
const MAIN: &str = "compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
maillog_file = /var/log/mail.log
myhostname = localhost.localdomain
mydestination = localhost
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps = inline:{ { you@localhost = you } }
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient
smtpd_tls_security_level = none
message_size_limit = 0
mailbox_size_limit = 0
queue_minfree = 0
";

/// The services; none is in a chroot of its own, for all are in the private root.
const MASTER: &str = "pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// The folders of a queue, with whose they are: Postfix's own or root's, group, mode.
const QUEUE: [(&str, u32, u32, u32); 15] = [
    ("", 0, 0, 0o755),
    ("active", POSTFIX, 0, 0o700),
    ("bounce", POSTFIX, 0, 0o700),
    ("corrupt", POSTFIX, 0, 0o700),
    ("defer", POSTFIX, 0, 0o700),
    ("deferred", POSTFIX, 0, 0o700),
    ("flush", POSTFIX, 0, 0o700),
    ("hold", POSTFIX, 0, 0o700),
    ("incoming", POSTFIX, 0, 0o700),
    ("maildrop", POSTFIX, POSTDROP, 0o1730),
    ("pid", 0, 0, 0o755),
    ("private", POSTFIX, 0, 0o700),
    ("public", POSTFIX, POSTDROP, 0o710),
    ("saved", POSTFIX, 0, 0o700),
    ("trace", POSTFIX, 0, 0o700),
];

/// Its queue and its log, seen from outside of the root.
const SPOOL: &str = "var/spool/postfix";
const LOG: &str = "var/log/mail.log";

/// An instance.
pub struct Postfix<'a> {
    root: &'a Root,
    port: u16,
    rounds: u32,
}

impl<'a> Postfix<'a> {
    /// Writes its configuration.
    pub fn new(root: &'a Root, mode: Mode, processes: u32) -> Result<Postfix<'a>, String> {
        let port = free_port()?;
        let etc = root.directory("etc/postfix", 0, 0, 0o755)?;
        root.directory("var/lib/postfix", POSTFIX, POSTFIX, 0o700)?;
        root.directory("var/log", 0, 0, 0o755)?;
        let of_mode = match mode {
            Mode::Intake => "smtpd_client_restrictions = check_client_access static:HOLD\n",
            Mode::Through => "local_transport = discard:\n",
        };
        let main = format!("{MAIN}{of_mode}default_process_limit = {processes}\n");
        let master = format!("127.0.0.1:{port} inet n - n - - smtpd\n{MASTER}");
        for (name, text) in [("main.cf", &main), ("master.cf", &master)] {
            let path = etc.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let postfix = Postfix { root, port, rounds: 0 };
        // An earlier run may have ended in the middle.
        postfix.clean();
        Ok(postfix)
    }

    /// Starts it on an empty queue. Its master is our child and stays in the foreground, so that we end exactly it.
    pub fn start(&mut self, stop: &StopSignal) -> Result<Server, String> {
        for (name, owner, group, mode) in QUEUE {
            self.root.directory(&format!("{SPOOL}/{name}"), owner, group, mode)?;
        }
        let said = self.root.path.join("master.log");
        let output = File::create(&said).map_err(|error| format!("{}: {error}", said.display()))?;
        let mut command = self.root.command("/usr/lib/postfix/sbin/master");
        command.args(["-s", "-c", "/etc/postfix"]);
        command.env("MAIL_CONFIG", "/etc/postfix").stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let mut server = Server::start("postfix", command)?;
        let port = self.port;
        server.wait_until("greeting", stop, || greets(port)).map_err(|why| format!("{why}\n{}", self.said()))?;
        Ok(server)
    }

    /// What it logged last, of both its logs.
    fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.root.path.join(name)).unwrap_or_default();
        let text = read("master.log") + &read(LOG);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Messages in its queue, held or not yet passed on.
    pub fn queued(&self) -> usize {
        let count = |name: &str| {
            let folder = self.root.path.join(SPOOL).join(name);
            fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_file()).count()
        };
        ["hold", "incoming", "active", "deferred", "maildrop"].iter().map(|name| count(name)).sum()
    }

    /// Counts the deliveries that its log tells of.
    pub fn deliveries(&self) -> LogCount {
        LogCount::new(self.root.path.join(LOG), " status=sent ")
    }

    /// Removes queue and log.
    pub fn clean(&self) {
        let _ = fs::remove_dir_all(self.root.path.join(SPOOL));
        let _ = fs::remove_file(self.root.path.join(LOG));
    }

    /// Moves queue and log away: deleting synced files is slow and slows down what follows.
    pub fn put_aside(&mut self) -> Result<Vec<PathBuf>, String> {
        self.rounds += 1;
        let mut aside = Vec::new();
        for name in [SPOOL, LOG] {
            let path = self.root.path.join(name);
            let target = self.root.path.join(format!("aside.{}.{}", aside.len(), self.rounds));
            fs::rename(&path, &target).map_err(|error| format!("{}: {error}", path.display()))?;
            aside.push(target);
        }
        Ok(aside)
    }
}

/// What the Postfix of a root says it is.
pub fn version(root: &Root) -> Result<String, String> {
    root.ask("/usr/sbin/postconf", &["-dh", "mail_version"])
}
