use super::*;

/// `struct cmsghdr` and its content, for the machines that this runs on: 64 bits.
fn told(level: i32, kind: i32, content: &[u8]) -> (Control, usize) {
    let length = 16 + content.len();
    let mut control = Control([0; CONTROL]);
    let octets = [&length.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), content].concat();
    control.0[..octets.len()].copy_from_slice(&octets);
    (control, octets.len())
}

#[test]
fn the_kind_of_a_record_is_read_out_of_its_control_message() {
    let kind = |(control, length): (Control, usize)| control.kind(length);
    assert_eq!(kind(told(282, 2, &[23])), Some(23));
    assert_eq!(kind(told(282, 2, &[21, 0, 0, 0, 0, 0, 0, 0])), Some(21));
    assert_eq!(kind(told(282, 2, &[])), None, "no content");
    assert_eq!(kind(told(282, 1, &[23])), None, "another message");
    assert_eq!(kind(told(libc::SOL_SOCKET, 2, &[23])), None, "of another level");
    let (control, _) = told(282, 2, &[23]);
    assert_eq!(control.kind(0), None, "none was told");
    assert_eq!(control.kind(15), None);
    assert_eq!(control.kind(CONTROL + 1), None);
}

#[test]
fn the_kind_of_a_record_is_told_in_a_control_message() {
    let (expected, length) = told(282, 1, &[21]);
    assert_eq!((Control::of(21).0, length), (expected.0, HEAD + 1));
    // SAFETY: arithmetic alone.
    let (space, whole) = unsafe { (libc::CMSG_SPACE(1) as usize, libc::CMSG_LEN(1) as usize) };
    assert_eq!((CONTROL, HEAD + 1), (space, whole), "as libc has it");
}

/// Whichever kernel this runs on: what it says it can do, it does, and without it nothing is changed.
#[test]
fn what_the_kernel_can_do_is_found_out() {
    match kernel_tls() {
        Ok(found) => assert!(!found.offered.is_empty()),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let mut client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            assert!(prepare(client.as_raw_fd()).is_err());
            io::Write::write_all(&mut client, b"in clear").unwrap();
            let mut buffer = [0; 8];
            io::Read::read_exact(&mut server, &mut buffer).unwrap();
            assert_eq!(&buffer, b"in clear");
        }
    }
}
