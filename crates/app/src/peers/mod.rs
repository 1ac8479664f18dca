//! How this node asks the others over HTTP. What they answer is in `http::peer`.

mod connection;
mod token;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::node::{NewNode, NodeRecord};
use longshore_domain::store::Store;
use longshore_domain::{AttemptNumber, JobId, NodeId};
use longshore_engine::Clock;
use longshore_engine::peers::{Account, Peers, Piece, Printed, Reading, Said};

use crate::http::wire::{AccountBody, FaultBody, PieceHead, PrintedBody, ReadingQuery, SaidBody};
pub(crate) use token::PeerKey;

/// Longest wait for an answer beyond what was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The lines to the nodes that are on record in the store.
pub(crate) struct Lines {
    store: Arc<dyn Store>,
    clock: Clock,
    key: PeerKey,
}

impl Lines {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, key: PeerKey) -> Self {
        Self { store, clock, key }
    }

    async fn ask(&self, node: NodeId, method: &str, path: &str, wait: Duration) -> Result<Response<Bytes>, Fault> {
        self.send(node, method, path, Bytes::new(), wait).await
    }

    /// Sends a request with a body, whose digest must be part of `path`: the token covers nothing else.
    async fn send(
        &self,
        node: NodeId,
        method: &str,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<Response<Bytes>, Fault> {
        let record = self.store.nodes(self.clock.now()).await?.into_iter().find(|record| record.node.id == node);
        match record {
            Some(NodeRecord { node, .. }) => self.send_to(&node, method, path, body, wait).await,
            None => Err(unreachable(&node.to_string(), "it is not there any more")),
        }
    }

    /// The same to a node that was looked up.
    async fn send_to(
        &self,
        record: &NewNode,
        method: &str,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<Response<Bytes>, Fault> {
        let Some(address) = &record.address else {
            return Err(unreachable(&record.name, "it tells no address: set `node.address` there"));
        };
        let failed = |why: &dyn std::fmt::Display| unreachable(&record.name, &format!("{address}: {why}"));
        let address: Uri = address.parse().map_err(|error| failed(&error))?;
        let host = address.authority().map_or("", |authority| authority.as_str());
        let token = self.key.sign(record.id, method, path, self.clock.in_common());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(body))
            .map_err(Fault::internal)?;
        let asked = tokio::time::timeout(wait + ANSWER_MAX, connection::ask(&address, request)).await;
        let answer = asked.map_err(|_| failed(&"no answer in time"))?.map_err(|error| failed(&error))?;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(fault(record, &answer)),
        }
    }
}

#[async_trait]
impl Peers for Lines {
    async fn read(&self, node: NodeId, reading: Reading) -> Result<Piece, Fault> {
        let (job, attempt) = (reading.job, reading.attempt);
        let query = ReadingQuery::from(&reading).to_text();
        let path = format!("/api/v1/peers/jobs/{job}/attempts/{attempt}/output?{query}");
        let (parts, bytes) = self.ask(node, "GET", &path, reading.wait).await?.into_parts();
        PieceHead::read(&parts.headers).and_then(|head| head.with(bytes.into())).ok_or_else(misunderstood)
    }

    async fn printed(&self, node: NodeId, job: JobId, attempt: AttemptNumber) -> Result<Printed, Fault> {
        let path = format!("/api/v1/peers/jobs/{job}/attempts/{attempt}/printed");
        let answer = self.ask(node, "GET", &path, Duration::ZERO).await?;
        let body: PrintedBody = serde_json::from_slice(answer.body()).map_err(|_| misunderstood())?;
        Ok(body.into())
    }

    async fn hand_on(&self, node: NodeId, said: &Said) -> Result<(), Fault> {
        let body = SaidBody::from(said);
        let path = format!("/api/v1/peers/said?digest={}", body.digest());
        self.send(node, "POST", &path, body.into_bytes(), Duration::ZERO).await.map(drop)
    }

    async fn account(&self, node: &NewNode, job: JobId, attempt: AttemptNumber) -> Result<Account, Fault> {
        let path = format!("/api/v1/peers/jobs/{job}/attempts/{attempt}/account");
        let answer = self.send_to(node, "POST", &path, Bytes::new(), Duration::ZERO).await?;
        let body: AccountBody = serde_json::from_slice(answer.body()).map_err(|_| misunderstood())?;
        Ok(if body.lives { Account::Lives } else { Account::Over })
    }
}

fn unreachable(node: &str, why: &str) -> Fault {
    Fault::new(FaultCode::NodeUnreachable, format!("the node {node}, which alone has it, does not answer"))
        .why(why)
        .next("try again when it is back; `longshore nodes` shows which are there")
}

fn fault(node: &NewNode, answer: &Response<Bytes>) -> Fault {
    match serde_json::from_slice::<FaultBody>(answer.body()).map(Fault::from) {
        // What it says of us is no business of our caller's.
        Ok(fault) if matches!(fault.code, FaultCode::Unauthorized | FaultCode::Forbidden) => {
            unreachable(&node.name, &format!("it does not take this node for one of its own: {}", fault.message))
        }
        Ok(fault) => fault,
        Err(_) => unreachable(&node.name, &format!("something else answers there, with status {}", answer.status())),
    }
}

fn misunderstood() -> Fault {
    Fault::internal("another node's answer cannot be understood")
}
