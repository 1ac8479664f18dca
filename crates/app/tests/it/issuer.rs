//! An authorization server: tells its keys on a loopback port, and signs whatever a test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What signs.
pub(crate) enum Key {
    Ec(String, EcdsaKeyPair),
    Rsa(String, RsaKeyPair),
    Ed(String, Ed25519KeyPair),
}

impl Key {
    pub(crate) fn ec(id: &str) -> Self {
        Self::Ec(id.into(), EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rsa(id: &str) -> Self {
        Self::Rsa(id.into(), rsa::KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn ed(id: &str) -> Self {
        Self::Ed(id.into(), Ed25519KeyPair::generate().unwrap())
    }

    /// The header of tokens that it signs.
    pub(crate) fn header(&self) -> Value {
        let (alg, kid) = match self {
            Self::Ec(id, _) => ("ES256", id),
            Self::Rsa(id, _) => ("RS256", id),
            Self::Ed(id, _) => ("EdDSA", id),
        };
        json!({ "alg": alg, "typ": "at+jwt", "kid": kid })
    }

    /// What the issuer publishes of it.
    fn public(&self) -> Value {
        match self {
            Self::Ec(id, pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": coded(x), "y": coded(y) })
            }
            Self::Rsa(id, pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let n = n.big_endian_without_leading_zero();
                json!({ "kty": "RSA", "use": "sig", "kid": id, "n": coded(n), "e": coded(e.big_endian_without_leading_zero()) })
            }
            Self::Ed(id, pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": coded(pair.public_key().as_ref()) })
            }
        }
    }

    /// The public key as bytes that somebody could take for a shared secret.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ec(_, pair) => pair.public_key().as_ref().to_vec(),
            Self::Rsa(_, pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed(_, pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(_, pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(_, pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Rsa(_, pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", coded(&signature))
    }
}

/// A token with a shared secret.
pub(crate) fn sign_shared(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", coded(tag.as_ref()))
}

/// A token without a signature.
pub(crate) fn sign_not(header: &Value, claims: &Value) -> String {
    format!("{}.", message(header, claims))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", coded(header.to_string().as_bytes()), coded(claims.to_string().as_bytes()))
}

fn coded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The server. Its thread ends with the process.
pub(crate) struct Issuer {
    pub(crate) name: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    keys: Vec<Value>,
    named: Option<String>,
    fetches: usize,
}

impl Issuer {
    /// A server that publishes `keys`.
    pub(crate) fn new(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self { name: name.clone(), shared: Arc::default() };
        issuer.publish(keys);
        let shared = Arc::clone(&issuer.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &name, &mut shared.lock().unwrap());
            }
        });
        issuer
    }

    /// Publishes these keys from now on, and one that nobody can use.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        let strange = json!({ "kty": "oct", "kid": "shared", "k": coded(b"a shared secret of many bytes...") });
        self.shared.lock().unwrap().keys = keys.iter().map(|key| key.public()).chain([strange]).collect();
    }

    /// Says in its metadata that it is another one.
    pub(crate) fn pretend(&self, name: &str) {
        self.shared.lock().unwrap().named = Some(name.into());
    }

    /// How often the keys were fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.shared.lock().unwrap().fetches
    }

    /// The part of a configuration that makes a daemon accept its tokens.
    pub(crate) fn section(&self) -> String {
        format!("[oauth]\nissuer = \"{}\"\nresource = \"https://jobs.example.com/mcp\"\n", self.name)
    }
}

fn answer(mut stream: TcpStream, name: &str, shared: &mut Shared) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    lines.find(String::is_empty);
    let body = match path.as_str() {
        "/.well-known/openid-configuration" => {
            let named = shared.named.as_deref().unwrap_or(name);
            Some(json!({ "issuer": named, "jwks_uri": format!("{name}/keys") }))
        }
        "/keys" => {
            shared.fetches += 1;
            Some(json!({ "keys": shared.keys }))
        }
        _ => None,
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default().to_string();
    let length = body.len();
    // Who asked may have given up.
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").ok();
}
