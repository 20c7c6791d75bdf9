//! Members that come and go one by one, each with flags of its own, and a light load meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_api::proto::etcdserverpb as pb;
use quorate_harness::raw::{self, Raw};
use quorate_harness::{PATIENCE, Process};
use rustix::process::Signal;

use crate::common::{free_ports, ok, quorate, run};

/// Places for members; m0, m1, ... by number.
pub struct Lab {
    home: tempfile::TempDir,
    port: u16,
    flags: Vec<String>,
    pub members: BTreeMap<usize, Process>,
}

impl Lab {
    /// Room for this many, all started with these flags besides what differs between them.
    pub fn new(places: u16, flags: &[&str]) -> Lab {
        let home = tempfile::Builder::new().prefix("quorate-members-").tempdir().expect("directory");
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        flags.extend(["--wal-segment-bytes=4194304".to_owned(), "--log-format=console".to_owned()]);
        // First, so that what a test says wins.
        flags.splice(..0, quorate_harness::protocol_flag());
        Lab { home, port: free_ports(places), flags, members: BTreeMap::new() }
    }

    /// This many, founded together, that serve.
    pub fn founded(places: u16, founders: usize, flags: &[&str]) -> Lab {
        let mut lab = Lab::new(places, flags);
        let all: Vec<usize> = (0..founders).collect();
        all.iter().for_each(|&at| lab.start(at, &all, &["--initial-cluster-state=new"]));
        all.iter().for_each(|&at| lab.ready(at));
        lab
    }

    /// The same, under this protocol.
    pub fn under(protocol: &str, places: u16, founders: usize, flags: &[&str]) -> Lab {
        let protocol = format!("--protocol={protocol}");
        let flags: Vec<&str> = flags.iter().copied().chain([protocol.as_str()]).collect();
        Lab::founded(places, founders, &flags)
    }

    pub fn endpoint(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.port + at as u16 * 10)
    }

    pub fn endpoints(&self, of: &[usize]) -> String {
        of.iter().map(|&at| self.endpoint(at)).collect::<Vec<_>>().join(",")
    }

    pub fn peer_url(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.port + at as u16 * 10 + 1)
    }

    /// Another peer port of this place.
    pub fn other_peer_url(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.port + at as u16 * 10 + 2)
    }

    pub fn data_dir(&self, at: usize) -> PathBuf {
        self.home.path().join(format!("m{at}"))
    }

    /// Start a member that is told of these (itself among them).
    pub fn start(&mut self, at: usize, cluster: &[usize], more: &[&str]) {
        self.start_at(at, &self.peer_url(at), cluster, more);
    }

    /// The same, at this peer URL.
    pub fn start_at(&mut self, at: usize, peer_url: &str, cluster: &[usize], more: &[&str]) {
        let url = |of: usize| if of == at { peer_url.to_owned() } else { self.peer_url(of) };
        let listed: Vec<String> = cluster.iter().map(|&of| format!("m{of}={}", url(of))).collect();
        let mut command = quorate();
        command.args([
            "serve".to_owned(),
            format!("--name=m{at}"),
            format!("--data-dir={}", self.data_dir(at).display()),
            format!("--listen-client-urls={}", self.endpoint(at)),
            format!("--advertise-client-urls={}", self.endpoint(at)),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster={}", listed.join(",")),
        ]);
        command.args(&self.flags).args(more);
        self.members.insert(at, Process::start(&mut command));
    }

    pub fn ready(&mut self, at: usize) {
        self.member(at).says("ready to serve client requests");
    }

    pub fn member(&mut self, at: usize) -> &mut Process {
        self.members.get_mut(&at).expect("it was started")
    }

    /// SIGTERM and its end.
    pub fn stop(&mut self, at: usize) {
        self.member(at).signal(Signal::TERM);
        assert_eq!(self.member(at).ends().code(), Some(0));
    }

    pub fn kill(&mut self, at: usize) {
        self.member(at).kill();
    }

    /// Wait for the end of a member that has been removed, and see that it is told in etcd's words.
    pub fn ends_as_removed(&mut self, at: usize) {
        let member = self.member(at);
        assert_eq!(member.ends().code(), Some(0), "{}", member.everything());
        let said = member.said();
        assert!(said.contains("the member has been permanently removed from the cluster"), "{said}");
    }

    /// The id of the member at a place, as the member at `by` lists it.
    pub fn id(&self, at: usize, by: usize) -> String {
        let url = self.peer_url(at);
        let list = ok(&["member", "list", "--endpoints", &self.endpoint(by)]);
        let row = list.lines().find(|row| row.contains(&url));
        row.and_then(|row| row.split(',').next()).unwrap_or_else(|| panic!("{url}: {list}")).to_owned()
    }

    /// Adds a member through `by`, starts it among `cluster`, and waits until it serves.
    pub fn grow(&mut self, at: usize, by: usize, cluster: &[usize]) {
        let said = ok(&[
            "member",
            "add",
            &format!("m{at}"),
            "--peer-urls",
            &self.peer_url(at),
            "--endpoints",
            &self.endpoint(by),
        ]);
        assert!(said.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""), "{said}");
        self.start(at, cluster, &["--initial-cluster-state=existing"]);
        self.ready(at);
    }

    /// Promotes a learner through `by`, once it is in sync: under load that may take a moment.
    pub fn promote(&self, id: &str, by: usize) {
        let begun = Instant::now();
        loop {
            let output = run(&["member", "promote", id, "--endpoints", &self.endpoint(by)]);
            if output.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("in sync with leader") && begun.elapsed() < PATIENCE, "{said}");
        }
    }

    /// Puts, again and again until it is acknowledged: elections take their time.
    pub fn put(&self, of: &[usize]) {
        let begun = Instant::now();
        loop {
            let output = run(&["put", "needed", "x", "--endpoints", &self.endpoints(of)]);
            if output.status.success() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it is never put: {output:?}");
        }
    }

    /// Waits until a member's metrics have this line.
    pub fn shows(&self, at: usize, line: &str) {
        quorate_harness::cluster::shows(&self.endpoint(at), line);
    }

    /// Which of these leads.
    pub async fn leader(&self, of: &[usize]) -> usize {
        let begun = Instant::now();
        loop {
            for &at in of {
                if let Some(status) = raw::status(&self.endpoint(at)).await
                    && status.header.is_some_and(|header| header.member_id == status.leader)
                {
                    return at;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Wait until these hold the same history.
    pub async fn agree(&self, of: &[usize]) {
        let begun = Instant::now();
        loop {
            let mut seen = Vec::new();
            for &at in of {
                seen.push(raw::hash_kv(&self.endpoint(at), 0).await);
            }
            if seen[0].is_some() && seen.iter().all(|hash| *hash == seen[0]) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "they differ: {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Puts, one after the other, to whoever answers.
pub struct Load {
    over: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    pub fn on(lab: &Lab, of: &[usize]) -> Load {
        let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let clients: Vec<Raw> = of.iter().map(|&at| raw::at(&lab.endpoint(at))).collect();
        let task = tokio::spawn(put_on(clients, Arc::clone(&over), Arc::clone(&acknowledged)));
        Load { over, acknowledged, task }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("list").len()
    }

    /// Wait until some more are acknowledged.
    pub async fn goes_on(&self) {
        self.reaches(self.count() + 5).await;
    }

    async fn reaches(&self, count: usize) {
        let begun = Instant::now();
        while self.count() < count {
            assert!(begun.elapsed() < PATIENCE, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// End it once it has had enough to tell of, and see that everything acknowledged is there.
    pub async fn ends_kept(self, endpoint: &str) {
        self.reaches(20).await;
        self.over.store(true, Ordering::SeqCst);
        self.task.await.expect("it does not panic");
        let acknowledged = self.acknowledged.lock().expect("list").clone();
        let request =
            pb::RangeRequest { key: "load/".into(), range_end: "load0".into(), ..Default::default() };
        let answer = raw::at(endpoint).kv.range(request).await.expect("a range").into_inner();
        let there: std::collections::BTreeSet<&[u8]> = answer.kvs.iter().map(|kv| &kv.key[..]).collect();
        for number in acknowledged {
            let key = format!("load/{number}");
            assert!(there.contains(key.as_bytes()), "{key} was acknowledged and is lost");
        }
    }
}

async fn put_on(mut clients: Vec<Raw>, over: Arc<AtomicBool>, acknowledged: Arc<Mutex<Vec<u64>>>) {
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let at = number as usize % clients.len();
        let request = pb::PutRequest { key: format!("load/{number}").into(), ..Default::default() };
        let put = clients[at].kv.put(request);
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(3), put).await {
            acknowledged.lock().expect("list").push(number);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
