//! Which ends the chats of jobs were told.

use longshore_domain::store::{Notice, Unannounced};

use super::desk::Desk;
use super::errors::Attempted;
use super::landing::{land, land_before};
use super::node::Node;
use super::rows::{self, JOB_COLUMNS};
use super::session::Session;
use super::turn::Turn;

const MARK: &str = "SELECT end_seq FROM announced WHERE principal_name = $1 AND conversation = $2";
/// The mark of a chat, which nobody else moves until this transaction is over.
const LOCK_MARK: &str = "INSERT INTO announced (principal_name, conversation, end_seq) VALUES ($1, $2, 0) \
     ON CONFLICT (principal_name, conversation) DO UPDATE SET end_seq = announced.end_seq RETURNING end_seq";
const MOVE_MARK: &str = "UPDATE announced SET end_seq = $3 WHERE principal_name = $1 AND conversation = $2";
const MOVED: &str = "SELECT 1 FROM announced WHERE xmin = $1::text::xid8::xid AND principal_name = $2 \
     AND conversation = $3 AND end_seq = $4";
/// How many ends there are behind `$3`, without those of `$4`, and the newest with them.
const TOTAL: &str = "SELECT count(*) FILTER (WHERE j.id <> ALL($4::text[])), max(e.seq) FROM ended AS e \
     JOIN job AS j ON j.number = e.job WHERE e.principal_name = $1 AND e.conversation = $2 AND e.seq > $3";

/// What lies behind a mark.
pub(super) struct Behind {
    pub(super) ends: Unannounced,
    /// The newest end, also if it is left out.
    pub(super) newest: Option<i64>,
}

/// What `notice` asks for, without announcing it.
pub(super) async fn read(session: &Session, notice: &Notice) -> Attempted<Behind> {
    behind(session, notice, MARK).await
}

/// What `notice` asks for, announced from now on, as are the ends that it leaves out.
pub(super) async fn announce(node: &Node, turn: &Turn<'_>, notice: &Notice) -> Attempted<Unannounced> {
    let behind = behind(turn.session, notice, LOCK_MARK).await?;
    match behind.newest {
        Some(newest) => {
            let chat = notice.conversation.as_str();
            turn.session.query(MOVE_MARK, &[&notice.owner, &chat, &newest]).await?;
            land_before(node, turn, MOVED, vec![&notice.owner, &chat, &newest]).await?;
        }
        None => land(node, turn, &Desk::default()).await.map(drop)?,
    }
    Ok(behind.ends)
}

async fn behind(session: &Session, notice: &Notice, mark: &str) -> Attempted<Behind> {
    let (owner, chat) = (&notice.owner, notice.conversation.as_str());
    let except: Vec<_> = notice.except.iter().map(ToString::to_string).collect();
    let mark = session.query(mark, &[owner, &chat]).await?;
    let mark = mark.first().map_or(Ok(0), |row| rows::get::<i64>(row, 0))?;
    let total = session.query(TOTAL, &[owner, &chat, &mark, &except]).await?;
    let Some(total) = total.first() else { return Ok(Behind { ends: Unannounced::default(), newest: None }) };
    let (count, newest) = (rows::get::<i64>(total, 0)?, rows::get::<Option<i64>>(total, 1)?);
    let count = count as u64;
    let Some(end) = newest.filter(|_| notice.limit > 0) else {
        return Ok(Behind { ends: Unannounced { jobs: vec![], count }, newest });
    };
    // Ends become visible in the order of their places: up to the newest that was seen nothing is missing.
    let sql = format!(
        "SELECT {JOB_COLUMNS} FROM ended AS e JOIN job AS j ON j.number = e.job JOIN standing AS s ON s.job = e.job \
         WHERE e.principal_name = $1 AND e.conversation = $2 AND e.seq > $3 AND e.seq <= $4 \
         AND j.id <> ALL($5::text[]) ORDER BY e.seq DESC LIMIT $6"
    );
    let limit = notice.limit as i64;
    let jobs = rows::jobs(&session.query(&sql, &[owner, &chat, &mark, &end, &except, &limit]).await?)?;
    Ok(Behind { ends: Unannounced { jobs, count }, newest })
}
