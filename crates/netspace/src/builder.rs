//! Building a lab by calls instead of a file. What it makes is what a file makes.

use netspace_lab::file::{Diagnostics, LinkSettings};
use netspace_lab::plan::Plan;

/// Collects nodes and links. Addresses, MACs, names and routes are given automatically, as in a lab file.
#[derive(Clone, Debug, Default)]
pub struct LabBuilder {
    name: String,
    nodes: Vec<(&'static str, String)>,
    links: Vec<(String, String, LinkSettings)>,
}

impl LabBuilder {
    /// An empty lab.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a host.
    #[must_use]
    pub fn host(self, name: &str) -> Self {
        self.node("hosts", name)
    }

    /// Adds a router: a host that forwards between its links.
    #[must_use]
    pub fn router(self, name: &str) -> Self {
        self.node("routers", name)
    }

    /// Adds a switch: it joins its links on layer 2.
    #[must_use]
    pub fn switch(self, name: &str) -> Self {
        self.node("switches", name)
    }

    /// Joins two nodes by a perfect link.
    #[must_use]
    pub fn link(self, a: &str, b: &str) -> Self {
        self.link_with(a, b, LinkSettings::default())
    }

    /// Joins two nodes by a link with delay, loss, a rate, …, in both directions.
    #[must_use]
    pub fn link_with(mut self, a: &str, b: &str, settings: LinkSettings) -> Self {
        self.links.push((a.to_owned(), b.to_owned(), settings));
        self
    }

    fn node(mut self, kind: &'static str, name: &str) -> Self {
        self.nodes.push((kind, name.to_owned()));
        self
    }

    /// Plans the lab.
    ///
    /// # Errors
    /// What cannot be: a link to a node that is not there, a name given twice, a loop of switches.
    pub fn plan(&self) -> Result<Plan, Diagnostics> {
        // By way of the file's text: one reader, one set of checks, and messages that show where.
        let mut plan = crate::from_yaml(&self.yaml(), &self.name)?;
        for (link, (_, _, settings)) in plan.links.iter_mut().zip(&self.links) {
            link.towards = [settings.impairment(), settings.impairment()];
        }
        Ok(plan)
    }

    /// The lab as a file, without its links' settings.
    fn yaml(&self) -> String {
        let mut text = format!("name: {:?}\n", self.name);
        for kind in ["hosts", "routers", "switches"] {
            let names: Vec<&String> =
                self.nodes.iter().filter(|(k, _)| *k == kind).map(|(_, name)| name).collect();
            if !names.is_empty() {
                text.push_str(&format!("{kind}:\n"));
                names.iter().for_each(|name| text.push_str(&format!("  {name:?}: {{}}\n")));
            }
        }
        if !self.links.is_empty() {
            text.push_str("links:\n");
            self.links.iter().for_each(|(a, b, _)| text.push_str(&format!("  - {a} -- {b}\n")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netspace_base::Duration;

    #[test]
    fn a_built_lab_is_planned_with_its_links() {
        let slow = LinkSettings { delay: Some(Duration::from_millis(20)), ..LinkSettings::default() };
        let lab =
            LabBuilder::new("built").host("a").router("r").host("b").link("a", "r").link_with("r", "b", slow);
        let plan = lab.plan().expect("a plan");
        assert_eq!(plan.name, "built");
        assert_eq!(plan.nodes.len(), 3);
        assert!(plan.links[0].towards[0].delay.is_zero());
        assert_eq!(plan.links[1].towards.clone().map(|link| link.delay), [Duration::from_millis(20); 2]);
    }

    #[test]
    fn an_unknown_node_is_told() {
        let error = LabBuilder::new("x").host("server").link("server", "sever").plan().expect_err("refused");
        assert!(error.to_string().contains("sever"), "{error}");
    }
}
