//! What the real process says where it cannot start, as its operator reads it.

mod common;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;

use common::process::{Conf, Failed, Home, Server};

/// Lines about the start itself: what the configuration's notes say is left out.
fn last_line(failed: &Failed) -> &str {
    assert_eq!(failed.status.code(), Some(78), "{failed}");
    assert_eq!(failed.stdout, "", "nothing is announced");
    failed.stderr.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn a_broken_configuration_is_told_with_file_line_and_column() {
    let home = Home::without_users(&Conf::new().servers(vec![Server::smtp().with("maxLineLength", "12")]));
    fs::write(home.conf().join("domainlist.xml"), "<domainlist>\n  <defaultDomain>not a domain</defaultDomain>\n")
        .unwrap();
    let failed = home.fail_to_start(|_| {});
    let conf = home.conf();
    for (file, place) in [("smtpserver.xml", "2:"), ("domainlist.xml", "")] {
        let start = format!("{}:{place}", conf.join(file).display());
        let line = failed.stderr.lines().find(|line| line.starts_with(&start) && line.contains(": error: "));
        let place = line.unwrap_or_else(|| panic!("no {start} in\n{failed}")).strip_prefix(&start).unwrap_or_default();
        assert!(place.starts_with(|character: char| character.is_ascii_digit()), "{failed}");
    }
    assert_eq!(
        last_line(&failed),
        format!("ringpost did not start: the configuration in {} has errors", conf.display())
    );
    assert!(!home.path().join("var").exists(), "nothing is made of a configuration that is wrong");
}

#[test]
fn a_missing_configuration_is_told() {
    let home = Home::new(&Conf::new());
    fs::remove_dir_all(home.conf()).unwrap();
    let failed = home.fail_to_start(|_| {});
    assert_eq!(
        failed.stderr,
        format!(
            "ringpost did not start: there is no directory {}; name the one that holds smtpserver.xml: ringpost --conf DIR",
            home.conf().display()
        )
    );
    assert_eq!(failed.status.code(), Some(78));
}

/// Sets both limits of a resource for the process that is started.
fn limit(resource: libc::__rlimit_resource_t, octets: u64) -> impl Fn() -> io::Result<()> {
    move || {
        let limit = libc::rlimit { rlim_cur: octets, rlim_max: octets };
        // SAFETY: setrlimit may be called between fork and exec, and reads nothing but the structure.
        if unsafe { libc::setrlimit(resource, &limit) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[test]
fn too_little_locked_memory_is_told_with_the_remedy() {
    let home = Home::new(&Conf::new());
    let failed = home.fail_to_start(|command| {
        // SAFETY: what runs between fork and exec is one system call.
        unsafe { command.pre_exec(limit(libc::RLIMIT_MEMLOCK, 64 * 1024)) };
    });
    assert_eq!(
        last_line(&failed),
        "ringpost: this process may lock 64 KiB of memory and needs 512 KiB; raise the limit: `ulimit -l 512`, \
         LimitMEMLOCK=512K in the systemd unit, or `memlock` in /etc/security/limits.conf"
    );
}

#[test]
fn a_soft_limit_is_raised_by_ringpost_itself() {
    let home = Home::new(&Conf::new());
    let mut soft = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut soft) }, 0);
    assert!(soft.rlim_max >= 512 * 1024, "the tests need 512 KiB of locked memory: `ulimit -l 512`");
    soft.rlim_cur = 64 * 1024;
    let process = home.start_prepared(|command| {
        // SAFETY: what runs between fork and exec is one system call.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_MEMLOCK, &soft) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            })
        };
    });
    process.stop();
}

/// Lets the kernel answer io_uring_setup with an error, as the seccomp profile of a container does; smaller rings than of so many entries
/// it makes.
fn refuse_io_uring(errno: libc::c_int, least: u32) -> impl Fn() -> io::Result<()> {
    const ENTRIES: u32 = std::mem::offset_of!(libc::seccomp_data, args) as u32;
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    move || {
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut filter = [
            step(LOAD_NUMBER, 0, 0, 0),
            step(JUMP_IF_EQUAL, 0, 3, libc::SYS_io_uring_setup as u32),
            step(LOAD_NUMBER, 0, 0, ENTRIES),
            step(JUMP_IF_AT_LEAST, 0, 1, least),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: prctl may be called between fork and exec; the program outlives the call, which copies it.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[test]
fn io_uring_that_is_refused_is_told_with_the_remedy() {
    let home = Home::without_users(&Conf::new());
    for (errno, told) in
        [(libc::EPERM, ["kernel.io_uring_disabled", "seccomp profile"]), (libc::ENOSYS, ["no io_uring", "Linux 5.17"])]
    {
        let failed = home.fail_to_start(|command| {
            // SAFETY: what runs between fork and exec are system calls and the stack.
            unsafe { command.pre_exec(refuse_io_uring(errno, 0)) };
        });
        let line = last_line(&failed);
        assert!(told.iter().all(|told| line.contains(told)), "{line}");
    }
    assert!(!home.path().join("var").exists(), "nothing is made where nothing can be started");
}

#[test]
fn a_shard_that_gets_no_memory_is_told_with_the_remedy() {
    // The first look finds that all is well, and so does the executor, which has smaller rings than ours.
    let home = Home::new(&Conf::new());
    let failed = home.fail_to_start(|command| {
        // SAFETY: what runs between fork and exec are system calls and the stack.
        unsafe { command.pre_exec(refuse_io_uring(libc::ENOMEM, 256)) };
    });
    // There may be some at the next start.
    assert_eq!(failed.status.code(), Some(70), "{failed}");
    let line = failed.stderr.trim_end().lines().last().unwrap_or_default();
    assert!(line.starts_with("ringpost: shard "), "{line}");
    let told = ["Cannot allocate memory", "limit of locked memory", "256 KiB", "LimitMEMLOCK=64M"];
    assert!(told.iter().all(|told| line.contains(told)), "{line}");
}

#[test]
fn a_spool_has_one_process() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    let failed = home.fail_to_start(|_| {});
    assert_eq!(
        last_line(&failed),
        format!(
            "ringpost: another ringpost uses the spool {}; stop it first, or give this one a <home> of its own in \
             ringpost.xml",
            home.path().join("var/spool").display()
        )
    );
    assert!(process.smtp().data(&["you@localhost"], b"Subject: undisturbed\r\n").starts_with("250"));
    process.stop();
    home.start().stop();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let home = Home::new(&Conf::new().servers(vec![Server::lmtp(), Server::smtp().with("bind", &address)]));
    let failed = home.fail_to_start(|_| {});
    let line = last_line(&failed);
    assert!(line.starts_with(&format!("ringpost: server-1 cannot listen on {address}: ")), "{line}");
    assert!(line.contains("another program listens there (`ss -ltnp sport = :"), "{line}");
}

#[test]
fn an_address_of_another_machine_is_told() {
    let home = Home::new(&Conf::new().servers(vec![Server::smtp().with("bind", "192.0.2.1:2525")]));
    let failed = home.fail_to_start(|_| {});
    let line = last_line(&failed);
    assert!(line.contains("192.0.2.1:2525") && line.contains("no interface of this machine"), "{line}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let home = Home::without_users(&Conf::new());
    fs::write(home.path().join("var"), "in the way").unwrap();
    let failed = home.fail_to_start(|_| {});
    let spool = home.path().join("var/spool");
    let line = last_line(&failed);
    assert!(line.starts_with(&format!("ringpost: cannot make the directory {}: ", spool.display())), "{line}");
}

#[test]
fn the_command_line_explains_itself() {
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringpost"));
        let output = command.args(arguments).output().expect("it runs");
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&["--help"]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.contains("Usage: ringpost") && out.contains("--conf <DIR>") && out.contains("serve"), "{out}");
    let version = format!("ringpost {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), (Some(0), version, String::new()));
    let (code, out, err) = run(&["sereve"]);
    assert_eq!((code, &*out), (Some(64), ""), "EX_USAGE");
    assert!(err.contains("sereve") && err.contains("--help"), "{err}");
}

#[test]
fn a_pair_made_for_a_first_try_is_what_the_printed_lines_want() {
    let home = Home::new(&Conf::new());
    let make = || {
        let mut command = home.command();
        command.args(["keys", "self-signed", "--name", "mx.example.org"]).output().expect("it runs")
    };
    let output = make();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).expect("text");
    let (_, rest) = told.split_once("<tls socketTLS=\"false\" startTLS=\"true\">").expect("the lines to paste");
    let (inside, _) = rest.split_once("</tls>").expect("the lines to paste");
    let key = home.conf().join("tls-key.pem");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).expect("a key").permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else reads the key");

    home.configure(&Conf::new().servers(vec![Server::smtp().with("tls startTLS='true'", &inside.replace('\n', " "))]));
    let process = home.start();
    assert!(process.connect(0).say("EHLO client").contains("STARTTLS"));
    process.stop();
    // Keys are never written over.
    let again = make();
    assert_eq!(again.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&again.stderr).contains("tls-key.pem is there already"));
}
