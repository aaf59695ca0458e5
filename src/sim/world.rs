//! A world: what is in a run before it begins.

use super::application::Application;
use super::event::Watch;
use super::host::{Flow, Host};
use super::report::Report;
use super::run::Run;
use super::scenario::Scenario;

/// Two hosts with our stack, the link between them and the applications on them, as a [`Scenario`] says; each of them can
/// be replaced by one of your own.
///
/// ```
/// use tunstack::sim::{Scenario, World};
///
/// let mut scenario = Scenario::transfer(1, 100_000);
/// scenario.set_link("delay=20ms,loss=2%".parse()?);
/// let mut lines = 0;
/// let report = World::new(scenario).watch(&mut |_at, _event| lines += 1).run();
/// assert_eq!(report.violation, None);
/// assert_eq!(report.flows[0].read, [0, 100_000]);
/// assert!(lines > 100);
/// # Ok::<(), tunstack::device::impair::SpecError>(())
/// ```
pub struct World<'a> {
    pub(super) scenario: Scenario,
    pub(super) hosts: [Option<Box<dyn Host + 'a>>; 2],
    pub(super) applications: Vec<(Flow, usize, Box<dyn Application + 'a>)>,
    pub(super) watch: Option<Watch<'a>>,
}

/// Runs the seed with our stack at both ends.
pub fn run(seed: u64) -> Report {
    World::new(Scenario::from_seed(seed)).run()
}

impl<'a> World<'a> {
    /// A world for `scenario`.
    pub fn new(scenario: Scenario) -> Self {
        World { scenario, hosts: [None, None], applications: Vec::new(), watch: None }
    }

    /// Lets `host` take the place of our stack on one side. Only sides with our stack are judged.
    #[must_use]
    pub fn host(mut self, side: usize, host: Box<dyn Host + 'a>) -> Self {
        self.hosts[side] = Some(host);
        self
    }

    /// Lets `application` take the place of the planned one on one end of a flow. What it writes is still compared with
    /// what its peer reads, but not with a plan; [`Scenario::limit`] bounds how long it may take.
    #[must_use]
    pub fn application(mut self, flow: Flow, side: usize, application: Box<dyn Application + 'a>) -> Self {
        self.applications.retain(|(f, s, _)| (*f, *s) != (flow, side));
        self.applications.push((flow, side, application));
        self
    }

    /// Tells `watch` whatever happens.
    #[must_use]
    pub fn watch(mut self, watch: Watch<'a>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Report {
        Run::new(self).run()
    }
}
