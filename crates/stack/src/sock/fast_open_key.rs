//! The keys of Fast Open cookies (RFC 7413 §4.1.2): from sysctl and socket option, and the cookies that they make.

use std::hash::Hasher;
use std::net::IpAddr;

use netspace_wire::tcp::FastOpenCookie;
use siphasher::sip::SipHasher24;

/// Bytes of a key.
pub(crate) const KEY_LEN: usize = 16;

/// One or two keys: the first makes cookies, both check them (`net.ipv4.tcp_fastopen_key`, `TCP_FASTOPEN_KEY`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FastOpenKeys {
    primary: [u8; KEY_LEN],
    backup: Option<[u8; KEY_LEN]>,
}

/// How a cookie fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Checked {
    /// Good.
    Good,
    /// Good by the backup key: a new one is to be told.
    GoodByBackup,
    /// Not ours, or no longer.
    Bad,
}

impl FastOpenKeys {
    pub(crate) const fn new(primary: [u8; KEY_LEN]) -> Self {
        Self { primary, backup: None }
    }

    /// The keys in 16 or 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (primary, rest) = bytes.split_first_chunk::<KEY_LEN>()?;
        let backup = if rest.is_empty() { None } else { Some(<[u8; KEY_LEN]>::try_from(rest).ok()?) };
        Some(Self { primary: *primary, backup })
    }

    /// Their bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.primary[..], self.backup.as_ref().map_or(&[], |key| &key[..])].concat()
    }

    /// As the sysctl has them: four words of eight digits each, `-` between; the backup after a comma.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let key = |text: &str| {
            let mut key = [0; KEY_LEN];
            let mut words = text.trim().split('-');
            for chunk in key.chunks_exact_mut(4) {
                let word = words.next().filter(|word| (1..=8).contains(&word.len()))?;
                chunk.copy_from_slice(&u32::from_str_radix(word, 16).ok()?.to_le_bytes());
            }
            words.next().is_none().then_some(key)
        };
        let (primary, backup) = text.trim().split_once(',').map_or((text, None), |(a, b)| (a, Some(b)));
        let backup = match backup {
            None => None,
            Some(text) => Some(key(text)?),
        };
        Some(Self { primary: key(primary)?, backup })
    }

    pub(crate) fn print(&self) -> String {
        let key = |key: &[u8; KEY_LEN]| {
            let words = key.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
            words.map(|word| format!("{word:08x}")).collect::<Vec<_>>().join("-")
        };
        match &self.backup {
            None => key(&self.primary),
            Some(backup) => format!("{},{}", key(&self.primary), key(backup)),
        }
    }

    /// The cookie of a client: only who receives at its address can know it (RFC 7413 §4.1.2).
    pub(crate) fn cookie(&self, client: IpAddr, server: IpAddr) -> FastOpenCookie {
        cookie(&self.primary, client, server)
    }

    /// Whether a client's cookie is one of ours.
    pub(crate) fn check(&self, told: &FastOpenCookie, client: IpAddr, server: IpAddr) -> Checked {
        if *told == self.cookie(client, server) {
            return Checked::Good;
        }
        let backup = self.backup.is_some_and(|key| *told == cookie(&key, client, server));
        if backup { Checked::GoodByBackup } else { Checked::Bad }
    }
}

fn cookie(key: &[u8; KEY_LEN], client: IpAddr, server: IpAddr) -> FastOpenCookie {
    let mut hasher = SipHasher24::new_with_key(key);
    for ip in [client, server] {
        match ip {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            IpAddr::V6(v6) => hasher.write(&v6.octets()),
        }
    }
    FastOpenCookie::from_slice(&hasher.finish().to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_written_as_linux_does() {
        let text = "00112233-44556677-8899aabb-ccddeeff";
        let keys = FastOpenKeys::parse(text).unwrap();
        assert_eq!(keys.print(), text);
        let both = FastOpenKeys::parse("1-2-3-4,5-6-7-8").unwrap();
        assert_eq!(both.print(), "00000001-00000002-00000003-00000004,00000005-00000006-00000007-00000008");
        assert_eq!(FastOpenKeys::from_bytes(&both.to_bytes()), Some(both));
        for bad in ["", "1-2-3", "1-2-3-4-5", "1-2-3-x", "1-2-3-4,", "123456789-2-3-4"] {
            assert_eq!(FastOpenKeys::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_client_alone_and_survives_a_change_of_keys() {
        let old = FastOpenKeys::parse("1-2-3-4").unwrap();
        let cookie = old.cookie(ip("10.0.0.2"), ip("10.0.0.1"));
        assert_eq!(cookie.len(), 8);
        assert_eq!(old.check(&cookie, ip("10.0.0.2"), ip("10.0.0.1")), Checked::Good);
        assert_eq!(old.check(&cookie, ip("10.0.0.3"), ip("10.0.0.1")), Checked::Bad);
        let new = FastOpenKeys::parse("9-9-9-9,1-2-3-4").unwrap();
        assert_eq!(new.check(&cookie, ip("10.0.0.2"), ip("10.0.0.1")), Checked::GoodByBackup);
    }
}
