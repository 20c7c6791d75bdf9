//! Cluster: who the members are, and changing that.
//!
//! A change goes through the log like any command and is answered once it is in force (see
//! [`members`](crate::members)). Whether a cluster would survive it is looked at first, as etcd does it and in etcd's
//! order: here what depends on who is connected, in the members table what depends on who has started.

use quorate_api::ApiError;
use quorate_api::convert::response::members;
use quorate_api::proto::etcdserverpb as pb;
use quorate_kv::{Member, MemberChange};
use tonic::{Request, Response, Status, async_trait};

use super::Service;
use crate::config::Url;
use crate::identity::member_id;
use crate::members::unix_seconds;

/// URLs as the table keeps them.
///
/// # Errors
/// There is none, or one is no address.
fn urls(texts: &[String]) -> Result<Vec<Url>, ApiError> {
    let urls: Result<Vec<Url>, _> = texts.iter().map(|text| text.parse::<Url>()).collect();
    urls.ok().filter(|urls| !urls.is_empty()).ok_or(ApiError::BadMemberUrls)
}

fn texts(urls: &[Url]) -> Vec<String> {
    urls.iter().map(ToString::to_string).collect()
}

impl Service {
    async fn add(&self, request: &pb::MemberAddRequest) -> Result<(u64, Vec<Member>), ApiError> {
        let urls = urls(&request.peer_ur_ls)?;
        let is_learner = request.is_learner;
        self.check_add(is_learner)?;
        // As in etcd: of the URLs and the time; a cluster that runs has no token.
        let id = member_id(&urls, "", Some(unix_seconds()));
        let (max_learners, strict) = (self.config.max_learners, self.config.strict_reconfig_check);
        let peer_urls = texts(&urls);
        let change = MemberChange::Add { id, peer_urls, is_learner, max_learners, strict };
        Ok((id, self.change_members(change).await?))
    }

    async fn promote(&self, id: u64) -> Result<Vec<Member>, ApiError> {
        self.check_in_sync(id).await?;
        let strict = self.config.strict_reconfig_check;
        self.change_members(MemberChange::Promote { id, strict }).await
    }

    fn cluster_header(&self) -> Option<pb::ResponseHeader> {
        Some(self.answering().cluster_header())
    }
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
        let (header, members) = (self.cluster_header(), members(&*self.roll.table()));
        Ok(Response::new(pb::MemberListResponse { header, members }))
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let (id, all) = self.add(request.get_ref()).await?;
        let member = all.iter().find(|member| member.id == id).map(pb::Member::from);
        let header = self.cluster_header();
        Ok(Response::new(pb::MemberAddResponse { header, member, members: members(&all) }))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let id = request.get_ref().id;
        self.check_remove(id)?;
        let strict = self.config.strict_reconfig_check;
        let all = self.change_members(MemberChange::Remove { id, strict }).await?;
        let (header, members) = (self.cluster_header(), members(&all));
        Ok(Response::new(pb::MemberRemoveResponse { header, members }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let pb::MemberUpdateRequest { id, peer_ur_ls } = request.into_inner();
        let peer_urls = texts(&urls(&peer_ur_ls)?);
        let all = self.change_members(MemberChange::Update { id, peer_urls }).await?;
        let (header, members) = (self.cluster_header(), members(&all));
        Ok(Response::new(pb::MemberUpdateResponse { header, members }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let all = self.promote(request.get_ref().id).await?;
        let (header, members) = (self.cluster_header(), members(&all));
        Ok(Response::new(pb::MemberPromoteResponse { header, members }))
    }
}
