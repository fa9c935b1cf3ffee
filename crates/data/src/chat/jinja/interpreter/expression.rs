//! Expressions to values.

use std::cmp::Ordering;

use super::{
    super::{
        ast::{Arguments, Comparison, Expr},
        attribute,
        call::Called,
        compare::{contains, equal, ordered},
        failure::{Result, fail},
        filter, operator, show,
        stream::items,
        test,
        text::Builder,
        value::{Dict, Value},
    },
    Interpreter,
};

impl Interpreter<'_> {
    /// What an expression evaluates to.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value> {
        self.meter.enter()?;
        let value = match expr {
            Expr::None => Ok(Value::None),
            Expr::Bool(yes) => Ok(Value::Bool(*yes)),
            Expr::Int(n) => Ok(Value::Int(*n)),
            Expr::Float(x) => Ok(Value::Float(*x)),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Name(name) => match self.scope.get(name, self.meter)? {
                Some(value) => Ok(value),
                None if matches!(&**name, "self" | "super" | "lipsum") => {
                    super::super::failure::unsupported(format!("the template uses `{name}`"))
                }
                None => Ok(Value::undefined(format!("'{name}' is undefined"))),
            },
            compound => self.compound(compound),
        };
        self.meter.leave();
        value
    }

    fn compound(&mut self, expr: &Expr) -> Result<Value> {
        match expr {
            Expr::Tuple(parts) => Value::tuple(self.all(parts)?, self.meter),
            Expr::List(parts) => Value::list(self.all(parts)?, self.meter),
            Expr::Dict(pairs) => {
                let mut values = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    values.push((self.value(key)?, self.value(value)?));
                }
                Dict::new(values, self.meter).map(Value::Dict)
            }
            Expr::If(parts) => {
                let (test, value, otherwise) = &**parts;
                if self.value(test)?.is_true(self.meter)? {
                    return self.value(value);
                }
                match otherwise {
                    Some(otherwise) => self.value(otherwise),
                    None => Ok(Value::undefined(
                        "the inline if-expression evaluated to false and no else section was defined.",
                    )),
                }
            }
            Expr::Or(parts) => {
                let left = self.value(&parts.0)?;
                if left.is_true(self.meter)? { Ok(left) } else { self.value(&parts.1) }
            }
            Expr::And(parts) => {
                let left = self.value(&parts.0)?;
                if left.is_true(self.meter)? { self.value(&parts.1) } else { Ok(left) }
            }
            Expr::Not(inner) => {
                let value = self.value(inner)?;
                Ok(Value::Bool(!value.is_true(self.meter)?))
            }
            Expr::Compare(first, rest) => self.comparison(first, rest),
            Expr::Binary(operator, parts) => {
                let left = self.value(&parts.0)?;
                let right = self.value(&parts.1)?;
                operator::binary(*operator, &left, &right, self.meter)
            }
            Expr::Concat(parts) => {
                let mut out = Builder::new(self.meter);
                for part in parts {
                    show::write(&self.value(part)?, &mut out)?;
                }
                Ok(Value::Text(out.finish()))
            }
            Expr::Negative(inner) => operator::signed(&self.value(inner)?, true),
            Expr::Positive(inner) => operator::signed(&self.value(inner)?, false),
            Expr::Attribute(object, name) => {
                let object = self.value(object)?;
                if matches!(object, Value::Namespace(_)) {
                    self.reads_namespace()?;
                }
                attribute::attribute(&object, name, self.meter)
            }
            Expr::Item(parts) => {
                let object = self.value(&parts.0)?;
                let key = self.value(&parts.1)?;
                if matches!(object, Value::Namespace(_)) {
                    self.reads_namespace()?;
                }
                attribute::item(&object, &key, self.meter)
            }
            Expr::Slice(parts) => {
                let object = self.value(&parts.0)?;
                let mut bounds = [None, None, None];
                for (bound, expr) in bounds.iter_mut().zip(&parts.1) {
                    *bound = expr.as_ref().map(|expr| self.value(expr)).transpose()?;
                }
                attribute::slice(&object, &bounds, self.meter)
            }
            Expr::Call(parts) => {
                let function = self.value(&parts.0)?;
                let called = self.arguments(&parts.1)?;
                self.call(&function, called)
            }
            Expr::Filter(inner, filter) => {
                let value = self.value(inner)?;
                let called = self.arguments(&filter.arguments)?;
                filter::apply(&filter.name, &value, called, self.meter)
            }
            Expr::Test(inner, test) => {
                let value = self.value(inner)?;
                let called = self.arguments(&test.arguments)?;
                test::apply(&test.name, &value, called, self.meter).map(Value::Bool)
            }
            Expr::None | Expr::Bool(_) | Expr::Int(_) | Expr::Float(_) | Expr::Text(_) | Expr::Name(_) => {
                self.value(expr)
            }
        }
    }

    fn all(&mut self, parts: &[Expr]) -> Result<Vec<Value>> {
        parts.iter().map(|part| self.value(part)).collect()
    }

    fn comparison(&mut self, first: &Expr, rest: &[(Comparison, Expr)]) -> Result<Value> {
        let mut left = self.value(first)?;
        for (comparison, right) in rest {
            let right = self.value(right)?;
            let (a, b, meter) = (&left, &right, self.meter);
            let holds = match comparison {
                Comparison::Equal => equal(a, b, meter),
                Comparison::NotEqual => equal(a, b, meter).map(|same| !same),
                Comparison::Less => ordered(a, b, "<", Ordering::is_lt, meter),
                Comparison::LessEqual => ordered(a, b, "<=", Ordering::is_le, meter),
                Comparison::Greater => ordered(a, b, ">", Ordering::is_gt, meter),
                Comparison::GreaterEqual => ordered(a, b, ">=", Ordering::is_ge, meter),
                Comparison::In => contains(b, a, meter),
                Comparison::NotIn => contains(b, a, meter).map(|inside| !inside),
            }?;
            if !holds {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    /// The arguments of a call, a filter or a test.
    pub(super) fn arguments(&mut self, arguments: &Arguments) -> Result<Called> {
        let mut called = Called { positional: self.all(&arguments.positional)?, named: Vec::new() };
        for (name, expr) in &arguments.named {
            called.named.push((name.clone(), self.value(expr)?));
        }
        if let Some(more) = &arguments.more {
            let more = self.value(more)?;
            called.positional.extend(items(&more, self.meter)?);
        }
        if let Some(more) = &arguments.more_named {
            let Value::Dict(more) = self.value(more)? else {
                return fail("argument after ** must be a mapping");
            };
            for (key, value) in &more.entries {
                let Value::Text(key) = key else { return fail("keywords must be strings") };
                self.meter.make_values(1)?;
                self.meter.work(called.named.len())?;
                let name = key.to_string().into();
                if called.named.iter().any(|(known, _)| *known == name) {
                    return fail(format!("got multiple values for keyword argument '{name}'"));
                }
                called.named.push((name, value.clone()));
            }
        }
        Ok(called)
    }
}
