//! The vocabulary of this crate's scripts: a world driven by hand, observed after every step.
//!
//! Sites and replicas are numbers; replicas begin with 0. A transaction is `coordinator.number`, with `e` and the epoch
//! behind it if that is not 0. `deliver`, `dup` and `drop` pick from what is under way when they begin, oldest first: `from=1`,
//! `to=2`, `kind=Vote`, `txn=1.1`, `n=1` (at most so many). `dup` delivers and keeps.

use std::error::Error;

use quorate_commit::{
    Age, Decision, Event, Message, Paper, Protocol, ReadId, Rules, SiteId, Termination, Timestamp, TxnId,
};

use super::store::work;
use super::world::World;

/// A command.
#[derive(Debug, goldenscript::Command)]
pub enum Verb {
    /// Sites 1 to so many, each with so many replicas, of which the first drives.
    World {
        #[arg(key)]
        sites: u64,
        #[arg(key)]
        replicas: Option<usize>,
    },
    /// A client begins; each work is a site and a payload.
    Begin {
        txn: String,
        #[arg(pos, many)]
        works: Vec<String>,
        #[arg(key)]
        age: Option<u64>,
        #[arg(key)]
        protocol: Option<String>,
    },
    /// Deliver, to this replica or the one that drives.
    Deliver {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        txn: Option<String>,
        #[arg(key)]
        n: Option<usize>,
        #[arg(key)]
        r: Option<usize>,
    },
    /// Deliver, and keep for later.
    Dup {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        n: Option<usize>,
    },
    /// Lose messages.
    Drop {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        n: Option<usize>,
    },
    /// What is proposed becomes durable, and all replicas apply it; of all sites, if none is named.
    Sync {
        #[arg(pos, many, optional)]
        sites: Vec<u64>,
    },
    /// What is proposed becomes durable, and nobody applies it yet.
    Keep { site: u64 },
    /// What is proposed is lost.
    Lose { site: u64 },
    /// A replica applies what is durable.
    Apply {
        site: u64,
        #[arg(key)]
        r: Option<usize>,
    },
    /// A replica fails, or all of a site's.
    Crash {
        site: u64,
        #[arg(key)]
        r: Option<usize>,
    },
    /// A replica starts and applies the log, or all that are down do; the first of a site that nobody drives drives.
    Restart {
        site: u64,
        #[arg(key)]
        r: Option<usize>,
    },
    /// This replica drives, whatever others do.
    Drive { site: u64, r: usize },
    /// This replica drives no longer.
    Yield { site: u64, r: usize },
    /// A replica joins a site, with an empty state.
    Join { site: u64 },
    /// A replica's state becomes an image of another's.
    Install { site: u64, from: usize, to: usize },
    /// Time passes.
    Tick {
        #[arg(key)]
        n: Option<usize>,
        /// Everything under way arrives between any two ticks.
        #[arg(key)]
        quiet: Option<bool>,
    },
    /// Deliver and sync until nothing is left to do.
    Stabilize,
    /// What the first site sends to the second is lost, and the other way round unless `oneway=true`.
    Cut {
        one: u64,
        two: u64,
        #[arg(key)]
        oneway: Option<bool>,
    },
    /// All links are whole.
    Heal,
    /// Who drives proposes a floor.
    Floor { site: u64, epoch: u64 },
    /// A site's clock is off by so much.
    Skew { site: u64, by: i64 },
    /// Read as of a moment.
    Read {
        site: u64,
        payload: String,
        #[arg(key)]
        at: u64,
        #[arg(key)]
        r: Option<usize>,
    },
    /// The transaction is committed at all its sites, or aborted at all that know, or undecided everywhere.
    Expect { txn: String, fate: String },
    /// Exactly these are in doubt at a site.
    Doubt {
        site: u64,
        #[arg(pos, many, optional)]
        txns: Vec<String>,
    },
    /// So many wait for locks at a site.
    Waiting { site: u64, n: usize },
    /// A key's latest value at a site; `-` for none.
    Value { site: u64, key: String, value: String },
}

/// A script that runs.
pub struct Script<R = Paper> {
    world: Option<World<R>>,
    reads: u64,
}

impl<R> Default for Script<R> {
    fn default() -> Self {
        Script { world: None, reads: 0 }
    }
}

fn txn(text: &str) -> TxnId {
    let (name, epoch) = text.split_once('e').unwrap_or((text, "0"));
    let (coordinator, number) = name.split_once('.').expect("coordinator.number");
    let number = number.parse().expect("a number");
    TxnId {
        epoch: epoch.parse().expect("an epoch"),
        coordinator: SiteId(coordinator.parse().expect("a site")),
        number,
    }
}

fn protocol(text: Option<&str>) -> Protocol {
    match text {
        None => Protocol::TwoPhase,
        Some("parallel") => Protocol::Parallel,
        Some("classical") => Protocol::ThreePhase(Termination::Classical),
        Some("skeen") => Protocol::ThreePhase(Termination::Skeen),
        Some("quorum") => Protocol::ThreePhase(Termination::Quorum),
        Some(other) => panic!("no such protocol: {other}"),
    }
}

/// What to pick from what is under way.
#[derive(Default)]
struct Pick<'a> {
    from: Option<u64>,
    to: Option<u64>,
    kind: Option<&'a str>,
    txn: Option<&'a str>,
    n: Option<usize>,
}

impl Pick<'_> {
    fn is(&self, from: SiteId, to: SiteId, message: &Message) -> bool {
        self.from.is_none_or(|site| SiteId(site) == from)
            && self.to.is_none_or(|site| SiteId(site) == to)
            && self.kind.is_none_or(|kind| message.body.kind() == kind)
            && self.txn.is_none_or(|name| txn(name) == message.txn)
    }
}

impl<R: Rules> Script<R> {
    fn world(&mut self) -> &mut World<R> {
        self.world.as_mut().expect("a script begins with its world")
    }

    /// Take the messages that are picked out of the network; the answer are the messages.
    fn pick(&mut self, pick: &Pick, keep: bool) -> Result<Vec<super::world::Packet>, String> {
        let world = self.world();
        let mut picked = Vec::new();
        let mut left = Vec::new();
        for packet in std::mem::take(&mut world.net) {
            let fits = pick.is(packet.from, packet.to, &packet.message);
            if fits && pick.n.is_none_or(|n| picked.len() < n) {
                if keep {
                    left.push(packet.clone());
                }
                picked.push(packet);
            } else {
                left.push(packet);
            }
        }
        world.net = left;
        if picked.is_empty() { Err("nothing like that is under way".into()) } else { Ok(picked) }
    }

    fn deliver(&mut self, pick: Pick, keep: bool, r: Option<usize>) -> Result<(), String> {
        for packet in self.pick(&pick, keep)? {
            let (from, to) = (packet.from, packet.to);
            let line = format!("{from} > {to} {}", super::show::message(&packet.message));
            self.world().lines.push(line);
            match r {
                Some(at) => {
                    let message = packet.message;
                    self.world().step(to, at, Event::Receive { from, message })?;
                }
                None => self.world().hand_over(packet)?,
            }
        }
        Ok(())
    }

    fn verb(&mut self, verb: &Verb) -> Result<(), String> {
        match verb {
            Verb::World { sites, replicas } => {
                self.world = Some(World::new(*sites, replicas.unwrap_or(1), super::config));
                Ok(())
            }
            Verb::Begin { txn: name, works, age, protocol: how } => {
                let txn = txn(name);
                let works = works.iter().map(|text| {
                    let (site, payload) = text.split_once(' ').unwrap_or((text, ""));
                    (SiteId(site.parse().expect("a site")), work(payload))
                });
                let works = works.collect();
                self.world().begin(txn, Age(age.unwrap_or(txn.number)), protocol(how.as_deref()), works)
            }
            Verb::Deliver { from, to, kind, txn, n, r } => {
                let (kind, txn) = (kind.as_deref(), txn.as_deref());
                self.deliver(Pick { from: *from, to: *to, kind, txn, n: *n }, false, *r)
            }
            Verb::Dup { from, to, kind, n } => {
                let kind = kind.as_deref();
                self.deliver(Pick { from: *from, to: *to, kind, txn: None, n: *n }, true, None)
            }
            Verb::Drop { from, to, kind, n } => {
                let kind = kind.as_deref();
                let dropped = self.pick(&Pick { from: *from, to: *to, kind, txn: None, n: *n }, false)?;
                for packet in dropped {
                    let message = super::show::message(&packet.message);
                    let line = format!("{} > {} {message} (lost)", packet.from, packet.to);
                    self.world().lines.push(line);
                }
                Ok(())
            }
            verb => match self.host(verb) {
                Some(done) => done,
                None => self.expect(verb),
            },
        }
    }

    /// What happens to hosts; `None` if it is none of these.
    fn host(&mut self, verb: &Verb) -> Option<Result<(), String>> {
        let world = self.world.as_mut()?;
        Some(match verb {
            Verb::Sync { sites } => {
                let sites =
                    if sites.is_empty() { world.ids() } else { sites.iter().map(|s| SiteId(*s)).collect() };
                sites.into_iter().try_for_each(|id| world.sync(id).map(|_| ()))
            }
            Verb::Keep { site } => world.settle_all(SiteId(*site), true),
            Verb::Lose { site } => world.settle_all(SiteId(*site), false),
            Verb::Apply { site, r } => {
                let mut done = Ok(true);
                while done == Ok(true) {
                    done = world.apply(SiteId(*site), r.unwrap_or(0));
                }
                done.map(|_| ())
            }
            Verb::Crash { site, r } => {
                let id = SiteId(*site);
                let all = 0..world.places[&id].replicas.len();
                all.filter(|at| r.is_none_or(|r| r == *at)).for_each(|at| world.crash(id, at));
                Ok(())
            }
            Verb::Restart { site, r } => restart(world, SiteId(*site), *r),
            Verb::Drive { site, r } => world.step(SiteId(*site), *r, Event::Drive(true)),
            Verb::Yield { site, r } => world.step(SiteId(*site), *r, Event::Drive(false)),
            Verb::Join { site } => {
                let place = world.places.get_mut(&SiteId(*site)).expect("the site is there");
                place.replicas.push(None);
                let at = place.replicas.len() - 1;
                world.restart(SiteId(*site), at)
            }
            Verb::Install { site, from, to } => world.install(SiteId(*site), *from, *to),
            _ => return self.surroundings(verb),
        })
    }

    /// What happens around hosts; `None` if it is none of these.
    fn surroundings(&mut self, verb: &Verb) -> Option<Result<(), String>> {
        let world = self.world.as_mut()?;
        Some(match verb {
            Verb::Tick { n, quiet } => (0..n.unwrap_or(1)).try_for_each(|_| {
                world.tick()?;
                if quiet.unwrap_or(false) { world.stabilize() } else { Ok(()) }
            }),
            Verb::Stabilize => world.stabilize(),
            Verb::Cut { one, two, oneway } => {
                world.cut.insert((SiteId(*one), SiteId(*two)));
                if !oneway.unwrap_or(false) {
                    world.cut.insert((SiteId(*two), SiteId(*one)));
                }
                Ok(())
            }
            Verb::Heal => {
                world.cut.clear();
                Ok(())
            }
            Verb::Floor { site, epoch } => {
                let at = world.driver(SiteId(*site)).expect("somebody drives");
                world.step(SiteId(*site), at, Event::Floor(*epoch))
            }
            Verb::Skew { site, by } => {
                world.skew.insert(SiteId(*site), *by);
                Ok(())
            }
            Verb::Read { site, payload, at, r } => {
                self.reads += 1;
                let (read, at, payload) = (ReadId(self.reads), Timestamp(*at), work(payload).payload);
                let replica = r.or(world.driver(SiteId(*site))).unwrap_or(0);
                world.step(SiteId(*site), replica, Event::Read { read, at, payload })
            }
            _ => return None,
        })
    }

    fn expect(&mut self, verb: &Verb) -> Result<(), String> {
        let world = self.world();
        let same = |what: &str, found: String, wanted: String| match found == wanted {
            true => Ok(()),
            false => Err(format!("expected {what} {wanted}, but it is {found}")),
        };
        let up = |site: u64| world.site(SiteId(site)).ok_or(format!("site {site} is down"));
        match verb {
            Verb::Expect { txn: name, fate } => same(name, fate_of(world, txn(name))?, fate.clone()),
            Verb::Doubt { site, txns } => {
                let found: Vec<String> = up(*site)?.in_doubt().map(|doubt| doubt.txn.to_string()).collect();
                same("in doubt", found.join(" "), txns.join(" "))
            }
            Verb::Waiting { site, n } => same("waiting", up(*site)?.waiting().to_string(), n.to_string()),
            Verb::Value { site, key, value } => {
                same(key, up(*site)?.resource().latest(key).to_owned(), value.clone())
            }
            _ => Err("not a command".into()),
        }
    }
}

fn restart<R: Rules>(world: &mut World<R>, id: SiteId, r: Option<usize>) -> Result<(), String> {
    for at in 0..world.places[&id].replicas.len() {
        if r.is_none_or(|r| r == at) && world.places[&id].replicas[at].is_none() {
            world.restart(id, at)?;
        }
    }
    match world.driver(id) {
        Some(_) => Ok(()),
        None => world.step(id, r.unwrap_or(0), Event::Drive(true)),
    }
}

/// What became of a transaction, of all sites that are up.
fn fate_of<R: Rules>(world: &World<R>, txn: TxnId) -> Result<String, String> {
    let begun = world.ghost.begun.get(&txn).ok_or("it was never begun")?;
    let mut fates = Vec::new();
    for site in begun.works.keys().filter_map(|site| world.site(*site)) {
        fates.push(match site.fate(txn) {
            Some(Decision::Commit { .. }) => "committed",
            Some(Decision::Abort) => "aborted",
            None => "undecided",
        });
    }
    let verdict = world.site(txn.coordinator).and_then(|site| site.verdict(txn));
    let all = |fate: &str| fates.iter().all(|of| *of == fate);
    Ok(match verdict {
        _ if !fates.is_empty() && all("committed") => "committed".into(),
        Some(Decision::Abort) if !fates.contains(&"committed") => "aborted".into(),
        None if !fates.is_empty() && all("aborted") => "aborted".into(),
        None if all("undecided") => "undecided".into(),
        verdict => format!("{fates:?}, {verdict:?} at the coordinator"),
    })
}

impl<R: Rules> goldenscript::Runner for Script<R> {
    type Command = Verb;

    fn run(&mut self, verb: &Verb, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        self.verb(verb)?;
        let mut lines = std::mem::take(&mut self.world().lines);
        lines.push(String::new());
        Ok(lines.join("\n"))
    }
}
