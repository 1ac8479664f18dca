//! Documents that are kept beside the jobs.

use longshore_domain::store::{DOCUMENTS_PASSING_MAX, Document, NewDocument};
use longshore_domain::time::Timestamp;

use super::clock::present_or;
use super::desk::Desk;
use super::errors::Attempted;
use super::landing::{NOTIFY, land, land_before};
use super::node::Node;
use super::rows;
use super::session::{Session, Step};
use super::turn::Turn;

const READ: &str = "SELECT version, text FROM document WHERE name = $1";

const WRITTEN: &str = "SELECT 1 FROM document WHERE xmin = $1::text::xid8::xid AND name = $2 AND version = $3";

/// Those whose time is over, and those that would go next if there are too many; what somebody else has in hand stays.
fn clear_sql() -> String {
    format!(
        "DELETE FROM document WHERE name IN (SELECT name FROM document WHERE until <= greatest({}, (SELECT until \
         FROM document WHERE until IS NOT NULL ORDER BY until DESC LIMIT 1 OFFSET $2)) FOR UPDATE SKIP LOCKED)",
        present_or("$1")
    )
}

fn insert_sql() -> String {
    format!(
        "INSERT INTO document (name, version, text, until) VALUES ($1, 1, $2, {} + $4::bigint) \
         ON CONFLICT (name) DO NOTHING RETURNING name",
        present_or("$3")
    )
}

fn update_sql() -> String {
    format!(
        "UPDATE document SET version = version + 1, text = $2, until = {} + $4::bigint \
         WHERE name = $1 AND version = $5 RETURNING name",
        present_or("$3")
    )
}

/// The document of that name.
pub(super) async fn read(session: &Session, name: &str) -> Attempted<Option<Document>> {
    let found = session.query(READ, &[&name]).await?;
    let document = |row| Ok(Document { version: rows::get::<i64>(row, 0)?.unsigned_abs(), text: rows::get(row, 1)? });
    found.first().map(document).transpose()
}

/// Writes a document if nobody else did meanwhile.
pub(super) async fn write(node: &Node, turn: &Turn<'_>, new: &NewDocument, now: Timestamp) -> Attempted<bool> {
    let said = node.clock.said(now);
    let keep = new.keep.map(|keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX / 2));
    let (room, replaces) = (i64::from(DOCUMENTS_PASSING_MAX) - 1, i64::try_from(new.replaces).unwrap_or(i64::MAX));
    let (clear, insert, update) = (clear_sql(), insert_sql(), update_sql());
    let mut steps = match new.replaces {
        0 => vec![Step::new(&clear, vec![&said, &room]), Step::new(&insert, vec![&new.name, &new.text, &said, &keep])],
        _ => vec![Step::new(&update, vec![&new.name, &new.text, &said, &keep, &replaces])],
    };
    steps.push(Step::new(NOTIFY, vec![&node.channel, &node.tag]));
    let answers = turn.session.run(&steps).await?;
    // Before the last step, which only tells.
    let written = !answers[answers.len() - 2].is_empty();
    match written {
        true => land_before(node, turn, WRITTEN, vec![&new.name, &(replaces + 1)]).await?,
        false => land(node, turn, &Desk::default()).await.map(drop)?,
    }
    Ok(written)
}
