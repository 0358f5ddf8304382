//! What a server asks for before it answers: a token, headers, certificates. None of it is ever formatted.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// What each request carries beside what is asked; nothing by default.
#[derive(Clone, Default)]
pub struct Access {
    headers: HeaderMap,
    #[cfg(feature = "https")]
    certificates: Vec<reqwest::Certificate>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Adds a bearer token. An error is a reason, without the token.
    pub fn token(&mut self, token: &str) -> Result<(), &'static str> {
        if token.is_empty() {
            return Err("it is empty");
        }
        self.insert(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// Adds a header. An error is a reason, without the value.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let name = HeaderName::try_from(name).map_err(|_| "it is no header's name")?;
        self.insert(name, value)
    }

    fn insert(&mut self, name: HeaderName, value: &str) -> Result<(), &'static str> {
        let mut value =
            HeaderValue::try_from(value).map_err(|_| "it holds characters that no header may hold")?;
        // Neither logs nor debug output show it, in whatever library.
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Adds certificates that the server's own may be signed by, as PEM.
    #[cfg(feature = "https")]
    pub fn certificates(&mut self, pem: &[u8]) -> Result<(), &'static str> {
        let found = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| "it is no PEM")?;
        if found.is_empty() {
            return Err("it holds no certificate");
        }
        self.certificates.extend(found);
        Ok(())
    }

    /// Without https there is nobody to be trusted.
    #[cfg(not(feature = "https"))]
    pub fn certificates(&mut self, _pem: &[u8]) -> Result<(), &'static str> {
        Err("this program was built without https")
    }

    /// Gives a client all of it.
    pub(super) fn equip(&self, http: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        let http = http.default_headers(self.headers.clone());
        #[cfg(feature = "https")]
        let http = if self.certificates.is_empty() {
            http
        } else {
            http.tls_certs_merge(self.certificates.iter().cloned())
        };
        http
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_formatted_and_what_is_wrong_is_said_without_it() {
        let mut access = Access::default();
        access.token("s3cret").unwrap();
        access.header("X-Team", "t3am").unwrap();
        for text in [format!("{access:?}"), format!("{access:#?}"), format!("{:?}", access.headers)] {
            assert!(!text.contains("s3cret") && !text.contains("t3am"), "{text}");
        }
        assert!(access.token("").is_err() && access.token("a\nb").is_err());
        assert!(access.header("a b", "c").is_err() && access.header("a", "\u{0}").is_err());
        assert!(access.certificates(b"no").is_err());
    }
}
