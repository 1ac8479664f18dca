//! Where artifacts are kept, as people write it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::artifact::ArtifactError;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::ObjectArtifacts;
use super::errors::Place;

/// A request that failed is repeated as often, and not longer than this.
const RETRIES_MAX: usize = 3;
const RETRY_MAX: Duration = Duration::from_secs(20);
/// A server that says nothing for so long is not there.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where artifacts are kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ArtifactOptions {
    /// `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Address of a server that speaks the protocol of the cloud and is not the cloud's own.
    pub endpoint: Option<String>,
    /// The region of the bucket, where the environment does not tell it.
    pub region: Option<String>,
    /// The endpoint may be spoken to without TLS.
    pub allow_http: bool,
    /// The environment: credentials, and the region, stand in the variables that the tools of each cloud read.
    pub variables: BTreeMap<String, String>,
}

/// Leaves out the variables, which are secret.
impl fmt::Debug for ArtifactOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, endpoint, region, allow_http, variables: _ } = self;
        let mut shown = f.debug_struct("ArtifactOptions");
        shown.field("url", url).field("endpoint", endpoint).field("region", region).field("allow_http", allow_http);
        shown.finish_non_exhaustive()
    }
}

impl ArtifactOptions {
    /// A folder of this machine.
    pub fn folder(folder: &FilePath) -> Self {
        Self { url: format!("file://{}", folder.display()), ..Self::default() }
    }

    /// Whether it is a folder of this machine.
    pub fn is_folder(&self) -> bool {
        self.url.starts_with("file://")
    }

    pub(super) fn open(&self) -> Result<ObjectArtifacts, ArtifactError> {
        let (scheme, rest) = self.url.split_once("://").ok_or_else(|| self.wrong(FORMS))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let place = Place { location: self.url.clone() };
        if scheme == "file" {
            return self.open_folder(FilePath::new(rest), place);
        }
        if bucket.is_empty() {
            return Err(self.wrong("it names no bucket"));
        }
        if self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:")) && !self.allow_http {
            return Err(self.wrong("the endpoint is spoken to without TLS, which only `allow_http = true` allows"));
        }
        let objects: object_store::Result<Arc<dyn ObjectStore>> = match scheme {
            "s3" => self.s3(bucket),
            "gs" => self.gcs(bucket),
            "az" => self.azure(bucket),
            _ => return Err(self.wrong(FORMS)),
        };
        let objects = objects.map_err(|error| self.wrong(&error.to_string()))?;
        let root = Path::parse(prefix).map_err(|error| self.wrong(&error.to_string()))?;
        Ok(ObjectArtifacts { objects, root, place, folder: None })
    }

    fn open_folder(&self, folder: &FilePath, place: Place) -> Result<ObjectArtifacts, ArtifactError> {
        if !folder.is_absolute() {
            return Err(self.wrong("the path of a folder begins with `/`, as in `file:///var/lib/longshore`"));
        }
        if self.endpoint.is_some() || self.region.is_some() {
            return Err(self.wrong("a folder has neither an endpoint nor a region"));
        }
        std::fs::create_dir_all(folder).map_err(|error| place.io_failed("make the folder", error))?;
        let objects =
            LocalFileSystem::new_with_prefix(folder).map_err(|error| place.failed("open the folder", error))?;
        let folder = Some(PathBuf::from(folder));
        Ok(ObjectArtifacts { objects: Arc::new(objects.with_fsync(true)), root: Path::default(), place, folder })
    }

    fn s3(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let builder = self.configure("AWS_", AmazonS3Builder::new(), AmazonS3Builder::with_config);
        let mut builder = builder.with_bucket_name(bucket);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        Ok(Arc::new(builder.with_client_options(self.client()).with_retry(retries()).build()?))
    }

    fn gcs(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let builder = GoogleCloudStorageBuilder::new();
        let builder = self.configure("GOOGLE_", builder, GoogleCloudStorageBuilder::with_config);
        let mut builder = builder.with_bucket_name(bucket);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        Ok(Arc::new(builder.with_client_options(self.client()).with_retry(retries()).build()?))
    }

    fn azure(&self, container: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let builder = self.configure("AZURE_", MicrosoftAzureBuilder::new(), MicrosoftAzureBuilder::with_config);
        let mut builder = builder.with_container_name(container);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        Ok(Arc::new(builder.with_client_options(self.client()).with_retry(retries()).build()?))
    }

    /// Tells a builder all variables of its cloud that it knows.
    fn configure<B, K: FromStr>(&self, prefix: &str, builder: B, set: fn(B, K, String) -> B) -> B {
        let of_cloud = self.variables.iter().filter(|(name, _)| name.starts_with(prefix));
        of_cloud.fold(builder, |builder, (name, value)| match name.to_ascii_lowercase().parse() {
            Ok(key) => set(builder, key, value.clone()),
            Err(_) => builder,
        })
    }

    /// Large objects take their time: it is silence that is bounded, not the whole.
    fn client(&self) -> ClientOptions {
        ClientOptions::new()
            .with_allow_http(self.allow_http)
            .with_timeout_disabled()
            .with_read_timeout(SILENCE_MAX)
            .with_connect_timeout(CONNECT_MAX)
    }

    fn wrong(&self, problem: &str) -> ArtifactError {
        ArtifactError::Misconfigured { location: self.url.clone(), problem: problem.to_owned() }
    }
}

const FORMS: &str = "expected `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`";

fn retries() -> RetryConfig {
    RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_MAX, ..RetryConfig::default() }
}
