//! Circles of imports between the modules of a crate.
//!
//! A module is a file. It *uses* another when it names an item that is defined there, by `use` or by a path. Declaring a
//! child and passing names on (`pub use`) are no use: a name is followed to the file that defines it, so that a re-export
//! hides nothing. What a folder's own file defines are the words that its folder shares: modules below it may name them,
//! and it may name theirs. Any other way back is a circle: between neighbours, between folders, or from a folder's file
//! through something outside.
//!
//! A call of a method names no module, and does not count: a type and its methods are one thing, wherever they stand.

mod scan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};

use scan::{Names, Path};

/// A module: its path below the crate's root, its file, its text.
pub(crate) struct Source {
    pub(crate) module: Path,
    pub(crate) file: String,
    pub(crate) text: String,
}

/// Where a module uses another: line, what.
type Use = (usize, String);

/// A crate's modules, and which uses which.
struct Graph {
    files: Vec<String>,
    modules: Vec<(Path, Names)>,
    by_path: BTreeMap<Path, usize>,
}

/// How many names a chain of re-exports may have.
const CHAIN_MAX: usize = 16;

/// The circles of a crate, each as one line.
pub(crate) fn find(sources: &[Source]) -> Result<Vec<String>> {
    let graph = Graph::new(sources)?;
    let uses = graph.uses();
    Ok(components(&uses).iter().map(|members| graph.tell(&uses, members)).collect())
}

impl Graph {
    fn new(sources: &[Source]) -> Result<Self> {
        let (mut files, mut modules) = (Vec::new(), Vec::new());
        for source in sources {
            modules.push((
                source.module.clone(),
                scan::scan(&source.text).with_context(|| source.file.clone())?,
            ));
            files.push(source.file.clone());
        }
        let by_path = modules.iter().enumerate().map(|(n, (path, _))| (path.clone(), n)).collect();
        let mut graph = Self { files, modules, by_path };
        graph.forget_tests();
        Ok(graph)
    }

    /// Modules that only tests have use what they like.
    fn forget_tests(&mut self) {
        let tests: BTreeSet<Path> = self
            .modules
            .iter()
            .flat_map(|(path, names)| names.test_children.iter().map(|child| join(path, child)))
            .collect();
        for (path, names) in &mut self.modules {
            if tests.iter().any(|test| path.starts_with(test)) {
                *names = Names::default();
            }
        }
    }

    /// For each module, the others that it uses, those above it left out, with the first place.
    fn uses(&self) -> Vec<BTreeMap<usize, Use>> {
        (0..self.modules.len()).map(|module| self.uses_of(module)).collect()
    }

    fn uses_of(&self, module: usize) -> BTreeMap<usize, Use> {
        let names = &self.modules[module].1;
        let used =
            |(name, import): &(&String, &scan::Import)| !import.exported || names.words.contains(*name);
        let imports = names.imports.iter().filter(used).map(|(_, import)| (&import.path, import.line));
        let paths = names.paths.iter().map(|(path, line)| (path, *line));
        let mut found: Vec<(usize, Use)> = Vec::new();
        for (path, line) in imports.chain(paths) {
            if let Some((target, Some(_))) = self.resolve(module, path, 0) {
                found.push((target, (line, path.join("::"))));
            }
        }
        for glob in names.globs.iter().filter(|glob| !glob.exported) {
            if let Some((target, _)) = self.resolve(module, &glob.path, 0) {
                found.push((target, (glob.line, format!("{}::*", glob.path.join("::")))));
            }
        }
        found.sort();
        let mut uses = BTreeMap::new();
        let here = &self.modules[module].0;
        for (target, place) in found {
            let above = here.starts_with(&self.modules[target].0);
            if !above {
                uses.entry(target).or_insert(place);
            }
        }
        uses
    }

    /// The module that a path seen in `from` leads to, and the item in it if the path names one.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<(usize, Option<String>)> {
        let (path_here, names) = &self.modules[from];
        let first = path.first()?;
        let supers = path.iter().take_while(|part| *part == "super").count();
        let (module, rest) = match first.as_str() {
            _ if depth > CHAIN_MAX => return None,
            "crate" => (self.by_path.get(&Path::new()).copied()?, &path[1..]),
            "self" => (from, &path[1..]),
            "super" => {
                (*self.by_path.get(path_here.get(..path_here.len().checked_sub(supers)?)?)?, &path[supers..])
            }
            _ if names.children.contains(first) || names.items.contains(first) => (from, path),
            _ => match self.resolve(from, &names.imports.get(first)?.path, depth + 1)? {
                (module, None) => (module, &path[1..]),
                item => return Some(item),
            },
        };
        self.walk(module, rest, depth)
    }

    /// Follows a path down from a module.
    fn walk(&self, mut module: usize, path: &[String], depth: usize) -> Option<(usize, Option<String>)> {
        for part in path {
            match self.by_path.get(&join(&self.modules[module].0, part)) {
                Some(child) => module = *child,
                None => return Some(self.item(module, part, depth)),
            }
        }
        Some((module, None))
    }

    /// Where an item that a module offers is defined.
    fn item(&self, module: usize, item: &str, depth: usize) -> (usize, Option<String>) {
        let names = &self.modules[module].1;
        let here = (module, Some(item.to_owned()));
        if names.items.contains(item) {
            return here;
        }
        if let Some(import) = names.imports.get(item).filter(|import| import.path != [item]) {
            return self.resolve(module, &import.path, depth + 1).unwrap_or(here);
        }
        let offered = |glob: &scan::Import| {
            let (other, _) = self.resolve(module, &glob.path, depth + 1)?;
            self.modules[other].1.items.contains(item).then(|| (other, Some(item.to_owned())))
        };
        names.globs.iter().find_map(offered).unwrap_or(here)
    }

    /// A circle in words: its shortest round, and each step's place.
    fn tell(&self, uses: &[BTreeMap<usize, Use>], members: &BTreeSet<usize>) -> String {
        let round = shortest_round(uses, members);
        let step = |(from, to): (&usize, &usize)| {
            let (line, what) = &uses[*from][to];
            format!("{} → {} ({}:{line}, {what})", self.name(*from), self.name(*to), self.files[*from])
        };
        let steps: Vec<String> = round.iter().zip(round.iter().cycle().skip(1)).map(step).collect();
        let others = members.len() - round.len();
        let more = if others > 0 {
            format!(" (and {others} more modules in circles with these)")
        } else {
            String::new()
        };
        format!("a circle of imports: {}{more}", steps.join(", "))
    }

    fn name(&self, module: usize) -> String {
        let path = &self.modules[module].0;
        if path.is_empty() { "the root".to_owned() } else { path.join("::") }
    }
}

fn join(path: &[String], part: &str) -> Path {
    path.iter().cloned().chain([part.to_owned()]).collect()
}

/// The sets of modules that all reach each other.
fn components(uses: &[BTreeMap<usize, Use>]) -> Vec<BTreeSet<usize>> {
    let reach: Vec<BTreeSet<usize>> = (0..uses.len()).map(|from| reachable(uses, from)).collect();
    let mut found: Vec<BTreeSet<usize>> = Vec::new();
    for module in 0..uses.len() {
        if reach[module].contains(&module) && !found.iter().any(|members| members.contains(&module)) {
            found.push(
                reach[module].iter().copied().filter(|other| reach[*other].contains(&module)).collect(),
            );
        }
    }
    found
}

fn reachable(uses: &[BTreeMap<usize, Use>], from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(module) = waiting.pop() {
        waiting.extend(uses[module].keys().filter(|next| seen.insert(**next)));
    }
    seen
}

/// The shortest way from a module of the set back to itself.
fn shortest_round(uses: &[BTreeMap<usize, Use>], members: &BTreeSet<usize>) -> Vec<usize> {
    members.iter().filter_map(|start| round_from(uses, *start)).min_by_key(Vec::len).unwrap_or_default()
}

fn round_from(uses: &[BTreeMap<usize, Use>], start: usize) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(module) = waiting.pop_front() {
        for next in uses[module].keys() {
            if *next == start {
                let mut round = vec![module];
                while let Some(earlier) = before.get(&round[round.len() - 1]) {
                    round.push(*earlier);
                }
                round.reverse();
                return Some(round);
            }
            if !before.contains_key(next) {
                before.insert(*next, module);
                waiting.push_back(*next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate given as `path: text` pairs; the root's path is empty.
    fn circles(modules: &[(&str, &str)]) -> Vec<String> {
        let source = |&(path, text): &(&str, &str)| Source {
            module: path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            file: format!("{path}.rs"),
            text: text.to_owned(),
        };
        find(&modules.iter().map(source).collect::<Vec<_>>()).expect("it is Rust")
    }

    const ROOT: (&str, &str) = ("", "mod a;\nmod b;\nmod c;");

    #[test]
    fn a_way_back_is_a_circle() {
        let found = circles(&[
            ROOT,
            ("a", "use crate::b::B;\npub struct A;"),
            ("b", "use crate::a::A;\npub struct B;"),
        ]);
        assert_eq!(found, ["a circle of imports: a → b (a.rs:1, crate::b::B), b → a (b.rs:1, crate::a::A)"]);
    }

    #[test]
    fn one_way_is_none() {
        let below = ("b", "use crate::c::{C, more::*};\npub struct B;");
        assert!(
            circles(&[
                ROOT,
                ("a", "use crate::{b, c};\nfn f() { b::B; c::C }"),
                below,
                ("c", "pub struct C;")
            ])
            .is_empty()
        );
    }

    #[test]
    fn a_long_way_round_is_found() {
        let found = circles(&[
            ROOT,
            ("a", "fn a() { crate::b::b() }"),
            ("b", "pub fn b() { super::c::c() }"),
            ("c", "use crate::a as first;\npub fn c() { first::a() }"),
        ]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("a → b") && found[0].contains("c → a (c.rs:2, first::a)"), "{found:?}");
    }

    #[test]
    fn passing_a_name_on_hides_nothing() {
        let found = circles(&[
            ("", "mod a;\nmod b;\npub use a::A;"),
            ("a", "use crate::b::B;\npub struct A;"),
            ("b", "use crate::A;\npub struct B;"),
        ]);
        assert_eq!(found.len(), 1, "the root's name is a's: {found:?}");
        let by_glob = circles(&[
            ("", "mod a;\nmod b;\npub use a::*;"),
            ("a", "use crate::b::B;\npub struct A;"),
            ("b", "use crate::A;\npub struct B;"),
        ]);
        assert_eq!(by_glob.len(), 1, "{by_glob:?}");
    }

    #[test]
    fn a_folder_and_its_own_file_are_one_house() {
        let folder = [
            ("", "mod a;\nmod b;"),
            ("a", "mod low;\npub struct Word;\nfn f() { low::g() }"),
            ("a::low", "use super::Word;\npub fn g() {}"),
        ];
        assert!(circles(&folder).is_empty());
        let through_another = [
            ("", "mod a;\nmod b;"),
            ("a", "mod low;\npub struct Word;\nfn f() { low::g() }"),
            ("a::low", "pub fn g() { crate::b::h() }"),
            ("b", "use crate::a::Word;\npub fn h() {}"),
        ];
        assert_eq!(circles(&through_another).len(), 1, "the way through b is a circle");
    }

    #[test]
    fn paths_in_macros_and_bodies_count_tests_and_text_do_not() {
        let used = "pub fn a() { println!(\"{}\", crate::b::B) }";
        let back = ("b", "pub const B: u8 = 1;\nfn f() { use crate::a::{a as other}; other() }");
        assert_eq!(circles(&[ROOT, ("a", used), back]).len(), 1);
        let tested =
            "pub const B: u8 = 1;\n/// See crate::a::a.\n#[cfg(test)]\nmod tests { use crate::a::a; }";
        assert!(circles(&[ROOT, ("a", used), ("b", tested)]).is_empty());
        let file_of_tests = [
            ROOT,
            ("a", used),
            ("b", "pub const B: u8 = 1;\n#[cfg(test)]\nmod tests;"),
            ("b::tests", "use crate::a::a;"),
        ];
        assert!(circles(&file_of_tests).is_empty());
    }

    #[test]
    fn fields_and_methods_name_no_module() {
        let found = circles(&[
            ROOT,
            ("a", "use crate::b::B;\npub struct A;"),
            ("b", "pub struct B { a: u8 }\nimpl B { fn f(&self) { self.a.max(1); self.a(); } }"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
