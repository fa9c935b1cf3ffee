//! Runs a parsed template.

mod call;
mod expression;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use chrono::NaiveDateTime;

use super::{
    ast::{Body, Expr, Filter, For, Macro, Name, Node, Statement, Target},
    call::Called,
    failure::{Result, fail, unsupported},
    filter,
    meter::Meter,
    show,
    stream::items,
    text::{Builder, Text},
    value::{Closure, Frame, Function, Loop, Namespace, Value},
};

/// One rendering.
pub(crate) struct Interpreter<'m> {
    meter: &'m Meter,
    now: Option<NaiveDateTime>,
    scope: Rc<Frame>,
    /// Scopes and namespaces that values may hold in rings: emptied at the end.
    scopes: Vec<Rc<Frame>>,
    namespaces: Vec<Rc<Namespace>>,
    /// Set while a loop's test runs whose body may change a namespace.
    guards_namespaces: bool,
}

/// How a statement ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// The text of a template, with the marks of what people typed.
pub(crate) fn render(
    nodes: &[Node],
    unset: &[Name],
    variables: Vec<(Name, Value)>,
    now: Option<NaiveDateTime>,
    meter: &Meter,
) -> Result<Text> {
    let globals = [
        ("range", Function::Range),
        ("dict", Function::Dict),
        ("namespace", Function::Namespace),
        ("cycler", Function::Cycler),
        ("joiner", Function::Joiner),
        ("raise_exception", Function::RaiseException),
        ("strftime_now", Function::StrftimeNow),
    ];
    let globals = globals.into_iter().map(|(name, function)| (name.into(), Value::Function(function)));
    let globals = Rc::new(Frame { variables: RefCell::new(globals.collect()), outer: None });
    let given = Rc::new(Frame { variables: RefCell::new(variables), outer: Some(globals) });
    let scope = Frame::within(&given);
    let mut interpreter = Interpreter {
        meter,
        now,
        scope: scope.clone(),
        scopes: vec![scope],
        namespaces: Vec::new(),
        guards_namespaces: false,
    };
    interpreter.unset(unset);
    let mut out = Builder::new(meter);
    let result = interpreter.run(nodes, &mut out).map(|_| ());
    // One after another, so that no chain of them is dropped at once.
    interpreter.namespaces.iter().for_each(|namespace| namespace.0.borrow_mut().clear());
    interpreter.scopes.iter().for_each(|scope| scope.variables.borrow_mut().clear());
    result.map(|()| out.finish())
}

impl Interpreter<'_> {
    fn unset(&self, names: &[Name]) {
        for name in names {
            self.scope.set(name, Value::undefined(format!("'{name}' is undefined")));
        }
    }

    fn run(&mut self, nodes: &[Node], out: &mut Builder<'_>) -> Result<Flow> {
        for node in nodes {
            self.meter.enter().map_err(|failure| failure.at(node.line))?;
            let flow = self.statement(&node.statement, out);
            self.meter.leave();
            match flow.map_err(|failure| failure.at(node.line))? {
                Flow::On => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::On)
    }

    /// Runs a body in a scope of its own.
    fn scoped(&mut self, body: &Body, out: &mut Builder<'_>) -> Result<Flow> {
        let outer = self.scope.clone();
        self.scope = Frame::within(&outer);
        self.unset(&body.unset);
        let flow = self.run(&body.nodes, out);
        self.scope = outer;
        flow
    }

    fn statement(&mut self, statement: &Statement, out: &mut Builder<'_>) -> Result<Flow> {
        match statement {
            Statement::Data(text) => out.extend(text.chars())?,
            Statement::Print(expr) => {
                let value = self.value(expr)?;
                show::write(&value, out)?;
            }
            Statement::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.value(test)?.is_true(self.meter)? {
                        return self.run(body, out);
                    }
                }
                return self.run(otherwise, out);
            }
            Statement::For(definition) => {
                let iterable = self.value(&definition.iter)?;
                return self.for_loop(definition, &iterable, 0, out);
            }
            Statement::Set(target, expr) => {
                let value = self.value(expr)?;
                self.assign(target, value)?;
            }
            Statement::SetBlock(target, filters, body) => {
                let mut block = Builder::new(self.meter);
                match self.scoped(body, &mut block)? {
                    Flow::On => {}
                    flow => return Ok(flow),
                }
                let value = self.filtered(block.finish(), filters)?;
                self.assign(target, value)?;
            }
            Statement::FilterBlock(filters, body) => {
                let mut block = Builder::new(self.meter);
                match self.scoped(body, &mut block)? {
                    Flow::On => {}
                    flow => return Ok(flow),
                }
                show::write(&self.filtered(block.finish(), filters)?, out)?;
            }
            Statement::With(targets, body) => {
                // All values are those of the scope outside.
                let values = targets.iter().map(|(_, expr)| self.value(expr)).collect::<Result<Vec<_>>>()?;
                let outer = self.scope.clone();
                self.scope = Frame::within(&outer);
                let flow = targets
                    .iter()
                    .zip(values)
                    .try_for_each(|((target, _), value)| self.assign(target, value))
                    .and_then(|()| self.run(&body.nodes, out));
                self.scope = outer;
                return flow;
            }
            Statement::Generation(body) => {
                self.scoped(body, out)?;
            }
            Statement::Macro(definition) => {
                let closure = self.closure(definition)?;
                if let Some(name) = &definition.name {
                    self.scope.set(name, closure);
                }
            }
            Statement::CallBlock(call, definition) => {
                let Expr::Call(call) = &**call else { return fail("expected a call") };
                let caller = self.closure(definition)?;
                let function = self.value(&call.0)?;
                let mut called = self.arguments(&call.1)?;
                called.named.push(("caller".into(), caller));
                let value = self.call(&function, called)?;
                show::write(&value, out)?;
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn filtered(&mut self, text: Text, filters: &[Filter]) -> Result<Value> {
        let mut value = Value::Text(text);
        for filter in filters {
            let called = self.arguments(&filter.arguments)?;
            value = filter::apply(&filter.name, &value, called, self.meter)?;
        }
        Ok(value)
    }

    fn closure(&mut self, definition: &Arc<Macro>) -> Result<Value> {
        self.keep_scope()?;
        Ok(Value::Macro(Rc::new(Closure { definition: definition.clone(), scope: self.scope.clone() })))
    }

    /// Remembers a scope that a value holds.
    fn keep_scope(&mut self) -> Result<()> {
        if !self.scopes.last().is_some_and(|last| Rc::ptr_eq(last, &self.scope)) {
            self.meter.make(64)?;
            self.scopes.push(self.scope.clone());
        }
        Ok(())
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        self.meter.make_values(1)?;
        self.meter.work(self.scope.variables.borrow().len())?;
        match target {
            Target::Name(name) => self.scope.set(name, value),
            Target::Attribute(name, attribute) => {
                let Some(Value::Namespace(namespace)) = self.scope.get(name, self.meter)? else {
                    return fail("cannot assign attribute on non-namespace object");
                };
                if attribute.starts_with('_') {
                    return fail("attributes of a namespace cannot begin with an underscore");
                }
                let mut attributes = namespace.0.borrow_mut();
                self.meter.work(attributes.len())?;
                let old = match attributes.iter_mut().find(|(known, _)| known == attribute) {
                    Some((_, known)) => Some(std::mem::replace(known, value)),
                    None => {
                        attributes.push((attribute.clone(), value));
                        None
                    }
                };
                drop(attributes);
                drop(old);
            }
            Target::Tuple(targets) => {
                let values = items(&value, self.meter)?;
                if values.len() != targets.len() {
                    let (expected, found) = (targets.len(), values.len());
                    return fail(format!("expected {expected} values to unpack, found {found}"));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
            }
        }
        Ok(())
    }

    fn for_loop(
        &mut self,
        definition: &Arc<For>,
        iterable: &Value,
        depth0: u32,
        out: &mut Builder<'_>,
    ) -> Result<Flow> {
        let kept;
        let iterable = match &definition.test {
            Some(test) => {
                kept = self.passing(definition, test, iterable)?;
                &kept
            }
            None => iterable,
        };
        if definition.recursive {
            self.keep_scope()?;
        }
        let recursion = definition.recursive.then(|| (definition.clone(), self.scope.clone()));
        let state = Rc::new(Loop::new(iterable, depth0, recursion, self.meter)?);
        let outer = self.scope.clone();
        let mut went_through = false;
        let mut result = Ok(Flow::On);
        loop {
            let item = match state.advance(self.meter) {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(failure) => {
                    result = Err(failure);
                    break;
                }
            };
            self.scope = Frame::within(&outer);
            self.unset(&definition.body.unset);
            self.scope.set(&"loop".into(), Value::Loop(state.clone()));
            let flow = self.meter.work(20).and_then(|()| self.assign(&definition.target, item));
            match flow.and_then(|()| self.run(&definition.body.nodes, out)) {
                Ok(Flow::On) => went_through = true,
                Ok(Flow::Continue) => {}
                Ok(Flow::Break) => break,
                Err(failure) => {
                    result = Err(failure);
                    break;
                }
            }
        }
        self.scope = outer;
        result?;
        // As in Jinja2, `{% else %}` follows unless one pass reached the end of the body.
        if !went_through && !definition.otherwise.nodes.is_empty() {
            return self.scoped(&definition.otherwise, out);
        }
        Ok(Flow::On)
    }

    /// The items that pass a loop's test, all tested before the first pass.
    fn passing(&mut self, definition: &For, test: &Expr, iterable: &Value) -> Result<Value> {
        let outer = self.scope.clone();
        let guarded = std::mem::replace(&mut self.guards_namespaces, definition.sets_namespace);
        let mut kept = Vec::new();
        let mut result = Ok(());
        for item in items(iterable, self.meter)? {
            self.scope = Frame::within(&outer);
            let passes = self.assign(&definition.target, item.clone()).and_then(|()| self.value(test));
            match passes.and_then(|value| value.is_true(self.meter)) {
                Ok(true) => kept.push(item),
                Ok(false) => {}
                Err(failure) => {
                    result = Err(failure);
                    break;
                }
            }
        }
        self.scope = outer;
        self.guards_namespaces = guarded;
        result?;
        Value::iterator(kept, self.meter)
    }

    /// A namespace was read: refused in a loop's test whose body may change it, for Jinja2 tests items one by one.
    fn reads_namespace(&self) -> Result<()> {
        if self.guards_namespaces {
            return unsupported("the test of a loop reads a namespace that the loop may change");
        }
        Ok(())
    }
}
