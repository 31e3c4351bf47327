//! Transactions that another node began and this one goes on with.
//!
//! Their state is not carried over, only the request: to the other side the node that goes on looks as though something
//! had been retransmitted, which every endpoint knows how to take.

use super::engine::Kind;
use super::{ClientTx, Output, Peer, SendError, ServerTx, Transactions};
use crate::{Instant, Message, Method, Request};

impl Transactions {
    /// Takes up a request that another node received from `from`, without handing it to the user: answer it. `None` where it
    /// is here already, or there is no room for it.
    pub fn resume_server(&mut self, now: Instant, from: Peer, request: Request) -> Option<ServerTx> {
        self.on_message(now, from, Message::Request(request));
        match self.outputs.pop_back() {
            Some(Output::Request { id, .. }) => Some(id),
            other => {
                self.outputs.extend(other);
                None
            }
        }
    }

    /// Sends a request as another node sent it, branch and all: who has it answers as it did.
    ///
    /// # Errors
    ///
    /// When there are too many transactions, or the request is one that has none of its own.
    pub fn resume_client(&mut self, now: Instant, to: Peer, request: Request) -> Result<ClientTx, SendError> {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Err(SendError::NotATransaction);
        }
        if self.live() >= self.config.max_transactions {
            return Err(SendError::Full);
        }
        Ok(ClientTx(self.begin_client(now, to, request, false)))
    }

    /// An INVITE of ours that has no final response, and where it was sent: what [`Transactions::resume_client`] takes.
    pub fn pending_invite(&self, id: ClientTx) -> Option<(&Request, Peer)> {
        let transaction = self.get(id.0).filter(|transaction| transaction.kind == Kind::InviteClient)?;
        Some((transaction.invite.as_deref()?, transaction.peer))
    }

    /// Drops every transaction without a word: another node goes on with them. Nothing is sent again, and what was to be
    /// sent is not.
    pub fn forget_all(&mut self) {
        for index in 0..self.places.len() {
            self.forget(index);
        }
        self.outputs.clear();
    }
}
