//! Batches of the client that are not answered whole yet: each is answered by one array. To the daemon their messages go
//! one by one, so that each can be said again to the next one.

use crate::wire::RequestId;

/// A batch of which answers are missing.
struct Batch {
    missing: Vec<RequestId>,
    answers: Vec<Vec<u8>>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Batches(Vec<Batch>);

impl Batches {
    /// Notes a batch that misses the answers to these requests and has others already. Its array, if it misses none.
    pub(super) fn begin(&mut self, missing: Vec<RequestId>, answers: Vec<Vec<u8>>) -> Option<Vec<u8>> {
        self.0.push(Batch { missing, answers });
        self.complete(self.0.len() - 1)
    }

    /// Notes the answer to a request. What the client is to have for it: the answer itself if it belongs to no batch, the
    /// array if it is the last one of its batch.
    pub(super) fn answered(&mut self, id: &RequestId, answer: Vec<u8>) -> Option<Vec<u8>> {
        let Some(at) = self.that_misses(id) else { return Some(answer) };
        self.0[at].answers.push(answer);
        self.misses_no_more(at, id)
    }

    /// Notes that a request gets no answer. The array, if its batch misses no other.
    pub(super) fn given_up(&mut self, id: &RequestId) -> Option<Vec<u8>> {
        let at = self.that_misses(id)?;
        self.misses_no_more(at, id)
    }

    /// The arrays of what is there, when nothing more will come.
    pub(super) fn take_rest(&mut self) -> Vec<Vec<u8>> {
        self.0.drain(..).filter_map(Batch::array).collect()
    }

    fn that_misses(&self, id: &RequestId) -> Option<usize> {
        self.0.iter().position(|batch| batch.missing.contains(id))
    }

    fn misses_no_more(&mut self, at: usize, id: &RequestId) -> Option<Vec<u8>> {
        self.0[at].missing.retain(|other| other != id);
        self.complete(at)
    }

    fn complete(&mut self, at: usize) -> Option<Vec<u8>> {
        self.0[at].missing.is_empty().then(|| self.0.remove(at)).and_then(Batch::array)
    }
}

impl Batch {
    fn array(self) -> Option<Vec<u8>> {
        (!self.answers.is_empty()).then(|| [b"[", &self.answers.join(&b',')[..], b"]"].concat())
    }
}
