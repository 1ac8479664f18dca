//! Real servers that keep objects: moto speaks the protocol of S3, azurite that of Azure.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use crate::ArtifactOptions;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Known to everybody. Source: learn.microsoft.com/azure/storage/common/storage-use-azurite, "Well-known account and key".
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server that runs until it is dropped, or until this process ends, however it ends.
pub(super) struct Server {
    address: String,
    running: Option<(Child, ChildStdin)>,
    _folder: TempDir,
}

impl Server {
    pub(super) fn s3() -> Self {
        Self::start(|port, _| format!("venv/bin/moto_server -H 127.0.0.1 -p {port}"))
    }

    /// One that lets nobody in, once a bucket was made.
    pub(super) fn s3_shut() -> Self {
        let after = "INITIAL_NO_AUTH_ACTION_COUNT=1";
        Self::start(|port, _| format!("env {after} venv/bin/moto_server -H 127.0.0.1 -p {port}"))
    }

    pub(super) fn azure() -> Self {
        Self::start(|port, folder| {
            let options = "--silent --skipApiVersionCheck --disableTelemetry";
            let folder = folder.display();
            format!(
                "node_modules/.bin/azurite-blob {options} --blobHost 127.0.0.1 --blobPort {port} --location {folder}"
            )
        })
    }

    fn start(command: impl Fn(u16, &Path) -> String) -> Self {
        let tools = install();
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.path().join("log");
        let script = format!(
            "{} >{} 2>&1 & server=$!; until (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; \
             do kill -0 $server || exit 1; sleep 0.05; done; echo up; read -r end; kill -KILL $server; wait $server",
            command(port, folder.path()),
            log.display(),
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(tools).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "the server does not start: {}", std::fs::read_to_string(log).unwrap_or_default());
        let input = shell.stdin.take().unwrap();
        Self { address: format!("http://127.0.0.1:{port}"), running: Some((shell, input)), _folder: folder }
    }

    /// Options for a place on this server.
    pub(super) fn options(&self, url: &str) -> ArtifactOptions {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let endpoint = match url.starts_with("az") {
            true => format!("{}/{AZURE_ACCOUNT}", self.address),
            false => self.address.clone(),
        };
        ArtifactOptions { url: url.into(), endpoint: Some(endpoint), allow_http: true, variables, region: None }
    }

    /// Makes a bucket.
    pub(super) fn make_bucket(&self, name: &str) {
        self.python("urllib.request.urlopen(urllib.request.Request(f'{address}/{name}', method='PUT'))", name);
    }

    /// Makes a container for blobs.
    pub(super) fn make_container(&self, name: &str) {
        let script = format!(
            "date = email.utils.formatdate(usegmt=True)\n\
             headers = {{'x-ms-date': date, 'x-ms-version': '2021-08-06'}}\n\
             signed = 'PUT' + '\\n' * 12 + f'x-ms-date:{{date}}\\nx-ms-version:2021-08-06\\n' \
             f'/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{{name}}\\nrestype:container'\n\
             signature = hmac.new(base64.b64decode('{AZURE_KEY}'), signed.encode(), 'sha256').digest()\n\
             headers['Authorization'] = 'SharedKey {AZURE_ACCOUNT}:' + base64.b64encode(signature).decode()\n\
             url = f'{{address}}/{AZURE_ACCOUNT}/{{name}}?restype=container'\n\
             urllib.request.urlopen(urllib.request.Request(url, method='PUT', headers=headers))"
        );
        self.python(&script, name);
    }

    fn python(&self, script: &str, name: &str) {
        let imports = "import base64, email.utils, hmac, sys, urllib.request\naddress, name = sys.argv[1:]\n";
        let mut python = Command::new(install().join("venv/bin/python"));
        let done = python.args(["-c", &format!("{imports}{script}"), &self.address, name]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Ends it, and waits until nobody listens any more.
    pub(super) fn end(&mut self) {
        if let Some((mut shell, input)) = self.running.take() {
            drop(input);
            shell.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes sure that the servers are there; where.
fn install() -> PathBuf {
    let root = Path::new(ROOT).canonicalize().unwrap();
    let done = Command::new(root.join("tests/objects/install")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "the servers for tests of artifacts cannot be installed: {said}");
    root.join("target/objects")
}
