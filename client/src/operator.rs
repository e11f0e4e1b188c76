//! What operators need: the members of the cluster and their health.

use berth_proto::v1::operator_client::OperatorClient;
use berth_proto::v1::{
    AddMemberRequest, MemberView, MembersRequest, RemoveMemberRequest, StatusReply, StatusRequest,
};

use crate::client::Client;
use crate::error::{Error, Tried};
use crate::key::RequestKey;
use crate::status::{Verdict, judge};

/// A member that was added and has yet to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedMember {
    /// Its id.
    pub id: u64,
    /// The cluster's id, in base 32; the new member is started with both.
    pub cluster_id: String,
}

impl Client {
    /// The members of the cluster.
    ///
    /// # Errors
    /// As for every read.
    pub async fn members(&self) -> Result<Vec<MemberView>, Error> {
        let request = MembersRequest { stale_ok: self.stale_ok() };
        let reply =
            self.read(|channel| async move { OperatorClient::new(channel).members(request).await }).await?;
        Ok(reply.members)
    }

    /// Adds a member that its peers reach at `address` (host:port); it gets the log, and a vote once it has caught up.
    ///
    /// # Errors
    /// As for every write; [`Error::Conflict`] while another change of members is under way.
    pub async fn add_member(&self, address: &str) -> Result<AddedMember, Error> {
        // Safe to repeat without a key: the same address gets the same id.
        let key = RequestKey::random();
        let request = AddMemberRequest { address: address.to_owned() };
        let reply = self
            .write(key, |channel| {
                let request = request.clone();
                async move { OperatorClient::new(channel).add_member(request).await }
            })
            .await?;
        Ok(AddedMember { id: reply.id, cluster_id: reply.cluster_id })
    }

    /// Removes a member; of one that was removed before it says so again.
    ///
    /// # Errors
    /// As for every write; [`Error::NotFound`] for an id that no member had, and [`Error::Conflict`] when the quorum would be lost.
    pub async fn remove_member(&self, id: u64) -> Result<(), Error> {
        let key = RequestKey::random();
        let request = RemoveMemberRequest { id };
        self.write(key, |channel| async move { OperatorClient::new(channel).remove_member(request).await })
            .await
            .map(drop)
    }

    /// What each configured server says of itself, in their order, or why it says nothing. Asks each once.
    pub async fn status_of_each(&self) -> Vec<(String, Result<StatusReply, Error>)> {
        let mut answers = Vec::new();
        for endpoint in self.pool().configured() {
            let mut server = OperatorClient::new(endpoint.channel());
            let asked =
                tokio::time::timeout(self.config().attempt_timeout, server.status(StatusRequest {})).await;
            let silent = |answer: String| Error::Unreachable {
                tried: vec![Tried { endpoint: endpoint.name().to_owned(), answer }],
            };
            let answer = match asked {
                Ok(Ok(reply)) => Ok(reply.into_inner()),
                Err(_) => Err(silent("no answer in time".to_owned())),
                Ok(Err(status)) => Err(match judge(&status) {
                    Verdict::Refused(error) => *error,
                    Verdict::Elsewhere(why) => silent(why.answer),
                    Verdict::Later { message, after } => Error::Overloaded { message, retry_after: after },
                }),
            };
            answers.push((endpoint.name().to_owned(), answer));
        }
        answers
    }
}
