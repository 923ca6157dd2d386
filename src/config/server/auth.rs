//! `<auth>` and `authRequired`: who may authenticate, and how. Read and checked in full.

use super::super::handlerchain::CoreHandlers;
use super::super::problem::Severity;
use super::super::section::{Section, Written};
use super::super::value::{self, Expected};
use super::ServerSettings;

/// What a server does with AUTH (RFC 4954).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// `announce`, or `authRequired` where that is all there is.
    pub announce: Announce,
    /// `required`: no mail without AUTH but from authorized addresses.
    pub required: bool,
    /// `requireSSL`: no AUTH in clear.
    pub require_ssl: bool,
    /// `saslMechanisms` in their order, less those that `plainAuthEnabled` takes out and, without `oidc`, those that need it.
    pub mechanisms: Vec<Mechanism>,
    /// `oidc`.
    pub oidc: Option<OidcSettings>,
}

/// To whom AUTH is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// To nobody.
    Never,
    /// To everybody.
    Always,
    /// To those who are not in `authorizedAddresses`.
    ForUnauthorizedAddresses,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Of the field's old clients.
    Login,
    /// RFC 4616.
    Plain,
    /// RFC 7677, and with TLS -PLUS; beyond James.
    ScramSha256,
    /// RFC 7628.
    OAuthBearer,
    /// Of the large mailbox providers.
    XOAuth2,
}

/// `oidc`: how bearer tokens are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// `oidcConfigurationURL`: told to clients.
    pub configuration_url: String,
    /// `jwksURL`: the keys that tokens are signed with.
    pub jwks_url: String,
    /// `claim`: what of a token is the user's name.
    pub claim: String,
    /// `scope`: told to clients.
    pub scope: String,
    /// `aud`: the audience that a token must be for.
    pub audience: String,
    /// `introspection/url`: where a token is asked about, and `introspection/auth`, what is said to be let in there.
    pub introspection: Option<(String, Option<super::tls::Secret>)>,
    /// `userinfo/url`: where its user is asked about.
    pub userinfo_url: Option<String>,
}

const ANNOUNCE: [(&str, Announce); 3] = [
    ("never", Announce::Never),
    ("always", Announce::Always),
    ("forUnauthorizedAddresses", Announce::ForUnauthorizedAddresses),
];

/// James' classes without `SaslMechanismFactory`, in the order of its default, and what there is beyond them.
const MECHANISMS: [(&str, Mechanism); 5] = [
    ("Login", Mechanism::Login),
    ("Plain", Mechanism::Plain),
    ("OauthBearer", Mechanism::OAuthBearer),
    ("XOauth2", Mechanism::XOAuth2),
    ("ScramSha256", Mechanism::ScramSha256),
];

const FACTORY: &str = "SaslMechanismFactory";

impl Default for AuthSettings {
    /// What LMTP has: no AUTH.
    fn default() -> AuthSettings {
        AuthSettings {
            announce: Announce::Never,
            required: false,
            require_ssl: true,
            mechanisms: Vec::new(),
            oidc: None,
        }
    }
}

/// Reads `<auth>`.
pub fn read(section: &mut Section<'_>) -> AuthSettings {
    let older = older(section);
    let announce = section.read("auth/announce", |text| value::word(text, &ANNOUNCE));
    let plain = section.read("auth/plainAuthEnabled", value::boolean).unwrap_or(true);
    let oidc = oidc(section);
    let mut mechanisms = section.read("auth/saslMechanisms", mechanisms).unwrap_or_else(|| usual(plain));
    mechanisms.retain(|one| match one {
        Mechanism::Login | Mechanism::Plain => plain,
        Mechanism::OAuthBearer | Mechanism::XOAuth2 => oidc.is_some(),
        Mechanism::ScramSha256 => true,
    });
    AuthSettings {
        announce: announce.or(older).unwrap_or(Announce::Never),
        required: section.read("auth/required", value::boolean).unwrap_or(false),
        require_ssl: section.read("auth/requireSSL", value::boolean).unwrap_or(true),
        mechanisms,
        oidc,
    }
}

/// What there is where nothing is written. SCRAM needs more of a user than James keeps, so it comes only in place of passwords.
fn usual(plain: bool) -> Vec<Mechanism> {
    let scram = |mechanism: &Mechanism| *mechanism == Mechanism::ScramSha256;
    MECHANISMS.map(|(_, one)| one).into_iter().filter(|one| !plain || !scram(one)).collect()
}

/// `authRequired`, which never required anything: what it announces.
fn older(section: &mut Section<'_>) -> Option<Announce> {
    let written = section.written("authRequired")?;
    let (announce, today) = match written.text.to_ascii_lowercase().as_str() {
        "true" => (Announce::ForUnauthorizedAddresses, "forUnauthorizedAddresses"),
        "announce" => (Announce::Always, "always"),
        _ => (Announce::Never, "never"),
    };
    let found = format!("authRequired is {:?}, which is an older spelling", written.text);
    let advice = match section.written("auth/announce") {
        Some(_) => "it has no effect beside <announce>; remove it".to_owned(),
        None => format!("write <auth><announce>{today}</announce></auth>"),
    };
    section.say(written.position, Severity::Warning, found, advice);
    Some(announce)
}

/// Says where what is written can never come about: nobody can authenticate who should.
pub fn check(section: &mut Section<'_>, settings: &ServerSettings) {
    let auth = &settings.auth;
    let mut say = |key: &str, found: &str, advice: &str| {
        let position = section.written(key).map_or(section.element.position, |written| written.position);
        section.say(position, Severity::Warning, found, advice);
    };
    let announced = auth.announce != Announce::Never && settings.handlers.core == CoreHandlers::Smtp;
    let usable = |mechanism: &Mechanism| !matches!(mechanism, Mechanism::OAuthBearer | Mechanism::XOAuth2);
    if auth.required && !announced {
        let advice = "only authorizedAddresses can send; announce AUTH with CoreCmdHandlerLoader, or write false";
        say("auth/required", "required is true, and there is no AUTH", advice);
    }
    if announced && !auth.mechanisms.iter().any(usable) {
        let advice = "nobody can authenticate; write plainAuthEnabled true, or name one in saslMechanisms";
        say("auth/saslMechanisms", "AUTH is left without a mechanism", advice);
    } else if announced && auth.require_ssl && settings.tls.is_none() {
        let advice = "nobody can authenticate; give the server TLS, or write <requireSSL>false</requireSSL> to have \
                      passwords pass in clear";
        say("auth/requireSSL", "AUTH is for TLS alone, and the server has none", advice);
    }
}

fn mechanisms(text: &str) -> Result<Vec<Mechanism>, Expected> {
    let one = |name: &str| {
        let simple = name.rsplit('.').next().unwrap_or(name).strip_suffix(FACTORY)?;
        MECHANISMS.iter().find(|(known, _)| *known == simple).map(|(_, one)| *one)
    };
    let list: Option<Vec<Mechanism>> = text.split(',').map(|name| one(name.trim())).collect();
    list.ok_or_else(|| {
        let names = MECHANISMS.map(|(name, _)| format!("{name}{FACTORY}")).join(", ");
        format!("some of {names}, separated by commas")
    })
}

fn oidc(section: &mut Section<'_>) -> Option<OidcSettings> {
    let element = section.element.child("auth")?.child("oidc")?;
    let mut needed = |key: &str| {
        let path = format!("auth/oidc/{key}");
        if section.written(&path).is_none() {
            let found = format!("<oidc> has no <{key}>");
            section.say(element.position, Severity::Error, found, "tokens cannot be checked without it; write it");
        }
        section.read(&path, if key.ends_with("URL") { url } else { word })
    };
    let [configuration_url, jwks_url, claim, scope, audience] =
        ["oidcConfigurationURL", "jwksURL", "claim", "scope", "aud"].map(&mut needed);
    let secret = section.written("auth/oidc/introspection/auth").map(|w: Written<'_>| super::tls::Secret::new(w.text));
    Some(OidcSettings {
        introspection: section.read("auth/oidc/introspection/url", url).map(|url| (url, secret)),
        userinfo_url: section.read("auth/oidc/userinfo/url", url),
        configuration_url: configuration_url?,
        jwks_url: jwks_url?,
        claim: claim?,
        scope: scope?,
        audience: audience?,
    })
}

fn url(text: &str) -> Result<String, Expected> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_url = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()));
    if is_url { Ok(text.to_owned()) } else { Err("an address that begins with https://".to_owned()) }
}

fn word(text: &str) -> Result<String, Expected> {
    if text.is_empty() { Err("a value".to_owned()) } else { Ok(text.to_owned()) }
}
