//! What is said when artifacts cannot be kept.

use std::time::SystemTime;

use longshore_domain::artifact::{ArtifactError, Artifacts};
use longshore_domain::fault::Fault;
use longshore_domain::time::Timestamp;
use tempfile::TempDir;

use super::server::Server;
use super::{Bytes, noise, open, read, sha256};
use crate::{ArtifactOptions, ObjectArtifacts};

async fn refused(options: &ArtifactOptions) -> ArtifactError {
    match ObjectArtifacts::open(options) {
        Ok(artifacts) => artifacts.check().await.unwrap_err(),
        Err(error) => error,
    }
}

fn told(error: ArtifactError) -> (String, String, String) {
    let fault = Fault::from(error);
    (fault.code.to_string(), fault.why.unwrap_or_default(), fault.next.unwrap())
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let server = Server::s3();
    let error = refused(&server.options("s3://nowhere/prefix")).await;
    assert_eq!(error.to_string(), "s3://nowhere/prefix does not exist");
    let (code, why, next) = told(error);
    assert!(code == "artifacts_unavailable" && why.contains("NoSuchBucket"), "{why}");
    assert!(next.contains("make the bucket"));
}

#[tokio::test]
async fn a_container_that_is_not_there_is_named() {
    let server = Server::azure();
    let error = refused(&server.options("az://nowhere")).await;
    assert_eq!(error.to_string(), "az://nowhere does not exist");
}

#[tokio::test]
async fn whoever_may_not_enter_is_told_so() {
    let server = Server::s3_shut();
    server.make_bucket("bucket");
    let error = refused(&server.options("s3://bucket")).await;
    assert_eq!(error.to_string(), "access to s3://bucket is denied");
    let (code, _, next) = told(error);
    assert!(code == "artifacts_unavailable" && next.contains("credentials"));
}

#[tokio::test]
async fn a_server_that_is_away_is_told_at_every_verb() {
    let mut server = Server::s3();
    server.make_bucket("bucket");
    let artifacts = open(&server.options("s3://bucket"));
    let digest = artifacts.put(&mut Bytes::new(b"bytes")).await.unwrap().digest;
    server.end();
    let put = artifacts.put(&mut Bytes::new(b"others")).await.map(drop);
    let list = async { artifacts.list().await?.next().await.map(drop) };
    let answers = [artifacts.check().await, put, artifacts.delete(digest).await, list.await];
    for answer in answers {
        assert_eq!(answer.unwrap_err().to_string(), "s3://bucket cannot be reached");
    }
    let (bytes, error) = read(&artifacts, digest).await;
    assert!(bytes.is_empty() && matches!(error, Some(ArtifactError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let plain = ArtifactOptions { endpoint: Some("http://localhost:1".into()), ..of("s3://bucket") };
    let folder = ArtifactOptions { region: Some("here".into()), ..of("file:///tmp") };
    let cases = [
        (of("bucket"), "expected `file:///folder`"),
        (of("ftp://host/folder"), "expected `file:///folder`"),
        (of("file://folder"), "begins with `/`"),
        (of("s3:///prefix"), "names no bucket"),
        (of("s3://bucket/a//b"), "empty path segment"),
        (plain, "`allow_http = true`"),
        (folder, "neither an endpoint nor a region"),
    ];
    for (options, expected) in cases {
        let error = refused(&options).await;
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains(&options.url));
        assert_eq!(told(error).0, "config_invalid");
    }
}

fn of(url: &str) -> ArtifactOptions {
    ArtifactOptions { url: url.into(), ..ArtifactOptions::default() }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = ArtifactOptions::folder(&file.join("below"));
    let error = refused(&options).await;
    assert!(matches!(error, ArtifactError::NoPlace { .. }), "{error:?}");
}

#[test]
fn secrets_are_not_shown() {
    let variables = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let variables = variables.map(|name| (name.to_owned(), "very secret".to_owned())).into();
    let options = ArtifactOptions { variables, ..of("s3://bucket") };
    let shown = format!("{options:?} {:?}", open(&options));
    assert!(shown.contains("s3://bucket") && !shown.contains("very secret"), "{shown}");
}

#[tokio::test]
async fn uploads_that_were_cut_off_are_swept_away_when_they_are_old() {
    let folder = TempDir::new().unwrap();
    let artifacts = open(&ArtifactOptions::folder(folder.path()));
    let kept = artifacts.put(&mut Bytes::new(&noise(9))).await.unwrap().digest;
    let left = folder.path().join("objects/00/abc#1");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "half").unwrap();
    let at = |since: SystemTime| since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let written = at(std::fs::metadata(&left).unwrap().modified().unwrap()) as i64;
    for (before, swept) in [(written, 0), (written + 1, 1), (written + 1, 0)] {
        assert_eq!(artifacts.sweep(Timestamp::from_millis(before)).await.unwrap(), swept);
    }
    assert!(!left.exists());
    assert_eq!(read(&artifacts, kept).await.0, noise(9));
    assert_eq!(kept, sha256(&noise(9)));
}
