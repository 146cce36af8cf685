//! The authority of a cluster, and the leaves that it issues.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ED25519, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::pem_file::{read_certificate_file, read_key_file, write_pair};
use super::{CertificateError, Role, any_node_dns_name, check_name, dns_name};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authority is said to be valid: ten years. Replacing it means touching every node and client.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(3_652 * DAY.as_secs());

/// How long a leaf is valid where the caller doesn't say: one year, since a lost key works until then.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(365 * DAY.as_secs());

/// Leaves begin this much before now, because the clock of whoever checks them may be behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// The authority of one cluster: whoever holds its key decides who is a node, a client or an operator.
pub struct Authority {
    cluster: String,
    cert_pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf with its private key.
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// The private key, PKCS #8.
    pub key_pem: String,
}

impl Authority {
    /// Makes the authority of a new cluster, valid for [`AUTHORITY_VALIDITY`].
    ///
    /// # Errors
    /// The cluster's name is not valid, or the random source failed.
    pub fn create(cluster: &str) -> Result<Self, CertificateError> {
        check_name(cluster)?;
        let key = new_key()?;
        let params = authority_params(cluster)?;
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Self::assemble(cluster, cert_pem, params, key))
    }

    /// Takes up an authority that [`create`](Self::create) made.
    ///
    /// # Errors
    /// The texts are not the PEM of a Kinfold authority, or the key is another's. An authority made by other tools
    /// is refused too: its subject can't be repeated in what it would issue, so that nothing would verify.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let not = |reason: String| CertificateError::NotAnAuthority(reason);
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes())
            .map_err(|e| not(format!("its certificate is not valid PEM ({e})")))?;
        let leaf = webpki::EndEntityCert::try_from(&der)
            .map_err(|e| not(format!("its certificate can't be parsed ({e})")))?;
        let cluster = leaf
            .valid_dns_names()
            .find_map(|name| name.strip_prefix("ca.")?.strip_suffix(".kinfold"))
            .ok_or_else(|| not("its certificate names no cluster".to_owned()))?;
        check_name(cluster)?;
        let key =
            KeyPair::from_pem(key_pem).map_err(|e| not(format!("its key can't be read ({e})")))?;
        if leaf.subject_public_key_info().as_ref() != key.subject_public_key_info() {
            return Err(CertificateError::KeyMismatch);
        }
        let loaded = Self::assemble(cluster, cert_pem.to_owned(), authority_params(cluster)?, key);
        loaded.verify_trial_leaf(&der)?;
        Ok(loaded)
    }

    /// Reads `ca.pem` and `ca.key` from a folder, as [`save`](Self::save) wrote them.
    ///
    /// # Errors
    /// As [`load`](Self::load); a file can't be read; the key's mode is wider than 0600.
    pub fn open(folder: &Path) -> Result<Self, CertificateError> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let cert_pem = text(read_certificate_file(&folder.join("ca.pem"))?);
        let key_pem = text(read_key_file(&folder.join("ca.key"))?);
        Self::load(&cert_pem, &key_pem)
    }

    fn assemble(cluster: &str, cert_pem: String, params: CertificateParams, key: KeyPair) -> Self {
        Self {
            cluster: cluster.to_owned(),
            cert_pem,
            key_pem: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The cluster that this authority speaks for.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The authority's certificate: every node and client needs it.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's private key: no node and no client needs it.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Issues a leaf that is valid for [`LEAF_VALIDITY`].
    ///
    /// # Errors
    /// As [`issue_for`](Self::issue_for).
    pub fn issue(&self, role: Role, name: &str) -> Result<Issued, CertificateError> {
        self.issue_for(role, name, LEAF_VALIDITY)
    }

    /// Issues a leaf that is valid from an hour ago until `validity` (1 day up to 10 years) from now.
    ///
    /// # Errors
    /// The name or the validity is out of range, or the random source failed.
    pub fn issue_for(
        &self,
        role: Role,
        name: &str,
        validity: Duration,
    ) -> Result<Issued, CertificateError> {
        check_name(name)?;
        if validity < DAY || validity > AUTHORITY_VALIDITY {
            return Err(CertificateError::Validity(validity));
        }
        let key = new_key()?;
        let params = leaf_params(&self.cluster, role, name, validity)?;
        Ok(Issued {
            cert_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Writes `ca.pem` (0644) and `ca.key` (0600) into a folder that exists.
    ///
    /// # Errors
    /// One of the files exists, or can't be written.
    pub fn save(&self, folder: &Path) -> Result<(), CertificateError> {
        Ok(write_pair(folder, "ca", &self.cert_pem, &self.key_pem)?)
    }

    fn verify_trial_leaf(&self, authority: &CertificateDer<'_>) -> Result<(), CertificateError> {
        let not = |reason: String| CertificateError::NotAnAuthority(reason);
        let anchor = webpki::anchor_from_trusted_cert(authority)
            .map_err(|e| not(format!("its certificate can't be trusted ({e})")))?;
        let trial = self.issue(Role::Node, "trial")?;
        let der = CertificateDer::from_pem_slice(trial.cert_pem.as_bytes())
            .map_err(|e| not(format!("what it issues is not valid PEM ({e})")))?;
        webpki::EndEntityCert::try_from(&der)
            .and_then(|leaf| {
                leaf.verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    &[anchor],
                    &[],
                    UnixTime::now(),
                    webpki::KeyUsage::client_auth(),
                    None,
                    None,
                )
                .map(|_| ())
            })
            .map_err(|e| not(format!("what it issues would not verify ({e})")))
    }
}

impl Issued {
    /// Writes `STEM.pem` (0644) and `STEM.key` (0600) into a folder that exists.
    ///
    /// # Errors
    /// One of the files exists, or can't be written.
    pub fn save(&self, folder: &Path, stem: &str) -> Result<(), CertificateError> {
        Ok(write_pair(folder, stem, &self.cert_pem, &self.key_pem)?)
    }
}

/// A new key in the first form of PKCS #8 (RFC 8410, section 7). Made as it comes it would be in the second one, with the public key
/// beside it, which OpenSSL 3 and what stands on it can't read, so a client in another language could not either.
fn new_key() -> Result<KeyPair, rcgen::Error> {
    const BEFORE_SEED: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let made = KeyPair::generate_for(&PKCS_ED25519)?.serialize_der();
    // Both forms have the seed in the same place.
    let seed = made.get(BEFORE_SEED.len()..BEFORE_SEED.len() + 32).unwrap_or_default();
    KeyPair::try_from([&BEFORE_SEED, seed].concat())
}

/// The same for the same cluster, but for its dates: loading an authority repeats its subject from here.
fn authority_params(cluster: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![format!("ca.{cluster}.kinfold")])?;
    set_validity(&mut params, AUTHORITY_VALIDITY);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cluster);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(format!("{cluster}.kinfold"))],
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

fn leaf_params(
    cluster: &str,
    role: Role,
    name: &str,
    validity: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![dns_name(role, name, cluster)];
    let mut usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    match role {
        Role::Node => {
            names.push(any_node_dns_name(cluster));
            usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        Role::Client | Role::Admin => {}
    }
    let mut params = CertificateParams::new(names)?;
    set_validity(&mut params, validity);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, validity: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + validity).into();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::certificate::PemFileError;

    fn names(pem: &str) -> Vec<String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let leaf = webpki::EndEntityCert::try_from(&der).unwrap();
        leaf.valid_dns_names().map(str::to_owned).collect()
    }

    fn verify(
        authority: &str,
        leaf: &str,
        usage: webpki::KeyUsage,
        time: UnixTime,
    ) -> Result<(), webpki::Error> {
        let ca = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
        let anchor = webpki::anchor_from_trusted_cert(&ca).unwrap();
        let der = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
        let leaf = webpki::EndEntityCert::try_from(&der).unwrap();
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &[],
            time,
            usage,
            None,
            None,
        )
        .map(|_| ())
    }

    #[test]
    fn names_are_labels() {
        for good in ["a", "n1", "eu-west-1", &"x".repeat(63)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "A", "a.b", "a_b", "-a", "a-", "é", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let said = check_name("a.b").unwrap_err().to_string();
        assert!(said.contains("`a.b`") && said.contains("not allowed"), "{said}");
    }

    #[test]
    fn leaves_carry_the_names_of_their_role() {
        let authority = Authority::create("c1").unwrap();
        let of = |role| names(&authority.issue(role, "x").unwrap().cert_pem);
        assert_eq!(of(Role::Node), ["x.node.c1.kinfold", "node.c1.kinfold"]);
        assert_eq!(of(Role::Client), ["x.client.c1.kinfold"]);
        assert_eq!(of(Role::Admin), ["x.admin.c1.kinfold"]);
    }

    #[test]
    fn only_nodes_may_serve() {
        let authority = Authority::create("c1").unwrap();
        for (role, serves) in [(Role::Node, true), (Role::Client, false), (Role::Admin, false)] {
            let leaf = authority.issue(role, "x").unwrap().cert_pem;
            let check = |usage| verify(authority.cert_pem(), &leaf, usage, UnixTime::now());
            assert_eq!(check(webpki::KeyUsage::client_auth()), Ok(()));
            assert_eq!(check(webpki::KeyUsage::server_auth()).is_ok(), serves, "{role}");
        }
    }

    /// As in RFC 8410, section 10.3, its first example: 48 bytes, version 0. Others read no more than that.
    #[test]
    fn keys_are_in_the_form_that_every_library_reads() {
        let authority = Authority::create("c1").unwrap();
        for pem in [authority.key_pem(), &authority.issue(Role::Client, "x").unwrap().key_pem] {
            let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            let der = key.secret_pkcs8_der();
            assert_eq!((der.len(), &der[..5]), (48, &[0x30, 0x2e, 0x02, 0x01, 0x00][..]));
        }
    }

    #[test]
    fn leaves_expire_when_told() {
        let authority = Authority::create("c1").unwrap();
        let leaf = authority.issue_for(Role::Client, "x", 2 * DAY).unwrap();
        let after = |time| {
            let then = UnixTime::since_unix_epoch(
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + time,
            );
            let usage = webpki::KeyUsage::client_auth();
            verify(authority.cert_pem(), &leaf.cert_pem, usage, then)
        };
        assert_eq!(after(DAY), Ok(()));
        assert!(matches!(after(3 * DAY), Err(webpki::Error::CertExpired { .. })));
        for bad in [Duration::ZERO, AUTHORITY_VALIDITY + DAY] {
            let refused = authority.issue_for(Role::Client, "x", bad);
            assert!(matches!(refused, Err(CertificateError::Validity(_))));
        }
    }

    #[test]
    fn an_authority_can_not_vouch_for_another_cluster() {
        let mut authority = Authority::create("c1").unwrap();
        authority.cluster = "c2".to_owned();
        let leaf = authority.issue(Role::Node, "x").unwrap().cert_pem;
        let usage = webpki::KeyUsage::client_auth();
        assert_eq!(
            verify(authority.cert_pem(), &leaf, usage, UnixTime::now()),
            Err(webpki::Error::NameConstraintViolation)
        );
    }

    #[test]
    fn a_loaded_authority_issues_what_the_first_one_vouches_for() {
        let first = Authority::create("c1").unwrap();
        let again = Authority::load(first.cert_pem(), first.key_pem()).unwrap();
        assert_eq!(again.cluster(), "c1");
        let leaf = again.issue(Role::Node, "x").unwrap().cert_pem;
        let usage = webpki::KeyUsage::server_auth();
        assert_eq!(verify(first.cert_pem(), &leaf, usage, UnixTime::now()), Ok(()));
    }

    #[test]
    fn what_is_not_an_authority_is_refused() {
        let (one, two) = (Authority::create("c1").unwrap(), Authority::create("c1").unwrap());
        let mixed = Authority::load(one.cert_pem(), two.key_pem());
        assert!(matches!(mixed, Err(CertificateError::KeyMismatch)));
        let leaf = one.issue(Role::Node, "x").unwrap();
        let not = Authority::load(&leaf.cert_pem, &leaf.key_pem);
        assert!(matches!(not, Err(CertificateError::NotAnAuthority(_))));

        let mut foreign = authority_params("c1").unwrap();
        foreign.distinguished_name.push(DnType::OrganizationName, "Elsewhere");
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let pem = foreign.self_signed(&key).unwrap().pem();
        let not = Authority::load(&pem, &key.serialize_pem()).err().unwrap().to_string();
        assert!(not.contains("would not verify"), "{not}");
    }

    #[test]
    fn keys_are_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create("c1").unwrap();
        authority.save(folder.path()).unwrap();
        let key = folder.path().join("ca.key");
        let mode = || std::fs::metadata(&key).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        let again = Authority::create("c1").unwrap().save(folder.path());
        assert!(matches!(again, Err(CertificateError::File(PemFileError::Exists(_)))));
        assert_eq!(std::fs::read_to_string(&key).unwrap(), authority.key_pem());
        assert_eq!(Authority::open(folder.path()).unwrap().cluster(), "c1");

        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
        let said = Authority::open(folder.path()).err().unwrap().to_string();
        assert!(said.contains("0640") && said.contains("chmod 600"), "{said}");
    }
}
