//! Which multicast groups this host is a member of, and what it tells the routers of the link about them (RFC 2236, 3376;
//! for IPv6 RFC 2710, 3810). The two families have the same rules; their formats are in [`igmp`](super::igmp) and `mld`.
//!
//! A socket is a member of a group for every source or for some; the host is a member for what any of its sockets wants.
//! A change of that is told at once and, since it may get lost, some more times; and routers that ask are answered after a
//! random time. While a router of an older version is heard, its version is spoken.

use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::time::{Instant, nanos};
use crate::wire::igmp::{Query, Record, RecordKind, Report, Version};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Groups of one family that all sockets of a stack together may be members of, with those just left.
const MAX_GROUPS: usize = 4096;

/// Sources of one group that the stack asks routers for, and that a router's question may name before it is taken as one
/// for the whole group.
const MAX_SOURCES: usize = 64;

/// How often what may get lost is said, unless the router says otherwise (RFC 3376 8.1).
const ROBUSTNESS: u8 = 2;

/// How often routers ask, unless they say otherwise (RFC 3376 8.2).
const QUERY_INTERVAL: Duration = Duration::from_secs(125);

/// The longest time that they give for an answer, by default (RFC 3376 8.3).
const QUERY_RESPONSE_INTERVAL: Duration = Duration::from_secs(10);

/// What is said again, is said within this (RFC 3376 8.11).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The same for those who speak an older version (RFC 2236 8.10).
const OLD_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What is said at random times is said at multiples of this. Each time, all groups are looked at: so however many of them
/// there are and whatever routers ask, that is seldom enough.
const GRID: Duration = Duration::from_millis(10);

/// Reports to routers of older versions, each a packet, that are given at once.
const MAX_REPORTS: usize = 64;

/// The groups of one family.
#[derive(Debug)]
pub(super) struct Groups {
    groups: BTreeMap<IpAddr, Group>,
    /// Until when routers of version 1 and 2 count as present.
    heard: [Option<Instant>; 2],
    robustness: u8,
    interval: Duration,
    /// When a question about all groups is to be answered.
    answer_all: Option<Instant>,
    /// When there is something to say; not later than that.
    next: Option<Instant>,
}

#[derive(Debug, Default)]
struct Group {
    /// Sockets that hear every source.
    any: u32,
    sources: Vec<Source>,
    /// Times that it is still to be said that it is now for every source, or is so no longer.
    changes: u8,
    /// When that is to be said next, or what its sources have to say.
    change_at: Option<Instant>,
    answer: Option<Answer>,
    /// Whether the routers know from us that we are a member.
    told: bool,
}

/// A source that some sockets want to hear.
#[derive(Debug)]
struct Source {
    addr: IpAddr,
    /// How many do.
    joins: u32,
    /// Times that it is still to be said that it is wanted, or is so no longer.
    changes: u8,
}

/// What a router wants to know.
#[derive(Debug)]
struct Answer {
    at: Instant,
    /// About which sources; none is the group as a whole.
    sources: Vec<IpAddr>,
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups {
            groups: BTreeMap::new(),
            heard: [None; 2],
            robustness: ROBUSTNESS,
            interval: QUERY_INTERVAL,
            answer_all: None,
            next: None,
        }
    }

    /// Whether some socket hears `group`.
    pub(super) fn is_member(&self, group: IpAddr) -> bool {
        self.groups.get(&group).is_some_and(Group::is_member)
    }

    /// A socket joins `group`, for every source or for one.
    ///
    /// # Errors
    /// `NoBufferSpace` at the bounds.
    pub(super) fn join(&mut self, group: IpAddr, source: Option<IpAddr>) -> Result<()> {
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&group) {
            return Err(Error::NoBufferSpace);
        }
        let repeats = self.robustness;
        let joined = self.groups.entry(group).or_default();
        let changed = match source {
            None => {
                joined.any += 1;
                joined.any == 1
            }
            Some(addr) => {
                let known = joined.sources.iter().position(|source| source.addr == addr);
                if known.is_none() && joined.sources.len() >= MAX_SOURCES {
                    return Err(Error::NoBufferSpace);
                }
                let at = known.unwrap_or(joined.sources.len());
                if known.is_none() {
                    joined.sources.push(Source { addr, joins: 0, changes: 0 });
                }
                joined.sources[at].joins += 1;
                joined.sources[at].joins == 1
            }
        };
        if changed {
            joined.changed(source, repeats);
            self.next = Some(Instant::ZERO);
        }
        Ok(())
    }

    /// A socket that has joined leaves.
    pub(super) fn leave(&mut self, group: IpAddr, source: Option<IpAddr>) {
        let repeats = self.robustness;
        let Some(left) = self.groups.get_mut(&group) else { return };
        let changed = match source {
            None => {
                left.any = left.any.saturating_sub(1);
                left.any == 0
            }
            Some(source) => left.sources.iter_mut().find(|s| s.addr == source).is_some_and(|source| {
                source.joins = source.joins.saturating_sub(1);
                source.joins == 0
            }),
        };
        if changed {
            left.changed(source, repeats);
            left.sources.retain(|source| source.joins > 0 || source.changes > 0);
            self.next = Some(Instant::ZERO);
        }
        // What nobody was ever told needs no taking back.
        if !left.told && !left.is_member() {
            self.groups.remove(&group);
        }
    }

    /// The version that the routers of the link understand.
    fn version(&self, now: Instant) -> Version {
        let present = |until: Option<Instant>| until.is_some_and(|until| now < until);
        match self.heard {
            [v1, _] if present(v1) => Version::V1,
            [_, v2] if present(v2) => Version::V2,
            _ => Version::V3,
        }
    }

    /// A router asks (RFC 3376 5.2 and 7.2.1).
    pub(super) fn on_query(&mut self, now: Instant, query: Query, rng: &mut Rng) {
        let before = self.version(now);
        // Older Version Querier Present Timeout (RFC 3376 8.12).
        let present = Some(now + self.interval * u32::from(self.robustness) + QUERY_RESPONSE_INTERVAL);
        match query.version {
            Version::V1 => self.heard[0] = present,
            Version::V2 => self.heard[1] = present,
            Version::V3 => {
                self.robustness = query.robustness.unwrap_or(ROBUSTNESS);
                self.interval = query.interval.unwrap_or(QUERY_INTERVAL);
            }
        }
        let version = self.version(now);
        if version != before {
            self.answer_all = None;
            self.groups.values_mut().for_each(Group::say_no_more);
        }
        let mut soon = || some_time_within(now, query.max_delay, rng);
        match query.group {
            None if version == Version::V3 => {
                let at = soon();
                self.answer_all = Instant::earlier(self.answer_all, Some(at));
                self.wake(at);
            }
            None => {
                // Each group for itself, so that others who are members can be heard in between.
                let mut first = None;
                for group in self.groups.values_mut().filter(|group| group.is_member()) {
                    let at = soon();
                    group.asked(at, &[]);
                    first = Instant::earlier(first, Some(at));
                }
                first.into_iter().for_each(|at| self.wake(at));
            }
            Some(group) => {
                let at = soon();
                let answered = self.answer_all.is_some_and(|all| all <= at);
                if let Some(group) = self.groups.get_mut(&group).filter(|group| group.is_member() && !answered) {
                    group.asked(at, &query.sources);
                    self.wake(at);
                }
            }
        }
    }

    /// Another host says that it is a member of `group`: while older versions are spoken, that is enough for the router.
    pub(super) fn on_report(&mut self, now: Instant, group: IpAddr) {
        if self.version(now) < Version::V3
            && let Some(group) = self.groups.get_mut(&group).filter(|group| group.is_member())
        {
            group.say_no_more();
            // Whoever said it last says when it leaves.
            group.told = false;
        }
    }

    fn wake(&mut self, at: Instant) {
        self.next = Instant::earlier(self.next, Some(at));
    }

    /// When [`on_deadline`](Groups::on_deadline) has something to say.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// What is to be said now. If that is too much for once, [`deadline`](Groups::deadline) has not moved beyond `now`.
    pub(super) fn on_deadline(&mut self, now: Instant, rng: &mut Rng) -> Vec<Report> {
        let version = self.version(now);
        let all = self.answer_all.take_if(|at| *at <= now).is_some();
        let mut reports = Vec::new();
        let mut records = Vec::new();
        for (&addr, group) in &mut self.groups {
            if reports.len() == MAX_REPORTS {
                break;
            }
            let answer = group.answer.take_if(|answer| answer.at <= now);
            let change = group.change_at.take_if(|at| *at <= now).is_some();
            if version < Version::V3 {
                let asked = answer.is_some() && group.is_member();
                reports.extend(group.old_report(addr, version, asked, change));
            } else {
                let asked = if all { Some(&[][..]) } else { answer.as_ref().map(|answer| &answer.sources[..]) };
                records.extend(asked.and_then(|sources| group.state(addr, sources)));
                if change {
                    group.change_records(addr, &mut records);
                }
            }
            if group.has_news() && group.change_at.is_none() {
                let within = if version < Version::V3 { OLD_REPORT_INTERVAL } else { REPORT_INTERVAL };
                group.change_at = Some(some_time_within(now, within, rng));
            }
        }
        self.groups.retain(|_, group| group.is_member() || group.has_news());
        let next = self.groups.values().filter_map(Group::deadline).min();
        self.next = Instant::earlier(next, self.answer_all);
        if !records.is_empty() {
            reports.push(Report::Records(records));
        }
        reports
    }
}

impl Group {
    fn is_member(&self) -> bool {
        self.any > 0 || self.wanted().next().is_some()
    }

    /// The sources that are wanted.
    fn wanted(&self) -> impl Iterator<Item = IpAddr> {
        self.sources.iter().filter(|source| source.joins > 0).map(|source| source.addr)
    }

    /// Whether something is still to be said of what has changed.
    fn has_news(&self) -> bool {
        self.changes > 0 || self.sources.iter().any(|source| source.changes > 0)
    }

    fn deadline(&self) -> Option<Instant> {
        Instant::earlier(self.change_at, self.answer.as_ref().map(|answer| answer.at))
    }

    /// What sockets want of it has changed: as a whole, or of one source. It is to be said `repeats` times.
    fn changed(&mut self, source: Option<IpAddr>, repeats: u8) {
        match source {
            None => self.changes = repeats,
            // While everything is heard, no source matters.
            Some(_) if self.any > 0 => return,
            Some(addr) => {
                for source in self.sources.iter_mut().filter(|source| source.addr == addr) {
                    source.changes = repeats;
                }
            }
        }
        self.change_at = Some(Instant::ZERO);
    }

    fn say_no_more(&mut self) {
        (self.answer, self.change_at, self.changes) = (None, None, 0);
        self.sources.iter_mut().for_each(|source| source.changes = 0);
    }

    /// A router wants to know at `at`, of these sources, or of the group as a whole.
    fn asked(&mut self, at: Instant, sources: &[IpAddr]) {
        let Some(answer) = &mut self.answer else {
            let sources = if sources.len() <= MAX_SOURCES { sources.to_vec() } else { Vec::new() };
            self.answer = Some(Answer { at, sources });
            return;
        };
        answer.at = answer.at.min(at);
        if answer.sources.is_empty() || sources.is_empty() || answer.sources.len() + sources.len() > MAX_SOURCES {
            answer.sources.clear();
        } else {
            answer.sources.extend(sources);
        }
    }

    /// The answer to a question about `asked`, or about the group as a whole (RFC 3376 5.2).
    fn state(&self, group: IpAddr, asked: &[IpAddr]) -> Option<Record> {
        let (kind, sources) = match (self.any > 0, asked) {
            (true, []) => return Some(Record { kind: RecordKind::IsExclude, group, sources: Vec::new() }),
            (true, asked) => (RecordKind::IsInclude, asked.to_vec()),
            (false, []) => (RecordKind::IsInclude, self.wanted().collect()),
            (false, asked) => (RecordKind::IsInclude, self.wanted().filter(|source| asked.contains(source)).collect()),
        };
        (!sources.is_empty()).then_some(Record { kind, group, sources })
    }

    /// What has changed, to be said once more (RFC 3376 5.1).
    fn change_records(&mut self, group: IpAddr, records: &mut Vec<Record>) {
        let mut say = |kind, sources: Vec<IpAddr>, even_empty: bool| {
            if even_empty || !sources.is_empty() {
                records.push(Record { kind, group, sources });
            }
        };
        let news = |wanted: bool| {
            let told = self.sources.iter().filter(move |source| source.changes > 0 && (source.joins > 0) == wanted);
            told.map(|source| source.addr).collect()
        };
        match (self.changes, self.any) {
            (0, 0) => {
                say(RecordKind::Allow, news(true), false);
                say(RecordKind::Block, news(false), false);
            }
            (0, _) => {}
            (_, 0) => say(RecordKind::ToInclude, self.wanted().collect(), true),
            (..) => say(RecordKind::ToExclude, Vec::new(), true),
        }
        self.said();
    }

    /// The same to a router of an older version, which knows members and no sources.
    fn old_report(&mut self, group: IpAddr, version: Version, asked: bool, change: bool) -> Option<Report> {
        if change {
            self.said();
        }
        if self.is_member() {
            self.told |= asked || change;
            return (asked || change).then_some(Report::Member(version, group));
        }
        // RFC 2236 3: once, and only by whoever was the last to say that it is a member.
        self.say_no_more();
        (core::mem::take(&mut self.told) && version == Version::V2).then_some(Report::Left(group))
    }

    /// What has changed was said once more.
    fn said(&mut self) {
        self.told = true;
        self.changes = self.changes.saturating_sub(1);
        self.sources.iter_mut().for_each(|source| source.changes = source.changes.saturating_sub(1));
        if self.any > 0 {
            self.sources.iter_mut().for_each(|source| source.changes = 0);
        }
        self.sources.retain(|source| source.joins > 0 || source.changes > 0);
    }
}

/// A random time after `now`, a multiple of [`GRID`]: at most `max` later or, if that is less, by one `GRID`.
fn some_time_within(now: Instant, max: Duration, rng: &mut Rng) -> Instant {
    let max = nanos(max.saturating_sub(GRID)).max(1);
    let at = now + Duration::from_nanos(rng.between(1, max));
    Instant::from_nanos(at.as_nanos().checked_next_multiple_of(nanos(GRID)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordKind::*;

    /// Groups, their time and their dice.
    struct Link {
        groups: Groups,
        now: Instant,
        rng: Rng,
    }

    impl Link {
        fn new() -> Link {
            Link { groups: Groups::new(), now: Instant::from_millis(1_000_000), rng: Rng::new(Rng::seed_from(1)) }
        }

        fn join(&mut self, group: &str, source: Option<&str>) {
            self.groups.join(addr(group), source.map(addr)).unwrap();
        }

        fn leave(&mut self, group: &str, source: Option<&str>) {
            self.groups.leave(addr(group), source.map(addr));
        }

        /// What is said by `until` from now, each with the milliseconds that have passed by then.
        fn says(&mut self, until_ms: u64) -> Vec<(u64, Report)> {
            let start = self.now;
            let end = start + Duration::from_millis(until_ms);
            let mut said = Vec::new();
            while let Some(at) = self.groups.deadline().filter(|at| *at <= end) {
                self.now = self.now.max(at);
                let reports = self.groups.on_deadline(self.now, &mut self.rng);
                said.extend(reports.into_iter().map(|report| (self.now.since(start).as_millis() as u64, report)));
            }
            self.now = end;
            said
        }

        /// The records of version 3 that are said by then.
        fn records(&mut self, until_ms: u64) -> Vec<(RecordKind, String, Vec<String>)> {
            let reports = self.says(until_ms).into_iter();
            let records = reports.flat_map(|(_, report)| match report {
                Report::Records(records) => records,
                other => panic!("{other:?}"),
            });
            let texts = |addrs: Vec<IpAddr>| addrs.iter().map(IpAddr::to_string).collect();
            records.map(|r| (r.kind, r.group.to_string(), texts(r.sources))).collect()
        }

        fn asks(&mut self, version: Version, group: Option<&str>, sources: &[&str], max_ms: u64) {
            let query = Query {
                version,
                group: group.map(addr),
                sources: sources.iter().map(|source| addr(source)).collect(),
                max_delay: Duration::from_millis(max_ms),
                robustness: None,
                interval: None,
            };
            self.groups.on_query(self.now, query, &mut self.rng);
        }
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn record(kind: RecordKind, group: &str, sources: &[&str]) -> (RecordKind, String, Vec<String>) {
        (kind, group.to_owned(), sources.iter().map(|source| (*source).to_owned()).collect())
    }

    const A: &str = "239.0.0.1";
    const B: &str = "239.0.0.2";
    const S: &str = "10.0.0.1";
    const T: &str = "10.0.0.2";

    #[test]
    fn joining_is_said_at_once_and_again_within_a_second() {
        let mut link = Link::new();
        assert_eq!(link.groups.deadline(), None);
        link.join(A, None);
        link.join(A, None);
        assert!(link.groups.is_member(addr(A)) && !link.groups.is_member(addr(B)));
        let said = link.says(60_000);
        let times: Vec<u64> = said.iter().map(|(ms, _)| *ms).collect();
        assert!(matches!(times[..], [0, again] if again <= 1000), "{times:?}");
        let joined = Report::Records(vec![Record { kind: ToExclude, group: addr(A), sources: vec![] }]);
        assert!(said.iter().all(|(_, report)| *report == joined));
        // The first of two who leave changes nothing.
        link.leave(A, None);
        assert_eq!(link.says(60_000), []);
        link.leave(A, None);
        assert!(!link.groups.is_member(addr(A)));
        assert_eq!(link.records(60_000), [record(ToInclude, A, &[]), record(ToInclude, A, &[])]);
        assert!(link.groups.groups.is_empty());
    }

    #[test]
    fn what_was_never_said_is_not_taken_back() {
        let mut link = Link::new();
        link.join(A, None);
        link.leave(A, None);
        link.join(A, Some(S));
        link.leave(A, Some(S));
        assert_eq!(link.says(60_000), []);
        assert!(link.groups.groups.is_empty());
    }

    /// The table of RFC 3376 5.1.
    #[test]
    fn a_change_of_sources_is_said_as_such_and_one_of_the_whole_as_that() {
        let mut link = Link::new();
        link.join(A, Some(S));
        assert_eq!(link.records(5000), [record(Allow, A, &[S]), record(Allow, A, &[S])]);
        link.join(A, Some(T));
        link.leave(A, Some(S));
        let both = [record(Allow, A, &[T]), record(Block, A, &[S])];
        assert_eq!(link.records(5000), [both.clone(), both].concat());
        link.join(A, None);
        assert_eq!(link.records(5000), [record(ToExclude, A, &[]), record(ToExclude, A, &[])]);
        link.join(A, Some(S));
        link.leave(A, Some(S));
        assert_eq!(link.records(5000), [], "everything is heard already");
        link.leave(A, None);
        assert_eq!(link.records(5000), [record(ToInclude, A, &[T]), record(ToInclude, A, &[T])]);
        link.leave(A, Some(T));
        assert_eq!(link.records(5000), [record(Block, A, &[T]), record(Block, A, &[T])]);
        assert!(link.groups.groups.is_empty());
    }

    #[test]
    fn a_question_about_all_is_answered_once_with_all_groups_within_its_time() {
        let mut link = Link::new();
        link.join(A, None);
        link.join(B, Some(S));
        link.says(60_000);
        let mut delays = Vec::new();
        for _ in 0..20 {
            link.asks(Version::V3, None, &[], 10_000);
            link.asks(Version::V3, None, &[], 10_000);
            let said = link.says(10_000);
            let [(ms, Report::Records(records))] = &said[..] else { panic!("{said:?}") };
            assert_eq!((records[0].kind, records[1].kind), (IsExclude, IsInclude));
            assert_eq!((records[1].group, &records[1].sources[..]), (addr(B), &[addr(S)][..]));
            delays.push(*ms);
        }
        assert!(delays.iter().max().unwrap() - delays.iter().min().unwrap() > 2000, "random times: {delays:?}");
        link.leave(A, None);
        link.leave(B, Some(S));
        link.says(60_000);
        link.asks(Version::V3, None, &[], 10_000);
        assert_eq!(link.says(60_000), [], "nothing to say");
    }

    #[test]
    fn a_question_about_a_group_or_its_sources_is_answered_with_what_is_heard_of_them() {
        let mut link = Link::new();
        link.join(A, None);
        link.join(B, Some(S));
        link.says(60_000);
        for (group, sources, answer) in [
            (A, &[][..], Some(record(IsExclude, A, &[]))),
            (A, &[S, T], Some(record(IsInclude, A, &[S, T]))),
            (B, &[], Some(record(IsInclude, B, &[S]))),
            (B, &[S, T], Some(record(IsInclude, B, &[S]))),
            (B, &[T], None),
            ("239.0.0.3", &[], None),
        ] {
            link.asks(Version::V3, Some(group), sources, 1000);
            assert_eq!(link.records(1000), Vec::from_iter(answer), "{group} {sources:?}");
        }
        // Questions that come before the answer are answered with it: the wider ones win.
        link.asks(Version::V3, Some(A), &[S], 1000);
        link.asks(Version::V3, Some(A), &[T], 1000);
        assert_eq!(link.records(1000), [record(IsInclude, A, &[S, T])]);
        link.asks(Version::V3, Some(A), &[S], 1000);
        link.asks(Version::V3, Some(A), &[], 1000);
        assert_eq!(link.records(1000), [record(IsExclude, A, &[])]);
        link.asks(Version::V3, None, &[], 1);
        link.asks(Version::V3, Some(A), &[], 1000);
        assert_eq!(link.records(1000), [record(IsExclude, A, &[]), record(IsInclude, B, &[S])]);
    }

    #[test]
    fn while_an_older_router_is_heard_its_version_is_spoken() {
        let mut link = Link::new();
        link.join(A, None);
        link.says(60_000);
        link.asks(Version::V2, None, &[], 1000);
        let member = |version, group| Report::Member(version, addr(group));
        let reports = |said: Vec<(u64, Report)>| said.into_iter().map(|(_, report)| report).collect::<Vec<_>>();
        assert_eq!(reports(link.says(1000)), [member(Version::V2, A)]);
        link.join(B, Some(S));
        assert_eq!(reports(link.says(20_000)), [member(Version::V2, B), member(Version::V2, B)]);
        link.leave(B, Some(S));
        assert_eq!(reports(link.says(20_000)), [Report::Left(addr(B))], "leaving is said once");
        // A question of version 3 changes nothing while the older router counts as present: 2 x 125 s + 10 s.
        link.asks(Version::V3, None, &[], 1000);
        assert_eq!(reports(link.says(10_000)), [member(Version::V2, A)]);
        link.now += Duration::from_secs(210);
        link.asks(Version::V3, None, &[], 1000);
        assert_eq!(link.records(1000), [record(IsExclude, A, &[])]);
        // RFC 1112's routers know no leaving.
        link.asks(Version::V1, None, &[], 10_000);
        assert_eq!(reports(link.says(10_000)), [member(Version::V1, A)]);
        link.leave(A, None);
        assert_eq!(link.says(60_000), []);
        assert!(link.groups.groups.is_empty());
    }

    #[test]
    fn another_members_answer_is_enough_for_an_older_router() {
        let mut link = Link::new();
        link.join(A, None);
        link.says(60_000);
        link.asks(Version::V2, Some(A), &[], 1000);
        link.groups.on_report(link.now, addr(A));
        assert_eq!(link.says(10_000), []);
        link.leave(A, None);
        assert_eq!(link.says(10_000), [], "the other one may still be there and says so when it leaves");
        // Version 3 wants to hear everybody.
        let mut link = Link::new();
        link.join(A, None);
        link.says(60_000);
        link.asks(Version::V3, Some(A), &[], 1000);
        link.groups.on_report(link.now, addr(A));
        assert_eq!(link.records(1000), [record(IsExclude, A, &[])]);
    }

    #[test]
    fn the_routers_robustness_is_kept_to() {
        let mut link = Link::new();
        let query = Query {
            version: Version::V3,
            group: None,
            sources: vec![],
            max_delay: Duration::from_secs(1),
            robustness: Some(5),
            interval: Some(Duration::from_secs(20)),
        };
        link.groups.on_query(link.now, query, &mut link.rng);
        link.says(1000);
        link.join(A, None);
        assert_eq!(link.records(60_000).len(), 5);
    }

    /// Each look at all the groups takes time: a router of an older version, which has each group answered for itself, does
    /// not make them too many, nor the packets at once.
    #[test]
    fn many_groups_are_answered_for_in_few_goes() {
        let mut link = Link::new();
        link.asks(Version::V2, None, &[], 1000);
        let group = |n: usize| IpAddr::V4(std::net::Ipv4Addr::from_bits(0xef00_0000 + n as u32));
        for n in 0..MAX_GROUPS {
            link.groups.join(group(n), None).unwrap();
        }
        link.says(60_000);
        for (max_ms, most) in
            [(10_000, 1000), (1000, 100 + MAX_GROUPS / MAX_REPORTS), (0, 1 + MAX_GROUPS / MAX_REPORTS)]
        {
            link.asks(Version::V2, None, &[], max_ms);
            let (mut goes, mut said, asked) = (0, 0, link.now);
            while let Some(at) = link.groups.deadline() {
                link.now = link.now.max(at);
                let reports = link.groups.on_deadline(link.now, &mut link.rng);
                assert!(reports.len() <= MAX_REPORTS);
                (goes, said) = (goes + 1, said + reports.len());
                assert!(goes <= most, "{max_ms}");
            }
            assert_eq!(said, MAX_GROUPS, "each once");
            assert!(link.now.since(asked) <= Duration::from_millis(max_ms.max(10)), "in time");
        }
    }

    #[test]
    fn groups_sources_and_what_routers_ask_are_bounded() {
        let mut groups = Groups::new();
        let group = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(0xef00_0000 + n));
        for n in 0..MAX_GROUPS as u32 {
            groups.join(group(n), None).unwrap();
        }
        assert_eq!(groups.join(group(9999), None), Err(Error::NoBufferSpace));
        assert_eq!(groups.join(group(1), None), Ok(()));
        let source = |n: u32| Some(IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
        for n in 0..MAX_SOURCES as u32 {
            groups.join(group(2), source(n)).unwrap();
        }
        assert_eq!(groups.join(group(2), source(9999)), Err(Error::NoBufferSpace));
        let mut link = Link::new();
        link.join(A, None);
        link.says(60_000);
        let many: Vec<String> = (0..300u32).map(|n| source(n).unwrap().to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        link.asks(Version::V3, Some(A), &many, 1000);
        assert_eq!(link.records(1000), [record(IsExclude, A, &[])]);
    }
}
