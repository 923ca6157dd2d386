//! XML and single values: read with their positions, or refused; whatever octets they are.

mod common;

use common::reading::{problems_of, told};
use proptest::prelude::*;
use ringpost::config::{File, Position, value, xml};

#[test]
fn xml_is_read_with_its_positions() {
    let text = "\u{feff}<?xml version='1.0'?>\r\n<a x = 'ä &lt;' y=\"2\">\r\n\t<é> t &#65;<!-- c --><![CDATA[<]]> &amp; </é>\n  <b/></a>\n";
    let file = File::parse("f", text.as_bytes()).expect("it is well-formed");
    let root = &file.root;
    let place = |line, column| Position { line, column };
    assert_eq!((root.name.as_str(), root.position, root.text.as_str()), ("a", place(2, 1), ""));
    let attributes: Vec<_> = root.attributes.iter().map(|a| (&*a.name, &*a.value, a.position)).collect();
    assert_eq!(attributes, [("x", "ä <", place(2, 4)), ("y", "2", place(2, 17))]);
    let child = &root.children[0];
    assert_eq!(
        (&*child.name, &*child.text, child.position, child.text_position),
        ("é", "t A< &", place(3, 2), place(3, 6))
    );
    assert_eq!((&*root.children[1].name, root.children[1].position), ("b", place(4, 3)));
    assert_eq!(file.line(4), "  <b/></a>");
    assert_eq!(file.line(2), "<a x = 'ä &lt;' y=\"2\">");
    assert_eq!(file.find(place(2, 1), "&lt;"), place(2, 11));
    assert_eq!(file.find(place(3, 8), "b"), place(4, 4), "after the place, not before it");
    assert_eq!(file.find(place(3, 8), "nowhere"), place(3, 8));
    assert_eq!((file.line(0), file.line(99)), ("\u{3c}?xml version='1.0'?>", ""));
}

#[test]
fn what_is_no_xml_is_refused() {
    let deep = format!("{}{}", "<a>".repeat(xml::DEPTH_MAX + 1), "</a>".repeat(xml::DEPTH_MAX + 1));
    let many = format!("<a>{}</a>", "<b/>".repeat(xml::NODES_MAX));
    let large = format!("<a>{}</a>", " ".repeat(xml::OCTETS_MAX));
    let texts = [
        "",
        " ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a",
        "<a b/>",
        "<a b=c/>",
        "<a b='/>",
        "<a b='1' b='2'/>",
        "<a>&nbsp;</a>",
        "<a b='&x;'/>",
        "<a>&</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a b='&#1;'/>",
        "<a>\u{1}</a>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        "<a><!-- </a>",
        "<a><!-- -- --></a>",
        "<a><![CDATA[</a>",
        "<a>]]></a>",
        "<a><?x</a>",
        " <?xml version='1.0'?><a/>",
        "<1/>",
        "< a/>",
        "<a><></></a>",
        "<a <b/>",
        "<a b='<'/>",
        "<?xml version='1.0' encoding='ISO-8859-1'?><a>ä</a>",
        &deep,
        &many,
        &large,
    ];
    for text in texts {
        assert!(File::parse("f", text.as_bytes()).is_err(), "{:?}", text.get(..40).unwrap_or(text));
    }
    assert!(File::parse("f", b"<a>\xff</a>").is_err());
    assert!(File::parse("f", b"<?xml version='1.0' encoding='ISO-8859-1'?><a>a</a>").is_ok(), "ASCII reads the same");
}

/// Problems go to logs, where no password belongs.
#[test]
fn no_password_is_told() {
    for keys in [
        "<tls startTLS='perhaps'><secret>hunter2</secret></tls>",
        "<tls><secret>hunter2 & more</secret></tls>",
        "<trustStoreSecret>hunter2</trustStoreSecret>",
    ] {
        let text = told(&problems_of(keys));
        assert!(!text.is_empty() && !text.contains("hunter2"), "{text}");
    }
}

/// Every element is where the tree says it is.
fn check_positions(file: &File, element: &xml::Element) {
    let at =
        |position: Position| file.line(position.line).chars().skip(position.column as usize - 1).collect::<String>();
    assert!(at(element.position).starts_with(&format!("<{}", element.name)));
    assert!(element.attributes.iter().all(|attribute| at(attribute.position).starts_with(&attribute.name)));
    element.children.iter().for_each(|child| check_positions(file, child));
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problem) = File::parse("f", &octets) {
            prop_assert!(!problem.to_string().is_empty());
        }
    }

    #[test]
    fn anything_like_xml_is_read_or_refused(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("<a>"), Just("</a>"), Just("<b c='d'/>"), Just("<"), Just(">"), Just("&amp;"), Just("&"), Just(";"), Just("&#65;"),
                Just("<!--"), Just("-->"), Just("<![CDATA["), Just("]]>"), Just("<?"), Just("?>"), Just("'"), Just("\""), Just("="),
                Just("ä"), Just("\n"), Just("\r\n"), Just("\t"), Just("<!DOCTYPE"), Just(" é='1'"), Just("<a"), Just("\u{feff}"), Just("x"),
            ],
            0..40,
        )
    ) {
        for text in [parts.concat(), format!("<a>{}</a>", parts.concat())] {
            match File::parse("f", text.as_bytes()) {
                Ok(file) => check_positions(&file, &file.root),
                Err(problem) => prop_assert!(!problem.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn any_value_is_read_or_refused(text in "\\PC{0,12}|[0-9:,\\[\\]KMGsmhd@. +-]{0,12}") {
        let _ = (value::boolean(&text), value::message_size(&text), value::size(&text, 0, u64::MAX), value::number(&text, 0, 9));
        let _ = (value::durations(&text), value::bind(&text), value::cpus(&text), value::domain(&text), value::user(&text));
        let _ = (value::greeting(&text), value::hello_name(&text), value::path(&text));
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        for key in ["bind", "helloName", "maxmessagesize", "tls", "handlerchain", "auth"] {
            let _ = told(&problems_of(&format!("<{key}>{escaped}</{key}>")));
        }
    }
}
