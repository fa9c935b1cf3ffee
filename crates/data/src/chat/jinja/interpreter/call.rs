//! Calls.

use std::{cell::Cell, rc::Rc};

use super::{
    super::{
        attribute::call_method,
        call::{integer, string},
        compare::equal,
        date,
        failure::{Result, fail, unsupported},
        filter::pairs,
        json::brief,
        show, str_method,
        text::{Builder, Text},
        value::{Closure, Cycler, Dict, Frame, Function, Joiner, List, Loop, Namespace, Range, Value},
    },
    Called, Interpreter,
};

/// Longest range that the sandbox of Jinja2 allows.
const MAX_RANGE: usize = 100_000;

impl Interpreter<'_> {
    pub(super) fn call(&mut self, function: &Value, called: Called) -> Result<Value> {
        self.meter.enter_call()?;
        let value = match function {
            Value::Undefined(message) => fail(&**message),
            Value::Function(function) => self.function(*function, called),
            Value::Macro(closure) => self.macro_call(closure, called),
            Value::Method(method) => self.method(&method.0, method.1, called),
            Value::Loop(inner) => self.recurse(inner, called),
            Value::Joiner(joiner) => {
                called.none("joiner")?;
                let first = !joiner.used.replace(true);
                Ok(if first { Value::text("") } else { Value::Text(joiner.separator.clone()) })
            }
            other => fail(format!("'{}' object is not callable", other.type_name())),
        };
        self.meter.leave_call();
        value
    }

    fn method(&mut self, object: &Value, name: &'static str, called: Called) -> Result<Value> {
        match object {
            Value::Text(text) => str_method::call(text, name, called, self.meter),
            Value::Loop(inner) if name == "cycle" => {
                if called.positional.is_empty() {
                    return fail("no items for cycling given");
                }
                let at = usize::try_from(inner.index0.get()).unwrap_or(0) % called.positional.len();
                Ok(called.positional[at].clone())
            }
            Value::Loop(inner) => {
                let plain = |value: &Value| {
                    matches!(
                        value,
                        Value::Undefined(_)
                            | Value::None
                            | Value::Bool(_)
                            | Value::Int(_)
                            | Value::Float(_)
                            | Value::Text(_)
                    )
                };
                if !called.positional.iter().all(plain) {
                    return unsupported("`loop.changed` of something else than text and numbers");
                }
                let value = Value::tuple(called.positional, self.meter)?;
                let before = inner.changed.borrow().clone();
                let changed = match before {
                    Some(before) => !equal(&before, &value, self.meter)?,
                    None => true,
                };
                *inner.changed.borrow_mut() = Some(value);
                Ok(Value::Bool(changed))
            }
            Value::Cycler(cycler) => {
                called.none(name)?;
                let at = cycler.at.get();
                if name == "reset" {
                    cycler.at.set(0);
                    return Ok(Value::None);
                }
                cycler.at.set((at + 1) % cycler.items.items.len());
                Ok(cycler.items.items[at].clone())
            }
            other => call_method(other, name, called, self.meter),
        }
    }

    fn function(&mut self, function: Function, called: Called) -> Result<Value> {
        match function {
            Function::Range => {
                let [first, second, step] = called.bind("range", ["", "", ""], 1)?;
                let step = integer(step, 1, "range")?;
                let (start, stop) = match second {
                    None => (0, integer(first, 0, "range")?),
                    second => (integer(first, 0, "range")?, integer(second, 0, "range")?),
                };
                if step == 0 {
                    return fail("range() arg 3 must not be zero");
                }
                if [start, stop, step].iter().any(|n| n.unsigned_abs() > 1 << 100) {
                    return fail("Range too big");
                }
                let range = Range { start, stop, step };
                if range.len() > MAX_RANGE {
                    return fail(format!(
                        "Range too big. The sandbox blocks ranges larger than {MAX_RANGE}."
                    ));
                }
                Ok(Value::Range(range))
            }
            Function::Dict => {
                let Called { positional, named } = called;
                let mut entries = match &positional[..] {
                    [] => Vec::new(),
                    [one] => pairs(one, self.meter)?,
                    _ => return fail("dict expected at most 1 argument"),
                };
                entries.extend(named.into_iter().map(|(name, value)| (Value::text(&name), value)));
                Dict::new(entries, self.meter).map(Value::Dict)
            }
            Function::Namespace => {
                let Value::Dict(dict) = self.function(Function::Dict, called)? else {
                    return fail("expected pairs");
                };
                let namespace = Rc::new(Namespace::default());
                self.meter.make(64)?;
                self.namespaces.push(namespace.clone());
                for (key, value) in &dict.entries {
                    let Value::Text(key) = key else {
                        return unsupported("a namespace with keys that are not strings");
                    };
                    let key = key.to_string();
                    if key.starts_with('_') {
                        return fail(format!(
                            "attributes of a namespace cannot begin with an underscore, found '{key}'"
                        ));
                    }
                    namespace.0.borrow_mut().push((key.into(), value.clone()));
                }
                Ok(Value::Namespace(namespace))
            }
            Function::Cycler => {
                if called.positional.is_empty() {
                    return fail("at least one item has to be provided");
                }
                let items = List::new(called.positional, self.meter)?;
                Ok(Value::Cycler(Rc::new(Cycler { items, at: Cell::new(0) })))
            }
            Function::Joiner => {
                let [separator] = called.bind("joiner", ["sep"], 0)?;
                let separator =
                    separator.map_or_else(|| Ok(Text::new(", ")), |sep| string(Some(sep), "joiner"))?;
                Ok(Value::Joiner(Rc::new(Joiner { separator, used: Cell::new(false) })))
            }
            Function::RaiseException => {
                let [message] = called.bind("raise_exception", ["message"], 1)?;
                let message = message.unwrap_or(Value::None);
                fail(match message {
                    Value::Text(text) => text.to_string(),
                    other => brief(&other, self.meter),
                })
            }
            Function::StrftimeNow => {
                let [format] = called.bind("strftime_now", ["format"], 1)?;
                let format = string(format, "strftime_now")?;
                date::strftime(self.now.unwrap_or_else(date::now), &format, self.meter).map(Value::Text)
            }
        }
    }

    /// `loop(items)` within a recursive loop.
    fn recurse(&mut self, inner: &Loop, called: Called) -> Result<Value> {
        let Some((definition, scope)) = &inner.recursion else {
            return fail("The loop must have the 'recursive' marker to be called recursively.");
        };
        let [items] = called.bind("loop", ["iterable"], 1)?;
        let outer = std::mem::replace(&mut self.scope, scope.clone());
        let mut out = Builder::new(self.meter);
        let result = self.for_loop(definition, &items.unwrap_or(Value::None), inner.depth0 + 1, &mut out);
        self.scope = outer;
        result.map(|_| Value::Text(out.finish()))
    }

    fn macro_call(&mut self, closure: &Closure, called: Called) -> Result<Value> {
        let definition = &closure.definition;
        let Called { mut positional, mut named } = called;
        let name = definition.name.as_deref().unwrap_or("caller");
        let scope = Frame::within(&closure.scope);
        let extra = positional.split_off(positional.len().min(definition.params.len()));
        let n_given = positional.len();
        let mut bound: Vec<Option<Value>> = positional.into_iter().map(Some).collect();
        for param in &definition.params[n_given..] {
            let at = named.iter().position(|(known, _)| known == param);
            bound.push(at.map(|at| named.remove(at).1));
        }
        if definition.uses_caller {
            let at = named.iter().position(|(known, _)| **known == *"caller");
            let caller = at.map(|at| named.remove(at).1);
            let caller = caller.filter(|caller| !matches!(caller, Value::None));
            scope.set(&"caller".into(), caller.unwrap_or_else(|| Value::undefined("No caller defined")));
        }
        if definition.uses_kwargs {
            let rest = named.into_iter().map(|(name, value)| (Value::text(&name), value));
            scope.set(&"kwargs".into(), Value::Dict(Dict::new(rest, self.meter)?));
        } else if let Some((unknown, _)) = named.first() {
            return fail(format!("macro '{name}' takes no keyword argument '{unknown}'"));
        }
        if definition.uses_varargs {
            scope.set(&"varargs".into(), Value::tuple(extra, self.meter)?);
        } else if !extra.is_empty() {
            return fail(format!(
                "macro '{name}' takes not more than {} argument(s)",
                definition.params.len()
            ));
        }
        let outer = std::mem::replace(&mut self.scope, scope);
        let result = self.macro_body(closure, bound);
        self.scope = outer;
        result
    }

    fn macro_body(&mut self, closure: &Closure, bound: Vec<Option<Value>>) -> Result<Value> {
        let definition = &closure.definition;
        self.unset(&definition.body.unset);
        let n_required = definition.params.len() - definition.defaults.len();
        // All are set before the first default is computed: a default sees the parameters before it.
        for (param, value) in definition.params.iter().zip(&bound) {
            let missing = || Value::undefined(format!("parameter '{param}' was not provided"));
            self.scope.set(param, value.clone().unwrap_or_else(missing));
        }
        for (i, (param, value)) in definition.params.iter().zip(&bound).enumerate() {
            if let (None, Some(default)) = (value, i.checked_sub(n_required).map(|i| &definition.defaults[i]))
            {
                let value = self.value(default)?;
                self.scope.set(param, value);
            }
        }
        let mut out = Builder::new(self.meter);
        self.run(&definition.body.nodes, &mut out)?;
        let text = out.finish();
        Ok(Value::Text(show::text(&Value::Text(text), self.meter)?))
    }
}
