//! Arrows between the gateway's files: one goes from a file that names something to the file that defines it, whatever
//! modules hand the name on. They point down: ARCHITECTURE.md says so, and this reads it off the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::guests::workspace;

mod source;

/// The words that both sides share. They name each other and what is below them, nothing else.
const CORE: [&str; 7] = [
    "change", "close", "effects", "event", "handler", "message", "topic",
];
/// What is below them: pure, and naming nothing above.
const GROUND: [&str; 3] = ["event_stream", "excerpt", "labels"];

/// The segments of a path in the crate, or of a module.
type ModulePath = Vec<String>;

/// The files of a crate by their modules.
#[derive(Default)]
struct Files(BTreeMap<ModulePath, SourceFile>);

/// A file as far as its arrows need it.
#[derive(Default)]
struct SourceFile {
    tokens: Vec<String>,
    /// The names that its `use` items bring in, and whose they are.
    names: BTreeMap<String, ModulePath>,
    /// The modules that its `use` items bring in whole.
    globs: Vec<ModulePath>,
}

type Arrows = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

impl Files {
    /// Reads modules, each by its path (`a::b`) and text.
    fn new<'a>(modules: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let split = |path: &str| {
            path.split("::")
                .filter(|s| !s.is_empty())
                .map(String::from)
                .collect()
        };
        let files = modules.into_iter().map(|(path, text)| {
            let tokens = source::tokens(text);
            (
                split(path),
                SourceFile {
                    tokens,
                    ..SourceFile::default()
                },
            )
        });
        let mut files = Self(files.collect());
        for module in files.0.keys().cloned().collect::<Vec<_>>() {
            let (mut names, mut globs) = (BTreeMap::new(), Vec::new());
            for (path, name) in imports(&files.0[&module].tokens) {
                match files.absolute(&module, &path) {
                    Some(path) if name == "*" => globs.push(path),
                    Some(path) => drop(names.insert(name, path)),
                    None => {}
                }
            }
            let file = files.0.get_mut(&module).expect("its key is from there");
            (file.names, file.globs) = (names, globs);
        }
        files
    }

    /// A path as it is from the crate's root; none if it is another crate's.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        let mut base = module.to_vec();
        match &**first {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                return match rest.first().is_some_and(|next| next == "super") {
                    true => self.absolute(&base, rest),
                    false => Some([base, rest.to_vec()].concat()),
                };
            }
            _ => {
                base.push(first.clone());
                if !self.0.contains_key(&base) {
                    let known = self.0.get(module)?.names.get(first)?;
                    base = known.clone();
                }
            }
        }
        Some([base, rest.to_vec()].concat())
    }

    /// The module that defines what a path names; none for a module itself.
    fn definer(&self, path: &[String]) -> Option<&ModulePath> {
        let mut path = path.to_vec();
        // As often as a name is handed on, at most.
        for _ in 0..8 {
            let len = (0..=path.len())
                .rev()
                .find(|len| self.0.contains_key(&path[..*len]))?;
            let (module, rest) = path.split_at(len);
            let (module, file) = self.0.get_key_value(module)?;
            let name = rest.first()?;
            match file.names.get(name) {
                Some(handed_on) if handed_on[..] != path[..=len] => {
                    path = [handed_on.clone(), rest[1..].to_vec()].concat();
                }
                _ => return Some(module),
            }
        }
        None
    }

    /// The files that each file names.
    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, file) in &self.0 {
            let inline = paths(&file.tokens);
            let inline = inline.iter().filter_map(|path| self.absolute(module, path));
            let named = inline.chain(file.names.values().cloned());
            let definers = named.filter_map(|path| self.definer(&path).cloned());
            let mut targets: BTreeSet<_> = definers.chain(file.globs.clone()).collect();
            targets.remove(module);
            arrows.insert(module.clone(), targets);
        }
        arrows
    }
}

/// What the `use` items among the tokens bring in: its path and the name that it gets; `*` for all of a module.
fn imports(tokens: &[String]) -> Vec<(ModulePath, String)> {
    let mut imports = Vec::new();
    let mut rest = tokens;
    while let Some(at) = rest.iter().position(|token| token == "use") {
        rest = tree(&rest[at + 1..], &[], &mut imports);
    }
    imports
}

/// Reads one tree of a `use` item below `prefix`; returns the tokens behind it.
fn tree<'a>(
    mut tokens: &'a [String],
    prefix: &[String],
    imports: &mut Vec<(ModulePath, String)>,
) -> &'a [String] {
    let mut path = prefix.to_vec();
    while let Some((token, behind)) = tokens.split_first() {
        tokens = behind;
        match &**token {
            "::" => {}
            "{" => {
                while tokens.first().is_some_and(|token| token != "}") {
                    tokens = tree(tokens, &path, imports);
                    if tokens.first().is_some_and(|token| token == ",") {
                        tokens = &tokens[1..];
                    }
                }
                return tokens.get(1..).unwrap_or_default();
            }
            "*" => {
                imports.push((path, "*".to_owned()));
                return tokens;
            }
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        match tokens.first().map(|token| &**token) {
            Some("as") => {
                imports.push((path, tokens.get(1).cloned().unwrap_or_default()));
                return tokens.get(2..).unwrap_or_default();
            }
            Some("::") => {}
            _ if token == "::" => {}
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                imports.push((path, name));
                return tokens;
            }
        }
    }
    tokens
}

/// The paths among the tokens that have several segments.
fn paths(tokens: &[String]) -> Vec<ModulePath> {
    let is_word = |token: &String| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut paths = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = is_word(token) && (at == 0 || tokens[at - 1] != "::");
        if begins && tokens.get(at + 1).is_some_and(|next| next == "::") {
            let parts = tokens[at..].chunks(2).enumerate();
            let parts = parts.take_while(|(n, part)| {
                is_word(&part[0]) && (*n == 0 || tokens[at + 2 * n - 1] == "::")
            });
            paths.push(parts.map(|(_, part)| part[0].clone()).collect());
        }
    }
    paths
}

/// The files that can be reached from one by arrows.
fn reached(arrows: &Arrows, from: &ModulePath) -> BTreeSet<ModulePath> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        for target in &arrows[file] {
            if reached.insert(target.clone()) {
                waiting.push(target);
            }
        }
    }
    reached
}

/// The sets of files that can reach each other.
fn circles(arrows: &Arrows) -> BTreeSet<Vec<ModulePath>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|file| (file, reached(arrows, file)))
        .collect();
    let circle = |file: &ModulePath| {
        let there = reached[file].iter();
        there
            .filter(|other| reached[other].contains(file))
            .cloned()
            .collect::<Vec<_>>()
    };
    arrows
        .keys()
        .map(circle)
        .filter(|circle| circle.len() > 1)
        .collect()
}

/// The circles that are more than a parent module with its own children: those with a file from elsewhere, and those
/// that its children make among themselves.
fn forbidden(arrows: &Arrows) -> BTreeSet<Vec<ModulePath>> {
    let is_family = |circle: &Vec<ModulePath>| {
        let parent = circle.iter().min_by_key(|path| path.len());
        parent.is_some_and(|parent| circle.iter().all(|path| path.starts_with(parent)))
    };
    let mut forbidden: BTreeSet<_> = circles(arrows)
        .into_iter()
        .filter(|circle| !is_family(circle))
        .collect();
    let mut among_children = arrows.clone();
    for (file, targets) in &mut among_children {
        targets.retain(|target| !file.starts_with(target) && !target.starts_with(file));
    }
    forbidden.extend(circles(&among_children));
    forbidden
}

/// Says which arrows make circles.
fn explain(arrows: &Arrows, circles: &BTreeSet<Vec<ModulePath>>) -> String {
    let mut words = String::new();
    for circle in circles {
        for from in circle {
            for to in arrows[from].iter().filter(|to| circle.contains(to)) {
                words += &format!("\n  {} -> {}", from.join("/"), to.join("/"));
            }
        }
        words += "\n";
    }
    words
}

/// The gateway's own files, without those of tests.
fn gateway() -> Files {
    let root = workspace().join("gateway/src");
    let mut modules = Vec::new();
    visit(&root, &root, &mut modules);
    assert!(modules.len() > 100, "{modules:?}");
    Files::new(modules.iter().map(|(module, text)| (&**module, &**text)))
}

fn visit(root: &Path, folder: &Path, modules: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.with_extension("");
        let module = name
            .strip_prefix(root)
            .expect("it is below")
            .to_string_lossy();
        if module.split('/').any(|part| part == "tests") || module == "main" {
            continue;
        }
        if path.is_dir() {
            visit(root, &path, modules);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("source is text");
            let module = if module == "lib" {
                String::new()
            } else {
                module.replace('/', "::")
            };
            modules.push((module, text));
        }
    }
}

#[test]
fn no_files_name_each_other_but_a_parent_and_its_children() {
    let arrows = gateway().arrows();
    let circles = forbidden(&arrows);
    assert!(
        circles.is_empty(),
        "circles of files:{}",
        explain(&arrows, &circles)
    );
}

#[test]
fn the_words_of_the_core_name_nothing_above_them() {
    let arrows = gateway().arrows();
    let is_core = |file: &&ModulePath| file.first().is_some_and(|part| CORE.contains(&&**part));
    let core: Vec<_> = arrows.keys().filter(is_core).collect();
    assert!(core.len() >= CORE.len(), "the core is elsewhere: {core:?}");
    for file in core {
        for target in reached(&arrows, file) {
            let part = target.first().map_or("lib", |part| part);
            assert!(
                CORE.contains(&part) || GROUND.contains(&part),
                "{} leads to {}",
                file.join("/"),
                target.join("/")
            );
        }
    }
}

#[test]
fn an_arrow_goes_to_the_file_that_defines_the_name() {
    let arrows = Files::new([
        ("", "mod a; mod b; pub mod c;"),
        // Not: comments, strings, tests, other crates.
        ("a", "use std::b::B; // crate::c::C\nconst S: &str = \"crate::c::C\"; #[cfg(test)] mod tests { use crate::c::C; }"),
        ("b", "mod x; pub use x::{Y as Z, W}; pub(crate) use self::x::V;"),
        ("b::x", "pub struct Y<'a>(&'a u8, super::super::a::A);"),
        ("c", "use crate::{a, b::{self, Z}}; fn c() { a::f(); b::V::new(); }"),
    ])
    .arrows();
    let targets = |module: &str| {
        let module: ModulePath = module.split("::").map(String::from).collect();
        arrows[&module]
            .iter()
            .map(|to| to.join("::"))
            .collect::<Vec<_>>()
    };
    assert!(targets("a").is_empty(), "{:?}", targets("a"));
    assert_eq!(targets("b"), ["b::x"]);
    assert_eq!(targets("b::x"), ["a"]);
    assert_eq!(targets("c"), ["a", "b::x"]);
}

#[test]
fn circles_are_found_and_a_parent_with_its_children_is_none() {
    let forbidden = |modules: &[(&'static str, &'static str)]| {
        forbidden(&Files::new(modules.iter().copied()).arrows()).len()
    };
    let family = [
        ("", ""),
        ("a", "use b::B; use c::C;"),
        ("a::b", "use super::A;"),
        ("a::c", "use super::b::B;"),
    ];
    assert_eq!(forbidden(&family), 0);
    let siblings = [
        ("", ""),
        ("a", ""),
        ("a::b", "use super::c::C;"),
        ("a::c", "use super::b::B;"),
    ];
    assert_eq!(forbidden(&siblings), 1);
    let through_another = [
        ("", ""),
        ("a", "use crate::d::D;"),
        ("a::b", "use super::A;"),
        ("d", "use crate::a::b::B;"),
    ];
    assert_eq!(forbidden(&through_another), 1);
    let inline = [
        ("", ""),
        ("a", "fn f() { crate::d::D; }"),
        ("d", "type D = crate::a::A;"),
    ];
    assert_eq!(forbidden(&inline), 1);
}
