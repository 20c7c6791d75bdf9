//! Cluster: who the members are. Changing them comes later.

use quorate_api::proto::etcdserverpb as pb;
use tonic::{Request, Response, Status, async_trait};

use super::Service;

impl Service {
    /// The members with what each has published of itself.
    fn members(&self) -> Vec<pb::Member> {
        let state = self.state.read();
        let published = |id| state.members().iter().find(|member| member.id == id);
        let describe = |member: &crate::identity::InitialMember| {
            let said = published(member.id);
            pb::Member {
                id: member.id,
                // Empty until the member has started, as in etcd.
                name: said.map_or(String::new(), |said| said.name.clone()),
                peer_ur_ls: member.peer_urls.iter().map(ToString::to_string).collect(),
                client_ur_ls: said.map_or(Vec::new(), |said| said.client_urls.clone()),
                is_learner: false,
            }
        };
        self.identity.members.iter().map(describe).collect()
    }
}

/// What every change of membership answers for now.
fn fixed() -> Status {
    Status::unimplemented("the members of this cluster are fixed: changing them is not supported yet")
}

#[async_trait]
impl pb::cluster_server::Cluster for Service {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.check_metadata(request.metadata())?;
        if request.get_ref().linearizable {
            self.confirm_read().await?;
        }
        let header = Some(self.answering().cluster_header());
        Ok(Response::new(pb::MemberListResponse { header, members: self.members() }))
    }

    async fn member_add(
        &self,
        _: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(fixed())
    }

    async fn member_remove(
        &self,
        _: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(fixed())
    }

    async fn member_update(
        &self,
        _: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(fixed())
    }

    async fn member_promote(
        &self,
        _: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(fixed())
    }
}
