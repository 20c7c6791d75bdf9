//! What a client's transaction does: drawn anew each time.
//!
//! | kind | what shows there |
//! |---|---|
//! | lists and registers at several sites, read, scanned, appended to, overwritten | cycles of every kind |
//! | money moves from one account to another, if there is enough | read skew, a transaction carried out in part |
//! | all accounts are read | the same |

use std::collections::BTreeMap;

use bytes::Bytes;

use super::data::Op;
use crate::env::Env;

/// What is done at each site.
pub type Plan = BTreeMap<usize, Vec<Op>>;

/// What is in an account at the beginning.
pub const BALANCE: i64 = 100;

/// After so many transactions of a client, lists are left alone and others begun, so that none becomes long.
const WINDOW: u64 = 24;

/// The account of a site.
pub fn account(site: usize) -> Bytes {
    Bytes::from(format!("a{site}"))
}

/// A client's own: what it has given out.
#[derive(Debug, Default)]
pub struct Draw {
    client: usize,
    names: u64,
    values: i64,
}

impl Draw {
    /// Of this client.
    pub fn new(client: usize) -> Self {
        Draw { client, names: 0, values: 0 }
    }

    /// Another number for a transaction's name.
    pub fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// Give every write a value of its own.
    pub fn stamp(&mut self, plan: &mut Plan) {
        for op in plan.values_mut().flatten() {
            if let Op::Put(_, value) = op {
                self.values += 1;
                *value = (self.client as i64 + 1) << 32 | self.values;
            }
        }
    }

    /// Who coordinates: a site of its own if it is a probe, else mostly one of the participants.
    pub fn coordinator(&self, probe: Option<usize>, plan: &Plan, env: &mut Env) -> usize {
        let dice = &mut env.dice.clients;
        let participants: Vec<usize> = plan.keys().copied().collect();
        match probe {
            Some(site) => site,
            None if dice.percent(20) => dice.below(env.swarm.groups as u64) as usize,
            None => participants[dice.below(participants.len() as u64) as usize],
        }
    }

    /// So many different sites.
    fn sites(count: u64, env: &mut Env) -> Vec<usize> {
        let mut all: Vec<usize> = (0..env.swarm.groups).collect();
        let dice = &mut env.dice.clients;
        let pick = |_| all.swap_remove(dice.below(all.len() as u64) as usize);
        (0..count.min(env.swarm.groups as u64)).map(pick).collect()
    }

    /// A write at the site and its neighbour.
    pub fn probe(&self, site: usize, env: &Env) -> Plan {
        let put = |site: usize| vec![Op::Put(Bytes::from(format!("r{site}.probe")), 0)];
        let next = (site + 1) % env.swarm.groups;
        [(site, put(site)), (next, put(next))].into()
    }

    /// Something to do.
    pub fn plan(&self, env: &mut Env) -> Plan {
        match env.dice.clients.below(100) {
            0..20 => Self::transfer(env),
            20..28 => (0..env.swarm.groups).map(|site| (site, vec![Op::Read(account(site))])).collect(),
            _ => self.mixed(env),
        }
    }

    fn transfer(env: &mut Env) -> Plan {
        let sites = Self::sites(2, env);
        let amount = env.dice.clients.between(1, 60) as i64;
        let signs = [-amount, amount];
        sites.into_iter().zip(signs).map(|(site, by)| (site, vec![Op::Add(account(site), by)])).collect()
    }

    fn mixed(&self, env: &mut Env) -> Plan {
        let most = env.swarm.load.participants as u64;
        // Mostly few: locks on many sites at once are seldom had.
        let count = if env.dice.clients.percent(70) { most.min(3) } else { most };
        let count = env.dice.clients.between(1, count + 1);
        let window = self.names / WINDOW;
        let sites = Self::sites(count, env);
        sites.into_iter().map(|site| (site, Self::at(site, window, env))).collect()
    }

    /// At one site: reads first, a scan last.
    fn at(site: usize, window: u64, env: &mut Env) -> Vec<Op> {
        let (keys, reads) = (env.swarm.load.keys, env.swarm.load.read_percent);
        let dice = &mut env.dice.clients;
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..dice.between(1, 3) {
            let number = dice.below(keys);
            let list = dice.percent(65);
            let key = if list { format!("l{site}.{window}.{number}") } else { format!("r{site}.{number}") };
            let key = Bytes::from(key);
            let op = if dice.percent(reads) { Op::Read(key) } else { Op::Put(key, 0) };
            if !ops.iter().any(|other| other.key() == op.key()) {
                ops.push(op);
            }
        }
        if dice.percent(15) {
            ops.push(Op::Scan(Bytes::from(format!("l{site}.{window}."))));
        }
        ops
    }
}
