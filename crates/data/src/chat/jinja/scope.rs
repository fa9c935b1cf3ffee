//! Which names belong to which scope, as Jinja2's compiler sees it.
//!
//! A scope that sets a name before it reads it, and does so whatever happens, has that name undefined from its start:
//! loops and macros within it that run earlier do not see what the conversation calls so.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::ast::{Arguments, Body, Expr, Filter, For, Macro, Name, Node, Statement, Target};

/// Notes for every scope which names are unset at its start; returns those of the template itself.
pub(crate) fn resolve(nodes: &mut [Node]) -> Vec<Name> {
    let mut symbols = Symbols::default();
    symbols.nodes(nodes);
    let unset = symbols.unset(None);
    inner(nodes, &Known { names: &symbols.seen, outer: None });
    unset
}

/// The names that a template reads outside of loops and macros before it sets them.
pub(crate) fn read_first(nodes: &[Node]) -> Vec<Name> {
    let mut symbols = Symbols::default();
    symbols.nodes(nodes);
    let is_read = |name: &&Name| symbols.seen.get(*name) == Some(&First::Read);
    symbols.order.iter().filter(is_read).cloned().collect()
}

/// What a scope does first with a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Parameter,
    Read,
    Set,
    /// Sets it in a branch of a condition.
    MaybeSet,
}

#[derive(Default)]
struct Symbols {
    seen: FxHashMap<Name, First>,
    /// The same names in the order in which they came.
    order: Vec<Name>,
}

/// The names of a scope and of those around it.
struct Known<'a> {
    names: &'a FxHashMap<Name, First>,
    outer: Option<&'a Self>,
}

impl Known<'_> {
    fn contains(&self, name: &Name) -> bool {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if here.names.contains_key(name) {
                return true;
            }
            scope = here.outer;
        }
        false
    }
}

impl Symbols {
    fn unset(&self, outer: Option<&Known<'_>>) -> Vec<Name> {
        let of_this_scope = |name: &&Name| {
            self.seen.get(*name) == Some(&First::Set) && !outer.is_some_and(|outer| outer.contains(name))
        };
        self.order.iter().filter(of_this_scope).cloned().collect()
    }

    fn note(&mut self, name: &Name, first: First) {
        if !self.seen.contains_key(name) {
            self.seen.insert(name.clone(), first);
            self.order.push(name.clone());
        }
    }

    fn read(&mut self, name: &Name) {
        self.note(name, First::Read);
    }

    fn set(&mut self, name: &Name) {
        self.note(name, First::Set);
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.set(name),
            Target::Attribute(name, _) => self.read(name),
            Target::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
        }
    }

    fn parameter(&mut self, target: &Target) {
        match target {
            Target::Name(name) | Target::Attribute(name, _) => {
                self.note(name, First::Parameter);
            }
            Target::Tuple(targets) => targets.iter().for_each(|target| self.parameter(target)),
        }
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match &node.statement {
                Statement::Data(_) | Statement::Break | Statement::Continue | Statement::Generation(_) => {}
                Statement::Print(expr) => self.expr(expr),
                Statement::For(inner) => self.expr(&inner.iter),
                Statement::If(branches, otherwise) => self.branches(branches, otherwise),
                Statement::Macro(definition) => definition.name.iter().for_each(|name| self.set(name)),
                Statement::CallBlock(call, _) => self.expr(call),
                Statement::FilterBlock(filters, _) => filters.iter().for_each(|filter| self.filter(filter)),
                Statement::Set(target, expr) => {
                    self.expr(expr);
                    self.target(target);
                }
                Statement::SetBlock(target, _, _) => self.target(target),
                Statement::With(targets, _) => targets.iter().for_each(|(_, expr)| self.expr(expr)),
            }
        }
    }

    fn branches(&mut self, branches: &[(Expr, Vec<Node>)], otherwise: &[Node]) {
        if let Some((test, _)) = branches.first() {
            self.expr(test);
        }
        let mut all = Vec::new();
        for (i, (test, body)) in branches.iter().enumerate() {
            let before = self.order.len();
            if i > 0 {
                self.expr(test);
            }
            self.nodes(body);
            self.forget(before, &mut all);
        }
        let before = self.order.len();
        self.nodes(otherwise);
        self.forget(before, &mut all);
        // What a branch sets is looked up outside when the branch was not taken.
        for (name, first) in all {
            self.note(&name, if first == First::Set { First::MaybeSet } else { first });
        }
    }

    /// Moves what came after the first `before` names into `branch`.
    fn forget(&mut self, before: usize, branch: &mut Vec<(Name, First)>) {
        for name in self.order.split_off(before) {
            if let Some(first) = self.seen.remove(&name) {
                branch.push((name, first));
            }
        }
    }

    fn filter(&mut self, filter: &Filter) {
        self.arguments(&filter.arguments);
    }

    fn arguments(&mut self, arguments: &Arguments) {
        each_argument(arguments, &mut |expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &Expr) {
        each_name(expr, &mut |name| self.read(name));
    }
}

/// Resolves the scopes within a body whose surroundings know the names `known`.
fn inner(nodes: &mut [Node], known: &Known<'_>) {
    for node in nodes {
        match &mut node.statement {
            Statement::If(branches, otherwise) => {
                branches.iter_mut().for_each(|(_, body)| inner(body, known));
                inner(otherwise, known);
            }
            Statement::For(definition) => {
                if let Some(For { target, body, otherwise, .. }) = Arc::get_mut(definition) {
                    scope(body, known, |symbols| symbols.parameter(target));
                    scope(otherwise, known, |_| {});
                }
            }
            Statement::Macro(definition) | Statement::CallBlock(_, definition) => {
                if let Some(Macro { params, defaults, body, .. }) = Arc::get_mut(definition) {
                    let implicit = ["caller", "kwargs", "varargs"].map(Name::from);
                    scope(body, known, |symbols| {
                        for param in params.iter().chain(&implicit) {
                            symbols.note(param, First::Parameter);
                        }
                        defaults.iter().for_each(|default| symbols.expr(default));
                    });
                }
            }
            Statement::Generation(body)
            | Statement::FilterBlock(_, body)
            | Statement::SetBlock(_, _, body) => {
                scope(body, known, |_| {});
            }
            Statement::With(targets, body) => scope(body, known, |symbols| {
                targets.iter().for_each(|(target, _)| symbols.parameter(target));
            }),
            Statement::Data(_)
            | Statement::Print(_)
            | Statement::Set(..)
            | Statement::Break
            | Statement::Continue => {}
        }
    }
}

fn scope(body: &mut Body, outer: &Known<'_>, begin: impl FnOnce(&mut Symbols)) {
    let mut symbols = Symbols::default();
    begin(&mut symbols);
    symbols.nodes(&body.nodes);
    body.unset = symbols.unset(Some(outer));
    inner(&mut body.nodes, &Known { names: &symbols.seen, outer: Some(outer) });
}

/// Whether a name is read anywhere in a body, scopes within it included.
pub(crate) fn mentions(nodes: &[Node], wanted: &str) -> bool {
    let in_expr = |expr: &Expr| {
        let mut found = false;
        each_name(expr, &mut |name| found |= **name == *wanted);
        found
    };
    let in_arguments = |arguments: &Arguments| {
        let mut found = false;
        each_argument(arguments, &mut |expr| found |= in_expr(expr));
        found
    };
    nodes.iter().any(|node| match &node.statement {
        Statement::Data(_) | Statement::Break | Statement::Continue => false,
        Statement::Print(expr) | Statement::Set(_, expr) => in_expr(expr),
        Statement::For(inner) => {
            in_expr(&inner.iter)
                || inner.test.as_ref().is_some_and(in_expr)
                || mentions(&inner.body.nodes, wanted)
                || mentions(&inner.otherwise.nodes, wanted)
        }
        Statement::If(branches, otherwise) => {
            branches.iter().any(|(test, body)| in_expr(test) || mentions(body, wanted))
                || mentions(otherwise, wanted)
        }
        Statement::Macro(inner) => inner.defaults.iter().any(in_expr) || mentions(&inner.body.nodes, wanted),
        Statement::CallBlock(call, inner) => in_expr(call) || mentions(&inner.body.nodes, wanted),
        Statement::Generation(body) => mentions(&body.nodes, wanted),
        Statement::FilterBlock(filters, body) | Statement::SetBlock(_, filters, body) => {
            filters.iter().any(|filter| in_arguments(&filter.arguments)) || mentions(&body.nodes, wanted)
        }
        Statement::With(targets, body) => {
            targets.iter().any(|(_, expr)| in_expr(expr)) || mentions(&body.nodes, wanted)
        }
    })
}

fn each_argument(arguments: &Arguments, visit: &mut dyn FnMut(&Expr)) {
    arguments.positional.iter().for_each(&mut *visit);
    arguments.named.iter().for_each(|(_, expr)| visit(expr));
    arguments.more.iter().for_each(&mut *visit);
    arguments.more_named.iter().for_each(&mut *visit);
}

/// Calls `visit` for every name that an expression reads, in order.
fn each_name(expr: &Expr, visit: &mut dyn FnMut(&Name)) {
    let mut pair = |parts: &(Expr, Expr)| {
        each_name(&parts.0, visit);
        each_name(&parts.1, visit);
    };
    match expr {
        Expr::None | Expr::Bool(_) | Expr::Int(_) | Expr::Float(_) | Expr::Text(_) => {}
        Expr::Name(name) => visit(name),
        Expr::Tuple(parts) | Expr::List(parts) | Expr::Concat(parts) => {
            parts.iter().for_each(|part| each_name(part, visit));
        }
        Expr::Dict(pairs) => pairs.iter().for_each(pair),
        Expr::If(parts) => {
            each_name(&parts.0, visit);
            each_name(&parts.1, visit);
            parts.2.iter().for_each(|otherwise| each_name(otherwise, visit));
        }
        Expr::Or(parts) | Expr::And(parts) | Expr::Binary(_, parts) | Expr::Item(parts) => pair(parts),
        Expr::Not(inner) | Expr::Negative(inner) | Expr::Positive(inner) | Expr::Attribute(inner, _) => {
            each_name(inner, visit);
        }
        Expr::Compare(first, rest) => {
            each_name(first, visit);
            rest.iter().for_each(|(_, expr)| each_name(expr, visit));
        }
        Expr::Slice(parts) => {
            each_name(&parts.0, visit);
            parts.1.iter().flatten().for_each(|bound| each_name(bound, visit));
        }
        Expr::Call(parts) => {
            each_name(&parts.0, visit);
            each_argument(&parts.1, &mut |expr| each_name(expr, visit));
        }
        Expr::Filter(inner, filter) | Expr::Test(inner, filter) => {
            each_name(inner, visit);
            each_argument(&filter.arguments, &mut |expr| each_name(expr, visit));
        }
    }
}
