//! What must hold wherever artifacts are kept.

use std::collections::BTreeMap;

use longshore_domain::artifact::{ArtifactError, Artifacts, Digest, Found};
use object_store::ObjectStoreExt;
use tempfile::TempDir;

use super::server::Server;
use super::{Bytes, noise, open, read, sha256};
use crate::{ArtifactOptions, ObjectArtifacts};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_folder_keeps_artifacts() {
    let folder = TempDir::new().unwrap();
    check_all(&ArtifactOptions::folder(&folder.path().join("made/when missing"))).await;
}

#[tokio::test]
async fn s3_keeps_artifacts() {
    let server = Server::s3();
    server.make_bucket("bucket");
    check_all(&server.options("s3://bucket")).await;
    check_all(&server.options("s3://bucket/one/prefix/")).await;
}

#[tokio::test]
async fn azure_keeps_artifacts() {
    let server = Server::azure();
    server.make_container("box");
    check_all(&server.options("az://box/one")).await;
}

async fn check_all(options: &ArtifactOptions) {
    let artifacts = open(options);
    artifacts.check().await.unwrap();
    artifacts.check().await.unwrap();
    assert_eq!(listed(&artifacts).await, BTreeMap::new());
    the_place_is_that_of_who_claims_it_first(&artifacts).await;
    what_is_archived_is_no_artifact(&artifacts).await;
    what_was_put_comes_back(&artifacts).await;
    damage_is_told_and_no_wrong_byte_comes_out(&artifacts).await;
    what_is_not_put_wholly_is_not_there(&artifacts).await;
}

async fn the_place_is_that_of_who_claims_it_first(artifacts: &ObjectArtifacts) {
    artifacts.claim("one").await.unwrap();
    artifacts.claim("one").await.unwrap();
    let taken = artifacts.claim("other").await.unwrap_err();
    assert!(matches!(&taken, ArtifactError::Taken { mark, .. } if mark.ends_with("store.txt")), "{taken:?}");
    artifacts.claim("one").await.unwrap();
}

async fn what_is_archived_is_no_artifact(artifacts: &ObjectArtifacts) {
    artifacts.archive("jobs-2026-09.1.jsonl.zst", b"records".to_vec()).await.unwrap();
    let key = artifacts.key(sha256(b"")).to_string();
    let root = key.split_once("objects/").unwrap().0;
    let found = artifacts.objects.get(&format!("{root}archive/jobs-2026-09.1.jsonl.zst").into()).await.unwrap();
    assert_eq!(found.bytes().await.unwrap(), b"records"[..]);
    assert_eq!(listed(artifacts).await, BTreeMap::new());
}

async fn put(artifacts: &ObjectArtifacts, bytes: &[u8]) -> Digest {
    artifacts.put(&mut Bytes::new(bytes)).await.unwrap().digest
}

async fn listed(artifacts: &ObjectArtifacts) -> BTreeMap<Digest, Found> {
    let mut listing = artifacts.list().await.unwrap();
    let mut all = BTreeMap::new();
    while let Some(found) = listing.next().await.unwrap() {
        all.extend(found.into_iter().map(|found| (found.digest, found)));
    }
    all
}

async fn what_was_put_comes_back(artifacts: &ObjectArtifacts) {
    // The last is sent in several parts.
    let contents = [vec![], vec![7], noise(MIB), vec![1; 3 * MIB + 1], noise(9 * MIB + 3)];
    for bytes in &contents {
        for existing in [false, true] {
            let stored = artifacts.put(&mut Bytes::new(bytes)).await.unwrap();
            assert_eq!((stored.digest, stored.bytes), (sha256(bytes), bytes.len() as u64));
            assert_eq!(stored.existing, existing);
        }
        let (back, error) = read(artifacts, sha256(bytes)).await;
        assert!(error.is_none() && back == *bytes, "{} bytes: {error:?}", bytes.len());
    }
    let all = listed(artifacts).await;
    assert_eq!(all.len(), contents.len());
    assert!(all[&sha256(&contents[3])].stored_bytes < 10_000, "it is compressed");
    for bytes in &contents {
        let digest = sha256(bytes);
        for _ in 0..2 {
            artifacts.delete(digest).await.unwrap();
        }
        let (back, error) = read(artifacts, digest).await;
        assert!(back.is_empty() && matches!(error, Some(ArtifactError::Missing(missing)) if missing == digest));
    }
    assert_eq!(listed(artifacts).await, BTreeMap::new());
}

async fn damage_is_told_and_no_wrong_byte_comes_out(artifacts: &ObjectArtifacts) {
    let (small, large) = (noise(5_000), noise(2 * MIB));
    let other = put(artifacts, b"something else").await;
    let other = artifacts.objects.get(&artifacts.key(other)).await.unwrap().bytes().await.unwrap();
    for bytes in [&small, &large] {
        let digest = put(artifacts, bytes).await;
        let key = artifacts.key(digest);
        let whole = artifacts.objects.get(&key).await.unwrap().bytes().await.unwrap().to_vec();
        let mut damaged = vec![other.to_vec(), vec![], whole[..whole.len() - 1].to_vec(), [&whole[..], b"x"].concat()];
        for at in [0, 9, 40, 70, 120, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            damaged.push(flipped);
        }
        for (at, object) in damaged.into_iter().enumerate() {
            artifacts.objects.put(&key, object.into()).await.unwrap();
            let (out, error) = read(artifacts, digest).await;
            assert!(matches!(error, Some(ArtifactError::Damaged { .. })), "{at}: {error:?}");
            assert!(bytes.starts_with(&out) && out.len() < bytes.len(), "{at}");
            assert!(bytes.len() > MIB || out.is_empty(), "a short one is checked as a whole first");
        }
        artifacts.delete(digest).await.unwrap();
    }
    artifacts.delete(sha256(b"something else")).await.unwrap();
}

async fn what_is_not_put_wholly_is_not_there(artifacts: &ObjectArtifacts) {
    for length in [MIB, 9 * MIB] {
        let bytes = noise(length);
        let mut broken = Bytes { breaks_at: length - 10, ..Bytes::new(&bytes) };
        let error = artifacts.put(&mut broken).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Source(_)), "{error:?}");
        let mut changed = Bytes { then: Some(noise(length - 1)), ..Bytes::new(&bytes) };
        let error = artifacts.put(&mut changed).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Source(_)), "{error:?}");
        assert_eq!(listed(artifacts).await, BTreeMap::new());
    }
}
